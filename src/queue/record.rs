//! The stored record: a header of 48 bytes, an extra part, a payload. The only file that names zstd.
//!
//! ```text
//!  0 magic "SER1"      16 first received, µs   32 bytes stored      extra:   source name (length byte, text),
//!  4 type              24 records              36 bytes of extra             then sections (tag, length, bytes)
//!  5 versions          28 bytes before         40 CRC of payload    payload: records of a batch, or JSON of a state
//!  6 event kind           compression          44 CRC of 0..44 and extra
//!  7 codec              8 batch number
//! ```
//!
//! Little-endian. The header's check covers the extra part, so a scan of headers alone knows batch, source and checkpoint
//! for certain; the payload has a check of its own. Each field is checked on reading.
//!
//! A box may go back to its old firmware with a queue that the new one has written. So a record names two versions: the one
//! that wrote it (high four bits) and the oldest that can read it (low four bits). A newer version adds sections and fields
//! of the state, which older ones pass over; if it has to change more, it raises the second, and the record is refused by
//! that number, never guessed at. This version is the first.

use bytes::Bytes;
use zstd::zstd_safe::CParameter;

use crate::clock::Timestamp;
use crate::event::{Batch, BatchNumber, Checkpoint, Kind, SourceId};

/// Bytes of a header.
pub(super) const HEADER: usize = 48;
/// What a record begins with; a scan finds its way back by it after damage.
pub(super) const MAGIC: [u8; 4] = *b"SER1";
const VERSION: u8 = 1;
/// As written: who wrote it, and who can read it.
#[cfg(not(feature = "next"))]
const VERSIONS: u8 = 0x11;
#[cfg(feature = "next")]
const VERSIONS: u8 = 0x21;
/// Whether this program can read what was written so.
pub(super) fn can_read(versions: u8) -> bool {
    (1..=VERSION).contains(&(versions & 0x0f))
}

/// The section of a checkpoint.
const CHECKPOINT: u8 = 1;
/// No payload is larger, before or after compression: a batch closes at 1 MiB or with one message past it, and the largest
/// message is a Lumberjack frame of at most 16 MiB by default.
const MAX_PAYLOAD: u32 = 128 << 20;
/// No extra part is larger: a checkpoint's changes are at most 1 MiB, a whole feed's at a segment's head some more.
const MAX_EXTRA: u32 = 64 << 20;

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// A batch, with the checkpoint it reaches.
    Batch = 1,
    /// Number reservation, positions and ledger totals, as JSON.
    State = 2,
    /// A change of a feed's checkpoint whose batch needed no write.
    Checkpoint = 3,
    /// All of a feed's checkpoint, at a segment's head.
    WholeCheckpoint = 4,
    /// The snapshot at a segment's head is complete.
    SnapshotEnd = 5,
}

impl Type {
    fn from_code(code: u8) -> Option<Self> {
        let all = [Self::Batch, Self::State, Self::Checkpoint, Self::WholeCheckpoint, Self::SnapshotEnd];
        all.into_iter().find(|kind| *kind as u8 == code)
    }
}

/// A checked header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Type,
    pub(super) event_kind: u8,
    pub(super) codec: u8,
    pub(super) number: BatchNumber,
    pub(super) first_received: Timestamp,
    pub(super) count: u32,
    pub(super) raw_length: u32,
    pub(super) stored_length: u32,
    pub(super) extra_length: u32,
    pub(super) payload_check: u32,
    pub(super) check: u32,
}

impl Header {
    /// Bytes of the whole record.
    pub(super) fn record_length(&self) -> u64 {
        HEADER as u64 + u64::from(self.extra_length) + u64::from(self.stored_length)
    }

    /// Reads the fixed part. Its check needs the extra part too: see [`Header::verify`].
    pub(super) fn read(bytes: &[u8; HEADER]) -> Option<Self> {
        let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        let long = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        let [m0, m1, m2, m3, kind, version, event_kind, codec, ..] = *bytes;
        let header = Self {
            kind: Type::from_code(kind)?,
            event_kind,
            codec,
            number: BatchNumber(long(8)?),
            first_received: Timestamp(long(16)?),
            count: word(24)?,
            raw_length: word(28)?,
            stored_length: word(32)?,
            extra_length: word(36)?,
            payload_check: word(40)?,
            check: word(44)?,
        };
        let sane =
            header.raw_length <= MAX_PAYLOAD && header.stored_length <= MAX_PAYLOAD && header.extra_length <= MAX_EXTRA;
        ([m0, m1, m2, m3] == MAGIC && can_read(version) && codec <= 1 && sane).then_some(header)
    }

