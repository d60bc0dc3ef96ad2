//! What is found by key: number → place of the batch, feed → newest checkpoint. The only file that names sled.
//!
//! A cache of the segments, never trusted over them: every place is checked against the record that lies there, and the
//! index is rebuilt whenever it does not open or disagrees. Measured with 64 KiB payloads as values, sled 0.34.7 hung and
//! corrupted itself on a full disk and wrote 3.7 bytes per byte; with 40-byte values it did neither, and its flush is no
//! fsync, which a cache does not need. Where sled cannot be opened at all (a disk that others filled) the index is kept in
//! memory. A flipped bit in its file is noticed by sled's checks or ends in a panic, which is caught; a value that is not
//! what was written is noticed by a check of ours; an entry that is not there is noticed by nobody. Positions and ledger are
//! small and come back with the newest segment's snapshot, so they are not kept here.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::event::SourceId;

/// Where a batch lies, and what is good to know without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) at: u64,
    pub(super) count: u32,
    pub(super) raw_length: u32,
    pub(super) first_received: u64,
    pub(super) source: SourceId,
}

/// How far the segments are contained in the index: everything before this place, whose last record had this check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) segment: u64,
    pub(super) end: u64,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Put(u64, Place),
    Remove(u64),
    /// Key of a checkpoint (see [`checkpoint_key`]) with its new value.
    Checkpoint(Vec<u8>, Option<Vec<u8>>),
}

/// Keys and values.
pub(super) type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// Why the index failed. It is rebuilt; nothing is lost.
#[derive(Debug, thiserror::Error)]
pub(super) enum IndexError {
    #[error("the queue's index failed: {0}")]
    Sled(#[from] sled::Error),
    /// Observed: one flipped bit in its file lets sled 0.34.7 panic while it opens.
    #[error("the queue's index ended in a panic")]
    Panicked,
    #[error("an entry of the queue's index fails its check")]
    Garbled,
}

/// Whether this error came from the index, not from the segments.
pub(super) fn is_to_blame(err: &io::Error) -> bool {
    err.get_ref().and_then(|inner| inner.downcast_ref::<IndexError>()).is_some()
}

/// The index.
pub(super) trait Index: fmt::Debug + Send + Sync {
    /// Makes all changes and moves the mark, in one step.
    fn apply(&self, changes: &[Change], mark: Mark) -> Result<(), IndexError>;
    /// The batch with the lowest number of at least `from`.
    fn next(&self, from: u64) -> Result<Option<(u64, Place)>, IndexError>;
    /// The batch with the highest number below `bound`.
    fn before(&self, bound: u64) -> Result<Option<(u64, Place)>, IndexError>;
    /// How far the segments are contained.
    fn mark(&self) -> Result<Option<Mark>, IndexError>;
    /// Every checkpoint key that begins with `prefix`, with its value.
    fn checkpoints(&self, prefix: &[u8]) -> Result<Entries, IndexError>;
    /// Forgets everything.
    fn clear(&self) -> Result<(), IndexError>;
    /// Hands what was applied to the operating system.
    fn flush(&self) -> Result<(), IndexError>;
}

/// The key of one checkpoint entry: source and feed, each ended by a zero byte (which names do not hold), then the key.
pub(super) fn checkpoint_key(source: &str, feed: &str, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(source.len() + feed.len() + key.len() + 2);
    full.extend_from_slice(source.as_bytes());
    full.push(0);
    full.extend_from_slice(feed.as_bytes());
    full.push(0);
    full.extend_from_slice(key);
    full
}

/// The folder of the index, beside the segments.
pub(super) const FOLDER: &str = "index";
/// Bytes of a stored place before the name of its source.
const FIXED: usize = 32;
const PLACE: u8 = b'b';
const CHECKPOINT: u8 = b'c';
const MARK: [u8; 1] = [b'm'];

/// The index in sled.
#[derive(Debug)]
pub(super) struct Sled(sled::Db);

impl Sled {
    /// Opens the index in a folder of its own.
    pub(super) fn open(folder: &Path) -> Result<Self, IndexError> {
        let config = sled::Config::new().path(folder);
        // 4 MiB of cache: a group touches one leaf; lookups are in order. No timed flush: the writer decides.
        let config = config.cache_capacity(4 << 20).segment_size(512 << 10).flush_every_ms(None);
        guarded(|| Ok(Self(config.open()?)))
    }
}

#[cfg(test)]
impl Sled {
    /// Opens an index that this process has just dropped: sled lets go of its file a little later.
    pub(super) fn open_again(folder: &Path) -> Self {
        Self::wait_for(folder);
        Self::open(folder).unwrap()
    }

