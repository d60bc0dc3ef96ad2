//! The envelope that Azure's exports wrap records in: `{"records":[…]}`, cut at byte positions, so that each record goes on
//! as it came (numbers of 64 bits included).
//!
//! In: the bytes of one event. Out: its records, or the whole event where it is no such envelope. Odd ones are never
//! repaired and never dropped: they go on whole, with a mark. Facts: Microsoft, "Azure Monitor resource logs to an event
//! hub"; deviations as users of other collectors met them (single quotes and line breaks of Function and App Service logs,
//! placeholders of PostgreSQL, control characters of Application Gateway).

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// The records of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Records<'a> {
    /// Taken out of their envelope; never none. With the mark of those that are no objects.
    Split(Vec<(&'a [u8], Option<&'static str>)>),
    /// The event as it came, and what is odd about it.
    Whole(Option<&'static str>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(borrow)]
    records: Vec<&'a RawValue>,
}

/// Whether an object that is no plain envelope has `records` all the same.
#[derive(Deserialize)]
struct Odd {
    records: Option<IgnoredAny>,
}

/// Takes the records out of an event.
pub(super) fn open(event: &[u8]) -> Records<'_> {
    if event.starts_with(&[0x1f, 0x8b]) {
        return Records::Whole(Some("compressed"));
    }
    let Ok(text) = std::str::from_utf8(event) else { return Records::Whole(Some("not_json")) };
    let text = text.trim_start_matches('\u{feff}').trim_matches(|c: char| c.is_ascii_whitespace() || c == '\0');
    if text.starts_with('{')
        && let Ok(Envelope { records }) = serde_json::from_str(text)
    {
        return split(&records);
    }
    if text.starts_with('[')
        && let Ok(records) = serde_json::from_str::<Vec<&RawValue>>(text)
    {
        return split(&records);
    }
    Records::Whole(oddity(text))
}

fn split<'a>(records: &[&'a RawValue]) -> Records<'a> {
    if records.is_empty() {
        return Records::Whole(Some("empty_envelope"));
    }
    let one = |record: &&'a RawValue| {
        let bytes = record.get().as_bytes();
        (bytes, (!bytes.starts_with(b"{")).then_some("not_an_object"))
    };
    Records::Split(records.iter().map(one).collect())
}

/// What is odd about an event that is no envelope; nothing, where it is an object by itself.
fn oddity(text: &str) -> Option<&'static str> {
    match serde_json::from_str::<Odd>(text) {
        Ok(Odd { records: None }) if text.starts_with('{') => return None,
        // It has other members beside, which would be lost, or `records` is no list.
        Ok(_) if text.starts_with('{') => return Some("odd_envelope"),
        _ => {}
    }
    if serde_json::from_str::<IgnoredAny>(text).is_ok() {
        return Some(if text.starts_with('{') { "odd_envelope" } else { "not_an_object" });
    }
    let mut lines = text.lines().filter(|line| !line.trim().is_empty()).peekable();
    let mut count = 0;
    let all = lines.peek().is_some()
        && lines.all(|line| {
            count += 1;
            serde_json::from_str::<IgnoredAny>(line).is_ok()
        });
    if all && count > 1 {
        return Some("line_delimited");
    }
    let start: String = text.chars().filter(|c| !c.is_whitespace()).take(2).collect();
    Some(if matches!(start.as_str(), "{'" | "['") { "single_quotes" } else { "not_json" })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split_of(event: &str) -> Vec<String> {
        let Records::Split(records) = open(event.as_bytes()) else { panic!("{event} is not split") };
        records.into_iter().map(|(bytes, _)| String::from_utf8(bytes.to_vec()).unwrap()).collect()
    }

    #[test]
    fn records_are_cut_out_byte_for_byte() {
        let event = "\u{feff} {\"records\" : [ {\"ReportId\":639199803770463703,\"x\": 1.0}, {\"a\":\"]},{\"}\n]}\0";
        assert_eq!(split_of(event), ["{\"ReportId\":639199803770463703,\"x\": 1.0}", "{\"a\":\"]},{\"}"]);
        assert_eq!(split_of("[{\"a\":1},{\"b\":2}]"), ["{\"a\":1}", "{\"b\":2}"]);
        let Records::Split(records) = open(b"{\"records\":[1,{}]}") else { panic!() };
        assert_eq!(records, [(&b"1"[..], Some("not_an_object")), (&b"{}"[..], None)]);
    }

    #[test]
    fn odd_ones_stay_whole_and_are_marked() {
        for (event, mark) in [
            (&b"{\"time\":\"x\",\"category\":\"y\"}"[..], None),
            (b"{\"records\":[]}", Some("empty_envelope")),
            (b"[]", Some("empty_envelope")),
            (b"{\"records\":[{}],\"more\":1}", Some("odd_envelope")),
            (b"{\"records\":{\"a\":1}}", Some("odd_envelope")),
            (b"{\"records\":[{}],\"records\":[{}]}", Some("odd_envelope")),
            (b"{'records':[{'a':1}]}", Some("single_quotes")),
            (b"{\"a\":1}\n{\"b\":2}\n", Some("line_delimited")),
            (b"{\"records\":[ [ 227 B blob data ], {} ]}", Some("not_json")),
            (b"{\"records\":[{\"a\":\"\x1c\"}]}", Some("not_json")),
            (b"{\"records\":[{\"a\":1}", Some("not_json")),
            (b"plain text", Some("not_json")),
            (b"42", Some("not_an_object")),
            (b"", Some("not_json")),
            (b"\xff\xfe", Some("not_json")),
            (b"\x1f\x8b\x08\x00", Some("compressed")),
        ] {
            assert_eq!(open(event), Records::Whole(mark), "{}", String::from_utf8_lossy(event));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(event in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = open(&event);
        }

        #[test]
        fn whatever_the_records_they_come_out(records in proptest::collection::vec("\\{\"[a-z]{1,9}\":[0-9]{1,20}\\}", 1..20)) {
            let valid = records.iter().all(|record| serde_json::from_str::<IgnoredAny>(record).is_ok());
            prop_assume!(valid);
            let event = format!("{{\"records\":[{}]}}", records.join(", "));
            prop_assert_eq!(split_of(&event), records);
        }
    }
}
