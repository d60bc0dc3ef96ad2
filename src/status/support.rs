//! Until when the firmware that runs gets security updates, in the words that all readers show.
//!
//! Facts: os-release(5): `SUPPORT_END=YYYY-MM-DD` is the first day on which support is not provided. Regulation (EU) 2024/2847,
//! annex II, 7: users are told the end date of the support period.
//! Bounded: what is read of the file. Not supported: other dates of it than this one.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Health;
use crate::clock::Timestamp;

/// Time enough to plan and to pay for what follows.
const SOON_DAYS: i32 = 90;
/// Far more than such a file has.
const LONGEST: u64 = 64 << 10;

/// The first day without security updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SupportEnd(Date);

impl SupportEnd {
    /// What a file such as `/etc/os-release` says; nothing where it does not, or is not there. Blocks on the disk.
    #[must_use]
    pub fn read(file: &Path) -> Option<Self> {
        let mut text = String::new();
        File::open(file).ok()?.take(LONGEST).read_to_string(&mut text).ok()?;
        Self::of(&text)
    }

    fn of(text: &str) -> Option<Self> {
        let value = text.lines().find_map(|line| line.strip_prefix("SUPPORT_END="))?;
        value.trim().trim_matches(['"', '\'']).parse().ok().map(Self)
    }
}

/// How long support lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SupportState {
    /// The firmware does not say.
    #[default]
    Unknown,
    /// For more than 90 days.
    Supported,
    /// For less than that.
    EndsSoon,
    /// It is over.
    Ended,
}

/// Until when this firmware gets security updates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Support {
    /// In a word.
    pub state: SupportState,
    /// The first day without security updates (YYYY-MM-DD); nothing where it is not known.
    pub ends: Option<String>,
    /// In a sentence, with what to do where there is something.
    pub words: String,
}

/// What ends it, in words.
const FOLLOW: &str = "install a newer version, or ask your supplier for the one that follows";

impl Default for Support {
    fn default() -> Self {
        Self::at(None, Timestamp::default())
    }
}

impl Support {
    pub(super) fn at(end: Option<SupportEnd>, now: Timestamp) -> Self {
        let Some(SupportEnd(end)) = end else {
            let words = "It is not known until when this version gets security updates.".to_owned();
            return Self { state: SupportState::Unknown, ends: None, words };
        };
        let today = i64::try_from(now.micros()).ok().and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok());
        let today = today.map(|today| jiff::tz::TimeZone::UTC.to_datetime(today).date());
        let days = today.and_then(|today| today.until(end).ok()).map_or(i32::MAX, |left| left.get_days());
        let (state, words) = match days {
            ..=0 => {
                let words = format!("Security updates ended on {end}: {FOLLOW}.");
                (SupportState::Ended, words)
            }
            1..=SOON_DAYS => {
                let days = if days == 1 { "tomorrow".to_owned() } else { format!("in {days} days") };
                (SupportState::EndsSoon, format!("Security updates end on {end}, {days}: {FOLLOW}."))
            }
            _ => (SupportState::Supported, format!("Security updates end on {end}.")),
        };
        Self { state, ends: Some(end.to_string()), words }
    }

    /// What is wrong; nothing before the end.
    #[must_use]
    pub fn health(&self) -> Option<Health> {
        let ends = self.ends.as_ref().filter(|_| self.state == SupportState::Ended)?;
        let what = format!("security updates ended on {ends}: weaknesses that were found since then are not mended");
        Some(Health::degraded(what, FOLLOW))
    }

    /// Whether somebody should plan what comes next, or should have.
    #[must_use]
    pub fn is_due(&self) -> bool {
        matches!(self.state, SupportState::EndsSoon | SupportState::Ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_read_as_os_release_writes_it() {
        for (text, date) in [
            ("NAME=\"Sapphire Edge\"\nSUPPORT_END=2032-01-01\n", Some("2032-01-01")),
            ("SUPPORT_END=\"2032-01-01\"", Some("2032-01-01")),
            ("SUPPORT_END='2032-01-01' ", Some("2032-01-01")),
            ("SUPPORT_END=soon", None),
            ("SUPPORT_END=2032-02-30", None),
            ("#SUPPORT_END=2032-01-01", None),
            ("", None),
        ] {
            assert_eq!(SupportEnd::of(text).map(|end| end.0.to_string()).as_deref(), date, "{text}");
        }
        assert_eq!(SupportEnd::read(Path::new("/nowhere/os-release")), None);
    }

    #[test]
    fn advice_comes_ninety_days_before_the_end_and_an_alarm_after_it() {
        let end = SupportEnd::of("SUPPORT_END=2032-01-01");
        let at = |moment: &str| Support::at(end, Timestamp::said(moment).unwrap());
        for (moment, state, words) in [
            ("2026-12-01T00:00:00Z", SupportState::Supported, "Security updates end on 2032-01-01."),
            ("2031-10-02T23:59:59Z", SupportState::Supported, "end on 2032-01-01."),
            ("2031-10-03T00:00:00Z", SupportState::EndsSoon, "2032-01-01, in 90 days: install a newer version"),
            ("2031-12-31T23:59:59Z", SupportState::EndsSoon, "tomorrow"),
            ("2032-01-01T00:00:00Z", SupportState::Ended, "Security updates ended on 2032-01-01: "),
            ("2040-06-01T00:00:00Z", SupportState::Ended, "ended"),
        ] {
            let support = at(moment);
            assert!(support.state == state && support.words.contains(words), "{moment}: {support:?}");
            assert_eq!(support.health().is_some(), state == SupportState::Ended, "{moment}");
        }
        assert_eq!(Support::default().state, SupportState::Unknown);
        assert!(Support::default().words.contains("not known") && Support::default().health().is_none());
    }
}
