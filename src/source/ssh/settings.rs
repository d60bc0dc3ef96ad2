//! The `[[source]]` table of type `ssh`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::keys::authorized;
use crate::event::SourceId;
use crate::net::{Allow, Listen, SocketName};
use crate::quantity::{Size, Span};
use crate::source::SilentAfter;
use crate::wire::syslog::{Fields, Reading};

/// A source for devices that push their log files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Its name, unique among the sources: lower_snake_case.
    #[schemars(with = "String")]
    pub id: SourceId,
    /// Whether it runs; while it does not, its ledger and its place stay.
    #[serde(default = "crate::source::enabled")]
    pub enabled: bool,
    /// Where it listens: `tcp://` addresses.
    pub listen: Vec<Listen>,
    /// Those of `listen` that also offer the old algorithms (SHA-1, CBC).
    #[serde(default)]
    pub legacy: Vec<Listen>,
    /// Whether a legacy address takes DSA keys too.
    #[serde(default)]
    pub ssh_dss: bool,
    /// Networks that may connect; empty means everybody.
    #[serde(default)]
    pub allow: Allow,
    /// IANA name of the zone of the devices' times, which come without one.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// Connections of all listeners together; more wait.
    #[serde(default = "max_connections")]
    pub max_connections: u32,
    /// A connection that has not logged in by then is closed.
    #[serde(default = "login_grace")]
    pub login_grace: Span,
    /// Keys and passwords that one connection may try.
    #[serde(default = "max_auth_tries")]
    pub max_auth_tries: u32,
    /// After this many failed connections within an hour an address is refused...
    #[serde(default = "ban_after")]
    pub ban_after: u32,
    /// ...for this long.
    #[serde(default = "ban_for")]
    pub ban_for: Span,
    /// A device that has pushed a file and then nothing for this long is missed; "never": none is.
    #[serde(default)]
    pub silent_after: SilentAfter,
    /// A connection on which nothing comes for this long is closed.
    #[serde(default = "idle_timeout")]
    pub idle_timeout: Span,
    /// An upload that brings less than this a second, over a minute, is broken off.
    #[serde(default = "min_rate")]
    pub min_rate: Size,
    /// The largest file.
    #[serde(default = "max_file")]
    pub max_file: Size,
    /// The most that one compressed file may inflate to.
    #[serde(default = "max_inflated")]
    pub max_inflated: Size,
    /// Longer records of a file are cut, marked and counted.
    #[serde(default = "max_record")]
    pub max_record: Size,
    /// The devices that may push.
    pub device: Vec<Device>,
}

/// A device, or several that share a name and keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Its name in events.
    pub name: String,
    /// The user it logs in as; default its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Its public keys, each a line of OpenSSH's authorized_keys.
    #[serde(default)]
    pub keys: Vec<String>,
    /// A file with more of them, read at each login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_file: Option<PathBuf>,
    /// The file with its password, where it cannot use a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// What its files are.
    #[serde(default)]
    pub log_type: LogType,
    /// Files it may push in a day (UTC).
    #[serde(default = "max_files_per_day")]
    pub max_files_per_day: u32,
    /// Bytes it may push in a day (UTC).
    #[serde(default = "max_bytes_per_day")]
    pub max_bytes_per_day: Size,
}

/// What the files of a device are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogType {
    /// Seen by the first lines of each file.
    #[default]
    Auto,
    /// AsyncOS text logs; a line without a time belongs to the one before.
    Asyncos,
    /// A CEF event on each line.
    Cef,
    /// W3C logs with a `#Fields` line.
    W3c,
    /// Each line for itself.
    Lines,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// A burst of a large site after an outage; each costs a descriptor and up to 1 MiB.
fn max_connections() -> u32 {
    64
}

/// Enough for a slow appliance that computes a group exchange; OpenSSH allows 120 s.
fn login_grace() -> Span {
    Span::secs(30)
}

/// As OpenSSH's server.
fn max_auth_tries() -> u32 {
    6
}

/// More than an administrator needs to get a key right, far too few for a guess.
fn ban_after() -> u32 {
    20
}

fn ban_for() -> Span {
    Span::secs(15 * 60)
}

/// Devices keep a connection open between the files of one push at most.
fn idle_timeout() -> Span {
    Span::secs(300)
}

/// The slowest line that anyone has: 64 kbit/s with much else on it.
fn min_rate() -> Size {
    Size::kib(1)
}

/// AsyncOS rolls over at 10 MB unless told otherwise; some sites write gigabytes.
fn max_file() -> Size {
    Size::gib(4)
}

fn max_inflated() -> Size {
    Size::gib(64)
}

fn max_record() -> Size {
    Size::kib(64)
}

/// One file each 5 s.
fn max_files_per_day() -> u32 {
    20_000
}

fn max_bytes_per_day() -> Size {
    Size::gib(64)
}

impl Device {
    /// The user it logs in as.
    pub(super) fn user(&self) -> &str {
        self.user.as_deref().unwrap_or(&self.name)
    }