    /// Waits until nobody has the index open.
    pub(super) fn wait_for(folder: &Path) {
        let (file, begin) = (std::fs::File::open(folder.join("db")).unwrap(), crate::clock::monotonic());
        while file.try_lock().is_err() {
            assert!(begin.elapsed().as_secs() < 20, "the index stays open");
            std::thread::park_timeout(std::time::Duration::from_millis(1));
        }
    }

    /// Every key with its value as it is stored.
    pub(super) fn stored(&self) -> Entries {
        self.0.iter().map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap()).collect()
    }

    /// Puts other bytes in the place of a stored value.
    pub(super) fn falsify(&self, key: &[u8], stored: Vec<u8>) {
        self.0.insert(key, stored).unwrap();
    }
}

/// A panic inside sled is an error like any other: the index is only a cache.
fn guarded<T>(work: impl FnOnce() -> Result<T, IndexError>) -> Result<T, IndexError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(IndexError::Panicked))
}

/// A value with a check over itself and its key, so that nothing is believed that was not written so.
fn sealed(key: &[u8], mut value: Vec<u8>) -> Vec<u8> {
    value.extend_from_slice(&check(key, &value));
    value
}

fn unsealed<'a>(key: &[u8], stored: &'a [u8]) -> Result<&'a [u8], IndexError> {
    let (value, sum) = stored.split_last_chunk::<4>().ok_or(IndexError::Garbled)?;
    if check(key, value) == *sum { Ok(value) } else { Err(IndexError::Garbled) }
}

fn check(key: &[u8], value: &[u8]) -> [u8; 4] {
    let mut sum = crc32fast::Hasher::new();
    sum.update(key);
    sum.update(value);
    sum.finalize().to_le_bytes()
}

fn key(number: u64) -> [u8; 9] {
    let mut key = [PLACE; 9];
    if let Some(place) = key.get_mut(1..) {
        place.copy_from_slice(&number.to_be_bytes());
    }
    key
}

fn value(place: &Place) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FIXED + place.source.as_str().len());
    let parts =
        [place.segment, place.at, u64::from(place.count) << 32 | u64::from(place.raw_length), place.first_received];
    parts.iter().for_each(|part| bytes.extend_from_slice(&part.to_be_bytes()));
    bytes.extend_from_slice(place.source.as_str().as_bytes());
    bytes
}

fn place(value: &[u8]) -> Option<Place> {
    let (value, source) = value.split_at_checked(FIXED)?;
    let part = |at: usize| value.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes);
    let lengths = part(16)?;
    Some(Place {
        segment: part(0)?,
        at: part(8)?,
        count: u32::try_from(lengths >> 32).ok()?,
        raw_length: u32::try_from(lengths & u64::from(u32::MAX)).ok()?,
        first_received: part(24)?,
        source: SourceId::from(std::str::from_utf8(source).ok()?),
    })
}

/// The number and place of a stored entry.
fn found(key: &[u8], stored: &[u8]) -> Result<(u64, Place), IndexError> {
    let number = key.get(1..).and_then(|number| number.try_into().ok()).map(u64::from_be_bytes);
    number.zip(place(unsealed(key, stored)?)).ok_or(IndexError::Garbled)
}

fn prefixed(key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(key.len() + 1);
    full.push(CHECKPOINT);
    full.extend_from_slice(key);
    full
}

impl Index for Sled {
    fn apply(&self, changes: &[Change], mark: Mark) -> Result<(), IndexError> {
        let mut batch = sled::Batch::default();
        let mut put = |key: &[u8], value: Option<Vec<u8>>| match value {
            Some(value) => batch.insert(key, sealed(key, value)),
            None => batch.remove(key),
        };
        for change in changes {
            match change {
                Change::Put(number, place) => put(&key(*number), Some(value(place))),
                Change::Remove(number) => put(&key(*number), None),
                Change::Checkpoint(key, value) => put(&prefixed(key), value.clone()),
            }
        }
        put(&MARK, Some([mark.segment.to_be_bytes(), mark.end.to_be_bytes()].concat()));
        guarded(|| Ok(self.0.apply_batch(batch)?))
    }

    fn next(&self, from: u64) -> Result<Option<(u64, Place)>, IndexError> {
        guarded(|| {
            let Some(entry) = self.0.range(key(from)..=key(u64::MAX)).next() else { return Ok(None) };
            let (key, stored) = entry?;
            found(&key, &stored).map(Some)
        })
    }

    fn before(&self, bound: u64) -> Result<Option<(u64, Place)>, IndexError> {
        guarded(|| {
            let Some(entry) = self.0.range(key(0)..key(bound)).next_back() else { return Ok(None) };
            let (key, stored) = entry?;
            found(&key, &stored).map(Some)
        })
    }

