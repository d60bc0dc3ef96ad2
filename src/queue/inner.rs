//! What lies behind the queue's lock: batches in memory, who has what, and the totals.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::Ticket;
use super::core::answer;
use super::ledger::{Ledger, State};
use super::position::Outlet;
use super::receipt::Desk;
use crate::event::{Batch, BatchNumber, Checkpoint, OutputId, SourceId};
use crate::status::DropReason;

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
    pub(super) crowded: Option<Instant>,
    /// When the disk last took long to store a group.
    pub(super) slow: Option<Instant>,
    /// Checkpoints whose batch was delivered before it was written: they still have to become durable.
    pub(super) spared: BTreeMap<u64, Spared>,
    /// Given up while they were on their way to an output: delivered if it acknowledges them yet, else dropped.
    pub(super) doomed: BTreeMap<u64, Doomed>,
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
pub(super) struct Doomed {
    pub(super) source: SourceId,
    pub(super) events: u64,
    pub(super) reason: DropReason,
    /// An output that counts can no longer have it, so it is dropped whatever the one in hand comes to.
    pub(super) is_lost: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Pending,
    Writing,
    Durable,
}

impl Inner {
    /// Drops a new batch, as the settings ask for; its sender is answered.
    pub(super) fn turn_away(&mut self, batch: &Batch) -> Ticket {
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
    pub(super) fn counting(&self) -> impl Iterator<Item = &Outlet> {
        let all = self.outlets.values().all(|outlet| outlet.rule.may_skip);
        self.outlets.values().filter(move |outlet| all || !outlet.rule.may_skip)
    }

    /// Outputs that do not have the number in hand need it no more; whether one that counts is among them.
    pub(super) fn let_go(&mut self, number: u64, events: u64) -> bool {
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
