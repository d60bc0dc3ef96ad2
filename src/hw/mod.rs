//! The board under the box: which one it is, and its lights.
//!
//! In: snapshots of the program's status, the cards' link. Out: lights on and off, in words that `pattern.rs` defines. Floor 3.
//! Nobody calls the lights: they read what every room says of itself, so that they and the page cannot disagree.
//!
//! They run in a process of their own: it may write to the board and speak to nobody, the collector the other way round, and
//! a collector that hangs or has ended is a fault that the lights show.
//!
//! What a board has stands in `hw/<board>/profile.toml`; another board needs a profile and no code. A light that cannot be
//! driven is logged and shown as trouble of the box, and the others go on. Lights stay as they were when their process is killed; the
//! kernel or the board's firmware may drive them then.
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
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::status::Snapshot;
use board::{AUTO, Machine};
use led::{LedError, Pin};
use pattern::{Mood, STEP_MS};
use profile::{Arch, Role};

/// The status is read every this many steps, once a second.
const LOOK_STEPS: u64 = 1_000 / STEP_MS;
/// The program answers within milliseconds; when it is this late it is taken as silent for once.
const LONGEST_ANSWER: Duration = Duration::from_millis(STEP_MS);
/// Looks without an answer before the program counts as ended: a restart takes a few seconds...
const RESTART_LOOKS: u32 = 10;
/// ...and a start with a long queue whose index is made anew a minute (`TimeoutStartSec=` of its unit allows three).
const START_LOOKS: u32 = 180;

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

/// Drives the board's lights until told to stop, then leaves them dark. `ask` is called once a second; `None` means that the
/// program does not answer.
///
/// # Errors
/// When the settings name a board that is not known.
///
/// # Cancel safety
/// Safe; the lights stay as they are then.
pub async fn run(
    config: &Config,
    ask: impl AsyncFn() -> Option<Snapshot>,
    stop: CancellationToken,
) -> Result<(), UnknownBoard> {
    let sys = Path::new("/sys");
    let Some(profile) = board::choose(&config.board, &Machine::read(sys), Arch::HERE) else {
        return Err(UnknownBoard { board: config.board.clone() });
    };
    tracing::info!(board = profile.board, lights = profile.leds.len(), "the board is known");
    Panel::open(sys, &profile).show(sys, ask, stop).await;
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
    /// A light is missing.
    broken: bool,
}

impl Panel {
    /// Takes every light that can be taken; the log says which could not.
    fn open(sys: &Path, profile: &Profile) -> Self {
        let mut lights = Vec::new();
        for led in &profile.leds {
            match led::open(sys, led) {
                Ok(pin) => lights.push(Light { role: led.role, pin, lit: Some(false) }),
                Err(error) => complain(&error),
            }
        }
        let speaks = lights.iter().any(|light| light.role == Role::Fault);
        let broken = lights.len() < profile.leds.len();
        Self { lights, speaks, broken }
    }

    async fn show(mut self, sys: &Path, ask: impl AsyncFn() -> Option<Snapshot>, stop: CancellationToken) {
        if self.lights.is_empty() {
            stop.cancelled().await;
            return;
        }
        let mut steps = interval(Duration::from_millis(STEP_MS));
        // After a pause of the whole machine the blinking goes on where it was; nobody counts what was missed.
        steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = Seen::default();
        let mut step: u64 = 0;
        loop {
            tokio::select! {
                _ = steps.tick() => {}
                () = stop.cancelled() => break,
            }
            if step.is_multiple_of(LOOK_STEPS) {
                // An answer takes a moment; a program that hangs must not hold the blinking up for long.
                let answer = timeout(LONGEST_ANSWER, ask()).await.unwrap_or_default();
                seen.look(answer, has_link(sys), self.broken);
            }
            self.step(&seen.mood, step);
            step = step.wrapping_add(1);
        }
        for light in &mut self.lights {
            // Dark is what a box that does not run shows; one that cannot be set was reported before.
            let _ = light.pin.set_low();
        }
    }

    fn step(&mut self, mood: &Mood, step: u64) {
        for light in &mut self.lights {
            let lit = mood.pattern(light.role, self.speaks).is_lit(step);
            if light.lit == Some(lit) {
                continue;
            }
            let set = if lit { light.pin.set_high() } else { light.pin.set_low() };
            light.lit = match set {
                Ok(()) => Some(lit),
                Err(error) => {
                    // Once, not four times a second.
                    if light.lit.is_some() {
                        complain(&error);
                    }
                    None
                }
            };
        }
    }
}

/// What the program last said, and how long ago.
struct Seen {
    mood: Mood,
    silent: u32,
    spoke: bool,
}

impl Default for Seen {
    fn default() -> Self {
        Self { mood: Mood::starting(), silent: 0, spoke: false }
    }
}

impl Seen {
    fn look(&mut self, answer: Option<Snapshot>, link: bool, broken: bool) {
        if let Some(snapshot) = answer {
            self.mood = Mood::of(&snapshot, link, broken, &self.mood);
            (self.silent, self.spoke) = (0, true);
            return;
        }
        self.silent = self.silent.saturating_add(1);
        if self.silent > if self.spoke { RESTART_LOOKS } else { START_LOOKS } {
            self.mood = Mood::silent(link);
        }
    }
}

fn complain(error: &LedError) {
    tracing::warn!(%error, "a light of the board does not work; check board in [hw], the box works without");
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
