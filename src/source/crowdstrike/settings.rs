//! The settings of a source `crowdstrike`.
//!
//! Facts: an app id is a label of at most 32 letters and digits (CrowdStrike/falconpy, `listAvailableStreamsOAuth2`); CrowdStrike's
//! own gateway asks ten seconds apart while it gets no streams.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cloud::FalconCloud;
use super::format::Mapper;
use crate::event::SourceId;
use crate::net::Endpoint;
use crate::net::tls::ClientConfig;
use crate::quantity::{Size, Span};
use crate::source::microsoft::base;
use crate::source::pull::{Pace, Route, check_route, route_files, within};

/// The form in which events go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FalconFormat {
    /// As they came.
    #[default]
    Json,
    /// ArcSight CEF behind a syslog header, as the vendor's SIEM connector writes it.
    Cef,
    /// QRadar LEEF 1.0 behind a syslog header, as the vendor's SIEM connector writes it.
    Leef,
}

/// Where a partition begins that was never read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Begin {
    /// With the oldest event that is kept.
    #[default]
    Oldest,
    /// With what happens from now on.
    Newest,
}

/// CrowdStrike Falcon, Event Streams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Its name, unique among the sources: lower_snake_case.
    #[schemars(with = "String")]
    pub id: SourceId,
    /// Whether it runs; while it does not, its ledger and its place stay.
    #[serde(default = "crate::source::enabled")]
    pub enabled: bool,
    /// The API client's id.
    pub client_id: String,
    /// File with the API client's secret.
    pub client_secret_file: PathBuf,
    /// A child tenant, where the client is one of the parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_cid: Option<String>,
    /// The tenant's cloud.
    #[serde(default)]
    pub cloud: FalconCloud,
    /// The API's address; default by cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// Domains besides the API's that streams may be on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stream_hosts: Vec<String>,
    /// The label of this box's connections.
    #[serde(default = "app_id")]
    pub app_id: String,
    /// Only these types of events; all where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub event_types: Vec<String>,
    /// Not these types of events.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skip_event_types: Vec<String>,
    /// Where a first start begins.
    #[serde(default)]
    pub begin: Begin,
    /// The form in which events go on.
    #[serde(default)]
    pub format: FalconFormat,
    /// File with mapping rules for CEF or LEEF, as in the vendor's SIEM connector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<PathBuf>,
    /// How long the vendor keeps events at least.
    #[serde(default = "retention")]
    pub retention: Span,
    /// The longest event.
    #[serde(default = "max_event")]
    pub max_event: Size,
    /// How long a stream may send nothing at all.
    #[serde(default = "read_timeout")]
    pub read_timeout: Span,
    /// How often Falcon is asked for streams while it gives none.
    #[serde(default = "poll_interval")]
    pub poll_interval: Span,
    /// Time for name, connection and TLS handshake.
    #[serde(default = "connect_timeout")]
    pub connect_timeout: Span,
    /// Shortest wait after an error.
    #[serde(default = "backoff_min")]
    pub backoff_min: Span,
    /// Longest wait after an error.
    #[serde(default = "backoff_max")]
    pub backoff_max: Span,
    /// The HTTP proxy that the site demands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Endpoint>,
    /// The user it knows us as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_user: Option<String>,
    /// File with the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_password_file: Option<PathBuf>,
    /// Whom we trust.
    #[serde(default)]
    pub tls: ClientConfig,
}

/// Short, and unlike the one of the vendor's connector, so that both can run beside each other.
fn app_id() -> String {
    "SapphireEdge".to_owned()
}

/// The shortest that the vendor's documents name (some say 30 days).
fn retention() -> Span {
    Span::secs(7 * 86_400)
}

/// Several times the largest that is seen (300 KiB); each partition holds one at most.
fn max_event() -> Size {
    Size::mib(1)
}

/// Empty lines come every few seconds: after two minutes without any the connection is dead.
fn read_timeout() -> Span {
    Span::secs(120)
}

/// As CrowdStrike's own gateway does.
fn poll_interval() -> Span {
    Span::secs(10)
}

/// As everywhere.
fn connect_timeout() -> Span {
    Span::secs(10)
}

