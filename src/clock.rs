//! Wall time, which may be wrong before the network has set it, and which tests can set.
//!
//! Floor 0. Monotonic time is Tokio's (`tokio::time::Instant`) or, on plain threads, [`monotonic`]. Nothing else in the
//! house asks the system for the time, so a test that moves the wall clock by years reaches every room.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment in wall time: microseconds since 1970-01-01T00:00:00Z, never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Whole microseconds since the epoch.
    #[must_use]
    pub fn micros(self) -> u64 {
        self.0
    }

    /// The time that a text says: RFC 3339, or the same without a zone, which is UTC then, or a number of seconds or
    /// milliseconds since 1970, from the year 2001 on. `None` for everything else, and for what was before 1970.
    #[must_use]
    pub fn said(text: &str) -> Option<Self> {
        if let Ok(number) = text.parse::<u64>() {
            // Seconds up to the year 5138.
            let unit = match number {
                1_000_000_000..100_000_000_000 => 1_000_000,
                1_000_000_000_000..100_000_000_000_000 => 1_000,
                _ => return None,
            };
            return Some(Self(number * unit));
        }
        let zoned = text.parse::<jiff::Timestamp>().ok();
        let plain = || Some(text.parse::<jiff::civil::DateTime>().ok()?.in_tz("UTC").ok()?.timestamp());
        u64::try_from(zoned.or_else(plain)?.as_microsecond()).ok().map(Self)
    }

    /// The moment so much later.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)))
    }

    /// Time since `earlier`; zero when the clock went backwards in between.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds and `Z`: the only form that Logstash takes for `@timestamp` without a warning
    /// (logstash-input-beats, `Message` and `BeatsParser`, read 2026-11).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; 24];
        f.write_str(self.write_rfc3339(&mut text))
    }
}

impl Timestamp {
    /// Writes the RFC 3339 form into `text` and returns it. No allocation: this runs once per event.
    ///
    /// Years past 9999 are shown as 9999 so that the width never changes.
    #[must_use]
    pub fn write_rfc3339(self, text: &mut [u8; 24]) -> &str {
        let millis = self.0 / 1_000;
        let (days, of_day) = (millis / 86_400_000, millis % 86_400_000);
        let (year, month, day) = civil_from_days(days);
        text.copy_from_slice(b"0000-00-00T00:00:00.000Z");
        let mut put = |at: usize, width: usize, mut value: u64| {
            for digit in text.iter_mut().skip(at).take(width).rev() {
                *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
                value /= 10;
            }
        };
        put(0, 4, year.min(9_999));
        put(5, 2, month);
        put(8, 2, day);
        put(11, 2, of_day / 3_600_000);
        put(14, 2, of_day / 60_000 % 60);
        put(17, 2, of_day / 1_000 % 60);
        put(20, 3, of_day % 1_000);
        std::str::from_utf8(text).unwrap_or_default()
    }
}

/// Year, month (1..=12) and day (1..=31) of a day number since 1970-01-01 in the proleptic Gregorian calendar.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    // Eras of 400 years that begin on 1 March, so that the leap day is the last day of its year.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// Where wall time comes from.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A clock that stands at this many microseconds until somebody moves it: for tests.
    Fixed(Arc<AtomicU64>),
}

impl Clock {
    /// The wall time now. A machine clock before 1970 reads as 1970.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system for wall time")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX))
            }
            Self::Fixed(micros) => Timestamp(micros.load(Ordering::Relaxed)),
        }
    }
}

/// Monotonic time for plain threads, which have no Tokio clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "plain threads have no Tokio clock; this is their one source of it")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// How long the machine has been on, with what it slept; nothing where it does not say.
#[must_use]
pub fn since_boot() -> Duration {
    // clock_gettime(2): asked of the kernel itself, because the sandbox hides /proc/uptime.
    nix::time::ClockId::CLOCK_BOOTTIME.now().map(Duration::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_texts_say() {
        for (text, micros) in [
            ("2024-03-05T10:15:30.123456Z", Some(1_709_633_730_123_456)),
            ("2024-03-05T12:15:30+02:00", Some(1_709_633_730_000_000)),
            ("2024-03-05 10:15:30", Some(1_709_633_730_000_000)),
            ("1709633730", Some(1_709_633_730_000_000)),
            ("1709633730123", Some(1_709_633_730_123_000)),
            ("17", None),
            ("18446744073709551616", None),
            ("1969-12-31T23:59:59Z", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(Timestamp::said(text), micros.map(Timestamp), "{text}");
        }
    }

    #[test]
    fn rfc3339_of_known_moments() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000Z"),
            (1_709_633_730_123_456, "2024-03-05T10:15:30.123Z"),
            (4_102_444_799_999_000, "2099-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp(micros).to_string(), text);
        }
    }

    #[test]
    fn rfc3339_agrees_with_jiff() {
        for step in 0..5_000u64 {
            let micros = step * 86_399_123_457;
            let theirs = jiff::Timestamp::from_microsecond(i64::try_from(micros).unwrap()).unwrap();
            assert_eq!(Timestamp(micros).to_string(), theirs.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string());
        }
    }
}
