//! Settings of a Duo account.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::log::DuoLog;
use super::sign::Signature;
use crate::event::SourceId;
use crate::net::Endpoint;
use crate::net::http::Url;
use crate::net::tls::ClientConfig;
use crate::quantity::{Size, Span};
use crate::source::microsoft::base;
use crate::source::pull::{Route, check_route, route_files, within};

/// The logs of a Duo account, by its Admin API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Its name, unique among the sources: lower_snake_case.
    #[schemars(with = "String")]
    pub id: SourceId,
    /// Whether it runs; while it does not, its ledger and its place stay.
    #[serde(default = "crate::source::enabled")]
    pub enabled: bool,
    /// The application's API hostname.
    pub host: String,
    /// The application's integration key.
    pub integration_key: String,
    /// File with its secret key.
    pub secret_key_file: PathBuf,
    /// The address where `host` is reached; default `https://` and `host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// How requests are signed.
    #[serde(default)]
    pub signature: Signature,
    /// What is pulled.
    #[serde(default = "logs")]
    pub logs: Vec<DuoLog>,
    /// How often each log is asked for.
    #[serde(default = "poll_interval")]
    pub poll_interval: Span,
    /// How far back a first start goes.
    #[serde(default = "backfill")]
    pub backfill: Span,
    /// How far back each question goes for what comes late.
    #[serde(default = "overlap")]
    pub overlap: Span,
    /// Requests for all logs together.
    #[serde(default = "requests_per_minute")]
    pub requests_per_minute: u32,
    /// The largest answer.
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

fn logs() -> Vec<DuoLog> {
    use DuoLog::{Activity, Administrator, Authentication, OfflineEnrollment, Telephony, TrustMonitor};
    vec![Authentication, Administrator, Telephony, OfflineEnrollment, Activity, TrustMonitor]
}

/// Duo asks for no more than one question a minute for each log; its own log sync asks every two.
fn poll_interval() -> Span {
    Span::secs(120)
}

/// As the other sources that are asked.
fn backfill() -> Span {
    Span::secs(7 * 86_400)
}

/// Five times the two minutes that Duo itself waits for what is late; once a day the last 24 hours are asked for again.
fn overlap() -> Span {
    Span::secs(600)
}

/// Duo does not publish its limit. A backlog of a million records takes half an hour so; where it is too many, Duo answers
/// with 42901 and the box waits.
fn requests_per_minute() -> u32 {
    30
}

/// A page of 1,000 logins has some 3 MiB.
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

/// A key that was mended is taken into use within this.
fn backoff_max() -> Span {
    Span::secs(300)
}

/// The domains of Duo's deployments: commercial and federal ("Duo Federal Guide").
const DOMAINS: [&str; 2] = [".duosecurity.com", ".duofederal.com"];

fn is_host(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let first = DOMAINS.iter().find_map(|domain| text.strip_suffix(domain)).unwrap_or_default();
    let rest = first.strip_prefix("api-").unwrap_or_default();
    !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Integration keys are 20 capital letters and digits that begin with DI.
fn is_integration_key(text: &str) -> bool {
    text.len() == 20
        && text.starts_with("DI")
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
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

    /// Where the API is reached.
    pub(super) fn root(&self) -> Option<Url> {
        match &self.api {
            Some(api) => base(api),
            None => base(&format!("https://{}", self.host)),
        }
    }

    pub(in crate::source) fn validate(&self) -> Vec<(String, String)> {
        let mut problems = check_route(&self.route());
        let mut need = |is_right: bool, key: &str, words: &str| {
            if !is_right {
                problems.push((key.to_owned(), words.to_owned()));
            }
        };
        let words = "write the API hostname as the application shows it, such as \"api-1a2b3c4d.duosecurity.com\"";
        need(is_host(&self.host), "host", words);
        let words = "write the Integration key as the application shows it: 20 characters that begin with DI";
        need(is_integration_key(&self.integration_key), "integration_key", words);
        need(self.root().is_some(), "api", "write an https address, or take this out");
        need(!self.logs.is_empty(), "logs", "write at least one, such as [\"authentication\"]");
        need(within(self.poll_interval, 1, 86_400), "poll_interval", "write a duration from \"1s\" to \"1d\"");
        need(within(self.backfill, 1, 180 * 86_400), "backfill", "write a duration from \"1s\" to \"180d\"");
        need(within(self.overlap, 0, 86_400), "overlap", "write a duration up to \"1d\"");
        need((1..=60_000).contains(&self.requests_per_minute), "requests_per_minute", "write a number from 1 to 60000");
        need(
            (Size::kib(64)..=Size::mib(64)).contains(&self.max_page),
            "max_page",
            "write a size from \"64KiB\" to \"64MiB\"",
        );
        problems
    }

    pub(in crate::source) fn open_files(&self) -> Vec<(String, String)> {
        let mut problems = route_files(&self.route());
        let file = self.secret_key_file.display();
        let wrong = match std::fs::read_to_string(&self.secret_key_file) {
            Err(error) => Some(format!("{file}: {error}")),
            Ok(text) if text.trim().is_empty() => Some(format!("{file} is empty")),
            Ok(text) if is_integration_key(text.trim()) => {
                Some(format!("{file} holds the Integration key; write the Secret key, which stands below it"))
            }
            Ok(_) => None,
        };
        problems.extend(wrong.map(|words| ("secret_key_file".to_owned(), words)));
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_keys_are_told_from_what_is_copied_beside_them() {
        assert!(is_host("api-1a2b3c4d.duosecurity.com") && is_host("API-1a2b3c4d.duofederal.com"));
        for wrong in [
            "",
            "https://api-1a2b3c4d.duosecurity.com",
            "admin-1a2b3c4d.duosecurity.com",
            "api-.duosecurity.com",
            "api-1a2b3c4d.duosecurity.com/",
            "api-x/y.duosecurity.com",
            "api-1a2b3c4d.example.net",
        ] {
            assert!(!is_host(wrong), "{wrong}");
        }
        assert!(is_integration_key("DIWJ8X6AEYOR5OMC6TQ1"));
        assert!(
            !is_integration_key("Zh5eGmUq9zpfQnyUIu5OL9iWoMMv5ZNmk3zLJ4Ep")
                && !is_integration_key("DIWJ8X6AEYOR5OMC6TQ")
        );
    }
}