/// A stream that ended is connected again soon, because others wait for what happens now...
fn backoff_min() -> Span {
    Span::secs(1)
}

/// ...and each connection makes events of its own at the vendor, so never in a loop.
fn backoff_max() -> Span {
    Span::secs(60)
}

impl Config {
    pub(super) fn api(&self) -> &str {
        self.api.as_deref().unwrap_or_else(|| self.cloud.api())
    }

    pub(super) fn route(&self) -> Route<'_> {
        Route {
            connect_timeout: self.connect_timeout,
            backoff: (self.backoff_min, self.backoff_max),
            proxy: self.proxy.as_ref(),
            proxy_user: self.proxy_user.as_deref(),
            proxy_password_file: self.proxy_password_file.as_deref(),
            tls: &self.tls,
        }
    }

    pub(super) fn pace(&self) -> Pace {
        Pace { poll: self.poll_interval.0, backoff: (self.backoff_min.0, self.backoff_max.0) }
    }

    pub(in crate::source) fn validate(&self) -> Vec<(String, String)> {
        let mut problems = check_route(&self.route());
        let mut need = |is_right: bool, key: &str, words: &str| {
            if !is_right {
                problems.push((key.to_owned(), words.to_owned()));
            }
        };
        let is_word = |text: &str, most: usize, more: &str| {
            let good = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
            !text.is_empty() && text.len() <= most && text.chars().all(good)
        };
        let words = "copy the Client ID that the Falcon console shows under API clients and keys";
        need(is_word(&self.client_id, 64, "-_"), "client_id", words);
        let words = "write the child's CID without its two last digits behind the hyphen";
        need(self.member_cid.as_deref().is_none_or(|cid| is_word(cid, 64, "")), "member_cid", words);
        need(is_word(&self.app_id, 32, ""), "app_id", "write 1 to 32 letters and digits, such as \"SapphireEdge1\"");
        need(base(self.api()).is_some(), "api", "write an https address, as cloud would give");
        need(self.stream_hosts.len() <= 16, "stream_hosts", "write at most 16");
        for (at, host) in self.stream_hosts.iter().enumerate() {
            let words = "write a domain alone, such as \"example.net\"";
            need(is_word(host, 253, ".-"), &format!("stream_hosts[{at}]"), words);
        }
        for (key, list) in [("event_types", &self.event_types), ("skip_event_types", &self.skip_event_types)] {
            need(list.len() <= 64, key, "write at most 64");
            for (at, name) in list.iter().enumerate() {
                let words = "write a type as Falcon names it, such as \"EppDetectionSummaryEvent\"";
                need(is_word(name, 128, "_-"), &format!("{key}[{at}]"), words);
            }
        }
        let words = "set format to \"cef\" or \"leef\" too, or take this out";
        need(self.mapping.is_none() || self.format != FalconFormat::Json, "mapping", words);
        need(within(self.retention, 3_600, 90 * 86_400), "retention", "write a duration from \"1h\" to \"90d\"");
        let sizes = Size::kib(16)..=Size::mib(8);
        need(sizes.contains(&self.max_event), "max_event", "write a size from \"16KiB\" to \"8MiB\"");
        need(within(self.read_timeout, 1, 600), "read_timeout", "write a duration from \"1s\" to \"10m\"");
        need(within(self.poll_interval, 1, 600), "poll_interval", "write a duration from \"1s\" to \"10m\"");
        problems
    }

    pub(in crate::source) fn open_files(&self) -> Vec<(String, String)> {
        let mut problems = route_files(&self.route());
        let file = &self.client_secret_file;
        match std::fs::read_to_string(file) {
            Err(error) => problems.push(("client_secret_file".into(), format!("{}: {error}", file.display()))),
            Ok(text) if text.trim().is_empty() => {
                problems.push(("client_secret_file".into(), format!("{} is empty", file.display())));
            }
            Ok(text) if text.trim() == self.client_id => {
                let words = "holds the Client ID; write the Secret, which the console shows once";
                problems.push(("client_secret_file".into(), format!("{} {words}", file.display())));
            }
            Ok(_) => {}
        }
        if let Err(words) = Mapper::open(self.format, self.mapping.as_deref(), self.id.as_str()) {
            problems.push(("mapping".into(), words));
        }
        problems
    }
}
