//! One light as an embedded-hal pin, whether a driver of the kernel has it or it hangs on a free GPIO line.
//!
//! Facts: Documentation/leds/leds-class.rst (`brightness`, `max_brightness`, `trigger`: while a trigger other than `none` is set
//! the kernel itself drives the light) and leds-class-multicolor.rst (`multi_index` names the colours in the order in which
//! `multi_intensity` takes their strengths); Linux 6.12. GPIO lines are asked for through the character device, version 2;
//! which way round a line is wired is said once, in the request, so "high" is lit everywhere else.
//!
//! Only this file names embedded-hal and gpiocdev. Writing to sysfs waits for the light's bus, which takes microseconds, and
//! milliseconds where it is a slow one.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use embedded_hal::digital::{ErrorKind, ErrorType, OutputPin, StatefulOutputPin};

use super::profile::{Colour, Gpio, Led};

/// A light; high is lit.
pub(super) type Pin = Box<dyn StatefulOutputPin<Error = LedError> + Send>;

/// Why a light cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum LedError {
    #[error("there is no light {name:?} in {}", folder.display())]
    Missing { name: String, folder: PathBuf },
    #[error("the light in {} cannot be {}", folder.display(), colour.as_str())]
    NoColour { folder: PathBuf, colour: Colour },
    #[error("{} cannot be used: {source}", path.display())]
    Class { path: PathBuf, source: io::Error },
    #[error("there is no GPIO chip with the label {label:?}")]
    NoChip { label: String },
    #[error("line {line} of the GPIO chip {label:?} cannot be used: {source}")]
    Line { label: String, line: u32, source: gpiocdev::Error },
}

impl embedded_hal::digital::Error for LedError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

/// Takes a light of the profile, dark.
pub(super) fn open(sys: &Path, led: &Led) -> Result<Pin, LedError> {
    match (&led.class, &led.gpio) {
        (Some(name), _) => Ok(Box::new(Class::open(sys, name, led.colour)?)),
        (None, Some(gpio)) => Ok(Box::new(Line::open(gpio)?)),
        (None, None) => Err(LedError::Missing { name: String::new(), folder: sys.to_owned() }),
    }
}

/// A light that a driver of the kernel has.
#[derive(Debug)]
struct Class {
    brightness: PathBuf,
    most: String,
}

impl Class {
    fn open(sys: &Path, name: &str, colour: Colour) -> Result<Self, LedError> {
        let leds = sys.join("class/leds");
        let folder = leds.join(find(&leds, name)?);
        let most = read(&folder.join("max_brightness"))?;
        let trigger = folder.join("trigger");
        if trigger.exists() {
            write(&trigger, "none")?;
        }
        let index = folder.join("multi_index");
        if index.exists() {
            let colours = read(&index)?;
            let mut found = false;
            let strengths = colours.split_whitespace().map(|word| {
                let is_it = word == colour.as_str();
                found |= is_it;
                if is_it { most.as_str() } else { "0" }
            });
            let strengths = strengths.collect::<Vec<_>>().join(" ");
            if !found {
                return Err(LedError::NoColour { folder, colour });
            }
            write(&folder.join("multi_intensity"), &strengths)?;
        }
        let mut light = Self { brightness: folder.join("brightness"), most };
        light.set_low()?;
        Ok(light)
    }
}

impl ErrorType for Class {
    type Error = LedError;
}

impl OutputPin for Class {
    fn set_low(&mut self) -> Result<(), LedError> {
        write(&self.brightness, "0")
    }

    fn set_high(&mut self) -> Result<(), LedError> {
        write(&self.brightness, &self.most)
    }
}

impl StatefulOutputPin for Class {
    fn is_set_high(&mut self) -> Result<bool, LedError> {
        Ok(read(&self.brightness)? != "0")
    }

    fn is_set_low(&mut self) -> Result<bool, LedError> {
        Ok(!self.is_set_high()?)
    }
}

