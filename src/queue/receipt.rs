//! Receipts: what senders were told is settled because the gateway has it, before a state record knows of it.
//!
//! A batch whose write is spared leaves nothing on the disk until the next state record, up to a second later. So that the
//! ledger is exact when the program is killed in that second, its count is written to a small file *before* its sender is
//! answered: in place, in the page cache, never synced, by a thread of its own, so that no delivery waits for the disk. A
//! power cut may take what the kernel had not yet written back: at most the counts since the last state record, and the gap
//! event of the next start says so. (Syncing each of them would cost the flash more than the writes that were spared.)
//!
//! Two slots take turns, each with a checksum, so that a torn one leaves the one before it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::core::{Core, answer};
use super::disk::{Disk, Overwrite};
use super::ledger::State;
use crate::event::SourceId;
use crate::status::Count;

/// The file's name in the queue's folder.
pub(super) const RECEIPTS: &str = "receipts";
/// Room for some 1,500 sources and the batches of one group.
const SLOT: u64 = 64 << 10;
/// Length and checksum, both little-endian.
const HEAD: usize = 8;

/// Counts of what was answered without a write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Receipts {
    /// Whose they are, in hexadecimal: a file from another box says nothing here.
    appliance: String,
    sequence: u64,
    /// Events of batches that were never written, by source, since the queue was made.
    spared: BTreeMap<SourceId, u64>,
    /// Batches that may lie on the disk, as they were answered while their group was written or after that failed: number,
    /// source, events.
    writing: BTreeMap<u64, (SourceId, u64)>,
}

/// The receipts and the senders who wait for them to be written.
#[derive(Debug, Default)]
pub(super) struct Desk {
    receipts: Receipts,
    waiting: Vec<oneshot::Sender<()>>,
    due: bool,
    /// Batches of groups whose write failed since the last one that is durable.
    tried: BTreeSet<u64>,
}

impl Desk {
    /// Goes on from what a state knows.
    pub(super) fn new(state: &State) -> Self {
        let (appliance, spared) = (state.appliance.clone(), state.spared.clone());
        let receipts = Receipts { appliance, sequence: state.receipts, spared, writing: BTreeMap::new() };
        Self { receipts, ..Self::default() }
    }

    /// A batch needs no write any more: its sender is answered once that is noted.
    pub(super) fn spare(&mut self, number: u64, source: &SourceId, events: u64, settle: Option<oneshot::Sender<()>>) {
        if self.tried.contains(&number) {
            return self.overtake(number, source, events, settle);
        }
        match self.receipts.spared.get_mut(source) {
            Some(sum) => *sum += events,
            None => drop(self.receipts.spared.insert(source.clone(), events)),
        }
        self.due(settle);
    }

    /// A batch was delivered while it is being written: its sender need not wait for the disk.
    pub(super) fn overtake(
        &mut self,
        number: u64,
        source: &SourceId,
        events: u64,
        settle: Option<oneshot::Sender<()>>,
    ) {
        self.receipts.writing.insert(number, (source.clone(), events));
        self.due(settle);
    }

    /// Writing a batch failed: nobody knows whether it lies on the disk.
    pub(super) fn tried(&mut self, number: u64) {
        self.tried.insert(number);
    }

    /// A group is durable, and its state tells of every batch that was ever on its way to the disk.
    pub(super) fn durable(&mut self) {
        self.receipts.writing.clear();
        self.tried.clear();
    }

    /// Tells a state record that is taken now, while no group is being written, what its totals hold.
    pub(super) fn tell(&self, state: &mut State) {
        state.spared = self.receipts.spared.clone();
        state.receipts = self.receipts.sequence;
        state.told = self.receipts.writing.keys().copied().collect();
    }

    fn due(&mut self, settle: Option<oneshot::Sender<()>>) {
        self.waiting.extend(settle);
        self.due = true;
    }

    fn take(&mut self) -> Option<(Receipts, Vec<oneshot::Sender<()>>)> {
        if !std::mem::take(&mut self.due) {
            return None;
        }
        self.receipts.sequence += 1;
        Some((self.receipts.clone(), std::mem::take(&mut self.waiting)))
    }
}

