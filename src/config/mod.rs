//! The settings: one TOML file, gathered from every room's own `Config`.
//!
//! In: a file. Out: a [`Config`] in which everything is a type (addresses, durations, sizes, paths), or a list of all that is
//! wrong, each with line, column, key, and what to write instead. Floor 5. Checking does no I/O except reading the file;
//! [`Config::check`] opens the files that the settings name as well.
//!
//! Decision: `toml` gives every key and value its place; serde's tagged enums would lose it, so the lists `[[source]]` and
//! `[[output]]` are taken apart here and each table goes to the struct of its `type` (`kind.rs`). A private derive macro for
//! settings would do the same with much more to learn.

mod backup;
mod edit;
mod enrolment;
mod foreign;
mod kept;
mod kind;
mod load;
mod problem;
mod rules;
mod syntax;
mod table;

#[cfg(test)]
mod tests;

pub use backup::{Backup, BackupError, BackupFile};
pub use edit::{EditError, edit, values};
pub use enrolment::{Enrolment, EnrolmentConfig, EnrolmentError, SIGNATURE};
pub use foreign::Version;
pub use kept::Kept;
pub use kind::samples;
pub use problem::{ConfigError, Problem};

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::console;
use crate::control;
use crate::fleet;
use crate::host;
use crate::hw;
use crate::output;
use crate::quantity::Span;
use crate::queue;
use crate::source;
use crate::update;
use crate::web;

/// The whole appliance, commented.
pub const EXAMPLE: &str = include_str!("example.toml");

/// The settings of the whole appliance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The box's name in events and on every page. Default: the machine's host name.
    pub name: Option<String>,
    /// Known to the program of the next version only, which tests go back from.
    #[cfg(feature = "next")]
    pub trial: Option<String>,
    /// Folder of the queue, keys and all state.
    pub state_dir: PathBuf,
    /// Time allowed to stop: what is not done by then is cut. It stays in the queue.
    pub grace: Span,
    /// The queue.
    pub queue: queue::Config,
    /// The local HTTP listener for health and metrics; no table, no listener.
    pub web: Option<web::Config>,
    /// The page for people, over HTTPS; no table, no page.
    pub page: Option<web::page::Config>,
    /// The board and its lights; no table, no lights.
    pub hw: Option<hw::Config>,
    /// The screen on the HDMI port.
    pub screen: console::Config,
    /// The local socket of `status` and `tap`.
    pub control: control::Config,
    /// What is logged.
    pub log: Log,
    /// Addresses of the box.
    pub network: host::Network,
    /// Where the box gets the time.
    pub time: host::Time,
    /// Updates of the firmware.
    pub update: update::Config,
    /// Who may enrol the box without logging in.
    pub enrolment: EnrolmentConfig,
    /// The channel to the fleet's operator; no table, no channel.
    pub fleet: Option<fleet::Config>,
    /// Where data enters.
    pub source: Vec<source::Config>,
    /// Where data leaves.
    pub output: Vec<output::Config>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: None,
            #[cfg(feature = "next")]
            trial: None,
            state_dir: PathBuf::from("/var/lib/sapphire-edge"),
            // Lumberjack peers acknowledge a window well within this; systemd's own stop timeout is 90 s.
            grace: Span::secs(10),
            queue: queue::Config::default(),
            web: None,
            page: None,
            hw: None,
            screen: console::Config::default(),
            control: control::Config::default(),
            log: Log::default(),
            network: host::Network::default(),
            time: host::Time::default(),
            update: update::Config::default(),
            enrolment: EnrolmentConfig::default(),
            fleet: None,
            source: Vec::new(),
            output: Vec::new(),
        }
    }
}

/// The `[log]` table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// The least important lines that are still logged.
    pub level: Level,
}

/// How important a log line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Something does not work.
    Error,
    /// A person should look.
    Warn,
    /// Starts, stops, connections that matter.
    #[default]
    Info,
    /// Every connection.
    Debug,
    /// Everything.
    Trace,
}

impl Level {
    /// The word in the settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Config {
    /// Reads the settings file. Opens nothing else.
    ///
    /// # Errors
    /// When it cannot be read, or anything in it is wrong: everything that is wrong, with its place.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        load::parse(file, &load::read_file(file)?, false)
    }

    /// Reads a settings file that belongs to somebody with fewer rights than this process has, and says which version of it
    /// that was. Opens nothing else.
    ///
    /// # Errors
    /// As [`Config::load`], and when it is not a plain file with one name.
    pub fn load_foreign(file: &Path) -> Result<(Self, Version), ConfigError> {
        let (open, version) = foreign::open(file).map_err(|error| ConfigError::unreadable(file, &error))?;
        Ok((load::parse(file, &load::read_text(file, open)?, false)?, version))
    }

    /// Reads the settings file and opens every certificate, key and folder it names.
    ///
    /// # Errors
    /// As [`Config::load`], and when one of those cannot be used.
    pub fn check(file: &Path) -> Result<Self, ConfigError> {
        load::parse(file, &load::read_file(file)?, true)
    }

    /// As [`Config::check`], of a text that may become the settings file.
    ///
    /// # Errors
    /// As [`Config::check`].
    pub fn check_text(file: &Path, text: &str) -> Result<Self, ConfigError> {
        load::parse(file, text, true)
    }

    /// Reads settings from text; `file` is only named in errors. No I/O.
    ///
    /// # Errors
    /// When anything in it is wrong.
    pub fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        load::parse(file, text, false)
    }

    /// The JSON Schema of the settings file.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }

    /// The control socket that a settings file names, even if the file is otherwise wrong: the program that runs has read
    /// an earlier, better one. The default where the file says nothing.
    #[must_use]
    pub fn control_socket_of(file: &Path) -> PathBuf {
        load::read_file(file).map(|text| load::control_socket(&text)).unwrap_or_default().control_socket()
    }

    /// The folder of the queue.
    #[must_use]
    pub fn queue_folder(&self) -> PathBuf {
        self.state_dir.join("queue")
    }

    /// The control socket's path.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.control.socket.clone().unwrap_or_else(|| self.state_dir.join("control.sock"))
    }
}
