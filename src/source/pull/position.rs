//! How far a feed is: a few marks, and the ids that were seen lately.
//!
//! Kept in the queue as keyed changes: `m` and the mark's name, or `g` and a number (big-endian) for the ids that came in with
//! one batch: 16 bytes each, then its time in seconds (big-endian). A key for each id would cost the queue's index some 800
//! bytes of memory for each.

use std::collections::{BTreeMap, VecDeque};

use super::RecordId;
use crate::clock::Timestamp;

/// Most ids remembered of one feed: about 20 MiB. Beyond it the oldest are forgotten, and what comes again of them is sent
/// again under its id.
const MOST_SEEN: usize = 400_000;
/// Most ids in one group: 20 KB.
pub(super) const GROUP: usize = 1_000;
/// Most groups of ids that a batch brings beside its own, and most other changes: the queue takes 1 MiB in all.
const MOST_GROUPS: usize = 20;
const MOST_CHANGES: usize = 5_000;

/// A change of a checkpoint.
pub(in crate::source) type Change = (Vec<u8>, Option<Vec<u8>>);

/// An id, and when it was seen, in seconds.
type Seen = (RecordId, u32);

/// How far a feed is.
#[derive(Clone, Debug, Default)]
pub(in crate::source) struct Position {
    marks: BTreeMap<String, Vec<u8>>,
    seen: BTreeMap<RecordId, u32>,
    /// The groups that are kept, and the latest time in each.
    groups: BTreeMap<u64, u32>,
    /// The number of the next group; none is used twice, as its removal may still be on its way.
    next: u64,
    /// The ids of the batch that is being filled.
    own: Vec<Seen>,
    /// Ids that go with any batch.
    later: VecDeque<Seen>,
    /// What else is not yet in the queue.
    pending: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

fn seconds(time: Timestamp) -> u32 {
    u32::try_from(time.micros() / 1_000_000).unwrap_or(u32::MAX)
}

fn group_key(number: u64) -> Vec<u8> {
    [b"g".as_slice(), &number.to_be_bytes()].concat()
}

/// The ids of a group; what is not whole is passed over.
fn ids(value: &[u8]) -> impl Iterator<Item = Seen> {
    value.as_chunks::<20>().0.iter().filter_map(|chunk| {
        let (id, time) = chunk.split_last_chunk::<4>()?;
        Some((RecordId(id.try_into().ok()?), u32::from_be_bytes(*time)))
    })
}

impl Position {
    /// Takes a checkpoint back. What is not understood, as of another version, is passed over.
    pub(super) fn of(checkpoint: BTreeMap<Vec<u8>, Vec<u8>>) -> Self {
        let mut position = Self::default();
        for (key, value) in checkpoint {
            match key.split_first() {
                Some((b'm', name)) => {
                    position.marks.insert(String::from_utf8_lossy(name).into_owned(), value);
                }
                Some((b'g', number)) => {
                    let Ok(number) = number.try_into().map(u64::from_be_bytes) else { continue };
                    position.seen.extend(ids(&value));
                    position.next = position.next.max(number.saturating_add(1));
                    position.groups.insert(number, ids(&value).map(|(_, time)| time).max().unwrap_or(0));
                }
                _ => {}
            }
        }
        position
    }

    /// A mark's value.
    pub(in crate::source) fn mark(&self, name: &str) -> Option<&[u8]> {
        self.marks.get(name).map(Vec::as_slice)
    }

