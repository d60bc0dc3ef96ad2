//! What the box says about itself: an event for each hole, so that the far end knows of it too, and one for each notice.
//!
//! In: the queue's ledger, looked at once a second, and what other rooms tell (updates). Out: batches of `Kind::Notice`, each with the totals it reports as its
//! checkpoint, so that every drop is told once, also after a crash. A notice names the source, the time range, the count and
//! the reason.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{Mutex, mpsc};
use tokio::time::{MissedTickBehavior, interval};

use super::{Context, SourceError};
use crate::clock::Timestamp;
use crate::event::{Batch, BatchBuilder, BatchLimits, Checkpoint, Kind, Notice, Origin, Record, SourceId, Transport};
use crate::status::{Count, DropReason, Health};

/// The source's id; the settings refuse it for others.
pub const NOTICES: &str = "sapphire_edge";
/// How often the ledger is looked at: a flood of drops becomes one event a second for each source and reason.
const LOOK: Duration = Duration::from_secs(1);
/// The feed whose checkpoint holds what was told.
const FEED: &str = "drops";

/// What other rooms told; shared by the runs of the component, one after the other.
pub type Told = Arc<Mutex<mpsc::Receiver<Notice>>>;

/// Tells of drops and of what other rooms told until stopped, and of the gap since `gap_since`, if there was one.
///
/// # Errors
/// When what was told before cannot be read; it is tried again.
///
/// # Cancel safety
/// Dropping it loses nothing: what was not handed over is told by the next run.
pub async fn run_notices(context: Context, gap_since: Option<Timestamp>, heard: Told) -> Result<(), SourceError> {
    let id = SourceId::from(NOTICES);
    let (intake, reader) = (context.intake.clone(), id.clone());
    let told = tokio::task::spawn_blocking(move || intake.checkpoint(&reader, FEED)).await;
    let told = told.unwrap_or_else(|err| Err(std::io::Error::other(err))).map_err(SourceError::Checkpoint)?;
    let mut told: BTreeMap<Vec<u8>, u64> =
        told.into_iter().filter_map(|(key, value)| Some((key, u64::from_be_bytes(value.try_into().ok()?)))).collect();
    context.status.set(Health::Healthy);
    let mut since = gap_since.unwrap_or_else(|| context.clock.now());
    if let Some(from) = gap_since {
        let batch = gap(&id, from, context.clock.now());
        if submit(&context, batch).await.is_err() {
            return Ok(());
        }
    }
    let mut heard = heard.lock().await;
    let mut tick = interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let stopped = tokio::select! {
            () = context.stop.cancelled() => true,
            Some(notice) = heard.recv() => {
                if submit(&context, of_notice(&id, context.clock.now(), notice)).await.is_err() {
                    return Ok(());
                }
                continue;
            }
            _ = tick.tick() => false,
        };
        let now = context.clock.now();
        // What is taken out has to be handed over: only at the end, for else it is left to the line above.
        while stopped && let Ok(notice) = heard.try_recv() {
            if submit(&context, of_notice(&id, now, notice)).await.is_err() {
                return Ok(());
            }
        }
        if let Some(batch) = drops(&context, &id, &mut told, since, now)
            && submit(&context, batch).await.is_err()
        {
            return Ok(());
        }
        if stopped {
            return Ok(());
        }
        since = now;
    }
}

async fn submit(context: &Context, batch: Batch) -> Result<(), crate::queue::Closed> {
    context.status.counters().add(Count::ReceivedEvents, batch.count().into());
    context.intake.submit(batch).await.map(drop)
}

/// A batch with an event for each source and reason that dropped more than was told, if there is any.
fn drops(
    context: &Context,
    id: &SourceId,
    told: &mut BTreeMap<Vec<u8>, u64>,
    from: Timestamp,
    to: Timestamp,
) -> Option<Batch> {
    let mut builder = builder(id);
    let mut changes = Vec::new();
    let ledger = context.intake.ledger().into_iter().filter(|(source, _)| source != id);
    for (source, totals) in ledger {
        for (reason, total) in totals.dropped {
            let key = [source.as_str().as_bytes(), b"\0", reason.as_str().as_bytes()].concat();
            let count = total.saturating_sub(told.get(&key).copied().unwrap_or(0));
            if count > 0 {
                push(&mut builder, to, &drop_notice(&source, reason, count, from, to));
                changes.push((key.clone(), Some(total.to_be_bytes().to_vec())));
                told.insert(key, total);
            }
        }
    }
    Some(builder.seal()?.with_checkpoint(Checkpoint { feed: FEED.to_owned(), changes }))
}

