//! The hearth: what is in here is durable, and every output finds it.
//!
//! In: [`Intake::submit`], answered by a [`Ticket`] that tells when the batch is *settled* (durable on our disk or
//! acknowledged by the gateway, whichever comes first). Out: one [`Reader`] per output, which gives a [`Delivery`] again
//! and again until it is acknowledged. Floor 2.
//!
//! Append-only segment files are the whole truth (`segment`); sled is an index into them, rebuilt whenever it does not open
//! or disagrees (`index`); what waits is held in memory behind one lock (`core`), and one thread owns the writing
//! (`writer`): it makes a whole group durable with one sync. A batch that every output acknowledged before its group was due
//! is never written; its count is noted before its sender is answered (`receipt`), so that the ledger knows of it after a
//! kill. Positions are small sets of ranges (`position`), kept with the ledger's totals (`ledger`) in a state
//! record at the end of each group, so that they agree with the batches whatever a power cut tears.
//!
//! Not promised: that nothing comes twice. A crash between a delivery and the next state record sends it again under the
//! same id.

mod core;
mod disk;
mod group;
mod index;
mod inspect;
mod ledger;
mod lock;
mod position;
mod reader;
mod receipt;
mod recent;
mod record;
mod recover;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

pub use inspect::{
    Balance, Exported, Finding, Flaw, Inspection, Repaired, Report, ToolError, Wanted, export, repair, verify,
};
pub use ledger::Totals;
pub use reader::{Delivery, Reader};
pub use recent::Recent;
pub use recover::QueueError;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::clock::{self, Timestamp};
use crate::event::{ApplianceId, Batch, BatchNumber, OutputId, SourceId};
use crate::quantity::{Size, Span};
use crate::status::{DropReason, Handle};
use core::Core;
use disk::{Disk, Folder};
use index::{Index, Memory, Sled};
use lock::Lock;
use receipt::Clerk;
use segment::Shelf;
use writer::Writer;

/// The `[queue]` table of the settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Bytes the queue may occupy on the disk. When they are used up, senders are held back.
    pub max_size: Size,
    /// The part of `max_size` that is kept for senders that cannot be held back (UDP); a sixteenth if nothing is set.
    pub reserve: Option<Size>,
    /// Event bytes held in memory while they wait to be written or delivered.
    pub memory: Size,
    /// A group of batches is made durable when it holds this many event bytes...
    pub flush_bytes: Size,
    /// ...or when its first batch is this old. This is the most that a power cut can take of events that nobody was
    /// promised (UDP and plain TCP).
    pub flush_after: Span,
    /// Size at which a segment file is closed and the next one begun.
    pub segment_size: Size,
    /// What happens when `max_size` is used up.
    pub when_full: WhenFull,
    /// When a sender is answered.
    pub settle: Settle,
    /// What goes out first when a backlog waits.
    pub drain: Drain,
    /// Per cent of the bytes that the backlog gets at least while new events go out first; 1 to 99.
    pub backlog_share: u8,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // Some two days of 1,000 events a second at a ratio of 6.
            max_size: Size::gib(8),
            reserve: None,
            // 32 batches of the usual size: enough to keep the writer and two outputs busy, a sixth of the memory bound.
            memory: Size::mib(16),
            // A sync costs 0.35 ms on an idle disk and 6 to 9 ms on a busy one; 4 MiB of events compress to under 1 MiB.
            flush_bytes: Size::mib(4),
            // Long enough for a gateway 150 ms away to acknowledge first and spare the write.
            flush_after: Span::millis(250),
            segment_size: Size::mib(32),
            when_full: WhenFull::HoldBack,
            settle: Settle::DurableOrDelivered,
            drain: Drain::LiveFirst,
            backlog_share: 25,
        }
    }
}

impl Config {
    /// The part of `max_size` that is kept for senders that cannot be held back.
    #[must_use]
    pub fn reserve(&self) -> Size {
        self.reserve.unwrap_or(Size(self.max_size.bytes() / 16))
    }

    /// What is wrong with the values, by key.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut check = |fine: bool, key: &str, text: String| {
            if !fine {
                problems.push((key.to_owned(), text));
            }
        };
        let four_segments = Size(self.segment_size.bytes().saturating_mul(4));
        check(self.segment_size >= Size::mib(1), "segment_size", "is too small; write at least \"1MiB\"".into());
        check(
            self.max_size >= four_segments,
            "max_size",
            format!("must hold at least four segments; write at least \"{four_segments}\""),
        );
        check(
            self.reserve().bytes() <= self.max_size.bytes() / 2,
            "reserve",
            format!("leaves too little for the other senders; write at most \"{}\"", Size(self.max_size.bytes() / 2)),
        );
        check(self.memory >= Size::mib(2), "memory", "is too small for a few batches; write at least \"2MiB\"".into());
        check(
            self.flush_bytes <= self.memory && !self.flush_bytes.is_empty(),
            "flush_bytes",
            format!("must be more than nothing and fit into memory; write at most \"{}\"", self.memory),
        );
        let span = Duration::from_millis(1)..=Duration::from_secs(60);
        check(span.contains(&self.flush_after.0), "flush_after", "must be between \"1ms\" and \"1m\"".into());
        check((1..=99).contains(&self.backlog_share), "backlog_share", "is a percentage; write 1 to 99".into());
        problems
    }
}

