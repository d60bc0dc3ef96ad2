//! Charts: lines over time as an inline SVG that is drawn here, and the same numbers as a table.
//!
//! A chart is 640 by 160 units, stretched to the width there is. Its lines differ by their dashes and not by colour alone; a gap
//! is a gap. The table has a row for several points together, 62 at most, and takes the mean of rates, the greatest of what
//! stands, and the sum of what was lost.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use super::text;
use crate::web::page::history::{Series, Span};

/// The drawing's size, in units of its view box.
pub(super) const WIDTH: u16 = 640;
pub(super) const HEIGHT: u16 = 160;

/// How the points of several places become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Something per second: the mean.
    Rate,
    /// Something that stands: the most.
    Level,
    /// Something that happened: the sum.
    Sum,
}

/// What the numbers are, for their words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Events per second.
    EventsPerSecond,
    /// Events.
    Events,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// So many to one.
    ToOne,
}

impl Unit {
    fn words(self, value: f32) -> String {
        match self {
            Self::EventsPerSecond | Self::Events => text::number(value),
            Self::Seconds => text::age(text::whole(value)),
            Self::Bytes => text::size(text::whole(value)),
            Self::ToOne => text::to_one(Some(value)),
        }
    }
}

/// One line of a chart.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Curve {
    /// What it shows, such as `in`.
    pub name: String,
    /// How points are put together.
    pub kind: Kind,
    /// Oldest first; `null` was not measured.
    pub points: Vec<Option<f32>>,
}

/// A chart.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Chart {
    /// Its name in the page, unique there.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// What its numbers are.
    pub unit: Unit,
    /// Its lines.
    pub curves: Vec<Curve>,
    /// In a sentence: now and the most.
    pub summary: String,
    /// The value at its upper edge.
    pub top: f32,
    /// How far back it goes.
    pub span: Span,
}

impl Chart {
    pub(super) fn new(id: &str, title: &str, unit: Unit, span: Span, curves: Vec<Curve>) -> Self {
        let most = curves.iter().flat_map(|curve| curve.points.iter().flatten()).copied().fold(0.0, f32::max);
        let said: Vec<String> = curves.iter().map(|curve| sentence(curve, unit)).collect();
        Self {
            id: id.to_owned(),
            title: title.to_owned(),
            unit,
            summary: said.join(" "),
            top: round_up(most, unit),
            curves,
            span,
        }
    }

    /// The value at the upper edge, in words.
    pub(super) fn top_words(&self) -> String {
        self.unit.words(self.top)
    }

    /// What stands at the left edge of the time axis.
    pub(super) fn begin(&self) -> &'static str {
        match self.span {
            Span::Hour => "1 h ago",
            Span::Day => "1 d ago",
            Span::Month => "31 d ago",
        }
    }

    /// Whether anything was measured.
    pub(super) fn is_empty(&self) -> bool {
        self.curves.iter().all(|curve| curve.points.iter().all(Option::is_none))
    }

    /// The lines, each with its number from 1, its name and its path.
    pub(super) fn drawn(&self) -> Vec<(usize, &str, String)> {
        let draw = |(at, curve): (usize, &'_ Curve)| path(&curve.points, self.top, WIDTH, HEIGHT, at);
        let names = self.curves.iter().map(|curve| curve.name.as_str());
        let paths = self.curves.iter().enumerate().map(draw);
        names.zip(paths).enumerate().map(|(at, (name, path))| (at + 1, name, path)).collect()
    }
}

/// What one line says, for those who do not see it.
fn sentence(curve: &Curve, unit: Unit) -> String {
    let values = || curve.points.iter().flatten().copied();
    let Some(last) = values().next_back() else { return format!("{}: not measured yet.", curve.name) };
    let most = unit.words(values().fold(0.0, f32::max));
    if curve.kind == Kind::Sum {
        return format!("{}: {} in all, at most {most} at once.", curve.name, unit.words(values().sum()));
    }
    format!("{}: {} now, at most {most}.", curve.name, unit.words(last))
}

/// The next round number, so that the axis stays while the line moves: 1, 2 or 5 times a power of ten, or of two for bytes.
fn round_up(most: f32, unit: Unit) -> f32 {
    if !most.is_finite() || most <= 1.0 {
        return if unit == Unit::Bytes { 1_024.0 } else { 1.0 };
    }
    if unit == Unit::Bytes {
        return most.log2().ceil().exp2();
    }
    if unit == Unit::Seconds {
        const ROUND: [f32; 11] =
            [10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0, 604_800.0, 2_678_400.0];
        return ROUND.into_iter().find(|round| most <= *round).unwrap_or(most);
    }
    let power = 10_f32.powf(most.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    steps.into_iter().map(|step| step * power).find(|round| most <= *round).unwrap_or(most)
}

/// The points as an SVG path, broken where there is a gap; a point alone between gaps is a short stroke.
///
/// `lift` moves a second line up by a hair, so that two lines on zero are both seen.
pub(super) fn path(points: &[Option<f32>], top: f32, width: u16, height: u16, lift: usize) -> String {
    let (step, lift) = (f32::from(width) / points.len().max(1) as f32, lift as f32);
    let height = f32::from(height);
    let mut path = String::new();
    let mut is_open = false;
    let mut x = 0.0_f32;
    for point in points {
        if let Some(value) = point {
            let part = if top > 0.0 { (value / top).clamp(0.0, 1.0) } else { 0.0 };
            // A line that lies on an edge is seen whole.
            let y = (height - 2.0 - lift) - part * (height - 6.0 - lift);
            let verb = if is_open { 'L' } else { 'M' };
            // Writing to a String cannot fail.
            let _ = if is_open {
                write!(path, "{verb}{:.0} {y:.1}", x + step / 2.0)
            } else {
                write!(path, "{verb}{x:.0} {y:.1}h{:.1}", step / 2.0)
            };
        }
        is_open = point.is_some();
        x += step;
    }
    path
}

/// The numbers of charts with the same times, for those who want to read them.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Table {
    /// What it is.
    pub caption: String,
    /// The titles of the columns after the time.
    pub columns: Vec<String>,
    /// Newest first.
    pub rows: Vec<Row>,
}