fn drop_notice(source: &SourceId, reason: DropReason, count: u64, from: Timestamp, to: Timestamp) -> serde_json::Value {
    let help = reason.help().trim_end_matches('.');
    json!({
        "@timestamp": to.to_string(),
        "message": format!("{count} events of source {source} were dropped. {help}"),
        "event": { "kind": "event", "category": ["host"], "action": "events_dropped", "outcome": "failure" },
        "notice": {
            "kind": "events_dropped", "source": source.as_str(), "reason": reason.as_str(), "count": count,
            "from": from.to_string(), "to": to.to_string(),
        },
    })
}

/// The event of a stop that was no clean one.
fn gap(id: &SourceId, from: Timestamp, to: Timestamp) -> Batch {
    let notice = json!({
        "@timestamp": to.to_string(),
        "message": "the box was not stopped cleanly: events that nobody was promised (UDP, plain TCP) may be missing",
        "event": { "kind": "event", "category": ["host"], "action": "gap", "outcome": "failure" },
        "notice": { "kind": "gap", "from": from.to_string(), "to": to.to_string() },
    });
    single(id, to, &notice)
}

/// The event of what another room told.
fn of_notice(id: &SourceId, at: Timestamp, notice: Notice) -> Batch {
    let outcome = if notice.is_success { "success" } else { "failure" };
    let mut facts = notice.facts;
    facts.insert("kind".to_owned(), notice.action.into());
    let event = json!({
        "@timestamp": at.to_string(),
        "message": notice.message,
        "event": { "kind": "event", "category": ["host"], "action": notice.action, "outcome": outcome },
        "notice": facts,
    });
    single(id, at, &event)
}

fn single(id: &SourceId, received: Timestamp, event: &serde_json::Value) -> Batch {
    let mut builder = builder(id);
    push(&mut builder, received, event);
    #[expect(clippy::expect_used, reason = "a record was pushed in the line above")]
    builder.seal().expect("not empty")
}

fn builder(id: &SourceId) -> BatchBuilder {
    BatchBuilder::new(id.clone(), Kind::Notice, BatchLimits::default())
}

fn push(builder: &mut BatchBuilder, received: Timestamp, notice: &serde_json::Value) {
    let origin = Origin::new(Transport::Internal, None);
    let bytes = notice.to_string();
    builder.push(&Record { received, origin: &origin, id: None, cut_from: None, bytes: bytes.as_bytes() });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::clock::Clock;
    use crate::event::Teller;
    use crate::net::Sockets;
    use crate::queue::{self, OutputRule, Queue};
    use crate::status::{Board, Component};

    /// Each notice comes at the very instant at which the ledger is looked at.
    #[tokio::test(start_paused = true)]
    async fn a_notice_that_comes_as_the_ledger_is_looked_at_is_told_like_any_other() {
        const COUNT: u64 = 40;
        let folder = tempfile::tempdir().unwrap();
        let board = Board::new(Clock::System);
        let rule = OutputRule { id: "gw".into(), may_skip: false, acknowledges: true };
        let config = queue::Config::default();
        let queue = Queue::open(folder.path(), &config, &[rule], board.handle(Component::Queue, "queue")).unwrap();
        let (teller, heard) = Teller::new();
        let context = Context {
            intake: queue.intake(),
            stop: CancellationToken::new(),
            status: board.handle(Component::Box, "notices"),
            clock: Clock::System,
            sockets: Sockets::default(),
            state_dir: folder.path().to_owned(),
            teller: teller.clone(),
        };
        let (stop, status) = (context.stop.clone(), context.status.clone());
        let tell = async {
            let mut tick = interval(LOOK);
            for _ in 0..COUNT {
                tick.tick().await;
                teller.tell(Notice::new("login", true, "somebody logs in".to_owned(), &[]));
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
            stop.cancel();
        };
        let (ended, ()) = tokio::join!(run_notices(context, None, Arc::new(Mutex::new(heard))), tell);
        ended.unwrap();
        assert_eq!(status.counters().count(Count::ReceivedEvents), COUNT);
        assert_eq!(queue.ledger()[&SourceId::from(NOTICES)].received, COUNT);
    }
}
