//! A pass: lists what is there, and gives what is not yet done.
//!
//! Facts: names come in the order of their bytes, at most 1,000 a page (AWS, "ListObjectsV2"). Within a minute the random
//! suffix of a name decides its order, and uploads that are late carry an old minute, so "after the last name" would miss them.
//!
//! Every pass looks back `look_back`, by the day in the name; once a day one looks at everything. Done are the objects whose id
//! (name, tag, size) is remembered. Before `floor`, by the time of writing, everything is done: at first that is the backfill's
//! beginning; after each full pass it moves up to the retention before that pass began, because all that was written before was
//! seen by then, whatever its name. An id is therefore forgotten only once its object can no longer be listed as new.
//!
//! The ids of 30 days fit up to 13,000 objects a day and folder (400,000 in all); Cisco writes some hundreds. Beyond it the
//! floor moves up further, day by day, so that nothing comes twice.

use std::collections::BTreeMap;

use super::settings::Reach;
use crate::clock::Timestamp;
use crate::source::pull::{Position, RecordId, before};
use crate::source::s3::{Listed, Written};

/// Before it, everything is done.
pub(super) const FLOOR: &str = "floor";
/// When the last full pass began.
const SWEPT: &str = "swept";
/// Most ids that are kept over a full pass: three quarters of what a position remembers.
const MOST_KEPT: usize = 300_000;
const DAY: u64 = 86_400_000_000;

/// Marks with their new values.
type Marks = Vec<(String, Option<Vec<u8>>)>;

/// An object that is not done.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) key: String,
    /// Without quotes.
    pub(super) tag: String,
    pub(super) modified: Timestamp,
    /// Names it, with this content, for ever.
    pub(super) id: RecordId,
    /// How often it was found damaged.
    pub(super) tries: u32,
}

impl Item {
    fn new(bucket: &str, key: &str, tag: &str, size: u64, modified: Timestamp) -> Self {
        let tag = tag.trim_matches('"').to_owned();
        let parts = [b"umbrella object".as_slice(), bucket.as_bytes(), key.as_bytes(), tag.as_bytes()];
        let id = RecordId::of(&[parts[0], parts[1], parts[2], parts[3], &size.to_be_bytes()]);
        Self { key: key.to_owned(), tag, modified, id, tries: 0 }
    }

    /// As it is listed; `None` for what stands for a folder.
    pub(super) fn listed(bucket: &str, listed: &Listed, now: Timestamp) -> Option<Self> {
        let modified = Timestamp::said(&listed.last_modified).unwrap_or(now);
        let item = || Self::new(bucket, &listed.key, &listed.tag, listed.size, modified);
        (!listed.key.ends_with('/')).then(item)
    }

    /// As a notification tells of it.
    pub(super) fn written(written: &Written, now: Timestamp) -> Option<Self> {
        let modified = Timestamp::said(&written.time).unwrap_or(now);
        let item = || Self::new(&written.bucket, &written.key, &written.tag, written.size, modified);
        (!written.key.ends_with('/')).then(item)
    }

    /// The id of one of its rows.
    pub(super) fn row(&self, bucket: &str, number: u64) -> RecordId {
        let (bucket, key, tag) = (bucket.as_bytes(), self.key.as_bytes(), self.tag.as_bytes());
        RecordId::of(&[b"umbrella", bucket, key, tag, &number.to_be_bytes()])
    }
}

/// A pass that goes on.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) is_full: bool,
    /// By the vendor's clock.
    pub(super) began: Timestamp,
    /// The next page begins after this name.
    pub(super) after: Option<String>,
    /// There are no more pages.
    pub(super) is_listed: bool,
    floor: Timestamp,
    /// Where a pass that is not full would begin; `None` where there was no pass before, so that nothing is late.
    window: Option<String>,
    /// Objects that only a full pass finds.
    pub(super) late: u64,
    /// Objects by the day they were written on.
    days: BTreeMap<u64, usize>,
}

/// The floor, or where it is at a first start.
pub(super) fn floor(position: &Position, reach: &Reach, now: Timestamp) -> Timestamp {
    position.time(FLOOR).unwrap_or_else(|| before(now, reach.backfill))
}

impl Pass {
    /// Whether a full pass is due.
    pub(super) fn is_full_due(position: &Position, now: Timestamp) -> bool {
        position.time(SWEPT).is_none_or(|at| now.since(at).as_micros() >= u128::from(DAY))
    }

    /// Begins a pass of what is below `prefix`.
    pub(super) fn new(position: &Position, reach: &Reach, prefix: &str, now: Timestamp) -> Self {
        let is_full = Self::is_full_due(position, now);
        let day = before(now, reach.look_back).to_string();
        let window = format!("{prefix}{}", day.get(..10).unwrap_or_default());
        Self {
            is_full,
            began: now,
            after: (!is_full).then(|| window.clone()),
            is_listed: false,
            floor: floor(position, reach, now),
            window: position.time(SWEPT).map(|_| window),
            late: 0,
            days: BTreeMap::new(),
        }
    }

    /// Whether an object that was listed is still to be done.
    pub(super) fn wants(&mut self, item: &Item, position: &Position) -> bool {
        if item.modified < self.floor {
            return false;
        }
        *self.days.entry(item.modified.0 / DAY).or_default() += 1;
        let is_new = !position.has_seen(item.id);
        if is_new && self.window.as_ref().is_some_and(|window| item.key < *window) {
            self.late += 1;
        }
        is_new
    }

