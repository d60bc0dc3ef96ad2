//! The batch: what moves. Records of one source and one kind, packed in one buffer, so that no event allocates.
//!
//! Stored form of a record, also on disk (inside the compressed payload): a flag byte, then the parts the flags name, in
//! the order of the constants below, then the length of the text and the text. Numbers are LEB128. An origin is written
//! only where it differs from the record before, a time as the difference to the record before.
//!
//! Decision: an offset table per batch would allow access by index; nothing needs it, and it would be one more thing that
//! can be wrong.

use std::sync::Arc;

use bytes::Bytes;

use super::{Checkpoint, Kind, Origin, SourceId};
use crate::clock::Timestamp;

/// The origin is new; it follows.
const NEW_ORIGIN: u8 = 1;
/// The time is this much later than the record before.
const LATER: u8 = 1 << 1;
/// The time is this much earlier than the record before (the clock was set back).
const EARLIER: u8 = 1 << 2;
/// The record brought an id of its own: length and text follow.
const OWN_ID: u8 = 1 << 3;
/// The text was cut at a limit; its length on the wire follows.
const CUT: u8 = 1 << 4;

/// One event as it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// When the last byte was taken, by our clock.
    pub received: Timestamp,
    /// Who handed it to us.
    pub origin: &'a Origin,
    /// The id it brought (1 to 512 bytes), if it can come twice; else it is named by its place in the batch.
    pub id: Option<&'a str>,
    /// Its length on the wire, where `bytes` holds only the first part.
    pub cut_from: Option<u64>,
    /// The bytes as they came, without transport framing.
    pub bytes: &'a [u8],
}

/// A sealed batch: never empty, immutable, cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    source: SourceId,
    kind: Kind,
    count: u32,
    first_received: Timestamp,
    packed: Bytes,
    checkpoint: Option<Arc<Checkpoint>>,
}

/// Why stored bytes are no batch. Trying again does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// A record's flags, lengths or origin do not fit the bytes.
    #[error("record {index} of the batch does not decode")]
    Malformed {
        /// Which record, from 0.
        index: u32,
    },
    /// There are more or fewer records than the header says.
    #[error("the batch holds {found} records where its header says {expected}")]
    Count {
        /// By the header.
        expected: u32,
        /// In the bytes.
        found: u32,
    },
}

impl Batch {
    /// Takes stored bytes back; every record is checked once here.
    ///
    /// # Errors
    /// When the bytes are no batch of `count` records.
    pub fn from_packed(source: SourceId, kind: Kind, count: u32, packed: Bytes) -> Result<Self, BatchError> {
        let mut batch = Self { source, kind, count, first_received: Timestamp::default(), packed, checkpoint: None };
        let mut records = batch.records();
        let mut first = None;
        while let Some(record) = records.next() {
            first = first.or(Some(record.received));
        }
        let (found, rest) = (records.index, records.rest.len());
        if rest > 0 {
            return Err(BatchError::Malformed { index: found });
        }
        if found != count || count == 0 {
            return Err(BatchError::Count { expected: count, found });
        }
        batch.first_received = first.unwrap_or_default();
        Ok(batch)
    }

    /// The source of all its records.
    #[must_use]
    pub fn source(&self) -> &SourceId {
        &self.source
    }

    /// What the bytes of its records are.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How many records it holds; at least 1.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The receive time of its first record.
    #[must_use]
    pub fn first_received(&self) -> Timestamp {
        self.first_received
    }

    /// The stored form of its records.
    #[must_use]
    pub fn packed(&self) -> &Bytes {
        &self.packed
    }

    /// The position of its source once it is settled.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Arc<Checkpoint>> {
        self.checkpoint.as_ref()
    }

    /// The same batch with the position it reaches.
    #[must_use]
    pub fn with_checkpoint(mut self, checkpoint: Checkpoint) -> Self {
        self.checkpoint = Some(Arc::new(checkpoint));
        self
    }

    /// Its records, in the order of arrival.
    #[must_use]
    pub fn records(&self) -> Records<'_> {
        Records { rest: &self.packed, index: 0, received: 0, origin: Origin::new(super::Transport::Internal, None) }
    }
}

/// Walks the records of a batch. Not an `Iterator`, because a record borrows the origin that the walk holds.
#[derive(Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    index: u32,
    received: u64,
    origin: Origin,
}

