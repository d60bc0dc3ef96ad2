//! What the queue knows in memory, behind one lock that is never held across I/O.
//!
//! An owner with a channel would be the house's habit; here acknowledgements and live batches must not wait for a disk that
//! takes a second to sync, so the knowledge is shared and only the writing has an owner (`writer`). This is its side that faces
//! the sources and the program; `outward` faces the outputs, `loss` what cannot be had, and `inner` is what they share.
//!
//! Invariants: a number below `floor` is on the disk and in the index, or nobody needs it; a number from `floor` upwards is
//! in `held`, or nobody needs it. A batch is held as pending until it is durable, and a pending one is never evicted.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, broadcast, oneshot};

use super::inner::{Held, Inner, Stage};
use super::ledger::{State, Totals};
use super::position::Outlet;
use super::receipt::Desk;
use super::{Config, OutputRule, Refused, Ticket, WhenFull};
use crate::clock;
use crate::event::{ApplianceId, Batch, BatchNumber};
use crate::status::{DropReason, Handle};

#[derive(Debug)]
pub(super) struct Core {
    inner: Mutex<Inner>,
    pub(super) room: Notify,
    pub(super) more: Notify,
    pub(super) work: Condvar,
    /// Receipts are due, or the queue is closed.
    pub(super) receipts: Condvar,
    tap: broadcast::Sender<(BatchNumber, Batch)>,
    pub(super) config: Config,
    pub(super) appliance: ApplianceId,
    pub(super) status: Handle,
}

impl Core {
    pub(super) fn new(config: Config, appliance: ApplianceId, state: State, next: u64, status: Handle) -> Self {
        let outlets = state.outlets();
        let desk = Desk::new(&state);
        let inner = Inner {
            next,
            // Nothing may be used before the writer's first group has reserved it.
            reserved: next,
            held: BTreeMap::new(),
            held_bytes: 0,
            pending_bytes: 0,
            oldest_pending: None,
            floor: next,
            outlets,
            ledger: state.ledger,
            disk_bytes: 0,
            crowded: None,
            slow: None,
            spared: BTreeMap::new(),
            doomed: BTreeMap::new(),
            desk,
            moved: true,
            closing: false,
            closed: false,
        };
        // 8 batches: what a person looking on may fall behind before lines are skipped.
        let (tap, _) = broadcast::channel(8);
        let (room, more) = (Notify::new(), Notify::new());
        let (work, receipts) = (Condvar::new(), Condvar::new());
        Self { inner: Mutex::new(inner), room, more, work, receipts, tap, config, appliance, status }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn room(&self) -> Notified<'_> {
        self.room.notified()
    }

    pub(super) fn more(&self) -> Notified<'_> {
        self.more.notified()
    }

    pub(super) fn tap(&self) -> broadcast::Receiver<(BatchNumber, Batch)> {
        self.tap.subscribe()
    }

    pub(super) fn room_bytes(&self) -> u64 {
        let limit = self.config.max_size.bytes() - self.config.reserve().bytes();
        let inner = self.lock();
        limit.saturating_sub(inner.disk_bytes + inner.pending_bytes)
    }

    /// Takes a batch if there is room. `patient` callers leave the reserve to those who cannot wait.
    pub(super) fn take(&self, batch: Batch, patient: bool) -> Result<Ticket, Refused> {
        let mut inner = self.lock();
        if inner.closing {
            return Err(Refused::Closed(batch));
        }
        let size = batch.packed().len() as u64;
        inner.evict(self.config.memory.bytes().saturating_sub(size));
        let full = inner.held_bytes > 0 && inner.held_bytes + size > self.config.memory.bytes();
        if full || inner.next >= inner.reserved {
            self.work.notify_one();
            return Err(Refused::Full(batch));
        }
        let limit = self.config.max_size.bytes() - if patient { self.config.reserve().bytes() } else { 0 };
        if inner.disk_bytes + inner.pending_bytes >= limit {
            inner.crowded = Some(clock::monotonic());
            match self.config.when_full {
                WhenFull::HoldBack => return Err(Refused::Full(batch)),
                WhenFull::DropNewest => {
                    self.status.counters().drop_events(DropReason::QueueFull, u64::from(batch.count()));
                    return Ok(inner.turn_away(&batch));
                }
                // The writer makes room.
                WhenFull::DropOldest => {}
            }
        }
        let number = inner.next;
        inner.next += 1;
        inner.held_bytes += size;
        inner.pending_bytes += size;
        inner.oldest_pending.get_or_insert_with(clock::monotonic);
        let events = u64::from(batch.count());
        inner.ledger.of(batch.source()).received += events;
        inner.outlets.values_mut().for_each(|outlet| outlet.waiting += events);
        inner.moved = true;
        let (settle, settled) = oneshot::channel();
        if self.tap.receiver_count() > 0 {
            let _ = self.tap.send((BatchNumber(number), batch.clone()));
        }
        inner.held.insert(number, Held { batch, stage: Stage::Pending, settle: Some(settle) });
        drop(inner);
        self.work.notify_one();
        self.more.notify_waiters();
        Ok(Ticket { settled, number: BatchNumber(number) })
    }

    /// Sets who reads. A new output gets everything that is still there; one that is gone holds nothing back any more.
    pub(super) fn set_outputs(&self, rules: &[OutputRule]) {
        let mut inner = self.lock();
        let waiting = inner.ledger.0.values().map(Totals::queued).sum();
        inner.outlets.retain(|id, _| rules.iter().any(|rule| rule.id == *id));
        for rule in rules {
            let outlet = inner.outlets.entry(rule.id.clone()).or_insert_with(|| Outlet::new(waiting));
            outlet.rule = rule.clone();
        }
        inner.moved = true;
        drop(inner);
        self.more.notify_waiters();
    }

    /// Takes no more batches; what is pending will still be written.
    pub(super) fn begin_close(&self) {
        let mut inner = self.lock();
        inner.closing = true;
        inner.moved = true;
        drop(inner);
        self.work.notify_one();
        self.room.notify_waiters();
    }

    /// Ends every wait.
    pub(super) fn end_close(&self) {
        let mut inner = self.lock();
        inner.closing = true;
        inner.closed = true;
        inner.held.values_mut().for_each(|held| drop(held.settle.take()));
        drop(inner);
        self.receipts.notify_one();
        self.room.notify_waiters();
        self.more.notify_waiters();
    }
}

pub(super) fn answer(settle: Option<oneshot::Sender<()>>) {
    if let Some(settle) = settle {
        let _ = settle.send(());
    }
}
