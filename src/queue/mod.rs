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
mod inner;
mod inspect;
mod intake;
mod ledger;
mod lock;
mod loss;
mod outward;
mod position;
mod reader;
mod receipt;
mod recent;
mod record;
mod recover;
mod report;
mod segment;
mod settings;
#[cfg(test)]
mod tests;
mod writer;

pub use inspect::{
    Balance, Exported, Finding, Flaw, Inspection, Repaired, Report, ToolError, Wanted, export, repair, verify,
};
pub use intake::{Closed, Intake, Refused, Ticket};
pub use ledger::Totals;
pub use reader::{Delivery, Reader};
pub use recent::Recent;
pub use recover::QueueError;
pub use settings::{Config, Drain, OutputRule, Settle, WhenFull};

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::broadcast;

use crate::clock::{self, Timestamp};
use crate::event::{ApplianceId, Batch, BatchNumber, OutputId, SourceId};
use crate::status::Handle;
use core::Core;
use disk::{Disk, Folder};
use index::{Index, Memory, Sled};
use lock::Lock;
use receipt::Clerk;
use segment::Shelf;
use writer::Writer;

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
        Intake::new(Arc::clone(&self.core), Arc::clone(&self.shelf))
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
