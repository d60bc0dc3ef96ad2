//! The group: what becomes durable together. The writer's side of `core`.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use super::core::{Core, answer};
use super::inner::{Inner, Spared, Stage};
use super::ledger::{Position, State};
use crate::clock;
use crate::event::{ApplianceId, Batch, BatchNumber};

/// Numbers reserved ahead: a crash skips at most so many, and a reservation is one small record now and then.
pub(super) const RESERVE: u64 = 65_536;

/// What the writer has to make durable together.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) batches: Vec<(BatchNumber, Batch)>,
    pub(super) spared: BTreeMap<u64, Spared>,
    pub(super) state: State,
}

impl Core {
    /// Waits until a group is due, `limit` has passed or the queue is closing; whether it is closing.
    pub(super) fn wait_for_work(&self, limit: Duration) -> bool {
        let mut inner = self.lock();
        let end = clock::monotonic() + limit;
        loop {
            let now = clock::monotonic();
            if inner.closing || now >= end || inner.reserved - inner.next < RESERVE / 4 {
                return inner.closing;
            }
            let age = self.config.flush_after.0;
            let due = inner.oldest_pending.map(|since| since + age);
            if inner.pending_bytes >= self.config.flush_bytes.bytes() || due.is_some_and(|due| now >= due) {
                return false;
            }
            let until = due.map_or(end, |due| due.min(end));
            inner = self.work.wait_timeout(inner, until - now).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes what is pending as one group, with the state as it is once the group is durable. `None` if there is nothing
    /// to write; a state that merely moved is written only when `with_state` asks for it.
    pub(super) fn collect(&self, with_state: bool) -> Option<Group> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let idle = inner.pending_bytes == 0 && inner.spared.is_empty();
        let reserved = inner.closing || inner.reserved - inner.next >= RESERVE / 4;
        if idle && reserved && !(with_state && inner.moved) {
            return None;
        }
        let mut batches = Vec::new();
        let mut bytes = 0;
        // Twice the flush size: what came while the last group was written goes together, within bounds.
        let limit = self.config.flush_bytes.bytes() * 2;
        for (number, held) in inner.held.iter_mut().filter(|(_, held)| held.stage != Stage::Durable) {
            if bytes >= limit {
                break;
            }
            bytes += held.batch.packed().len() as u64;
            held.stage = Stage::Writing;
            batches.push((BatchNumber(*number), held.batch.clone()));
        }
        let left = inner.held.iter().find(|(_, held)| held.stage == Stage::Pending).map(|(number, _)| *number);
        // A checkpoint may not become durable before the batches in front of it.
        let later = left.map(|left| inner.spared.split_off(&left)).unwrap_or_default();
        let spared = std::mem::replace(&mut inner.spared, later);
        let mut state = inner.state(self.appliance);
        state.reserved = if inner.closing { inner.next } else { inner.next + RESERVE };
        state.at = self.status.now().0;
        state.clean = inner.closing && left.is_none();
        inner.moved = false;
        inner.oldest_pending = left.map(|_| clock::monotonic());
        Some(Group { batches, spared, state })
    }

    /// The group is durable: answers its senders.
    pub(super) fn durable(&self, group: Group) {
        let mut guard = self.lock();
        let inner = &mut *guard;
        inner.reserved = group.state.reserved;
        inner.desk.durable();
        for (number, batch) in group.batches {
            let Some(held) = inner.held.get_mut(&number.0) else { continue };
            held.stage = Stage::Durable;
            answer(held.settle.take());
            inner.pending_bytes = inner.pending_bytes.saturating_sub(batch.packed().len() as u64);
            if inner.outlets.values().all(|outlet| outlet.done.contains(number.0)) && !inner.outlets.is_empty() {
                inner.held.remove(&number.0);
                inner.held_bytes -= batch.packed().len() as u64;
            }
        }
        inner.evict(self.config.memory.bytes());
        drop(guard);
        group.spared.into_values().for_each(|spared| answer(spared.settle));
        self.room.notify_waiters();
    }

    /// The group could not be written: it stays pending.
    pub(super) fn not_durable(&self, group: Group) {
        let mut inner = self.lock();
        for (number, _) in &group.batches {
            if let Some(held) = inner.held.get_mut(&number.0) {
                held.stage = Stage::Pending;
            }
            inner.desk.tried(number.0);
            // Delivered while the write failed: it needs none, and its room in memory must not wait for the disk.
            if inner.delivered(number.0) {
                self.release(&mut inner, number.0);
            }
        }
        inner.spared.extend(group.spared);
        inner.moved = true;
        inner.oldest_pending.get_or_insert_with(clock::monotonic);
    }

    /// Waits before another try; a queue that closes waits as well, its owner cuts that short.
    pub(super) fn pause(&self, time: Duration) {
        let mut inner = self.lock();
        let end = clock::monotonic() + time;
        while !inner.closed
            && let Some(left) = end.checked_duration_since(clock::monotonic()).filter(|left| !left.is_zero())
        {
            inner = self.work.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Inner {
    /// The control data as it is once everything that is being written is durable: pending batches are not in it.
    fn state(&self, appliance: ApplianceId) -> State {
        let mut state = State::new(appliance);
        state.ledger = self.ledger.clone();
        self.desk.tell(&mut state);
        for (id, outlet) in &self.outlets {
            let (done, waiting, may_skip) = (outlet.done.clone(), outlet.waiting, outlet.rule.may_skip);
            state.outputs.insert(id.clone(), Position { done, waiting, may_skip });
        }
        for (number, held) in self.held.iter().filter(|(_, held)| held.stage == Stage::Pending) {
            let events = u64::from(held.batch.count());
            // Delivered everywhere but still to be written (an output that cannot acknowledge): delivered is not durable either.
            let totals = state.ledger.of(held.batch.source());
            totals.received -= events.min(totals.received);
            if self.delivered(*number) {
                totals.delivered -= events.min(totals.delivered);
            }
            for (id, _) in self.outlets.iter().filter(|(_, outlet)| !outlet.done.contains(*number)) {
                if let Some(position) = state.outputs.get_mut(id) {
                    position.waiting = position.waiting.saturating_sub(events);
                }
            }
        }
        state
    }
}
