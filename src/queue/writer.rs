//! The one owner of the writing: takes what is pending as a group, makes it durable with one sync, answers its senders.
//!
//! A group is one append: its batches, the checkpoints of batches that were spared, and the state record that agrees with
//! both. After any error the segment is given up, because nothing is known of its end (a sync that failed may have dropped
//! the pages): the same group goes into a new segment, and a number that is found twice counts once.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::WhenFull;
use super::core::Core;
use super::disk;
use super::group::Group;
use super::index::{Change, Entries, Mark, Place, checkpoint_key};
use super::inner::Spared;
use super::ledger::State;
use super::record::{self, Encoder, Type};
use super::recover::{self, Kept};
use super::report;
use super::segment::{Segment, Shelf, file_name};
use crate::clock;
use crate::event::{Batch, BatchNumber, Checkpoint};
use crate::status::{Count, DropReason, Gauge};

/// A state that merely moved (acknowledgements came, nothing to store) is written at most this often: after a crash so much
/// may be sent again.
const STATE_EVERY: Duration = Duration::from_secs(1);
/// Between tries while the disk fails.
const RETRY: Duration = Duration::from_secs(1);

/// The writer; runs on a thread of its own, or step by step in tests.
#[derive(Debug)]
pub(super) struct Writer {
    core: Arc<Core>,
    shelf: Arc<Shelf>,
    encoder: Encoder,
    active: Option<Segment>,
    kept: BTreeMap<u64, Kept>,
    next_segment: u64,
    /// The state that is durable.
    state: State,
    state_at: Instant,
    buffer: Vec<u8>,
}

impl Writer {
    pub(super) fn new(core: Arc<Core>, shelf: Arc<Shelf>, kept: BTreeMap<u64, Kept>, state: State) -> Self {
        let next_segment = kept.keys().next_back().map_or(1, |last| last + 1);
        let (encoder, state_at) = (Encoder::new(), clock::monotonic());
        Self { core, shelf, encoder, active: None, kept, next_segment, state, state_at, buffer: Vec::new() }
    }

    /// Works until the queue closes and all that was pending is written, or `beat` says to give up.
    pub(super) fn run(mut self, beat: &dyn Fn() -> bool) {
        if let Err(err) = disk::make_ballast(&*self.shelf.disk) {
            tracing::warn!(error = %err, "no room for the queue's ballast; it is made at the next start");
        }
        loop {
            let closing = self.core.wait_for_work(STATE_EVERY);
            let result = self.step(closing || self.state_at.elapsed() >= STATE_EVERY);
            match &result {
                Ok(_) => self.core.report(),
                Err(err) => self.core.report_disk(err),
            }
            if !beat() {
                break;
            }
            match result {
                Ok(more) if closing && !more => break,
                Ok(_) => {}
                // What was kept for this moment: a full disk must not keep the queue from being closed.
                Err(_) if closing && disk::drop_ballast(&*self.shelf.disk) => {}
                Err(_) => self.core.pause(RETRY),
            }
        }
        if let Err(err) = self.shelf.index().flush() {
            tracing::warn!(error = %err, "the index was not flushed; it will be brought up to date at the next start");
        }
        self.core.end_close();
    }

    /// Writes one group, if there is anything to write; whether there was. A state that merely moved counts if `with_state`.
    ///
    /// # Errors
    /// When the disk failed; the group is pending again and the next step tries a new segment.
    pub(super) fn step(&mut self, with_state: bool) -> io::Result<bool> {
        let Some(mut group) = self.core.collect(with_state) else { return Ok(false) };
        let begin = clock::monotonic();
        match self.write(&mut group) {
            Ok(()) => {
                if begin.elapsed() >= report::SLOW {
                    self.core.lock().slow = Some(clock::monotonic());
                }
                self.core.durable(group);
                self.reclaim();
                Ok(true)
            }
            Err(err) => {
                self.core.status.counters().add(Count::DiskErrors, 1);
                self.abandon();
                self.core.not_durable(group);
                Err(err)
            }
        }
    }

