//! What is lost, and said to be: the side of the queue's knowledge that keeps the ledger balanced when events cannot be had.

use std::collections::BTreeMap;

use super::core::Core;
use super::index::{Index, IndexError, Place};
use super::inner::Doomed;
use crate::event::{OutputId, SourceId};
use crate::status::{Count, DropReason};

impl Core {
    /// Counts events that a source had to give up before they became a batch.
    pub(super) fn drop_events(&self, source: &SourceId, reason: DropReason, events: u64) {
        let mut inner = self.lock();
        let totals = inner.ledger.of(source);
        totals.received += events;
        *totals.dropped.entry(reason).or_default() += events;
        inner.moved = true;
    }

    /// A stored batch turned out to be damaged.
    pub(super) fn damaged(&self, number: u64, source: &SourceId, events: u64) {
        self.status.counters().add(Count::DamagedRecords, 1);
        self.give_up(number, source, events, DropReason::Damaged);
    }

    /// What a look at the disk for [`Next::Disk`] found is damaged: it is set aside, and what lies before it does not exist.
    pub(super) fn set_aside(&self, output: &OutputId, from: u64, number: u64, place: &Place) {
        self.damaged(number, &place.source, u64::from(place.count));
        self.fetched(output, from, number, None);
    }

    /// Nobody can have this batch any more: it is dropped, unless everybody has it.
    pub(super) fn give_up(&self, number: u64, source: &SourceId, events: u64, reason: DropReason) {
        let mut inner = self.lock();
        if inner.delivered(number) {
            // Only outputs that may skip lack it; they would look for it for ever.
            inner.let_go(number, events);
            inner.moved = true;
            return;
        }
        if inner.outlets.values().any(|outlet| outlet.has_in_hand(number)) {
            let is_lost = inner.let_go(number, events);
            let doomed = Doomed { source: source.clone(), events, reason, is_lost: false };
            inner.doomed.entry(number).or_insert(doomed).is_lost |= is_lost;
            return;
        }
        inner.doomed.remove(&number);
        if let Some(held) = inner.held.remove(&number) {
            inner.held_bytes -= held.batch.packed().len() as u64;
        }
        for outlet in inner.outlets.values_mut() {
            outlet.ack(number, events);
        }
        *inner.ledger.of(source).dropped.entry(reason).or_default() += events;
        inner.moved = true;
        drop(inner);
        self.status.counters().drop_events(reason, events);
    }

    /// Holds the totals against what really lies in the segments, right after opening: what is missing was damaged.
    pub(super) fn reconcile(&self, index: &dyn Index) -> Result<(), IndexError> {
        let mut inner = self.lock();
        let mut there: BTreeMap<SourceId, u64> = BTreeMap::new();
        let mut from = 0;
        while let Some((number, place)) = index.next(from)? {
            if !inner.delivered(number) {
                *there.entry(place.source).or_default() += u64::from(place.count);
            }
            from = number + 1;
        }
        for (source, totals) in &mut inner.ledger.0 {
            let (queued, there) = (totals.queued(), there.get(source).copied().unwrap_or(0));
            if queued > there {
                *totals.dropped.entry(DropReason::Damaged).or_default() += queued - there;
            }
            totals.received += there.saturating_sub(queued);
        }
        Ok(())
    }
}