/// Writes receipts and answers senders; runs on a thread of its own, or step by step in tests.
#[derive(Debug)]
pub(super) struct Clerk {
    core: Arc<Core>,
    file: Option<Box<dyn Overwrite>>,
    failing: bool,
}

impl Clerk {
    /// Where the file cannot be opened, senders are answered all the same, and after a kill the ledger is too low.
    pub(super) fn new(core: Arc<Core>, disk: &dyn Disk) -> Self {
        let file = disk.overwrite(RECEIPTS);
        let file = file.inspect_err(|err| tracing::warn!(error = %err, "the queue's receipts cannot be kept")).ok();
        Self { core, file, failing: false }
    }

    /// Works until the queue is closed.
    pub(super) fn run(mut self) {
        while self.core.wait_for_receipts() {
            self.step();
        }
    }

    /// Notes what is due and answers its senders; false if the note could not be written.
    pub(super) fn step(&mut self) -> bool {
        let Some((receipts, waiting)) = self.core.lock().desk.take() else { return true };
        let written = receipts.write(self.file.as_deref_mut());
        if let Err(err) = &written {
            self.core.status.counters().add(Count::DiskErrors, 1);
            if !self.failing {
                tracing::warn!(error = %err, "receipts are not kept; if the program is killed now, the ledger is too low");
            }
        }
        self.failing = written.is_err();
        // The gateway has the events, whatever the disk says.
        waiting.into_iter().for_each(|settle| answer(Some(settle)));
        written.is_ok()
    }
}

impl Core {
    /// Waits until receipts are due; false once the queue is closed and none are.
    fn wait_for_receipts(&self) -> bool {
        let mut inner = self.lock();
        while !inner.desk.due {
            if inner.closed {
                return false;
            }
            inner = self.receipts.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        true
    }
}

impl Receipts {
    fn write(&self, file: Option<&mut (dyn Overwrite + 'static)>) -> io::Result<()> {
        let file = file.ok_or(io::ErrorKind::NotFound)?;
        let body = serde_json::to_vec(self)?;
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        if u64::from(length) + HEAD as u64 > SLOT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend(crc32fast::hash(&body).to_le_bytes());
        bytes.extend(body);
        file.overwrite(self.sequence % 2 * SLOT, &bytes)
    }

    /// The newest whole receipts of this box, if there are any.
    fn read(disk: &dyn Disk, appliance: &str) -> Option<Self> {
        let file = disk.open(RECEIPTS).ok()?;
        let slot = |at: u64| {
            let mut head = [0; HEAD];
            (file.read_at(at, &mut head).ok()? == HEAD).then_some(())?;
            let [a, b, c, d, crc @ ..] = head;
            let length = u32::from_le_bytes([a, b, c, d]);
            (u64::from(length) + HEAD as u64 <= SLOT).then_some(())?;
            let mut body = vec![0; usize::try_from(length).ok()?];
            let read = file.read_at(at + HEAD as u64, &mut body).ok()?;
            (read == body.len() && crc32fast::hash(&body) == u32::from_le_bytes(crc)).then_some(())?;
            serde_json::from_slice::<Self>(&body).ok().filter(|receipts| receipts.appliance == appliance)
        };
        [slot(0), slot(SLOT)].into_iter().flatten().max_by_key(|receipts| receipts.sequence)
    }

    /// Adds to a state what was answered after it: those events are delivered. `lies` tells which batches lie on the disk
    /// beyond the state; they count for themselves.
    pub(super) fn add_to(state: &mut State, disk: &dyn Disk, lies: impl Fn(u64) -> bool) {
        let Some(receipts) = Self::read(disk, &state.appliance).filter(|found| found.sequence > state.receipts) else {
            return;
        };
        state.receipts = receipts.sequence;
        let State { ledger, spared, written, told, .. } = state;
        let mut add = |source: &SourceId, events: u64| {
            let totals = ledger.of(source);
            totals.received = totals.received.saturating_add(events);
            totals.delivered = totals.delivered.saturating_add(events);
        };
        for (number, (source, events)) in &receipts.writing {
            if *number >= *written && !told.contains(number) && !lies(*number) {
                add(source, *events);
            }
        }
        for (source, sum) in receipts.spared {
            let known = spared.get(&source).copied().unwrap_or(0);
            add(&source, sum.saturating_sub(known));
            spared.insert(source, sum.max(known));
        }
    }
}