    /// Whether header and extra part are what was written.
    pub(super) fn verify(&self, bytes: &[u8; HEADER], extra: &[u8]) -> bool {
        let fixed = bytes.get(..HEADER - 4).unwrap_or_default();
        extra.len() == self.extra_length as usize && check(&[fixed, extra]) == self.check
    }
}

/// Why a record cannot be used. Trying again does not help, unless the disk returned other bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RecordError {
    #[error("the payload's checksum does not match")]
    Checksum,
    #[error("the payload does not decompress to the length in its header")]
    Compression,
    #[error("the extra part does not decode")]
    Extra,
    #[error("unknown kind of event {0}; a newer version wrote this record")]
    Kind(u8),
    #[error(transparent)]
    Batch(#[from] crate::event::BatchError),
}

/// Turns batches and control data into records, with one compression context for all.
pub(super) struct Encoder {
    zstd: Option<zstd::bulk::Compressor<'static>>,
    scratch: Vec<u8>,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Encoder")
    }
}

impl Encoder {
    /// Level 1: 658 MB/s at a ratio of 5.7 on 256 KiB of mixed logs; level 3 took 1.6 times as long for no better ratio.
    pub(super) fn new() -> Self {
        let mut zstd = zstd::bulk::Compressor::new(1).ok();
        if let Some(zstd) = &mut zstd {
            // A table of 2^13 places (32 KiB) stays in a core's first cache; of 2^14, the default, it does not: 5 to 13 %
            // faster on 512 KiB of two kinds of logs, at ratios of 6.9 in place of 6.8 and 10.8 in both. Refused, it is slower.
            let _ = zstd.set_parameter(CParameter::HashLog(13));
        }
        Self { zstd, scratch: Vec::new() }
    }

    /// Appends a batch's record to `to`.
    pub(super) fn batch(&mut self, number: BatchNumber, batch: &Batch, to: &mut Vec<u8>) {
        let mut extra = name(batch.source());
        #[cfg(feature = "next")]
        section(2, b"what the next version adds", &mut extra);
        if let Some(checkpoint) = batch.checkpoint() {
            write_checkpoint(checkpoint, &mut extra);
        }
        let raw = batch.packed();
        let stored = self.compress(raw);
        let codec = u8::from(stored);
        let payload = if stored { self.scratch.as_slice() } else { raw };
        let header = Header {
            kind: Type::Batch,
            event_kind: batch.kind().code(),
            codec,
            number,
            first_received: batch.first_received(),
            count: batch.count(),
            raw_length: length(raw),
            stored_length: length(payload),
            extra_length: length(&extra),
            payload_check: check(&[payload]),
            check: 0,
        };
        write(&header, &extra, payload, to);
    }

    /// Appends a control record to `to`. A state's `number` is the length of its group, which lies right before it.
    pub(super) fn control(&mut self, kind: Type, number: u64, extra: &[u8], payload: &[u8], to: &mut Vec<u8>) {
        let stored = self.compress(payload);
        let codec = u8::from(stored);
        let stored = if stored { self.scratch.as_slice() } else { payload };
        let header = Header {
            kind,
            event_kind: 0,
            codec,
            number: BatchNumber(number),
            first_received: Timestamp(0),
            count: 0,
            raw_length: length(payload),
            stored_length: length(stored),
            extra_length: length(extra),
            payload_check: check(&[stored]),
            check: 0,
        };
        write(&header, extra, stored, to);
    }

    /// Compresses into the scratch buffer; false where that would not make it smaller.
    fn compress(&mut self, raw: &[u8]) -> bool {
        let Some(zstd) = self.zstd.as_mut().filter(|_| raw.len() > 64) else { return false };
        self.scratch.clear();
        self.scratch.reserve(zstd::zstd_safe::compress_bound(raw.len()));
        matches!(zstd.compress_to_buffer(raw, &mut self.scratch), Ok(size) if size < raw.len())
    }
}

fn write(header: &Header, extra: &[u8], payload: &[u8], to: &mut Vec<u8>) {
    let mut fixed = [0u8; HEADER];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        if let Some(place) = fixed.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        at += bytes.len();
    };
    put(&MAGIC);
    put(&[header.kind as u8, VERSIONS, header.event_kind, header.codec]);
    put(&header.number.0.to_le_bytes());
    put(&header.first_received.0.to_le_bytes());
    for word in [header.count, header.raw_length, header.stored_length, header.extra_length, header.payload_check] {
        put(&word.to_le_bytes());
    }
    let sum = check(&[fixed.get(..HEADER - 4).unwrap_or_default(), extra]);
    if let Some(place) = fixed.get_mut(HEADER - 4..) {
        place.copy_from_slice(&sum.to_le_bytes());
    }
    to.extend_from_slice(&fixed);
    to.extend_from_slice(extra);
    to.extend_from_slice(payload);
}

