//! The `[[source]]` table of type `syslog`.

use std::collections::BTreeSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::SourceId;
use crate::net::tls::ServerConfig;
use crate::net::{Allow, Listen, SocketName};
use crate::quantity::{Size, Span};
use crate::source::SilentAfter;
use crate::wire::framing::Framing;
use crate::wire::syslog::{Fields, Reading};

/// A syslog source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Its name, unique among the sources: lower_snake_case.
    #[schemars(with = "String")]
    pub id: SourceId,
    /// Whether it runs; while it does not, its ledger and its place stay.
    #[serde(default = "crate::source::enabled")]
    pub enabled: bool,
    /// Where it listens: `udp://`, `tcp://` and `tls://` addresses.
    pub listen: Vec<Listen>,
    /// Networks that may send; empty means everybody.
    #[serde(default)]
    pub allow: Allow,
    /// IANA name of the zone of times that come without one.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// Whether the key=value pairs of a message become fields.
    #[serde(default)]
    pub fields: Fields,
    /// How messages on a TCP or TLS connection are told apart.
    #[serde(default)]
    pub framing: Framing,
    /// Longer messages are cut, marked and counted.
    #[serde(default = "max_message")]
    pub max_message: Size,
    /// TCP and TLS connections of all listeners together; more wait.
    #[serde(default = "max_connections")]
    pub max_connections: u32,
    /// A connection that is silent for this long is closed.
    #[serde(default = "idle_timeout")]
    pub idle_timeout: Span,
    /// The kernel's buffer for each UDP socket.
    #[serde(default = "receive_buffer")]
    pub receive_buffer: Size,
    /// UDP sockets, each with its thread, for each `udp://` address.
    #[serde(default = "udp_sockets")]
    pub udp_sockets: u16,
    /// A batch is closed at this age, full or not.
    #[serde(default = "batch_after")]
    pub batch_after: Span,
    /// A device that has sent something and then nothing for this long is missed; "never": none is.
    #[serde(default)]
    pub silent_after: SilentAfter,
    /// Our certificate and the rules for the senders' certificates, for `tls://` addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ServerConfig>,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// The most that a datagram can carry, and well above what firewalls send (1.5 to 3 kB).
fn max_message() -> Size {
    Size::kib(64)
}

/// Several times the devices of a large site; each costs a descriptor and at most 80 KiB.
fn max_connections() -> u32 {
    1_024
}

/// Long, because a sender that does not look loses the first message after we close. Dead peers are found by keep-alive
/// within two minutes.
fn idle_timeout() -> Span {
    Span::secs(24 * 3_600)
}

/// 25,000 datagrams of 200 bytes (1.3 kB each in the kernel): a stall of a quarter of a second at 100,000 a second.
fn receive_buffer() -> Size {
    Size::mib(32)
}

/// One thread takes more than half a million datagrams a second, and one sender always lands on one socket.
fn udp_sockets() -> u16 {
    1
}

/// Unnoticed by a person, and long enough that even 1,000 events a second share a batch with 100 others.
fn batch_after() -> Span {
    Span::millis(100)
}

impl Config {
    /// How its messages are to be read on their way out. A zone that is none was refused by `validate`.
    pub(in crate::source) fn reading(&self) -> Reading {
        let time_zone = jiff::tz::TimeZone::get(&self.time_zone).unwrap_or(jiff::tz::TimeZone::UTC);
        Reading { time_zone, fields: self.fields }
    }

    pub(in crate::source) fn validate(&self) -> Vec<(String, String)> {
        let mut problems = self.validate_listen();
        let mut problem = |key: &str, words: String| problems.push((key.to_owned(), words));
        if jiff::tz::TimeZone::get(&self.time_zone).is_err() {
            let words = format!("{:?} is no time zone; write an IANA name such as \"Europe/Berlin\"", self.time_zone);
            problem("time_zone", words);
        }
        // RFC 5424 section 6.1: 480 bytes must be taken. At 1 MiB, 1,024 connections may hold 1 GiB.
        if !(480..=1 << 20).contains(&self.max_message.bytes()) {
            problem("max_message", "write a size from \"480B\" to \"1MiB\"".into());
        }
        if !(1..=16_384).contains(&self.max_connections) {
            problem("max_connections", "write a number from 1 to 16384".into());
        }
        if self.idle_timeout < Span::secs(1) {
            problem("idle_timeout", "write a duration of at least \"1s\"".into());
        }
        if !(Size::kib(64)..=Size::gib(1)).contains(&self.receive_buffer) {
            problem("receive_buffer", "write a size from \"64KiB\" to \"1GiB\"".into());
        }
        if !(1..=16).contains(&self.udp_sockets) {
            problem("udp_sockets", "write a number from 1 to 16".into());
        }
        if !(Duration::from_millis(1)..=Duration::from_secs(10)).contains(&self.batch_after.0) {
            problem("batch_after", "write a duration from \"1ms\" to \"10s\"".into());
        }
        let tls = self.tls.iter().flat_map(ServerConfig::validate);
        problems.extend(tls.map(|(key, words)| (format!("tls.{key}"), words)));
        problems
    }

    fn validate_listen(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        if self.listen.is_empty() {
            problems
                .push(("listen".to_owned(), "write at least one address, such as [\"udp://0.0.0.0:514\"]".to_owned()));
        }
        let mut seen = BTreeSet::new();
        for (at, listen) in self.listen.iter().enumerate() {
            if !seen.insert(SocketName::new(self.id.as_str(), *listen, 0)) {
                let words = format!("{listen} has the port of another address of this source; write each once");
                problems.push((format!("listen[{at}]"), words));
            }
        }
        let needs_tls = self.listen.iter().any(|listen| matches!(listen, Listen::Tls(_)));
        match (needs_tls, self.tls.is_some()) {
            (true, false) => problems
                .push(("tls".to_owned(), "a tls:// address needs the table [source.tls] with cert and key".to_owned())),
            (false, true) => problems.push((
                "tls".to_owned(),
                "[source.tls] has no effect without a tls:// address; add one, or take the table out".to_owned(),
            )),
            _ => {}
        }
        problems
    }

    pub(in crate::source) fn open_files(&self) -> Vec<(String, String)> {
        let tls = self.tls.iter().flat_map(ServerConfig::open_files);
        tls.map(|(key, words)| (format!("tls.{key}"), words)).collect()
    }

    pub(in crate::source) fn sockets(&self) -> BTreeSet<SocketName> {
        self.listeners().map(|(_, name)| name).collect()
    }

    /// Every socket with its address; a `udp://` address has `udp_sockets` of them.
    pub(super) fn listeners(&self) -> impl Iterator<Item = (Listen, SocketName)> {
        self.listen.iter().flat_map(|listen| {
            let count = if matches!(listen, Listen::Udp(_)) { self.udp_sockets } else { 1 };
            (0..count).map(|index| (*listen, SocketName::new(self.id.as_str(), *listen, index)))
        })
    }
}
