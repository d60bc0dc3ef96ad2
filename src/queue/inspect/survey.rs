//! What is in a queue.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::Serialize;

use super::flaw::{Finding, Flaw, no_record};
use super::still::Still;
use super::{ToolError, View, sum};
use crate::clock::{Clock, Timestamp};
use crate::event::{BatchNumber, OutputId, SourceId};
use crate::queue::disk::Disk as _;
use crate::queue::index::Index as _;
use crate::queue::ledger::Totals;
use crate::queue::record::{Header, Type};
use crate::queue::recover;
use crate::queue::segment::{FILE_HEADER, Found, Scan, file_name};

/// What is in a queue, by the headers of its records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// A program has it open; what it holds in memory only is not seen here.
    pub running: bool,
    /// It was closed in good order, and nothing came after that.
    pub closed: bool,
    /// When its state was last written (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written_at: Option<String>,
    /// The box's name inside event ids; none where no segment tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub appliance: Option<String>,
    /// Every batch with a lower number that was to be written is written.
    pub written: u64,
    /// Every lower number may have been used.
    pub reserved: u64,
    /// Bytes of all segments.
    pub bytes: u64,
    /// The segments, oldest first.
    pub segments: Vec<Segment>,
    /// How far each output is.
    pub outputs: Vec<Output>,
    /// The newest checkpoint of each feed.
    pub checkpoints: Vec<Feed>,
    /// What each source's events came to.
    pub ledger: BTreeMap<SourceId, Balance>,
    /// What is damaged, as far as headers tell; `verify` looks at everything.
    pub damage: Vec<Finding>,
}

/// A segment file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Segment {
    /// Its number.
    pub number: u64,
    /// Its length.
    pub bytes: u64,
    /// Batches in it.
    pub batches: u64,
    /// The lowest and the highest of their numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numbers: Option<(u64, u64)>,
    /// Events in it.
    pub events: u64,
    /// Bytes of those events before compression.
    pub raw_bytes: u64,
    /// Events in it that are not delivered.
    pub undelivered: u64,
    /// When its first event was received (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_received: Option<String>,
    /// How long ago that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<u64>,
}

/// How far an output is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Output {
    /// Its id.
    pub id: OutputId,
    /// The queue may let go of events that it has not had.
    pub may_skip: bool,
    /// Batch numbers it needs no more: from the first to below the second.
    pub done: Vec<(u64, u64)>,
    /// Batches that wait for it.
    pub waiting_batches: u64,
    /// Their events.
    pub waiting_events: u64,
    /// The lowest of their numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<BatchNumber>,
}

/// The checkpoint of a feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Feed {
    /// The source it belongs to.
    pub source: SourceId,
    /// The stream inside the source.
    pub feed: String,
    /// How many keys it holds.
    pub keys: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
}

/// The totals of a source beside what is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// By the ledger.
    #[serde(flatten)]
    pub totals: Totals,
    /// Undelivered events found in the segments.
    pub queued: u64,
    /// Whether `received = delivered + queued + dropped`.
    pub balances: bool,
}

impl Balance {
    /// Holds totals against what is there.
    #[must_use]
    pub fn of(totals: Totals, queued: u64) -> Self {
        Self { balances: totals.balances(queued), totals, queued }
    }
}

impl Inspection {
    /// Looks into a queue's folder; safe while a program has it open. Blocks on the disk.
    ///
    /// # Errors
    /// When there is no queue or the disk does not give it.
    pub fn read(folder: &Path, clock: &Clock) -> Result<Self, ToolError> {
        let (_, view, still) = View::of_folder(folder)?;
        Self::of(&view, &still, clock.now()).map_err(ToolError::of(folder))
    }

    fn of(view: &View, still: &Still, now: Timestamp) -> io::Result<Self> {
        let (segments, damage) = segments(view, still, now)?;
        let recovered = &view.recovered;
        let state = &recovered.state;
        Ok(Self {
            running: view.running,
            closed: state.clean,
            written_at: (state.at > 0).then(|| Timestamp(state.at).to_string()),
            appliance: recovered.named.then(|| recovered.appliance.to_string()),
            written: state.written,
            reserved: state.reserved,
            bytes: segments.iter().map(|segment| segment.bytes).sum(),
            segments,
            outputs: outputs(view)?,
            checkpoints: checkpoints(view)?,
            ledger: ledger(view, |_, _| true)?,
            damage,
        })
    }
}

