//! What the queue holds in memory, behind one lock that is never held across I/O.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, oneshot};

use super::{Closed, Refused, Ticket};
use crate::event::{ApplianceId, Batch, BatchNumber, OutputId};

#[derive(Debug)]
pub(super) struct Core {
    state: Mutex<State>,
    room: Notify,
    more: Notify,
    memory: u64,
    appliance: ApplianceId,
}

#[derive(Debug)]
struct State {
    next: u64,
    held: BTreeMap<u64, Held>,
    bytes: u64,
    outputs: HashMap<OutputId, Position>,
    closed: bool,
}

#[derive(Debug)]
struct Held {
    batch: Batch,
    waits_for: usize,
    settle: Option<oneshot::Sender<()>>,
}

#[derive(Debug, Default)]
struct Position {
    next: u64,
    returned: BTreeMap<u64, u32>,
}

impl Core {
    pub(super) fn new(memory: u64, outputs: &[OutputId]) -> Self {
        let outputs = outputs.iter().map(|id| (id.clone(), Position { next: 1, returned: BTreeMap::new() })).collect();
        let state = State { next: 1, held: BTreeMap::new(), bytes: 0, outputs, closed: false };
        Self {
            state: Mutex::new(state),
            room: Notify::new(),
            more: Notify::new(),
            memory,
            appliance: ApplianceId(rand::random()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn appliance(&self) -> ApplianceId {
        self.appliance
    }

    pub(super) fn room(&self) -> Notified<'_> {
        self.room.notified()
    }

    pub(super) fn more(&self) -> Notified<'_> {
        self.more.notified()
    }

    pub(super) fn take(&self, batch: Batch) -> Result<Ticket, Refused> {
        let mut state = self.state();
        if state.closed {
            return Err(Refused::Closed(batch));
        }
        if state.bytes >= self.memory {
            return Err(Refused::Full(batch));
        }
        let number = state.next;
        state.next += 1;
        state.bytes += batch.packed().len() as u64;
        let (settle, settled) = oneshot::channel();
        let waits_for = state.outputs.len();
        state.held.insert(number, Held { batch, waits_for, settle: Some(settle) });
        drop(state);
        self.more.notify_waiters();
        Ok(Ticket { settled, number: BatchNumber(number) })
    }

    pub(super) fn next(&self, output: &OutputId) -> Result<Option<(BatchNumber, Batch, u32)>, Closed> {
        let mut guard = self.state();
        let state = &mut *guard;
        if state.closed {
            return Err(Closed);
        }
        let Some(position) = state.outputs.get_mut(output) else { return Err(Closed) };
        if let Some((number, done)) = position.returned.pop_first() {
            let batch = state.held.get(&number).map(|held| held.batch.clone());
            return Ok(batch.map(|batch| (BatchNumber(number), batch, done)));
        }
        let Some((number, held)) = state.held.range(position.next..).next() else { return Ok(None) };
        position.next = number + 1;
        Ok(Some((BatchNumber(*number), held.batch.clone(), 0)))
    }

    pub(super) fn give_back(&self, output: &OutputId, number: BatchNumber, done: u32) {
        if let Some(position) = self.state().outputs.get_mut(output) {
            position.returned.insert(number.0, done);
        }
        self.more.notify_waiters();
    }

    pub(super) fn ack(&self, _output: &OutputId, number: BatchNumber) {
        let mut guard = self.state();
        let state = &mut *guard;
        let Some(held) = state.held.get_mut(&number.0) else { return };
        if let Some(settle) = held.settle.take() {
            let _ = settle.send(());
        }
        held.waits_for = held.waits_for.saturating_sub(1);
        if held.waits_for == 0 {
            state.bytes -= held.batch.packed().len() as u64;
            state.held.remove(&number.0);
        }
        drop(guard);
        self.room.notify_waiters();
    }

    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.held.values_mut().for_each(|held| drop(held.settle.take()));
        drop(state);
        self.room.notify_waiters();
        self.more.notify_waiters();
    }
}
