//! How far a feed is: a few marks, and the ids that were seen lately.
//!
//! Kept in the queue as keyed changes: `m` and the mark's name, or `s` and the id with its time in seconds (big-endian). In
//! memory the ids take some 40 bytes each.

use std::collections::BTreeMap;

use super::RecordId;
use crate::clock::Timestamp;

/// Most ids remembered of one feed: about 20 MiB. Beyond it the oldest are forgotten, and what comes again of them is sent
/// again under its id.
const MOST_SEEN: usize = 400_000;
/// Most changes in one batch. The queue takes 65,536 of at most 1 MiB; ids of 17 bytes and times of 4 come on top of these.
const MOST_CHANGES: usize = 10_000;

/// A change of a checkpoint.
pub(in crate::source) type Change = (Vec<u8>, Option<Vec<u8>>);

/// How far a feed is.
#[derive(Clone, Debug, Default)]
pub(in crate::source) struct Position {
    marks: BTreeMap<String, Vec<u8>>,
    seen: BTreeMap<RecordId, u32>,
    /// What is not yet in the queue.
    pending: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

fn seconds(time: Timestamp) -> u32 {
    u32::try_from(time.micros() / 1_000_000).unwrap_or(u32::MAX)
}

fn seen_key(id: RecordId) -> Vec<u8> {
    [b"s".as_slice(), &id.0].concat()
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
                Some((b's', id)) => {
                    if let (Ok(id), Ok(time)) = (id.try_into(), value.try_into()) {
                        position.seen.insert(RecordId(id), u32::from_be_bytes(time));
                    }
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

    /// Remembers an id, and gives the change for the batch that holds its record.
    pub(super) fn see(&mut self, id: RecordId, time: Timestamp) -> Change {
        let time = seconds(time);
        self.seen.insert(id, time);
        (seen_key(id), Some(time.to_be_bytes().to_vec()))
    }

    /// Notes an id to be remembered with the next batch.
    pub(super) fn see_later(&mut self, id: RecordId, time: Timestamp) {
        let (key, value) = self.see(id, time);
        self.pending.insert(key, value);
    }

    /// Sets or removes a mark, to be kept with the next batch.
    pub(super) fn set(&mut self, name: String, value: Option<Vec<u8>>) {
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
        let pending = &mut self.pending;
        self.seen.retain(|id, time| {
            let keep = *time >= before;
            if !keep {
                pending.insert(seen_key(*id), None);
            }
            keep
        });
    }

    /// Takes changes that wait for a batch, marks first, as many as one batch may carry.
    pub(super) fn take_pending(&mut self) -> Vec<Change> {
        if self.pending.len() <= MOST_CHANGES {
            return std::mem::take(&mut self.pending).into_iter().collect();
        }
        // `m` sorts before `s`.
        let rest = self.pending.keys().nth(MOST_CHANGES).cloned().unwrap_or_default();
        let rest = self.pending.split_off(&rest);
        std::mem::replace(&mut self.pending, rest).into_iter().collect()
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
        for number in 0..25_000 {
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
            assert!(changes.len() <= MOST_CHANGES);
            apply(&mut kept, changes);
            rounds += 1;
            assert!(Position::of(kept.clone()).time("through").is_some(), "marks go first");
        }
        assert_eq!(rounds, 3);
        position.forget(Timestamp(24_000_000_000));
        while kept.len() > 1_001 {
            let changes = position.take_pending();
            assert!(!changes.is_empty());
            apply(&mut kept, changes);
        }
        let again = Position::of(kept);
        assert_eq!((again.seen.len(), again.time("through")), (1_000, Some(Timestamp(7))));
        assert!(again.has_seen(id(24_000)) && !again.has_seen(id(23_999)));
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
