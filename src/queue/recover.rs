//! Opening: finds out from the segments what the queue is, and brings the index up to date.
//!
//! The newest segment with a whole snapshot, and what follows it, gives positions, totals and checkpoints. A state record
//! counts only if all of its group lies whole before it: a power cut may have torn any part of a group that was never
//! answered. Batches after the last such state are added to it. Older segments hold batches only; the index knows them
//! up to its mark, and everything is scanned again where the mark fits no segment.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::disk::Disk;
use super::group::RESERVE;
use super::index::{Change, Index, IndexError, Mark, Memory, Place, checkpoint_key};
use super::ledger::State;
use super::receipt::Receipts;
use super::record::{self, Header, Type};
use super::segment::{FILE_HEADER, Found, Scan, appliance_of, file_name, number_of, read_payload};
use super::writer::changes_of;
use crate::event::{ApplianceId, Checkpoint, SourceId};
use crate::status::{Count, Handle};

/// What is known of a segment that is not being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// Its batches have numbers from here...
    pub(super) first: u64,
    /// ...to below this.
    pub(super) end: u64,
    pub(super) length: u64,
}

/// What the segments say.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) appliance: ApplianceId,
    /// The segments told the id; else it was made up.
    pub(super) named: bool,
    pub(super) state: State,
    pub(super) next: u64,
    pub(super) kept: BTreeMap<u64, Kept>,
    /// Something was damaged, everything was scanned, or the queue was not closed: the totals have to be held against what is there.
    pub(super) doubtful: bool,
}

/// Why the queue cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The folder or a segment cannot be read or written. Trying again helps once the disk works.
    #[error(
        "the queue's folder {folder} cannot be used: {source}; check that it exists, belongs to the program's user and has space"
    )]
    Disk {
        /// The queue's folder.
        folder: String,
        /// What the system said.
        source: io::Error,
    },
    /// Another program has the queue open. Trying again helps once that one has ended.
    #[error("the queue's folder {folder} is in use by another sapphire-edge; stop that one, or set another state_dir")]
    InUse {
        /// The queue's folder.
        folder: String,
    },
}

/// What to do with a torn end of the newest segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// Cut it off.
    Cut,
    /// Leave it: somebody writes there.
    Leave,
}

/// Reads the segments and brings `index` up to date.
pub(super) fn recover(disk: &dyn Disk, index: &dyn Index, status: &Handle, tail: Tail) -> io::Result<Recovered> {
    let mut segments: Vec<u64> = disk.list()?.iter().filter_map(|name| number_of(name)).collect();
    segments.sort_unstable();
    let mut heads = heads(disk, &segments)?;
    let written = heads.values().rev().find_map(Head::appliance);
    let (appliance, named) = (written.unwrap_or(ApplianceId(rand::random())), written.is_some());
    let base = heads.iter().rev().find(|(_, head)| head.snapshot.is_some()).map(|(segment, _)| *segment);
    let state = base.and_then(|base| heads.get_mut(&base)?.snapshot.take()).unwrap_or_else(|| State::new(appliance));
    let base = base.unwrap_or(0);
    let mark = index.mark().ok().flatten().filter(|mark| fits(disk, *mark).unwrap_or(false));
    let from = match mark {
        Some(mark) => mark,
        None => {
            index.clear().map_err(io::Error::other)?;
            Mark { segment: 0, end: 0 }
        }
    };
    let (added, changes) = (BTreeMap::new(), Vec::new());
    let mut replay = Replay { index, state, added, changes, highest: 0, damages: 0, status };
    for segment in segments.iter().copied().filter(|segment| *segment >= base.min(from.segment)) {
        let newest = Some(&segment) == segments.last();
        if let Some(written) = heads.get(&segment).and_then(|head| head.written) {
            replay.forget_from(written, segment)?;
            if segment > from.segment {
                replay.forget_checkpoints(segment)?;
            }
        }
        let cut = replay.segment(disk, segment, base, from, newest)?;
        if segment >= base && tail == Tail::Cut {
            // What a killed program left behind was written, and may not be durable yet: from here on it counts.
            disk.truncate(&file_name(segment), cut)?;
        }
    }
    let Replay { mut state, added, highest, damages, .. } = replay;
    Receipts::add_to(&mut state, disk, |number| added.contains_key(&number));
    for (number, (source, events)) in added {
        state.ledger.of(&source).received += events;
        let outputs = state.outputs.values_mut().filter(|position| !position.done.contains(number));
        outputs.for_each(|position| position.waiting += events);
        state.written = state.written.max(number + 1);
    }
    // A damaged record may have been a reservation.
    let next = state.reserved.max(state.written).max(highest + 1) + damages * RESERVE;
    let doubtful = mark.is_none() || damages > 0 || !state.clean;
    let kept = kept(disk, &heads, next)?;
    Ok(Recovered { appliance, named, state, next, kept, doubtful })
}

