//! Numbers and times as people read them. The commands use the same functions for what both show.

use std::fmt::Write as _;

use crate::clock::Timestamp;
use crate::status::{Component, Gauge, Snapshot};

pub(super) use crate::quantity::{age, size, thousands, uptime};

/// For a number that nobody measured.
const UNKNOWN: &str = "–";

/// A rate: whole numbers from 10 on, a tenth below, so that a source with an event a minute does not look dead.
pub(super) fn rate(per_second: Option<f32>) -> String {
    per_second.map_or_else(|| UNKNOWN.to_owned(), number)
}

/// A measured number: a tenth below 10, whole from there on.
pub(super) fn number(value: f32) -> String {
    let value = value.max(0.0);
    if value == 0.0 {
        return "0".to_owned();
    }
    if value < 0.05 {
        return "<0.1".to_owned();
    }
    if value < 9.95 { format!("{value:.1}").trim_end_matches(".0").to_owned() } else { thousands(whole(value)) }
}

/// The nearest whole number, within bounds; what is no number is zero.
pub(super) fn whole(value: f32) -> u64 {
    value.round() as u64
}

/// `over / under`, where both say something.
pub(super) fn ratio(over: u64, under: u64) -> Option<f32> {
    (under > 0 && over > 0).then(|| over as f32 / under as f32)
}

/// A ratio as `7.4 : 1`.
pub(super) fn to_one(ratio: Option<f32>) -> String {
    ratio.map_or_else(|| UNKNOWN.to_owned(), |ratio| format!("{ratio:.1} : 1"))
}

/// How long ago something was.
pub(super) fn ago(seconds: Option<u64>) -> String {
    seconds.map_or_else(|| "never".to_owned(), |seconds| format!("{} ago", age(seconds)))
}

/// The age of the oldest event that waits, if any does.
pub(super) fn oldest_words(queued: u64, seconds: Option<u64>) -> String {
    match seconds {
        _ if queued == 0 => "none".to_owned(),
        Some(seconds) => age(seconds),
        None => UNKNOWN.to_owned(),
    }
}

/// The age of the oldest event that waits for any output, where one said so.
pub(super) fn oldest(snapshot: &Snapshot) -> Option<u64> {
    let waits = |component| matches!(component, Component::Queue | Component::Output);
    let lines = snapshot.components.iter().filter(|line| waits(line.component));
    lines.filter_map(|line| line.gauges.get(&Gauge::OldestSeconds).copied()).max()
}

/// RFC 3339 of a second since 1970.
pub(super) fn moment(seconds: u64) -> String {
    Timestamp(seconds.saturating_mul(1_000_000)).to_string()
}

/// Seconds since 1970 of an RFC 3339 time; zero where it is none.
pub(super) fn seconds(moment: &str) -> u64 {
    Timestamp::said(moment).map_or(0, |at| at.micros() / 1_000_000)
}

/// An RFC 3339 time as people read it: to the second, in UTC. What is no such time stays as it is.
pub(super) fn clock(moment: &str) -> String {
    match (moment.get(..10), moment.get(10..11), moment.get(11..19)) {
        (Some(day), Some("T"), Some(time)) if moment.ends_with('Z') => format!("{day} {time} UTC"),
        _ => moment.to_owned(),
    }
}

/// A text as one step of a path (RFC 3986, section 2.3): an id is letters, digits and `_`, but who knows.
pub(super) fn in_path(text: &str) -> String {
    let mut path = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            path.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(path, "%{byte:02X}");
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_nothing_is_hidden() {
        for (value, text) in [
            (0.0, "0"),
            (0.01, "<0.1"),
            (0.25, "0.2"),
            (3.0, "3"),
            (9.96, "10"),
            (12_345.6, "12,346"),
            (-1.0, "0"),
            (f32::NAN, "0"),
        ] {
            assert_eq!(number(value), text, "{value}");
        }
        assert_eq!(
            (rate(None), to_one(ratio(74, 10)), to_one(ratio(1, 0))),
            ("–".into(), "7.4 : 1".into(), "–".into())
        );
        assert_eq!((ago(Some(61)), ago(None)), ("1 min ago".into(), "never".into()));
        assert_eq!(oldest_words(0, Some(7)), "none");
    }

    #[test]
    fn times_are_read_and_written() {
        let text = "2024-03-05T10:15:30.000Z";
        assert_eq!(moment(seconds(text)), text);
        assert_eq!(clock(text), "2024-03-05 10:15:30 UTC");
        assert_eq!((clock("soon"), seconds("soon")), ("soon".to_owned(), 0));
        assert_eq!(clock("ééééééééééééé"), "ééééééééééééé");
    }

    #[test]
    fn a_path_holds_anything() {
        assert_eq!(in_path("fire_walls-1"), "fire_walls-1");
        assert_eq!(in_path("a/../<é>?"), "a%2F..%2F%3C%C3%A9%3E%3F");
    }
}
