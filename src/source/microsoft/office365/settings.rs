//! The `[[source]]` table of type `office365`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::SourceId;
use crate::net::Endpoint;
use crate::net::tls::ClientConfig;
use crate::quantity::{Size, Span};
use crate::source::microsoft::account::{self, Account, is_guid};
use crate::source::microsoft::{Cloud, TokenVersion};
use crate::source::pull::{Plan, within};

/// A content type of the Management Activity API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum ContentType {
    /// Sign-ins and changes of the directory.
    #[serde(rename = "Audit.AzureActiveDirectory")]
    AzureActiveDirectory,
    /// Exchange.
    #[serde(rename = "Audit.Exchange")]
    Exchange,
    /// SharePoint and OneDrive.
    #[serde(rename = "Audit.SharePoint")]
    SharePoint,
    /// Everything else: Teams, Power BI, Defender for Office.
    #[serde(rename = "Audit.General")]
    General,
    /// Data loss prevention.
    #[serde(rename = "DLP.All")]
    Dlp,
}

impl ContentType {
    /// Its name in requests.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AzureActiveDirectory => "Audit.AzureActiveDirectory",
            Self::Exchange => "Audit.Exchange",
            Self::SharePoint => "Audit.SharePoint",
            Self::General => "Audit.General",
            Self::Dlp => "DLP.All",
        }
    }
}

impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The Office 365 Management Activity API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Its name, unique among the sources: lower_snake_case.
    #[schemars(with = "String")]
    pub id: SourceId,
    /// Whether it runs; while it does not, its ledger and its place stay.
    #[serde(default = "crate::source::enabled")]
    pub enabled: bool,
    /// Tenants, by id.
    pub tenants: Vec<String>,
    /// The app's id.
    pub client_id: String,
    /// File with the value of the app's secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<PathBuf>,
    /// PEM file with the app's certificate, in place of a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// PEM file with its RSA key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// The tenants' cloud.
    #[serde(default)]
    pub cloud: Cloud,
    /// Where tokens come from; default by cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// The API's address; default by cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// Which token endpoint is asked.
    #[serde(default)]
    pub token_version: TokenVersion,
    /// The tenant of whoever wrote this client; default the tenant that is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher: Option<String>,
    /// What is pulled.
    #[serde(default = "content_types")]
    pub content_types: Vec<ContentType>,
    /// How often each content type is asked for.
    #[serde(default = "poll_interval")]
    pub poll_interval: Span,
    /// How far back a first start goes.
    #[serde(default = "backfill")]
    pub backfill: Span,
    /// The longest window of one question.
    #[serde(default = "window")]
    pub window: Span,
    /// How far back each question goes for what is listed late.
    #[serde(default = "overlap")]
    pub overlap: Span,
    /// Requests for each tenant.
    #[serde(default = "requests_per_minute")]
    pub requests_per_minute: u32,
    /// Contents of one content type that are fetched at once.
    #[serde(default = "downloads")]
    pub downloads: usize,
    /// The largest answer.
    #[serde(default = "account::max_page")]
    pub max_page: Size,
    /// Time for name, connection and TLS handshake.
    #[serde(default = "account::connect_timeout")]
    pub connect_timeout: Span,
    /// Shortest wait after an error.
    #[serde(default = "account::backoff_min")]
    pub backoff_min: Span,
    /// Longest wait after an error.
    #[serde(default = "account::backoff_max")]
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

fn content_types() -> Vec<ContentType> {
    use ContentType::{AzureActiveDirectory, Dlp, Exchange, General, SharePoint};
    vec![AzureActiveDirectory, Exchange, SharePoint, General, Dlp]
}

/// As Filebeat's `api.poll_interval`.
fn poll_interval() -> Span {
    Span::secs(180)
}

/// As long as contents can be fetched; Filebeat's `api.max_retention`.
fn backfill() -> Span {
    Span::secs(168 * 3_600)
}

/// The lists of an hour are short enough to be kept in memory in the largest tenants.
fn window() -> Span {
    Span::secs(3_600)
}

/// Contents are listed within 90 minutes as a rule; once a day the last 24 hours are listed again.
fn overlap() -> Span {
    Span::secs(7_200)
}

/// The vendor's budget for a small tenant.
fn requests_per_minute() -> u32 {
    2_000
}

/// Four bodies are in memory at once, whoever fetches them; more would only wait.
fn downloads() -> usize {
    4
}

impl Config {
    pub(in crate::source) fn account(&self) -> Account<'_> {
        account::account!(self, self.cloud.management(), self.api.as_deref().unwrap_or(self.cloud.management()))
    }

    pub(in crate::source) fn validate(&self) -> Vec<(String, String)> {
        let mut problems = self.account().validate();
        let mut need = |is_right: bool, key: &str, words: &str| {
            if !is_right {
                problems.push((key.to_owned(), words.to_owned()));
            }
        };
        for (at, tenant) in self.tenants.iter().enumerate() {
            // The API takes no domain (AF20013), where the token endpoint does.
            need(is_guid(tenant), &format!("tenants[{at}]"), "write the Directory (tenant) ID that Entra shows");
        }
        need(self.publisher.as_deref().is_none_or(is_guid), "publisher", "write a tenant id");
        need(!self.content_types.is_empty(), "content_types", "write at least one, such as [\"Audit.General\"]");
        let twice =
            self.content_types.iter().enumerate().any(|(at, one)| self.content_types.iter().take(at).any(|o| o == one));
        need(!twice, "content_types", "write each once");
        need(within(self.poll_interval, 1, 86_400), "poll_interval", "write a duration from \"1s\" to \"1d\"");
        need(within(self.backfill, 1, 168 * 3_600), "backfill", "write a duration from \"1s\" to \"168h\"");
        need(within(self.window, 60, 86_400), "window", "write a duration from \"1m\" to \"24h\"");
        need(within(self.overlap, 0, 43_200), "overlap", "write a duration up to \"12h\"");
        let rate = (1..=120_000).contains(&self.requests_per_minute);
        need(rate, "requests_per_minute", "write a number from 1 to 120000");
        need((1..=16).contains(&self.downloads), "downloads", "write a number from 1 to 16");
        problems
    }

    pub(in crate::source) fn open_files(&self) -> Vec<(String, String)> {
        self.account().open_files()
    }

    pub(super) fn plan(&self) -> Plan {
        Plan {
            backfill: self.backfill.0,
            // Seven days but for the time that a request takes, as Elastic's newer collector has it (167 h 55 min).
            retention: Duration::from_secs(167 * 3_600 + 55 * 60),
            span: self.window.0,
            overlap: self.overlap.0,
            sweep: Duration::from_secs(86_400),
            longest: Duration::from_secs(86_400),
            settle: Duration::from_secs(60),
        }
    }
}
