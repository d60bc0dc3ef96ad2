//! Health and counters of every component: written by each room, read by the page, the commands and the lights.
//!
//! Floor 1. Every fault has three parts: what is wrong, since when, and what a person should do. All readers show the same
//! words, because they all read the same [`Snapshot`].

mod counters;
mod devices;
mod stick;
mod support;
mod words;

pub use counters::{Count, Counters, DropReason, Gauge};
pub use devices::{Device, Devices};
pub use stick::Stick;
pub use support::{Support, SupportEnd, SupportState};

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::clock::{Clock, Timestamp};

/// The id of the box's line that tells of its network cards: the lights show it apart, because it may be the cause of the others.
pub const NETWORK: &str = "network";

/// Which kind of component a line of the status is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Component {
    /// A source, by its id.
    Source,
    /// The queue (its id is `queue`).
    Queue,
    /// An output, by its id.
    Output,
    /// The local HTTP listener, the control socket and what else belongs to the box itself.
    Box,
}

impl Component {
    /// The word for tables and metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Queue => "queue",
            Self::Output => "output",
            Self::Box => "box",
        }
    }
}

/// How a component is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Health {
    /// Not yet ready.
    Starting,
    /// Does its work.
    Healthy,
    /// Works, but a person should look.
    Degraded(Fault),
    /// Does not work.
    Failed(Fault),
    /// Was told to stop.
    Stopped,
    /// The settings say that it does not run.
    Paused,
}

impl Health {
    /// A degraded state with its words.
    pub fn degraded(what: impl Into<String>, todo: impl Into<String>) -> Self {
        Self::Degraded(Fault::new(what, todo))
    }

    /// A failed state with its words.
    pub fn failed(what: impl Into<String>, todo: impl Into<String>) -> Self {
        Self::Failed(Fault::new(what, todo))
    }

    /// The same state with what lies behind its fault.
    #[must_use]
    pub fn because(mut self, cause: Option<Cause>) -> Self {
        if let Some(fault) = self.fault_mut() {
            fault.cause = cause;
        }
        self
    }

    /// One word for tables and metrics.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Degraded(_) => "degraded",
            Self::Failed(_) => "failed",
            Self::Stopped => "stopped",
            Self::Paused => "paused",
        }
    }

    /// The words of the fault, if there is one.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Degraded(fault) | Self::Failed(fault) => Some(fault),
            _ => None,
        }
    }

    fn fault_mut(&mut self) -> Option<&mut Fault> {
        match self {
            Self::Degraded(fault) | Self::Failed(fault) => Some(fault),
            _ => None,
        }
    }
}

/// What is wrong, in words a technician can act on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What is wrong.
    pub what: String,
    /// What to do next.
    pub todo: String,
    /// Since when (RFC 3339); filled in by the board.
    pub since: String,
    /// What lies behind it, where programs have to tell (an update is judged by it).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
}

impl Fault {
    fn new(what: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { what: what.into(), todo: todo.into(), since: Timestamp::default().to_string(), cause: None }
    }
}

/// What keeps a far end from being used, roughly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Nobody answers, or the network is down: this may pass by itself.
    Unreachable,
    /// The far end was reached, and TLS or a certificate failed.
    Tls,
    /// A name or password was refused.
    Login,
    /// The far end was reached and does not speak as expected.
    Protocol,
}

/// The shared board. Clones are the same board.
#[derive(Clone, Debug)]
pub struct Board {
    clock: Clock,
    started: Timestamp,
    support_end: Option<SupportEnd>,
    entries: Arc<Mutex<Entries>>,
}

type Entries = BTreeMap<(Component, String), Arc<Entry>>;

#[derive(Debug)]
struct Entry {
    health: Mutex<Health>,
    counters: Counters,
    devices: Devices,
}

/// One component's own line on the board. Clones write to the same line.
#[derive(Clone, Debug)]
pub struct Handle {
    clock: Clock,
    entry: Arc<Entry>,
}

