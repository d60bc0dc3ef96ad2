//! `hw/<board>/profile.toml`: what a board has, as types.
//!
//! The profiles are part of the program, so that no box can lack them. The same files are read by the image's checks
//! (`tests/buildroot/check`), which hold the kernel's options against the `kernel` lists.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::quantity::Span;

/// Every profile, in no order that matters.
const PROFILES: [&str; 6] = [
    include_str!("../../hw/generic-aarch64/profile.toml"),
    include_str!("../../hw/generic-x86_64/profile.toml"),
    include_str!("../../hw/nanopi-r5s/profile.toml"),
    include_str!("../../hw/qemu-aarch64/profile.toml"),
    include_str!("../../hw/qemu-x86_64/profile.toml"),
    include_str!("../../hw/silicom-cordoba/profile.toml"),
];

/// One hardware model.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name in the settings, and of its folder.
    pub board: String,
    /// Its name for people.
    pub name: String,
    /// What it is built for.
    pub arch: Arch,
    /// The serial line, as the kernel's command line has it.
    pub console: String,
    /// Options of the kernel that must be built in for it, without `CONFIG_`.
    pub kernel: Vec<String>,
    /// Where each of these facts comes from, and what was not verified.
    pub facts: Vec<String>,
    /// How it is recognised.
    #[serde(rename = "match")]
    pub matches: Match,
    /// The watchdog; some boards have none.
    pub watchdog: Option<Watchdog>,
    /// Its disks.
    pub disk: Disk,
    /// Its lights; a board may have none.
    #[serde(default, rename = "led")]
    pub leds: Vec<Led>,
}

/// An architecture, by its name in Rust and in file names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arch {
    /// 64-bit x86.
    #[serde(rename = "x86_64")]
    X86,
    /// 64-bit ARM.
    #[serde(rename = "aarch64")]
    Arm,
}

impl Arch {
    /// What this program was built for.
    pub(super) const HERE: Self = if cfg!(target_arch = "aarch64") { Self::Arm } else { Self::X86 };
}

/// How a board is recognised; one hit is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    /// What the firmware says in its DMI tables; within one entry everything must be equal.
    pub dmi: Vec<Dmi>,
    /// Words of the device tree's `compatible`.
    pub device_tree: Vec<String>,
    /// For every machine of its architecture that nobody else knows.
    pub fallback: bool,
}

/// The fields of `/sys/class/dmi/id` that name a model and may be read by everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dmi {
    /// The maker of the machine.
    pub sys_vendor: Option<String>,
    /// The machine.
    pub product_name: Option<String>,
    /// The maker of its main board.
    pub board_vendor: Option<String>,
    /// Its main board.
    pub board_name: Option<String>,
}

/// The watchdog that resets a machine that hangs; systemd feeds it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watchdog {
    /// Its device.
    pub device: String,
    /// The kernel's driver.
    pub driver: String,
    /// The longest time it can wait by itself; unknown where it depends on the machine.
    pub longest: Option<Span>,
}

/// Hints for whoever writes an image to the machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// Kinds of disk, the best first.
    pub prefer: Vec<DiskKind>,
}

/// A kind of disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskKind {
    /// Flash on PCI Express.
    Nvme,
    /// A disk on SATA.
    Sata,
    /// Flash that is soldered on: slow, and it wears.
    Emmc,
    /// A virtual machine's.
    Virtio,
}

/// One light.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Led {
    /// What it tells.
    pub role: Role,
    /// Its name in `/sys/class/leds`, where a driver of the kernel has it. One `*` stands for a number that is not fixed.
    pub class: Option<String>,
    /// The line it hangs on, where no driver has it.
    pub gpio: Option<Gpio>,
    /// The colour it has, or is to have where it has several.
    pub colour: Colour,
}

/// What a light tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The box works.
    Power,
    /// It has a network.
    Network,
    /// The gateways take its events.
    Gateway,
    /// Something is wrong: counted blinks say what.
    Fault,
}

/// A line of a GPIO chip.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gpio {
    /// The chip's label.
    pub chip: String,
    /// The line's number on it.
    pub line: u32,
    /// Lit when the line is low.
    pub active_low: bool,
}

/// Colours as the kernel names them in `multi_index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    White,
    Red,
    Green,
    Blue,
    Amber,
    Yellow,
}

impl Colour {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::White => "white",
            Self::Red => "red",
            Self::Green => "green",
            Self::Blue => "blue",
            Self::Amber => "amber",
            Self::Yellow => "yellow",
        }
    }
}

/// Why a text is no profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// It is no TOML, or holds what no profile has.
    #[error("the profile cannot be read: {0}")]
    Syntax(#[from] toml::de::Error),
    /// A board that nothing can recognise, or everything.
    #[error("the profile of {board} must say either how the board is recognised or that it is a fallback")]
    Unrecognisable {
        /// The board.
        board: String,
    },
    /// An entry of `dmi` that is empty, so that every machine would be this board.
    #[error("the profile of {board} has an entry in dmi that asks for nothing")]
    EmptyDmi {
        /// The board.
        board: String,
    },
    /// Two lights for one thing.
    #[error("the profile of {board} has two lights with the role {role:?}")]
    RoleTwice {
        /// The board.
        board: String,
        /// The role.
        role: Role,
    },
    /// A light that is nowhere, at two places, or at a place that is no name.
    #[error("the light {role:?} of {board} needs either a class (a name, with at most one *) or a gpio")]
    Place {
        /// The board.
        board: String,
        /// The role.
        role: Role,
    },
}

