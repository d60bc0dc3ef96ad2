//! Updates: looks for a newer version, has RAUC install it into the other slot, and decides whether the box really works
//! in the slot it has booted.
//!
//! In: a signed manifest and a bundle over HTTPS, or a bundle that a person names; the status board. Out: RAUC's slots
//! changed and marked, a request to restart, notices, and a [`Status`] for whoever asks. Floor 3. One thing at a time: the
//! component is one loop (`work`), which judges the boot first, and installs nothing while a version is on trial, because
//! that would overwrite the slot to go back to. RAUC verifies and writes; versions and rules are compared here, before it is
//! asked. On a machine without RAUC the component says so once, and everything else works.
//!
//! What the image has to bring (`systemd/`, `image/`):
//! - GRUB counts the tries of a slot at each boot; only marking it good ends the count, so whatever hangs, panics or loses
//!   power before that falls back by itself. Until then a program that cannot be kept running (crashes, `WatchdogSec`)
//!   reboots the box.
//! - The program has no right to restart the box. It puts a file `reboot` into `update.runtime_dir`, for which a path unit
//!   waits (`PathExists=`) whose service removes it and calls `systemctl reboot`: a normal stop, so that nothing answered is
//!   lost. A file `marked-good` there tells that the boot was good: from then on it is not rebooted for a failing program.
//! - That folder is on a tmpfs and outlives the program (`RuntimeDirectoryPreserve=yes`): its file `boot-id` tells boots apart,
//!   because the sandbox hides the kernel's own (`ProcSubset=pid`), which is read only where there is no such folder.
//! - RAUC's D-Bus policy lets this user call it.
//!
//! Facts: a freshly installed slot is `good` in RAUC's eyes (`r_boot_set_primary`), so what is on trial is known from
//! `state.json`. RAUC takes a bundle of plain format away from its owner before it reads it (`take_bundle_ownership`): the
//! download is removed, not written again. The version that runs is os-release(5)'s `IMAGE_VERSION`, else the program's.
//!
//! Decisions: the manifest is one file with its signature in the first line, not two, because two are not replaced at one
//! stroke. Its key is not the bundle's: it signs often and may be lost sooner. We download by our own code, because RAUC
//! 1.8 does not stream and its streaming does not resume.

mod error;
mod judge;
mod offer;
mod rauc;
mod settings;
mod state;
mod work;

pub use offer::{Day, Upload, Window};
pub use rauc::Slot;
pub use settings::{Config, Install, Reboot};
pub use state::FellBack;
pub use work::{Context, run};

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::to_raw_value;
use tokio::sync::{Mutex, mpsc, watch};

use crate::control::{self, Answer};

/// One question waits while another is worked on; a third is told to come again.
const WAITING: usize = 1;

/// How updates are, for people and programs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The version that runs.
    pub version: String,
    /// Why nothing can be installed on this machine; nothing where it can.
    pub unavailable: Option<String>,
    /// What bundles must be for.
    pub compatible: Option<String>,
    /// RAUC's slots.
    pub slots: Vec<Slot>,
    /// What is being done.
    pub phase: Phase,
    /// The newer version that the manifest offers.
    pub offer: Option<Offer>,
    /// The last look at the manifest.
    pub checked: Option<Checked>,
    /// Versions that did not work on this box; they are not tried again by themselves.
    pub fell_back: Vec<FellBack>,
    /// The last install, if it came to nothing.
    pub failed: Option<Failed>,
    /// The version that one can go back to: it is whole in the other slot.
    pub back_to: Option<String>,
    /// The largest bundle that is taken, in bytes.
    pub largest: u64,
}

/// An install that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// When (RFC 3339).
    pub at: String,
    /// Why, and what to do.
    pub why: String,
}

/// What is being done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "phase")]
pub enum Phase {
    /// Nothing.
    #[default]
    Idle,
    /// The boot is being judged.
    Trial {
        /// What is waited for.
        waits_for: String,
    },
    /// The manifest is being read.
    Checking,
    /// A bundle is being fetched.
    Downloading {
        /// Bytes that are there.
        bytes: u64,
        /// Of how many.
        total: Option<u64>,
    },
    /// RAUC is at work.
    Installing {
        /// Of a hundred.
        percent: u8,
        /// RAUC's own words.
        step: String,
    },
    /// A version is installed, and the box has to restart.
    RestartDue {
        /// The version.
        version: String,
        /// When that will be.
        when: String,
    },
}

impl Phase {
    /// In a few words.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Idle => "nothing to do".to_owned(),
            Self::Trial { waits_for } => format!("this boot is not yet marked good: {waits_for}"),
            Self::Checking => "looking at the manifest".to_owned(),
            Self::Downloading { bytes, total: Some(total) } if *total > 0 => {
                format!("downloading, {} %", bytes.saturating_mul(100) / total)
            }
            Self::Downloading { bytes, .. } => format!("downloading, {} MiB", bytes >> 20),
            Self::Installing { percent, step } => format!("installing, {percent} % ({step})"),
            Self::RestartDue { version, when } => format!("version {version} is installed; the box restarts {when}"),
        }
    }

    /// Whether another wish has to wait.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !matches!(self, Self::Idle | Self::RestartDue { .. })
    }
}

/// A newer version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The version.
    pub version: String,
    /// What is new in it, in the publisher's words.
    pub changelog: String,
    /// Why the box does not take it by itself, if so.
    pub held_back: Option<String>,
}

/// A look at the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// When (RFC 3339).
    pub at: String,
    /// What was wrong; nothing where it was read.
    pub problem: Option<String>,
}

/// Something a person wants.
#[derive(Debug)]
struct Ask {
    wish: control::Update,
    to: mpsc::Sender<Answer>,
}

/// The door for whoever asks: the control socket and the page.
#[derive(Clone, Debug)]
pub struct Door {
    asks: mpsc::Sender<Ask>,
    shown: watch::Receiver<Status>,
}

/// The other side of the door; the component's runs share it one after the other.
#[derive(Clone, Debug)]
pub struct Desk {
    asks: Arc<Mutex<mpsc::Receiver<Ask>>>,
    shown: Arc<watch::Sender<Status>>,
}

/// A door and its desk.
#[must_use]
pub fn door() -> (Door, Desk) {
    let (to_desk, asks) = mpsc::channel(WAITING);
    let (shown, look) = watch::channel(Status::default());
    (Door { asks: to_desk, shown: look }, Desk { asks: Arc::new(Mutex::new(asks)), shown: Arc::new(shown) })
}

impl Door {
    /// How updates are now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shown.borrow().clone()
    }

    /// Answers at once what is known, and hands the rest over; the answers to that come as the work goes on.
    pub async fn ask(&self, wish: control::Update, to: mpsc::Sender<Answer>) {
        let status = self.status();
        let interrupts = matches!((&wish, &status.phase), (control::Update::RollBack { .. }, Phase::Trial { .. }));
        let answer = match wish {
            control::Update::Status => to_answer(&status),
            _ if status.phase.is_busy() && !interrupts => Answer::Refused(format!("not now: {}", status.phase.words())),
            wish => match self.asks.try_send(Ask { wish, to: to.clone() }) {
                Ok(()) => return,
                Err(_) => Answer::Refused("another request is being worked on; ask again in a moment".to_owned()),
            },
        };
        // Whoever asked may be gone; nobody else wants to know.
        let _ = to.send(answer).await;
    }
}

fn to_answer(status: &Status) -> Answer {
    match to_raw_value(status) {
        Ok(json) => Answer::Update(json),
        Err(error) => Answer::Refused(format!("the status cannot be written: {error}")),
    }
}
