//! What the queue knows in memory, behind one lock that is never held across I/O.
//!
//! An owner with a channel would be the house's habit; here acknowledgements and live batches must not wait for a disk that
//! takes a second to sync, so the knowledge is shared and only the writing has an owner (`writer`).
//!
//! Invariants: a number below `floor` is on the disk and in the index, or nobody needs it; a number from `floor` upwards is
//! in `held`, or nobody needs it. A batch is held as pending until it is durable, and a pending one is never evicted.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, broadcast, oneshot};

use super::index::{Index, IndexError, Place};
use super::ledger::{Ledger, State};
use super::position::{Lane, Outlet};
use super::receipt::Desk;
use super::{Closed, Config, Drain, OutputRule, Refused, Settle, Ticket, WhenFull};
use crate::clock::{self, Timestamp};
use crate::event::{ApplianceId, Batch, BatchNumber, Checkpoint, OutputId, SourceId};
use crate::quantity::Size;
use crate::status::{Count, DropReason, Gauge, Handle, Health};

#[derive(Debug)]
pub(super) struct Core {
    inner: Mutex<Inner>,
    pub(super) room: Notify,
    more: Notify,
    pub(super) work: Condvar,
    /// Receipts are due, or the queue is closed.
    pub(super) receipts: Condvar,
    tap: broadcast::Sender<(BatchNumber, Batch)>,
    pub(super) config: Config,
    pub(super) appliance: ApplianceId,
    pub(super) status: Handle,
}

/// How long it is shown that something found no room: what fits again at once may not for the next.
const SHOWN: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) next: u64,
    pub(super) reserved: u64,
    pub(super) held: BTreeMap<u64, Held>,
    pub(super) held_bytes: u64,
    pub(super) pending_bytes: u64,
    pub(super) oldest_pending: Option<Instant>,
    pub(super) floor: u64,
    pub(super) outlets: BTreeMap<OutputId, Outlet>,
    pub(super) ledger: Ledger,
    pub(super) disk_bytes: u64,
    /// When something last found no room within `max_size`.
    crowded: Option<Instant>,
    /// Checkpoints whose batch was delivered before it was written: they still have to become durable.
    pub(super) spared: BTreeMap<u64, Spared>,
    /// Given up while they were on their way to an output: delivered if it acknowledges them yet, else dropped.
    doomed: BTreeMap<u64, Doomed>,
    /// Senders who are answered as soon as it is noted.
    pub(super) desk: Desk,
    /// Positions or totals moved since the last state record.
    pub(super) moved: bool,
    pub(super) closing: bool,
    pub(super) closed: bool,
}

#[derive(Debug)]
pub(super) struct Held {
    pub(super) batch: Batch,
    pub(super) stage: Stage,
    pub(super) settle: Option<oneshot::Sender<()>>,
}

/// The checkpoint of a batch that needed no write.
#[derive(Debug)]
pub(super) struct Spared {
    pub(super) source: SourceId,
    pub(super) checkpoint: Arc<Checkpoint>,
    pub(super) settle: Option<oneshot::Sender<()>>,
}

