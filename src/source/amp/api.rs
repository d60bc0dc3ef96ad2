//! Requests to the API v1: basic login, rate limit, whole answers.
//!
//! Facts: Cisco, "Secure Endpoint API documentation" v1: basic authentication with client id and API key; 3,000 requests an
//! hour for each (usual, not confirmed), told by `X-Rate-Limit-Remaining` and `X-Rate-Limit-Reset` (seconds until there are
//! more). Cisco's scripts read `X-RateLimit-…` too: both are taken.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

use super::settings::Config;
use super::types::Types;
use super::words;
use crate::clock::Clock;
use crate::net::http::header::{self, HeaderName};
use crate::net::http::{Url, Verb};
use crate::source::SourceError;
use crate::source::microsoft::base;
use crate::source::pull::{Budget, Reply, Trouble, Wait, Way};

/// Bodies in memory at once: the one that is read and the one before it.
const BODIES: usize = 2;
/// A little less than the usual 3,000 an hour, and enough at once for the pages of a first start.
const RATE: (u32, u32) = (45, 200);
/// A key has 36 characters; a file that is much longer is another one.
const MOST_KEY: usize = 1_024;

/// The API as one credential sees it.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) way: Arc<Way>,
    /// Its address; what it links to must be there too.
    pub(super) root: Url,
    /// Which events are wanted.
    pub(super) types: Mutex<Types>,
    client_id: String,
    key_file: PathBuf,
    budget: Budget,
    bodies: Arc<Semaphore>,
    max_body: usize,
}

impl Api {
    /// # Errors
    /// When the address is none.
    pub(super) fn new(config: &Config, clock: Clock) -> Result<Self, SourceError> {
        let root = base(config.api()).ok_or_else(|| SourceError::Settings("api is no https address".into()))?;
        Ok(Self {
            way: Arc::new(Way::new(&config.route(), clock)),
            root,
            types: Mutex::new(Types::new(&config.event_types, &config.groups)),
            client_id: config.client_id.clone(),
            key_file: config.api_key_file.clone(),
            budget: Budget::per_minute(RATE.0, RATE.1),
            bodies: Arc::new(Semaphore::new(BODIES)),
            max_body: config.max_page.len(),
        })
    }

    /// The host, for words and ids.
    pub(super) fn host(&self) -> &str {
        self.root.host_str().unwrap_or_default()
    }

    /// An address below the API's.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn url(&self, path: &str) -> Result<Url, Trouble> {
        let wrong = |error| Trouble::protocol(format!("the address of the API is wrong: {error}"), "check api");
        self.root.join(path).map_err(wrong)
    }

    /// A place for a body in memory; waits until there is one.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.bodies).acquire_owned().await.ok()
    }

    /// Asks, and takes nothing but a good answer.
    ///
    /// # Errors
    /// Everything else, in words.
    pub(super) async fn get(&self, url: &Url) -> Result<Reply, Trouble> {
        self.act(url, Verb::Get).await?.map_err(|reply| words::refused(&reply, self.host()))
    }

    /// Sends a request; the inner error is an answer that refuses it, and that is not about the number of requests or a vendor
    /// that is not well.
    ///
    /// # Errors
    /// When there is no such answer, in words.
    ///
    /// # Cancel safety
    /// Dropping it closes the connection; the vendor may have done what it was asked.
    pub(super) async fn act(&self, url: &Url, verb: Verb) -> Result<Result<Reply, Reply>, Trouble> {
        self.check_host(url)?;
        let login = self.login().await?;
        self.budget.take().await;
        let mut fields = vec![(header::AUTHORIZATION, login.to_string()), (header::ACCEPT, "application/json".into())];
        if matches!(verb, Verb::Post(_)) {
            fields.push((header::CONTENT_TYPE, "application/json".into()));
        }
        let names = ["x-rate-limit-remaining", "x-ratelimit-remaining", "x-rate-limit-reset", "x-ratelimit-reset"];
        let reply = self.way.act(url, &fields, verb, self.max_body, &names.map(HeaderName::from_static)).await?;
        let number = |at: usize| {
            let found = reply.fields.get(at..at + 2).unwrap_or_default().iter().flatten().next();
            found.and_then(|text| text.trim().parse::<u64>().ok())
        };
        let reset = reply.retry_after.or_else(|| number(2).map(words::at_most_an_hour));
        if number(0) == Some(0) || reply.code == 429 {
            self.budget.pause(reset.unwrap_or(Duration::from_secs(60)));
        }
        match reply.code {
            200..300 => Ok(Ok(reply)),
            429 | 408 | 500.. => {
                Err(Trouble { wait: reset.map_or(Wait::Backoff, Wait::For), ..words::refused(&reply, self.host()) })
            }
            _ => Ok(Err(reply)),
        }
    }

    /// The header field of a login; the file is read every time, so that a new key is taken into use at once.
    async fn login(&self) -> Result<Zeroizing<String>, Trouble> {
        let file = self.key_file.display();
        let todo = "check api_key_file: it holds the API Key, which the console shows once, and nothing else";
        let read = tokio::fs::read(&self.key_file).await.map(Zeroizing::new);
        let bytes = read.map_err(|error| Trouble::login(format!("cannot read {file} ({error})"), todo))?;
        let key = std::str::from_utf8(&bytes).unwrap_or_default().trim();
        if key.is_empty() || key.len() > MOST_KEY {
            return Err(Trouble::login(format!("{file} holds no API key"), todo));
        }
        let pair = Zeroizing::new(format!("{}:{key}", self.client_id));
        let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
        Ok(Zeroizing::new(format!("Basic {}", *encoded)))
    }

    /// Links come from the server; the key goes to nobody but the host of the settings.
    ///
    /// # Errors
    /// When it leads elsewhere.
    pub(super) fn check_host(&self, url: &Url) -> Result<(), Trouble> {
        let same = url.scheme() == "https"
            && url.host_str() == self.root.host_str()
            && url.port_or_known_default() == self.root.port_or_known_default();
        if same {
            return Ok(());
        }
        let host = url.host_str().unwrap_or_default();
        let what = format!("the answer links to another host, {host}, which is not given the API key");
        Err(Trouble::protocol(what, "check region and api of this source; if they are right, report this to support"))
    }
}
