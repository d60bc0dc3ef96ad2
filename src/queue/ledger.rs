//! The balance: per source, `received = delivered + queued + dropped(reason)`, and the state record that makes it durable.
//!
//! A state record stands at the end of each group, in the same write as the group's batches, so that totals, positions and
//! batches agree whatever was torn. Batches that lie after the last state record are added to `received` on opening.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::position::{Outlet, Ranges};
use crate::event::{ApplianceId, OutputId, SourceId};
use crate::status::DropReason;

/// What one source's events came to, since the queue was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Events taken from its senders, drops included.
    pub received: u64,
    /// Events that every output had to have, and has.
    pub delivered: u64,
    /// Events that were given up, by reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dropped: BTreeMap<DropReason, u64>,
}

impl Totals {
    /// Events that were given up, for whatever reason.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.values().fold(0, |sum, events| sum.saturating_add(*events))
    }

    /// Whether `received = delivered + queued + dropped`, with this many events found in the queue.
    #[must_use]
    pub fn balances(&self, queued: u64) -> bool {
        let given = self.delivered.checked_add(self.dropped()).and_then(|sum| sum.checked_add(queued));
        given == Some(self.received)
    }

    /// Events that wait in the queue.
    #[must_use]
    pub fn queued(&self) -> u64 {
        self.received.saturating_sub(self.delivered).saturating_sub(self.dropped())
    }
}

/// Totals of every source that ever sent something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Ledger(pub(super) BTreeMap<SourceId, Totals>);

impl Ledger {
    /// The totals of a source, made at the first call.
    pub(super) fn of(&mut self, source: &SourceId) -> &mut Totals {
        if !self.0.contains_key(source) {
            self.0.insert(source.clone(), Totals::default());
        }
        self.0.entry(source.clone()).or_default()
    }
}

/// How far one output is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Numbers it needs no more: acknowledged, given up, or never used.
    pub(super) done: Ranges,
    /// Events of the others.
    pub(super) waiting: u64,
    /// Whether the queue could let go of events that it had not had.
    #[serde(default)]
    pub(super) may_skip: bool,
}

/// The control data of one moment, as stored (JSON).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// The box's id, in hexadecimal.
    pub(super) appliance: String,
    /// Every number below this may have been used.
    pub(super) reserved: u64,
    /// Every batch below this that was to be written is written; batches come in the order of their numbers.
    pub(super) written: u64,
    /// The queue was closed after this: nothing is in doubt.
    #[serde(default)]
    pub(super) clean: bool,
    /// When it was written, in microseconds of wall time.
    #[serde(default)]
    pub(super) at: u64,
    /// Each output's position.
    pub(super) outputs: BTreeMap<OutputId, Position>,
    /// Each source's totals.
    pub(super) ledger: Ledger,
    /// Events of batches that were never written; they are in the totals (`receipt`).
    #[serde(default)]
    pub(super) spared: BTreeMap<SourceId, u64>,
    /// The newest receipts that the totals hold.
    #[serde(default)]
    pub(super) receipts: u64,
    /// Batches from `written` upwards that the totals hold all the same: they were delivered while or after their write failed.
    #[serde(default)]
    pub(super) told: BTreeSet<u64>,
    /// What groups that failed may have left on the disk, by segment: its batches from this number upwards. The head of the next
    /// segment says so too, but may be gone while this one is not.
    #[serde(default)]
    pub(super) void: BTreeMap<u64, u64>,
}

impl State {
    /// The state of a new queue.
    pub(super) fn new(appliance: ApplianceId) -> Self {
        Self {
            appliance: appliance.to_string(),
            reserved: 1,
            written: 1,
            clean: false,
            at: 0,
            outputs: BTreeMap::new(),
            ledger: Ledger::default(),
            spared: BTreeMap::new(),
            receipts: 0,
            told: BTreeSet::new(),
            void: BTreeMap::new(),
        }
    }

    /// The outputs at their stored positions.
    pub(super) fn outlets(&self) -> BTreeMap<OutputId, Outlet> {
        let outlets = self.outputs.iter().map(|(id, at)| (id.clone(), Outlet::at(at.done.clone(), at.waiting)));
        outlets.collect()
    }

    /// The box's id.
    pub(super) fn appliance(&self) -> Option<ApplianceId> {
        u64::from_str_radix(&self.appliance, 16).ok().map(ApplianceId)
    }

    /// Whether every output that counts has the number (never, while there is none).
    pub(super) fn delivered(&self, number: u64) -> bool {
        let all = self.outputs.values().all(|position| position.may_skip);
        let mut counting = self.outputs.values().filter(|position| all || !position.may_skip);
        !self.outputs.is_empty() && counting.all(|position| position.done.contains(number))
    }

    /// The stored form.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads the stored form; fields of a newer version are ignored.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_and_balances() {
        let mut state = State::new(ApplianceId(0xfeed));
        let totals = state.ledger.of(&"fw".into());
        totals.received = 10;
        totals.delivered = 4;
        totals.dropped.insert(DropReason::KernelBuffer, 1);
        assert_eq!(totals.queued(), 5);
        state.outputs.insert("gw".into(), Position { done: Ranges::below(7), waiting: 5, may_skip: false });
        assert_eq!(State::from_bytes(&state.to_bytes()), Some(state));
        assert_eq!(State::from_bytes(b"{"), None);
    }
}
