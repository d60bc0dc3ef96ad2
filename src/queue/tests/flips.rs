//! One flipped bit in every field of segments and index: the queue opens, loses no more than what was hit, and counts it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::sim::SimDisk;
use crate::clock::{Clock, Timestamp};
use crate::event::{
    ApplianceId, Batch, BatchBuilder, BatchLimits, Checkpoint, Kind, Origin, OutputId, Record, Transport,
};
use crate::quantity::Size;
use crate::queue::core::{Core, Next};
use crate::queue::disk::Disk;
use crate::queue::index::{Memory, checkpoint_key};
use crate::queue::record::{HEADER, Type};
use crate::queue::segment::{FILE_HEADER, Found, Looked, Scan, Shelf};
use crate::queue::writer::Writer;
use crate::queue::{Config, OutputRule, Queue};
use crate::status::{Board, Component, Count, DropReason};

/// Batches of two events each, all settled.
const BATCHES: u64 = 8;
/// The first of them are delivered.
const DELIVERED: u64 = 3;

fn batch(serial: u64) -> Batch {
    let source = if serial.is_multiple_of(2) { "fw" } else { "api" };
    let mut builder = BatchBuilder::new(source.into(), Kind::Syslog, BatchLimits::default());
    let origin = Origin::new(Transport::Internal, None);
    for bytes in [&b"<13>one and another of the same kind, and of the same kind"[..], b"<13>two"] {
        builder.push(&Record { received: Timestamp(serial), origin: &origin, id: None, cut_from: None, bytes });
    }
    let batch = builder.seal().unwrap();
    let changes = vec![(b"at".to_vec(), Some(serial.to_be_bytes().to_vec()))];
    if source == "api" { batch.with_checkpoint(Checkpoint { feed: "f".into(), changes }) } else { batch }
}

/// An open queue whose writer is stepped by hand.
struct Opened {
    core: Arc<Core>,
    shelf: Arc<Shelf>,
    writer: Writer,
    board: Board,
}

impl Opened {
    fn of(disk: &SimDisk, index: Arc<Memory>) -> Self {
        let board = Board::new(Clock::System);
        let rules = [OutputRule { id: "gw".into(), may_skip: false, acknowledges: true }];
        let config = Config { segment_size: Size(1_000), ..Config::default() };
        let status = board.handle(Component::Queue, "queue");
        let prepared = Queue::prepare(Box::new(disk.clone()), index, &config, &rules, status);
        let (core, shelf, writer, _) = prepared.unwrap();
        Self { core, shelf, writer, board }
    }

    /// Lets the output have up to `most` batches; their serials.
    fn deliver(&self, most: usize) -> Vec<u64> {
        let output = OutputId::from("gw");
        let mut had = Vec::new();
        while had.len() < most {
            let next = match self.core.next(&output).unwrap() {
                Next::Wait => break,
                Next::Disk { from, bound } => match self.shelf.look(from, bound).unwrap() {
                    Looked::Batch(number, batch) => self.core.fetched(&output, from, bound, Some((number, batch))),
                    Looked::Nothing => self.core.fetched(&output, from, bound, None),
                    Looked::Damaged { number, place, .. } => {
                        self.core.damaged(number, &place.source, u64::from(place.count));
                        self.core.fetch_failed(&output);
                        None
                    }
                    Looked::Misplaced(_) => {
                        for (number, place) in self.shelf.rebuild(&self.core.status).unwrap() {
                            self.core.damaged(number, &place.source, u64::from(place.count));
                        }
                        self.core.fetch_failed(&output);
                        None
                    }
                },
                found => Some(found),
            };
            let Some(Next::Batch(number, batch, _)) = next else { continue };
            self.core.ack(&output, number, &batch);
            had.push(batch.first_received().0);
        }
        had
    }
}

/// A queue as it was left.
struct Left {
    disk: SimDisk,
    index: Arc<Memory>,
    appliance: ApplianceId,
    next: u64,
}

fn leave(closed: bool) -> Left {
    let (disk, index) = (SimDisk::new(1), Arc::new(Memory::default()));
    let mut opened = Opened::of(&disk, Arc::clone(&index));
    opened.writer.step(false).unwrap();
    for serial in 1..=BATCHES {
        let ticket = opened.core.take(batch(serial), true).unwrap();
        assert!(opened.writer.step(false).unwrap());
        assert_eq!(ticket.number().0, serial, "the numbers are the serials");
    }
    assert_eq!(opened.deliver(usize::try_from(DELIVERED).unwrap()), [1, 2, 3]);
    opened.writer.step(true).unwrap();
    if closed {
        opened.core.begin_close();
        while opened.writer.step(true).unwrap() {}
    }
    let (appliance, next) = (opened.core.appliance, opened.core.lock().next);
    Left { disk, index, appliance, next }
}

