//! Duo: the logs of an account by its Admin API.
//!
//! In: pages of the API's logs. Out: feeds for the loop of `pull`, one for each log. Here are only requests, pages and words.
//! Every request is signed and goes to `host` alone.
//!
//! Facts: "Duo Admin API" (2025), "Duo Rate Limits", and the vendor's `duo_client` for Python 5.7.0; each file names what it
//! takes from them.
//!
//! Not supported: the Accounts API, with which a provider reads the accounts of its customers (`account_id`): make an Admin
//! API application in each account. The logs' older versions, which Duo has replaced (authentication and telephony v1).

mod answer;
mod api;
mod feed;
mod form;
mod log;
mod settings;
mod sign;
mod words;

pub(super) use form::FORM;
pub use log::DuoLog;
pub use settings::Config;
pub use sign::Signature as DuoSignature;

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::pull::{Bench, Budget, Feed as _, Feeds, Pace, Picture, Store, Way};
use super::{Context, Finding, SourceError};
use crate::clock::Clock;
use api::Api;
use feed::{LogFeed, plan};

/// Bodies in memory at once, for all logs: with the default of `max_page` 32 MiB, a third of the memory bound.
const BODIES: usize = 4;
/// Requests that may come at once: each log's first, and one more.
const BURST: u32 = 12;

impl Config {
    fn feeds(&self, way: &Arc<Way>) -> Result<Vec<LogFeed>, SourceError> {
        let root = self.root().ok_or_else(|| SourceError::Settings("api is no https address".into()))?;
        let api = Arc::new(Api {
            way: Arc::clone(way),
            host: self.host.to_ascii_lowercase(),
            root,
            integration_key: self.integration_key.clone(),
            secret_key_file: self.secret_key_file.clone(),
            signature: self.signature,
            budget: Budget::per_minute(self.requests_per_minute, BURST.min(self.requests_per_minute)),
            bodies: Arc::new(Semaphore::new(BODIES)),
            max_body: self.max_page.len(),
        });
        let plan = plan(self.backfill.0, self.overlap.0);
        let logs: BTreeSet<DuoLog> = self.logs.iter().copied().collect();
        Ok(logs.into_iter().map(|log| LogFeed::new(Arc::clone(&api), log, plan.clone())).collect())
    }
}

/// See [`crate::source::run`].
pub(super) async fn run(config: Config, context: Context) -> Result<(), SourceError> {
    let way = Arc::new(Way::new(&config.route(), context.clock.clone()));
    let feeds = config.feeds(&way)?;
    let names = feeds.iter().map(|feed| feed.name().to_owned());
    let picture = Arc::new(Picture::new(context.status.clone(), Arc::clone(&way), names));
    let store: Arc<dyn Store> = Arc::new(context.intake);
    let (status, clock, stop) = (context.status, context.clock, context.stop);
    let bench = Bench { id: config.id.clone(), store, status, clock, stop, picture };
    let pace = Pace { poll: config.poll_interval.0, backoff: (config.backoff_min.0, config.backoff_max.0) };
    let mut tasks = Feeds::new(&bench);
    for feed in feeds {
        tasks.start(feed, pace, bench.clone());
    }
    tasks.join().await
}

/// See [`crate::source::test`].
pub(super) async fn test(config: &Config, clock: Clock) -> Vec<Finding> {
    let way = Arc::new(Way::new(&config.route(), clock));
    let feeds = match config.feeds(&way) {
        Ok(feeds) => feeds,
        Err(error) => return vec![Finding::wrong(config.id.as_str(), error.to_string(), error.todo())],
    };
    let mut findings = Vec::new();
    for feed in feeds {
        findings.push(Finding::of(feed.name(), feed.probe().await));
    }
    let clock = way.skew().map(|ahead| Finding::wrong("clock", words::skewed(ahead), words::CLOCK.to_owned()));
    findings.extend(clock);
    findings
}
