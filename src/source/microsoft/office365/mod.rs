//! The Office 365 Management Activity API: the unified audit log.
//!
//! In: contents (blobs of many records) that the API lists by content type and by the time they became available. Out: their
//! records. Subscriptions are listed first and started only where they are missing, at most every 15 minutes, and never
//! stopped: a stop loses what becomes available meanwhile.
//!
//! Facts: "Management Activity API reference" and "FAQs and troubleshooting": windows of at most 24 hours, not older than 7
//! days; `NextPageUri`; no order; contents listed late; repeated records are normal and told by their `Id`; 2,000 requests a
//! minute for each tenant; `PublisherIdentifier` on every call; refusals of the budget come as 403 with AF429, with quotes
//! that are no JSON. Codes are in `words`.
//!
//! Decisions: windows of an hour while catching up; each question goes back two hours, and once a day twenty-four, for
//! contents that are listed late; a content counts as had only together with its records. Webhooks are not used: they are no
//! faster, and need an open port at the customer.

mod contents;
mod settings;
mod subscription;
mod words;

pub use settings::{Config, ContentType};

use std::sync::Arc;

use contents::Contents;
use subscription::Subscriptions;

use super::account;
use super::session::Api;
use crate::clock::Clock;
use crate::event::SourceId;
use crate::source::pull::{Budget, Feed, Feeds, Pace};
use crate::source::{Context, Finding, SourceError};

/// What the feeds of one tenant share.
#[derive(Debug)]
struct Tenant {
    api: Arc<Api>,
    budget: Budget,
    subscriptions: Subscriptions,
    /// The tenant of whoever wrote the client; calls without it share a small budget with everybody else's.
    publisher: String,
}

/// A feed for each tenant and content type.
fn feeds(config: &Config, clock: Clock) -> Result<Vec<Contents>, SourceError> {
    let account = config.account();
    let way = account.way(clock);
    let bodies = account.bodies();
    let mut all = Vec::new();
    for api in account.apis(&way, &bodies)? {
        let publisher = config.publisher.clone().unwrap_or_else(|| api.identity.tenant.clone());
        // A tenth at once: five content types and their contents start together.
        let budget = Budget::per_minute(config.requests_per_minute, config.requests_per_minute / 10);
        let tenant = Arc::new(Tenant { api, budget, subscriptions: Subscriptions::default(), publisher });
        for content_type in &config.content_types {
            all.push(Contents::new(Arc::clone(&tenant), *content_type, config));
        }
    }
    Ok(all)
}

/// See [`crate::source::run`].
pub(in crate::source) async fn run(config: Config, context: Context) -> Result<(), SourceError> {
    let feeds = feeds(&config, context.clock.clone())?;
    let Some(way) = feeds.first().map(|feed| Arc::clone(&feed.tenant.api.way)) else { return Ok(()) };
    let bench = account::bench(&config.id, &context, way, feeds.iter().map(Feed::name));
    let pace = Pace { poll: config.poll_interval.0, backoff: (config.backoff_min.0, config.backoff_max.0) };
    let mut tasks = Feeds::new(&bench);
    for feed in feeds {
        tasks.start(feed, pace, bench.clone());
    }
    tasks.join().await
}

/// See [`crate::source::test`]: lists the subscriptions of each tenant, and contents of those that are started.
pub(in crate::source) async fn test(config: &Config, clock: Clock) -> Vec<Finding> {
    match feeds(config, clock) {
        Ok(feeds) => probe(feeds).await,
        Err(error) => vec![Finding::wrong(SourceId::as_str(&config.id), error.to_string(), error.todo())],
    }
}

async fn probe(feeds: Vec<Contents>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for feed in feeds {
        let name = feed.name().to_owned();
        findings.push(Finding::of(&name, feed.probe().await));
    }
    findings
}
