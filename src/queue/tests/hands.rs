//! Batches that outputs have in hand while something happens to the queue's own copy.

use std::sync::Arc;

use super::sim::SimDisk;
use crate::clock::{Clock, Timestamp};
use crate::event::{Batch, BatchBuilder, BatchLimits, Kind, Origin, OutputId, Record, Transport};
use crate::queue::core::{Core, Next};
use crate::queue::index::Memory;
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
    assert!(ticket.settled.try_recv().is_ok(), "its sender is answered");
    core.not_durable(group);
    core.report();
    assert_eq!(core.status.counters().gauge(Gauge::MemoryBytes), 0);
    assert_eq!((totals(&core).received, totals(&core).delivered), (1, 1));
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