struct Head {
    appliance: Option<ApplianceId>,
    /// Batches from this number upwards that lie in earlier segments belong to a group that failed and was never answered.
    written: Option<u64>,
    snapshot: Option<State>,
}

impl Head {
    /// The box's id, which the snapshot knows too, should the file's header be damaged.
    fn appliance(&self) -> Option<ApplianceId> {
        self.appliance.or_else(|| self.snapshot.as_ref()?.appliance())
    }
}

/// The snapshot at the head of each segment.
fn heads(disk: &dyn Disk, segments: &[u64]) -> io::Result<BTreeMap<u64, Head>> {
    let mut heads = BTreeMap::new();
    for segment in segments {
        let file = disk.open(&file_name(*segment))?;
        let mut head = Head { appliance: appliance_of(&*file, *segment)?, snapshot: None, written: None };
        let mut scan = Scan::new(&*file, FILE_HEADER as u64)?;
        let mut state = None;
        while let Some(Found::Record { at, header, .. }) = scan.next()? {
            match header.kind {
                Type::State if state.is_none() => {
                    let payload = record::payload(&header, read_payload(&*file, at, &header)?).ok();
                    state = payload.and_then(|payload| State::from_bytes(&payload));
                }
                Type::WholeCheckpoint => {}
                Type::SnapshotEnd => {
                    head.written = state.as_ref().map(|state: &State| state.written);
                    head.snapshot = state.take();
                    break;
                }
                _ => break,
            }
        }
        heads.insert(*segment, head);
    }
    Ok(heads)
}

/// Which numbers each segment may hold: from its own snapshot to that of the next one.
fn kept(disk: &dyn Disk, heads: &BTreeMap<u64, Head>, next: u64) -> io::Result<BTreeMap<u64, Kept>> {
    let mut kept = BTreeMap::new();
    let mut end = next;
    for segment in heads.keys().rev() {
        let file = disk.open(&file_name(*segment))?;
        let first = first_number(&*file)?.unwrap_or(end).min(end);
        kept.insert(*segment, Kept { first, end, length: file.length()? });
        // A segment that was given up after an error may share numbers with the next one.
        end = first;
    }
    Ok(kept)
}

/// The number of the first batch in a segment.
fn first_number(file: &dyn super::disk::Read) -> io::Result<Option<u64>> {
    let mut scan = Scan::new(file, FILE_HEADER as u64)?;
    while let Some(found) = scan.next()? {
        if let Found::Record { header, .. } = found
            && header.kind == Type::Batch
        {
            return Ok(Some(header.number.0));
        }
    }
    Ok(None)
}

/// Whether the index's mark is the end of a record in a segment that exists.
pub(super) fn fits(disk: &dyn Disk, mark: Mark) -> io::Result<bool> {
    let file = disk.open(&file_name(mark.segment))?;
    let mut scan = Scan::new(&*file, FILE_HEADER as u64)?;
    while let Some(found) = scan.next()? {
        if let Found::Record { at, header, .. } = found
            && at + header.record_length() == mark.end
        {
            return Ok(true);
        }
    }
    Ok(false)
}

struct Replay<'a> {
    index: &'a dyn Index,
    state: State,
    /// Batches that the state does not know yet.
    added: BTreeMap<u64, (SourceId, u64)>,
    changes: Vec<Change>,
    highest: u64,
    damages: u64,
    status: &'a Handle,
}

