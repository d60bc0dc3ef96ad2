//! A source as a card shows it, and what is wrong with a component.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::text;
use crate::status::{Component, Count, DropReason, Gauge, Line, Snapshot};
use crate::web::page::history::Series;

/// What the settings say that the board does not: the type of each source and output, by its id.
#[derive(Clone, Debug, Default)]
pub struct Kinds {
    /// Of the sources, such as `syslog`.
    pub sources: BTreeMap<String, String>,
    /// Of the outputs, such as `lumberjack`.
    pub outputs: BTreeMap<String, String>,
}

/// What is wrong with a component, since when, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Trouble {
    /// `source`, `queue`, `output` or `box`.
    pub component: String,
    /// Its id.
    pub id: String,
    /// `degraded` where it works all the same, `failed` where it does not.
    pub state: String,
    /// What is wrong.
    pub what: String,
    /// What to do next.
    pub todo: String,
    /// Since when (RFC 3339).
    pub since: String,
}

impl Trouble {
    /// All that is wrong, what does not work at all first.
    #[must_use]
    pub fn all(snapshot: &Snapshot) -> Vec<Self> {
        let mut all: Vec<Self> = snapshot.components.iter().filter_map(Self::of).collect();
        all.sort_by_key(|trouble| !trouble.is_failure());
        all
    }

    pub(super) fn of(line: &Line) -> Option<Self> {
        line.health.fault().map(|fault| Self {
            component: line.component.as_str().to_owned(),
            id: line.id.clone(),
            state: line.health.word().to_owned(),
            what: fault.what.clone(),
            todo: fault.todo.clone(),
            since: fault.since.clone(),
        })
    }

    pub(super) fn clock(&self) -> String {
        text::clock(&self.since)
    }

    /// Whether the component does not work.
    fn is_failure(&self) -> bool {
        self.state == "failed"
    }
}

/// Events that a component dropped for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Dropped {
    /// The reason's name, as in the ledger and the metrics.
    pub reason: String,
    /// What that means.
    pub help: String,
    /// How many.
    pub events: u64,
}

impl Dropped {
    pub(super) fn list(dropped: &BTreeMap<DropReason, u64>) -> Vec<Self> {
        let some = dropped.iter().filter(|(_, events)| **events > 0);
        some.map(|(reason, events)| Self {
            reason: reason.as_str().to_owned(),
            help: reason.help().to_owned(),
            events: *events,
        })
        .collect()
    }

    pub(super) fn events(&self) -> String {
        text::thousands(self.events)
    }
}

/// A source.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SourceCard {
    /// Its id.
    pub id: String,
    /// Its type, such as `syslog`; empty where the settings no longer name it.
    pub kind: String,
    /// `starting`, `healthy`, `degraded`, `failed`, `stopped` or `paused`.
    pub state: String,
    /// What is wrong, if something is.
    pub trouble: Option<Trouble>,
    /// Events per second, as measured last.
    pub events_per_second: Option<f32>,
    /// When it was last seen to have taken an event (RFC 3339), to 10 s.
    pub last_event: Option<String>,
    /// Seconds from then to the snapshot.
    pub last_event_seconds: Option<u64>,
    /// Events taken since the program started.
    pub received: u64,
    /// Connections that are open now.
    pub open_connections: u64,
    /// Connections accepted or made since the program started.
    pub connections: u64,
    /// Devices that sent something since the program started; none for sources that ask.
    pub devices: u64,
    /// Those of them that are missed.
    pub silent_devices: u64,
    /// What it dropped since the program started.
    pub dropped: Vec<Dropped>,
}

impl SourceCard {
    /// The cards of all sources, by id.
    #[must_use]
    pub fn all(snapshot: &Snapshot, series: &Series, kinds: &Kinds) -> Vec<Self> {
        let sources = snapshot.components.iter().filter(|line| line.component == Component::Source);
        sources.map(|line| Self::of(line, snapshot, series, kinds)).collect()
    }

    pub(super) fn of(line: &Line, snapshot: &Snapshot, series: &Series, kinds: &Kinds) -> Self {
        let last = series.now.last_events.get(&line.id).copied();
        let now = text::seconds(&snapshot.at);
        Self {
            id: line.id.clone(),
            kind: kinds.sources.get(&line.id).cloned().unwrap_or_default(),
            state: line.health.word().to_owned(),
            trouble: Trouble::of(line),
            events_per_second: series.now.sources.get(&line.id).copied(),
            last_event: last.map(text::moment),
            last_event_seconds: last.map(|last| now.saturating_sub(last)),
            received: line.count(Count::ReceivedEvents),
            open_connections: line.gauge(Gauge::OpenConnections),
            connections: line.count(Count::Connections),
            devices: line.gauge(Gauge::Devices),
            silent_devices: line.gauge(Gauge::SilentDevices),
            dropped: Dropped::list(&line.dropped),
        }
    }

    pub(super) fn rate(&self) -> String {
        text::rate(self.events_per_second)
    }

    pub(super) fn received(&self) -> String {
        text::thousands(self.received)
    }

    pub(super) fn open(&self) -> String {
        text::thousands(self.open_connections)
    }

    /// Whether connections mean something here: a source that only listens for datagrams has none.
    pub(super) fn has_connections(&self) -> bool {
        self.connections > 0 || self.open_connections > 0
    }

    pub(super) fn devices(&self) -> String {
        match self.silent_devices {
            0 => text::thousands(self.devices),
            silent => format!("{}, {} silent", text::thousands(self.devices), text::thousands(silent)),
        }
    }

    pub(super) fn last_event_ago(&self) -> String {
        // What came since the last measurement has no time of its own yet.
        if self.last_event_seconds.is_none() && self.received > 0 {
            return "just now".to_owned();
        }
        text::ago(self.last_event_seconds)
    }

    pub(super) fn dropped_total(&self) -> String {
        text::thousands(self.dropped.iter().fold(0_u64, |sum, dropped| sum.saturating_add(dropped.events)))
    }

    pub(super) fn link(&self) -> String {
        format!("/source/{}", text::in_path(&self.id))
    }
}
