//! What lasts: the promise under kills, full disks, slow disks, long outages and clocks that jump.
//!
//! All of it through the real program. Seeds are printed; `ENDURE_SEED` replays one. What takes long is set by
//! `ENDURE_KILLS` and `ENDURE_BACKLOG`, and `tests/run --full` sets them.

#![allow(clippy::print_stdout, reason = "seeds and figures are for the person who reads the test's output")]

/// Agents that remember what was acknowledged.
mod agent;
/// Memory, time to open, idle.
mod bounds;
/// A wall clock that jumps.
mod clock;
/// The gateway and its file.
mod far_end;
/// An update and the way back.
mod firmware;
/// A disk that others fill.
mod full_disk;
/// The queue at its `max_size`.
mod full_queue;
/// `kill -9` at random instants.
mod kill;
/// A line that can be cut.
mod link;
/// Lanes, order and ids after an outage.
mod outage;
/// A disk whose syncs take long.
pub mod slow_disk;
/// A small file system.
pub mod small_disk;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sapphire_edge::clock::{Clock, monotonic};
use sapphire_edge::event::{OutputId, SourceId};
use sapphire_edge::queue::{self, OutputRule, Queue, Totals};
use sapphire_edge::status::{Board, Component, Gauge};

use crate::peers::appliance::{Appliance, until};

/// Held by a test that measures: others of its kind would take the machine from it.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until nothing is queued any more. The gauge is drawn once a second, so it has to stay that way for longer.
fn drained(edge: &Appliance) {
    let mut since = monotonic();
    until("the queue is empty", || {
        let queued = edge.status()?.line(Component::Queue, "queue")?.gauge(Gauge::QueuedEvents);
        if queued > 0 {
            since = monotonic();
        }
        (since.elapsed() > Duration::from_millis(2_500)).then_some(())
    });
}

/// The value of an environment variable, or this one.
fn wish<T: FromStr>(name: &str, default: T) -> T {
    let Ok(text) = std::env::var(name) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{name}={text} is no value"))
}

/// The seed of this run; printed, so that a failure can be replayed.
fn seed(test: &str) -> u64 {
    let seed = wish("ENDURE_SEED", rand::random());
    println!("{test}: ENDURE_SEED={seed}");
    seed
}

/// The table of an output to a gateway on plain TCP, that tries again soon.
fn to_gateway(gateway: SocketAddr) -> String {
    format!(
        "[[output]]\nid = \"gateway\"\ntype = \"lumberjack\"\ntransport = \"tcp\"\nendpoint = \
         [\"{gateway}\"]\nbackoff_min = \"20ms\"\nbackoff_max = \"200ms\"\n"
    )
}

const BEATS: &str = "[[source]]\nid = \"beats\"\ntype = \"lumberjack\"\nlisten = [\"tcp://127.0.0.1:0\"]\n";

/// The ledger that a program which has ended left in its state folder.
fn ledger(state: &Path) -> BTreeMap<SourceId, Totals> {
    let rule = OutputRule { id: OutputId::from("gateway"), may_skip: false, acknowledges: true };
    let status = Board::new(Clock::System).handle(Component::Queue, "queue");
    Queue::open(&state.join("queue"), &queue::Config::default(), &[rule], status).unwrap().ledger()
}
