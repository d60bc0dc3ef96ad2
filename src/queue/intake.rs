//! The end where batches go in, and what tells when they are settled.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::core::Core;
use super::index;
use super::ledger::Totals;
use super::segment::Shelf;
use crate::event::{Batch, BatchNumber, SourceId};
use crate::status::DropReason;

/// The queue was closed; there is no use in trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue is closed")]
pub struct Closed;

/// Why a batch was not taken at once. The batch comes back inside.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// No room; the sender should be held back, or the events counted as dropped.
    #[error("the queue is full")]
    Full(Batch),
    /// The queue was closed.
    #[error("the queue is closed")]
    Closed(Batch),
}

/// Takes batches in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Intake {
    core: Arc<Core>,
    shelf: Arc<Shelf>,
}

impl Intake {
    pub(super) fn new(core: Arc<Core>, shelf: Arc<Shelf>) -> Self {
        Self { core, shelf }
    }

    /// Hands a batch over; waits for room.
    ///
    /// # Errors
    /// When the queue is closed.
    ///
    /// # Cancel safety
    /// If dropped before it returns, the batch was not taken.
    pub async fn submit(&self, batch: Batch) -> Result<Ticket, Closed> {
        let mut batch = batch;
        loop {
            let room = self.core.room();
            match self.core.take(batch, true) {
                Ok(ticket) => return Ok(ticket),
                Err(Refused::Closed(_)) => return Err(Closed),
                Err(Refused::Full(back)) => batch = back,
            }
            room.await;
        }
    }

    /// Hands a batch over if there is room: for senders that cannot wait (datagrams). Does not block.
    ///
    /// # Errors
    /// When there is no room, or the queue is closed.
    pub fn try_submit(&self, batch: Batch) -> Result<Ticket, Refused> {
        self.core.take(batch, false)
    }

    /// Bytes of `max_size` that are free for senders that can be held back; what a source keeps beside the queue, in files
    /// that were promised and not yet read, must fit there.
    #[must_use]
    pub fn room_bytes(&self) -> u64 {
        self.core.room_bytes()
    }

    /// Counts events that a source had to give up before they became a batch: the ledger knows of every hole.
    pub fn drop_events(&self, source: &SourceId, reason: DropReason, events: u64) {
        self.core.drop_events(source, reason, events);
    }

    /// What each source's events came to.
    #[must_use]
    pub fn ledger(&self) -> BTreeMap<SourceId, Totals> {
        self.core.lock().ledger.0.clone()
    }

    /// The newest durable checkpoint of a feed: its keys and values. Blocks on the disk, briefly.
    ///
    /// # Errors
    /// When the index cannot be read; trying again may help.
    pub fn checkpoint(&self, source: &SourceId, feed: &str) -> std::io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
        let prefix = index::checkpoint_key(source.as_str(), feed, b"");
        let found = self.shelf.ask(&self.core.status, |index| index.checkpoints(&prefix))?;
        Ok(found
            .into_iter()
            .map(|(key, value)| (key.get(prefix.len()..).unwrap_or_default().to_vec(), value))
            .collect())
    }
}

/// Tells when a batch is settled. May be dropped by a source that owes nobody an answer.
#[derive(Debug)]
pub struct Ticket {
    pub(super) settled: oneshot::Receiver<()>,
    pub(super) number: BatchNumber,
}

impl Ticket {
    /// The number the batch was given.
    #[must_use]
    pub fn number(&self) -> BatchNumber {
        self.number
    }

    /// Waits until the batch is settled. Only then may its sender be answered.
    ///
    /// # Errors
    /// When the queue closed before that: the sender must not be answered, it will send again.
    ///
    /// # Cancel safety
    /// Safe: dropping it forgets the answer, not the batch.
    pub async fn settled(self) -> Result<(), Closed> {
        self.settled.await.map_err(|_| Closed)
    }
}