impl<'a> Records<'a> {
    /// The next record; `None` at the end, or where the bytes do not decode (which `Batch::from_packed` has ruled out).
    #[expect(clippy::should_implement_trait, reason = "a record borrows from the walk, which Iterator cannot say")]
    pub fn next(&mut self) -> Option<Record<'_>> {
        let parts = read(self.rest)?;
        self.rest = parts.rest;
        self.index += 1;
        self.received = match (parts.later, parts.earlier) {
            (Some(later), _) => self.received.saturating_add(later),
            (_, Some(earlier)) => self.received.saturating_sub(earlier),
            _ => self.received,
        };
        if let Some(origin) = parts.origin {
            self.origin = origin;
        }
        Some(Record {
            received: Timestamp(self.received),
            origin: &self.origin,
            id: parts.id,
            cut_from: parts.cut_from,
            bytes: parts.bytes,
        })
    }

    /// How many records have been taken.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.index
    }
}

struct Parts<'a> {
    origin: Option<Origin>,
    later: Option<u64>,
    earlier: Option<u64>,
    id: Option<&'a str>,
    cut_from: Option<u64>,
    bytes: &'a [u8],
    rest: &'a [u8],
}

fn read(from: &[u8]) -> Option<Parts<'_>> {
    let (flags, mut rest) = from.split_first()?;
    let has = |flag: u8| flags & flag != 0;
    let number = |wanted: bool, rest: &mut &[u8]| -> Option<Option<u64>> {
        if !wanted {
            return Some(None);
        }
        let (value, after) = read_number(rest)?;
        *rest = after;
        Some(Some(value))
    };
    let mut origin = None;
    if has(NEW_ORIGIN) {
        let (found, after) = Origin::read(rest)?;
        (origin, rest) = (Some(found), after);
    }
    let later = number(has(LATER), &mut rest)?;
    let earlier = number(has(EARLIER), &mut rest)?;
    let mut id = None;
    if has(OWN_ID) {
        let length = usize::try_from(number(true, &mut rest)??).ok()?;
        let (text, after) = rest.split_at_checked(length)?;
        (id, rest) = (Some(std::str::from_utf8(text).ok()?), after);
    }
    let cut_from = number(has(CUT), &mut rest)?;
    let length = usize::try_from(number(true, &mut rest)??).ok()?;
    let (bytes, rest) = rest.split_at_checked(length)?;
    Some(Parts { origin, later, earlier, id, cut_from, bytes, rest })
}

/// When a batch is closed.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    /// At this many packed bytes (the last record may pass it). 256 KiB to 1 MiB compresses best: zstd level 1 reached a
    /// ratio of 5.7 at 256 KiB and 5.9 at 1 MiB on a mix of firewall and mail logs.
    pub bytes: usize,
    /// At this many records.
    pub count: u32,
}

impl Default for BatchLimits {
    fn default() -> Self {
        // 512 KiB: within 2 % of the ratio of 1 MiB at half the memory for each open batch.
        Self { bytes: 512 << 10, count: 16_384 }
    }
}

/// Fills one batch after another for one source and kind. Pure: closing by age is its owner's business.
#[derive(Debug)]
pub struct BatchBuilder {
    source: SourceId,
    kind: Kind,
    limits: BatchLimits,
    packed: Vec<u8>,
    count: u32,
    first_received: Timestamp,
    last: u64,
    origin: Option<Origin>,
    largest: usize,
}

impl BatchBuilder {
    /// An empty builder.
    #[must_use]
    pub fn new(source: SourceId, kind: Kind, limits: BatchLimits) -> Self {
        Self {
            source,
            kind,
            limits,
            packed: Vec::new(),
            count: 0,
            first_received: Timestamp::default(),
            last: 0,
            origin: None,
            largest: 0,
        }
    }

    /// Appends a record. Returns true once a limit is met: the owner then takes the batch by [`BatchBuilder::seal`].
    pub fn push(&mut self, record: &Record<'_>) -> bool {
        if self.packed.capacity() == 0 {
            // The size of the last batch is the best guess for this one; an eighth more, because the record that fills a
            // batch passes its limit, and growing for that would copy all of it.
            let guess = self.largest.min(self.limits.bytes);
            self.packed.reserve(guess + (guess >> 3));
        }
        let flags_at = self.packed.len();
        let mut flags = 0;
        self.packed.push(0);
        if self.origin.as_ref() != Some(record.origin) {
            flags |= NEW_ORIGIN;
            record.origin.write(&mut self.packed);
            self.origin = Some(record.origin.clone());
        }
        let received = record.received.0;
        if received > self.last {
            flags |= LATER;
            write_number(&mut self.packed, received - self.last);
        } else if received < self.last {
            flags |= EARLIER;
            write_number(&mut self.packed, self.last - received);
        }
        self.last = received;
        if let Some(id) = record.id {
            flags |= OWN_ID;
            write_number(&mut self.packed, id.len() as u64);
            self.packed.extend_from_slice(id.as_bytes());
        }
        if let Some(length) = record.cut_from {
            flags |= CUT;
            write_number(&mut self.packed, length);
        }
        write_number(&mut self.packed, record.bytes.len() as u64);
        self.packed.extend_from_slice(record.bytes);
        if let Some(place) = self.packed.get_mut(flags_at) {
            *place = flags;
        }
        if self.count == 0 {
            self.first_received = record.received;
        }
        self.count += 1;
        self.packed.len() >= self.limits.bytes || self.count >= self.limits.count
    }