/// The payload as it was before compression.
pub(super) fn payload(header: &Header, stored: Vec<u8>) -> Result<Vec<u8>, RecordError> {
    if stored.len() != header.stored_length as usize || check(&[&stored]) != header.payload_check {
        return Err(RecordError::Checksum);
    }
    let raw = match header.codec {
        0 => stored,
        _ => zstd::bulk::decompress(&stored, header.raw_length as usize).map_err(|_| RecordError::Compression)?,
    };
    if raw.len() == header.raw_length as usize { Ok(raw) } else { Err(RecordError::Compression) }
}

/// The batch in a record.
pub(super) fn batch(header: &Header, extra: &[u8], stored: Vec<u8>) -> Result<Batch, RecordError> {
    let (source, _) = source(extra).ok_or(RecordError::Extra)?;
    let kind = Kind::from_code(header.event_kind).ok_or(RecordError::Kind(header.event_kind))?;
    Ok(Batch::from_packed(source, kind, header.count, Bytes::from(payload(header, stored)?))?)
}

/// The extra part that names a source.
pub(super) fn name(source: &SourceId) -> Vec<u8> {
    let text = source.as_str().as_bytes();
    let text = text.get(..text.len().min(255)).unwrap_or_default();
    let mut extra = vec![u8::try_from(text.len()).unwrap_or(0)];
    extra.extend_from_slice(text);
    extra
}

/// The source an extra part names, and what follows.
pub(super) fn source(extra: &[u8]) -> Option<(SourceId, &[u8])> {
    let (length, rest) = extra.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((SourceId::from(std::str::from_utf8(text).ok()?), rest))
}

/// Appends a section: tag, length, bytes.
fn section(tag: u8, bytes: &[u8], to: &mut Vec<u8>) {
    to.push(tag);
    to.extend_from_slice(&length(bytes).to_le_bytes());
    to.extend_from_slice(bytes);
}

/// The first section with this tag; others are passed over, as a newer version may have written them.
fn find_section(tag: u8, sections: &[u8]) -> Result<Option<&[u8]>, RecordError> {
    let mut rest = sections;
    while let Some((found, after)) = rest.split_first() {
        let (size, after) = after.split_first_chunk::<4>().ok_or(RecordError::Extra)?;
        let (bytes, after) = after.split_at_checked(u32::from_le_bytes(*size) as usize).ok_or(RecordError::Extra)?;
        if *found == tag {
            return Ok(Some(bytes));
        }
        rest = after;
    }
    Ok(None)
}

/// Appends a checkpoint: feed, number of changes, then key, a byte that says set or removed, and the value.
pub(super) fn write_checkpoint(checkpoint: &Checkpoint, to: &mut Vec<u8>) {
    let mut all = Vec::new();
    let mut text = |bytes: &[u8]| {
        all.extend_from_slice(&length(bytes).to_le_bytes());
        all.extend_from_slice(bytes);
    };
    text(checkpoint.feed.as_bytes());
    text(&length_of(checkpoint.changes.len()).to_le_bytes());
    for (key, value) in &checkpoint.changes {
        text(key);
        match value {
            Some(value) => {
                text(&[1]);
                text(value);
            }
            None => text(&[0]),
        }
    }
    section(CHECKPOINT, &all, to);
}

/// The checkpoint among the sections of an extra part, if there is one.
pub(super) fn read_checkpoint(sections: &[u8]) -> Result<Option<Checkpoint>, RecordError> {
    let Some(section) = find_section(CHECKPOINT, sections)? else { return Ok(None) };
    decode_checkpoint(section).map(Some).ok_or(RecordError::Extra)
}

/// Reads what [`write_checkpoint`] wrote; `None` if it is not exactly that.
fn decode_checkpoint(from: &[u8]) -> Option<Checkpoint> {
    let mut rest = from;
    let mut text = || -> Option<&[u8]> {
        let (size, after) = rest.split_first_chunk::<4>()?;
        let (bytes, after) = after.split_at_checked(u32::from_le_bytes(*size) as usize)?;
        rest = after;
        Some(bytes)
    };
    let feed = std::str::from_utf8(text()?).ok()?.to_owned();
    let count = u32::from_le_bytes(text()?.try_into().ok()?);
    let mut changes = Vec::new();
    for _ in 0..count {
        let key = text()?.to_vec();
        let value = match text()? {
            [1] => Some(text()?.to_vec()),
            [0] => None,
            _ => return None,
        };
        changes.push((key, value));
    }
    rest.is_empty().then_some(Checkpoint { feed, changes })
}