    /// The marks once everything of it is done, and before when nothing need be remembered.
    pub(super) fn done(&self, reach: &Reach) -> (Marks, Option<Timestamp>) {
        if !self.is_full {
            return (Vec::new(), None);
        }
        let mut floor = self.floor.max(before(self.began, reach.retention));
        let mut kept = 0;
        for (day, count) in self.days.iter().rev() {
            kept += count;
            if kept > MOST_KEPT {
                // The day of the pass itself stays: more may be written on it.
                floor = floor.max(Timestamp((day + 1) * DAY).min(Timestamp(self.began.0 / DAY * DAY)));
                break;
            }
        }
        let mark = |name: &str, time| (name.to_owned(), Position::time_value(time));
        (vec![mark(FLOOR, floor), mark(SWEPT, self.began)], Some(floor))
    }
}

/// The folder of an object below `root`: what stands before its day, or before its name where there is no day.
pub(super) fn folder<'a>(root: &str, key: &'a str) -> Option<&'a str> {
    let inside = key.strip_prefix(root)?;
    let is_day = |part: &str| {
        part.len() == 10
            && part.bytes().zip(b"0000-00-00").all(|(byte, like)| byte.is_ascii_digit() == like.is_ascii_digit())
    };
    let mut end = 0;
    for part in inside.split('/') {
        let is_last = end + part.len() == inside.len();
        if is_last || is_day(part) {
            break;
        }
        end += part.len() + 1;
    }
    inside.get(..end)?.strip_suffix('/').filter(|folder| !folder.is_empty())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const REACH: Reach = Reach {
        backfill: Duration::from_secs(7 * 86_400),
        retention: Duration::from_secs(30 * 86_400),
        look_back: Duration::from_secs(72 * 3_600),
    };

    /// A day of January 2026 and later.
    fn at(day: u64) -> Timestamp {
        Timestamp(1_767_225_600_000_000 + (day - 1) * DAY)
    }

    fn set(position: &mut Position, pass: &Pass) {
        for (name, value) in pass.done(&REACH).0 {
            position.set(name, value);
        }
    }

    #[test]
    fn the_first_pass_is_full_and_then_one_a_day() {
        let mut position = Position::default();
        let pass = Pass::new(&position, &REACH, "p/dnslogs/", at(20));
        assert!(pass.is_full && pass.after.is_none() && pass.window.is_none());
        set(&mut position, &pass);
        assert_eq!(floor(&position, &REACH, at(20)), at(13), "the backfill's beginning");
        let pass = Pass::new(&position, &REACH, "p/dnslogs/", Timestamp(at(20).0 + DAY / 2));
        assert!(!pass.is_full);
        assert_eq!(pass.after.as_deref(), Some("p/dnslogs/2026-01-17"));
        assert_eq!(pass.done(&REACH).1, None);
        let pass = Pass::new(&position, &REACH, "p/dnslogs/", at(21));
        assert!(pass.is_full);
        let pass = Pass::new(&position, &REACH, "p/dnslogs/", at(50));
        assert_eq!(pass.done(&REACH).1, Some(at(20)), "the retention before it");
    }

    #[test]
    fn what_was_written_late_is_wanted_and_counted() {
        let mut position = Position::default();
        let pass = Pass::new(&position, &REACH, "p/", at(20));
        set(&mut position, &pass);
        let mut pass = Pass::new(&position, &REACH, "p/", at(21));
        let item = |key: &str, modified| Item::new("b", key, "\"t\"", 1, modified);
        assert!(pass.wants(&item("p/2026-01-20/x", at(20)), &position));
        assert_eq!(pass.late, 0);
        assert!(pass.wants(&item("p/2026-01-02/x", at(20)), &position));
        assert_eq!(pass.late, 1);
        assert!(!pass.wants(&item("p/2026-01-02/y", at(2)), &position), "before the backfill");
        assert_ne!(item("k", at(1)).id, Item::new("b", "k", "u", 1, at(1)).id, "a new tag is a new object");
    }

    #[test]
    fn too_many_ids_move_the_floor() {
        let position = Position::default();
        let mut pass = Pass::new(&position, &REACH, "p/", at(20));
        pass.days = (14..=20).map(|day| (at(day).0 / DAY, 100_000)).collect();
        assert_eq!(pass.done(&REACH).1, Some(at(18)), "three days are kept");
        pass.days = [(at(20).0 / DAY, 1_000_000)].into();
        assert_eq!(pass.done(&REACH).1, Some(at(20)));
    }

    #[test]
    fn folders_of_names() {
        for (key, expected) in [
            ("p/dnslogs/2026-01-05/2026-01-05-10-00-a1b2.csv.gz", Some("dnslogs")),
            ("p/1234567/dnslogs/2026-01-05/x", Some("1234567/dnslogs")),
            ("p/dnslogs/odd.csv.gz", Some("dnslogs")),
            ("p/README_FROM_UMBRELLA.txt", None),
            ("q/dnslogs/x", None),
            ("p/2026-01-05/x", None),
        ] {
            assert_eq!(folder("p/", key), expected, "{key}");
        }
        assert_eq!(folder("", "dnslogs/2026-01-05/x"), Some("dnslogs"));
    }
}
