//! One output's way through the numbers: what it has, what is on its way, and which lane comes next.
//!
//! The live lane begins at `live`; what lies below it and was not taken is the backlog. Live first, but the backlog gets at
//! least its share of the bytes, so neither starves; within a lane the order is kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Config, Drain, OutputRule};

/// Past so many ranges an output goes in order until holes close: a position must stay small.
const MAX_RANGES: usize = 1_024;
/// The most that a lane may be owed: a few batches.
const MAX_CREDIT: i64 = 4 << 20;

/// An output, as the queue sees it.
#[derive(Debug)]
pub(super) struct Outlet {
    pub(super) rule: OutputRule,
    /// Needed no more.
    pub(super) done: Ranges,
    /// Needed no more, or on its way.
    pub(super) taken: Ranges,
    /// Events that wait for it.
    pub(super) waiting: u64,
    /// Somebody looks at the disk for it.
    pub(super) fetching: bool,
    /// Where the live lane begins.
    live: u64,
    /// Bytes the backlog is owed.
    credit: i64,
    /// Given-back batches with how many of their records are acknowledged.
    partial: BTreeMap<u64, u32>,
}

/// Where the next batch comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// This one, which is held in memory; whether it is backlog.
    Held(u64, bool),
    /// The first one on the disk within these numbers.
    Disk { from: u64, bound: u64 },
    /// There is none now.
    Nothing,
}

impl Outlet {
    /// A new output, which gets everything that is still there: `waiting` events.
    pub(super) fn new(waiting: u64) -> Self {
        Self::at(Ranges::below(1), waiting)
    }

    /// An output at a stored position.
    pub(super) fn at(done: Ranges, waiting: u64) -> Self {
        let rule = OutputRule { id: "".into(), may_skip: false, acknowledges: true };
        let taken = done.clone();
        Self { rule, done, taken, waiting, fetching: false, live: 1, credit: 0, partial: Default::default() }
    }

    /// Chooses the next batch. `held_from` tells the first number in memory from a number upwards.
    pub(super) fn choose(
        &mut self,
        config: &Config,
        floor: u64,
        next: u64,
        held_from: impl Fn(u64) -> Option<u64>,
    ) -> Lane {
        // What was evicted before it was taken has become backlog.
        self.live = self.live.max(floor).min(next);
        let live = self.untaken(self.live, next, &held_from);
        loop {
            let gap = self.taken.first_gap(0);
            if gap >= self.live {
                return live.map_or(Lane::Nothing, |number| Lane::Held(number, false));
            }
            let in_order = config.drain == Drain::InOrder || self.done.len() > MAX_RANGES;
            if live.is_some_and(|_| !in_order && (self.credit <= 0 || (self.fetching && gap < floor))) {
                return live.map_or(Lane::Nothing, |number| Lane::Held(number, false));
            }
            if gap < floor {
                if self.fetching {
                    return Lane::Nothing;
                }
                self.fetching = true;
                return Lane::Disk { from: gap, bound: floor.min(self.live) };
            }
            match self.untaken(gap, self.live, &held_from) {
                Some(number) if number == gap => return Lane::Held(number, true),
                found => self.close_hole(gap, found.unwrap_or(self.live)),
            }
        }
    }

    /// The first number of `from..until` that is in memory and not taken.
    fn untaken(&self, from: u64, until: u64, held_from: &impl Fn(u64) -> Option<u64>) -> Option<u64> {
        let mut at = self.taken.first_gap(from);
        while let Some(number) = held_from(at).filter(|number| *number < until) {
            at = self.taken.first_gap(number);
            if at == number {
                return Some(number);
            }
        }
        None
    }

    /// Marks a batch as on its way; returns how many of its records are already acknowledged.
    pub(super) fn take(&mut self, number: u64, bytes: usize, backlog: bool, config: &Config) -> u32 {
        self.taken.insert(number, number + 1);
        let bytes = i64::try_from(bytes).unwrap_or(MAX_CREDIT);
        let share = i64::from(config.backlog_share.min(99));
        self.credit = if backlog { self.credit - bytes } else { self.credit + bytes * share / (100 - share) };
        self.credit = self.credit.clamp(-MAX_CREDIT, MAX_CREDIT);
        if !backlog {
            self.live = self.live.max(number);
        }
        self.partial.remove(&number).unwrap_or(0)
    }

    /// Numbers of `from..until` up to the next taken one do not exist: nobody needs them.
    pub(super) fn close_hole(&mut self, from: u64, until: u64) {
        let end = until.min(self.taken.gap_end(from));
        self.taken.insert(from, end);
        self.done.insert(from, end);
    }

    /// Lets the live lane begin here; what lies before it and was not taken is backlog.
    pub(super) fn live_from(&mut self, number: u64) {
        self.live = self.live.max(number);
    }