fn check(parts: &[&[u8]]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    parts.iter().for_each(|part| sum.update(part));
    sum.finalize()
}

fn length(bytes: &[u8]) -> u32 {
    length_of(bytes.len())
}

fn length_of(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::{BatchBuilder, BatchLimits, Origin, Record, Transport};

    fn some_batch(text: &[u8], checkpoint: bool) -> Batch {
        let mut builder = BatchBuilder::new("fw".into(), Kind::Syslog, BatchLimits::default());
        let origin = Origin::new(Transport::Udp, Some(([192, 0, 2, 7], 514).into()));
        for at in 0..3 {
            builder.push(&Record { received: Timestamp(at), origin: &origin, id: None, cut_from: None, bytes: text });
        }
        let batch = builder.seal().unwrap();
        let changes = vec![(b"k".to_vec(), Some(b"v".to_vec())), (b"gone".to_vec(), None)];
        if checkpoint { batch.with_checkpoint(Checkpoint { feed: "f".into(), changes }) } else { batch }
    }

    fn read_back(bytes: &[u8]) -> Option<(Header, Batch)> {
        let fixed = bytes.first_chunk::<HEADER>()?;
        let header = Header::read(fixed)?;
        let rest = bytes.get(HEADER..)?;
        let extra = rest.get(..header.extra_length as usize)?;
        if !header.verify(fixed, extra) {
            return None;
        }
        let stored = rest.get(extra.len()..extra.len() + header.stored_length as usize)?.to_vec();
        let batch = batch(&header, extra, stored).ok()?;
        let (_, checkpoint) = source(extra)?;
        let checkpoint = read_checkpoint(checkpoint).ok()?;
        let batch = checkpoint.into_iter().fold(batch, Batch::with_checkpoint);
        Some((header, batch))
    }

    /// A record with one more section and other versions.
    fn as_of(versions: u8, batch: &Batch) -> Vec<u8> {
        let mut bytes = Vec::new();
        Encoder::new().batch(BatchNumber(7), batch, &mut bytes);
        let mut header = Header::read(bytes.first_chunk().unwrap()).unwrap();
        let (extra, payload) = bytes[HEADER..].split_at(header.extra_length as usize);
        let mut longer = name(batch.source());
        section(200, b"nobody knows this one yet", &mut longer);
        longer.extend_from_slice(&extra[name(batch.source()).len()..]);
        section(201, b"", &mut longer);
        header.extra_length = length(&longer);
        let mut again = Vec::new();
        write(&header, &longer, payload, &mut again);
        again[5] = versions;
        let sum = check(&[&again[..HEADER - 4], &longer]);
        again[HEADER - 4..HEADER].copy_from_slice(&sum.to_le_bytes());
        again
    }

    #[test]
    fn a_newer_version_is_read_as_far_as_it_says_that_it_can_be() {
        for with in [false, true] {
            let batch = some_batch(b"text", with);
            assert_eq!(read_back(&as_of(0x21, &batch)).unwrap().1, batch, "a newer one that this one can read");
            assert_eq!(read_back(&as_of(0x11, &batch)).unwrap().1, batch);
            assert!(read_back(&as_of(0x22, &batch)).is_none(), "one that needs the newer reader");
            assert!(read_back(&as_of(0x10, &batch)).is_none(), "no version at all");
        }
    }

    proptest! {
        #[test]
        fn a_batch_comes_back(text in proptest::collection::vec(any::<u8>(), 0..3_000), with in any::<bool>(), number in any::<u64>()) {
            let batch = some_batch(&text, with);
            let mut bytes = Vec::new();
            Encoder::new().batch(BatchNumber(number), &batch, &mut bytes);
            let (header, again) = read_back(&bytes).unwrap();
            prop_assert_eq!(header.number, BatchNumber(number));
            prop_assert_eq!(header.record_length(), bytes.len() as u64);
            prop_assert_eq!(again, batch);
        }

        #[test]
        fn any_flipped_bit_is_noticed(bit in 0usize..100_000, with in any::<bool>()) {
            let batch = some_batch(b"<13>Mar  5 10:15:30 host app: text text text text text text text text", with);
            let mut bytes = Vec::new();
            Encoder::new().batch(BatchNumber(77), &batch, &mut bytes);
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(read_back(&bytes).is_none());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_back(&bytes);
            let _ = read_checkpoint(&bytes);
            let _ = source(&bytes);
        }
    }
}
