//! The side of the queue's knowledge that faces the outputs: what each gets next, what it gives back, what it has
//! acknowledged, and the batches that nobody needs any more.

use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use super::inner::{Held, Inner, Spared, Stage};
use super::position::Lane;
use super::{Closed, Drain, Settle};
use crate::clock::{self, Timestamp};
use crate::event::{Batch, BatchNumber, OutputId};
use crate::status::Count;

/// What a reader gets when it asks for more.
#[derive(Debug)]
pub(super) enum Next {
    /// A batch, with how many of its records are already acknowledged.
    Batch(BatchNumber, Batch, u32),
    /// Look on the disk for the first number in `from..bound`, then call [`Core::fetched`].
    Disk { from: u64, bound: u64 },
    /// Nothing now.
    Wait,
}

impl Core {
    /// An output comes back after a failure: what is older than `fresh` becomes backlog, so that new events go out at once.
    pub(super) fn resume(&self, output: &OutputId, fresh: Duration) {
        let now = self.status.now();
        let mut guard = self.lock();
        let inner = &mut *guard;
        let is_fresh = |held: &Held| now.since(held.batch.first_received()) < fresh;
        let live = inner.held.iter().find(|(_, held)| is_fresh(held)).map_or(inner.next, |(number, _)| *number);
        if let Some(outlet) = inner.outlets.get_mut(output).filter(|_| self.config.drain == Drain::LiveFirst) {
            outlet.live_from(live);
        }
    }

    /// Events that wait for an output.
    pub(super) fn waiting(&self, output: &OutputId) -> u64 {
        self.lock().outlets.get(output).map_or(0, |outlet| outlet.waiting)
    }

    /// The first batch that an output still needs, and the first such one that is in memory, with when it came.
    pub(super) fn oldest(&self, output: &OutputId) -> Option<(u64, Option<(u64, Timestamp)>)> {
        let inner = self.lock();
        let outlet = inner.outlets.get(output).filter(|outlet| outlet.waiting > 0)?;
        let first = outlet.done.first_gap(0);
        let mut held = inner.held.range(first..).filter(|(number, _)| !outlet.done.contains(**number));
        Some((first, held.next().map(|(number, held)| (*number, held.batch.first_received()))))
    }

    /// The next thing for an output to do.
    pub(super) fn next(&self, output: &OutputId) -> Result<Next, Closed> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        if inner.closed {
            return Err(Closed);
        }
        let Some(outlet) = inner.outlets.get_mut(output) else { return Err(Closed) };
        let (held, floor) = (&inner.held, inner.floor);
        let choice = outlet.choose(&self.config, floor, inner.next, |from| held.range(from..).next().map(|(n, _)| *n));
        Ok(match choice {
            Lane::Nothing => Next::Wait,
            Lane::Disk { from, bound } => Next::Disk { from, bound },
            Lane::Held(number, backlog) => match inner.held.get(&number) {
                Some(held) => {
                    let batch = held.batch.clone();
                    let done = outlet.take(number, batch.packed().len(), backlog, &self.config);
                    Next::Batch(BatchNumber(number), batch, done)
                }
                None => Next::Wait,
            },
        })
    }

    /// What a look at the disk for [`Next::Disk`] found. Returns the batch unless somebody else has it by now.
    pub(super) fn fetched(
        &self,
        output: &OutputId,
        from: u64,
        bound: u64,
        found: Option<(u64, Batch)>,
    ) -> Option<Next> {
        let mut inner = self.lock();
        let outlet = inner.outlets.get_mut(output)?;
        outlet.fetching = false;
        outlet.close_hole(from, found.as_ref().map_or(bound, |(number, _)| *number));
        let next = found.filter(|(number, _)| !outlet.taken.contains(*number)).map(|(number, batch)| {
            let done = outlet.take(number, batch.packed().len(), true, &self.config);
            Next::Batch(BatchNumber(number), batch, done)
        });
        inner.moved = true;
        drop(inner);
        self.more.notify_waiters();
        next
    }

    /// A look at the disk came to nothing because the disk failed: it will be looked at again.
    pub(super) fn fetch_failed(&self, output: &OutputId) {
        if let Some(outlet) = self.lock().outlets.get_mut(output) {
            outlet.fetching = false;
        }
        self.more.notify_waiters();
    }

    pub(super) fn give_back(&self, output: &OutputId, number: BatchNumber, done: u32) {
        let mut inner = self.lock();
        let floor = inner.floor;
        if let Some(outlet) = inner.outlets.get_mut(output) {
            outlet.give_back(number.0, done, floor);
        }
        let doomed = inner.doomed.get(&number.0).cloned();
        drop(inner);
        if let Some(doomed) = doomed {
            self.give_up(number.0, &doomed.source, doomed.events, doomed.reason);
        }
        self.more.notify_waiters();
    }

    pub(super) fn ack(&self, output: &OutputId, number: BatchNumber, batch: &Batch) {
        let mut inner = self.lock();
        let before = inner.delivered(number.0);
        let Some(outlet) = inner.outlets.get_mut(output) else { return };
        if !outlet.ack(number.0, u64::from(batch.count())) {
            return;
        }
        inner.moved = true;
        if before {
            // Only an output that may skip still wanted it.
            self.release(&mut inner, number.0);
        } else if inner.delivered(number.0) {
            let lost = inner.doomed.remove(&number.0).filter(|doomed| doomed.is_lost);
            let (totals, events) = (inner.ledger.of(batch.source()), u64::from(batch.count()));
            match lost {
                Some(doomed) => *totals.dropped.entry(doomed.reason).or_default() += events,
                None => totals.delivered += events,
            }
            self.release(&mut inner, number.0);
        }
        drop(inner);
        self.room.notify_waiters();
    }

    /// Every output that counts has the batch: forgets it, and spares its write where that has not begun. Settles it.
    pub(super) fn release(&self, inner: &mut Inner, number: u64) {
        let spare =
            self.config.settle == Settle::DurableOrDelivered && inner.counting().all(|outlet| outlet.rule.acknowledges);
        let skipping = inner.outlets.values().any(|outlet| !outlet.done.contains(number));
        let Some(held) = inner.held.get_mut(&number) else { return };
        match held.stage {
            Stage::Pending if spare => {}
            Stage::Durable if !skipping => {}
            // Too late to spare the write, but its sender need not wait for a slow sync; a checkpoint has to.
            Stage::Writing if spare && held.batch.checkpoint().is_none() => {
                let settle = held.settle.take();
                inner.desk.overtake(number, held.batch.source(), u64::from(held.batch.count()), settle);
                self.receipts.notify_one();
                return;
            }
            _ => return,
        }
        let Some(held) = inner.held.remove(&number) else { return };
        let size = held.batch.packed().len() as u64;
        inner.held_bytes -= size;
        if held.stage == Stage::Durable {
            return;
        }
        inner.pending_bytes -= size;
        if inner.pending_bytes == 0 {
            inner.oldest_pending = None;
        }
        self.status.counters().add(Count::SparedBatches, 1);
        match held.batch.checkpoint() {
            Some(checkpoint) => {
                let (source, checkpoint) = (held.batch.source().clone(), Arc::clone(checkpoint));
                inner.spared.insert(number, Spared { source, checkpoint, settle: held.settle });
                inner.oldest_pending.get_or_insert_with(clock::monotonic);
            }
            None => {
                inner.desk.spare(number, held.batch.source(), u64::from(held.batch.count()), held.settle);
                self.receipts.notify_one();
            }
        }
    }
}