/// What was measured within one stretch of time.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Row {
    /// When it begins (RFC 3339).
    pub at: String,
    /// The numbers in words, by column; empty where nothing was measured.
    pub values: Vec<String>,
}

impl Row {
    pub(super) fn clock(&self) -> String {
        text::clock(&self.at)
    }
}

/// Points that make one row: the table has 60, 48 or 62, or one less while the last is not over.
const TOGETHER: usize = 6;

/// What a row stands for.
fn row_name(span: Span) -> &'static str {
    match span {
        Span::Hour => "minute",
        Span::Day => "half hour",
        Span::Month => "half day",
    }
}

impl Table {
    pub(super) fn of(series: &Series, charts: &[Chart]) -> Self {
        let (group, name) = (TOGETHER, row_name(series.span));
        let curves: Vec<(&Chart, &Curve)> =
            charts.iter().flat_map(|chart| chart.curves.iter().map(move |curve| (chart, curve))).collect();
        let title = |(chart, curve): &(&Chart, &Curve)| {
            if chart.curves.len() == 1 { chart.title.clone() } else { format!("{}: {}", chart.title, curve.name) }
        };
        // Rows begin with whole minutes and the like, and those that are not over are left out: what was shown stays as it was.
        let row_seconds = (group as u64).saturating_mul(series.step_seconds).max(1);
        let into = series.from_seconds % row_seconds;
        let skip = if into == 0 { 0 } else { (row_seconds - into).div_ceil(series.step_seconds.max(1)) as usize };
        let rows = (0..series.span.points().saturating_sub(skip) / group).rev().map(|row| {
            let first = skip + row * group;
            Row {
                at: text::moment(series.from_seconds.saturating_add(first as u64 * series.step_seconds)),
                values: curves.iter().map(|(chart, curve)| cell(chart.unit, curve, first, group)).collect(),
            }
        });
        let is_measured = |row: &Row| row.values.iter().any(|value| !value.is_empty());
        Self {
            caption: format!("The numbers of the charts, a row for each {name}, the newest first"),
            columns: curves.iter().map(title).collect(),
            rows: rows.filter(is_measured).collect(),
        }
    }
}

fn cell(unit: Unit, curve: &Curve, from: usize, count: usize) -> String {
    let values: Vec<f32> = curve.points.iter().skip(from).take(count).flatten().copied().collect();
    if values.is_empty() {
        return String::new();
    }
    let value = match curve.kind {
        Kind::Rate => values.iter().sum::<f32>() / values.len() as f32,
        Kind::Level => values.iter().copied().fold(0.0, f32::max),
        Kind::Sum => values.iter().sum(),
    };
    unit.words(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_a_gap() {
        let points = [Some(0.0), Some(10.0), None, None, Some(5.0)];
        let path = path(&points, 10.0, 100, 100, 0);
        assert_eq!(path, "M0 98.0h10.0L30 4.0M80 51.0h10.0");
        assert_eq!(super::path(&[], 1.0, 100, 100, 0), "");
    }

    #[test]
    fn the_upper_edge_is_round() {
        for (most, unit, top) in [
            (0.0, Unit::Events, 1.0),
            (3.0, Unit::Events, 5.0),
            (5.0, Unit::Events, 5.0),
            (1_234.0, Unit::EventsPerSecond, 2_000.0),
            (70.0, Unit::Seconds, 300.0),
            (0.0, Unit::Bytes, 1_024.0),
            (1_500.0, Unit::Bytes, 2_048.0),
            (f32::INFINITY, Unit::Events, 1.0),
        ] {
            assert_eq!(round_up(most, unit), top, "{most}");
        }
    }

    #[test]
    fn several_points_become_one_as_their_kind_wants() {
        let points = vec![Some(1.0), None, Some(3.0), None, None, None, None];
        let curve = |kind| Curve { name: "in".to_owned(), kind, points: points.clone() };
        let words = |kind| cell(Unit::Events, &curve(kind), 0, 6);
        assert_eq!((words(Kind::Rate), words(Kind::Level), words(Kind::Sum)), ("2".into(), "3".into(), "4".into()));
        assert_eq!(cell(Unit::Events, &curve(Kind::Sum), 6, 6), "");
    }
}
