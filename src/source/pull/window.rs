//! Windows of time without gaps, one after the other, that look back as far as something may have come late.
//!
//! Two marks: everything before `through` was asked for, and everything before `sure` was asked for when it was older than
//! the overlap, so that nothing late can come there any more. A window begins at `sure`: while old time is caught up with that
//! is where the last one ended, at the present it is the overlap before it, and after a long stop it is the overlap before the
//! stop.

use std::time::Duration;

use super::{Hole, Position};
use crate::clock::Timestamp;

/// The mark that says up to where everything was had.
pub(in crate::source) const THROUGH: &str = "through";
/// The mark that says up to where nothing late can come any more.
const SURE: &str = "sure";
/// The mark of the last look back.
const SWEPT: &str = "swept";
/// What was seen is remembered a little longer than it can come again.
const SLACK: Duration = Duration::from_secs(3_600);

/// How a feed's time is cut.
#[derive(Clone, Debug)]
pub(in crate::source) struct Plan {
    /// How far back a first start goes.
    pub(in crate::source) backfill: Duration,
    /// How far back the vendor lets us ask at all.
    pub(in crate::source) retention: Duration,
    /// The longest window.
    pub(in crate::source) span: Duration,
    /// Something may be listed so late: it is asked for again until it is older...
    pub(in crate::source) overlap: Duration,
    /// ...and once a day this far back.
    pub(in crate::source) sweep: Duration,
    /// The longest window that the vendor takes, with what it looks back.
    pub(in crate::source) longest: Duration,
    /// What is younger than this may still be on its way.
    pub(in crate::source) settle: Duration,
}

/// A window: from the first moment, up to but without the second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::source) struct Window {
    /// Its first moment.
    pub(in crate::source) from: Timestamp,
    /// The moment after its last.
    pub(in crate::source) to: Timestamp,
    /// When it was opened, by the vendor's clock.
    pub(in crate::source) asked: Timestamp,
    /// Whether it reaches the present.
    pub(in crate::source) is_last: bool,
    /// It is the daily look back, or there was nothing before it.
    pub(in crate::source) is_sweep: bool,
    /// What lies too far back to be asked for.
    pub(in crate::source) hole: Option<Hole>,
}

/// The time so much earlier.
pub(in crate::source) fn before(time: Timestamp, by: Duration) -> Timestamp {
    Timestamp(time.0.saturating_sub(u64::try_from(by.as_micros()).unwrap_or(u64::MAX)))
}

fn after(time: Timestamp, by: Duration) -> Timestamp {
    Timestamp(time.0.saturating_add(u64::try_from(by.as_micros()).unwrap_or(u64::MAX)))
}

/// Whole seconds, which every vendor takes.
fn whole(time: Timestamp) -> Timestamp {
    Timestamp(time.0 - time.0 % 1_000_000)
}

impl Plan {
    /// The next window at `now` (the vendor's clock); `None` if there is nothing to ask for yet.
    pub(in crate::source) fn next(&self, position: &Position, now: Timestamp) -> Option<Window> {
        let (end, oldest) = (whole(before(now, self.settle)), whole(before(now, self.retention)));
        let through = position.time(THROUGH);
        let mut hole = None;
        let start = match through {
            None => whole(before(now, self.backfill.min(self.retention))),
            Some(through) if through < oldest => {
                let what = "the box did not pull for longer than the vendor keeps records".to_owned();
                hole = Some(Hole { what, from: through, to: oldest });
                oldest
            }
            Some(through) => through,
        };
        let full = after(start, self.span);
        let is_last = full >= end;
        let to = full.min(end);
        let day = Duration::from_secs(86_400);
        let is_due = || position.time(SWEPT).is_none_or(|at| now.since(at) >= day);
        let is_sweep = through.is_some() && is_last && !self.sweep.is_zero() && is_due();
        let sure = position.time(SURE).unwrap_or(start);
        let back = if is_sweep { sure.min(before(start, self.sweep)) } else { sure };
        let from = back.max(before(to, self.longest)).max(oldest).min(start);
        let is_sweep = is_sweep || through.is_none();
        (from < to).then_some(Window { from, to, asked: now, is_last, is_sweep, hole })
    }

    /// The marks once everything of a window was had.
    pub(in crate::source) fn done(&self, window: &Window) -> Vec<(String, Option<Vec<u8>>)> {
        let mut set = vec![(THROUGH, window.to), (SURE, whole(window.to.min(before(window.asked, self.overlap))))];
        if window.is_sweep {
            set.push((SWEPT, window.asked));
        }
        set.into_iter().map(|(name, time)| (name.to_owned(), Position::time_value(time))).collect()
    }

    /// What was seen before this cannot come again after a window was had.
    pub(in crate::source) fn forget(&self, window: &Window) -> Timestamp {
        before(window.to, self.overlap.max(self.sweep) + SLACK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn plan() -> Plan {
        Plan {
            backfill: 10 * HOUR,
            retention: 168 * HOUR,
            span: HOUR,
            overlap: HOUR / 2,
            sweep: 3 * HOUR,
            longest: 24 * HOUR,
            settle: HOUR / 60,
        }
    }

    fn at(hours: f64) -> Timestamp {
        after(Timestamp(1_700_000_000_000_000), HOUR.mul_f64(hours))
    }

    /// Follows a plan to the present and returns the windows.
    fn follow(position: &mut Position, now: Timestamp) -> Vec<Window> {
        let mut windows = Vec::new();
        while let Some(window) = plan().next(position, now) {
            for (name, value) in plan().done(&window) {
                position.set(name, value);
            }
            windows.push(window.clone());
            if window.is_last {
                break;
            }
        }
        windows
    }

    #[test]
    fn windows_leave_no_gap_and_end_before_the_present() {
        let mut position = Position::default();
        let windows = follow(&mut position, at(100.0));
        assert_eq!((windows.len(), windows[0].from), (10, at(90.0)));
        assert!(windows.windows(2).all(|pair| pair[1].from <= pair[0].to && pair[0].to.since(pair[0].from) <= HOUR));
        assert!(windows[..9].windows(2).all(|pair| pair[1].from == pair[0].to), "nothing is asked for twice");
        assert_eq!(windows[9].to, before(at(100.0), HOUR / 60));
        // The next ones look back, and once a day further.
        let next = follow(&mut position, at(100.1));
        assert!(next.len() == 1 && next[0].is_last);
        assert_eq!(next[0].from, at(99.5));
        // After a stop what was listed late before it is asked for too, though the window does not reach the present.
        let next = follow(&mut position, at(104.0));
        assert_eq!((next[0].from, next[0].is_last, next.len()), (at(99.6), false, 4));
        let sweeps = |windows: &[Window]| windows.iter().filter(|window| window.is_sweep).count();
        assert_eq!(sweeps(&follow(&mut position, at(105.0))), 0);
        assert_eq!(sweeps(&follow(&mut position, at(130.0))), 1);
    }

    #[test]
    fn what_the_vendor_no_longer_keeps_is_a_hole() {
        let mut position = Position::default();
        position.set(THROUGH.into(), Position::time_value(at(0.0)));
        let window = plan().next(&position, at(200.0)).unwrap();
        assert_eq!(window.from, at(32.0));
        assert_eq!(window.hole.unwrap().to, at(32.0));
    }
}
