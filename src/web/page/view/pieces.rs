//! The overview in pieces: each an element with a name of its own in `data-part`, so that only those are pushed that changed.

use askama::Template;
use serde_json::json;

use super::card::SourceCard;
use super::chart::{Chart, Table};
use super::outlet::{OutputCard, QueueCard};
use super::overview::{Overview, Tab, tabs};
use crate::web::page::history::Span;

/// The part of the overview that changes, as HTML.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pieces {
    pub(super) span: Span,
    pub(super) verdict: String,
    pub(super) troubles: String,
    pub(super) tiles: String,
    pub(super) charts: Vec<String>,
    pub(super) table: String,
    pub(super) sources: Vec<String>,
    pub(super) queue: Option<String>,
    pub(super) outputs: Vec<String>,
    pub(super) parts: Option<String>,
    /// The names of the pieces, in order: where they are others, the whole is another one.
    shape: Vec<String>,
}

impl Pieces {
    /// The pieces of an overview.
    #[must_use]
    pub fn of(page: &Overview) -> Self {
        let source = |card: &SourceCard| super::render(&SourcePiece { card });
        let output = |card: &OutputCard| super::render(&OutputPiece { card });
        let cards = page.sources.iter().map(|card| format!("source {}", card.id));
        let outputs = page.outputs.iter().map(|card| format!("output {}", card.id));
        let charts = page.charts.iter().map(|chart| format!("chart {}", chart.id));
        let some = [(page.queue.is_some(), "queue"), (!page.parts.is_empty(), "parts")];
        let some = some.into_iter().filter(|(is_there, _)| *is_there).map(|(_, name)| name.to_owned());
        Self {
            span: page.span,
            verdict: super::render(&VerdictPiece { page }),
            troubles: super::render(&TroublesPiece { page }),
            tiles: super::render(&TilesPiece { page }),
            charts: page.charts.iter().map(|chart| super::render(&ChartPiece { chart })).collect(),
            table: super::render(&TablePiece { table: &page.table }),
            sources: page.sources.iter().map(source).collect(),
            queue: page.queue.as_ref().map(|queue| super::render(&QueuePiece { queue })),
            outputs: page.outputs.iter().map(output).collect(),
            parts: (!page.parts.is_empty()).then(|| super::render(&PartsPiece { page })),
            shape: charts.chain(cards).chain(outputs).chain(some).collect(),
        }
    }

    /// All of it.
    #[must_use]
    pub fn whole(&self) -> String {
        super::render(&Whole { pieces: self })
    }

    /// What whoever has seen `before` has to be sent, as JSON: `{"whole": HTML}`, or the pieces that changed, `{"parts": [HTML]}`;
    /// nothing where none did.
    #[must_use]
    pub fn since(&self, before: Option<&Self>) -> Option<String> {
        let Some(before) = before.filter(|before| before.shape == self.shape) else {
            return Some(json!({ "whole": self.whole() }).to_string());
        };
        let changed: Vec<&str> =
            self.all().zip(before.all()).filter(|(now, before)| now != before).map(|(now, _)| now).collect();
        (!changed.is_empty()).then(|| json!({ "parts": changed }).to_string())
    }

    fn all(&self) -> impl Iterator<Item = &str> {
        let first = [&self.verdict, &self.troubles, &self.tiles].into_iter();
        let cards = self.sources.iter().chain(&self.queue).chain(&self.outputs).chain(&self.parts);
        first.chain(&self.charts).chain([&self.table]).chain(cards).map(String::as_str)
    }
}

#[derive(Debug, Template)]
#[template(path = "overview_part.html", config = ".askama.toml")]
struct Whole<'a> {
    pieces: &'a Pieces,
}

impl Whole<'_> {
    fn tabs(&self) -> [Tab; 3] {
        tabs(self.pieces.span)
    }
}

#[derive(Debug, Template)]
#[template(path = "overview/verdict.html", config = ".askama.toml")]
struct VerdictPiece<'a> {
    page: &'a Overview,
}

#[derive(Debug, Template)]
#[template(path = "overview/troubles.html", config = ".askama.toml")]
struct TroublesPiece<'a> {
    page: &'a Overview,
}

#[derive(Debug, Template)]
#[template(path = "overview/tiles.html", config = ".askama.toml")]
struct TilesPiece<'a> {
    page: &'a Overview,
}

#[derive(Debug, Template)]
#[template(path = "chart.html", config = ".askama.toml")]
struct ChartPiece<'a> {
    chart: &'a Chart,
}

#[derive(Debug, Template)]
#[template(path = "table.html", config = ".askama.toml")]
struct TablePiece<'a> {
    table: &'a Table,
}

#[derive(Debug, Template)]
#[template(path = "source_card.html", config = ".askama.toml")]
struct SourcePiece<'a> {
    card: &'a SourceCard,
}

#[derive(Debug, Template)]
#[template(path = "overview/queue.html", config = ".askama.toml")]
struct QueuePiece<'a> {
    queue: &'a QueueCard,
}

#[derive(Debug, Template)]
#[template(path = "overview/output.html", config = ".askama.toml")]
struct OutputPiece<'a> {
    card: &'a OutputCard,
}

#[derive(Debug, Template)]
#[template(path = "overview/parts.html", config = ".askama.toml")]
struct PartsPiece<'a> {
    page: &'a Overview,
}