/// What happens when the queue may not grow any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// Senders wait; only what cannot wait (UDP) is dropped, once the reserve is used up too.
    HoldBack,
    /// The oldest events make room, a segment at a time.
    DropOldest,
    /// New events are dropped; their senders are answered as if they were stored.
    DropNewest,
}

/// When a batch counts as settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Settle {
    /// Durable on our disk, or acknowledged by every output, whichever comes first; the latter spares the write.
    DurableOrDelivered,
    /// Durable on our disk, always.
    Durable,
}

/// What goes out first when a backlog waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Drain {
    /// New events at once, the backlog in the rest of the bandwidth.
    LiveFirst,
    /// Everything in the order it came.
    InOrder,
}

/// What the queue has to know of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputRule {
    /// Its id.
    pub id: OutputId,
    /// Whether the queue may let go of events that it has not had.
    pub may_skip: bool,
    /// Whether its far end acknowledges; only then may a delivery spare a write.
    pub acknowledges: bool,
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
    shelf: Arc<Shelf>,
    pulse: Arc<Pulse>,
    thread: Option<std::thread::JoinHandle<()>>,
    gap_since: Option<Timestamp>,
}

/// All parts of a queue but its thread, and since when there may be a gap.
type Prepared = (Arc<Core>, Arc<Shelf>, Writer, Option<Timestamp>);

/// What the writer's thread and its owner tell each other.
#[derive(Debug)]
struct Pulse {
    since: std::time::Instant,
    beat: AtomicU64,
    give_up: AtomicBool,
}

impl Queue {
    /// Opens the queue in its folder, and makes it where there is none. Blocks on the disk.
    ///
    /// # Errors
    /// When the folder cannot be used, or another program uses it. What is damaged inside is set aside and counted, and never an error.
    pub fn open(folder: &Path, config: &Config, outputs: &[OutputRule], status: Handle) -> Result<Self, QueueError> {
        let failed = |source| QueueError::Disk { folder: folder.display().to_string(), source };
        let disk = Folder::open(folder).map_err(failed)?;
        let in_use = || QueueError::InUse { folder: folder.display().to_string() };
        let lock = Lock::take(folder).map_err(failed)?.ok_or_else(in_use)?;
        let index = folder.join(index::FOLDER);
        let prepare = |index| Self::prepare(Box::new(disk.clone()), index, config, outputs, status.clone());
        let failed_index = |prepared: &std::io::Result<_>| prepared.as_ref().is_err_and(index::is_to_blame);
        let mut prepared = prepare(Self::open_index(&index));
        if failed_index(&prepared) {
            tracing::warn!("the queue's index fails and is built again");
            let _ = std::fs::remove_dir_all(&index);
            prepared = prepare(Self::open_index(&index));
        }
        if failed_index(&prepared) {
            prepared = Self::prepare(Box::new(disk), Arc::new(Memory::default()), config, outputs, status);
        }
        Self::start(prepared.map_err(failed)?, lock).map_err(failed)
    }

    /// Opens the index; one that does not open is thrown away, as it holds nothing that the segments do not.
    fn open_index(folder: &Path) -> Arc<dyn Index> {
        let again = |err| {
            tracing::warn!(error = %err, "the queue's index does not open and is built again");
            let _ = std::fs::remove_dir_all(folder);
            Sled::open(folder)
        };
        match Sled::open(folder).or_else(again) {
            Ok(sled) => Arc::new(sled),
            Err(err) => {
                tracing::warn!(error = %err, "the queue's index cannot be opened; it is kept in memory for now");
                Arc::new(Memory::default())
            }
        }
    }

    /// Starts the writer, which holds the folder until it and the clerk have ended.
    fn start((core, shelf, writer, gap_since): Prepared, lock: Lock) -> std::io::Result<Self> {
        let pulse = Pulse { since: clock::monotonic(), beat: AtomicU64::new(0), give_up: AtomicBool::new(false) };
        let pulse = Arc::new(pulse);
        let beats = Arc::clone(&pulse);
        let clerk = Clerk::new(Arc::clone(&core), &*shelf.disk);
        let clerk = std::thread::Builder::new().name("queue-receipts".into()).spawn(|| clerk.run())?;
        let work = move || {
            let _lock = lock;
            writer.run(&|| beats.beat());
            if clerk.join().is_err() {
                tracing::error!("the queue's receipts ended in a panic");
            }
        };
        let thread = std::thread::Builder::new().name("queue-writer".into()).spawn(work)?;
        Ok(Self { core, shelf, pulse, thread: Some(thread), gap_since })
    }

