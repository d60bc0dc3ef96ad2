//! The `[[source]]` table of type `amp`: what the console shows under API Credentials.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::SourceId;
use crate::net::tls::ClientConfig;
use crate::net::{Endpoint, Proxy};
use crate::quantity::{Size, Span};
use crate::source::microsoft::base;
use crate::source::pull::{Plan, Route, check_route, route_files, within};

/// A day in seconds.
const DAY: u64 = 86_400;
/// How long events are kept (not confirmed: 30 days).
const RETENTION: u64 = 30 * DAY;

/// A region: accounts of one are unknown in another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Region {
    /// console.amp.cisco.com.
    #[default]
    NorthAmerica,
    /// console.eu.amp.cisco.com.
    Europe,
    /// console.apjc.amp.cisco.com.
    AsiaPacific,
}

impl Region {
    /// The API (CiscoSecurity, amp-00-integration-workflows).
    #[must_use]
    pub fn api(self) -> &'static str {
        match self {
            Self::NorthAmerica => "https://api.amp.cisco.com",
            Self::Europe => "https://api.eu.amp.cisco.com",
            Self::AsiaPacific => "https://api.apjc.amp.cisco.com",
        }
    }

    /// Where streams come from, for a test alone: a stream's own answer says where it is. The first is in
    /// CiscoSecurity's amp-04-create-event-stream, the others are not confirmed.
    #[must_use]
    pub fn broker(self) -> &'static str {
        match self {
            Self::NorthAmerica => "export-streaming.amp.cisco.com:443",
            Self::Europe => "export-streaming.eu.amp.cisco.com:443",
            Self::AsiaPacific => "export-streaming.apjc.amp.cisco.com:443",
        }
    }
}

/// How events come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// By an event stream of the box's own, which needs an API key that may write.
    #[default]
    Stream,
    /// By asking.
    Poll,
}

/// Cisco Secure Endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Its name, unique among the sources: lower_snake_case.
    #[schemars(with = "String")]
    pub id: SourceId,
    /// Whether it runs; while it does not, its ledger and its place stay.
    #[serde(default = "crate::source::enabled")]
    pub enabled: bool,
    /// The API credential's id: 20 hexadecimal digits.
    pub client_id: String,
    /// File with the API key.
    pub api_key_file: PathBuf,
    /// The account's region.
    #[serde(default)]
    pub region: Region,
    /// The API's address, where it is a private cloud; default by region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// How events come.
    #[serde(default)]
    pub delivery: Delivery,
    /// Event types, by name or number; all where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub event_types: Vec<String>,
    /// GUIDs of groups; all where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// How often events are asked for, where they are.
    #[serde(default = "poll_interval")]
    pub poll_interval: Span,
    /// How far back a first start goes.
    #[serde(default = "backfill")]
    pub backfill: Span,
    /// How far back each question goes for what comes late.
    #[serde(default = "overlap")]
    pub overlap: Span,
    /// Messages of a stream that may be on their way and not yet acknowledged.
    #[serde(default = "prefetch")]
    pub prefetch: u16,
    /// What to dial in place of the host that the vendor names for a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_endpoint: Option<Endpoint>,
    /// The largest answer, and the largest message of a stream.
    #[serde(default = "max_page")]
    pub max_page: Size,
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

/// 60 requests an hour and a few for pages, of the 3,000 that a key usually has.
fn poll_interval() -> Span {
    Span::secs(60)
}

/// As for the other vendors.
fn backfill() -> Span {
    Span::secs(7 * DAY)
}

/// Endpoints report within minutes; once a day the last 24 hours are asked for again.
fn overlap() -> Span {
    Span::secs(1_800)
}

/// Two pages: one is settled while the next one comes.
fn prefetch() -> u16 {
    500
}

/// A page of 500 events has 1 to 2 MiB.
fn max_page() -> Size {
    Size::mib(8)
}

/// As everywhere.
fn connect_timeout() -> Span {
    Span::secs(10)
}

/// Most troubles are over in seconds.
fn backoff_min() -> Span {
    Span::secs(5)
}

/// A new key is taken into use within this.
fn backoff_max() -> Span {
    Span::secs(300)
}

impl Config {
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

    pub(super) fn proxy(&self) -> Option<Proxy> {
        self.proxy.as_ref().map(|endpoint| Proxy {
            endpoint: endpoint.clone(),
            user: self.proxy_user.clone(),
            password_file: self.proxy_password_file.clone(),
        })
    }

    /// The API's address.
    pub(super) fn api(&self) -> &str {
        self.api.as_deref().unwrap_or(self.region.api())
    }

    pub(in crate::source) fn validate(&self) -> Vec<(String, String)> {
        let mut problems = check_route(&self.route());
        let mut need = |is_right: bool, key: &str, words: &str| {
            if !is_right {
                problems.push((key.to_owned(), words.to_owned()));
            }
        };
        // A colon would end the user of a basic login.
        let is_id = |text: &str| {
            (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        let words = "write the 3rd Party API Client ID that the console shows under API Credentials";
        need(is_id(&self.client_id), "client_id", words);
        let words = "write an https address, such as \"https://amp.example.net\"";
        need(base(self.api()).is_some(), "api", words);
        let words = "write a name as the console shows it, such as \"Threat Detected\", or its number";
        let is_name = |name: &String| !name.trim().is_empty() && name.len() <= 200;
        need(self.event_types.len() <= 200 && self.event_types.iter().all(is_name), "event_types", words);
        let words = "write GUIDs, as the console shows them under Management > Groups";
        need(self.groups.len() <= 200 && self.groups.iter().all(|group| is_id(group)), "groups", words);
        need(within(self.poll_interval, 1, DAY), "poll_interval", "write a duration from \"1s\" to \"1d\"");
        need(within(self.backfill, 1, RETENTION), "backfill", "write a duration from \"1s\" to \"30d\"");
        need(within(self.overlap, 0, DAY), "overlap", "write a duration up to \"1d\"");
        need((2..=10_000).contains(&self.prefetch), "prefetch", "write a number from 2 to 10000");
        let words = "write a size from \"64KiB\" to \"64MiB\"";
        need((Size::kib(64)..=Size::mib(64)).contains(&self.max_page), "max_page", words);
        problems
    }

    pub(in crate::source) fn open_files(&self) -> Vec<(String, String)> {
        let mut problems = route_files(&self.route());
        let file = self.api_key_file.display();
        match std::fs::read_to_string(&self.api_key_file) {
            Err(error) => problems.push(("api_key_file".into(), format!("{file}: {error}"))),
            Ok(text) if text.trim().is_empty() => problems.push(("api_key_file".into(), format!("{file} is empty"))),
            Ok(text) if text.trim() == self.client_id => {
                let words = "holds the client ID; write the API Key, which the console shows once";
                problems.push(("api_key_file".into(), format!("{file} {words}")));
            }
            Ok(_) => {}
        }
        problems
    }

    pub(super) fn plan(&self) -> Plan {
        Plan {
            backfill: self.backfill.0,
            retention: Duration::from_secs(RETENTION),
            // The API has no end of a window: one question goes to the present.
            span: Duration::from_secs(RETENTION + DAY),
            overlap: self.overlap.0,
            sweep: Duration::from_secs(DAY),
            longest: Duration::from_secs(RETENTION + DAY),
            settle: Duration::ZERO,
        }
    }
}
