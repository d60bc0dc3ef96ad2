//! The overview: how the box is, in a sentence, in tiles, in charts, and a card for each source, the queue and each output.

use askama::Template;
use schemars::JsonSchema;
use serde::Serialize;

use super::card::{Kinds, SourceCard, Trouble};
use super::chart::{Chart, Curve, Kind, Table, Unit};
use super::frame::Frame;
use super::outlet::{OutputCard, Part, QueueCard};
use super::pieces::Pieces;
use super::text;
use crate::status::{Component, Gauge, Snapshot, Support};
use crate::web::page::history::{Series, Span};

/// How the box is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Overview {
    /// In a sentence.
    pub verdict: Verdict,
    /// When this was so (RFC 3339).
    pub at: String,
    /// Seconds since the program started.
    pub uptime_seconds: u64,
    /// Until when the firmware gets security updates.
    pub support: Support,
    /// All that is wrong, what does not work at all first.
    pub troubles: Vec<Trouble>,
    /// How far back the charts go.
    pub span: Span,
    /// What the tiles show.
    pub numbers: Numbers,
    /// The charts.
    pub charts: Vec<Chart>,
    /// Their numbers.
    pub table: Table,
    /// The sources, by id.
    pub sources: Vec<SourceCard>,
    /// The queue; none while the program starts.
    pub queue: Option<QueueCard>,
    /// The outputs, by id.
    pub outputs: Vec<OutputCard>,
    /// The other parts of the box, by id.
    pub parts: Vec<Part>,
}

/// The whole box in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Verdict {
    /// `healthy`, `starting`, `degraded` or `failed`: the worst of the parts.
    pub state: String,
    /// The sentence.
    pub words: String,
}

/// The numbers of the whole box.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Numbers {
    /// Events taken from all sources, per second.
    pub received_per_second: Option<f32>,
    /// Events that the outputs delivered, per second.
    pub delivered_per_second: Option<f32>,
    /// Events that wait.
    pub queued: u64,
    /// Age of the oldest of them.
    pub oldest_seconds: Option<u64>,
    /// Events that were dropped within the span.
    pub dropped: f32,
    /// Event bytes for each byte that was sent for them, since the program started.
    pub compression: Option<f32>,
}

/// A number with its name.
#[derive(Clone, Debug)]
pub(super) struct Tile {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) note: String,
}

impl Verdict {
    fn of(snapshot: &Snapshot) -> Self {
        let (state, words) = snapshot.verdict();
        Self { state: state.to_owned(), words }
    }
}

impl Overview {
    /// The overview of a snapshot, with the charts of a series.
    #[must_use]
    pub fn of(snapshot: &Snapshot, series: &Series, kinds: &Kinds) -> Self {
        let charts = charts(series);
        let queue = QueueCard::of(snapshot);
        let outputs = OutputCard::all(snapshot, series, kinds);
        let waits = |line: &crate::status::Line| line.gauge(Gauge::QueuedEvents);
        let numbers = Numbers {
            received_per_second: series.now.received_per_second,
            delivered_per_second: series.now.delivered_per_second,
            queued: snapshot.components.iter().map(waits).max().unwrap_or(0),
            oldest_seconds: text::oldest(snapshot),
            dropped: series.dropped.iter().flatten().sum(),
            compression: sent(snapshot),
        };
        Self {
            verdict: Verdict::of(snapshot),
            at: snapshot.at.clone(),
            uptime_seconds: snapshot.uptime_seconds,
            support: snapshot.support.clone(),
            troubles: Trouble::all(snapshot),
            span: series.span,
            numbers,
            table: Table::of(series, &charts),
            charts,
            sources: SourceCard::all(snapshot, series, kinds),
            queue,
            outputs,
            parts: Part::all(snapshot),
        }
    }

    pub(super) fn clock(&self) -> String {
        text::clock(&self.at)
    }

    pub(super) fn uptime(&self) -> String {
        text::uptime(self.uptime_seconds)
    }

    pub(super) fn tiles(&self) -> [Tile; 6] {
        let numbers = &self.numbers;
        let tile = |name, value: String, note: &str| Tile { name, value, note: note.to_owned() };
        let oldest = text::oldest_words(numbers.queued, numbers.oldest_seconds);
        [
            tile("In", text::rate(numbers.received_per_second), "events per second"),
            tile("Out", text::rate(numbers.delivered_per_second), "events per second"),
            tile("Waiting", text::thousands(numbers.queued), "events in the queue"),
            tile("Oldest", oldest, "age of the oldest that waits"),
            tile("Dropped", text::number(numbers.dropped), past(self.span)),
            tile("Compression", text::to_one(numbers.compression), "event bytes to bytes sent"),
        ]
    }
}

/// A span's words in a sentence.
fn past(span: Span) -> &'static str {
    match span {
        Span::Hour => "events in the last hour",
        Span::Day => "events in the last day",
        Span::Month => "events in the last 31 days",
    }
}

/// Event bytes of all outputs for each byte that they sent.
fn sent(snapshot: &Snapshot) -> Option<f32> {
    use crate::status::Count;
    let outputs = || snapshot.components.iter().filter(|line| line.component == Component::Output);
    let sum = |count| outputs().fold(0_u64, |sum, line| sum.saturating_add(line.count(count)));
    text::ratio(sum(Count::DeliveredBytes), sum(Count::SentBytes))
}

fn charts(series: &Series) -> Vec<Chart> {
    let curve =
        |name: &str, kind, points: &[Option<f32>]| Curve { name: name.to_owned(), kind, points: points.to_vec() };
    let one = |id, title: &str, unit, kind, points: &[Option<f32>]| {
        Chart::new(id, title, unit, series.span, vec![curve(title, kind, points)])
    };
    let flow = vec![
        curve("in", Kind::Rate, &series.received_per_second),
        curve("out", Kind::Rate, &series.delivered_per_second),
    ];
    let mut charts = vec![
        Chart::new("flow", "Events per second", Unit::EventsPerSecond, series.span, flow),
        one("waiting", "Waiting events", Unit::Events, Kind::Level, &series.queued),
        one("oldest", "Age of the oldest waiting event", Unit::Seconds, Kind::Level, &series.oldest_seconds),
        one("disk", "Queue on the disk", Unit::Bytes, Kind::Level, &series.queued_bytes),
        one("dropped", "Dropped events", Unit::Events, Kind::Sum, &series.dropped),
        one("compression", "Compression", Unit::ToOne, Kind::Rate, &series.compression),
    ];
    // An age that nobody measures would be an empty frame.
    charts.retain(|chart| chart.id != "oldest" || !chart.is_empty());
    charts
}

/// A link to another span.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tab {
    pub(super) name: &'static str,
    pub(super) words: &'static str,
    pub(super) is_here: bool,
}

/// The links to all spans.
pub(super) fn tabs(here: Span) -> [Tab; 3] {
    Span::ALL.map(|span| Tab {
        name: span.as_str(),
        words: match span {
            Span::Hour => "Hour",
            Span::Day => "Day",
            Span::Month => "Month",
        },
        is_here: span == here,
    })
}

#[derive(Debug, Template)]
#[template(path = "overview.html", config = ".askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    page: &'a Overview,
    changing: String,
}

pub(super) fn page(frame: &Frame, page: &Overview) -> String {
    super::render(&Page { frame, page, changing: Pieces::of(page).whole() })
}
