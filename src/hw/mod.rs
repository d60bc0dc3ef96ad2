//! The board under the box: which one it is, and its lights.
//!
//! In: the status board's snapshots, the cards' link. Out: lights on and off, in words that `pattern.rs` defines. Floor 3.
//! Nobody calls the lights: they read what every room says of itself, so that they and the page cannot disagree.
//!
//! What a board has stands in `hw/<board>/profile.toml`; another board needs a profile and no code. A light that cannot be
//! driven is a fault in the status, and the others go on. Lights stay as they were when the program is killed; the kernel
//! or the board's firmware may drive them then.
//!
//! Not supported: brightness and mixed colours. A light is on or off, in the one colour that its profile gives it.

mod board;
mod led;
mod pattern;
mod profile;

pub use profile::{Profile, ProfileError};

use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::status::{Board, Handle, Health};
use board::{AUTO, Machine};
use led::{LedError, Pin};
use pattern::{Mood, STEP_MS};
use profile::{Arch, Role};

/// The status is read every this many steps, once a second.
const LOOK_STEPS: u64 = 1_000 / STEP_MS;

/// The `[hw]` table of the settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The board's profile, or `"auto"`: the one that the machine says it is.
    pub board: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { board: AUTO.to_owned() }
    }
}

impl Config {
    /// What is wrong with it, by key.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        if choose(&self.board).is_some() {
            return Vec::new();
        }
        let ours = Profile::all().filter(|profile| profile.arch == Arch::HERE);
        let names: Vec<String> = ours.map(|profile| format!("\"{}\"", profile.board)).collect();
        vec![(
            "board".to_owned(),
            format!("{:?} is no board; write \"auto\" or one of {}", self.board, names.join(", ")),
        )]
    }
}

fn choose(name: &str) -> Option<Profile> {
    board::choose(name, &Machine::default(), Arch::HERE)
}

/// The board is not known; trying again does not help.
#[derive(Debug, thiserror::Error)]
#[error("no profile of a board {board:?} is in this program")]
pub struct UnknownBoard {
    board: String,
}

/// Drives the board's lights until told to stop, then leaves them dark.
///
/// # Errors
/// When the settings name a board that is not known.
///
/// # Cancel safety
/// Safe; the lights stay as they are then.
pub async fn run(config: Config, board: Board, status: Handle, stop: CancellationToken) -> Result<(), UnknownBoard> {
    let sys = Path::new("/sys");
    let Some(profile) = board::choose(&config.board, &Machine::read(sys), Arch::HERE) else {
        status.set(Health::failed(format!("the board {:?} is not known", config.board), "correct board in [hw]"));
        return Err(UnknownBoard { board: config.board });
    };
    tracing::info!(board = profile.board, lights = profile.leds.len(), "the board is known");
    Panel::open(sys, &profile, &status).show(sys, &board, &status, stop).await;
    Ok(())
}

/// A light with what it does.
struct Light {
    role: Role,
    pin: Pin,
    /// How it was set last; unknown after a failure, so that it is set again.
    lit: Option<bool>,
}

/// All lights of the board.
struct Panel {
    lights: Vec<Light>,
    /// There is a light for faults.
    speaks: bool,
}

impl Panel {
    /// Takes every light that can be taken; the status says which could not.
    fn open(sys: &Path, profile: &Profile, status: &Handle) -> Self {
        let mut lights = Vec::new();
        let mut failed = None;
        for led in &profile.leds {
            match led::open(sys, led) {
                Ok(pin) => lights.push(Light { role: led.role, pin, lit: Some(false) }),
                Err(error) => failed = Some(error),
            }
        }
        status.set(failed.map_or(Health::Healthy, |error| trouble(&error)));
        let speaks = lights.iter().any(|light| light.role == Role::Fault);
        Self { lights, speaks }
    }

    async fn show(mut self, sys: &Path, board: &Board, status: &Handle, stop: CancellationToken) {
        if self.lights.is_empty() {
            stop.cancelled().await;
            return;
        }
        let mut steps = interval(Duration::from_millis(STEP_MS));
        // After a pause of the whole machine the blinking goes on where it was; nobody counts what was missed.
        steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut mood = Mood::of(&board.snapshot(), has_link(sys));
        let mut step: u64 = 0;
        loop {
            tokio::select! {
                _ = steps.tick() => {}
                () = stop.cancelled() => break,
            }
            if step.is_multiple_of(LOOK_STEPS) {
                mood = Mood::of(&board.snapshot(), has_link(sys));
            }
            self.step(&mood, step, status);
            step = step.wrapping_add(1);
        }
        for light in &mut self.lights {
            // Dark is what a box that does not run shows; one that cannot be set was reported before.
            let _ = light.pin.set_low();
        }
    }

    fn step(&mut self, mood: &Mood, step: u64, status: &Handle) {
        let speaks = self.speaks;
        for light in &mut self.lights {
            let lit = mood.pattern(light.role, speaks).is_lit(step);
            if light.lit == Some(lit) {
                continue;
            }
            let set = if lit { light.pin.set_high() } else { light.pin.set_low() };
            light.lit = match set {
                Ok(()) => Some(lit),
                Err(error) => {
                    status.set(trouble(&error));
                    None
                }
            };
        }
    }
}

fn trouble(error: &LedError) -> Health {
    Health::degraded(
        format!("a light of the board does not work: {error}"),
        "check board in [hw]; the box works without",
    )
}

/// Whether a cable is in any card. `carrier` cannot be read while a card is switched off (Documentation/ABI/testing/
/// sysfs-class-net), which is no link either.
fn has_link(sys: &Path) -> bool {
    let Ok(cards) = std::fs::read_dir(sys.join("class/net")) else { return false };
    let has = |card: std::fs::DirEntry| {
        // Cards have a device behind them; loopback and tunnels have not.
        let path = card.path();
        path.join("device").exists()
            && std::fs::read_to_string(path.join("carrier")).is_ok_and(|text| text.trim() == "1")
    };
    cards.filter_map(Result::ok).any(has)
}

#[cfg(test)]
mod tests;
