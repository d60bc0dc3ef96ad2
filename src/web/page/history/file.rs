//! The history's file: everything, in little-endian numbers, with a checksum at the end.
//!
//! Rates of sources keep eight binary digits, so that 64 sources stay within the bound. Nothing of a file that is cut, foreign,
//! damaged or of another version is used.

use std::collections::BTreeMap;

use super::book::{Book, SOURCES};
use super::series::Span;
use super::track::{Bin, COLUMNS, Curve, Track};

/// What the file begins with; the last byte is the version.
const MAGIC: [u8; 8] = *b"SE-HIST\x01";

/// No file is longer: 28 KiB for the box, 2.1 KiB for each source.
pub(super) const MAX_BYTES: usize = 200 * 1_024;

/// The longest id of a source, which is what the settings allow (`config`).
pub(super) const MAX_ID: usize = 64;

/// The file's bytes.
pub(super) fn write(book: &Book) -> Vec<u8> {
    let mut to = MAGIC.to_vec();
    for track in &book.tracks {
        to.extend(track.newest.to_le_bytes());
        let numbers = numbers(&track.bin);
        numbers.iter().for_each(|number| to.extend(number.to_le_bytes()));
        let cells = track.columns.iter().flatten();
        cells.for_each(|cell| to.extend(cell.to_le_bytes()));
    }
    to.extend((book.last_events.len() as u64).to_le_bytes());
    for (id, last) in &book.last_events {
        to.extend((id.len() as u64).to_le_bytes());
        to.extend(id.as_bytes());
        to.extend(last.to_le_bytes());
        for track in &book.tracks {
            let none = Curve::new(track.span);
            let curve = track.sources.get(id).unwrap_or(&none);
            to.extend(curve.sum.to_le_bytes());
            let upper = |cell: &f32| (cell.to_bits() >> 16) as u16;
            curve.cells.iter().for_each(|cell| to.extend(upper(cell).to_le_bytes()));
        }
    }
    to.extend(sum(&to).to_le_bytes());
    to
}

/// What [`write`] wrote; none where it is anything else.
pub(super) fn read(bytes: &[u8]) -> Option<Book> {
    let (body, check) = bytes.split_last_chunk::<8>()?;
    if sum(body) != u64::from_le_bytes(*check) {
        return None;
    }
    let mut from = Bytes(body.strip_prefix(&MAGIC)?);
    let mut tracks = [track(&mut from, Span::Hour)?, track(&mut from, Span::Day)?, track(&mut from, Span::Month)?];
    let mut last_events = BTreeMap::new();
    let count = from.whole()?;
    for _ in 0..usize::try_from(count).ok().filter(|count| *count <= SOURCES)? {
        let length = usize::try_from(from.whole()?).ok().filter(|length| *length <= MAX_ID)?;
        let id = std::str::from_utf8(from.take(length)?).ok()?;
        last_events.insert(id.to_owned(), from.whole()?);
        for track in &mut tracks {
            let sum = from.number()?;
            let cell = |two: &[u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(*two)) << 16);
            let (cells, _) = from.take(2 * track.span.points())?.as_chunks::<2>();
            track.sources.insert(id.to_owned(), Curve { sum, cells: cells.iter().map(cell).collect() });
        }
    }
    from.0.is_empty().then(|| Book::from_file(tracks, last_events))
}

fn track(from: &mut Bytes<'_>, span: Span) -> Option<Track> {
    let mut track = Track::new(span);
    // A place beyond the clock's own range would overflow sums later on.
    track.newest = from.whole().filter(|place| *place <= u64::MAX / 2 / span.step_seconds())?;
    track.bin = Bin {
        seconds: from.number()?,
        received: from.number()?,
        delivered: from.number()?,
        delivered_bytes: from.number()?,
        sent_bytes: from.number()?,
        dropped: from.number()?,
        queued: from.number()?,
        oldest_seconds: from.number()?,
        queued_bytes: from.number()?,
    };
    for column in &mut track.columns {
        let (cells, _) = from.take(4 * span.points())?.as_chunks::<4>();
        *column = cells.iter().map(|four| f32::from_le_bytes(*four)).collect();
    }
    (track.columns.len() == COLUMNS).then_some(track)
}

/// In the order in which they are read.
fn numbers(bin: &Bin) -> [f64; 9] {
    [
        bin.seconds,
        bin.received,
        bin.delivered,
        bin.delivered_bytes,
        bin.sent_bytes,
        bin.dropped,
        bin.queued,
        bin.oldest_seconds,
        bin.queued_bytes,
    ]
}

/// What is still to be read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn eight(&mut self) -> Option<[u8; 8]> {
        self.take(8)?.first_chunk::<8>().copied()
    }

    fn whole(&mut self) -> Option<u64> {
        self.eight().map(u64::from_le_bytes)
    }

    fn number(&mut self) -> Option<f64> {
        self.eight().map(f64::from_le_bytes).filter(|number| number.is_finite())
    }
}

/// FNV-1a (draft-eastlake-fnv, section 5, 64 bits): tells what is whole from what is not, and is no defence.
pub(in crate::web::page) fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_sum_is_fnv_1a() {
        // The published test vectors.
        assert_eq!((super::sum(b""), super::sum(b"a")), (0xcbf2_9ce4_8422_2325, 0xaf63_dc4c_8601_ec8c));
    }
}
