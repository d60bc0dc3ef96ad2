//! A record of a vendor's API: its text as `message`, as Filebeat's inputs for such APIs give it, under its own time.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::{Encoded, Encoder, oddities};
use crate::clock::Timestamp;
use crate::event::Record;
use crate::wire::syslog::{Marks, Text};

/// The members that say when it happened, by the vendors' schemas: Office 365 (`CreationTime`, UTC without a zone), Graph
/// (`createdDateTime`, `activityDateTime`, `startDateTime`), Defender (`alertCreationTime`, `Timestamp`, `lastSeen`), Secure
/// Endpoint (`date`), Duo (`isotimestamp`, `ts`, `surfaced_timestamp`, `timestamp`), Falcon ([`METADATA`]).
const TIMES: [&str; 13] = [
    "CreationTime",
    "createdDateTime",
    "activityDateTime",
    "startDateTime",
    "alertCreationTime",
    "Timestamp",
    "lastSeen",
    "isotimestamp",
    "ts",
    "date",
    "surfaced_timestamp",
    METADATA,
    "timestamp",
];
/// Where Falcon's event streams have the time, as `eventCreationTime`.
const METADATA: &str = "metadata";

impl Encoder {
    pub(super) fn write_pulled(&mut self, record: &Record<'_>, to: &mut Vec<u8>) -> Encoded {
        let found = serde_json::from_slice::<Own>(record.bytes).ok();
        let unparsed = found.is_none();
        let time = found.and_then(|own| own.0).unwrap_or(record.received);
        let text = Text::of(record.bytes);
        self.begin(time, &text, to);
        to.push(b'}');
        self.about(None, to);
        oddities(Marks::default(), if unparsed { &["not_json"] } else { &[] }, text.is_exact(), record, to);
        to.extend_from_slice(b"}}");
        Encoded { unparsed }
    }
}

/// The time of an object by its own word: the first of [`TIMES`] that says one.
struct Own(Option<Timestamp>);

impl<'de> Deserialize<'de> for Own {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Own;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Own, A::Error> {
                let (mut best, mut rank) = (None, TIMES.len());
                while let Some(Name(place)) = map.next_key()? {
                    match place.filter(|place| *place < rank) {
                        Some(place) => {
                            let Value(text) = map.next_value()?;
                            if let Some(time) = text.and_then(Timestamp::said) {
                                (best, rank) = (Some(time), place);
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

/// A member's value, if it may be a time: a number, text without escapes, or the object that has it.
struct Value<'a>(Option<&'a str>);

#[derive(serde::Deserialize)]
struct Metadata<'a> {
    #[serde(borrow, rename = "eventCreationTime")]
    time: &'a serde_json::value::RawValue,
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&serde_json::value::RawValue>::deserialize(deserializer)?.get();
        Ok(Value(match raw.as_bytes().first() {
            Some(b'"') => raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')),
            Some(b'{') => serde_json::from_str::<Metadata<'_>>(raw).ok().map(|metadata| metadata.time.get()),
            Some(b'0'..=b'9') => Some(raw),
            _ => None,
        }))
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
            (
                r#"{"metadata":{"offset":7,"eventCreationTime":1709633730123},"event":{}}"#,
                Some("2024-03-05T10:15:30.123Z"),
            ),
            (r#"{"metadata":"x","timestamp":"1709633730123"}"#, Some("2024-03-05T10:15:30.123Z")),
            (
                r#"{"timestamp":1709633730,"isotimestamp":"2024-03-05T10:15:30.5+00:00"}"#,
                Some("2024-03-05T10:15:30.500Z"),
            ),
            (r#"{"timestamp":1709633730,"timestamp_nanoseconds":1,"action":"x"}"#, Some("2024-03-05T10:15:30.000Z")),
            (r#"{"id":1,"date":"2026-01-05T10:03:19+00:00","timestamp":1709633730}"#, Some("2026-01-05T10:03:19.000Z")),
            (r#"{}"#, None),
        ] {
            let own = serde_json::from_str::<Own>(text).unwrap();
            assert_eq!(own.0.map(|time| time.to_string()).as_deref(), time, "{text}");
        }
        assert!(serde_json::from_str::<Own>("[1]").is_err());
    }
}