/// A batch that is gone from the queue while an output has it in hand.
#[derive(Clone, Debug)]
struct Doomed {
    source: SourceId,
    events: u64,
    reason: DropReason,
    /// An output that counts can no longer have it, so it is dropped whatever the one in hand comes to.
    is_lost: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Pending,
    Writing,
    Durable,
}

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

    /// Counts events that a source had to give up before they became a batch.
    pub(super) fn drop_events(&self, source: &SourceId, reason: DropReason, events: u64) {
        let mut inner = self.lock();
        let totals = inner.ledger.of(source);
        totals.received += events;
        *totals.dropped.entry(reason).or_default() += events;
        inner.moved = true;
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

    /// Sets who reads. A new output gets everything that is still there; one that is gone holds nothing back any more.
    pub(super) fn set_outputs(&self, rules: &[OutputRule]) {
        let mut inner = self.lock();
        let waiting = inner.ledger.0.values().map(super::Totals::queued).sum();
        inner.outlets.retain(|id, _| rules.iter().any(|rule| rule.id == *id));
        for rule in rules {
            let outlet = inner.outlets.entry(rule.id.clone()).or_insert_with(|| Outlet::new(waiting));
            outlet.rule = rule.clone();
        }
        inner.moved = true;
        drop(inner);
        self.more.notify_waiters();
    }

    /// Shows how the queue is.
    pub(super) fn report(&self) {
        let inner = self.lock();
        let limit = self.config.max_size.bytes();
        let counters = self.status.counters();
        counters.set(Gauge::MemoryBytes, inner.held_bytes);
        counters.set(Gauge::QueueLimitBytes, limit);
        counters.set(Gauge::QueuedEvents, inner.outlets.values().map(|outlet| outlet.waiting).max().unwrap_or(0));
        let todo = match self.config.when_full {
            WhenFull::HoldBack => {
                "senders are held back until the gateway takes events again: look at the output's state"
            }
            WhenFull::DropOldest => "the oldest events are dropped to make room: look at the output's state",
            WhenFull::DropNewest => "new events are dropped: look at the output's state",
        };
        let was_crowded = inner.crowded.is_some_and(|at| clock::monotonic() - at < SHOWN);
        let health = if was_crowded || inner.disk_bytes >= limit - self.config.reserve().bytes() {
            let what = format!("the queue is full: {} of {} used", Size(inner.disk_bytes), self.config.max_size);
            Health::degraded(what, todo)
        } else {
            Health::Healthy
        };
        drop(inner);
        self.status.set(health);
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

impl Inner {
    /// Drops a new batch, as the settings ask for; its sender is answered.
    fn turn_away(&mut self, batch: &Batch) -> Ticket {
        let events = u64::from(batch.count());
        let totals = self.ledger.of(batch.source());
        totals.received += events;
        *totals.dropped.entry(DropReason::QueueFull).or_default() += events;
        self.moved = true;
        let (settle, settled) = oneshot::channel();
        answer(Some(settle));
        Ticket { settled, number: BatchNumber(0) }
    }

    /// The outputs that decide whether a batch is delivered: those that may not skip, or all if every one may.
    fn counting(&self) -> impl Iterator<Item = &Outlet> {
        let all = self.outlets.values().all(|outlet| outlet.rule.may_skip);
        self.outlets.values().filter(move |outlet| all || !outlet.rule.may_skip)
    }

    /// Outputs that do not have the number in hand need it no more; whether one that counts is among them.
    fn let_go(&mut self, number: u64, events: u64) -> bool {
        let all = self.outlets.values().all(|outlet| outlet.rule.may_skip);
        let mut is_lost = false;
        for outlet in self.outlets.values_mut().filter(|outlet| !outlet.has_in_hand(number)) {
            is_lost |= outlet.ack(number, events) && (all || !outlet.rule.may_skip);
        }
        is_lost
    }

    /// Whether every output that counts has the number (never, while there is none).
    pub(super) fn delivered(&self, number: u64) -> bool {
        !self.outlets.is_empty() && self.counting().all(|outlet| outlet.done.contains(number))
    }

    /// Whether every output that counts has all of `start..end` by the positions that are durable.
    pub(super) fn delivered_all(&self, start: u64, end: u64, durable: &State) -> bool {
        let has = |outlet: &Outlet| {
            durable.outputs.get(&outlet.rule.id).is_some_and(|position| position.done.covers(start, end))
        };
        !self.outlets.is_empty() && self.counting().all(has)
    }

    /// Lets go of durable batches, oldest first, until no more than `bytes` are held.
    pub(super) fn evict(&mut self, bytes: u64) {
        while self.held_bytes > bytes
            && let Some(entry) = self.held.first_entry().filter(|entry| entry.get().stage == Stage::Durable)
        {
            let (number, held) = entry.remove_entry();
            self.held_bytes -= held.batch.packed().len() as u64;
            self.floor = number + 1;
        }
    }
}
