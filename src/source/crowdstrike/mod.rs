//! CrowdStrike Falcon, Event Streams: detections, incidents and audit events of a tenant as they happen.
//!
//! In: the streams that discovery names, one for each partition, all read at once (`discovery`, `partition`). Out: events byte by byte
//! as they came, or as CEF or LEEF (`format`), through the loop of `pull`. Floor 3 with `source/`.
//!
//! Invariants: a position moves only with the events that reached it; an event's id is its tenant, partition and offset, whatever the
//! app id, the format and the box; a partition's checkpoint goes by the partition in the address's path; tokens go to hosts of
//! CrowdStrike's own domain only; no line is dropped because of its form; a stream is kept by a timer of its own.
//!
//! Facts: public clients of the vendor and of others; each file says which.
//!
//! Not supported: `format=flatjson`; several tenants in one source. Raw telemetry of sensors comes by `replicator`.

mod cloud;
mod discovery;
mod event;
mod falcon;
mod form;
mod format;
mod import;
mod login;
mod partition;
mod place;
mod settings;
mod words;

use std::sync::Arc;

use tokio::sync::mpsc;

use self::discovery::Discovery;
use self::falcon::Falcon;
use self::format::Mapper;
use super::pull::{Bench, Feeds, Picture, Way};
use super::{Context, Finding, SourceError};
use crate::clock::Clock;

pub use cloud::FalconCloud;
pub(super) use form::FORM;
pub use import::{ImportedFalcon, import as import_falcon};
pub use settings::{Begin, Config, FalconFormat};

/// Partitions that were sent for and not yet begun.
const COMING: usize = 4;

/// See [`crate::source::run`].
pub(in crate::source) async fn run(config: Config, context: Context) -> Result<(), SourceError> {
    let mapper = Mapper::open(config.format, config.mapping.as_deref(), config.id.as_str());
    let mapper = Arc::new(mapper.map_err(SourceError::Settings)?);
    let (id, pace) = (config.id.clone(), config.pace());
    let falcon = falcon(config, context.clock.clone()).map_err(SourceError::Settings)?;
    let picture = Picture::new(context.status.clone(), Arc::clone(&falcon.way), std::iter::empty());
    let bench = Bench {
        id,
        store: Arc::new(context.intake.clone()),
        status: context.status.clone(),
        clock: context.clock.clone(),
        stop: context.stop.clone(),
        picture: Arc::new(picture),
    };
    let (partitions, coming) = mpsc::channel(COMING);
    let mut feeds = Feeds::new(&bench);
    feeds.start(Discovery::new(falcon, mapper, context.status.clone(), partitions), pace, bench.clone());
    feeds.join_with(coming, pace, bench).await
}

fn falcon(config: Config, clock: Clock) -> Result<Arc<Falcon>, String> {
    let way = Arc::new(Way::new(&config.route(), clock));
    Falcon::new(config, way).map(Arc::new)
}

/// See [`crate::source::test`]: logs in and lists the streams, but connects none.
pub(in crate::source) async fn test(config: &Config, clock: Clock) -> Vec<Finding> {
    let falcon = match falcon(config.clone(), clock) {
        Ok(falcon) => falcon,
        Err(words) => return vec![Finding::wrong(config.id.as_str(), words, "mend the settings".into())],
    };
    let login = falcon.log_in().await;
    let is_in = login.is_ok();
    let mut findings = vec![Finding::of("login", login)];
    if !is_in {
        return findings;
    }
    match falcon.discover().await {
        Err(trouble) => findings.push(Finding::of("event streams", Err(trouble))),
        Ok(streams) if streams.is_empty() => {
            let app_id = &config.app_id;
            let what = format!("event streams (app id {app_id} is connected: right if this box is reading now)");
            findings.push(Finding::of(&what, Ok(())));
        }
        Ok(streams) => {
            let partition = |name: &str| Finding::of(&format!("event stream of partition {name}"), Ok(()));
            findings.extend(streams.iter().map(|stream| partition(&stream.partition)));
        }
    }
    if let Some(ahead) = falcon.way.skew() {
        let what = format!("the box's clock differs from Falcon's by {} s", ahead.unsigned_abs());
        let todo = "check the table [time] and that the box reaches its time servers".to_owned();
        findings.push(Finding::wrong("clock", what, todo));
    }
    findings
}
