//! The API as one client sees it: which streams there are, and keeping them.
//!
//! Facts: `GET /sensors/entities/datafeed/v2?appId=…` gives `resources`, each with `dataFeedURL` (its path ends in the partition),
//! `sessionToken.token`, `refreshActiveSessionURL` and `refreshActiveSessionInterval` in seconds (elastic/beats, input "streaming",
//! `crowdstrike`; CrowdStrike/falcon-integration-gateway). An empty list means that the app id is connected already (CrowdStrike/gofalcon,
//! issue 363). An empty body with 200 happens and passes (elastic/beats). A wrong cloud answers without `resources` (CrowdStrike/
//! ansible_collection_falcon, pull request 693).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::Config;
use super::cloud;
use super::login::Login;
use super::words::{self, Place};
use crate::net::http::{Answer, Url, header};
use crate::secret::Secret;
use crate::source::microsoft::base;
use crate::source::pull::{Budget, Reply, Trouble, Wait, Way};

/// Streams are listed with less than 1 KiB each.
const MAX_ANSWER: usize = 1 << 20;
/// What is read of a refusal.
const MAX_REFUSAL: usize = 64 << 10;
/// Partitions of one tenant; usually there is one.
const MOST_STREAMS: usize = 64;
/// Requests in a minute, and at once: far fewer than the vendor takes (6,000, unconfirmed). Streams are paced by their backoff.
const PER_MINUTE: (u32, u32) = (300, 60);
/// Where the answer does not say how long a stream lives without a refresh.
const INTERVAL: u64 = 1_800;

/// A stream that may be connected.
#[derive(Debug)]
pub(super) struct Stream {
    /// Its partition.
    pub(super) partition: String,
    url: Url,
    token: Secret<String>,
    refresh: Url,
    /// It ends after this long without a refresh.
    pub(super) interval: Duration,
}

/// The API.
#[derive(Debug)]
pub(super) struct Falcon {
    pub(super) config: Config,
    pub(super) way: Arc<Way>,
    login: Login,
    root: Url,
    budget: Budget,
}

#[derive(Deserialize)]
struct Listed {
    resources: Option<Vec<Resource>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    #[serde(rename = "dataFeedURL")]
    data_feed: String,
    session_token: SessionToken,
    #[serde(rename = "refreshActiveSessionURL")]
    refresh: String,
    refresh_active_session_interval: Option<u64>,
}

#[derive(Deserialize)]
struct SessionToken {
    token: String,
}

impl Falcon {
    pub(super) fn new(config: Config, way: Arc<Way>) -> Result<Self, String> {
        let root = base(config.api()).ok_or("api is no https address")?;
        let login = Login::new(&root, &config, Arc::clone(&way))?;
        Ok(Self { config, way, login, root, budget: Budget::per_minute(PER_MINUTE.0, PER_MINUTE.1) })
    }

    /// Whether the client gets a token.
    pub(super) async fn log_in(&self) -> Result<(), Trouble> {
        self.login.token().await.map(drop)
    }

    /// The streams that may be connected, one for each partition; none while this app id is connected.
    ///
    /// # Errors
    /// In words.
    ///
    /// # Cancel safety
    /// Safe.
    pub(super) async fn discover(&self) -> Result<Vec<Stream>, Trouble> {
        let wrong = |error| Trouble::protocol(format!("the address of the API is wrong: {error}"), "check api");
        let mut url = self.root.join("sensors/entities/datafeed/v2").map_err(wrong)?;
        url.query_pairs_mut().append_pair("appId", &self.config.app_id);
        let reply = self.ask(&url, None).await?;
        if reply.body.trim_ascii().is_empty() {
            return Err(Trouble::passing("Falcon's list of streams came empty, which happens", None));
        }
        let listed: Option<Listed> = serde_json::from_slice(&reply.body).ok();
        let Some(resources) = listed.and_then(|listed| listed.resources) else {
            return Err(Trouble::protocol(
                format!("Falcon's answer lists no streams, as the wrong cloud does ({})", self.login.cloud.as_str()),
                "set cloud to the one in the address of your Falcon console",
            ));
        };
        if resources.len() > MOST_STREAMS {
            return Err(Trouble::protocol(format!("Falcon lists more than {MOST_STREAMS} streams"), "tell support"));
        }
        let streams: Vec<Stream> =
            resources.into_iter().map(|resource| self.stream(resource)).collect::<Result<_, _>>()?;
        let partitions: BTreeSet<&str> = streams.iter().map(|stream| stream.partition.as_str()).collect();
        if partitions.len() < streams.len() {
            return Err(Trouble::protocol("Falcon lists one partition twice", "if it stays, send the log to support"));
        }
        Ok(streams)
    }

