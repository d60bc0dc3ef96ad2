//! The way out: one reader per output, one delivery per batch.

use std::sync::Arc;

use super::Closed;
use super::core::Core;
use super::outward::Next;
use super::segment::{Looked, Shelf};
use crate::clock::Timestamp;
use crate::event::{ApplianceId, Batch, BatchNumber, OutputId};
use crate::status::Count;

/// What is older than this when the far end comes back does not count as new. A short break keeps the order.
const FRESH: std::time::Duration = std::time::Duration::from_secs(2);

/// Gives one output its batches. Clones share the position, so that several connections can work side by side.
#[derive(Clone, Debug)]
pub struct Reader {
    core: Arc<Core>,
    shelf: Arc<Shelf>,
    output: OutputId,
}

impl Reader {
    pub(super) fn new(core: Arc<Core>, shelf: Arc<Shelf>, output: OutputId) -> Self {
        Self { core, shelf, output }
    }

    /// A batch that this output has not acknowledged and nobody else is working on: given-back ones first, new ones before
    /// the backlog unless the settings say otherwise.
    ///
    /// # Errors
    /// When the queue is closed, or no longer has this output.
    ///
    /// # Cancel safety
    /// Safe: a batch that was not returned stays in the queue.
    pub async fn next(&self) -> Result<Delivery, Closed> {
        loop {
            let more = self.core.more();
            let next = match self.core.next(&self.output)? {
                Next::Disk { from, bound } => self.fetch(from, bound).await,
                Next::Wait => {
                    more.await;
                    continue;
                }
                found => Some(found),
            };
            if let Some(Next::Batch(number, batch, done)) = next {
                return Ok(Delivery { reader: self.clone(), number, batch, done, acked: false });
            }
        }
    }

    /// To be called when the far end is back after a failure: new events go out at once, older ones follow as backlog.
    pub fn resume(&self) {
        self.core.resume(&self.output, FRESH);
    }

    /// Events that wait for this output, those on their way included.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.core.waiting(&self.output)
    }

    /// When the oldest event came that waits for this output; `None` while nothing waits, and where the disk cannot tell.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn oldest(&self) -> Option<Timestamp> {
        let (first, held) = self.core.oldest(&self.output)?;
        if let Some((number, came)) = held
            && number == first
        {
            return Some(came);
        }
        let shelf = Arc::clone(&self.shelf);
        let stored = tokio::task::spawn_blocking(move || shelf.index().next(first).ok().flatten()).await.ok().flatten();
        let stored = stored.map(|(number, place)| (number, Timestamp(place.first_received)));
        stored.into_iter().chain(held).min_by_key(|(number, _)| *number).map(|(_, came)| came)
    }

    /// The box's name inside event ids.
    #[must_use]
    pub fn appliance(&self) -> ApplianceId {
        self.core.appliance
    }

    /// Looks on the disk, away from the async workers; `None` when there was nothing to be had at once.
    async fn fetch(&self, from: u64, bound: u64) -> Option<Next> {
        let mut looking = Looking { reader: self, ended: false };
        let shelf = Arc::clone(&self.shelf);
        let looked = tokio::task::spawn_blocking(move || shelf.look(from, bound)).await;
        let found = match looked {
            Ok(Ok(Looked::Batch(number, batch))) => Some((number, batch)),
            Ok(Ok(Looked::Nothing)) => None,
            Ok(Ok(Looked::Damaged { number, place, why })) => {
                tracing::warn!(batch = number, events = place.count, error = %why, "a damaged batch is set aside");
                self.core.set_aside(&self.output, from, number, &place);
                looking.ended = true;
                return None;
            }
            Ok(Ok(Looked::Misplaced(number))) => {
                tracing::warn!(batch = number, "the queue's index is wrong and is built again");
                self.rebuild().await;
                return None;
            }
            Ok(Err(err)) => {
                self.failed(&err).await;
                return None;
            }
            Err(_) => return None,
        };
        looking.ended = true;
        self.core.fetched(&self.output, from, bound, found)
    }

    /// Builds the index again; a batch that is not found then either is lost.
    async fn rebuild(&self) {
        let (shelf, status) = (Arc::clone(&self.shelf), self.core.status.clone());
        match tokio::task::spawn_blocking(move || shelf.rebuild(&status)).await {
            Ok(Ok(lost)) => {
                for (number, place) in lost {
                    self.core.damaged(number, &place.source, u64::from(place.count));
                }
            }
            Ok(Err(err)) => self.failed(&err).await,
            Err(_) => {}
        }
    }

    /// The disk did not give a batch: counted, and tried again after a while.
    async fn failed(&self, err: &std::io::Error) {
        tracing::warn!(error = %err, "a batch cannot be read; it is tried again");
        self.core.status.counters().add(Count::DiskErrors, 1);
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}

/// Frees the place of the one who looks at the disk, also when the look is cut short.
struct Looking<'a> {
    reader: &'a Reader,
    ended: bool,
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.reader.core.fetch_failed(&self.reader.output);
        }
    }
}

/// A batch on its way out. Dropping it without [`Delivery::ack`] gives it back, with how far it came.
#[derive(Debug)]
pub struct Delivery {
    reader: Reader,
    number: BatchNumber,
    batch: Batch,
    done: u32,
    acked: bool,
}

impl Delivery {
    /// The batch's number, which the ids of its events hold.
    #[must_use]
    pub fn number(&self) -> BatchNumber {
        self.number
    }

    /// The batch.
    #[must_use]
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// How many of its records the far end has already acknowledged: a repeat starts after them.
    #[must_use]
    pub fn done(&self) -> u32 {
        self.done
    }

    /// Notes that the far end acknowledged the first `done` records. Kept in memory only.
    pub fn advance(&mut self, done: u32) {
        self.done = self.done.max(done.min(self.batch.count()));
    }

    /// The far end has all of it: moves this output's position.
    pub fn ack(mut self) {
        self.acked = true;
        self.reader.core.ack(&self.reader.output, self.number, &self.batch);
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if !self.acked {
            self.reader.core.give_back(&self.reader.output, self.number, self.done);
        }
    }
}