    fn mark(&self) -> Result<Option<Mark>, IndexError> {
        guarded(|| {
            let Some(stored) = self.0.get(MARK)? else { return Ok(None) };
            let value = unsealed(&MARK, &stored)?;
            let part = |at: usize| value.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes);
            Ok(part(0).zip(part(8)).map(|(segment, end)| Mark { segment, end }))
        })
    }

    fn checkpoints(&self, prefix: &[u8]) -> Result<Entries, IndexError> {
        guarded(|| {
            let found = self.0.scan_prefix(prefixed(prefix)).map(|entry| {
                let (key, stored) = entry?;
                Ok((key.get(1..).unwrap_or_default().to_vec(), unsealed(&key, &stored)?.to_vec()))
            });
            found.collect()
        })
    }

    fn clear(&self) -> Result<(), IndexError> {
        guarded(|| Ok(self.0.clear()?))
    }

    fn flush(&self) -> Result<(), IndexError> {
        guarded(|| {
            self.0.flush()?;
            Ok(())
        })
    }
}

/// The index in memory: where sled cannot be opened.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<Kept>);

#[derive(Clone, Debug, Default)]
struct Kept {
    places: BTreeMap<u64, Place>,
    checkpoints: BTreeMap<Vec<u8>, Vec<u8>>,
    mark: Option<Mark>,
}

impl Memory {
    /// The same entries once more: an index as it was at some moment.
    #[cfg(test)]
    pub(super) fn copy(&self) -> Self {
        Self(Mutex::new(self.entries().clone()))
    }

    fn entries(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index for Memory {
    fn apply(&self, changes: &[Change], mark: Mark) -> Result<(), IndexError> {
        let mut entries = self.entries();
        for change in changes.iter().cloned() {
            match change {
                Change::Put(number, place) => drop(entries.places.insert(number, place)),
                Change::Remove(number) => drop(entries.places.remove(&number)),
                Change::Checkpoint(key, Some(value)) => drop(entries.checkpoints.insert(key, value)),
                Change::Checkpoint(key, None) => drop(entries.checkpoints.remove(&key)),
            }
        }
        entries.mark = Some(mark);
        Ok(())
    }

    fn next(&self, from: u64) -> Result<Option<(u64, Place)>, IndexError> {
        Ok(self.entries().places.range(from..).next().map(|(number, place)| (*number, place.clone())))
    }

    fn before(&self, bound: u64) -> Result<Option<(u64, Place)>, IndexError> {
        Ok(self.entries().places.range(..bound).next_back().map(|(number, place)| (*number, place.clone())))
    }

    fn mark(&self) -> Result<Option<Mark>, IndexError> {
        Ok(self.entries().mark)
    }

    fn checkpoints(&self, prefix: &[u8]) -> Result<Entries, IndexError> {
        let entries = self.entries();
        let found = entries.checkpoints.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
        Ok(found.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn clear(&self) -> Result<(), IndexError> {
        *self.entries() = Kept::default();
        Ok(())
    }

    fn flush(&self) -> Result<(), IndexError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn sled_and_memory_answer_alike(steps in proptest::collection::vec((0u8..4, 0u64..40), 1..60)) {
            let folder = tempfile::tempdir().unwrap();
            let (sled, memory) = (Sled::open(folder.path()).unwrap(), Memory::default());
            for (at, (what, number)) in steps.into_iter().enumerate() {
                let source = "fw".into();
                let place = Place { segment: number / 8, at: at as u64, count: 3, raw_length: u32::MAX, first_received: 9, source };
                let key = checkpoint_key("s", "f", &[u8::try_from(number).unwrap()]);
                let change = match what {
                    0 => Change::Remove(number),
                    1 => Change::Checkpoint(key, None),
                    2 => Change::Checkpoint(key, Some(vec![7])),
                    _ => Change::Put(number, place),
                };
                let mark = Mark { segment: 1, end: at as u64 };
                for index in [&sled as &dyn Index, &memory] {
                    index.apply(std::slice::from_ref(&change), mark).unwrap();
                    prop_assert_eq!(index.mark().unwrap(), Some(mark));
                }
                for from in 0..41 {
                    prop_assert_eq!(sled.next(from).unwrap(), memory.next(from).unwrap());
                    prop_assert_eq!(sled.before(from).unwrap(), memory.before(from).unwrap());
                }
                let prefix = checkpoint_key("s", "f", b"");
                prop_assert_eq!(sled.checkpoints(&prefix).unwrap(), memory.checkpoints(&prefix).unwrap());
            }
        }
    }
}
