//! Cisco Secure Endpoint (formerly AMP for Endpoints): its events, from an event stream or by asking.
//!
//! In: the API v1 over HTTPS (`api`, `events`, `streams`), and AMQP 0-9-1 over TLS (`broker`). Out: one feed for the loop of
//! `pull`, whose records are the events as they came. Floor 3 with `source/`.
//!
//! The feed (`feed`) makes an event stream at the vendor, asks once for what was before it, and reads the stream; once a day
//! it asks for the last day again, for what a stream may have missed. Where no stream can be had (a read-only API key, too many
//! streams) it asks all the time, says so, and tries again each hour.
//!
//! Invariants: an event's id is made of the API's host and the vendor's id alone, so it is the same however it came; a message
//! is acknowledged only once it is settled; no stream is deleted but the one under our name; its credentials, which the vendor
//! shows once, are durable before the stream is used.
//!
//! Facts: Cisco, "Secure Endpoint API documentation" v1 (api-docs.amp.cisco.com) and developer.cisco.com; CiscoSecurity on
//! GitHub, amp-04-create-event-stream and amp-00-integration-workflows; "Configure and use the event stream feature" (cisco.com
//! 215350). Each file says what it takes from them, and what is not confirmed.
//!
//! Not supported: API v3, whose events are those of v1; its streams are the same.

mod api;
mod broker;
mod events;
mod feed;
mod form;
mod kept;
mod settings;
mod streams;
mod types;
mod words;

pub(super) use form::FORM;
pub use settings::{Config, Delivery, Region};

use std::sync::Arc;

use self::api::Api;
use self::feed::AmpFeed;
use self::streams::Streams;
use super::pull::{Bench, Feed as _, Feeds, Pace, Picture};
use super::{Context, Finding, SourceError};
use crate::clock::Clock;

/// See [`super::run`].
pub(super) async fn run(config: Config, context: Context) -> Result<(), SourceError> {
    let api = Arc::new(Api::new(&config, context.clock.clone())?);
    let streams = Streams::open(&context.state_dir, &config, Arc::clone(&api));
    let feed = AmpFeed::new(&config, Arc::clone(&api), streams.map_err(SourceError::StateFolder)?, &context.status);
    let picture = Picture::new(context.status.clone(), Arc::clone(&api.way), std::iter::once(feed.name().to_owned()));
    let bench = Bench {
        id: config.id.clone(),
        store: Arc::new(context.intake.clone()),
        status: context.status.clone(),
        clock: context.clock.clone(),
        stop: context.stop.clone(),
        picture: Arc::new(picture),
    };
    let pace = Pace { poll: config.poll_interval.0, backoff: (config.backoff_min.0, config.backoff_max.0) };
    let mut tasks = Feeds::new(&bench);
    tasks.start(feed, pace, bench);
    tasks.join().await
}

/// See [`super::test`].
pub(super) async fn test(config: &Config, clock: Clock) -> Vec<Finding> {
    let api = match Api::new(config, clock) {
        Ok(api) => Arc::new(api),
        Err(error) => return vec![Finding::wrong(config.id.as_str(), error.to_string(), error.todo())],
    };
    let mut findings = vec![Finding::of("events", events::probe(&api).await)];
    if config.delivery == Delivery::Stream {
        findings.push(Finding::of("event_streams", streams::probe(&api).await));
        findings.push(Finding::of("stream_connection", broker::probe(config).await));
    }
    findings
}
