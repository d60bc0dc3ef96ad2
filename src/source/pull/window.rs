//! Windows of time without gaps: closed ones one after the other, and at the present an overlap for what comes late.

use std::time::Duration;

use super::{Hole, Position};
use crate::clock::Timestamp;

/// The mark that says up to where everything was had.
pub(in crate::source) const THROUGH: &str = "through";
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
    /// The present is asked for again this far back each time...
    pub(in crate::source) overlap: Duration,
    /// ...and once a day this far.
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
    /// Whether it reaches the present.
    pub(in crate::source) is_last: bool,
    /// It is the daily look back.
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
        if full < end {
            return Some(Window { from: start, to: full, is_last: false, is_sweep: false, hole });
        }
        let swept = position.time(SWEPT);
        let day = Duration::from_secs(86_400);
        let is_sweep = through.is_some() && !self.sweep.is_zero() && swept.is_none_or(|at| now.since(at) >= day);
        let back = if is_sweep { self.sweep.max(self.overlap) } else { self.overlap };
        let from = if through.is_some() {
            before(start, back).max(before(end, self.longest)).max(oldest).min(start)
        } else {
            start
        };
        (from < end).then_some(Window { from, to: end, is_last: true, is_sweep, hole })
    }

    /// The marks once everything of a window was had.
    pub(in crate::source) fn done(&self, window: &Window, now: Timestamp) -> Vec<(String, Option<Vec<u8>>)> {
        let mut marks = vec![(THROUGH.to_owned(), Position::time_value(window.to))];
        if window.is_sweep {
            marks.push((SWEPT.to_owned(), Position::time_value(now)));
        }
        marks
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
            for (name, value) in plan().done(&window, now) {
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
        assert_eq!(windows[9].to, before(at(100.0), HOUR / 60));
        // The next one looks back, and once a day further.
        let next = follow(&mut position, at(100.1));
        assert!(next.len() == 1 && next[0].is_last);
        let next = follow(&mut position, at(101.0));
        assert_eq!(next[0].from, before(windows[9].to, HOUR / 2).min(next[0].from));
        let sweeps = |windows: &[Window]| windows.iter().filter(|window| window.is_sweep).count();
        assert_eq!(sweeps(&follow(&mut position, at(102.0))), 0);
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
