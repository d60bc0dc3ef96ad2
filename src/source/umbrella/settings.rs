//! The `[[source]]` table of type `umbrella`: what Umbrella's page shows, and how it is read.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::key_age::KeyAge;
use crate::clock::Clock;
use crate::event::SourceId;
use crate::net::Endpoint;
use crate::net::http::Url;
use crate::net::tls::ClientConfig;
use crate::quantity::{Size, Span};
use crate::source::SourceError;
use crate::source::microsoft::base;
use crate::source::pull::{Route, Way, check_route, route_files, within};
use crate::source::s3::{Advice, Bucket, Login, Notices, Place, is_bucket, is_key_id, is_region, queue, secret_file};

/// How the buckets that Cisco keeps are called (observed; the vendor promises no names).
const MANAGED: &str = "cisco-managed-";
/// Said where it is refused.
const ADVICE: Advice = Advice {
    new_key: "if it is right, make a new key: in Umbrella under Admin > Log Management (Amazon S3), for a bucket of your own in \
              AWS under IAM > Users > Security credentials",
    bucket: "check bucket, region and endpoint of this source against the vendor's page",
    region: "write the region that the vendor's page shows into region of this source",
    rights: "check prefix: the key may list and read below the data path only",
    queue: "copy URL of the queue's page in the AWS console into sqs_queue; check region",
    queue_rights: "allow sqs:ReceiveMessage, sqs:DeleteMessage and sqs:ChangeMessageVisibility on the queue, in IAM",
};

/// Cisco Umbrella and Secure Access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Its name, unique among the sources: lower_snake_case.
    #[schemars(with = "String")]
    pub id: SourceId,
    /// Whether it runs; while it does not, its ledger and its place stay.
    #[serde(default = "crate::source::enabled")]
    pub enabled: bool,
    /// The bucket.
    pub bucket: String,
    /// The bucket's region.
    pub region: String,
    /// The data path: what stands before the logs' folders.
    #[serde(default)]
    pub prefix: String,
    /// The address of the S3 service, in place of the region's at AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Whether the bucket's name stands in the path and not in the host's name; default where endpoint is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_style: Option<bool>,
    /// The access key's id.
    pub access_key_id: String,
    /// File with the secret access key.
    pub secret_access_key_file: PathBuf,
    /// The day on which the key was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_created: Option<String>,
    /// The logs that are pulled; all that are found where it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<String>,
    /// The SQS queue that is told what was written to a bucket of your own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqs_queue: Option<String>,
    /// How often each folder is listed.
    #[serde(default = "poll_interval")]
    pub poll_interval: Span,
    /// How far back a first start goes.
    #[serde(default = "backfill")]
    pub backfill: Span,
    /// How long the bucket keeps objects.
    #[serde(default = "retention")]
    pub retention: Span,
    /// How far back each list goes for what comes late.
    #[serde(default = "look_back")]
    pub look_back: Span,
    /// The longest row.
    #[serde(default = "max_row")]
    pub max_row: Size,
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

/// Cisco uploads every ten minutes ("Log Formats and Versioning").
fn poll_interval() -> Span {
    Span::secs(300)
}

/// The least that a managed bucket keeps.
fn backfill() -> Span {
    Span::secs(7 * 86_400)
}

/// The most that a managed bucket keeps.
fn retention() -> Span {
    Span::secs(30 * 86_400)
}

/// Uploads are late by minutes, after an incident at Cisco by hours; the daily full list finds the rest.
fn look_back() -> Span {
    Span::secs(72 * 3_600)
}

