//! The hearth: what is in here is durable, and every output finds it.
//!
//! In: [`Intake::submit`], answered by a [`Ticket`] that tells when the batch is *settled* (durable on our disk or
//! acknowledged by the gateway, whichever comes first). Out: one [`Reader`] per output, which gives a [`Delivery`] again
//! and again until it is acknowledged. Floor 2.

mod core;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{ApplianceId, Batch, BatchNumber, OutputId};
use crate::quantity::{Size, Span};
use core::Core;

/// The `[queue]` table of the settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Bytes the queue may occupy on the disk. When they are used up, senders are held back.
    pub max_size: Size,
    /// Event bytes held in memory while they wait to be written or delivered.
    pub memory: Size,
    /// A group of batches is made durable when it holds this many event bytes...
    pub flush_bytes: Size,
    /// ...or when its first batch is this old. This is the most that a power cut can take of events that nobody was
    /// promised (UDP and plain TCP).
    pub flush_after: Span,
    /// Size at which a segment file is closed and the next one begun.
    pub segment_size: Size,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_size: Size::gib(8),
            memory: Size::mib(16),
            flush_bytes: Size::mib(4),
            flush_after: Span::millis(200),
            segment_size: Size::mib(32),
        }
    }
}

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

/// The open queue.
#[derive(Debug)]
pub struct Queue {
    core: Arc<Core>,
}

impl Queue {
    /// A queue in memory alone.
    #[must_use]
    pub fn in_memory(config: &Config, outputs: &[OutputId]) -> Self {
        Self { core: Arc::new(Core::new(config.memory.bytes(), outputs)) }
    }

    /// The end where batches go in.
    #[must_use]
    pub fn intake(&self) -> Intake {
        Intake { core: Arc::clone(&self.core) }
    }

    /// The end where batches come out, for one output. Clones of a reader share its position.
    #[must_use]
    pub fn reader(&self, output: &OutputId) -> Reader {
        Reader { core: Arc::clone(&self.core), output: output.clone() }
    }

    /// The box's name inside event ids.
    #[must_use]
    pub fn appliance(&self) -> ApplianceId {
        self.core.appliance()
    }

    /// Ends every wait with [`Closed`].
    pub fn close(&self) {
        self.core.close();
    }
}

/// Takes batches in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Intake {
    core: Arc<Core>,
}

impl Intake {
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
            match self.core.take(batch) {
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
        self.core.take(batch)
    }
}

/// Tells when a batch is settled. May be dropped by a source that owes nobody an answer.
#[derive(Debug)]
pub struct Ticket {
    settled: tokio::sync::oneshot::Receiver<()>,
    number: BatchNumber,
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

/// Gives one output its batches. Clones share the position, so that several connections can work side by side.
#[derive(Clone, Debug)]
pub struct Reader {
    core: Arc<Core>,
    output: OutputId,
}

impl Reader {
    /// The next batch that this output has not acknowledged and nobody else is working on. Given-back batches come first.
    ///
    /// # Errors
    /// When the queue is closed.
    ///
    /// # Cancel safety
    /// Safe: a batch that was not returned stays in the queue.
    pub async fn next(&self) -> Result<Delivery, Closed> {
        loop {
            let more = self.core.more();
            match self.core.next(&self.output)? {
                Some((number, batch, done)) => {
                    return Ok(Delivery { reader: self.clone(), number, batch, done, acked: false });
                }
                None => more.await,
            }
        }
    }

    /// The box's name inside event ids.
    #[must_use]
    pub fn appliance(&self) -> ApplianceId {
        self.core.appliance()
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
        self.reader.core.ack(&self.reader.output, self.number);
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if !self.acked {
            self.reader.core.give_back(&self.reader.output, self.number, self.done);
        }
    }
}
