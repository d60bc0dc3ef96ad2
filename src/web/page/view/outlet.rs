//! The queue, the outputs and the other parts of the box, as cards show them.

use schemars::JsonSchema;
use serde::Serialize;

use super::card::{Dropped, Kinds, Trouble};
use super::text;
use crate::status::{Component, Count, Gauge, Snapshot};
use crate::web::page::history::Series;

/// The queue.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct QueueCard {
    /// `starting`, `healthy`, `degraded`, `failed`, `stopped` or `paused`.
    pub state: String,
    /// What is wrong, if something is.
    pub trouble: Option<Trouble>,
    /// Events that wait.
    pub queued: u64,
    /// Age of the oldest of them; none where nothing waits, or nobody said.
    pub oldest_seconds: Option<u64>,
    /// Bytes on the disk.
    pub bytes: u64,
    /// Bytes it may have on the disk.
    pub limit_bytes: u64,
    /// Event bytes for each byte written to the disk since the program started; none where nothing was written.
    pub compression: Option<f32>,
    /// Stored records that failed their checks and were set aside.
    pub damaged_records: u64,
    /// Disk operations that failed.
    pub disk_errors: u64,
    /// What it dropped since the program started.
    pub dropped: Vec<Dropped>,
}

impl QueueCard {
    /// The queue's card; none while the program starts.
    #[must_use]
    pub fn of(snapshot: &Snapshot) -> Option<Self> {
        let line = snapshot.components.iter().find(|line| line.component == Component::Queue)?;
        Some(Self {
            state: line.health.word().to_owned(),
            trouble: Trouble::of(line),
            queued: line.gauge(Gauge::QueuedEvents),
            oldest_seconds: text::oldest(snapshot),
            bytes: line.gauge(Gauge::QueuedBytes),
            limit_bytes: line.gauge(Gauge::QueueLimitBytes),
            compression: text::ratio(line.count(Count::StoredRawBytes), line.count(Count::StoredBytes)),
            damaged_records: line.count(Count::DamagedRecords),
            disk_errors: line.count(Count::DiskErrors),
            dropped: Dropped::list(&line.dropped),
        })
    }

    pub(super) fn queued(&self) -> String {
        text::thousands(self.queued)
    }

    pub(super) fn oldest(&self) -> String {
        text::oldest_words(self.queued, self.oldest_seconds)
    }

    pub(super) fn room(&self) -> String {
        if self.limit_bytes == 0 {
            return text::size(self.bytes);
        }
        format!("{} of {}", text::size(self.bytes), text::size(self.limit_bytes))
    }

    pub(super) fn compression(&self) -> String {
        text::to_one(self.compression)
    }

    /// What went wrong with the disk, by the names of the counters.
    pub(super) fn damage(&self) -> Vec<(&'static str, String)> {
        let all = [(Count::DamagedRecords, self.damaged_records), (Count::DiskErrors, self.disk_errors)];
        let some = all.into_iter().filter(|(_, number)| *number > 0);
        some.map(|(count, number)| (count.as_str(), text::thousands(number))).collect()
    }
}

/// An output: the way to the gateway.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct OutputCard {
    /// Its id.
    pub id: String,
    /// Its type, such as `lumberjack`.
    pub kind: String,
    /// `starting`, `healthy`, `degraded`, `failed`, `stopped` or `paused`.
    pub state: String,
    /// What is wrong, if something is.
    pub trouble: Option<Trouble>,
    /// Events per second, as measured last.
    pub events_per_second: Option<f32>,
    /// Events delivered since the program started.
    pub delivered: u64,
    /// Events that wait for it.
    pub queued: u64,
    /// Events sent whose acknowledgement has not come.
    pub unacked: u64,
    /// Connections that are open now.
    pub open_connections: u64,
    /// Event bytes for each byte sent since the program started.
    pub compression: Option<f32>,
    /// What it gave up since the program started.
    pub dropped: Vec<Dropped>,
}

impl OutputCard {
    /// The cards of all outputs, by id.
    #[must_use]
    pub fn all(snapshot: &Snapshot, series: &Series, kinds: &Kinds) -> Vec<Self> {
        let outputs = snapshot.components.iter().filter(|line| line.component == Component::Output);
        outputs
            .map(|line| Self {
                id: line.id.clone(),
                kind: kinds.outputs.get(&line.id).cloned().unwrap_or_default(),
                state: line.health.word().to_owned(),
                trouble: Trouble::of(line),
                events_per_second: series.now.outputs.get(&line.id).copied(),
                delivered: line.count(Count::DeliveredEvents),
                queued: line.gauge(Gauge::QueuedEvents),
                unacked: line.gauge(Gauge::UnackedEvents),
                open_connections: line.gauge(Gauge::OpenConnections),
                compression: text::ratio(line.count(Count::DeliveredBytes), line.count(Count::SentBytes)),
                dropped: Dropped::list(&line.dropped),
            })
            .collect()
    }

    pub(super) fn rate(&self) -> String {
        text::rate(self.events_per_second)
    }

    pub(super) fn link(&self) -> String {
        format!("/output/{}/edit", text::in_path(&self.id))
    }

    pub(super) fn delivered(&self) -> String {
        text::thousands(self.delivered)
    }

    pub(super) fn queued(&self) -> String {
        text::thousands(self.queued)
    }

    pub(super) fn unacked(&self) -> String {
        text::thousands(self.unacked)
    }

    pub(super) fn compression(&self) -> String {
        text::to_one(self.compression)
    }
}

/// Another part of the box: updates, lights, the listener for health.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Part {
    /// Its id.
    pub id: String,
    /// `starting`, `healthy`, `degraded`, `failed`, `stopped` or `paused`.
    pub state: String,
}

impl Part {
    /// All of them, by id.
    #[must_use]
    pub fn all(snapshot: &Snapshot) -> Vec<Self> {
        let parts = snapshot.components.iter().filter(|line| line.component == Component::Box);
        parts.map(|line| Self { id: line.id.clone(), state: line.health.word().to_owned() }).collect()
    }
}
