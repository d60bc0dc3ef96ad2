//! What is known of files: those that are here, those that were read within the last days, and how far.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use super::file::Key;
use crate::clock::Timestamp;

/// How long a complete repeat is recognised.
const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Files that are remembered at most: 64 bytes each; the oldest are forgotten first.
const MOST: usize = 200_000;
/// Files that are forgotten with one batch.
const FORGET: usize = 1_000;

/// The first byte of a key of the checkpoint.
const DONE: u8 = b'd';
const PLACE: u8 = b'p';

/// Changes of the checkpoint, on their way with a batch.
pub(super) type Changes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

#[derive(Debug, Default)]
pub(super) struct Book {
    staged: HashSet<Key>,
    done: HashMap<Key, Timestamp>,
    by_time: BTreeMap<(Timestamp, Key), ()>,
    /// Offsets after the last event that is in the queue.
    places: HashMap<Key, u64>,
}

impl Book {
    /// Reads what the queue's checkpoint holds.
    pub(super) fn new(stored: BTreeMap<Vec<u8>, Vec<u8>>) -> Self {
        let mut book = Self::default();
        for (key, value) in stored {
            let Some((tag, Ok(key))) = key.split_first().map(|(tag, key)| (*tag, Key::try_from(key))) else { continue };
            let Ok(value) = value.try_into().map(u64::from_be_bytes) else { continue };
            match tag {
                DONE => book.remember(key, Timestamp(value)),
                PLACE => drop(book.places.insert(key, value)),
                _ => {}
            }
        }
        book
    }

    pub(super) fn is_known(&self, key: &Key) -> bool {
        self.staged.contains(key) || self.done.contains_key(key)
    }

    pub(super) fn is_done(&self, key: &Key) -> bool {
        self.done.contains_key(key)
    }

    pub(super) fn stage(&mut self, key: Key) {
        self.staged.insert(key);
    }

    pub(super) fn unstage(&mut self, key: &Key) {
        self.staged.remove(key);
    }

    /// Where to go on in a file.
    pub(super) fn place(&self, key: &Key) -> u64 {
        self.places.get(key).copied().unwrap_or(0)
    }

    /// A batch goes out whose events reach this far.
    pub(super) fn reach(&mut self, key: Key, offset: u64, changes: &mut Changes) {
        self.places.insert(key, offset);
        changes.push((tagged(PLACE, &key), Some(offset.to_be_bytes().to_vec())));
    }

    /// A batch goes out with a file's last event, at `now`.
    pub(super) fn finish(&mut self, key: Key, now: Timestamp, changes: &mut Changes) {
        if self.places.remove(&key).is_some() {
            changes.push((tagged(PLACE, &key), None));
        }
        changes.push((tagged(DONE, &key), Some(now.0.to_be_bytes().to_vec())));
        self.remember(key, now);
        self.unstage(&key);
        for _ in 0..FORGET {
            let Some(((time, oldest), ())) = self.by_time.first_key_value() else { break };
            let (time, oldest) = (*time, *oldest);
            if oldest == key || (now.since(time) < REMEMBERED && self.done.len() <= MOST) {
                break;
            }
            self.by_time.pop_first();
            self.done.remove(&oldest);
            changes.push((tagged(DONE, &oldest), None));
        }
    }

    fn remember(&mut self, key: Key, at: Timestamp) {
        if let Some(before) = self.done.insert(key, at) {
            self.by_time.remove(&(before, key));
        }
        self.by_time.insert((at, key), ());
    }
}

fn tagged(tag: u8, key: &Key) -> Vec<u8> {
    let mut tagged = vec![tag];
    tagged.extend_from_slice(key);
    tagged
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The checkpoint as the queue keeps it.
    fn apply(stored: &mut BTreeMap<Vec<u8>, Vec<u8>>, changes: Changes) {
        for (key, value) in changes {
            match value {
                Some(value) => drop(stored.insert(key, value)),
                None => drop(stored.remove(&key)),
            }
        }
    }

    #[test]
    fn what_was_read_is_known_for_seven_days_also_after_a_restart() {
        let (mut book, mut stored) = (Book::default(), BTreeMap::new());
        let day = |day: u64| Timestamp(day * 86_400_000_000);
        let mut changes = Changes::new();
        book.stage([1; 16]);
        assert!(book.is_known(&[1; 16]) && !book.is_done(&[1; 16]));
        book.reach([1; 16], 77, &mut changes);
        apply(&mut stored, std::mem::take(&mut changes));
        assert_eq!(Book::new(stored.clone()).place(&[1; 16]), 77);
        book.finish([1; 16], day(1), &mut changes);
        apply(&mut stored, std::mem::take(&mut changes));
        let mut book = Book::new(stored.clone());
        assert!(book.is_done(&[1; 16]));
        assert_eq!(book.place(&[1; 16]), 0);
        book.finish([2; 16], day(7), &mut changes);
        assert!(book.is_done(&[1; 16]));
        book.finish([3; 16], day(8), &mut changes);
        apply(&mut stored, changes);
        assert!(!book.is_known(&[1; 16]) && book.is_done(&[2; 16]));
        assert_eq!(stored.len(), 2);
    }
}
