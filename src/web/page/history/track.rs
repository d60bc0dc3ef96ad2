//! The rings of one span: a cell for each of the newest places on the wall clock, in columns.

use std::collections::BTreeMap;

use super::meter::Sample;
use super::series::{Now, Series, Span};

/// Numbers of the whole box in each cell.
pub(super) const COLUMNS: usize = 7;

/// A cell that was not measured.
pub(super) const GAP: f32 = f32::NAN;

/// Samples that a clock may be behind before it is believed: ten minutes.
const PATIENCE: u32 = 60;

/// What was summed up for the newest cell, which is not complete yet.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Bin {
    /// How long was measured.
    pub(super) seconds: f64,
    pub(super) received: f64,
    pub(super) delivered: f64,
    pub(super) delivered_bytes: f64,
    pub(super) sent_bytes: f64,
    pub(super) dropped: f64,
    pub(super) queued: f64,
    /// Negative while nobody said it.
    pub(super) oldest_seconds: f64,
    pub(super) queued_bytes: f64,
}

/// The events of one source.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    /// Events of the newest cell.
    pub(super) sum: f64,
    pub(super) cells: Vec<f32>,
}

/// The rings of one span.
#[derive(Clone, Debug)]
pub(super) struct Track {
    pub(super) span: Span,
    /// The place of the newest cell: seconds since 1970 by the step. Zero while there is none.
    pub(super) newest: u64,
    pub(super) bin: Bin,
    /// Each as long as the span has points; the cell of a place is at the place modulo that.
    pub(super) columns: [Vec<f32>; COLUMNS],
    pub(super) sources: BTreeMap<String, Curve>,
    /// Samples in a row that came with a clock behind the newest cell.
    behind: u32,
}

impl Bin {
    fn new() -> Self {
        Self { oldest_seconds: -1.0, ..Self::default() }
    }

    fn add(&mut self, sample: &Sample) {
        self.seconds += sample.seconds;
        self.received += sample.received as f64;
        self.delivered += sample.delivered as f64;
        self.delivered_bytes += sample.delivered_bytes as f64;
        self.sent_bytes += sample.sent_bytes as f64;
        self.dropped += sample.dropped as f64;
        self.queued = self.queued.max(sample.queued as f64);
        self.queued_bytes = self.queued_bytes.max(sample.queued_bytes as f64);
        // Where nothing waits, nothing is old.
        let oldest = sample.oldest_seconds.or((sample.queued == 0).then_some(0));
        self.oldest_seconds = self.oldest_seconds.max(oldest.map_or(-1.0, |seconds| seconds as f64));
    }

    /// The cells, in the order of [`Series`].
    fn cells(&self) -> [f32; COLUMNS] {
        let is_measured = self.seconds > 0.0;
        let when = |is: bool, value: f64| if is { value as f32 } else { GAP };
        [
            when(is_measured, self.received / self.seconds),
            when(is_measured, self.delivered / self.seconds),
            when(is_measured, self.dropped),
            self.queued as f32,
            when(self.oldest_seconds >= 0.0, self.oldest_seconds),
            self.queued_bytes as f32,
            when(self.sent_bytes > 0.0 && self.delivered_bytes > 0.0, self.delivered_bytes / self.sent_bytes),
        ]
    }
}

impl Curve {
    pub(super) fn new(span: Span) -> Self {
        Self { sum: 0.0, cells: vec![GAP; span.points()] }
    }
}

impl Track {
    pub(super) fn new(span: Span) -> Self {
        let columns = std::array::from_fn(|_| vec![GAP; span.points()]);
        Self { span, newest: 0, bin: Bin::new(), columns, sources: BTreeMap::new(), behind: 0 }
    }

    /// Adds what happened up to a second since 1970. `has_points` says which sources are to have points of their own.
    pub(super) fn add(&mut self, at: u64, sample: &Sample, has_points: impl Fn(&str) -> bool) {
        let place = at / self.span.step_seconds();
        // A clock that was put back by less than a cell goes on in the newest one until it has caught up.
        if place.saturating_add(1) < self.newest {
            self.behind = self.behind.saturating_add(1);
            if self.behind < PATIENCE {
                return;
            }
            self.go_back(place);
        }
        self.behind = 0;
        let earlier = self.newest;
        if place > earlier {
            self.go_on(place);
        }
        self.bin.add(sample);
        let newest = self.newest;
        self.put(newest, self.bin.cells());
        self.fill(earlier.saturating_add(1)..newest, at, sample);
        for (id, events) in sample.sources.iter().filter(|(id, _)| has_points(id)) {
            let seconds = self.bin.seconds;
            let curve = self.sources.entry(id.clone()).or_insert_with(|| Curve::new(self.span));
            curve.sum += *events as f64;
            let rate = if seconds > 0.0 { short((curve.sum / seconds) as f32) } else { GAP };
            put(&mut curve.cells, newest, rate);
        }
    }

