//! From a time as written to a moment: finds the year and the offset that the sender left out.
//!
//! - **Year**: the latest that puts the time no more than a month after its receipt; so it lies within 11 months before
//!   and one month after. 29 February needs a leap year; where none fits there is no such time.
//! - **Zone**: the source's, by the rules in force then. In the hour that comes twice when summer time ends, the one
//!   nearer to the time of receipt is meant; in the hour that does not exist, the clock was not yet set forward.
//! - **Belief**: a time before 2000 is a clock that was never set (devices start in 1970, Cisco in 1993). A time that IOS
//!   itself marks as not set is believed only within a day of its receipt.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::Mark;
use super::time::{Day, Moment, Zone, days};
use crate::clock::Timestamp;

const DAY: i64 = 86_400;
/// "A month": a time zone that is wrong by hours matters more than the difference between months.
const AHEAD: i64 = 31 * DAY;
/// 2000-01-01T00:00:00Z.
const YEAR_2000: i64 = 946_684_800;
/// All offsets in use since 1970 are whole quarters of an hour, and so are the times at which they change.
const QUARTER: i64 = 900;

/// A source's time zone, with the offset that was last asked for.
#[derive(Clone, Debug)]
pub(super) struct Place {
    zone: TimeZone,
    is_utc: bool,
    /// A quarter of an hour of local time and its offset in seconds. Messages come in order, mostly.
    last: Option<(i64, i64)>,
}

impl Place {
    pub(super) fn new(zone: TimeZone) -> Self {
        Self { is_utc: zone == TimeZone::UTC, zone, last: None }
    }

    /// The moment that was meant, or the mark that says why there is none.
    pub(super) fn resolve(&mut self, moment: &Moment, received: Timestamp) -> Result<Timestamp, Mark> {
        let received = i64::try_from(received.micros() / 1_000_000).unwrap_or(0);
        let day = match moment.day {
            Day::Number(day) => day,
            Day::Yearless(month, day) => nearest(month, day, moment.second, received).ok_or(Mark::BadTime)?,
        };
        let local = day * DAY + moment.second;
        let seconds = match moment.zone {
            Zone::Offset(offset) => local - offset,
            Zone::Local => self.utc_of(local, received),
        };
        let unset = moment.doubt == Some(Mark::ClockNotSet) && (seconds - received).abs() > DAY;
        if seconds < YEAR_2000 || unset {
            return Err(Mark::ClockNotSet);
        }
        let seconds = u64::try_from(seconds).map_err(|_| Mark::BadTime)?;
        Ok(Timestamp(seconds * 1_000_000 + u64::from(moment.micros)))
    }

    fn utc_of(&mut self, local: i64, received: i64) -> i64 {
        if self.is_utc {
            return local;
        }
        let quarter = local.div_euclid(QUARTER);
        if let Some((last, offset)) = self.last
            && last == quarter
        {
            return local - offset;
        }
        match civil(local).map(|civil| self.zone.to_ambiguous_timestamp(civil).offset()) {
            Some(AmbiguousOffset::Unambiguous { offset }) => {
                let offset = i64::from(offset.seconds());
                self.last = Some((quarter, offset));
                local - offset
            }
            Some(AmbiguousOffset::Gap { before, .. }) => local - i64::from(before.seconds()),
            Some(AmbiguousOffset::Fold { before, after }) => {
                let (first, second) = (local - i64::from(before.seconds()), local - i64::from(after.seconds()));
                if (first - received).abs() <= (second - received).abs() { first } else { second }
            }
            None => local,
        }
    }
}

/// The day number of a month and day in the year that fits the time of receipt.
fn nearest(month: u32, day: u32, second: i64, received: i64) -> Option<i64> {
    // One year off at most, near a new year; two years are tried on either side.
    let about = 1970 + received / (365 * DAY + DAY / 4);
    let latest = received + AHEAD;
    let fits = |year: i64| {
        let number = days(year, month, day)?;
        (number * DAY + second <= latest).then_some(number)
    };
    let number = (about - 2..=about + 2).rev().find_map(fits)?;
    (number * DAY + second > latest - 366 * DAY).then_some(number)
}

/// The calendar's view of seconds since 1970.
fn civil(seconds: i64) -> Option<DateTime> {
    let moment = jiff::Timestamp::from_second(seconds).ok()?;
    Some(jiff::tz::Offset::UTC.to_datetime(moment))
}

#[cfg(test)]
mod tests {
    use super::super::time::read;
    use super::*;

    fn at(text: &str) -> Timestamp {
        let moment: jiff::Timestamp = text.parse().unwrap();
        Timestamp(u64::try_from(moment.as_microsecond()).unwrap())
    }

    fn resolved(place: &mut Place, text: &str, received: &str) -> Result<String, Mark> {
        let (moment, _) = read(text).unwrap();
        place.resolve(&moment, at(received)).map(|time| time.to_string())
    }

    fn berlin() -> Place {
        Place::new(TimeZone::get("Europe/Berlin").unwrap())
    }