/// A bit of a segment's file.
#[derive(Clone, Debug)]
struct Bit {
    file: String,
    at: usize,
    bit: u8,
    /// The batch it belongs to, if it belongs to one.
    batch: Option<u64>,
    /// What it means: the kind of record (none for the file's header) and the place in it.
    class: (Option<u8>, usize),
    /// It is in a header or an extra part.
    field: bool,
}

/// Every bit of file headers, record headers and extra parts; one bit of every other byte.
fn bits(disk: &SimDisk) -> Vec<Bit> {
    let mut bits = Vec::new();
    for (file, bytes) in disk.files() {
        let mut add = |at, batch, class, field| {
            let range = if field { 0..8 } else { u8::try_from(at % 8).map(|one| one..one + 1).unwrap() };
            bits.extend(range.map(|bit| Bit { file: file.clone(), at, bit, batch, class, field }));
        };
        (0..FILE_HEADER).for_each(|at| add(at, None, (None, at), true));
        let (read, mut end) = (disk.open(&file).unwrap(), FILE_HEADER);
        let mut scan = Scan::new(&*read, FILE_HEADER as u64).unwrap();
        while let Some(Found::Record { header, .. }) = scan.next().unwrap() {
            let batch = (header.kind == Type::Batch).then_some(header.number.0);
            let (length, fields) = (header.record_length(), HEADER + header.extra_length as usize);
            for at in 0..usize::try_from(length).unwrap() {
                add(end + at, batch, (Some(header.kind as u8), at), at < fields);
            }
            end += usize::try_from(length).unwrap();
        }
        assert_eq!(end, bytes.len());
    }
    bits
}

/// One bit of each class, or all with `QUEUE_FLIPS=all` (some minutes).
fn chosen(bits: Vec<Bit>) -> Vec<Bit> {
    if std::env::var("QUEUE_FLIPS").is_ok_and(|which| which == "all") {
        return bits;
    }
    let mut classes: BTreeMap<_, Vec<Bit>> = BTreeMap::new();
    bits.into_iter().for_each(|bit| classes.entry(bit.class).or_default().push(bit));
    let mut random = StdRng::seed_from_u64(7);
    classes.into_values().map(|mut same| same.swap_remove(random.random_range(0..same.len()))).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum With {
    Index,
    NoIndex,
}

/// Opens a damaged queue, drains it, and holds it against what may have been hit.
fn check(left: &Left, disk: &SimDisk, index: Arc<Memory>, hit: Option<u64>, with: With, what: &str) {
    let mut opened = Opened::of(disk, index);
    assert_eq!(opened.core.appliance, left.appliance, "{what}: the ids of events change");
    assert!(opened.core.lock().next >= left.next, "{what}: a number is given twice");
    let at = opened.shelf.index().checkpoints(&checkpoint_key("api", "f", b"")).unwrap();
    let at = at.first().map_or(0, |(_, value)| u64::from_be_bytes(value.as_slice().try_into().unwrap()));
    assert!(at < BATCHES, "{what}: the checkpoint ran ahead to {at}");
    opened.writer.step(false).unwrap();
    let had: BTreeSet<u64> = opened.deliver(usize::MAX).into_iter().collect();
    let missing: Vec<u64> = (DELIVERED + 1..=BATCHES).filter(|serial| !had.contains(serial)).collect();
    assert!(missing.is_empty() || (missing.len() == 1 && missing.first() == hit.as_ref()), "{what}: lost {missing:?}");
    let ledger = opened.core.lock().ledger.0.clone();
    assert!(ledger.values().all(|totals| totals.balances(0)), "{what}: {ledger:?}");
    let dropped: u64 = ledger.values().filter_map(|totals| totals.dropped.get(&DropReason::Damaged)).sum();
    let seen = opened.board.handle(Component::Queue, "queue").counters().count(Count::DamagedRecords);
    assert!(missing.is_empty() || dropped + seen > 0, "{what}: lost {missing:?} and counted nothing");
    let lost = 2 * missing.len() as u64;
    // A state that is hit takes with it that batches were delivered whose segments are gone: they count as lost.
    let exact = if hit.is_some() { dropped == lost } else { dropped >= lost };
    assert!(with == With::NoIndex || exact, "{what}: {dropped} dropped and {lost} lost: {ledger:?}");
}

#[test]
fn a_flipped_bit_in_any_field_of_a_segment_costs_no_more_than_what_it_hit() {
    for closed in [true, false] {
        let left = leave(closed);
        let bits = bits(&left.disk);
        assert!(bits.len() > 5_000, "only {}", bits.len());
        for (at, bit) in chosen(bits).into_iter().enumerate() {
            for with in [With::Index, With::NoIndex] {
                if !bit.field && closed == ((at % 2 == 0) == (with == With::Index)) {
                    continue;
                }
                let disk = left.disk.copy(1);
                disk.flip(&bit.file, bit.at, bit.bit);
                let index = if with == With::Index { left.index.copy() } else { Memory::default() };
                check(&left, &disk, Arc::new(index), bit.batch, with, &format!("{bit:?} closed={closed} {with:?}"));
            }
        }
    }
}