impl Board {
    /// An empty board.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let started = clock.now();
        Self { clock, started, support_end: None, entries: Arc::default() }
    }

    /// The same for a firmware that gets security updates until then.
    #[must_use]
    pub fn supported_until(self, support_end: Option<SupportEnd>) -> Self {
        Self { support_end, ..self }
    }

    /// Until when the firmware gets security updates, as it is now.
    #[must_use]
    pub fn support(&self) -> Support {
        Support::at(self.support_end, self.clock.now())
    }

    /// The line of a component: made at the first call, the same (counters included) at every later one.
    #[must_use]
    pub fn handle(&self, component: Component, id: &str) -> Handle {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.entry((component, id.to_owned())).or_insert_with(|| {
            Arc::new(Entry {
                health: Mutex::new(Health::Starting),
                counters: Counters::default(),
                devices: Devices::default(),
            })
        });
        Handle { clock: self.clock.clone(), entry: Arc::clone(entry) }
    }

    /// Takes a component's line away, when the settings no longer name it.
    pub fn remove(&self, component: Component, id: &str) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).remove(&(component, id.to_owned()));
    }

    /// The devices that send to a source; none where there is no such source.
    #[must_use]
    pub fn devices(&self, source: &str) -> Vec<Device> {
        self.entry(source).map(|entry| entry.devices.list()).unwrap_or_default()
    }

    /// Nobody misses a device of a source any more; false where there is none of that name.
    #[must_use]
    pub fn forget_device(&self, source: &str, device: &str) -> bool {
        self.entry(source).is_some_and(|entry| entry.devices.forget(device))
    }

    fn entry(&self, source: &str) -> Option<Arc<Entry>> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(&(Component::Source, source.to_owned())).map(Arc::clone)
    }

    /// The state of everything now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = entries.iter().map(|((component, id), entry)| Line {
            component: *component,
            id: id.clone(),
            health: entry.health.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            counts: entry.counters.counts(),
            dropped: entry.counters.dropped(),
            gauges: entry.counters.gauges(),
        });
        Snapshot {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at: self.clock.now().to_string(),
            uptime_seconds: self.clock.now().since(self.started).as_secs(),
            support: self.support(),
            components: lines.collect(),
        }
    }
}

impl Handle {
    /// Sets the health; `since` is kept while the words stay the same.
    pub fn set(&self, mut health: Health) {
        let mut current = self.entry.health.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fault) = health.fault_mut() {
            let before = current.fault().filter(|before| before.what == fault.what);
            fault.since = before.map_or_else(|| self.clock.now().to_string(), |before| before.since.clone());
        }
        *current = health;
    }

    /// The wall time of the board's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The health now.
    #[must_use]
    pub fn health(&self) -> Health {
        self.entry.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The component's counters.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.entry.counters
    }

    /// The devices that send to it, where it is a source that is sent to.
    #[must_use]
    pub fn devices(&self) -> &Devices {
        &self.entry.devices
    }
}

/// Everything at one moment, in the order sources, queue, outputs, box.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// The program's version.
    pub version: String,
    /// When it was taken (RFC 3339).
    pub at: String,
    /// Seconds since the program started, by the wall clock.
    pub uptime_seconds: u64,
    /// Until when this firmware gets security updates.
    #[serde(default)]
    pub support: Support,
    /// A line per component.
    pub components: Vec<Line>,
}

impl Snapshot {
    /// The line of one component.
    #[must_use]
    pub fn line(&self, component: Component, id: &str) -> Option<&Line> {
        self.components.iter().find(|line| line.component == component && line.id == id)
    }

    /// Whether nothing has failed and nothing is still starting.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.components.iter().all(|line| !matches!(line.health, Health::Failed(_) | Health::Starting))
    }
}

/// One component's part of a snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    /// Its kind.
    pub component: Component,
    /// Its id.
    pub id: String,
    /// Its health.
    pub health: Health,
    /// Its counters since the program started, those that are not zero, by name.
    pub counts: BTreeMap<Count, u64>,
    /// What it dropped since the program started, by reason.
    pub dropped: BTreeMap<DropReason, u64>,
    /// Its gauges, those that are not zero.
    pub gauges: BTreeMap<Gauge, u64>,
}

impl Line {
    /// A counter; zero where it never moved.
    #[must_use]
    pub fn count(&self, count: Count) -> u64 {
        self.counts.get(&count).copied().unwrap_or(0)
    }

    /// A gauge; zero where it was never set.
    #[must_use]
    pub fn gauge(&self, gauge: Gauge) -> u64 {
        self.gauges.get(&gauge).copied().unwrap_or(0)
    }

    /// All drops together.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.dropped.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn a_fault_keeps_its_beginning_while_its_words_stay() {
        let micros = Arc::new(AtomicU64::new(1_000_000));
        let board = Board::new(Clock::Fixed(Arc::clone(&micros)));
        let handle = board.handle(Component::Output, "gateway");
        handle.set(Health::failed("connection refused", "check the gateway"));
        micros.store(9_000_000, Ordering::Relaxed);
        handle.set(Health::failed("connection refused", "check the gateway"));
        assert_eq!(handle.health().fault().unwrap().since, "1970-01-01T00:00:01.000Z");
        handle.set(Health::failed("name not found", "check the name"));
        assert_eq!(handle.health().fault().unwrap().since, "1970-01-01T00:00:09.000Z");
        assert!(!board.snapshot().is_ready());
    }

    #[test]
    fn a_handle_asked_for_twice_is_the_same_line() {
        let board = Board::new(Clock::System);
        board.handle(Component::Source, "fw").counters().add(Count::ReceivedEvents, 2);
        board.handle(Component::Source, "fw").counters().add(Count::ReceivedEvents, 3);
        let snapshot = board.snapshot();
        assert_eq!(snapshot.line(Component::Source, "fw").unwrap().count(Count::ReceivedEvents), 5);
        let json = serde_json::to_string(&snapshot).unwrap();
        let again: Snapshot = serde_json::from_str(&json).unwrap();
        assert_eq!(again.components.len(), 1);
    }
}