    #[test]
    fn the_year_is_the_one_near_the_time_of_receipt() {
        let mut utc = Place::new(TimeZone::UTC);
        for (text, received, expected) in [
            ("Dec 31 23:59:59", "2025-01-01T00:00:01Z", "2024-12-31T23:59:59.000Z"),
            ("Jan  1 00:00:01", "2024-12-31T23:59:59Z", "2025-01-01T00:00:01.000Z"),
            ("Mar  5 10:15:30", "2024-03-05T10:15:31Z", "2024-03-05T10:15:30.000Z"),
            ("Jan 30 10:00:00", "2024-12-31T10:00:00Z", "2025-01-30T10:00:00.000Z"),
            ("Feb  2 10:00:00", "2024-12-31T10:00:00Z", "2024-02-02T10:00:00.000Z"),
            ("Apr  4 10:00:00", "2024-03-05T10:00:00Z", "2024-04-04T10:00:00.000Z"),
            ("Apr  6 10:00:00", "2024-03-05T10:00:00Z", "2023-04-06T10:00:00.000Z"),
            ("Feb 29 10:00:00", "2024-03-01T10:00:00Z", "2024-02-29T10:00:00.000Z"),
            ("Feb 29 10:00:00", "2025-01-10T10:00:00Z", "2024-02-29T10:00:00.000Z"),
        ] {
            assert_eq!(resolved(&mut utc, text, received).as_deref(), Ok(expected), "{text} at {received}");
        }
        assert_eq!(resolved(&mut utc, "Feb 29 10:00:00", "2025-03-05T10:00:00Z"), Err(Mark::BadTime));
        assert_eq!(resolved(&mut utc, "Feb 30 10:00:00", "2024-03-05T10:00:00Z"), Err(Mark::BadTime));
    }

    #[test]
    fn every_moment_of_a_year_is_found_again() {
        let mut utc = Place::new(TimeZone::UTC);
        for hour in 0..366 * 24 {
            let received = at("2024-01-01T00:30:00Z").micros() + hour * 3_600_000_000;
            for (days, back) in [(300, true), (0, true), (25, false)] {
                let shift = days * 86_400_000_000;
                let event = Timestamp(if back { received - shift } else { received + shift });
                let moment = jiff::Timestamp::from_microsecond(i64::try_from(event.micros()).unwrap()).unwrap();
                let text = moment.strftime("%b %e %H:%M:%S").to_string();
                let (moment, _) = read(&text).unwrap();
                assert_eq!(utc.resolve(&moment, Timestamp(received)), Ok(event), "{text}");
            }
        }
    }

    #[test]
    fn the_zone_is_the_sources_unless_the_sender_says_one() {
        let mut berlin = berlin();
        for (text, expected) in [
            ("Mar  5 10:15:30", "2024-03-05T09:15:30.000Z"),
            ("Mar  5 2024 10:15:30", "2024-03-05T09:15:30.000Z"),
            ("2024-03-05 10:15:30", "2024-03-05T09:15:30.000Z"),
            ("2024:03:05-10:15:30", "2024-03-05T09:15:30.000Z"),
            ("Mar  5 10:15:30 UTC: x", "2024-03-05T10:15:30.000Z"),
            ("2024-03-05T10:15:30+0200", "2024-03-05T08:15:30.000Z"),
            ("1709633730 x", "2024-03-05T10:15:30.000Z"),
        ] {
            assert_eq!(resolved(&mut berlin, text, "2024-03-05T10:00:00Z").as_deref(), Ok(expected), "{text}");
        }
        assert_eq!(
            resolved(&mut berlin, "Jul  5 10:15:30", "2024-07-05T10:00:00Z").as_deref(),
            Ok("2024-07-05T08:15:30.000Z")
        );
    }

    #[test]
    fn the_hour_that_comes_twice_is_the_one_near_the_receipt() {
        let mut berlin = berlin();
        for (received, expected) in
            [("2024-10-27T00:30:01Z", "2024-10-27T00:30:00.000Z"), ("2024-10-27T01:30:01Z", "2024-10-27T01:30:00.000Z")]
        {
            assert_eq!(resolved(&mut berlin, "Oct 27 02:30:00", received).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn the_hour_that_is_left_out_is_read_with_the_old_offset() {
        assert_eq!(
            resolved(&mut berlin(), "Mar 31 02:30:00", "2024-03-31T01:30:01Z").as_deref(),
            Ok("2024-03-31T01:30:00.000Z")
        );
    }

    #[test]
    fn the_remembered_offset_never_differs_from_the_rules() {
        let zone = TimeZone::get("Australia/Lord_Howe").unwrap();
        let mut kept = Place::new(zone.clone());
        for minute in (0..366 * 24 * 60).step_by(7) {
            let text = Timestamp(at("2024-01-01T00:00:00Z").micros() + minute * 60_000_000).to_string();
            let (moment, _) = read(&text.replace('T', " ").replace('Z', "")).unwrap();
            let received = at("2024-06-01T00:00:00Z");
            assert_eq!(kept.resolve(&moment, received), Place::new(zone.clone()).resolve(&moment, received));
        }
    }

    #[test]
    fn clocks_that_were_never_set_are_not_believed() {
        let mut utc = Place::new(TimeZone::UTC);
        let received = "2024-03-05T10:15:31Z";
        assert_eq!(resolved(&mut utc, "1970-01-01 00:02:03", received), Err(Mark::ClockNotSet));
        assert_eq!(resolved(&mut utc, "Mar  1 1993 00:02:03", received), Err(Mark::ClockNotSet));
        assert_eq!(resolved(&mut utc, "*Mar  1 00:02:03", received), Err(Mark::ClockNotSet));
        assert!(resolved(&mut utc, "*Mar  5 10:15:30", received).is_ok());
        assert!(resolved(&mut utc, ".Mar  1 00:02:03", received).is_ok());
    }
}