/// The light's name; where a `*` stands for a number, the first that fits.
fn find(leds: &Path, name: &str) -> Result<String, LedError> {
    let Some((before, after)) = name.split_once('*') else { return Ok(name.to_owned()) };
    let listed = fs::read_dir(leds).map_err(|source| LedError::Class { path: leds.to_owned(), source })?;
    let names = listed.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let fits = |found: &String| {
        let middle = found.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        middle.is_some_and(|middle| !middle.is_empty() && middle.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let missing = || LedError::Missing { name: name.to_owned(), folder: leds.to_owned() };
    names.filter(fits).min().ok_or_else(missing)
}

fn read(path: &Path) -> Result<String, LedError> {
    let text = fs::read_to_string(path).map_err(|source| LedError::Class { path: path.to_owned(), source })?;
    Ok(text.trim().to_owned())
}

fn write(path: &Path, text: &str) -> Result<(), LedError> {
    let opened = OpenOptions::new().write(true).truncate(true).open(path);
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| LedError::Class { path: path.to_owned(), source })
}

/// A light on a line that no driver has. The line is given back when this is dropped.
#[derive(Debug)]
struct Line {
    request: gpiocdev::Request,
    label: String,
    line: u32,
}

impl Line {
    fn open(gpio: &Gpio) -> Result<Self, LedError> {
        let (label, line) = (gpio.chip.clone(), gpio.line);
        let has_label = |path: &PathBuf| {
            let info = gpiocdev::Chip::from_path(path).and_then(|chip| chip.info());
            info.is_ok_and(|info| info.label == label)
        };
        let chips = gpiocdev::chip::chips().unwrap_or_default();
        let chip = chips.into_iter().find(has_label).ok_or_else(|| LedError::NoChip { label: label.clone() })?;
        let mut builder = gpiocdev::Request::builder();
        builder.on_chip(chip).with_consumer("sapphire-edge").with_line(line);
        if gpio.active_low {
            builder.as_active_low();
        }
        let asked = builder.as_output(gpiocdev::line::Value::Inactive).request();
        let request = asked.map_err(|source| LedError::Line { label: label.clone(), line, source })?;
        Ok(Self { request, label, line })
    }

    fn failed(&self, source: gpiocdev::Error) -> LedError {
        LedError::Line { label: self.label.clone(), line: self.line, source }
    }

    fn set(&self, value: gpiocdev::line::Value) -> Result<(), LedError> {
        self.request.set_value(self.line, value).map(|_| ()).map_err(|source| self.failed(source))
    }
}

impl ErrorType for Line {
    type Error = LedError;
}

impl OutputPin for Line {
    fn set_low(&mut self) -> Result<(), LedError> {
        self.set(gpiocdev::line::Value::Inactive)
    }

    fn set_high(&mut self) -> Result<(), LedError> {
        self.set(gpiocdev::line::Value::Active)
    }
}

impl StatefulOutputPin for Line {
    fn is_set_high(&mut self) -> Result<bool, LedError> {
        let value = self.request.value(self.line).map_err(|source| self.failed(source))?;
        Ok(value == gpiocdev::line::Value::Active)
    }

    fn is_set_low(&mut self) -> Result<bool, LedError> {
        Ok(!self.is_set_high()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hw::profile::Role;

    /// A folder as the kernel shows lights.
    fn sys(lights: &[(&str, &[(&str, &str)])]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("class/leds")).unwrap();
        for (name, files) in lights {
            let folder = dir.path().join("class/leds").join(name);
            fs::create_dir_all(&folder).unwrap();
            for (file, text) in *files {
                fs::write(folder.join(file), text).unwrap();
            }
        }
        dir
    }

    fn led(class: &str, colour: Colour) -> Led {
        Led { role: Role::Power, class: Some(class.to_owned()), gpio: None, colour }
    }

    fn text(sys: &tempfile::TempDir, file: &str) -> String {
        fs::read_to_string(sys.path().join("class/leds").join(file)).unwrap()
    }

    const PLAIN: &[(&str, &str)] =
        &[("brightness", "255\n"), ("max_brightness", "255\n"), ("trigger", "none [heartbeat]\n")];

    #[test]
    fn a_light_is_taken_from_its_trigger_and_driven() {
        let sys = sys(&[("red:power", PLAIN)]);
        let mut light = open(sys.path(), &led("red:power", Colour::Red)).unwrap();
        assert_eq!((text(&sys, "red:power/trigger"), text(&sys, "red:power/brightness")), ("none".into(), "0".into()));
        light.set_high().unwrap();
        assert_eq!(text(&sys, "red:power/brightness"), "255");
        assert!(light.is_set_high().unwrap() && !light.is_set_low().unwrap());
        light.set_low().unwrap();
        assert_eq!(text(&sys, "red:power/brightness"), "0");
        assert!(light.is_set_low().unwrap());
    }

    #[test]
    fn a_light_of_several_colours_gets_the_one_of_its_profile() {
        let files: &[(&str, &str)] = &[
            ("brightness", "0"),
            ("max_brightness", "1"),
            ("multi_index", "red green blue amber\n"),
            ("multi_intensity", "0 0 0 0\n"),
        ];
        let sys = sys(&[("platled::fp_left", files)]);
        open(sys.path(), &led("platled::fp_left", Colour::Green)).unwrap();
        assert_eq!(text(&sys, "platled::fp_left/multi_intensity"), "0 1 0 0");
        let error = open(sys.path(), &led("platled::fp_left", Colour::White)).err().unwrap();
        assert!(error.to_string().ends_with("cannot be white"), "{error}");
    }

    #[test]
    fn a_star_stands_for_a_number() {
        let sys = sys(&[("input10::capslock", PLAIN), ("inputx::capslock", PLAIN), ("input3::numlock", PLAIN)]);
        open(sys.path(), &led("input*::capslock", Colour::Green)).unwrap();
        assert_eq!(text(&sys, "input10::capslock/trigger"), "none");
        assert_eq!(text(&sys, "inputx::capslock/trigger"), "none [heartbeat]\n");
        let error = open(sys.path(), &led("input*::scrolllock", Colour::Green)).err().unwrap();
        assert!(error.to_string().starts_with("there is no light \"input*::scrolllock\""), "{error}");
    }

    #[test]
    fn what_is_not_there_is_said_by_name() {
        let sys = sys(&[]);
        let error = open(sys.path(), &led("green:wan", Colour::Green)).err().unwrap();
        assert!(error.to_string().contains("class/leds/green:wan/max_brightness cannot be used"), "{error}");
        let gpio = Gpio { chip: "no-such-chip".into(), line: 1, active_low: true };
        let led = Led { role: Role::Power, class: None, gpio: Some(gpio), colour: Colour::Red };
        let error = open(sys.path(), &led).err().unwrap();
        assert!(error.to_string().contains("no GPIO chip with the label \"no-such-chip\""), "{error}");
    }

    /// Needs a kernel with gpio-sim: GPIO_SIM is the label of a simulated chip, `=`, and the folder in which the kernel shows
    /// how line 1 of it is driven.
    #[test]
    fn a_line_is_driven_the_way_round_it_is_wired() {
        let Ok(sim) = std::env::var("GPIO_SIM") else {
            eprintln!("SKIPPED: GPIO_SIM names no simulated chip");
            return;
        };
        let (label, folder) = sim.split_once('=').unwrap();
        let value = || fs::read_to_string(Path::new(folder).join("value")).unwrap().trim().to_owned();
        for (active_low, dark, bright) in [(false, "0", "1"), (true, "1", "0")] {
            let gpio = Some(Gpio { chip: label.to_owned(), line: 1, active_low });
            let led = Led { role: Role::Fault, class: None, gpio, colour: Colour::Red };
            let mut light = open(Path::new("/sys"), &led).unwrap();
            assert_eq!(value(), dark);
            light.set_high().unwrap();
            assert!(light.is_set_high().unwrap());
            assert_eq!(value(), bright);
            light.set_low().unwrap();
            assert!(light.is_set_low().unwrap());
            assert_eq!(value(), dark);
            let taken = open(Path::new("/sys"), &led).err().unwrap().to_string();
            assert!(taken.contains("line 1 of the GPIO chip"), "{taken}");
        }
    }
}
