//! How far a partition was read, and whether an event lies beyond it. Pure.
//!
//! An event that stands before the last one and yet happened after everything that was had cannot have been had: then the vendor
//! counts anew, and it is taken, under ids of a new era. Gaps in the numbers are usual (filters, other tenants): a hole is told only
//! where a stream begins later than was asked for, after a stop that is longer than the vendor keeps events.

use crate::clock::Timestamp;
use crate::source::pull::{Hole, Position};

/// Marks of its checkpoint: numbers of eight bytes.
const OFFSET: &str = "offset";
const CREATED: &str = "created";
const ERA: &str = "era";

/// How far a partition was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The last offset.
    pub(super) offset: u64,
    /// The newest time of all events that were had, in milliseconds since 1970.
    pub(super) created: u64,
    /// How often the vendor began to count anew.
    pub(super) era: u64,
}

/// What an event's offset means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The event was had.
    Had,
    /// It is new.
    On,
    /// It is new, and some before it are lost.
    Hole(Hole),
}

impl Place {
    /// What a checkpoint says.
    pub(super) fn of(position: &Position) -> Option<Self> {
        let number = |name| Some(u64::from_be_bytes(position.mark(name)?.try_into().ok()?));
        let (created, era) = (number(CREATED).unwrap_or(0), number(ERA).unwrap_or(0));
        Some(Self { offset: number(OFFSET)?, created, era })
    }

    /// The marks of its checkpoint.
    pub(super) fn marks(self) -> impl Iterator<Item = (String, Option<Vec<u8>>)> {
        let all = [(OFFSET, self.offset), (CREATED, self.created), (ERA, self.era)];
        all.into_iter().map(|(name, value)| (name.to_owned(), Some(value.to_be_bytes().to_vec())))
    }

    /// Moves on to an event, unless it was had. `asked` is the offset that a stream was asked for, at its first event; what is older
    /// than `kept` the vendor may have let go.
    pub(super) fn step(
        place: &mut Option<Self>,
        offset: u64,
        created: u64,
        asked: Option<u64>,
        kept: Timestamp,
    ) -> Step {
        let Some(place) = place else {
            *place = Some(Self { offset, created, era: 0 });
            return Step::On;
        };
        let (from, to) = (millis(place.created), millis(created.max(place.created)));
        let what = if offset <= place.offset {
            if created <= place.created {
                return Step::Had;
            }
            place.era += 1;
            Some(format!("Falcon counts anew, from {offset} after {}: some may be missing", place.offset))
        } else {
            let asked = asked.filter(|asked| offset > *asked && from < kept);
            let why = "the box did not read for longer than Falcon keeps events";
            asked.map(|asked| format!("{why}: the stream begins at offset {offset}, not {asked}"))
        };
        (place.offset, place.created) = (offset, created.max(place.created));
        what.map_or(Step::On, |what| Step::Hole(Hole { what, from, to }))
    }
}

/// Milliseconds since 1970.
pub(super) fn millis(milliseconds: u64) -> Timestamp {
    Timestamp(milliseconds.saturating_mul(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_had_is_known_and_what_is_lost_is_told() {
        let mut place = None;
        let kept = millis(1_000);
        let mut step = |offset, created, asked| Place::step(&mut place, offset, created, asked, kept);
        assert_eq!(step(7, 500, None), Step::On);
        assert_eq!((step(7, 500, Some(8)), step(3, 400, None)), (Step::Had, Step::Had));
        // A gap in the numbers of a stream that goes on, and of one that begins soon enough.
        assert_eq!(step(20, 600, None), Step::On);
        let lost = step(90, 2_000, Some(21));
        let Step::Hole(hole) = lost else { panic!("{lost:?}") };
        assert!(hole.what.contains("offset 90, not 21") && (hole.from, hole.to) == (millis(600), millis(2_000)));
        assert_eq!(step(120, 2_100, Some(91)), Step::On);
        // Late by its time, not by its place.
        assert_eq!(step(121, 1_900, None), Step::On);
        assert_eq!(step(121, 2_100, None), Step::Had);
        let anew = step(5, 2_101, None);
        assert!(matches!(&anew, Step::Hole(hole) if hole.what.contains("from 5 after 121")), "{anew:?}");
        assert_eq!((step(5, 2_101, None), step(6, 2_101, None)), (Step::Had, Step::On));
        assert_eq!(place, Some(Place { offset: 6, created: 2_101, era: 1 }));
    }
}
