//! Seeded histories of submit, settle, acknowledge, crash and reopen, against a plain model.
//!
//! Held true in each: no answered batch is lost, none is invented, a number never means two batches, an acknowledged batch
//! comes again only after a crash, a checkpoint never runs ahead of its batch, and the ledger balances.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::sim::SimDisk;
use crate::clock::{Clock, Timestamp};
use crate::event::{Batch, BatchBuilder, BatchLimits, BatchNumber, Checkpoint, Kind, OutputId, Record, SourceId};
use crate::event::{Origin, Transport};
use crate::quantity::Size;
use crate::queue::core::Core;
use crate::queue::index::{Index, Memory, checkpoint_key};
use crate::queue::outward::Next;
use crate::queue::receipt::Clerk;
use crate::queue::segment::{Looked, Shelf};
use crate::queue::writer::Writer;
use crate::queue::{Config, Drain, OutputRule, Queue, Settle, Ticket, WhenFull};
use crate::status::{Board, Component, Count, DropReason};

/// What the model knows of a batch.
#[derive(Debug)]
struct Known {
    number: BatchNumber,
    source: SourceId,
    ticket: Option<Ticket>,
    settled: bool,
    acked: BTreeMap<OutputId, bool>,
    checkpoint: Option<u64>,
    events: u64,
    /// The ledger must count it, whatever happens.
    is_sure: bool,
    /// It was settled without a trace before the power went: the ledger may or may not count it.
    is_traceless: bool,
}

struct World {
    random: StdRng,
    disk: SimDisk,
    index: Arc<Memory>,
    older: Memory,
    config: Config,
    rules: Vec<OutputRule>,
    board: Board,
    core: Arc<Core>,
    shelf: Arc<Shelf>,
    writer: Writer,
    clerk: Clerk,
    known: BTreeMap<u64, Known>,
    in_hand: Vec<(OutputId, BatchNumber, Batch, u64)>,
    serial: u64,
    crashed_since_ack: bool,
    settled_checkpoint: u64,
    damaged: bool,
    /// A planted bug: whatever became of the index, it claims to know all that the segments hold.
    index_is_trusted: bool,
    /// The gateway keeps up with what comes in.
    is_quick: bool,
    /// Events dropped on arrival, by source.
    turned_away: BTreeMap<SourceId, u64>,
    /// Receipts could not be written since the last state record: after a kill the ledger may be too low.
    unnoted: bool,
}

