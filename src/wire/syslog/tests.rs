//! Every folder of `tests/data/syslog` is a message and what must be read from it; `ORIGIN` says where its shape is from.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::*;
use crate::wire::kv;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    received: String,
    #[serde(default = "utc")]
    time_zone: String,
    #[serde(default)]
    fields: Fields,
    message: Value,
}

fn utc() -> String {
    "UTC".to_owned()
}

fn at(text: &str) -> Timestamp {
    let moment: jiff::Timestamp = text.parse().unwrap();
    Timestamp(u64::try_from(moment.as_microsecond()).unwrap())
}

/// Everything a message says, without what it does not say.
fn shown(message: &Message<'_>, fields: Fields) -> Value {
    let mut shown = Map::new();
    shown.insert("dialect".into(), json!(message.dialect.as_str()));
    shown.insert("priority".into(), json!(message.priority));
    shown.insert("body".into(), json!(message.body));
    if let Some(time) = message.timestamp {
        let micros = i64::try_from(time.micros()).unwrap();
        shown.insert("timestamp".into(), json!(jiff::Timestamp::from_microsecond(micros).unwrap().to_string()));
    }
    for (name, value) in [
        ("version", message.version),
        ("hostname", message.hostname),
        ("appname", message.appname),
        ("procid", message.procid),
        ("msgid", message.msgid),
        ("device", message.device),
        ("relay", message.relay),
    ] {
        if let Some(value) = value {
            shown.insert(name.into(), json!(value));
        }
    }
    if let Some(sequence) = message.sequence {
        shown.insert("sequence".into(), json!(sequence));
    }
    if !message.structured_data.is_empty() {
        let elements: Vec<Value> = message
            .structured_data
            .iter()
            .map(|(id, params)| {
                let params: Vec<_> = params.iter().map(|(name, value)| json!([name, unescape(value)])).collect();
                json!([id, params])
            })
            .collect();
        shown.insert("structured_data".into(), json!(elements));
    }
    if !message.marks.is_empty() {
        shown.insert("marks".into(), message.marks.iter().map(Mark::as_str).collect());
    }
    if fields.wanted(message.dialect) {
        let fields: BTreeMap<&str, &str> = kv::pairs(message.body).collect();
        shown.insert("fields".into(), json!(fields));
    }
    Value::Object(shown)
}

fn cases() -> Vec<(String, Vec<u8>, Expected)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/syslog");
    let mut cases: Vec<_> = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| {
            let folder = entry.unwrap().path();
            let read =
                |name: &str| std::fs::read(folder.join(name)).unwrap_or_else(|err| panic!("{folder:?} {name}: {err}"));
            assert!(read("ORIGIN").len() > 10);
            let expected =
                serde_json::from_slice(&read("expected.json")).unwrap_or_else(|err| panic!("{folder:?}: {err}"));
            (folder.file_name().unwrap().to_string_lossy().into_owned(), read("input.bin"), expected)
        })
        .collect();
    cases.sort_by(|a, b| a.0.cmp(&b.0));
    cases
}