/// The segments, and what their headers say is damaged.
fn segments(view: &View, still: &Still, now: Timestamp) -> io::Result<(Vec<Segment>, Vec<Finding>)> {
    let (mut segments, mut damage) = (Vec::new(), Vec::new());
    for (number, bytes) in still.lengths() {
        let file = still.open(&file_name(number))?;
        damage.extend(view.file_header(&*file, number)?);
        let mut segment = Segment { number, bytes, ..Segment::default() };
        let mut scan = Scan::new(&*file, FILE_HEADER as u64)?;
        while let Some(found) = scan.next()? {
            match found {
                Found::Record { header, .. } if header.kind == Type::Batch => segment.add(&header, view, now),
                Found::Record { .. } => {}
                Found::Tail { .. } if view.is_growing(number) => {}
                Found::Damage { at, length } => {
                    damage.push(Finding::at(Flaw::Record, number, at, length, no_record(&*file, at)?));
                }
                Found::Tail { at, length } => {
                    let what = format!("{} bytes at the end are no whole record: {}", length, no_record(&*file, at)?);
                    damage.push(Finding::at(Flaw::Tail, number, at, length, what));
                }
            }
        }
        segments.push(segment);
    }
    Ok((segments, damage))
}

impl Segment {
    fn add(&mut self, header: &Header, view: &View, now: Timestamp) {
        let (number, events) = (header.number.0, u64::from(header.count));
        let (first, last) = self.numbers.unwrap_or((number, number));
        self.numbers = Some((first.min(number), last.max(number)));
        if self.batches == 0 {
            self.first_received = Some(header.first_received.to_string());
            self.age_seconds = Some(now.since(header.first_received).as_secs());
        }
        self.batches += 1;
        self.events += events;
        self.raw_bytes += u64::from(header.raw_length);
        if !view.recovered.state.delivered(number) {
            self.undelivered += events;
        }
    }
}

fn outputs(view: &View) -> io::Result<Vec<Output>> {
    let places = view.places()?;
    let outputs = view.recovered.state.outputs.iter().map(|(id, position)| {
        let waiting = || places.iter().filter(|(number, _)| !position.done.contains(*number));
        Output {
            id: id.clone(),
            may_skip: position.may_skip,
            done: position.done.clone().into(),
            waiting_batches: waiting().count() as u64,
            waiting_events: waiting().map(|(_, place)| u64::from(place.count)).sum(),
            next: waiting().next().map(|(number, _)| BatchNumber(*number)),
        }
    });
    Ok(outputs.collect())
}

fn checkpoints(view: &View) -> io::Result<Vec<Feed>> {
    let feeds = recover::by_feed(view.index.checkpoints(b"")?).into_iter().map(|(source, checkpoint)| {
        let size = |(key, value): &(Vec<u8>, Option<Vec<u8>>)| key.len() + value.as_ref().map_or(0, Vec::len);
        let (keys, bytes) = (checkpoint.changes.len(), checkpoint.changes.iter().map(size).sum::<usize>());
        Feed { source, feed: checkpoint.feed, keys: keys as u64, bytes: bytes as u64 }
    });
    Ok(feeds.collect())
}

/// The totals beside the undelivered events that are there; `good` says whether a place (segment and offset) counts.
pub(super) fn ledger(view: &View, good: impl Fn(u64, u64) -> bool) -> io::Result<BTreeMap<SourceId, Balance>> {
    let state = &view.recovered.state;
    let there =
        view.places()?.into_iter().filter(|(number, place)| !state.delivered(*number) && good(place.segment, place.at));
    let there = sum(there.map(|(_, place)| (place.source, u64::from(place.count))));
    let mut ledger: BTreeMap<SourceId, Totals> = state.ledger.0.clone();
    for source in there.keys() {
        ledger.entry(source.clone()).or_default();
    }
    let balance = |(source, totals): (SourceId, Totals)| {
        let queued = there.get(&source).copied().unwrap_or(0);
        (source, Balance::of(totals, queued))
    };
    Ok(ledger.into_iter().map(balance).collect())
}