    /// The marks whose names begin so.
    pub(in crate::source) fn marks(&self, prefix: &str) -> impl Iterator<Item = (&str, &[u8])> {
        let all = self.marks.range(prefix.to_owned()..);
        let prefix = prefix.to_owned();
        all.take_while(move |(name, _)| name.starts_with(&prefix))
            .map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// A mark that is a time.
    pub(in crate::source) fn time(&self, name: &str) -> Option<Timestamp> {
        Some(Timestamp(u64::from_be_bytes(self.mark(name)?.try_into().ok()?)))
    }

    /// The value of a mark that is a time.
    pub(in crate::source) fn time_value(time: Timestamp) -> Option<Vec<u8>> {
        Some(time.micros().to_be_bytes().to_vec())
    }

    /// Whether this was seen.
    pub(in crate::source) fn has_seen(&self, id: RecordId) -> bool {
        self.seen.contains_key(&id)
    }

    /// Remembers the id of a record of the batch that is being filled, at most [`GROUP`] of them in a batch.
    pub(super) fn see(&mut self, id: RecordId, time: Timestamp) {
        self.seen.insert(id, seconds(time));
        self.own.push((id, seconds(time)));
    }

    /// Remembers an id, to be kept with any batch from now on.
    pub(super) fn see_later(&mut self, id: RecordId, time: Timestamp) {
        self.seen.insert(id, seconds(time));
        self.later.push_back((id, seconds(time)));
    }

    /// Sets or removes a mark, to be kept with the next batch.
    pub(in crate::source) fn set(&mut self, name: String, value: Option<Vec<u8>>) {
        self.pending.insert([b"m", name.as_bytes()].concat(), value.clone());
        match value {
            Some(value) => self.marks.insert(name, value),
            None => self.marks.remove(&name),
        };
    }

    /// Forgets what was seen before `before`, and the oldest where there are too many.
    pub(super) fn forget(&mut self, before: Timestamp) {
        let mut before = seconds(before);
        if self.seen.len() > MOST_SEEN {
            let mut times: Vec<u32> = self.seen.values().copied().collect();
            let (_, median, _) = times.select_nth_unstable(MOST_SEEN / 2);
            before = before.max(*median);
        }
        self.seen.retain(|_, time| *time >= before);
        let pending = &mut self.pending;
        self.groups.retain(|number, latest| {
            let keep = *latest >= before;
            if !keep {
                pending.insert(group_key(*number), None);
            }
            keep
        });
    }

    /// How many ids the batch that is being filled has.
    pub(super) fn own(&self) -> usize {
        self.own.len()
    }

    /// Takes the ids of the batch that is being filled.
    pub(super) fn take_own(&mut self) -> Vec<Change> {
        let own = std::mem::take(&mut self.own);
        self.group(&own).into_iter().collect()
    }

    /// Takes changes that wait for a batch, marks first, as many as one batch may carry.
    pub(super) fn take_pending(&mut self) -> Vec<Change> {
        let mut taken = std::mem::take(&mut self.pending);
        // `m` sorts behind `g`.
        while taken.len() > MOST_CHANGES
            && let Some((key, value)) = taken.pop_first()
        {
            self.pending.insert(key, value);
        }
        let mut changes: Vec<Change> = taken.into_iter().collect();
        for _ in 0..MOST_GROUPS {
            let some: Vec<Seen> = self.later.drain(..self.later.len().min(GROUP)).collect();
            changes.extend(self.group(&some));
        }
        changes
    }

    fn group(&mut self, ids: &[Seen]) -> Option<Change> {
        let latest = ids.iter().map(|(_, time)| *time).max()?;
        let number = self.next;
        self.next += 1;
        self.groups.insert(number, latest);
        let value = ids.iter().flat_map(|(id, time)| id.0.into_iter().chain(time.to_be_bytes())).collect();
        Some((group_key(number), Some(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(to: &mut BTreeMap<Vec<u8>, Vec<u8>>, changes: Vec<Change>) {
        for (key, value) in changes {
            match value {
                Some(value) => to.insert(key, value),
                None => to.remove(&key),
            };
        }
    }

    #[test]
    fn it_comes_back_from_its_changes() {
        let (mut position, mut kept) = (Position::default(), BTreeMap::new());
        let id = |number: u32| RecordId::of(&[&number.to_be_bytes()]);
        for number in 0..45_000 {
            position.see_later(id(number), Timestamp(u64::from(number) * 1_000_000));
        }
        position.set("through".into(), Position::time_value(Timestamp(7)));
        position.set("gone".into(), None);
        let mut rounds = 0;
        loop {
            let changes = position.take_pending();
            if changes.is_empty() {
                break;
            }
            let bytes =
                changes.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum::<usize>();
            assert!(bytes < 1 << 19, "{bytes}");
            apply(&mut kept, changes);
            rounds += 1;
            assert!(Position::of(kept.clone()).time("through").is_some(), "marks go first");
        }
        assert_eq!(rounds, 3);
        for number in 45_000..45_010 {
            position.see(id(number), Timestamp(u64::from(number) * 1_000_000));
        }
        assert_eq!(position.own(), 10);
        apply(&mut kept, position.take_own());
        assert_eq!(position.own(), 0);
        position.forget(Timestamp(44_000_000_000));
        apply(&mut kept, position.take_pending());
        assert_eq!(kept.len(), 3, "two groups and a mark");
        let mut again = Position::of(kept.clone());
        assert_eq!((again.seen.len(), again.time("through")), (1_010, Some(Timestamp(7))));
        assert!(again.has_seen(id(45_009)) && again.has_seen(id(44_000)) && !again.has_seen(id(43_999)));
        again.see(id(1), Timestamp(50_000_000_000));
        apply(&mut kept, again.take_own());
        assert_eq!(Position::of(kept).seen.len(), 1_011, "no group is written over");
    }

    #[test]
    fn a_group_is_kept_while_one_of_its_ids_is() {
        let (mut position, mut kept) = (Position::default(), BTreeMap::new());
        let id = |number: u8| RecordId::of(&[&[number]]);
        position.see(id(1), Timestamp(1_000_000));
        position.see(id(2), Timestamp(9_000_000));
        apply(&mut kept, position.take_own());
        position.forget(Timestamp(5_000_000));
        assert!(!position.has_seen(id(1)) && position.has_seen(id(2)));
        apply(&mut kept, position.take_pending());
        assert!(Position::of(kept.clone()).has_seen(id(2)));
        position.forget(Timestamp(10_000_000));
        apply(&mut kept, position.take_pending());
        assert!(kept.is_empty());
    }

    #[test]
    fn what_is_damaged_is_passed_over() {
        let value = [&RecordId::of(&[b"x"]).0[..], &7u32.to_be_bytes(), b"half"].concat();
        let kept =
            [(group_key(3), value), (b"g".to_vec(), vec![1]), (Vec::new(), Vec::new()), (b"s1".to_vec(), vec![])];
        let mut position = Position::of(kept.into_iter().collect());
        assert!(position.seen.len() == 1 && position.has_seen(RecordId::of(&[b"x"])));
        position.see(RecordId::of(&[b"y"]), Timestamp(0));
        assert_eq!(position.take_own()[0].0, group_key(4));
    }

    #[test]
    fn it_is_bounded() {
        let mut position = Position::default();
        for number in 0..=u32::try_from(MOST_SEEN).unwrap() {
            position.see(RecordId::of(&[&number.to_be_bytes()]), Timestamp(u64::from(number) * 1_000_000));
        }
        position.forget(Timestamp(0));
        assert!(position.seen.len() <= MOST_SEEN / 2 + 1);
    }
}