#[test]
fn every_case_reads_as_expected() {
    let mut wrong = Vec::new();
    for (name, input, expected) in cases() {
        let time_zone = TimeZone::get(&expected.time_zone).unwrap();
        let mut parser = Parser::new(&Reading { time_zone, fields: expected.fields });
        let text = Text::of(&input);
        let message = parser.parse(&text, at(&expected.received));
        let found = shown(&message, expected.fields);
        if found != expected.message {
            wrong.push(format!("{name}\n  expected {}\n  found    {found}", expected.message));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_dialect_and_every_mark_has_a_case() {
    let cases = cases();
    assert!(cases.len() >= 40);
    let has = |key: &str, word: &str| {
        cases.iter().any(|(_, _, expected)| match &expected.message[key] {
            Value::Array(words) => words.iter().any(|value| value == word),
            value => value == word,
        })
    };
    for dialect in Dialect::ALL {
        assert!(has("dialect", dialect.as_str()), "{dialect:?}");
    }
    for mark in Mark::ALL {
        assert!(has("marks", mark.as_str()), "{mark:?}");
    }
}

/// Bytes near to what parsers look for.
fn syslog_like() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just("<13>".to_owned()),
        Just("<".to_owned()),
        Just("1 ".to_owned()),
        Just("Mar  5 10:15:30 ".to_owned()),
        Just("2024-03-05T10:15:30Z ".to_owned()),
        Just("2024:03:05-10:15:30 ".to_owned()),
        Just("1709633730.1 ".to_owned()),
        Just("%ASA-6-302013: ".to_owned()),
        Just("host app[1]: ".to_owned()),
        Just("[a b=\"c\"]".to_owned()),
        Just("device=\"SFW\" ".to_owned()),
        Just("date=2024-03-05 time=10:15:30 ".to_owned()),
        Just("- ".to_owned()),
        Just("\u{feff}".to_owned()),
        "[\t\n\r:*.%<> ]{1,3}",
        "[ -~]{0,6}",
        "\\PC{0,3}",
    ];
    proptest::collection::vec(part, 0..9).prop_map(|parts| parts.concat().into_bytes())
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let text = Text::of(&bytes);
        let message = Parser::new(&Reading::default()).parse(&text, Timestamp(1_709_633_731_000_000));
        prop_assert!(text.as_str().contains(message.body));
        prop_assert!(message.priority <= 191);
    }

    #[test]
    fn what_looks_like_syslog_is_read_without_panic(bytes in syslog_like()) {
        let text = Text::of(&bytes);
        let message = Parser::new(&Reading::default()).parse(&text, Timestamp(1_709_633_731_000_000));
        prop_assert!(text.as_str().contains(message.body));
        for part in [message.hostname, message.appname, message.procid, message.msgid, message.device, message.relay] {
            prop_assert!(part.is_none_or(|part| !part.is_empty() && text.as_str().contains(part)));
        }
    }

    #[test]
    fn headers_of_rfc_5424_come_back(
        version in 1u8..=3, host in "[!-,.-9;-~]{1,20}", app in "[!-,.-9;-~][!-~]{0,20}",
        process in "[!-,.-9;-~][!-~]{0,12}", id in "[!-,.-9;-~][!-~]{0,12}",
        name in "[a-z]{1,8}", value in "[ !#-Z^-~ä€]{0,20}", body in "[a-z][ -~]{0,30}[a-z]"
    ) {
        let given = format!("<165>{version} 2024-03-05T10:15:30.123456Z {host} {app} {process} {id} [x@1 {name}=\"{value}\"] {body}");
        let text = Text::of(given.as_bytes());
        let message = Parser::new(&Reading::default()).parse(&text, Timestamp(1_709_633_731_000_000));
        prop_assert_eq!(message.hostname, Some(host.as_str()));
        prop_assert_eq!(message.appname, Some(app.as_str()));
        prop_assert_eq!(message.procid, Some(process.as_str()));
        prop_assert_eq!(message.msgid, Some(id.as_str()));
        prop_assert_eq!(message.body, body.as_str());
        prop_assert_eq!(message.timestamp, Some(Timestamp(1_709_633_730_123_456)));
        let params = [(name.as_str(), value.as_str())];
        let elements: Vec<_> = message.structured_data.iter().collect();
        prop_assert_eq!(elements, vec![("x@1", &params[..])]);
    }
}

/// Found by mutating the cases: it read for ever.
#[test]
fn a_tab_in_front_of_a_mnemonic_is_no_cisco_header() {
    let text = Text::of(b"<166>Mar 05 2024 10:15:30 fw1 \t: %ASA-6-302013: x");
    let message = Parser::new(&Reading::default()).parse(&text, Timestamp(1_709_633_731_000_000));
    assert_eq!((message.dialect, message.hostname), (Dialect::Rfc3164, Some("fw1")));
}

/// The splitter for odd times and syslog_loose for plain ones must agree on what both can read.
#[test]
fn both_readers_of_host_and_tag_agree() {
    for tail in [
        "h app[12]: x",
        "h app: x y",
        "h app[12] x",
        "192.0.2.1 app: x",
        "app[12]: x",
        "mail_logs: Info: x",
        "h x y z",
        "h CEF:0|a|b",
        "CEF:0|a|b",
        "h {\"a\": 1}",
        "id=firewall sn=1",
        "- app: x",
        "2001:db8::1 app: x",
        "hello",
        "192.0.2.1: x",
        "h  app: x",
        "h app:x",
        "h MSWinEventLog\t1\tSecurity",
        "h 1,2024/03/05 10:15:30,001,TRAFFIC,end",
        "h app[a]b: x",
        "h : x",
        "h kernel: [12.5] x",
        "h -: x",
        "h app[]: x",
        "h app[12",
    ] {
        let (plain, odd) = (format!("<13>Mar  5 10:15:30 {tail}"), format!("<13>Mar  5 10:15:30.0 {tail}"));
        let (plain, odd) = (Text::of(plain.as_bytes()), Text::of(odd.as_bytes()));
        let mut parser = Parser::new(&Reading::default());
        let received = Timestamp(1_709_633_731_000_000);
        let (plain, odd) = (parser.parse(&plain, received), parser.parse(&odd, received));
        assert_eq!(shown(&plain, Fields::Never), shown(&odd, Fields::Never), "{tail}");
    }
}
