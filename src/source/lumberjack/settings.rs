//! The `[[source]]` table of type `lumberjack`.

use std::collections::BTreeSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::SourceId;
use crate::net::tls::ServerConfig;
use crate::net::{Allow, Listen, SocketName};
use crate::quantity::{Size, Span};
use crate::source::SilentAfter;
use crate::wire::lumberjack::Limits;

/// A source for Beats agents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Its name, unique among the sources: lower_snake_case.
    #[schemars(with = "String")]
    pub id: SourceId,
    /// Whether it runs; while it does not, its ledger and its place stay.
    #[serde(default = "crate::source::enabled")]
    pub enabled: bool,
    /// Where it listens: `tls://` and `tcp://` addresses.
    pub listen: Vec<Listen>,
    /// Networks that may send; empty means everybody.
    #[serde(default)]
    pub allow: Allow,
    /// Connections of all listeners together; more wait.
    #[serde(default = "max_connections")]
    pub max_connections: u32,
    /// Most events in one window; an agent that announces more is disconnected.
    #[serde(default = "max_window")]
    pub max_window: u32,
    /// Most bytes of one event, and of one compressed frame as it comes.
    #[serde(default = "max_frame")]
    pub max_frame: Size,
    /// Most bytes that one compressed frame may inflate to.
    #[serde(default = "max_inflated")]
    pub max_inflated: Size,
    /// Windows of one connection that wait for their acknowledgement; then it is not read.
    #[serde(default = "windows_in_flight")]
    pub windows_in_flight: usize,
    /// While an agent waits it gets a sign of life this often.
    #[serde(default = "keepalive")]
    pub keepalive: Span,
    /// A connection on which nothing is outstanding and nothing comes for this long is closed.
    #[serde(default = "idle_timeout")]
    pub idle_timeout: Span,
    /// A device that has sent events and then nothing for this long is missed; "never": none is.
    #[serde(default)]
    pub silent_after: SilentAfter,
    /// Our certificate and the rules for the agents' certificates, for `tls://` addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ServerConfig>,
}

/// Several times the agents of a large site; each costs a descriptor and about 100 KiB.
fn max_connections() -> u32 {
    1_024
}

/// As go-lumber's server; Filebeat sends 2,048.
fn max_window() -> u32 {
    Limits::default().max_window
}

/// Filebeat cuts a line at 10 MiB by default, and its fields come on top.
fn max_frame() -> Size {
    Size(Limits::default().max_frame as u64)
}

/// A full window of Filebeat with 32 KiB for each event.
fn max_inflated() -> Size {
    Size(Limits::default().max_inflated as u64)
}

/// Filebeat has 2 on their way unless told otherwise.
fn windows_in_flight() -> usize {
    8
}

/// As Logstash; agents wait 30 s.
fn keepalive() -> Span {
    Span::secs(5)
}

/// Logstash closes after 60 s. Longer, because an agent notices a closed connection only when it sends, and then sends
/// again what it had in flight; dead peers are found by keep-alive within two minutes.
fn idle_timeout() -> Span {
    Span::secs(300)
}

impl Config {
    pub(in crate::source) fn validate(&self) -> Vec<(String, String)> {
        let mut problems = self.validate_listen();
        let mut need = |is_right: bool, key: &str, words: &str| {
            if !is_right {
                problems.push((key.to_owned(), words.to_owned()));
            }
        };
        need((1..=16_384).contains(&self.max_connections), "max_connections", "write a number from 1 to 16384");
        need((1..=100_000).contains(&self.max_window), "max_window", "write a number of events from 1 to 100000");
        let sizes = Size::kib(64)..=Size::mib(256);
        need(sizes.contains(&self.max_frame), "max_frame", "write a size from \"64KiB\" to \"256MiB\"");
        need(self.max_inflated >= self.max_frame, "max_inflated", "write at least what max_frame says");
        need(self.max_inflated <= Size::gib(1), "max_inflated", "write at most \"1GiB\"");
        need((1..=64).contains(&self.windows_in_flight), "windows_in_flight", "write a number from 1 to 64");
        // Agents give up after 30 s without a sign of life.
        let keepalive = Duration::from_millis(10)..=Duration::from_secs(25);
        need(keepalive.contains(&self.keepalive.0), "keepalive", "write a duration from \"10ms\" to \"25s\"");
        need(self.idle_timeout >= Span::secs(1), "idle_timeout", "write a duration of at least \"1s\"");
        let tls = self.tls.iter().flat_map(ServerConfig::validate);
        problems.extend(tls.map(|(key, words)| (format!("tls.{key}"), words)));
        problems
    }

    fn validate_listen(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut problem = |key: String, words: String| problems.push((key, words));
        if self.listen.is_empty() {
            problem("listen".into(), "write at least one address, such as [\"tls://0.0.0.0:5044\"]".into());
        }
        let mut seen = BTreeSet::new();
        for (at, listen) in self.listen.iter().enumerate() {
            if matches!(listen, Listen::Udp(_)) {
                problem(format!("listen[{at}]"), format!("{listen} cannot carry lumberjack; write tls:// or tcp://"));
            } else if !seen.insert(SocketName::new(self.id.as_str(), *listen, 0)) {
                let words = format!("{listen} has the port of another address of this source; write each once");
                problem(format!("listen[{at}]"), words);
            }
        }
        let needs_tls = self.listen.iter().any(|listen| matches!(listen, Listen::Tls(_)));
        if needs_tls && self.tls.is_none() {
            problem("tls".into(), "a tls:// address needs the table [source.tls] with cert and key".into());
        }
        if !needs_tls && self.tls.is_some() {
            let words = "[source.tls] has no effect without a tls:// address; add one, or take the table out";
            problem("tls".into(), words.into());
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

    pub(super) fn listeners(&self) -> impl Iterator<Item = (Listen, SocketName)> {
        let streams = self.listen.iter().filter(|listen| !matches!(listen, Listen::Udp(_)));
        streams.map(|listen| (*listen, SocketName::new(self.id.as_str(), *listen, 0)))
    }

    pub(super) fn limits(&self) -> Limits {
        Limits { max_window: self.max_window, max_frame: self.max_frame.len(), max_inflated: self.max_inflated.len() }
    }
}
