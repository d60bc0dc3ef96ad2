//! The list of sources, and one source with all its numbers.

use askama::Template;
use schemars::JsonSchema;
use serde::Serialize;

use super::card::{Kinds, SourceCard};
use super::chart::{Chart, Curve, Kind, Table, Unit};
use super::frame::Frame;
use super::overview::{Tab, tabs};
use super::text;
use crate::status::{Component, Device, Line, Snapshot};
use crate::web::page::history::{Series, Span};

/// Devices in the table of a page.
const MOST_DEVICES: usize = 200;

/// All sources.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Sources {
    /// When this was so (RFC 3339).
    pub at: String,
    /// By id.
    pub sources: Vec<SourceCard>,
}

/// One source.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SourcePage {
    /// When this was so (RFC 3339).
    pub at: String,
    /// What the list says too.
    pub card: SourceCard,
    /// Its counters since the program started, and what it shows now; those that are not zero.
    pub numbers: Vec<Number>,
    /// How far back the chart goes.
    pub span: Span,
    /// Events per second; none for the sources beyond the 64 that have points of their own.
    pub chart: Option<Chart>,
    /// Its numbers.
    pub table: Option<Table>,
    /// The devices that sent something since the program started, those that are missed first.
    pub devices: Vec<DeviceRow>,
}

/// A device that sends to a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DeviceRow {
    /// Its name, or its address where it has none.
    pub name: String,
    /// When it was heard last (RFC 3339).
    pub last_event: String,
    /// Whether it is missed: it has sent nothing for `silent_after`.
    pub is_silent: bool,
}

impl DeviceRow {
    fn of(device: Device) -> Self {
        Self { name: device.name, last_event: device.last.to_string(), is_silent: device.is_silent }
    }

    fn clock(&self) -> String {
        text::clock(&self.last_event)
    }
}

/// A counter or a gauge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Number {
    /// Its name in metrics and JSON.
    pub name: String,
    /// What it means.
    pub help: String,
    /// Its value.
    pub value: u64,
}

impl Number {
    fn value(&self) -> String {
        // Bytes are read as sizes; everything else is counted.
        if self.name.ends_with("_bytes") { text::size(self.value) } else { text::thousands(self.value) }
    }
}

impl Sources {
    /// The sources of a snapshot.
    #[must_use]
    pub fn of(snapshot: &Snapshot, series: &Series, kinds: &Kinds) -> Self {
        Self { at: snapshot.at.clone(), sources: SourceCard::all(snapshot, series, kinds) }
    }

    fn clock(&self) -> String {
        text::clock(&self.at)
    }
}

impl SourcePage {
    /// One source of a snapshot; none where there is no such source.
    #[must_use]
    pub fn of(snapshot: &Snapshot, series: &Series, kinds: &Kinds, id: &str) -> Option<Self> {
        let line = snapshot.line(Component::Source, id)?;
        let chart = series.sources.get(id).map(|points| {
            let curve = Curve { name: "in".to_owned(), kind: Kind::Rate, points: points.clone() };
            Chart::new("flow", "Events per second", Unit::EventsPerSecond, series.span, vec![curve])
        });
        Some(Self {
            at: snapshot.at.clone(),
            card: SourceCard::of(line, snapshot, series, kinds),
            numbers: numbers(line),
            span: series.span,
            table: chart.as_ref().map(|chart| Table::of(series, std::slice::from_ref(chart))),
            chart,
            devices: Vec::new(),
        })
    }

    /// The same with its devices.
    #[must_use]
    pub fn with_devices(mut self, devices: Vec<Device>) -> Self {
        self.devices = devices.into_iter().map(DeviceRow::of).collect();
        self.devices.sort_by_key(|device| !device.is_silent);
        self
    }

    /// The devices that a page shows: more than anybody reads are left to programs.
    fn some_devices(&self) -> &[DeviceRow] {
        self.devices.get(..self.devices.len().min(MOST_DEVICES)).unwrap_or_default()
    }

    fn clock(&self) -> String {
        text::clock(&self.at)
    }

    fn live_link(&self) -> String {
        format!("/live?source={}", text::in_path(&self.card.id))
    }

    fn tabs(&self) -> [Tab; 3] {
        tabs(self.span)
    }
}

fn numbers(line: &Line) -> Vec<Number> {
    let number = |name: &str, help: &str, value: u64| Number { name: name.to_owned(), help: help.to_owned(), value };
    let counts = line.counts.iter().map(|(count, value)| number(count.as_str(), count.help(), *value));
    let gauges = line.gauges.iter().map(|(gauge, value)| number(gauge.as_str(), gauge.help(), *value));
    counts.chain(gauges).collect()
}

#[derive(Debug, Template)]
#[template(path = "sources.html", config = ".askama.toml")]
struct ListPage<'a> {
    frame: &'a Frame,
    page: &'a Sources,
}

#[derive(Debug, Template)]
#[template(path = "source.html", config = ".askama.toml")]
struct OnePage<'a> {
    frame: &'a Frame,
    page: &'a SourcePage,
}

pub(super) fn list(frame: &Frame, page: &Sources) -> String {
    super::render(&ListPage { frame, page })
}

pub(super) fn page(frame: &Frame, page: &SourcePage) -> String {
    super::render(&OnePage { frame, page })
}