    fn write(&mut self, group: &mut Group) -> io::Result<()> {
        let written = group.batches.last().map_or(self.state.written, |(number, _)| number.0 + 1);
        group.state.written = written.max(self.state.written);
        self.state.void.retain(|segment, _| self.kept.contains_key(segment));
        group.state.void = self.state.void.clone();
        let mut segment = self.segment()?;
        let start = segment.length;
        let (mut changes, mut raw) = (Vec::new(), 0);
        let mut spared = group.spared.iter().peekable();
        for (number, batch) in &group.batches {
            // In the order of the numbers, so that the newest checkpoint of a feed is the last.
            while let Some((_, spared)) = spared.next_if(|(before, _)| **before < number.0) {
                self.spared(spared, &mut changes);
            }
            let place = place_of(segment.number, start + self.buffer.len() as u64, batch);
            self.encoder.batch(*number, batch, &mut self.buffer);
            changes.extend(changes_of(*number, place, batch.checkpoint().map(Arc::as_ref)));
            raw += batch.packed().len() as u64;
        }
        for (_, spared) in spared {
            self.spared(spared, &mut changes);
        }
        let group_length = self.buffer.len() as u64;
        self.encoder.control(Type::State, group_length, &[], &group.state.to_bytes(), &mut self.buffer);
        segment.append(&self.buffer)?;
        let mark = Mark { segment: segment.number, end: segment.length };
        let counters = self.core.status.counters();
        counters.add(Count::StoredBytes, self.buffer.len() as u64);
        counters.add(Count::StoredRawBytes, raw);
        counters.add(Count::Syncs, 1);
        self.active = Some(segment);
        self.buffer.clear();
        self.buffer.shrink_to(2 << 20);
        self.state = group.state.clone();
        self.state_at = clock::monotonic();
        self.index(&changes, mark);
        Ok(())
    }

    /// A checkpoint whose batch needs no write.
    fn spared(&mut self, spared: &Spared, changes: &mut Vec<Change>) {
        let mut extra = record::name(&spared.source);
        record::write_checkpoint(&spared.checkpoint, &mut extra);
        self.encoder.control(Type::Checkpoint, 0, &extra, &[], &mut self.buffer);
        changes.extend(checkpoint_changes(spared.source.as_str(), &spared.checkpoint));
    }

    /// The segment to append to: the active one, or a new one where it is full.
    fn segment(&mut self) -> io::Result<Segment> {
        self.buffer.clear();
        if let Some(active) = self.active.take() {
            if active.length < self.core.config.segment_size.bytes() {
                return Ok(active);
            }
            self.retire(&active);
        }
        let number = self.next_segment;
        // Also after an error this number is not used again: the file may exist.
        self.next_segment += 1;
        let checkpoints = self.shelf.ask(&self.core.status, |index| index.checkpoints(b""))?;
        let snapshot = snapshot(&mut self.encoder, &self.state, checkpoints);
        let segment = Segment::create(&*self.shelf.disk, number, self.core.appliance, &snapshot);
        let segment = match segment {
            Ok(segment) => segment,
            Err(err) => {
                // Whatever there is of the file is taken away with the next segments that are done.
                self.kept.insert(number, Kept { first: 0, end: 0, length: 0 });
                return Err(err);
            }
        };
        self.core.status.counters().add(Count::StoredBytes, segment.length);
        self.kept.insert(number, Kept { first: self.state.written, end: u64::MAX, length: segment.length });
        if let Err(err) = self.shelf.index().flush() {
            tracing::warn!(error = %err, "the queue's index was not flushed");
        }
        Ok(segment)
    }

    /// A full segment is kept until its batches are delivered.
    fn retire(&mut self, segment: &Segment) {
        if let Some(kept) = self.kept.get_mut(&segment.number) {
            kept.end = self.state.written;
            kept.length = segment.length;
        }
    }

    /// After an error: nothing is known of the end of the active segment, so it is left, cut where it was last known whole.
    fn abandon(&mut self) {
        self.buffer.clear();
        if let Some(mut unclosed) = self.kept.last_entry().filter(|entry| entry.get().end == u64::MAX) {
            unclosed.get_mut().end = self.state.written;
            self.state.void.insert(*unclosed.key(), self.state.written);
        }
        self.active = None;
    }

    fn index(&mut self, changes: &[Change], mark: Mark) {
        if let Err(err) = self.shelf.apply(changes, mark, &self.core.status) {
            tracing::error!(error = %err, "the index cannot be built: reading the segments failed");
        }
    }