    fn stream(&self, resource: Resource) -> Result<Stream, Trouble> {
        let url = self.url(&resource.data_feed)?;
        let partition = url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default();
        let is_good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if partition.is_empty() || partition.len() > 64 || !partition.chars().all(is_good) {
            return Err(Trouble::protocol("a stream's address names no partition", "send the log to support"));
        }
        let interval = resource.refresh_active_session_interval.filter(|seconds| *seconds > 0).unwrap_or(INTERVAL);
        Ok(Stream {
            partition: partition.to_owned(),
            token: Secret::new(resource.session_token.token),
            refresh: self.url(&resource.refresh)?,
            interval: Duration::from_secs(interval.min(86_400)),
            url,
        })
    }

    /// An address that the vendor named; a token goes to it.
    fn url(&self, text: &str) -> Result<Url, Trouble> {
        let url = Url::parse(text);
        let url = url.map_err(|_| Trouble::protocol("a stream's address is none", "send the log to support"))?;
        if cloud::is_ours(&url, &self.root, &self.config.stream_hosts) {
            return Ok(url);
        }
        let host = url.host_str().unwrap_or_default();
        Err(Trouble::protocol(
            format!("Falcon names a stream on another host, {}://{host}, which gets no token", url.scheme()),
            "if that host is right, add its domain to stream_hosts (https only); else check cloud and api",
        ))
    }

    /// Keeps a stream for another interval.
    ///
    /// # Errors
    /// In words; once more may help.
    ///
    /// # Cancel safety
    /// Dropping it closes the connection; the stream may have been kept.
    pub(super) async fn refresh(&self, stream: &Stream) -> Result<(), Trouble> {
        self.ask(&stream.refresh, Some(Vec::new())).await.map(drop)
    }

    /// Connects a stream: what comes is its body.
    ///
    /// # Errors
    /// The code of the refusal, if there was one, and its words.
    ///
    /// # Cancel safety
    /// Dropping it closes the connection.
    pub(super) async fn connect(&self, stream: &Stream, from: Option<u64>) -> Result<Answer, (Option<u16>, Trouble)> {
        let mut url = stream.url.clone();
        match from {
            Some(offset) => url.query_pairs_mut().append_pair("offset", &offset.to_string()),
            None => url.query_pairs_mut().append_pair("whence", "2"),
        };
        if !self.config.event_types.is_empty() {
            url.query_pairs_mut().append_pair("eventType", &self.config.event_types.join(","));
        }
        let fields = [
            (header::AUTHORIZATION, format!("Token {}", stream.token.expose())),
            (header::ACCEPT, "application/json".to_owned()),
        ];
        let answer = self.way.open(&url, &fields).await.map_err(|trouble| (None, trouble))?;
        let code = answer.code();
        if code == 200 {
            return Ok(answer);
        }
        let wanted = words::fields().map(|name| answer.field(&name).map(str::to_owned));
        let retry_after = answer.retry_after();
        let body = answer.body(MAX_REFUSAL).await.unwrap_or_default().into();
        let reply = Reply { code, body, retry_after, fields: wanted.into() };
        let trouble = match code {
            401 | 403 | 404 => Trouble::passing(
                format!("Falcon no longer takes the session of partition {} ({code})", stream.partition),
                None,
            ),
            _ => words::refused(&reply, &self.place()),
        };
        Err((Some(code), trouble))
    }

    async fn ask(&self, url: &Url, body: Option<Vec<u8>>) -> Result<Reply, Trouble> {
        let mut is_second = false;
        loop {
            let token = self.login.token().await?;
            self.budget.take().await;
            let fields = [
                (header::AUTHORIZATION, format!("Bearer {}", token.expose())),
                (header::ACCEPT, "application/json".to_owned()),
                (header::CONTENT_TYPE, "application/json".to_owned()),
            ];
            let reply = self.way.ask(url, &fields, body.clone(), MAX_ANSWER, &words::fields()).await?;
            if (200..300).contains(&reply.code) {
                return Ok(reply);
            }
            if matches!(reply.code, 401 | 403) {
                // A scope that was granted a moment ago is in the next token.
                self.login.forget().await;
                if reply.code == 401 && !std::mem::replace(&mut is_second, true) {
                    continue;
                }
            }
            let trouble = words::refused(&reply, &self.place());
            if let Wait::For(wait) = trouble.wait {
                self.budget.pause(wait);
            }
            return Err(trouble);
        }
    }

    fn place(&self) -> Place<'_> {
        Place { cloud: self.login.cloud, file: &self.config.client_secret_file, way: &self.way }
    }
}