fn rules(random: &mut StdRng) -> Vec<OutputRule> {
    let rule = |id: &str, may_skip, acknowledges| OutputRule { id: id.into(), may_skip, acknowledges };
    match random.random_range(0..3) {
        0 => vec![rule("gw", false, true)],
        1 => vec![rule("gw", false, true), rule("file", false, false)],
        _ => vec![rule("gw", false, true), rule("copy", true, true)],
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let disk = SimDisk::new(seed ^ 0x5151);
        let config = Config {
            memory: Size(random.random_range(2_000..20_000)),
            flush_bytes: Size(random.random_range(500..3_000)),
            segment_size: Size(random.random_range(1_000..20_000)),
            settle: if random.random_bool(0.7) { Settle::DurableOrDelivered } else { Settle::Durable },
            max_size: Size(if random.random_bool(0.3) { 60_000 } else { 1 << 30 }),
            reserve: Some(Size(random.random_range(0..20_000))),
            when_full: [WhenFull::HoldBack, WhenFull::DropOldest, WhenFull::DropNewest][random.random_range(0..3)],
            drain: if random.random_bool(0.7) { Drain::LiveFirst } else { Drain::InOrder },
            ..Config::default()
        };
        let rules = rules(&mut random);
        let is_quick = random.random_bool(0.3);
        let board = Board::new(Clock::System);
        let index = Arc::new(Memory::default());
        let (core, shelf, writer, clerk) = open(&disk, &index, &config, &rules, &board);
        let older = index.copy();
        Self {
            random,
            disk,
            index,
            older,
            config,
            rules,
            board,
            core,
            shelf,
            writer,
            clerk,
            known: BTreeMap::new(),
            in_hand: Vec::new(),
            serial: 0,
            crashed_since_ack: false,
            settled_checkpoint: 0,
            damaged: false,
            is_quick,
            index_is_trusted: false,
            turned_away: BTreeMap::new(),
            unnoted: false,
        }
    }

    fn submit(&mut self) {
        self.serial += 1;
        let serial = self.serial;
        let source: SourceId = if self.random.random_bool(0.5) { "fw".into() } else { "api".into() };
        let mut builder = BatchBuilder::new(source.clone(), Kind::Syslog, BatchLimits::default());
        let origin = Origin::new(Transport::Internal, None);
        let text = format!("{serial} {}", "x".repeat(self.random.random_range(0..700)));
        let events = self.random.random_range(1..4);
        for _ in 0..events {
            let bytes = text.as_bytes();
            builder.push(&Record { received: Timestamp(serial), origin: &origin, id: None, cut_from: None, bytes });
        }
        let mut batch = builder.seal().unwrap();
        let checkpoint = (source.as_str() == "api").then_some(serial);
        if checkpoint.is_some() {
            let changes = vec![(b"at".to_vec(), Some(serial.to_be_bytes().to_vec()))];
            batch = batch.with_checkpoint(Checkpoint { feed: "f".into(), changes });
        }
        let Ok(ticket) = self.core.take(batch, self.random.random_bool(0.5)) else { return };
        let number = ticket.number();
        if number == BatchNumber(0) {
            assert_eq!(self.config.when_full, WhenFull::DropNewest);
            *self.turned_away.entry(source).or_default() += events;
            return;
        }
        assert!(self.known.values().all(|known| known.number != number), "number {number} is used twice");
        let acked = BTreeMap::new();
        let ticket = Some(ticket);
        let known = Known {
            number,
            source,
            ticket,
            settled: false,
            acked,
            checkpoint,
            events,
            is_sure: false,
            is_traceless: false,
        };
        self.known.insert(serial, known);
    }

    /// Notes which tickets were answered.
    fn look_at_tickets(&mut self) {
        for known in self.known.values_mut() {
            if known.ticket.as_mut().is_some_and(|ticket| ticket.settled.try_recv().is_ok()) {
                known.settled = true;
                known.ticket = None;
                self.settled_checkpoint = self.settled_checkpoint.max(known.checkpoint.unwrap_or(0));
            }
        }
    }

    /// One batch for an output, if there is any.
    fn next(&mut self, output: &OutputId) -> bool {
        let mut looks = 0;
        loop {
            looks += 1;
            assert!(looks < 1_000, "it looks for the same batch for ever");
            let next = match self.core.next(output).unwrap() {
                Next::Wait => return false,
                Next::Disk { from, bound } => match self.shelf.look(from, bound).unwrap() {
                    Looked::Batch(number, batch) => self.core.fetched(output, from, bound, Some((number, batch))),
                    Looked::Nothing => self.core.fetched(output, from, bound, None),
                    Looked::Damaged { number, place, .. } => {
                        self.core.set_aside(output, from, number, &place);
                        None
                    }
                    Looked::Misplaced(_) => {
                        for (number, place) in self.shelf.rebuild(&self.core.status).unwrap() {
                            self.core.damaged(number, &place.source, u64::from(place.count));
                        }
                        self.core.fetch_failed(output);
                        None
                    }
                },
                found => Some(found),
            };
            let Some(Next::Batch(number, batch, _)) = next else { continue };
            let serial = serial_of(&batch);
            let known = self.known.get(&serial).unwrap_or_else(|| panic!("batch {number} is invented"));
            assert_eq!(known.number, number, "the batch changed its number");
            assert_eq!(&known.source, batch.source());
            let again = known.acked.get(output).copied().unwrap_or(false);
            assert!(!again || self.crashed_since_ack, "batch {number} comes again though {output} acknowledged it");
            assert!(
                !self.in_hand.iter().any(|(who, had, ..)| who == output && *had == number),
                "batch {number} is given twice at the same time"
            );
            self.in_hand.push((output.clone(), number, batch, serial));
            return true;
        }
    }

    fn answer(&mut self) {
        if self.in_hand.is_empty() {
            return;
        }
        let at = self.random.random_range(0..self.in_hand.len());
        let (output, number, batch, serial) = self.in_hand.swap_remove(at);
        if self.random.random_bool(0.7) {
            self.core.ack(&output, number, &batch);
            self.known.get_mut(&serial).unwrap().acked.insert(output, true);
            if self.random.random_bool(0.7) {
                self.note();
            }
        } else {
            self.core.give_back(&output, number, 0);
        }
    }

    /// Where the gateway keeps up, a new batch is mostly delivered before it is written.
    fn keep_up(&mut self) {
        if self.is_quick && self.random.random_bool(0.8) {
            for rule in self.rules.clone() {
                self.next(&rule.id);
                self.answer();
            }
            // Right after senders were answered that nothing on the disk tells of.
            if self.random.random_bool(0.05) {
                self.note();
                self.crash(false);
            }
        }
    }

    fn note(&mut self) {
        self.unnoted |= !self.clerk.step();
        self.look_at_tickets();
    }

    fn settled(&mut self) -> Vec<u64> {
        self.look_at_tickets();
        self.known.iter().filter(|(_, known)| known.settled).map(|(serial, _)| *serial).collect()
    }

    /// These were settled before a state became durable.
    fn make_sure(&mut self, settled: &[u64]) {
        settled.iter().for_each(|serial| {
            let known = self.known.get_mut(serial).unwrap();
            known.is_sure |= !known.is_traceless;
        });
    }

    fn step(&mut self, with_state: bool) {
        let settled = self.settled();
        if self.writer.step(with_state).is_ok_and(|wrote| wrote) {
            self.make_sure(&settled);
            self.unnoted = false;
        }
        self.look_at_tickets();
        if self.random.random_bool(0.2) {
            self.older = self.index.copy();
        }
    }

    /// The process or the power goes; the index comes back as it was, as it once was, or not at all.
    fn crash(&mut self, power: bool) {
        let settled = self.settled();
        self.in_hand.clear();
        if power {
            self.disk.crash();
        }
        if power || self.unnoted {
            self.known.values_mut().for_each(|known| known.is_traceless |= known.settled && !known.is_sure);
        } else {
            self.make_sure(&settled);
        }
        let newest = self.index.mark().unwrap();
        self.index = Arc::new(match self.random.random_range(0..3) {
            0 => Memory::default(),
            1 => self.older.copy(),
            _ => self.index.copy(),
        });
        if let Some(mark) = newest.filter(|_| self.index_is_trusted) {
            self.index.apply(&[], mark).unwrap();
        }
        self.reopen();
        self.crashed_since_ack = true;
    }

    fn close(&mut self) {
        self.disk.fail_one_in(0);
        for (output, number, ..) in std::mem::take(&mut self.in_hand) {
            self.core.give_back(&output, number, 0);
        }
        self.core.begin_close();
        while self.writer.step(true).unwrap() {}
        self.note();
        assert!(self.known.values().all(|known| known.ticket.is_none()), "a clean end settles everything");
        self.reopen();
    }

    fn reopen(&mut self) {
        self.disk.fail_one_in(0);
        let open = open(&self.disk, &self.index, &self.config, &self.rules, &self.board);
        (self.core, self.shelf, self.writer, self.clerk) = open;
        self.unnoted = false;
        self.known.values_mut().for_each(|known| known.ticket = None);
        let prefix = checkpoint_key("api", "f", b"");
        let found = self.shelf.index().checkpoints(&prefix).unwrap();
        let at = found.first().map_or(0, |(_, value)| u64::from_be_bytes(value.as_slice().try_into().unwrap()));
        // A damaged record takes its checkpoint with it: its source reads again from further back.
        assert!(
            self.damaged || at >= self.settled_checkpoint,
            "checkpoint {at} is older than the answered {}",
            self.settled_checkpoint
        );
        self.step(false);
    }

    /// Lets every output have everything, and checks the promise.
    fn drain(&mut self) {
        self.disk.fail_one_in(0);
        for (output, number, ..) in std::mem::take(&mut self.in_hand) {
            self.core.give_back(&output, number, 0);
        }
        while self.writer.step(true).unwrap() {}
        for rule in self.rules.clone() {
            while self.next(&rule.id) {
                let (output, number, batch, serial) = self.in_hand.pop().unwrap();
                self.core.ack(&output, number, &batch);
                self.known.get_mut(&serial).unwrap().acked.insert(output, true);
            }
        }
        self.note();
    }

    fn dropped(&self) -> u64 {
        let inner = self.core.lock();
        inner.ledger.0.values().filter_map(|totals| totals.dropped.get(&DropReason::QueueFull)).sum()
    }

    fn check(&mut self) {
        for known in self.known.values() {
            for rule in self.rules.iter().filter(|rule| !rule.may_skip) {
                let has = known.acked.get(&rule.id).copied().unwrap_or(false);
                let may_drop = self.config.when_full == WhenFull::DropOldest && self.dropped() > 0;
                assert!(
                    has || !known.settled || may_drop,
                    "batch {} was answered, and {} never had it",
                    known.number,
                    rule.id
                );
            }
        }
        for (source, totals) in &self.core.lock().ledger.0 {
            let sum = |sure: bool| {
                let known = self.known.values().filter(|known| known.source == *source && (known.is_sure || !sure));
                known.map(|known| known.events).sum::<u64>()
            };
            let turned_away = self.turned_away.get(source).copied().unwrap_or(0);
            assert!(
                self.damaged || totals.received >= sum(true),
                "{source}: too low, {} were answered: {totals:?}",
                sum(true)
            );
            let most = sum(false) + turned_away;
            assert!(totals.received <= most, "{source}: too high, there were only {most}: {totals:?}");
            assert_eq!(totals.queued(), 0, "{source} has events in its ledger that nobody has: {totals:?}");
            assert_eq!(
                totals.received,
                totals.delivered + totals.dropped.values().sum::<u64>(),
                "{source}: {totals:?}"
            );
        }
        while self.writer.step(true).unwrap() {}
        assert!(self.disk.segments() <= 1, "delivered segments stay behind");
    }
}

