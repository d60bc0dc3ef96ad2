//! Azure Event Hubs: what a customer's Azure exports (Entra, Azure Monitor, Defender, Intune and others), read partition by
//! partition with a position of our own.
//!
//! In: AMQP 1.0 over TLS, or in a WebSocket (`amqp`, `socket`). Out: batches of single records ([`Kind::EventHub`]), each batch with the position it
//! reaches. Floor 3 with `source/`. One task for each hub ([`hub`]), one for each of its partitions and groups ([`feed`]).
//!
//! Invariants: a record's id never changes (`identity`), so what is read twice is recognised; a position moves only with the
//! batch that reached it; nothing is dropped because of its form (`envelope`); a partition that fails stops no other.
//!
//! Facts: Microsoft's protocol guide and client libraries; each file says which.
//!
//! Not supported: the Kafka endpoint (Basic tier has none), positions kept in a storage account (a box keeps its own; two
//! boxes at one hub are kept apart by the owner level), the emulator (it speaks without TLS).
//!
//! [`Kind::EventHub`]: crate::event::Kind::EventHub

mod amqp;
mod envelope;
mod face;
mod fault;
mod feed;
mod form;
mod hub;
mod identity;
mod login;
mod probe;
mod sas;
mod settings;
mod socket;
#[cfg(test)]
mod tests;
mod words;

pub(super) use form::FORM;
pub(super) use probe::test;
pub use settings::Config;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::face::Face;
use self::fault::Where;
use self::feed::Account;
use self::hub::Hub;
use self::login::Login;
use super::{Context, SourceError};
use crate::event::{Batch, BatchBuilder, BatchLimits, Kind, Origin, Record, Transport};

/// How long the last batches are waited for at the end: several times the queue's `flush_after`, well within the grace.
const DRAIN: Duration = Duration::from_secs(2);

/// See [`super::run`].
pub(super) async fn run(config: Config, context: Context) -> Result<(), SourceError> {
    let face = Arc::new(Face::new(context.status.clone()));
    let Some((namespace, hubs)) = account(&config, &context, &face).await else { return Ok(()) };
    let tls = socket::connector(&config.tls, &namespace)?;
    let share = config.prefetch.len() / hubs.len().max(1);
    // A part that panics stops the others without stopping what the app runs beside us.
    let stop = context.stop.child_token();
    let mut tasks = JoinSet::new();
    for name in hubs {
        let account = Account {
            config: config.clone(),
            namespace: namespace.clone(),
            hub: name,
            store: Arc::new(context.intake.clone()),
            status: context.status.clone(),
            clock: context.clock.clone(),
        };
        let hub = Hub::new(Arc::new(account), tls.clone(), Arc::clone(&face), share);
        tasks.spawn(hub.run(stop.clone()));
    }
    let mut result = Ok(());
    while let Some(ended) = tasks.join_next().await {
        if !matches!(ended, Ok(Ok(()))) && !context.stop.is_cancelled() {
            result = Err(SourceError::Panicked);
            stop.cancel();
        }
    }
    result
}

/// The namespace and its hubs; waits until the file that names them is right. `None` where it is told to stop.
async fn account(config: &Config, context: &Context, face: &Face) -> Option<(String, Vec<String>)> {
    let mut backoff = config.backoff();
    let place = config.id.as_str();
    loop {
        let fault = match Login::read(config, &context.clock).await {
            Ok((_, namespace, hubs)) => {
                face.gone(place);
                return Some((namespace, hubs));
            }
            Err(fault) => fault,
        };
        let nowhere = Where { namespace: "the namespace", hub: "", group: "", partition: "", login: "" };
        let words = fault.words(&nowhere);
        tracing::warn!(source = place, what = words.0, todo = words.1, "event hubs are not read");
        face.trouble(place, words, fault.cause());
        tokio::select! {
            () = context.stop.cancelled() => return None,
            () = sleep(backoff.next_delay()) => {}
        }
    }
}

/// The event of a hole: the far end is told which events never came, or that nobody can say.
fn lost(account: &Account, feed: &str, why: &str, count: Option<u64>, last: Option<i64>) -> Batch {
    let now = account.clock.now();
    let notice = json!({
        "@timestamp": now.to_string(),
        "message": format!("a part of {feed} may be missing: {why}"),
        "event": { "kind": "event", "category": ["host"], "action": "position_lost", "outcome": "failure" },
        "notice": {
            "kind": "position_lost", "source": account.config.id.as_str(), "feed": feed, "reason": why,
            "count": count, "last_sequence_number": last,
        },
    });
    let mut builder = BatchBuilder::new(account.config.id.clone(), Kind::Notice, BatchLimits::default());
    let (origin, bytes) = (Origin::new(Transport::Internal, None), notice.to_string());
    builder.push(&Record { received: now, origin: &origin, id: None, cut_from: None, bytes: bytes.as_bytes() });
    #[expect(clippy::expect_used, reason = "a record was pushed in the line above")]
    builder.seal().expect("not empty")
}