/// A row of the web log has some 2 KiB at most; a URL and a referer of 64 KiB each would still fit.
fn max_row() -> Size {
    Size::kib(256)
}

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
    fn route(&self) -> Route<'_> {
        Route {
            connect_timeout: self.connect_timeout,
            backoff: (self.backoff_min, self.backoff_max),
            proxy: self.proxy.as_ref(),
            proxy_user: self.proxy_user.as_deref(),
            proxy_password_file: self.proxy_password_file.as_deref(),
            tls: &self.tls,
        }
    }

    /// Whether Cisco owns the bucket: no notifications, and keys that expire.
    pub(super) fn is_managed(&self) -> bool {
        self.bucket.starts_with(MANAGED)
    }

    pub(super) fn key_age(&self) -> Option<KeyAge> {
        Some(KeyAge { created: self.key_created.as_deref()?.parse().ok()?, is_managed: self.is_managed() })
    }

    /// The prefix with a slash at its end, unless it is empty.
    pub(super) fn root(&self) -> String {
        match self.prefix.trim_matches('/') {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        }
    }

    pub(in crate::source) fn validate(&self) -> Vec<(String, String)> {
        let mut problems = check_route(&self.route());
        let mut need = |is_right: bool, key: &str, words: &str| {
            if !is_right {
                problems.push((key.to_owned(), words.to_owned()));
            }
        };
        let words = "write the bucket's name alone, such as \"cisco-managed-eu-central-1\"; what follows it in the data path \
                     is prefix";
        need(is_bucket(&self.bucket), "bucket", words);
        let words = "write the region's code, such as \"eu-central-1\"";
        need(is_region(&self.region), "region", words);
        let words = "write what follows the bucket's name in the data path, such as \"1234567_0123abcd\"";
        need(self.prefix.len() <= 512 && !self.prefix.contains("://"), "prefix", words);
        let words =
            "the key of a managed bucket may read below its data path only: write what follows the bucket's name";
        need(!self.is_managed() || !self.root().is_empty(), "prefix", words);
        let words = "write an https address such as \"https://s3.example.net\"";
        need(self.endpoint.as_deref().is_none_or(|text| base(text).is_some()), "endpoint", words);
        let words = "write the Access Key, such as \"AKIAIOSFODNN7EXAMPLE\"";
        need(is_key_id(&self.access_key_id), "access_key_id", words);
        let is_day = self.key_created.as_deref().is_none_or(|text| text.parse::<jiff::civil::Date>().is_ok());
        need(is_day, "key_created", "write a date such as \"2026-01-31\"");
        for (at, folder) in self.folders.iter().enumerate() {
            let words = "write a folder's name below the prefix, such as \"dnslogs\"";
            let is_new = !self.folders.iter().take(at).any(|other| other == folder);
            let is_good = is_new && !folder.is_empty() && folder.trim_matches('/') == folder;
            need(is_good, &format!("folders[{at}]"), words);
        }
        let words = "write the queue's URL, such as \"https://sqs.eu-central-1.amazonaws.com/123456789012/umbrella\"";
        need(self.sqs_queue.is_none() || self.queue().is_some(), "sqs_queue", words);
        let words = "take it out: managed buckets send no notifications";
        need(self.sqs_queue.is_none() || !self.is_managed(), "sqs_queue", words);
        need(within(self.poll_interval, 1, 86_400), "poll_interval", "write a duration from \"1s\" to \"1d\"");
        need(within(self.backfill, 1, 90 * 86_400), "backfill", "write a duration from \"1s\" to \"90d\"");
        need(within(self.retention, 86_400, 90 * 86_400), "retention", "write a duration from \"1d\" to \"90d\"");
        need(within(self.look_back, 3_600, 30 * 86_400), "look_back", "write a duration from \"1h\" to \"30d\"");
        let words = "write a size from \"4KiB\" to \"1MiB\"";
        need((Size::kib(4)..=Size::mib(1)).contains(&self.max_row), "max_row", words);
        problems
    }

    pub(in crate::source) fn open_files(&self) -> Vec<(String, String)> {
        let mut problems = route_files(&self.route());
        problems.extend(secret_file(&self.secret_access_key_file, &self.access_key_id));
        problems
    }

    pub(super) fn way(&self, clock: Clock) -> Arc<Way> {
        Arc::new(Way::new(&self.route(), clock))
    }

    fn login(&self) -> Login {
        let (key_id, secret_file) = (self.access_key_id.clone(), self.secret_access_key_file.clone());
        Login { key_id, secret_file, region: self.region.clone() }
    }

    /// # Errors
    /// When the settings make no address.
    pub(super) fn bucket(&self, way: &Arc<Way>) -> Result<Bucket, SourceError> {
        let endpoint = self.endpoint.as_deref().and_then(base);
        let is_path_style = self.path_style.unwrap_or(endpoint.is_some());
        let place = Place { endpoint, is_path_style, bucket: &self.bucket };
        Bucket::new(Arc::clone(way), self.login(), &place, ADVICE)
    }

    fn queue(&self) -> Option<Url> {
        queue(self.sqs_queue.as_deref()?)
    }

    pub(super) fn notices(&self, way: &Arc<Way>) -> Option<Notices> {
        Some(Notices::new(Arc::clone(way), self.login(), self.queue()?, ADVICE))
    }

    /// How objects are looked for.
    pub(super) fn reach(&self) -> Reach {
        Reach { backfill: self.backfill.0, retention: self.retention.0, look_back: self.look_back.0 }
    }
}

/// How far back objects are looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    pub(super) backfill: Duration,
    pub(super) retention: Duration,
    pub(super) look_back: Duration,
}
