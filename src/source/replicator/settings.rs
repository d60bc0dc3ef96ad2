//! The `[[source]]` table of type `falcon_replicator`: what the Falcon console shows of a feed, and how it is read.

use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::wanted::Wanted;
use crate::clock::Clock;
use crate::event::SourceId;
use crate::net::Endpoint;
use crate::net::http::Url;
use crate::net::tls::ClientConfig;
use crate::quantity::{Size, Span};
use crate::source::SourceError;
use crate::source::microsoft::base;
use crate::source::pull::{Pace, Route, Way, check_route, route_files, within};
use crate::source::s3::{
    Advice, Bucket, Login, Notices, Place, is_bucket, is_key_id, is_region, queue, region, secret_file,
};

/// Said where the vendor refuses.
const ADVICE: Advice = Advice {
    new_key: "if it is right, make new credentials in the Falcon console under Falcon data replicator",
    bucket: "check region and endpoint; if they are right, ask CrowdStrike about the feed",
    region: "write it into region of this source",
    rights: "the feed's credentials may read the files of this feed only: check that key and queue are of the same feed",
    queue: "copy the SQS queue URL that the Falcon console shows for the feed into sqs_queue; check region",
    queue_rights: "the key needs sqs:ReceiveMessage, sqs:DeleteMessage and sqs:ChangeMessageVisibility: check that key and queue \
                   are of the same feed",
};

/// CrowdStrike Falcon Data Replicator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Its name, unique among the sources: lower_snake_case.
    #[schemars(with = "String")]
    pub id: SourceId,
    /// Whether it runs; while it does not, its ledger and its place stay.
    #[serde(default = "crate::source::enabled")]
    pub enabled: bool,
    /// The feed's SQS queue.
    pub sqs_queue: String,
    /// The region of queue and bucket; default what the queue's address says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The access key's id.
    pub access_key_id: String,
    /// File with the secret access key.
    pub secret_access_key_file: PathBuf,
    /// The address of the S3 service, in place of the region's at AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Whether the bucket's name stands in the path and not in the host's name; default where endpoint is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_style: Option<bool>,
    /// Only files in these folders; all where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<String>,
    /// Only these events, by event_simpleName; all where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    /// Not these events.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skip_events: Vec<String>,
    /// The longest event.
    #[serde(default = "max_event")]
    pub max_event: Size,
    /// How long messages are hidden from others while their files are read.
    #[serde(default = "visibility_timeout")]
    pub visibility_timeout: Span,
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

/// Script and command line fields are the longest, and have some 100 KiB.
fn max_event() -> Size {
    Size::mib(1)
}

/// As the vendor's own consumer does (CrowdStrike/FDR); messages are hidden anew while their files are read.
fn visibility_timeout() -> Span {
    Span::secs(300)
}

fn connect_timeout() -> Span {
    Span::secs(10)
}

/// Most troubles are over in seconds.
fn backoff_min() -> Span {
    Span::secs(5)
}

/// New credentials are taken into use within this.
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

    /// Empty where it is neither set nor in the queue's address.
    fn region(&self) -> String {
        let queues = || queue(&self.sqs_queue).and_then(|url| region(&url));
        self.region.clone().or_else(queues).unwrap_or_default()
    }

    pub(in crate::source) fn validate(&self) -> Vec<(String, String)> {
        let mut problems = check_route(&self.route());
        let mut need = |is_right: bool, key: &str, words: &str| {
            if !is_right {
                problems.push((key.to_owned(), words.to_owned()));
            }
        };
        let words = "write the feed's SQS queue URL, such as \"https://sqs.us-west-1.amazonaws.com/123456789012/cs-prod-cannon-queue\"";
        need(queue(&self.sqs_queue).is_some(), "sqs_queue", words);
        let words =
            "write the region's code, such as \"us-west-1\"; it may be left out where the queue's address names it";
        need(queue(&self.sqs_queue).is_none() || is_region(&self.region()), "region", words);
        let words = "write the feed's access key id, such as \"AKIAIOSFODNN7EXAMPLE\"";
        need(is_key_id(&self.access_key_id), "access_key_id", words);
        let words = "write an https address such as \"https://s3.example.net\"";
        need(self.endpoint.as_deref().is_none_or(|text| base(text).is_some()), "endpoint", words);
        need(self.folders.len() <= 64, "folders", "write at most 64");
        for (at, folder) in self.folders.iter().enumerate() {
            let words = "write a folder's name, such as \"data\" or \"aidmaster\"";
            let is_new = !self.folders.iter().take(at).any(|other| other == folder);
            let is_good = is_new && !folder.is_empty() && folder.trim_matches('/') == folder;
            need(is_good, &format!("folders[{at}]"), words);
        }
        for (key, list) in [("events", &self.events), ("skip_events", &self.skip_events)] {
            need(list.len() <= 1_024, key, "write at most 1,024");
            for (at, name) in list.iter().enumerate() {
                let words = "write an event as Falcon names it, such as \"ProcessRollup2\"";
                let is_good =
                    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
                need(is_good, &format!("{key}[{at}]"), words);
            }
        }
        let words = "write a size from \"4KiB\" to \"8MiB\"";
        need((Size::kib(4)..=Size::mib(8)).contains(&self.max_event), "max_event", words);
        // SQS hides for 12 hours at most.
        need(
            within(self.visibility_timeout, 1, 43_200),
            "visibility_timeout",
            "write a duration from \"1s\" to \"12h\"",
        );
        problems
    }

    pub(in crate::source) fn open_files(&self) -> Vec<(String, String)> {
        let mut problems = route_files(&self.route());
        problems.extend(secret_file(&self.secret_access_key_file, &self.access_key_id));
        problems
    }

    pub(super) fn pace(&self) -> Pace {
        Pace { poll: super::SOON, backoff: (self.backoff_min.0, self.backoff_max.0) }
    }

    pub(super) fn way(&self, clock: Clock) -> Arc<Way> {
        Arc::new(Way::new(&self.route(), clock))
    }

    pub(super) fn wanted(&self) -> Wanted {
        Wanted::new(&self.folders, &self.events, &self.skip_events)
    }

    fn login(&self) -> Login {
        let (key_id, secret_file) = (self.access_key_id.clone(), self.secret_access_key_file.clone());
        Login { key_id, secret_file, region: self.region() }
    }

    /// The bucket that a message names.
    ///
    /// # Errors
    /// When it is no bucket's name.
    pub(super) fn bucket(&self, way: &Arc<Way>, name: &str) -> Result<Bucket, SourceError> {
        if !is_bucket(name) {
            return Err(SourceError::Settings(format!("{name:?} is no bucket's name")));
        }
        let endpoint = self.endpoint.as_deref().and_then(base);
        let is_path_style = self.path_style.unwrap_or(endpoint.is_some());
        Bucket::new(Arc::clone(way), self.login(), &Place { endpoint, is_path_style, bucket: name }, ADVICE)
    }

    /// # Errors
    /// When the settings make no address.
    pub(super) fn notices(&self, way: &Arc<Way>) -> Result<Notices, SourceError> {
        let url: Option<Url> = queue(&self.sqs_queue);
        let url = url.ok_or_else(|| SourceError::Settings("sqs_queue is no address".to_owned()))?;
        Ok(Notices::new(Arc::clone(way), self.login(), url, ADVICE))
    }
}