    /// How many records wait for the next seal.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// How many packed bytes wait for the next seal.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.packed.len()
    }

    /// Closes the batch and starts the next; `None` if there is nothing in it.
    pub fn seal(&mut self) -> Option<Batch> {
        if self.count == 0 {
            return None;
        }
        self.largest = self.packed.len();
        self.last = 0;
        self.origin = None;
        Some(Batch {
            source: self.source.clone(),
            kind: self.kind,
            count: std::mem::take(&mut self.count),
            first_received: self.first_received,
            packed: Bytes::from(std::mem::take(&mut self.packed)),
            checkpoint: None,
        })
    }
}

pub(super) fn write_number(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

pub(super) fn read_number(from: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (at, byte) in from.iter().enumerate().take(10) {
        let part = u64::from(byte & 0x7f);
        if at == 9 && part > 1 {
            return None;
        }
        value |= part << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, from.get(at + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Transport;
    use super::*;

    type Given = (u64, u16, Option<String>, Option<u64>, Vec<u8>);

    fn given() -> impl Strategy<Value = Vec<Given>> {
        let one = (
            any::<u64>(),
            0u16..4,
            proptest::option::of("[a-z]{1,20}"),
            proptest::option::of(any::<u64>()),
            proptest::collection::vec(any::<u8>(), 0..200),
        );
        proptest::collection::vec(one, 1..40)
    }

    fn build(given: &[Given]) -> Batch {
        let mut builder = BatchBuilder::new("fw".into(), Kind::Syslog, BatchLimits::default());
        for (at, port, id, cut_from, bytes) in given {
            let origin = Origin::new(Transport::Udp, Some(([192, 0, 2, 1], *port).into()));
            let record =
                Record { received: Timestamp(*at), origin: &origin, id: id.as_deref(), cut_from: *cut_from, bytes };
            assert!(!builder.push(&record));
        }
        builder.seal().unwrap()
    }

    proptest! {
        #[test]
        fn what_went_in_comes_out(given in given()) {
            let batch = build(&given);
            let again = Batch::from_packed("fw".into(), Kind::Syslog, batch.count(), batch.packed().clone()).unwrap();
            prop_assert_eq!(&again, &batch);
            let mut records = again.records();
            for (at, port, id, cut_from, bytes) in &given {
                let record = records.next().unwrap();
                prop_assert_eq!(record.received, Timestamp(*at));
                prop_assert_eq!(record.origin.peer.unwrap().port(), *port);
                prop_assert_eq!(record.id, id.as_deref());
                prop_assert_eq!(record.cut_from, *cut_from);
                prop_assert_eq!(record.bytes, &bytes[..]);
            }
            prop_assert!(records.next().is_none());
        }

        #[test]
        fn a_cut_or_changed_buffer_is_an_error_or_a_batch_but_never_a_panic(given in given(), cut in any::<u16>(), flip in any::<u16>()) {
            let batch = build(&given);
            let mut bytes = batch.packed().to_vec();
            let cut = usize::from(cut) % bytes.len();
            let short = Bytes::copy_from_slice(&bytes[..cut]);
            prop_assert!(Batch::from_packed("fw".into(), Kind::Syslog, batch.count(), short).is_err());
            let flip = usize::from(flip) % bytes.len();
            bytes[flip] ^= 0x55;
            let _ = Batch::from_packed("fw".into(), Kind::Syslog, batch.count(), bytes.into());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), count in 0u32..5) {
            let _ = Batch::from_packed("fw".into(), Kind::Syslog, count, bytes.into());
        }

        #[test]
        fn numbers_come_back(value in any::<u64>()) {
            let mut bytes = Vec::new();
            write_number(&mut bytes, value);
            prop_assert_eq!(read_number(&bytes), Some((value, &[][..])));
        }
    }

    #[test]
    fn a_builder_says_when_it_is_full_and_starts_afresh() {
        let limits = BatchLimits { bytes: 1_000, count: 3 };
        let mut builder = BatchBuilder::new("fw".into(), Kind::Syslog, limits);
        let origin = Origin::new(Transport::Tcp, None);
        let record = Record { received: Timestamp(5), origin: &origin, id: None, cut_from: None, bytes: b"x" };
        assert_eq!([builder.push(&record), builder.push(&record), builder.push(&record)], [false, false, true]);
        assert_eq!(builder.seal().map(|batch| batch.count()), Some(3));
        assert!(builder.seal().is_none());
        assert!(builder.push(&Record { bytes: &[0; 1_000], ..record }));
    }
}
