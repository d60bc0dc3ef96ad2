//! A page while it is filled from objects, and what is remembered of an object: that it is done, or how many of its rows are in
//! the queue.
//!
//! An object is done when its last row is in the same write as its id; one that is half read goes on behind the last row that
//! is in the queue.

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::source::pull::{Page, Position, Pulled, RecordId};

/// Bytes of records in a page: what fills a batch.
const FULL_PAGE: usize = 384 << 10;
/// Records in a page, below what a batch holds.
const MOST_RECORDS: usize = 10_000;
/// Marks of objects that are half read begin so; the value is the number of rows that are in the queue, and a time.
const PART: &str = "part/";

/// How far a page is.
#[derive(Debug, Default)]
pub(in crate::source) struct Filling {
    pub(in crate::source) page: Page,
    bytes: usize,
}

impl Filling {
    pub(in crate::source) fn is_full(&self) -> bool {
        self.bytes >= FULL_PAGE || self.page.records.len() >= MOST_RECORDS
    }

    /// Whether nothing in it has to go to the queue.
    pub(in crate::source) fn is_empty(&self) -> bool {
        self.page.records.is_empty() && self.page.seen.is_empty() && self.page.holes.is_empty()
    }

    /// Adds a record; with its length, where these bytes are only its beginning.
    pub(in crate::source) fn push(&mut self, id: RecordId, bytes: Bytes, cut_from: Option<u64>) {
        self.bytes += bytes.len();
        self.page.cut.extend(cut_from.map(|length| (id, length)));
        self.page.records.push(Pulled { id, remember: None, bytes });
    }

    /// Remembers how many rows of an object were read.
    pub(in crate::source) fn reached(&mut self, object: RecordId, rows: u64, at: Timestamp) {
        let value = [rows.to_be_bytes(), at.micros().to_be_bytes()].concat();
        self.page.marks.push((part(object), Some(value)));
    }

    /// Remembers by this time that an object is done.
    pub(in crate::source) fn done(&mut self, object: RecordId, time: Timestamp, position: &Position) {
        let part = part(object);
        if position.mark(&part).is_some() || self.page.marks.iter().any(|(name, _)| *name == part) {
            self.page.marks.push((part, None));
        }
        self.page.seen.push((object, time));
    }

    /// How many rows of an object are in the queue, or on their way there in this page.
    pub(in crate::source) fn rows(&self, object: RecordId, position: &Position) -> u64 {
        let part = part(object);
        let here = self.page.marks.iter().rev().find(|(name, _)| *name == part);
        here.map_or_else(|| position.mark(&part), |(_, value)| value.as_deref()).and_then(first).unwrap_or(0)
    }

    /// Whether an object is done.
    pub(in crate::source) fn is_done(&self, object: RecordId, position: &Position) -> bool {
        position.has_seen(object) || self.page.seen.iter().any(|(seen, _)| *seen == object)
    }
}

/// The marks of objects that are half read, with the time that was given.
pub(in crate::source) fn parts(position: &Position) -> impl Iterator<Item = (&str, Timestamp)> {
    position.marks(PART).map(|(name, value)| (name, Timestamp(value.get(8..).and_then(first).unwrap_or_default())))
}

fn first(value: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(*value.first_chunk()?))
}

fn part(object: RecordId) -> String {
    format!("{PART}{object}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp(7_000_000);

    /// What the loop does with a page's marks and ids.
    fn hand_over(filling: Filling, position: &mut Position) {
        for (name, value) in filling.page.marks {
            position.set(name, value);
        }
    }

    #[test]
    fn a_half_read_object_goes_on_behind_what_was_taken_in_this_page_too() {
        let (mut position, object) = (Position::default(), RecordId::of(&[b"x"]));
        let mut filling = Filling::default();
        assert_eq!(filling.rows(object, &position), 0);
        filling.reached(object, 5, AT);
        filling.reached(object, 9, AT);
        assert_eq!(filling.rows(object, &position), 9);
        assert!(filling.is_empty(), "marks can wait");
        hand_over(filling, &mut position);
        let mut filling = Filling::default();
        assert_eq!(filling.rows(object, &position), 9);
        assert_eq!(parts(&position).map(|(_, at)| at).collect::<Vec<_>>(), [AT]);
        filling.done(object, AT, &position);
        assert!(filling.is_done(object, &position) && !filling.is_empty());
        assert_eq!(filling.rows(object, &position), 0);
        hand_over(filling, &mut position);
        assert_eq!(parts(&position).count(), 0);
    }

    #[test]
    fn a_part_of_an_older_form_has_no_time() {
        let (mut position, object) = (Position::default(), RecordId::of(&[b"x"]));
        position.set(part(object), Some(5_u64.to_be_bytes().to_vec()));
        assert_eq!(Filling::default().rows(object, &position), 5);
        assert_eq!(parts(&position).map(|(_, at)| at).collect::<Vec<_>>(), [Timestamp(0)]);
    }

    #[test]
    fn a_page_is_full_by_bytes_and_by_records() {
        let id = RecordId::of(&[b"x"]);
        let mut filling = Filling::default();
        filling.push(id, Bytes::from(vec![0; FULL_PAGE]), Some(1 << 20));
        assert!(filling.is_full() && filling.page.cut[&id] == 1 << 20);
        let mut filling = Filling::default();
        (0..MOST_RECORDS).for_each(|_| filling.push(id, Bytes::new(), None));
        assert!(filling.is_full() && filling.page.cut.is_empty());
    }
}