impl Replay<'_> {
    /// Takes in one segment; returns how long it is without a torn tail.
    fn segment(&mut self, disk: &dyn Disk, segment: u64, base: u64, from: Mark, newest: bool) -> io::Result<u64> {
        let file = disk.open(&file_name(segment))?;
        let mut scan = Scan::new(&*file, FILE_HEADER as u64)?;
        let (mut cut, mut whole_from, mut end) = (file.length()?, FILE_HEADER as u64, FILE_HEADER as u64);
        while let Some(found) = scan.next()? {
            let (at, header, extra) = match found {
                Found::Record { at, header, extra } => (at, header, extra),
                Found::Damage { at, length } => {
                    tracing::warn!(segment, at, length, "damaged bytes in a segment are set aside");
                    self.status.counters().add(Count::DamagedRecords, 1);
                    self.damages += 1;
                    whole_from = at + length;
                    continue;
                }
                Found::Tail { at, length } => {
                    tracing::warn!(segment, at, length, "the torn end of a segment is cut");
                    cut = at;
                    continue;
                }
            };
            end = at + header.record_length();
            // The last group may be torn inside a payload; older segments are whole or found damaged when read.
            let stored = if newest { Some(read_payload(&*file, at, &header)?) } else { None };
            if stored.is_some_and(|stored| record::payload(&header, stored).is_err()) {
                self.status.counters().add(Count::DamagedRecords, 1);
                self.damages += 1;
                whole_from = end;
            }
            let known = segment < from.segment || (segment == from.segment && end <= from.end);
            match header.kind {
                Type::Batch if self.state.void.get(&segment).is_some_and(|void| header.number.0 >= *void) => {}
                Type::Batch => {
                    if segment >= base {
                        self.count(&header, &extra);
                    }
                    if !known {
                        self.place(segment, at, &header, &extra);
                    }
                }
                // The snapshot of a newer segment, whose head is not whole, is older than the group that was to follow it.
                Type::State if at == FILE_HEADER as u64 => {}
                Type::State if segment >= base && at >= whole_from && at - whole_from >= header.number.0 => {
                    let payload = record::payload(&header, read_payload(&*file, at, &header)?).ok();
                    self.adopt(payload.and_then(|payload| State::from_bytes(&payload)));
                }
                Type::Checkpoint | Type::WholeCheckpoint if !known => self.checkpoint(&extra),
                _ => {}
            }
            if self.changes.len() >= 4_096 {
                self.flush(Mark { segment, end })?;
            }
        }
        if segment > from.segment || (segment == from.segment && end > from.end) {
            self.flush(Mark { segment, end })?;
        }
        Ok(cut)
    }

    /// Adds a batch that the state may not know yet.
    fn count(&mut self, header: &Header, extra: &[u8]) {
        let number = header.number.0;
        self.highest = self.highest.max(number);
        if let Some((source, _)) = record::source(extra).filter(|_| number >= self.state.written) {
            self.added.insert(number, (source, u64::from(header.count)));
        }
    }

    /// Notes where a batch lies that the index does not know yet.
    fn place(&mut self, segment: u64, at: u64, header: &Header, extra: &[u8]) {
        let Some((source, rest)) = record::source(extra) else { return };
        let (count, raw_length, first_received) = (header.count, header.raw_length, header.first_received.0);
        let place = Place { segment, at, count, raw_length, first_received, source };
        let checkpoint = record::read_checkpoint(rest).ok().flatten();
        self.changes.extend(changes_of(header.number, place, checkpoint.as_ref()));
    }

    /// Takes back what was noted of batches from this number upwards in the segments before this one.
    fn forget_from(&mut self, written: u64, segment: u64) -> io::Result<()> {
        self.added.split_off(&written);
        self.changes.retain(|change| !matches!(change, Change::Put(number, _) if *number >= written));
        let mut from = written;
        while let Some((number, place)) = self.index.next(from)? {
            if place.segment < segment {
                self.changes.push(Change::Remove(number));
            }
            from = number + 1;
        }
        Ok(())
    }

    fn adopt(&mut self, state: Option<State>) {
        let Some(state) = state else { return };
        self.added.retain(|number, _| *number >= state.written);
        self.state = state;
    }

    /// A whole snapshot tells every checkpoint; what was noted before may belong to a group that failed.
    fn forget_checkpoints(&mut self, segment: u64) -> io::Result<()> {
        self.flush(Mark { segment, end: 0 })?;
        let all = self.index.checkpoints(b"")?;
        self.changes.extend(all.into_iter().map(|(key, _)| Change::Checkpoint(key, None)));
        Ok(())
    }

    fn checkpoint(&mut self, extra: &[u8]) {
        let Some((source, rest)) = record::source(extra) else { return };
        let Ok(Some(checkpoint)) = record::read_checkpoint(rest) else { return };
        for (key, value) in checkpoint.changes {
            self.changes.push(Change::Checkpoint(checkpoint_key(source.as_str(), &checkpoint.feed, &key), value));
        }
    }

    fn flush(&mut self, mark: Mark) -> io::Result<()> {
        let changes = std::mem::take(&mut self.changes);
        self.index.apply(&changes, mark).map_err(io::Error::other)
    }
}

/// An index in memory with every place and checkpoint that the segments hold.
pub(super) fn index_in_memory(disk: &dyn Disk, status: &Handle) -> io::Result<Arc<dyn Index>> {
    let index = Memory::default();
    recover(disk, &index, status, Tail::Leave)?;
    Ok(Arc::new(index))
}

/// Index entries gathered to whole checkpoints, one per source and feed.
pub(super) fn by_feed(entries: Vec<(Vec<u8>, Vec<u8>)>) -> Vec<(SourceId, Checkpoint)> {
    let mut feeds: BTreeMap<(String, String), Checkpoint> = BTreeMap::new();
    for (full, value) in entries {
        let mut parts = full.splitn(3, |byte| *byte == 0);
        let mut text = || parts.next().map(|part| String::from_utf8_lossy(part).into_owned());
        let (Some(source), Some(feed)) = (text(), text()) else { continue };
        let key = parts.next().unwrap_or_default().to_vec();
        let checkpoint = feeds.entry((source, feed.clone())).or_insert(Checkpoint { feed, changes: Vec::new() });
        checkpoint.changes.push((key, Some(value)));
    }
    feeds.into_iter().map(|((source, _), checkpoint)| (SourceId::from(source.as_str()), checkpoint)).collect()
}

impl From<IndexError> for io::Error {
    fn from(err: IndexError) -> Self {
        Self::other(err)
    }
}
