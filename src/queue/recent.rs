//! What is still there of the last while, for a person who looks back: batches that wait, and delivered ones whose segment has not
//! gone yet. Nothing is taken, and no position moves.
//!
//! Bounded: the newest events up to a number, in at most [`MOST_BATCHES`] batches; one batch is in memory at a time.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::core::Core;
use super::segment::{Looked, Shelf};
use crate::clock::Timestamp;
use crate::event::{Batch, BatchNumber, SourceId};

/// Ten minutes of a box that gets an event now and then make one of each.
const MOST_BATCHES: usize = 8_192;
/// Batches of the last while lie together, but for files that came earlier and were read now: so many older ones in a row end it.
const OLDER: usize = 512;

/// Batches of the last while, the oldest first.
#[derive(Debug)]
pub struct Recent {
    core: Arc<Core>,
    shelf: Arc<Shelf>,
    /// Numbers, each with its events.
    numbers: BTreeMap<u64, u32>,
    is_whole: bool,
}

impl Recent {
    /// Finds batches since a time, of one source or all, until they hold so many events. Blocks on the disk, briefly.
    pub(super) fn find(
        core: Arc<Core>,
        shelf: Arc<Shelf>,
        since: Timestamp,
        source: Option<&SourceId>,
        most_events: u64,
    ) -> io::Result<Self> {
        let mut recent = Self { core, shelf, numbers: BTreeMap::new(), is_whole: true };
        let is_wanted = |of: &SourceId| source.is_none_or(|source| source == of);
        for (number, held) in recent.core.lock().held.iter().rev().take(MOST_BATCHES) {
            if held.batch.first_received() >= since && is_wanted(held.batch.source()) {
                recent.numbers.insert(*number, held.batch.count());
            }
        }
        let (mut bound, mut older, mut events) = (u64::MAX, 0, recent.events());
        while older < OLDER {
            if recent.numbers.len() >= MOST_BATCHES || events >= most_events {
                recent.is_whole = false;
                break;
            }
            let shelf = Arc::clone(&recent.shelf);
            let Some((number, place)) = shelf.ask(&recent.core.status, |index| index.before(bound))? else { break };
            bound = number;
            if place.first_received < since.0 {
                older += 1;
            } else if is_wanted(&place.source) {
                older = 0;
                let is_new = recent.numbers.insert(number, place.count).is_none();
                events += if is_new { u64::from(place.count) } else { 0 };
            }
        }
        while recent.numbers.len() > 1 && events > most_events {
            events -= recent.numbers.pop_first().map_or(0, |(_, count)| u64::from(count));
        }
        Ok(recent)
    }

    /// Events that are there.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.numbers.values().map(|count| u64::from(*count)).sum()
    }

    /// Whether that is all, and not only the newest.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// The next batch that is still there. Blocks on the disk.
    pub fn take_next(&mut self) -> Option<(BatchNumber, Batch)> {
        loop {
            let (number, _) = self.numbers.pop_first()?;
            let held = self.core.lock().held.get(&number).map(|held| held.batch.clone());
            let found = held.or_else(|| match self.shelf.look(number, number.saturating_add(1)) {
                Ok(Looked::Batch(_, batch)) => Some(batch),
                // It went meanwhile, or is damaged, which its reader will find.
                _ => None,
            });
            if let Some(batch) = found {
                return Some((BatchNumber(number), batch));
            }
        }
    }
}
