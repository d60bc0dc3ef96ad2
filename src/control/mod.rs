//! Requests to the running program over a local Unix socket: what `status`, `tap`, `ledger`, `update`, `support` and
//! `settings` ask, the screen, and whoever reads USB sticks.
//!
//! In: one [`Request`] as a line of JSON. Out: [`Answer`]s, a line of JSON each, until the question is answered or the client
//! goes. Floor 1: what the answers hold is JSON that the app made, so this room knows neither status nor queue. Bounded:
//! clients, length of a line, time to ask and time to take an answer. Who may connect is decided by the socket's mode (0660):
//! its owner and its group.
//!
//! Not supported: more than one request on a connection. A client asks, reads and closes, so nothing has to be told apart.

mod client;
mod face;
mod line;
mod server;
mod settings;
mod socket;
mod stick;

#[cfg(test)]
mod tests;

pub use client::Client;
pub use face::{Card, Face, Power};
pub use server::{Handler, Server};
pub use settings::{
    Edit, Passphrase, Settings, SettingsCopy, SettingsNow, SettingsProblem, SettingsReply, SettingsTrial,
};
pub use stick::{Stick, StickOutcome, StickReply};

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The `[control]` table of the settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Path of the socket. Default: `control.sock` in the state folder.
    pub socket: Option<PathBuf>,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// The state of everything now: answered once, with [`Answer::Status`].
    Status,
    /// Events as they come in: [`Answer::Event`] and [`Answer::Missed`] until the client goes or the program stops.
    Tap {
        /// Only those of this source.
        source: Option<String>,
        /// First what is still in the queue of so many minutes, then [`Answer::Replayed`].
        #[serde(default)]
        last_minutes: Option<u32>,
    },
    /// What each source's events came to: answered once, with [`Answer::Ledger`].
    Ledger,
    /// About updates: answered with [`Answer::Progress`] while it lasts, and [`Answer::Update`] at the end.
    Update(Update),
    /// About the settings: answered once, with [`Answer::Settings`].
    Settings(Settings),
    /// The last lines of the log: answered once, with [`Answer::Log`].
    Log,
    /// What the screen shows besides the status: answered once, with [`Answer::Face`].
    Face,
    /// Restart something, or make the box as new: answered once, with [`Answer::Done`] when it is under way.
    Power(Power),
    /// Stop a source and start it again: answered once, with [`Answer::Done`] when it was started.
    RestartSource {
        /// Its id.
        source: String,
        /// Who, for the log and the far ends.
        by: String,
    },
    /// What a USB stick brings: answered with [`Answer::Stick`]. Then the lights show it for a while, or until the client goes because
    /// the stick does.
    Stick(Stick),
}

/// What can be asked about updates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Update {
    /// How they are.
    Status,
    /// Look at the manifest now.
    Check,
    /// Install now.
    Install {
        /// A file's absolute path or an HTTPS address; nothing for what the manifest offers.
        from: Option<String>,
        /// Also a version that is not newer.
        allow_downgrade: bool,
        /// Restart as soon as it is installed.
        reboot: bool,
    },
    /// Restart the box into what is installed.
    Restart,
    /// Take this signed manifest for the newest word of what there is, in place of the one at the settings' address.
    Offer {
        /// Its text; nothing: what was offered so is withdrawn.
        manifest: Option<String>,
    },
    /// Go back to the version before: give up the one on trial, do not start the one that is installed, or restart into the
    /// slot that the box ran from before.
    RollBack {
        /// Who wants it, for the log and the far ends.
        by: String,
    },
}

/// What is answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A `status::Snapshot` as JSON.
    Status(Box<RawValue>),
    /// The totals of each source (`queue::Totals` by id) as JSON.
    Ledger(Box<RawValue>),
    /// An `update::Status` as JSON.
    Update(Box<RawValue>),
    /// What became of a wish about the settings.
    Settings(Box<SettingsReply>),
    /// The last lines of the log.
    Log(String),
    /// What the screen shows besides the status.
    Face(Box<Face>),
    /// What became of the file on a stick.
    Stick(Box<StickReply>),
    /// It was done, or is under way.
    Done,
    /// How far it is, in words.
    Progress(String),
    /// One event as JSON.
    Event(Box<RawValue>),
    /// What was still there of the last minutes has been sent; what follows is new.
    Replayed {
        /// How many events.
        events: u64,
        /// Whether these were all, and not only the newest.
        is_whole: bool,
    },
    /// So many batches passed by while the client was too slow to take them. They are delivered all the same.
    Missed(u64),
    /// The request cannot be answered; why, and what to do.
    Refused(String),
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody listens there.
    #[error("no sapphire-edge answers at {}; start it, or name its socket with --socket", path.display())]
    NotRunning {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The socket cannot be used by this user.
    #[error("{} may not be used by this user; ask as root or as a member of the socket's group", path.display())]
    NotAllowed {
        /// The socket.
        path: PathBuf,
    },
    /// Another program listens there already.
    #[error("another sapphire-edge already listens at {}; stop it, or set another [control] socket", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something that is no socket has that path.
    #[error("{} is there and is no socket; remove it, or set another [control] socket", path.display())]
    NoSocket {
        /// The path.
        path: PathBuf,
    },
    /// The socket could not be made.
    #[error("the control socket {} cannot be made: {source}; set another [control] socket", path.display())]
    Bind {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The connection broke.
    #[error("the connection to the running program broke: {0}")]
    Broken(#[from] std::io::Error),
    /// The other side sent what is no answer.
    #[error("the running program answered what this one does not understand ({0}); are both the same version?")]
    Garbled(#[from] serde_json::Error),
}
