//! When updates may disturb: the maintenance window.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::ToSpan as _;
use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// A span of the day, written `"02:00-04:30"`; it may go over midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Window {
    /// Minutes since midnight.
    from: u16,
    /// Minutes since midnight, not included; never equal to `from`.
    to: u16,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let minutes = |text: &str| {
            let (hours, minutes) = text.trim().split_once(':')?;
            let number = |text: &str| text.parse::<u16>().ok().filter(|_| text.len() == 2);
            let (hours, minutes) = (number(hours)?, number(minutes)?);
            (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
        };
        let parsed = text.split_once('-').and_then(|(from, to)| Some((minutes(from)?, minutes(to)?)));
        match parsed {
            Some((from, to)) if from != to => Ok(Self { from, to }),
            _ => Err(format!("{text:?} is no span of the day; write two times, such as \"02:00-04:00\"")),
        }
    }
}

impl TryFrom<String> for Window {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

impl From<Window> for String {
    fn from(window: Window) -> Self {
        window.to_string()
    }
}

impl Day {
    fn weekday(self) -> Weekday {
        match self {
            Self::Mon => Weekday::Monday,
            Self::Tue => Weekday::Tuesday,
            Self::Wed => Weekday::Wednesday,
            Self::Thu => Weekday::Thursday,
            Self::Fri => Weekday::Friday,
            Self::Sat => Weekday::Saturday,
            Self::Sun => Weekday::Sunday,
        }
    }
}

/// When the window is open. Without a window it always is.
#[derive(Clone, Debug)]
pub(in super::super) struct Schedule {
    pub(in super::super) window: Option<Window>,
    /// The days on which it opens; none are all.
    pub(in super::super) days: Vec<Day>,
    pub(in super::super) zone: TimeZone,
}

impl Schedule {
    /// Time until it is open: zero while it is.
    pub(in super::super) fn opens_in(&self, now: Timestamp) -> Duration {
        self.next(now).map_or(Duration::ZERO, |(opens, _)| opens)
    }

    /// How long it is open, from now or from when it opens; `None` without a window.
    pub(in super::super) fn open_for(&self, now: Timestamp) -> Option<Duration> {
        self.next(now).map(|(_, open)| open)
    }

    /// Time until it is open, and how long it then stays so. Looks from yesterday, whose window may go over midnight, to
    /// the same day of next week.
    fn next(&self, now: Timestamp) -> Option<(Duration, Duration)> {
        let window = self.window?;
        let moment = jiff::Timestamp::from_microsecond(i64::try_from(now.micros()).ok()?).ok()?;
        let today = self.zone.to_datetime(moment).date();
        (-1..=8).find_map(|days: i64| {
            let date = today.checked_add(days.days()).ok()?;
            if !self.days.is_empty() && !self.days.iter().any(|day| day.weekday() == date.weekday()) {
                return None;
            }
            let last = if window.to > window.from { date } else { date.tomorrow().ok()? };
            let (opens, closes) = (self.at(date, window.from)?, self.at(last, window.to)?);
            let span = |from: jiff::Timestamp, to: jiff::Timestamp| Duration::try_from(to.duration_since(from)).ok();
            let begin = opens.max(moment);
            let open = span(begin, closes).filter(|open| !open.is_zero())?;
            Some((span(moment, begin)?, open))
        })
    }

    fn at(&self, date: jiff::civil::Date, minutes: u16) -> Option<jiff::Timestamp> {
        let time = Time::new(i8::try_from(minutes / 60).ok()?, i8::try_from(minutes % 60).ok()?, 0, 0).ok()?;
        // A time that summer time leaves out is taken as the one after the gap.
        self.zone.to_timestamp(date.to_datetime(time)).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn schedule(window: &str, days: &[Day], zone: &str) -> Schedule {
        let zone = TimeZone::get(zone).unwrap();
        Schedule { window: Some(window.parse().unwrap()), days: days.to_vec(), zone }
    }

    fn at(text: &str) -> Timestamp {
        Timestamp(u64::try_from(text.parse::<jiff::Timestamp>().unwrap().as_microsecond()).unwrap())
    }

    #[test]
    fn a_window_is_read_and_shown() {
        for text in ["02:00-04:00", "23:30-00:15", "00:00-23:59"] {
            assert_eq!(text.parse::<Window>().unwrap().to_string(), text);
        }
        for text in ["", "2-4", "02:00", "02:00-02:00", "24:00-01:00", "02:60-03:00", "2:00-03:00", "a-b"] {
            assert!(text.parse::<Window>().is_err(), "{text}");
        }
    }

    #[test]
    fn it_opens_at_its_time_of_day_in_its_zone() {
        let berlin = schedule("02:00-04:00", &[], "Europe/Berlin");
        // 2026-11-24 is a Tuesday; Berlin is an hour ahead.
        for (now, opens, open) in [
            ("2026-11-24T00:00:00Z", 3_600, 7_200),
            ("2026-11-24T01:00:00Z", 0, 7_200),
            ("2026-11-24T02:59:59Z", 0, 1),
            ("2026-11-24T03:00:00Z", 22 * 3_600, 7_200),
            // The hour from 2 to 3 does not exist on this day.
            ("2026-03-29T00:30:00Z", 1_800, 3_600),
        ] {
            let (opens, open) = (Duration::from_secs(opens), Duration::from_secs(open));
            assert_eq!(berlin.next(at(now)), Some((opens, open)), "{now}");
        }
        let night = schedule("23:00-01:00", &[Day::Sat], "UTC");
        assert_eq!(night.opens_in(at("2026-11-29T00:30:00Z")), Duration::ZERO, "it opened on Saturday");
        assert_eq!(night.opens_in(at("2026-11-29T01:00:00Z")), Duration::from_secs(6 * 86_400 + 22 * 3_600));
    }

    proptest! {
        #[test]
        fn what_is_said_to_open_is_open_then(
            micros in 0..4_102_444_800_000_000u64, from in 0..1_440u16, to in 0..1_440u16, day in 0..3usize,
        ) {
            prop_assume!(from != to);
            let days = [&[][..], &[Day::Mon][..], &[Day::Wed, Day::Sun][..]][day];
            let zone = TimeZone::get("America/New_York").unwrap();
            let schedule = Schedule { window: Some(Window { from, to }), days: days.to_vec(), zone };
            let (opens, open) = schedule.next(Timestamp(micros)).unwrap();
            prop_assert!(opens <= Duration::from_secs(8 * 86_400) && open <= Duration::from_secs(25 * 3_600));
            let then = Timestamp(micros + u64::try_from(opens.as_micros()).unwrap());
            prop_assert_eq!(schedule.opens_in(then), Duration::ZERO);
            let last = Timestamp(then.0 + u64::try_from(open.as_micros()).unwrap() - 1);
            prop_assert_eq!(schedule.opens_in(last), Duration::ZERO);
        }
    }
}