    /// Removes segments whose batches everybody has, by the positions that are durable.
    fn reclaim(&mut self) {
        let active = self.active.as_ref().map(|segment| segment.number);
        if let Some((kept, segment)) = active.and_then(|number| self.kept.get_mut(&number)).zip(self.active.as_ref()) {
            kept.length = segment.length;
        }
        let done = |kept: &Kept| {
            let inner = self.core.lock();
            kept.first >= kept.end || inner.delivered_all(kept.first, kept.end, &self.state)
        };
        let gone: Vec<(u64, Kept)> = self
            .kept
            .iter()
            .filter(|(number, kept)| Some(**number) != active && done(kept))
            .map(|(n, k)| (*n, *k))
            .collect();
        for (number, kept) in gone {
            if let Err(err) = self.remove(number, kept) {
                tracing::warn!(segment = number, error = %err, "a delivered segment could not be removed; it is tried again");
                // Also when nothing else comes.
                self.core.lock().moved = true;
                break;
            }
        }
        if self.core.config.when_full == WhenFull::DropOldest {
            self.make_room(active);
        }
        let bytes = self.kept.values().map(|kept| kept.length).sum();
        self.core.lock().disk_bytes = bytes;
        // Who was told of the group before this may have found no room yet.
        self.core.room.notify_waiters();
        let counters = self.core.status.counters();
        counters.set(Gauge::QueuedBytes, bytes);
        counters.set(Gauge::Segments, self.kept.len() as u64);
    }

    /// Drops the oldest segments, and counts what nobody had of them, until a new one fits.
    fn make_room(&mut self, active: Option<u64>) {
        let limit = self.core.config.max_size.bytes().saturating_sub(self.core.config.segment_size.bytes());
        while self.kept.values().map(|kept| kept.length).sum::<u64>() > limit
            && let Some((number, kept)) = self.kept.iter().next().map(|(number, kept)| (*number, *kept))
            && Some(number) != active
        {
            if let Err(err) = self.give_up(number, kept).and_then(|()| self.remove(number, kept)) {
                tracing::warn!(segment = number, error = %err, "the oldest segment could not be dropped; it is tried again");
                break;
            }
        }
    }

    fn give_up(&self, number: u64, kept: Kept) -> io::Result<()> {
        let mut from = kept.first;
        while let Some((batch, place)) = self.next(from)?.filter(|(batch, _)| *batch < kept.end) {
            if place.segment == number {
                self.core.give_up(batch, &place.source, u64::from(place.count), DropReason::QueueFull);
            }
            from = batch + 1;
        }
        Ok(())
    }

    fn next(&self, from: u64) -> io::Result<Option<(u64, Place)>> {
        self.shelf.ask(&self.core.status, |index| index.next(from))
    }

    /// Takes a delivered segment away: from the index first, so that a reader who misses the file knows why.
    fn remove(&mut self, number: u64, kept: Kept) -> io::Result<()> {
        let Some(active) = &self.active else { return Ok(()) };
        let mark = Mark { segment: active.number, end: active.length };
        let mut changes = Vec::new();
        let mut from = kept.first;
        while let Some((batch, place)) = self.next(from)?.filter(|(batch, _)| *batch < kept.end) {
            if place.segment == number {
                changes.push(Change::Remove(batch));
            }
            from = batch + 1;
        }
        self.index(&changes, mark);
        match self.shelf.disk.remove(&file_name(number)) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
            _ => {}
        }
        self.kept.remove(&number);
        Ok(())
    }
}

/// All control data as records, for the head of a segment.
pub(super) fn snapshot(encoder: &mut Encoder, state: &State, checkpoints: Entries) -> Vec<u8> {
    let mut bytes = Vec::new();
    encoder.control(Type::State, 0, &[], &state.to_bytes(), &mut bytes);
    for (source, checkpoint) in recover::by_feed(checkpoints) {
        let mut extra = record::name(&source);
        record::write_checkpoint(&checkpoint, &mut extra);
        encoder.control(Type::WholeCheckpoint, 0, &extra, &[], &mut bytes);
    }
    encoder.control(Type::SnapshotEnd, 0, &[], &[], &mut bytes);
    bytes
}

fn place_of(segment: u64, at: u64, batch: &Batch) -> Place {
    let raw_length = u32::try_from(batch.packed().len()).unwrap_or(u32::MAX);
    let (count, first_received, source) = (batch.count(), batch.first_received().0, batch.source().clone());
    Place { segment, at, count, raw_length, first_received, source }
}

fn checkpoint_changes(source: &str, checkpoint: &Checkpoint) -> Vec<Change> {
    let changes = checkpoint.changes.iter();
    changes
        .map(|(key, value)| Change::Checkpoint(checkpoint_key(source, &checkpoint.feed, key), value.clone()))
        .collect()
}

/// Places and changes of a batch found in a segment.
pub(super) fn changes_of(number: BatchNumber, place: Place, checkpoint: Option<&Checkpoint>) -> Vec<Change> {
    let source = place.source.clone();
    let mut changes = vec![Change::Put(number.0, place)];
    changes.extend(checkpoint.into_iter().flat_map(|checkpoint| checkpoint_changes(source.as_str(), checkpoint)));
    changes
}