fn serial_of(batch: &Batch) -> u64 {
    let mut records = batch.records();
    let text = String::from_utf8(records.next().unwrap().bytes.to_vec()).unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

fn open(
    disk: &SimDisk,
    index: &Arc<Memory>,
    config: &Config,
    rules: &[OutputRule],
    board: &Board,
) -> (Arc<Core>, Arc<Shelf>, Writer, Clerk) {
    let index: Arc<dyn Index> = index.clone();
    let status = board.handle(Component::Queue, "queue");
    let (core, shelf, writer, _) = Queue::prepare(Box::new(disk.clone()), index, config, rules, status).unwrap();
    let clerk = Clerk::new(Arc::clone(&core), disk);
    (core, shelf, writer, clerk)
}

/// Plays one history.
fn play(seed: u64, plant: impl Fn(&mut World)) {
    let mut world = World::new(seed);
    plant(&mut world);
    world.step(false);
    for _ in 0..world.random.random_range(20..160) {
        let what = world.random.random_range(0..100);
        match what {
            0..=34 => {
                world.submit();
                world.keep_up();
            }
            35..=51 => world.step(false),
            52..=56 => world.step(true),
            57..=59 => world.note(),
            60 => {
                let output = world.rules[0].id.clone();
                world.core.resume(&output, std::time::Duration::ZERO);
            }
            61..=77 => {
                let at = world.random.random_range(0..world.rules.len());
                let output = world.rules[at].id.clone();
                world.next(&output);
            }
            78..=92 => world.answer(),
            93 => world.disk.fail_one_in(3),
            94 => world.disk.fail_one_in(0),
            95..=96 => world.crash(true),
            97 => world.crash(false),
            98 => world.close(),
            _ => world.drain(),
        }
    }
    world.drain();
    world.check();
}

/// How many histories, and the first seed: `QUEUE_HISTORIES=1000000 QUEUE_SEED=1` for more, `QUEUE_HISTORIES=1` to replay one.
fn histories(default: u64) -> std::ops::Range<u64> {
    let number = |name: &str, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let seed = number("QUEUE_SEED", 1);
    seed..seed + number("QUEUE_HISTORIES", default)
}

fn with_seed(seed: u64, play: impl Fn() + std::panic::UnwindSafe) {
    if let Err(panic) = std::panic::catch_unwind(play) {
        println!("history {seed} broke the promise; replay it with QUEUE_SEED={seed} QUEUE_HISTORIES=1");
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn histories_keep_the_promise() {
    for seed in histories(3_000) {
        with_seed(seed, || play(seed, |_| {}));
    }
}

/// The history in which a power cut tore a batch that only an output that may skip had not had.
#[test]
fn a_torn_batch_that_only_a_skipping_output_lacks_is_let_go() {
    play(20_265_391, |_| {});
}

/// The history in which batches whose writes failed were delivered, before anything was ever written: a state record that
/// holds them is followed by a receipt that names them again.
#[test]
fn a_delivered_batch_whose_write_failed_is_counted_once() {
    play(20_298_787, |_| {});
}

/// The history in which numbers that do not exist lie before a damaged batch that everybody has.
#[test]
fn a_hole_before_a_damaged_batch_is_closed() {
    play(20_873_038, |_| {});
}

/// The history in which what a failed group had left on the disk outlived the segment whose head said that it is void.
#[test]
fn what_a_failed_group_left_stays_void_when_the_next_segment_is_gone() {
    play(20_825_154, |_| {});
}

#[test]
fn a_disk_that_lies_about_syncs_is_found_out() {
    let found = is_found(|world| world.disk.lie_about_syncs());
    assert!(found, "the histories do not notice that nothing is synced");
}

#[test]
fn receipts_that_are_not_kept_are_found_out() {
    let found = is_found(|world| world.disk.lose_overwrites());
    assert!(found, "the histories do not notice that a killed program forgets what it had answered");
}

#[test]
fn an_index_that_is_trusted_over_the_segments_is_found_out() {
    let found = is_found(|world| world.index_is_trusted = true);
    assert!(found, "the histories do not notice that the index does not know what the segments hold");
}

/// Whether a planted bug breaks the promise in one of a few hundred histories.
fn is_found(plant: fn(&mut World)) -> bool {
    (1..400).any(|seed| std::panic::catch_unwind(|| play(seed, plant)).is_err())
}

#[test]
fn a_flipped_bit_costs_no_more_than_what_it_hit() {
    for seed in histories(500) {
        with_seed(seed, || {
            let mut world = World::new(seed);
            world.step(false);
            for _ in 0..30 {
                world.submit();
                world.step(false);
            }
            world.look_at_tickets();
            world.disk.flip_a_bit();
            world.damaged = true;
            world.crash(false);
            world.drain();
            let settled: Vec<_> = world.known.values().filter(|known| known.settled).collect();
            let missing = settled.iter().filter(|known| !known.acked.contains_key(&OutputId::from("gw"))).count();
            assert!(missing <= 1, "{missing} batches are gone after one flipped bit");
            let damaged = world.board.handle(Component::Queue, "queue").counters().count(Count::DamagedRecords);
            assert!(missing == 0 || damaged > 0, "a batch is gone and nothing was counted");
        });
    }
}
