//! Updates: what runs, what is offered and what is new in it, what is being done, and the way back.

use askama::Template;
use schemars::JsonSchema;
use serde::Serialize;

use crate::update::{self, Phase};
use crate::web::page::view::Frame;
use crate::web::page::view::text;

/// What changed in the firmware that runs, and in those before.
const CHANGES: &str = include_str!("../../../../../image/CHANGELOG.md");

/// How updates are.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Updates {
    /// The version that runs.
    pub version: String,
    /// Why nothing can be installed on this machine; nothing where it can.
    pub unavailable: Option<String>,
    /// What bundles must be for.
    pub compatible: Option<String>,
    /// `idle`, `trial`, `checking`, `downloading`, `installing` or `restart_due`.
    pub phase: &'static str,
    /// The same in a sentence.
    pub words: String,
    /// How far a download or an install is, of a hundred.
    pub percent: Option<u8>,
    /// The newer version that is offered.
    pub offer: Option<Offer>,
    /// When the offer was looked at last (RFC 3339).
    pub checked: Option<String>,
    /// What was wrong then.
    pub problem: Option<String>,
    /// The last install, if it came to nothing.
    pub failed: Option<Failed>,
    /// The version that one can go back to.
    pub back_to: Option<String>,
    /// The slots.
    pub slots: Vec<Slot>,
    /// Versions that are not taken by themselves, because they did not work or somebody went back from them.
    pub left: Vec<Left>,
    /// The largest bundle that is taken, in bytes.
    pub largest: u64,
}

/// A newer version.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Offer {
    /// The version.
    pub version: String,
    /// What is new in it, in the publisher's words.
    pub changelog: String,
    /// Why the box does not take it by itself, if so.
    pub held_back: Option<String>,
}

/// An install that came to nothing.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Failed {
    /// When (RFC 3339).
    pub at: String,
    /// Why, and what to do.
    pub why: String,
}

/// A place for a version.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Slot {
    /// Such as `rootfs.0`.
    pub name: String,
    /// The name the boot loader knows it by; empty where it boots none.
    pub bootname: String,
    /// `booted`, `active` or `inactive`.
    pub state: String,
    /// `good` or `bad`.
    pub boots: String,
    /// The version that was installed there last, if that is known.
    pub version: Option<String>,
}

/// A version that is not taken by itself.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Left {
    /// The version.
    pub version: String,
    /// When (RFC 3339).
    pub at: String,
    /// Why.
    pub why: String,
}

impl Updates {
    /// How updates are, as it is shown.
    #[must_use]
    pub fn of(status: update::Status) -> Self {
        let percent = match &status.phase {
            Phase::Downloading { bytes, total: Some(total) } if *total > 0 => {
                u8::try_from(bytes.saturating_mul(100) / total).ok()
            }
            Phase::Installing { percent, .. } => Some(*percent),
            _ => None,
        };
        let slot = |slot: update::Slot| Slot {
            name: slot.name,
            bootname: slot.bootname,
            state: slot.state,
            boots: slot.boot_status,
            version: slot.version,
        };
        let left = |left: update::FellBack| Left { version: left.version, at: left.at, why: left.why };
        let (checked, problem) = status.checked.map(|checked| (checked.at, checked.problem)).unzip();
        Self {
            version: status.version,
            unavailable: status.unavailable,
            compatible: status.compatible,
            phase: word(&status.phase),
            words: status.phase.words(),
            percent,
            offer: status.offer.map(|offer| Offer {
                version: offer.version,
                changelog: offer.changelog,
                held_back: offer.held_back,
            }),
            checked,
            problem: problem.flatten(),
            failed: status.failed.map(|failed| Failed { at: failed.at, why: failed.why }),
            back_to: status.back_to,
            slots: status.slots.into_iter().map(slot).collect(),
            left: status.fell_back.into_iter().rev().map(left).collect(),
            largest: status.largest,
        }
    }

    /// Whether something is under way, so that the page renews itself.
    fn is_busy(&self) -> bool {
        self.unavailable.is_none() && !matches!(self.phase, "idle" | "restart_due")
    }

    fn is_idle(&self) -> bool {
        self.phase == "idle"
    }

    fn waits_for_restart(&self) -> bool {
        self.phase == "restart_due"
    }

    fn on_trial(&self) -> bool {
        self.phase == "trial"
    }

    /// The state's class: what waits for somebody is not like what goes by itself.
    fn class(&self) -> &'static str {
        match self.phase {
            "idle" if self.failed.is_some() => "degraded",
            "idle" => "healthy",
            "restart_due" => "degraded",
            _ => "starting",
        }
    }

    fn sentence(&self) -> String {
        match (self.phase, &self.failed, &self.offer) {
            ("idle", Some(_), _) => "The last install came to nothing.".to_owned(),
            ("idle", None, Some(offer)) => format!("Version {} can be installed.", offer.version),
            ("idle", None, None) => format!("Version {} runs.", self.version),
            _ => {
                let mut words = self.words.clone();
                if let Some(first) = words.get_mut(..1) {
                    first.make_ascii_uppercase();
                }
                words.push('.');
                words
            }
        }
    }

    fn largest(&self) -> String {
        text::size(self.largest)
    }

    fn clock(&self, at: &str) -> String {
        text::clock(at)
    }

    fn changes(&self) -> &'static str {
        // Its title and what it says of itself are for those who write it.
        CHANGES.split_once("\n## ").map_or(CHANGES, |(_, versions)| versions)
    }
}

fn word(phase: &Phase) -> &'static str {
    match phase {
        Phase::Idle => "idle",
        Phase::Trial { .. } => "trial",
        Phase::Checking => "checking",
        Phase::Downloading { .. } => "downloading",
        Phase::Installing { .. } => "installing",
        Phase::RestartDue { .. } => "restart_due",
    }
}

#[derive(Debug, Template)]
#[template(path = "upkeep/updates.html", config = ".askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    page: &'a Updates,
}

#[derive(Debug, Template)]
#[template(path = "upkeep/updates_part.html", config = ".askama.toml")]
struct Changing<'a> {
    page: &'a Updates,
}

pub(in crate::web::page::view) fn page(frame: &Frame, page: &Updates) -> String {
    crate::web::page::view::render(&Page { frame, page })
}

pub(in crate::web::page::view) fn part(page: &Updates) -> String {
    crate::web::page::view::render(&Changing { page })
}
