//! Keys of managed buckets end after 90 days: said while there is time to make a new one.
//!
//! Facts: Cisco, "S3 Bucket Key Rotation" and TechZone 222844: since 15 May 2025 a key of a managed bucket must be replaced every
//! 90 days; an older one is refused, while Cisco goes on writing. Nothing that the box may ask says how old a key is, so the day
//! is a setting.

use std::time::Duration;

use jiff::ToSpan as _;
use jiff::civil::Date;

use crate::clock::Timestamp;
use crate::source::pull::Trouble;
use crate::status::Cause;

/// Days until a key is refused, and until it is warned about.
const EXPIRES: i64 = 90;
const WARNED: i64 = 75;

/// When a key was made, and whether it ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyAge {
    pub(super) created: Date,
    pub(super) is_managed: bool,
}

impl KeyAge {
    /// What a person should know and do about it at `now`, if anything.
    pub(super) fn words(self, now: Timestamp) -> Option<(String, String)> {
        let days = self.days(now)?;
        if !self.is_managed || days < WARNED {
            return None;
        }
        let end = self.created.checked_add(EXPIRES.days()).ok()?;
        let what = if days < EXPIRES {
            format!("the access key is {days} days old: Cisco refuses it from day {EXPIRES} on, {end}")
        } else {
            format!("the access key is {days} days old: Cisco refuses it since {end}, day {EXPIRES}")
        };
        let todo = "in Umbrella, Admin > Log Management (Amazon S3), rotate the key; write the new access_key_id and \
                    key_created into the settings and the new secret into its file";
        Some((what, todo.to_owned()))
    }

    /// A refusal, with what the key's age has to do with it.
    pub(super) fn explain(self, trouble: Trouble, now: Timestamp) -> Trouble {
        match self.words(now) {
            Some((what, todo)) if trouble.cause == Cause::Login => {
                Trouble { what: format!("{}; {what}", trouble.what), todo, ..trouble }
            }
            _ => trouble,
        }
    }

    fn days(self, now: Timestamp) -> Option<i64> {
        let created = self.created.in_tz("UTC").ok()?.timestamp().as_microsecond();
        let age = now.since(Timestamp(u64::try_from(created).ok()?));
        i64::try_from(age.as_secs() / Duration::from_secs(86_400).as_secs()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_warned_about_from_day_75_and_expires_on_day_90() {
        let age = KeyAge { created: "2026-01-01".parse().unwrap(), is_managed: true };
        // 2026-01-01 and so many days later.
        let at = |days: u64| Timestamp((1_767_225_600 + days * 86_400) * 1_000_000);
        assert!(age.words(at(74)).is_none());
        let (what, todo) = age.words(at(75)).unwrap();
        assert!(what.contains("75 days old") && what.contains("from day 90 on, 2026-04-01"), "{what}");
        assert!(todo.contains("rotate the key"));
        assert!(age.words(at(90)).unwrap().0.contains("since 2026-04-01"));
        assert!(KeyAge { is_managed: false, ..age }.words(at(100)).is_none());
        let refused = age.explain(Trouble::login("refused", "x"), at(91));
        assert!(refused.what.starts_with("refused; the access key is 91 days old"));
        assert_eq!(age.explain(Trouble::passing("busy", None), at(91)).what, "busy");
    }
}