    /// Everything but the thread, so that tests can step the writer themselves.
    fn prepare(
        disk: Box<dyn Disk>,
        index: Arc<dyn Index>,
        config: &Config,
        outputs: &[OutputRule],
        status: Handle,
    ) -> std::io::Result<Prepared> {
        let found = recover::recover(&*disk, &*index, &status, recover::Tail::Cut)?;
        let core = Core::new(config.clone(), found.appliance, found.state.clone(), found.next, status);
        core.set_outputs(outputs);
        if found.doubtful {
            core.reconcile(&*index)?;
        }
        let (core, shelf) = (Arc::new(core), Arc::new(Shelf::new(disk, index)));
        let gap_since = Some(Timestamp(found.state.at)).filter(|at| !found.state.clean && at.0 > 0);
        let writer = Writer::new(Arc::clone(&core), Arc::clone(&shelf), found.kept, found.state);
        Ok((core, shelf, writer, gap_since))
    }

    /// The end where batches go in.
    #[must_use]
    pub fn intake(&self) -> Intake {
        Intake { core: Arc::clone(&self.core), shelf: Arc::clone(&self.shelf) }
    }

    /// The end where batches come out, for one output. Clones of a reader share its position.
    #[must_use]
    pub fn reader(&self, output: &OutputId) -> Reader {
        Reader::new(Arc::clone(&self.core), Arc::clone(&self.shelf), output.clone())
    }

    /// Changes who reads. A new output gets everything that is still there; one that is gone holds nothing back any more.
    pub fn set_outputs(&self, outputs: &[OutputRule]) {
        self.core.set_outputs(outputs);
    }

    /// Every batch as it comes in, for a person who looks on. A slow receiver misses some and is told how many.
    #[must_use]
    pub fn tap(&self) -> broadcast::Receiver<(BatchNumber, Batch)> {
        self.core.tap()
    }

    /// What is still there since a time, of one source or all: the newest events up to a number. Blocks on the disk, briefly.
    ///
    /// # Errors
    /// When the index cannot be read; trying again may help.
    pub fn recent(&self, since: Timestamp, source: Option<&SourceId>, most_events: u64) -> std::io::Result<Recent> {
        Recent::find(Arc::clone(&self.core), Arc::clone(&self.shelf), since, source, most_events)
    }

    /// What each source's events came to.
    #[must_use]
    pub fn ledger(&self) -> BTreeMap<SourceId, Totals> {
        self.core.lock().ledger.0.clone()
    }

    /// The box's name inside event ids.
    #[must_use]
    pub fn appliance(&self) -> ApplianceId {
        self.core.appliance
    }

    /// When the queue was last known to be whole, if it was not closed after that: the power was cut or the program killed.
    /// What came later and was promised to nobody may be lost.
    #[must_use]
    pub fn gap_since(&self) -> Option<Timestamp> {
        self.gap_since
    }

    /// How long ago the writer last came round. It does so every second, unless the disk does not answer.
    #[must_use]
    pub fn last_beat(&self) -> Duration {
        let now = self.pulse.now();
        Duration::from_millis(now.saturating_sub(self.pulse.beat.load(Ordering::Relaxed)))
    }

    /// Stops taking batches, writes what is pending, ends every wait with [`Closed`]. After `grace` what could not be
    /// written is given up: nobody was told that it is settled. Whether everything was written.
    ///
    /// # Cancel safety
    /// Safe: the writer goes on by itself.
    pub async fn close(mut self, grace: Duration) -> bool {
        self.core.begin_close();
        let Some(thread) = self.thread.take() else { return true };
        let pulse = Arc::clone(&self.pulse);
        let mut joined = tokio::task::spawn_blocking(move || thread.join().is_ok());
        if let Ok(ended) = tokio::time::timeout(grace, &mut joined).await {
            return ended.unwrap_or(false);
        }
        pulse.give_up.store(true, Ordering::Relaxed);
        self.core.end_close();
        false
    }
}

impl Pulse {
    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn beat(&self) -> bool {
        self.beat.store(self.now(), Ordering::Relaxed);
        !self.give_up.load(Ordering::Relaxed)
    }
}

/// Takes batches in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Intake {
    core: Arc<Core>,
    shelf: Arc<Shelf>,
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
