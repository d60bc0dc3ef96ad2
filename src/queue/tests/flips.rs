//! One flipped bit in every field of segments and index: the queue opens, loses no more than what was hit, and counts it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::sim::SimDisk;
use crate::clock::{Clock, Timestamp};
use crate::event::{
    ApplianceId, Batch, BatchBuilder, BatchLimits, Checkpoint, Kind, Origin, OutputId, Record, Transport,
};
use crate::quantity::Size;
use crate::queue::core::Core;
use crate::queue::disk::Disk;
use crate::queue::index::{self, Change, Index, IndexError, Mark, Memory, Place, Sled, checkpoint_key};
use crate::queue::outward::Next;
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
    fn of(disk: &SimDisk, index: Arc<dyn Index>) -> Self {
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
    let mut opened = Opened::of(&disk, Arc::<Memory>::clone(&index));
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

/// The queue in a folder, its index in sled.
fn store(left: &Left) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in left.disk.files() {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let sled = Sled::open(&folder.path().join(index::FOLDER)).unwrap();
    let mut changes = Vec::new();
    while let Some((number, place)) = left.index.next(changes.len() as u64 + DELIVERED).unwrap() {
        changes.push(Change::Put(number, place));
    }
    let checkpoints = left.index.checkpoints(b"").unwrap().into_iter();
    changes.extend(checkpoints.map(|(key, value)| Change::Checkpoint(key, Some(value))));
    sled.apply(&changes, left.index.mark().unwrap().unwrap()).unwrap();
    sled.flush().unwrap();
    folder
}

/// Opens the queue in a folder whose index is not right: everything is there all the same.
async fn open_all_the_same(folder: &Path, what: &str) {
    let board = Board::new(Clock::System);
    let rules = [OutputRule { id: "gw".into(), may_skip: false, acknowledges: true }];
    let status = board.handle(Component::Queue, "queue");
    Sled::wait_for(&folder.join(index::FOLDER));
    let queue = Queue::open(folder, &Config::default(), &rules, status).unwrap();
    let at = queue.intake().checkpoint(&"api".into(), "f").unwrap();
    let last = BATCHES - 1;
    assert_eq!(at.get(&b"at"[..]).map(Vec::as_slice), Some(&last.to_be_bytes()[..]), "{what}: the checkpoint");
    let reader = queue.reader(&"gw".into());
    let mut had = BTreeSet::new();
    for _ in DELIVERED..BATCHES {
        let next = tokio::time::timeout(Duration::from_secs(20), reader.next()).await;
        let delivery = next.unwrap_or_else(|_| panic!("{what}: only {had:?} came")).unwrap();
        had.insert(delivery.number().0);
        delivery.ack();
    }
    assert_eq!(had, (DELIVERED + 1..=BATCHES).collect(), "{what}");
    let ledger = queue.ledger();
    assert!(ledger.values().all(|totals| totals.balances(0) && totals.dropped() == 0), "{what}: {ledger:?}");
    assert!(queue.close(Duration::from_secs(20)).await);
}

#[tokio::test]
async fn a_flipped_bit_in_any_field_of_the_index_costs_nothing() {
    for closed in [true, false] {
        let left = leave(closed);
        let folder = store(&left);
        let entries = Sled::open_again(&folder.path().join(index::FOLDER)).stored();
        // One batch's place, the checkpoint and the mark.
        let kinds: BTreeMap<u8, (Vec<u8>, Vec<u8>)> = entries.into_iter().map(|entry| (entry.0[0], entry)).collect();
        assert_eq!(kinds.len(), 3);
        for (key, value) in kinds.into_values() {
            // Not the keys: an entry with another key is one that is not there, which only sled's own checks can notice.
            for byte in 0..value.len() {
                let mut other = value.clone();
                other[byte] ^= 1 << ((byte + usize::from(closed)) % 8);
                let folder = store(&left);
                let sled = Sled::open_again(&folder.path().join(index::FOLDER));
                sled.falsify(&key, other.clone());
                sled.flush().unwrap();
                drop(sled);
                open_all_the_same(folder.path(), &format!("{key:?}: {other:?}, closed={closed}")).await;
            }
        }
    }
}

/// An index that fails when told to.
#[derive(Debug, Default)]
struct Failing {
    memory: Memory,
    fails: AtomicBool,
}

impl Failing {
    fn or_fail<T>(&self, work: impl FnOnce(&Memory) -> Result<T, IndexError>) -> Result<T, IndexError> {
        if self.fails.load(Ordering::Relaxed) { Err(IndexError::Garbled) } else { work(&self.memory) }
    }
}

impl Index for Failing {
    fn apply(&self, changes: &[Change], mark: Mark) -> Result<(), IndexError> {
        self.or_fail(|memory| memory.apply(changes, mark))
    }

    fn next(&self, from: u64) -> Result<Option<(u64, Place)>, IndexError> {
        self.or_fail(|memory| memory.next(from))
    }

    fn before(&self, bound: u64) -> Result<Option<(u64, Place)>, IndexError> {
        self.or_fail(|memory| memory.before(bound))
    }

    fn mark(&self) -> Result<Option<Mark>, IndexError> {
        self.or_fail(Index::mark)
    }

    fn checkpoints(&self, prefix: &[u8]) -> Result<index::Entries, IndexError> {
        self.or_fail(|memory| memory.checkpoints(prefix))
    }

    fn clear(&self) -> Result<(), IndexError> {
        self.or_fail(Index::clear)
    }

    fn flush(&self) -> Result<(), IndexError> {
        self.or_fail(Index::flush)
    }
}

#[test]
fn an_index_that_fails_while_the_queue_runs_is_replaced_by_whoever_notices() {
    for who in ["writer", "reader", "source"] {
        let left = leave(true);
        let index = Arc::new(Failing::default());
        let mut opened = Opened::of(&left.disk, Arc::<Failing>::clone(&index));
        opened.writer.step(false).unwrap();
        index.fails.store(true, Ordering::Relaxed);
        if who == "writer" {
            opened.core.take(batch(BATCHES + 1), true).unwrap();
            assert!(opened.writer.step(false).unwrap());
        } else if who == "source" {
            let found = opened.shelf.ask(&opened.core.status, |index| index.checkpoints(b"api"));
            assert_eq!(found.unwrap().len(), 1);
        }
        let had: BTreeSet<u64> = opened.deliver(usize::MAX).into_iter().collect();
        assert!((DELIVERED + 1..=BATCHES).all(|serial| had.contains(&serial)), "{who}: {had:?}");
        while opened.writer.step(true).unwrap() {}
        assert!(opened.core.lock().ledger.0.values().all(|totals| totals.balances(0)), "{who}");
        assert_eq!(left.disk.segments(), 1, "{who}: delivered segments stay");
    }
}

/// An index of some 2 MB, as sled leaves it.
fn large_index(folder: &Path) {
    let sled = Sled::open(folder).unwrap();
    for group in 0..200u64 {
        let place = |number| Place {
            segment: group,
            at: number,
            count: 3,
            raw_length: 9,
            first_received: number,
            source: "firewalls".into(),
        };
        let changes: Vec<_> = (group * 50..group * 50 + 50).map(|number| Change::Put(number, place(number))).collect();
        sled.apply(&changes, Mark { segment: group, end: group }).unwrap();
        if group % 20 == 0 {
            sled.flush().unwrap();
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_in_the_file_of_the_index_is_an_error_or_is_forgotten_and_the_queue_opens() {
    let base = tempfile::tempdir().unwrap();
    let whole = base.path().join("whole");
    large_index(&whole);
    let (mut random, mut errors) = (StdRng::seed_from_u64(3), 0);
    let bytes = std::fs::read(whole.join("db")).unwrap();
    for round in 0..24 {
        let mut damaged = bytes.clone();
        let at = random.random_range(0..damaged.len());
        damaged[at] ^= 1 << random.random_range(0..8);
        let copy = base.path().join(format!("{round}"));
        std::fs::create_dir(&copy).unwrap();
        std::fs::copy(whole.join("conf"), copy.join("conf")).unwrap();
        std::fs::write(copy.join("db"), &damaged).unwrap();
        let complete = || -> Result<bool, IndexError> {
            let sled = Sled::open(&copy)?;
            let Some(mark) = sled.mark()? else { return Ok(true) };
            Ok(sled.stored().len() as u64 == (mark.segment + 1) * 50 + 1)
        };
        match complete() {
            Ok(complete) => assert!(complete, "round {round}: entries before the mark are gone"),
            Err(_) => {
                errors += 1;
                let folder = store(&leave(true));
                Sled::wait_for(&folder.path().join(index::FOLDER));
                std::fs::write(folder.path().join(index::FOLDER).join("db"), &damaged).unwrap();
                open_all_the_same(folder.path(), &format!("round {round}")).await;
            }
        }
    }
    assert!(errors > 0, "no round has hit anything");
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