    /// Whether the batch is on its way.
    pub(super) fn has_in_hand(&self, number: u64) -> bool {
        self.taken.contains(number) && !self.done.contains(number)
    }

    /// The batch comes back unacknowledged and is the next of its lane.
    pub(super) fn give_back(&mut self, number: u64, done: u32, floor: u64) {
        if self.done.contains(number) {
            return;
        }
        self.taken.remove(number);
        if done > 0 {
            self.partial.insert(number, done);
        }
        if number >= floor {
            self.live = self.live.min(number);
        }
    }

    /// Notes that the output needs the number no more; false if that was known.
    pub(super) fn ack(&mut self, number: u64, events: u64) -> bool {
        if self.done.contains(number) {
            return false;
        }
        self.done.insert(number, number + 1);
        self.taken.insert(number, number + 1);
        self.partial.remove(&number);
        self.waiting = self.waiting.saturating_sub(events);
        true
    }
}

/// A small set of number ranges: delivering live events first makes holes, so a position is not one number. Neighbouring
/// ranges are joined at once, so the set stays as small as the number of holes.
///
/// Half-open ranges of numbers, by their start. Stored as a list of `[start, end]` pairs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub(super) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// All numbers below `end`.
    pub(super) fn below(end: u64) -> Self {
        let mut ranges = Self::default();
        ranges.insert(0, end);
        ranges
    }

    /// Adds `start..end`.
    pub(super) fn insert(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let (mut from, mut to) = (start, end);
        if let Some((&before, &until)) = self.0.range(..=start).next_back()
            && until >= start
        {
            if until >= end {
                return;
            }
            from = before;
        }
        while let Some((&next, &until)) = self.0.range(from..=to).next() {
            to = to.max(until);
            self.0.remove(&next);
        }
        self.0.insert(from, to);
    }

    /// Takes one number out.
    pub(super) fn remove(&mut self, number: u64) {
        let Some((&start, &end)) = self.0.range(..=number).next_back().filter(|(_, end)| **end > number) else {
            return;
        };
        self.0.remove(&start);
        if start < number {
            self.0.insert(start, number);
        }
        if number + 1 < end {
            self.0.insert(number + 1, end);
        }
    }

    /// Whether the number is in the set.
    pub(super) fn contains(&self, number: u64) -> bool {
        self.first_gap(number) != number
    }

    /// Whether all of `start..end` is in the set.
    pub(super) fn covers(&self, start: u64, end: u64) -> bool {
        self.first_gap(start) >= end
    }

    /// The first number from `from` upwards that is not in the set.
    pub(super) fn first_gap(&self, from: u64) -> u64 {
        match self.0.range(..=from).next_back() {
            Some((_, &end)) if end > from => end,
            _ => from,
        }
    }

    /// Where the next range after `from` begins: the end of the gap that `from` lies in.
    pub(super) fn gap_end(&self, from: u64) -> u64 {
        self.0.range(from..).next().map_or(u64::MAX, |(start, _)| *start)
    }

    /// Where the last range ends; zero if there is none.
    pub(super) fn end(&self) -> u64 {
        self.0.last_key_value().map_or(0, |(_, end)| *end)
    }

    /// How many separate ranges there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl From<Vec<(u64, u64)>> for Ranges {
    fn from(pairs: Vec<(u64, u64)>) -> Self {
        let mut ranges = Self::default();
        for (start, end) in pairs {
            ranges.insert(start, end);
        }
        ranges
    }
}

impl From<Ranges> for Vec<(u64, u64)> {
    fn from(ranges: Ranges) -> Self {
        ranges.0.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_set_of_numbers(steps in proptest::collection::vec((any::<bool>(), 0u64..60, 0u64..12), 0..80)) {
            let (mut ranges, mut model) = (Ranges::default(), BTreeSet::new());
            for (add, start, length) in steps {
                if add {
                    ranges.insert(start, start + length);
                    model.extend(start..start + length);
                } else {
                    ranges.remove(start);
                    model.remove(&start);
                }
                for number in 0..80 {
                    prop_assert_eq!(ranges.contains(number), model.contains(&number));
                    let gap = (number..).find(|n| !model.contains(n)).unwrap();
                    prop_assert_eq!(ranges.first_gap(number), gap);
                }
                let runs = model.iter().filter(|n| **n == 0 || !model.contains(&(**n - 1))).count();
                prop_assert_eq!(ranges.len(), runs, "neighbours are joined");
            }
            let text = serde_json::to_string(&ranges).unwrap();
            prop_assert_eq!(serde_json::from_str::<Ranges>(&text).unwrap(), ranges);
        }
    }
}
