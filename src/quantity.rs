//! Sizes and durations as people write them in the settings, `"64MiB"`, `"30s"`, and numbers as they read them, `1.5 MiB`.
//!
//! Floor 0. A bare number is refused, so that no reader has to guess its unit. The commands and the page show numbers by the
//! same functions.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of bytes, written `"512B"`, `"64KiB"`, `"8MiB"`, `"10GiB"` or `"1TiB"`; whole numbers only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A span of time, written as a whole number and a unit: `"250us"`, `"50ms"`, `"30s"`, `"5m"`, `"12h"`, `"7d"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// Why a text is no quantity; the message says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {what}; write a whole number and a unit, such as {example}")]
pub struct QuantityError {
    text: String,
    what: &'static str,
    example: &'static str,
}

const SIZES: [(&str, u64); 5] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];
const SPANS: [(&str, u64); 6] =
    [("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000), ("d", 86_400_000_000)];

impl Size {
    /// `count` times 1,024 bytes.
    #[must_use]
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// `count` times 1,024 KiB.
    #[must_use]
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// `count` times 1,024 MiB.
    #[must_use]
    pub const fn gib(count: u64) -> Self {
        Self(count << 30)
    }

    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The number of bytes as a length in memory; saturates where an address is shorter.
    #[must_use]
    pub fn len(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// Whether this is no byte at all.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl Span {
    /// `count` milliseconds.
    #[must_use]
    pub const fn millis(count: u64) -> Self {
        Self(Duration::from_millis(count))
    }

    /// `count` seconds.
    #[must_use]
    pub const fn secs(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }
}

/// Splits `text` into its number and the factor of its unit.
fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Writes `value` in the largest unit that divides it.
fn show(value: u64, units: &[(&str, u64)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let fits = |(_, factor): &&(&str, u64)| value.is_multiple_of(*factor);
    let (unit, factor) = units.iter().rev().find(fits).unwrap_or(&("", 1));
    if value == 0 {
        return write!(f, "0{}", units.first().map_or("", |(unit, _)| unit));
    }
    write!(f, "{}{unit}", value / factor)
}

impl FromStr for Size {
    type Err = QuantityError;
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let error =
            || QuantityError { text: text.to_owned(), what: "size", example: "\"64MiB\" (B, KiB, MiB, GiB, TiB)" };
        parse(text.trim(), &SIZES).map(Self).ok_or_else(error)
    }
}

impl FromStr for Span {
    type Err = QuantityError;
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let error =
            || QuantityError { text: text.to_owned(), what: "duration", example: "\"30s\" (us, ms, s, m, h, d)" };
        parse(text.trim(), &SPANS).map(|micros| Self(Duration::from_micros(micros))).ok_or_else(error)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.0, &SIZES, f)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX), &SPANS, f)
    }
}

macro_rules! as_text {
    ($type:ident, $title:literal, $pattern:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Text;
                impl serde::de::Visitor<'_> for Text {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($title)
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                from.deserialize_str(Text)
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "description": $title, "pattern": $pattern })
            }
        }
    };
}

as_text!(Size, "a size in quotes with its unit, such as \"64MiB\"", "^[0-9]+ ?(B|KiB|MiB|GiB|TiB)$");
as_text!(Span, "a duration in quotes with its unit, such as \"30s\"", "^[0-9]+ ?(us|ms|s|m|h|d)$");

/// A number with its thousands apart: `1,234,567`.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes as people read them: a tenth below 10, whole from there on, such as `1.5 MiB`, `8 GiB` and `33 MiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    let mut text = format!("{bytes} B");
    for (unit, shift) in [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)] {
        let tenths = (u128::from(bytes) * 10) >> shift;
        text = match (tenths / 10, tenths % 10) {
            (0, _) => break,
            (whole @ 1..10, tenth @ 1..) => format!("{whole}.{tenth} {unit}"),
            (whole, _) => format!("{whole} {unit}"),
        };
    }
    text
}

/// An age in one unit: `5 min`.
#[must_use]
pub fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A time in two units: `1 h 2 min`.
#[must_use]
pub fn uptime(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn reads_and_shows_what_people_write() {
        for (text, bytes) in [("512B", 512), ("64KiB", 65_536), ("1 GiB", 1 << 30)] {
            assert_eq!(text.parse::<Size>().unwrap().bytes(), bytes);
        }
        assert_eq!(Size::mib(64).to_string(), "64MiB");
        assert_eq!(Size(1_500).to_string(), "1500B");
        assert_eq!("90s".parse::<Span>().unwrap().to_string(), "90s");
        assert_eq!(Span::secs(120).to_string(), "2m");
        assert_eq!(Span::millis(0).to_string(), "0us");
    }

    #[test]
    fn refuses_what_has_no_unit_and_says_what_to_write() {
        for text in ["64", "", "MiB", "64MB", "1.5GiB", "-1s", "99999999999999TiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        let error = "30".parse::<Span>().unwrap_err().to_string();
        assert_eq!(
            error,
            "\"30\" is not a duration; write a whole number and a unit, such as \"30s\" (us, ms, s, m, h, d)"
        );
    }

    #[test]
    fn what_people_read_is_short() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
        for (bytes, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_536, "1.5 KiB"),
            (1 << 30, "1 GiB"),
            (33_600 << 10, "32 MiB"),
            (u64::MAX, "16777215 TiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        for (seconds, text) in [(0, "0 s"), (61, "1 min"), (7_300, "2 h"), (200_000, "2 d")] {
            assert_eq!(age(seconds), text);
        }
        for (seconds, text) in [(59, "59 s"), (61, "1 min 1 s"), (3_725, "1 h 2 min"), (90_000, "1 d 1 h")] {
            assert_eq!(uptime(seconds), text);
        }
    }
}