    fn validate(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        // It stands in events, in the log and in notices.
        let is_word = |text: &str| {
            (1..=64).contains(&text.len())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@'))
        };
        if !is_word(&self.name) {
            problems.push(("name", format!("{:?} is no name; write 1 to 64 letters, digits and -_.@", self.name)));
        }
        if !is_word(self.user()) {
            problems.push(("user", format!("{:?} is no user; write 1 to 64 letters, digits and -_.@", self.user())));
        }
        if self.keys.is_empty() && self.keys_file.is_none() && self.password_file.is_none() {
            let words =
                "there is nothing to know this device by; paste the public key that it shows, or name keys_file";
            problems.push(("keys", words.into()));
        }
        for (at, line) in self.keys.iter().enumerate() {
            if let Err(error) = authorized::Entry::parse(line) {
                problems.push(("keys", format!("number {} is no public key: {error}", at + 1)));
            }
        }
        if self.max_files_per_day == 0 {
            problems.push(("max_files_per_day", "write at least 1".into()));
        }
        problems
    }
}

impl Config {
    /// How its lines are to be read on their way out. A zone that is none was refused by `validate`.
    pub(in crate::source) fn reading(&self) -> Reading {
        let time_zone = jiff::tz::TimeZone::get(&self.time_zone).unwrap_or(jiff::tz::TimeZone::UTC);
        Reading { time_zone, fields: Fields::default() }
    }

    pub(in crate::source) fn validate(&self) -> Vec<(String, String)> {
        let mut problems = self.validate_listen();
        let mut need = |is_right: bool, key: &str, words: &str| {
            if !is_right {
                problems.push((key.to_owned(), words.to_owned()));
            }
        };
        let zone = jiff::tz::TimeZone::get(&self.time_zone);
        need(zone.is_ok(), "time_zone", "is no time zone; write an IANA name such as \"Europe/Berlin\"");
        need((1..=1_024).contains(&self.max_connections), "max_connections", "write a number from 1 to 1024");
        let grace = Duration::from_secs(1)..=Duration::from_secs(300);
        need(grace.contains(&self.login_grace.0), "login_grace", "write a duration from \"1s\" to \"5m\"");
        need((1..=100).contains(&self.max_auth_tries), "max_auth_tries", "write a number from 1 to 100");
        need((1..=10_000).contains(&self.ban_after), "ban_after", "write a number from 1 to 10000");
        need(self.ban_for <= Span::secs(24 * 3_600), "ban_for", "write at most \"1d\"");
        need(self.idle_timeout >= Span::secs(1), "idle_timeout", "write a duration of at least \"1s\"");
        need(self.min_rate <= Size::mib(1), "min_rate", "write at most \"1MiB\"");
        need(
            (Size(1)..=Size::gib(1_024)).contains(&self.max_file),
            "max_file",
            "write a size from \"1B\" to \"1024GiB\"",
        );
        need(self.max_inflated >= self.max_file, "max_inflated", "write at least what max_file says");
        let records = Size(480)..=Size::mib(1);
        need(records.contains(&self.max_record), "max_record", "write a size from \"480B\" to \"1MiB\"");
        need(!self.device.is_empty(), "device", "add a table [[source.device]] with name and keys");
        for (at, device) in self.device.iter().enumerate() {
            let own = device.validate().into_iter().map(|(key, words)| (format!("device[{at}].{key}"), words));
            problems.extend(own);
            if self.device.iter().take(at).any(|other| other.name == device.name) {
                problems.push((
                    format!("device[{at}].name"),
                    format!("another device is called {:?} already", device.name),
                ));
            }
        }
        problems
    }

    fn validate_listen(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut problem = |key: String, words: String| problems.push((key, words));
        if self.listen.is_empty() {
            problem("listen".into(), "write at least one address, such as [\"tcp://0.0.0.0:22\"]".into());
        }
        let mut seen = BTreeSet::new();
        for (at, listen) in self.listen.iter().enumerate() {
            if !matches!(listen, Listen::Tcp(_)) {
                problem(format!("listen[{at}]"), format!("{listen} cannot carry SSH; write tcp://"));
            } else if !seen.insert(*listen) {
                problem(format!("listen[{at}]"), format!("{listen} is there twice; write each once"));
            }
        }
        for (at, listen) in self.legacy.iter().enumerate() {
            if !self.listen.contains(listen) {
                problem(format!("legacy[{at}]"), format!("{listen} is none of listen; write it there too"));
            }
        }
        if self.ssh_dss && self.legacy.is_empty() {
            problem("ssh_dss".into(), "has no effect without a legacy address; add one, or take it out".into());
        }
        problems
    }

    pub(in crate::source) fn open_files(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        for (at, device) in self.device.iter().enumerate() {
            for (key, path) in [("keys_file", &device.keys_file), ("password_file", &device.password_file)] {
                let Some(path) = path else { continue };
                if let Err(error) = authorized::read_small(path) {
                    problems
                        .push((format!("device[{at}].{key}"), format!("{} cannot be read: {error}", path.display())));
                }
            }
        }
        problems
    }

    pub(in crate::source) fn sockets(&self) -> BTreeSet<SocketName> {
        self.listeners().map(|(_, name)| name).collect()
    }

    pub(super) fn listeners(&self) -> impl Iterator<Item = (Listen, SocketName)> {
        self.listen.iter().map(|listen| (*listen, SocketName::new(self.id.as_str(), *listen, 0)))
    }
}