    /// A sample that took longer than a cell stands for the cells between, too: the timer was late, and the box was on.
    fn fill(&mut self, between: std::ops::Range<u64>, at: u64, sample: &Sample) {
        // A cast from float stops at the bounds.
        let begin = at.saturating_sub(sample.seconds as u64) / self.span.step_seconds();
        let oldest = self.newest.saturating_sub(self.span.points() as u64 - 1);
        let mut bin = Bin::new();
        bin.add(sample);
        // What was dropped stands in the newest cell already.
        bin.dropped = 0.0;
        let cells = bin.cells();
        for place in between.start.max(begin).max(oldest)..between.end {
            self.put(place, cells);
            for (id, curve) in &mut self.sources {
                let rate = sample.sources.get(id).and_then(|events| sample.rate(*events));
                put(&mut curve.cells, place, rate.map_or(GAP, short));
            }
        }
    }

    /// Makes a later place the newest; those between are gaps.
    fn go_on(&mut self, place: u64) {
        let cleared = (place - self.newest).min(self.span.points() as u64);
        self.clear(place - cleared + 1..=place);
        self.begin(place);
    }

    /// Makes an earlier place the newest; those after it have not come yet.
    fn go_back(&mut self, place: u64) {
        let cleared = (self.newest - place).min(self.span.points() as u64);
        self.clear(self.newest - cleared + 1..=self.newest);
        self.begin(place);
    }

    fn begin(&mut self, place: u64) {
        self.newest = place;
        self.bin = Bin::new();
        self.sources.values_mut().for_each(|curve| curve.sum = 0.0);
    }

    fn clear(&mut self, places: std::ops::RangeInclusive<u64>) {
        for place in places {
            self.put(place, [GAP; COLUMNS]);
            self.sources.values_mut().for_each(|curve| put(&mut curve.cells, place, GAP));
        }
    }

    fn put(&mut self, place: u64, cells: [f32; COLUMNS]) {
        self.columns.iter_mut().zip(cells).for_each(|(column, cell)| put(column, place, cell));
    }

    /// The cells from the oldest to the newest.
    fn read(&self, cells: &[f32]) -> Vec<Option<f32>> {
        let points = self.span.points() as u64;
        let cell = |back: u64| {
            let place = self.newest.checked_sub(back)?;
            cells.get(at(place, cells.len())).copied().filter(|cell| cell.is_finite())
        };
        (0..points).rev().map(cell).collect()
    }

    pub(super) fn series(&self, now: Now) -> Series {
        let [received, delivered, dropped, queued, oldest, bytes, compression] = &self.columns;
        let step = self.span.step_seconds();
        let first = (self.newest + 1).saturating_sub(self.span.points() as u64);
        Series {
            span: self.span,
            step_seconds: step,
            from_seconds: first.saturating_mul(step),
            received_per_second: self.read(received),
            delivered_per_second: self.read(delivered),
            dropped: self.read(dropped),
            queued: self.read(queued),
            oldest_seconds: self.read(oldest),
            queued_bytes: self.read(bytes),
            compression: self.read(compression),
            sources: self.sources.iter().map(|(id, curve)| (id.clone(), self.read(&curve.cells))).collect(),
            now,
        }
    }
}

/// Where a place is in a ring of this length.
fn at(place: u64, length: usize) -> usize {
    usize::try_from(place % (length.max(1) as u64)).unwrap_or(0)
}

fn put(cells: &mut [f32], place: u64, value: f32) {
    let at = at(place, cells.len());
    if let Some(cell) = cells.get_mut(at) {
        *cell = value;
    }
}

/// To the eight binary digits that the file keeps of a source's rate: half a percent, which no chart shows.
fn short(value: f32) -> f32 {
    f32::from_bits((value.to_bits().saturating_add(0x8000)) & 0xffff_0000)
}
