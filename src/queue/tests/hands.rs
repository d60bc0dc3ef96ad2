//! Batches that outputs have in hand while something happens to the queue's own copy.

use std::sync::Arc;

use super::sim::SimDisk;
use crate::clock::{Clock, Timestamp};
use crate::event::{Batch, BatchBuilder, BatchLimits, Kind, Origin, OutputId, Record, Transport};
use crate::queue::core::Core;
use crate::queue::disk::Disk as _;
use crate::queue::index::Memory;
use crate::queue::outward::Next;
use crate::queue::receipt::Clerk;
use crate::queue::record::Type;
use crate::queue::segment::{FILE_HEADER, Found, Scan, file_header, file_name};
use crate::queue::writer::Writer;
use crate::queue::{Config, OutputRule, Queue, Totals};
use crate::status::{Board, Component, DropReason, Gauge};

fn batch() -> Batch {
    let mut builder = BatchBuilder::new("fw".into(), Kind::Syslog, BatchLimits::default());
    let origin = Origin::new(Transport::Udp, None);
    builder.push(&Record { received: Timestamp(1), origin: &origin, id: None, cut_from: None, bytes: b"text" });
    builder.seal().unwrap()
}

fn open(disk: &SimDisk, outputs: &[&str]) -> (Arc<Core>, Writer) {
    let rules: Vec<OutputRule> =
        outputs.iter().map(|id| OutputRule { id: (*id).into(), may_skip: false, acknowledges: true }).collect();
    let status = Board::new(Clock::System).handle(Component::Queue, "queue");
    let index = Arc::new(Memory::default());
    let prepared = Queue::prepare(Box::new(disk.clone()), index, &Config::default(), &rules, status).unwrap();
    let (core, mut writer) = (prepared.0, prepared.2);
    writer.step(true).unwrap();
    (core, writer)
}

fn take(core: &Core, output: &str) -> (crate::event::BatchNumber, Batch) {
    match core.next(&OutputId::from(output)).unwrap() {
        Next::Batch(number, batch, _) => (number, batch),
        other => panic!("{other:?}"),
    }
}

fn totals(core: &Core) -> Totals {
    core.lock().ledger.0[&"fw".into()].clone()
}

#[test]
fn what_is_delivered_while_its_write_fails_leaves_the_memory() {
    let disk = SimDisk::new(1);
    let (core, _writer) = open(&disk, &["gw"]);
    let mut ticket = core.take(batch(), true).unwrap();
    let group = core.collect(false).unwrap();
    let (number, given) = take(&core, "gw");
    core.ack(&"gw".into(), number, &given);
    assert!(ticket.settled.try_recv().is_err(), "a kill now would leave no trace of it");
    Clerk::new(Arc::clone(&core), &disk).step();
    assert!(ticket.settled.try_recv().is_ok(), "its sender is answered");
    core.not_durable(group);
    core.report();
    assert_eq!(core.status.counters().gauge(Gauge::MemoryBytes), 0);
    assert_eq!((totals(&core).received, totals(&core).delivered), (1, 1));
}

#[test]
fn what_was_answered_without_a_write_is_counted_after_a_kill() {
    for keeps_receipts in [true, false] {
        let disk = SimDisk::new(1);
        let (core, _writer) = open(&disk, &["gw"]);
        let mut ticket = core.take(batch(), true).unwrap();
        let (number, given) = take(&core, "gw");
        core.ack(&"gw".into(), number, &given);
        if keeps_receipts {
            Clerk::new(Arc::clone(&core), &disk).step();
            assert!(ticket.settled.try_recv().is_ok(), "its sender is answered");
        }
        for _ in 0..3 {
            let (core, _) = open(&disk, &["gw"]);
            let known = core.lock().ledger.0.get(&"fw".into()).map(|totals| (totals.received, totals.delivered));
            assert_eq!(known, keeps_receipts.then_some((1, 1)));
        }
    }
}

#[test]
fn a_newer_segment_whose_head_is_torn_takes_nothing_back() {
    let disk = SimDisk::new(1);
    let (core, mut writer) = open(&disk, &["gw"]);
    let state = records(&disk, 1).into_iter().find(|(kind, _)| *kind == Type::State).unwrap().1;
    drop(core.take(batch(), true).unwrap());
    writer.step(true).unwrap();
    // What a writer leaves that begins the next segment and is killed.
    let head = [&file_header(2, core.appliance)[..], &state].concat();
    disk.put(&file_name(2), head);
    let (core, _) = open(&disk, &["gw"]);
    assert_eq!((totals(&core).received, totals(&core).queued()), (1, 1));
}

/// The records of a segment, by kind.
fn records(disk: &SimDisk, segment: u64) -> Vec<(Type, Vec<u8>)> {
    let bytes = disk.files()[&file_name(segment)].clone();
    let file = disk.open(&file_name(segment)).unwrap();
    let (mut scan, mut records) = (Scan::new(&*file, FILE_HEADER as u64).unwrap(), Vec::new());
    while let Some(Found::Record { at, header, .. }) = scan.next().unwrap() {
        let at = usize::try_from(at).unwrap();
        let end = at + usize::try_from(header.record_length()).unwrap();
        records.push((header.kind, bytes[at..end].to_vec()));
    }
    records
}

#[test]
fn a_batch_that_is_damaged_while_another_output_has_it_is_dropped_once_and_asked_for_no_more() {
    let disk = SimDisk::new(1);
    let (core, mut writer) = open(&disk, &["gw", "other"]);
    drop(core.take(batch(), true).unwrap());
    writer.step(true).unwrap();
    let (number, given) = take(&core, "gw");
    core.damaged(number.0, &"fw".into(), 1);
    assert!(matches!(core.next(&"other".into()).unwrap(), Next::Wait), "it looks no more");
    assert_eq!(totals(&core).queued(), 1, "not yet known");
    core.ack(&"gw".into(), number, &given);
    let totals = totals(&core);
    assert_eq!((totals.delivered, totals.dropped.get(&DropReason::Damaged)), (0, Some(&1)));
}

#[test]
fn a_batch_that_is_given_up_in_hand_is_what_becomes_of_it() {
    for comes_back in [false, true] {
        let disk = SimDisk::new(1);
        let (core, mut writer) = open(&disk, &["gw"]);
        drop(core.take(batch(), true).unwrap());
        writer.step(true).unwrap();
        let (number, given) = take(&core, "gw");
        core.give_up(number.0, &"fw".into(), 1, DropReason::QueueFull);
        if comes_back {
            core.give_back(&"gw".into(), number, 0);
        } else {
            core.ack(&"gw".into(), number, &given);
        }
        let totals = totals(&core);
        let dropped = totals.dropped.get(&DropReason::QueueFull).copied().unwrap_or(0);
        assert_eq!((totals.delivered, dropped), if comes_back { (0, 1) } else { (1, 0) });
    }
}