impl Profile {
    /// Reads a profile and checks what types cannot.
    ///
    /// # Errors
    /// When it says what no board can be.
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        let profile: Self = toml::from_str(text)?;
        let board = || profile.board.clone();
        let Match { dmi, device_tree, fallback } = &profile.matches;
        if (dmi.is_empty() && device_tree.is_empty()) != *fallback {
            return Err(ProfileError::Unrecognisable { board: board() });
        }
        if dmi.contains(&Dmi::default()) {
            return Err(ProfileError::EmptyDmi { board: board() });
        }
        let mut roles = BTreeSet::new();
        for Led { role, class, gpio, .. } in &profile.leds {
            let role = *role;
            let is_name = |name: &String| !name.is_empty() && !name.contains('/') && name.matches('*').count() <= 1;
            if class.is_some() == gpio.is_some() || !class.iter().all(is_name) {
                return Err(ProfileError::Place { board: board(), role });
            }
            if !roles.insert(role) {
                return Err(ProfileError::RoleTwice { board: board(), role });
            }
        }
        Ok(profile)
    }

    /// Every board that this program knows. A profile that does not parse is left out, which a test rules out.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        PROFILES.iter().filter_map(|text| Self::parse(text).ok())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;

    fn folders() -> Vec<(String, String)> {
        let hw = Path::new(env!("CARGO_MANIFEST_DIR")).join("hw");
        let folders = std::fs::read_dir(hw).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
        folders
            .map(|path| {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                (name, std::fs::read_to_string(path.join("profile.toml")).unwrap())
            })
            .collect()
    }

    #[test]
    fn every_folder_of_hw_is_a_profile_that_the_program_has() {
        let folders = folders();
        assert_eq!(folders.len(), PROFILES.len());
        for (name, text) in folders {
            let profile = Profile::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(profile.board, name);
            assert!(PROFILES.contains(&text.as_str()), "{name} is not in the program");
            assert!(
                !profile.facts.is_empty() && !profile.kernel.is_empty() && !profile.disk.prefer.is_empty(),
                "{name}"
            );
        }
    }

    #[test]
    fn every_watchdog_waits_as_long_as_systemd_asks_for() {
        for profile in Profile::all() {
            let Some(watchdog) = profile.watchdog else { continue };
            // RuntimeWatchdogSec in systemd/.
            assert!(watchdog.longest.is_none_or(|longest| longest.0 >= Duration::from_secs(30)), "{}", profile.board);
            assert!(watchdog.device.starts_with("/dev/watchdog"), "{}", profile.board);
        }
    }

    #[test]
    fn each_architecture_has_one_fallback() {
        for arch in [Arch::X86, Arch::Arm] {
            let fallbacks = Profile::all().filter(|profile| profile.arch == arch && profile.matches.fallback);
            assert_eq!(fallbacks.count(), 1);
        }
    }

    const WORKING: &str = r#"
        board = "x"
        name = "X"
        arch = "x86_64"
        console = "ttyS0,115200"
        kernel = []
        facts = []
        match = { dmi = [{ sys_vendor = "X" }] }
        disk = { prefer = ["nvme"] }
        led = [{ role = "power", class = "x:*:power", colour = "green" }]
    "#;

    #[test]
    fn what_no_board_can_be_is_refused() {
        assert!(Profile::parse(WORKING).is_ok());
        for (old, new, words) in [
            ("name = \"X\"", "", "missing field `name`"),
            ("name = \"X\"", "name = \"X\"\ncolour = 1", "unknown field `colour`"),
            ("x86_64", "i386", "unknown variant `i386`"),
            ("{ sys_vendor = \"X\" }", "{ vendor = \"X\" }", "unknown field `vendor`"),
            ("{ sys_vendor = \"X\" }", "{ }", "asks for nothing"),
            ("[{ sys_vendor = \"X\" }]", "[]", "how the board is recognised"),
            ("match = { ", "match = { fallback = true, ", "how the board is recognised"),
            ("class = \"x:*:power\", ", "", "needs either"),
            ("x:*:power", "x:*:*", "needs either"),
            ("x:*:power", "../x", "needs either"),
            ("class = ", "gpio = { chip = \"g\", line = 1, active_low = true }, class = ", "needs either"),
            ("led = [", "led = [{ role = \"power\", class = \"y\", colour = \"red\" }, ", "two lights"),
        ] {
            assert!(WORKING.contains(old), "{old}");
            let error = Profile::parse(&WORKING.replacen(old, new, 1)).unwrap_err().to_string();
            assert!(error.contains(words), "{old} → {new}: {error}");
        }
    }
}
