//! A record of a vendor's API: its text as `message`, as Filebeat's inputs for such APIs give it, under its own time.

use std::fmt;

use jiff::civil::DateTime;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::{Encoded, Encoder, oddities};
use crate::clock::Timestamp;
use crate::event::Record;
use crate::wire::syslog::{Marks, Text};

/// The members that say when it happened, by the vendors' schemas: Office 365 (`CreationTime`, UTC without a zone), Graph
/// (`createdDateTime`, `activityDateTime`, `startDateTime`), Defender (`alertCreationTime`, `Timestamp`, `lastSeen`).
const TIMES: [&str; 7] = [
    "CreationTime",
    "createdDateTime",
    "activityDateTime",
    "startDateTime",
    "alertCreationTime",
    "Timestamp",
    "lastSeen",
];

impl Encoder {
    pub(super) fn write_pulled(&mut self, record: &Record<'_>, to: &mut Vec<u8>) -> Encoded {
        let found = serde_json::from_slice::<Own<'_>>(record.bytes).ok();
        let unparsed = found.is_none();
        let time = found.and_then(|own| own.0).and_then(moment).unwrap_or(record.received);
        let text = Text::of(record.bytes);
        self.begin(time, &text, to);
        to.push(b'}');
        self.about(None, to);
        oddities(Marks::default(), if unparsed { &["not_json"] } else { &[] }, text.is_exact(), record, to);
        to.extend_from_slice(b"}}");
        Encoded { unparsed }
    }
}

/// RFC 3339, or the same without a zone, which is UTC then.
fn moment(text: &str) -> Option<Timestamp> {
    let zoned = text.parse::<jiff::Timestamp>().ok();
    let moment = zoned.or_else(|| text.parse::<DateTime>().ok()?.in_tz("UTC").ok().map(|time| time.timestamp()))?;
    u64::try_from(moment.as_microsecond()).ok().map(Timestamp)
}

/// The time of an object by its own word; the first of [`TIMES`] that it has.
struct Own<'a>(Option<&'a str>);

impl<'de: 'a, 'a> Deserialize<'de> for Own<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Own<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Own<'de>, A::Error> {
                let (mut best, mut rank) = (None, TIMES.len());
                while let Some(Name(place)) = map.next_key()? {
                    match place.filter(|place| *place < rank) {
                        Some(place) => {
                            if let Value(Some(text)) = map.next_value()? {
                                (best, rank) = (Some(text), place);
                            }
                        }
                        None => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(Own(best))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// The place of a name in [`TIMES`].
struct Name(Option<usize>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E>(self, name: &str) -> Result<Name, E> {
                Ok(Name(TIMES.iter().position(|time| *time == name)))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// A member's value, if it is text without escapes, as times are.
struct Value<'a>(Option<&'a str>);

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&serde_json::value::RawValue>::deserialize(deserializer)?.get();
        Ok(Value(raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_the_records_own() {
        for (text, time) in [
            (r#"{"Id":"x","CreationTime":"2026-01-05T10:03:19"}"#, Some("2026-01-05T10:03:19.000Z")),
            (
                r#"{"lastSeen":"2026-01-05T09:50:12.1234567Z","id":{"createdDateTime":1}}"#,
                Some("2026-01-05T09:50:12.123Z"),
            ),
            (
                r#"{"Timestamp":"2026-01-05T09:50:12+02:00","createdDateTime":"2026-01-05T09:50:12Z"}"#,
                Some("2026-01-05T09:50:12.000Z"),
            ),
            (r#"{"createdDateTime":"soon"}"#, None),
            (r#"{"createdDateTime":12}"#, None),
            (r#"{}"#, None),
        ] {
            let own = serde_json::from_str::<Own<'_>>(text).unwrap();
            assert_eq!(own.0.and_then(moment).map(|time| time.to_string()).as_deref(), time, "{text}");
        }
        assert!(serde_json::from_str::<Own<'_>>("[1]").is_err());
    }
}
