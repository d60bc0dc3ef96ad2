use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::LazyLock;

use proptest::prelude::*;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, json};

use super::*;
use crate::event::{BatchBuilder, BatchLimits};

const RECEIVED: Timestamp = Timestamp(1_709_633_731_456_789);

fn origin(peer: &str) -> Origin {
    Origin::new(Transport::Udp, Some(peer.parse::<SocketAddr>().unwrap()))
}

/// Encodes records (own id, length on the wire, bytes) of one batch.
fn encoded_all(
    kind: Kind,
    reading: &Reading,
    origin: &Origin,
    given: &[(Option<&str>, Option<u64>, &[u8])],
) -> Vec<(String, Encoded)> {
    let mut builder = BatchBuilder::new("fw".into(), kind, BatchLimits::default());
    for (id, cut_from, bytes) in given {
        builder.push(&Record { received: RECEIVED, origin, id: *id, cut_from: *cut_from, bytes });
    }
    let batch = builder.seal().unwrap();
    let mut encoder = Encoder::new(ApplianceId(0xabc), "edge \"1\"", BatchNumber(255), &batch, reading);
    let (mut records, mut all) = (batch.records(), Vec::new());
    for index in 0..batch.count() {
        let mut to = b"kept".to_vec();
        let encoded = encoder.write(index, &records.next().unwrap(), &mut to);
        let text = String::from_utf8(to).unwrap();
        assert!(!text.contains('\n'));
        all.push((text.strip_prefix("kept").unwrap().to_owned(), encoded));
    }
    all
}

fn encoded(kind: Kind, bytes: &[u8]) -> (Value, Encoded) {
    let (text, encoded) = encoded_text(kind, None, bytes);
    (strict(&text), encoded)
}

fn encoded_text(kind: Kind, id: Option<&str>, bytes: &[u8]) -> (String, Encoded) {
    encoded_all(kind, &Reading::default(), &origin("192.0.2.1:514"), &[(id, None, bytes)]).remove(0)
}

/// Parses one object and fails if a name comes twice anywhere.
fn strict(text: &str) -> Value {
    let Unique = serde_json::from_str(text).unwrap_or_else(|err| panic!("{err}: {text}"));
    let value: Value = serde_json::from_str(text).unwrap();
    assert!(value.is_object());
    value
}

struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Unique;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }
            fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
                Ok(Unique)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
                Ok(Unique)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
                Ok(Unique)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
                Ok(Unique)
            }
            fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
                Ok(Unique)
            }
            fn visit_unit<E>(self) -> Result<Unique, E> {
                Ok(Unique)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unique, A::Error> {
                while let Some(Unique) = items.next_element()? {}
                Ok(Unique)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Unique, A::Error> {
                let mut names = HashSet::new();
                while let Some((name, Unique)) = members.next_entry::<String, Unique>()? {
                    if !names.insert(name.clone()) {
                        return Err(serde::de::Error::custom(format!("{name:?} twice")));
                    }
                }
                Ok(Unique)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// The bytes that came, taken back out of an event.
fn raw(event: &Value) -> Vec<u8> {
    match event["sapphire"]["raw_base64"].as_str() {
        Some(text) => STANDARD.decode(text).unwrap(),
        None => event["message"].as_str().unwrap().as_bytes().to_vec(),
    }
}

#[test]
fn a_firewall_event_whole() {
    let line = r#"<30>device="SFW" date=2024-03-05 time=10:15:30 timezone="CET" device_name="XGS116" device_id=X1 log_id=010101600001 user_name="" message="a "b"""#;
    let (text, encoded) = encoded_text(Kind::Syslog, None, line.as_bytes());
    assert!(!encoded.unparsed);
    assert!(
        text.starts_with(
            r#"{"@timestamp":"2024-03-05T10:15:30.000Z","@metadata":{"beat":"sapphire-edge","type":"_doc","#
        )
    );
    let version = env!("CARGO_PKG_VERSION");
    let expected = json!({
        "@timestamp": "2024-03-05T10:15:30.000Z",
        "@metadata": {"beat": "sapphire-edge", "type": "_doc", "version": version, "_id": "0000000000000abc-ff-0"},
        "message": line,
        "event": {"id": "0000000000000abc-ff-0", "created": "2024-03-05T10:15:31.456Z"},
        "log": {
            "syslog": {
                "priority": 30,
                "facility": {"code": 3, "name": "daemon"},
                "severity": {"code": 6, "name": "Informational"},
            },
            "source": {"address": "192.0.2.1:514"},
        },
        "source": {"ip": "192.0.2.1", "port": 514},
        "host": {"name": "XGS116"},
        "agent": {"type": "sapphire-edge", "version": version, "id": "0000000000000abc", "name": "edge \"1\""},
        "input": {"type": "syslog"},
        "ecs": {"version": "8.11.0"},
        "sapphire": {
            "source": "fw",
            "kind": "syslog",
            "appliance": "0000000000000abc",
            "received": "2024-03-05T10:15:31.456Z",
            "transport": "udp",
            "format": "sophos_sfos",
            "fields": {
                "device": "SFW",
                "date": "2024-03-05",
                "time": "10:15:30",
                "timezone": "CET",
                "device_name": "XGS116",
                "device_id": "X1",
                "log_id": "010101600001",
                "message": "a \"b\"",
            },
        },
    });
    assert_eq!(strict(&text), expected);
}

#[test]
fn a_relayed_event_keeps_host_relay_and_peer_apart() {
    let (event, _) = encoded(
        Kind::Syslog,
        b"<13>Mar  5 10:15:31 relay <34>1 2024-03-05T10:15:30.123Z fw1 su 007 ID47 [a@1 b=\"x\\\"y\" b=\"z\"][meta n=\"1\"] text",
    );
    assert_eq!(
        event["log"]["syslog"],
        json!({
            "priority": 34,
            "facility": {"code": 4, "name": "auth"},
            "severity": {"code": 2, "name": "Critical"},
            "version": "1",
            "hostname": "fw1",
            "appname": "su",
            "procid": "007",
            "msgid": "ID47",
            "structured_data": {"a@1": {"b": ["x\"y", "z"]}, "meta": {"n": "1"}},
        })
    );
    assert_eq!(event["@timestamp"], "2024-03-05T10:15:30.123Z");
    assert_eq!(event["host"]["name"], "fw1");
    assert_eq!(event["sapphire"]["relay"], "relay");
    assert_eq!(event["source"]["ip"], "192.0.2.1");
    assert_eq!(event["sapphire"]["marks"], json!(["nested_header"]));
}

#[test]
fn an_event_without_a_time_gets_that_of_its_receipt() {
    let (event, encoded) = encoded(Kind::Syslog, b"who knows");
    assert!(encoded.unparsed);
    assert_eq!(event["@timestamp"], "2024-03-05T10:15:31.456Z");
    assert_eq!(event["message"], "who knows");
    assert_eq!(event["sapphire"]["marks"], json!(["unparsed", "no_pri"]));
    assert_eq!(event["log"]["syslog"]["priority"], 13);
    assert!(event.get("host").is_none());
}

#[test]
fn the_sequence_of_a_device_is_kept() {
    let (event, _) = encoded(Kind::Syslog, b"<189>123: rtr1: Mar  5 10:15:30: %SYS-5-CONFIG_I: x");
    assert_eq!(event["event"]["sequence"], 123);
}

#[test]
fn bytes_that_are_no_text_are_kept_beside_it() {
    let bytes = b"<13>Mar  5 10:15:30 h app: gr\xfcn \x00";
    let (event, encoded) = encoded(Kind::Syslog, bytes);
    assert!(!encoded.unparsed);
    assert_eq!(event["message"], "<13>Mar  5 10:15:30 h app: grün \0");
    assert_eq!(event["sapphire"]["marks"], json!(["not_utf8"]));
    assert_eq!(raw(&event), bytes);
}

#[test]
fn a_cut_event_says_how_long_it_was() {
    let given = [(None, Some(100_000), &b"<13>Mar  5 10:15:30 h app: x"[..])];
    let (text, _) = encoded_all(Kind::Syslog, &Reading::default(), &origin("192.0.2.1:514"), &given).remove(0);
    assert_eq!(strict(&text)["sapphire"]["cut_from"], 100_000);
}

#[test]
fn peers_are_named_by_address_and_certificate() {
    let given = [(None, None, &b"<13>x: y"[..])];
    let named = |peer: &str, name: Option<&str>| {
        let origin = Origin { transport: Transport::Tls, name: name.map(Into::into), ..origin(peer) };
        let (text, _) = encoded_all(Kind::Syslog, &Reading::default(), &origin, &given).remove(0);
        strict(&text)
    };
    let event = named("[::ffff:192.0.2.1]:6514", Some("fw\"1"));
    assert_eq!(event["source"], json!({"ip": "192.0.2.1", "port": 6514}));
    assert_eq!(event["log"]["source"]["address"], "192.0.2.1:6514");
    assert_eq!(event["sapphire"]["transport"], "tls");
    assert_eq!(event["sapphire"]["client"], "fw\"1");
    let event = named("[2001:db8::1]:6514", None);
    assert_eq!(event["source"]["ip"], "2001:db8::1");
    assert_eq!(event["log"]["source"]["address"], "[2001:db8::1]:6514");
    let own = Origin::new(Transport::Internal, None);
    let (text, _) = encoded_all(Kind::Syslog, &Reading::default(), &own, &given).remove(0);
    let event = strict(&text);
    assert!(event.get("source").is_none() && event["log"].get("source").is_none());
    assert_eq!(event["sapphire"]["transport"], "internal");
}

#[test]
fn a_change_of_peer_inside_a_batch_is_seen() {
    let (one, two) = (origin("192.0.2.1:514"), origin("192.0.2.2:515"));
    let mut builder = BatchBuilder::new("fw".into(), Kind::Syslog, BatchLimits::default());
    for origin in [&one, &two, &two, &one] {
        builder.push(&Record { received: RECEIVED, origin, id: None, cut_from: None, bytes: b"<13>x: y" });
    }
    let batch = builder.seal().unwrap();
    let mut encoder = Encoder::new(ApplianceId(1), "edge", BatchNumber(1), &batch, &Reading::default());
    let mut records = batch.records();
    for (index, port) in [514, 515, 515, 514].into_iter().enumerate() {
        let mut to = Vec::new();
        encoder.write(u32::try_from(index).unwrap(), &records.next().unwrap(), &mut to);
        let event = strict(std::str::from_utf8(&to).unwrap());
        assert_eq!(event["source"]["port"], port);
        assert_eq!(event["event"]["id"], format!("0000000000000001-1-{index}"));
    }
}

#[test]
fn fields_follow_the_reading() {
    let reading = |fields| Reading { fields, ..Reading::default() };
    let encode = |fields, line: &[u8]| {
        let (text, _) =
            encoded_all(Kind::Syslog, &reading(fields), &origin("192.0.2.1:514"), &[(None, None, line)]).remove(0);
        strict(&text)["sapphire"].clone()
    };
    let other = b"<13>Mar  5 10:15:30 h app: a=1 b=2";
    assert_eq!(encode(Fields::Always, other)["fields"], json!({"a": "1", "b": "2"}));
    assert!(encode(Fields::Auto, other).get("fields").is_none());
    let sophos = b"<30>device_name=\"x\" log_id=1";
    assert!(encode(Fields::Never, sophos).get("fields").is_none());
    assert_eq!(encode(Fields::Auto, sophos)["fields"], json!({"device_name": "x", "log_id": "1"}));
    assert!(encode(Fields::Always, b"<13>Mar  5 10:15:30 h app: no pairs").get("fields").is_none());
}

#[test]
fn a_field_that_comes_twice_is_there_once() {
    let (event, _) = encoded(Kind::Syslog, b"<30>device=\"SFW\" a=1 a=2 b=3");
    assert_eq!(event["sapphire"]["fields"], json!({"device": "SFW", "a": "1", "b": "3"}));
    assert_eq!(event["sapphire"]["marks"], json!(["repeated_field"]));
}

#[test]
fn fields_are_bounded() {
    let mut line = String::from("<30>device=\"SFW\"");
    for n in 0..2_000 {
        line.push_str(&format!(" a{n}={n} a{n}={n}"));
    }
    let (event, _) = encoded(Kind::Syslog, line.as_bytes());
    assert_eq!(event["sapphire"]["fields"].as_object().unwrap().len(), 512);
    assert_eq!(event["sapphire"]["marks"], json!(["fields_cut", "repeated_field"]));
    assert_eq!(raw(&event), line.as_bytes());
}

#[test]
fn a_flood_of_structured_data_costs_no_square() {
    let line = format!("<13>1 - h a p i [x@1{}] y", " n=\"1\"".repeat(50_000));
    let (event, _) = encoded(Kind::Syslog, line.as_bytes());
    assert_eq!(event["log"]["syslog"]["structured_data"]["x@1"]["n"].as_array().unwrap().len(), 50_000);
    let line = format!("<13>1 - h a p i {} y", "[x@1 n=\"1\"]".repeat(50_000));
    let (event, _) = encoded(Kind::Syslog, line.as_bytes());
    assert_eq!(event["log"]["syslog"]["structured_data"]["x@1"]["n"].as_array().unwrap().len(), 50_000);
}

/// Our part of a passed-on event, with the sender's rest as text.
fn passed(given: &str, id: Option<&str>) -> (String, Value) {
    let (text, encoded) = encoded_text(Kind::Beats, id, given.as_bytes());
    assert!(!encoded.unparsed, "{given}");
    let value = strict(&text);
    (text, value)
}

#[test]
fn a_beats_event_goes_on_as_it_came() {
    let given = r#"{"z":1.50,"@timestamp":"2024-03-05T10:15:30.123Z","@metadata":{"beat":"filebeat","type":"_doc","version":"8.17.0"},"message":"a\/b\u0041","a":[1, 2]}"#;
    let (text, value) = passed(given, None);
    assert_eq!(
        text,
        r#"{"z":1.50,"@timestamp":"2024-03-05T10:15:30.123Z","@metadata":{"_id":"0000000000000abc-ff-0","beat":"filebeat","type":"_doc","version":"8.17.0"},"message":"a\/b\u0041","a":[1, 2],"sapphire":{"source":"fw","kind":"beats","appliance":"0000000000000abc","received":"2024-03-05T10:15:31.456Z","transport":"udp","peer":{"ip":"192.0.2.1","port":514}}}"#
    );
    assert_eq!(value["sapphire"]["peer"]["port"], 514);
}

#[test]
fn the_id_of_a_beats_event_is_the_event_id() {
    for (metadata, id, expected) in [
        (r#"{"beat":"x"}"#, None, r#"{"_id":"0000000000000abc-ff-0","beat":"x"}"#),
        ("{}", None, r#"{"_id":"0000000000000abc-ff-0"}"#),
        (r#"{ "a" : 1 }"#, None, r#"{"_id":"0000000000000abc-ff-0", "a" : 1 }"#),
        (r#"{"_id":"mine","beat":"x"}"#, Some("mine"), r#"{"_id":"mine","beat":"x"}"#),
        (r#"{"_id":"m\u0069ne"}"#, Some("mine"), r#"{"_id":"m\u0069ne"}"#),
        (r#"{"a":1,"_id":"","b":2}"#, None, r#"{"a":1,"_id":"0000000000000abc-ff-0","b":2}"#),
        (r#"{"_id":17}"#, None, r#"{"_id":"0000000000000abc-ff-0"}"#),
        (r#"{"_id":"theirs"}"#, Some("ours"), r#"{"_id":"ours"}"#),
        (r#"{"_id":{"x":"}"}}"#, Some("o\"s"), r#"{"_id":"o\"s"}"#),
    ] {
        let (text, value) = passed(&format!(r#"{{"@metadata":{metadata},"m":1}}"#), id);
        assert!(text.starts_with(&format!(r#"{{"@metadata":{expected},"m":1,"sapphire":"#)), "{text}");
        assert_eq!(value["@metadata"]["_id"], id.unwrap_or("0000000000000abc-ff-0"));
    }
}

#[test]
fn metadata_that_is_missing_or_odd_is_made_anew() {
    let ours = json!({
        "beat": "sapphire-edge", "type": "_doc", "version": env!("CARGO_PKG_VERSION"), "_id": "0000000000000abc-ff-0"
    });
    for (given, kept) in [
        (r#"{"m":1}"#, None),
        ("{}", None),
        (" \n{ }\r\n", None),
        (r#"{"m":1,"@metadata":"text"}"#, Some(r#""text""#)),
        (r#"{"@metadata":[1]}"#, Some("[1]")),
        (r#"{"@metadata":{"_id":"a","_id":"b"}}"#, Some(r#"{"_id":"a","_id":"b"}"#)),
    ] {
        let (text, encoded) = encoded_text(Kind::Beats, None, given.as_bytes());
        assert!(!encoded.unparsed);
        let value = strict(&text);
        assert_eq!(value["@metadata"], ours, "{given}");
        assert_eq!(text.matches("\"@metadata\":").count(), 1);
        assert_eq!(value["sapphire"].get("metadata").map(|text| text.as_str().unwrap()), kept);
        assert_eq!(value["sapphire"]["kind"], "beats");
    }
}

#[test]
fn boxes_in_a_chain_do_not_overwrite_one_another() {
    let (_, value) = passed(r#"{"m":1,"sapphire":{"source":"first"}}"#, None);
    assert_eq!(value["sapphire"], json!({"source": "first"}));
    assert_eq!(value["sapphire_relay"]["source"], "fw");
    let (text, _) = passed(r#"{"sapphire":{"source":"first"}}"#, None);
    let mut text = text;
    for name in (2..=9).map(|n| format!("sapphire_relay_{n}")) {
        let (next, value) = passed(&text, None);
        assert_eq!(value[&name]["source"], "fw");
        text = next;
    }
    let (last, value) = passed(&text, None);
    assert_eq!(last, text, "nothing is added past the last name");
    assert_eq!(value["@metadata"]["_id"], "0000000000000abc-ff-0");
}

#[test]
fn line_breaks_between_tokens_become_blanks() {
    let (text, value) = passed("{\n  \"@metadata\": {\r\n\"a\":1},\n\"m\": \"x\\ny\"\n}\n", None);
    assert!(!text.contains(['\n', '\r']));
    assert_eq!(value["m"], "x\ny");
    assert_eq!(value["@metadata"]["a"], 1);
}

#[test]
fn what_is_no_object_goes_out_as_text() {
    let deep = format!("{}{}", r#"{"a":"#.repeat(200), "1".to_owned() + &"}".repeat(200));
    for given in [
        &b"plain"[..],
        b"",
        b"[1]",
        b"\"text\"",
        b"{\"a\":1",
        b"{\"a\":1}}",
        b"{\"a\":1}{\"b\":2}",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":\"\\ud800\"}",
        b"{\"@metadata\":{},\"@metadata\":{}}",
        deep.as_bytes(),
    ] {
        let (event, encoded) = encoded(Kind::Beats, given);
        assert!(encoded.unparsed);
        assert_eq!(raw(&event), given);
        assert_eq!(event["sapphire"]["marks"], json!(["not_json"]));
        assert_eq!(event["@timestamp"], "2024-03-05T10:15:31.456Z");
        assert_eq!(event["input"]["type"], "lumberjack");
        assert_eq!(event["source"]["port"], 514);
    }
}

#[test]
fn whole_surrogate_pairs_and_harmless_depth_pass() {
    passed(r#"{"a":"\ud83d\ude00"}"#, None);
    passed(&format!(r#"{{"a":[{}]}}"#, vec!["{}"; 500].join(",")), None);
}

#[test]
fn a_notice_of_this_box_is_passed_on_like_an_event() {
    let (event, encoded) = encoded(Kind::Notice, br#"{"@timestamp":"2024-03-05T10:15:30.000Z","message":"gap"}"#);
    assert!(!encoded.unparsed);
    assert_eq!(event["sapphire"]["kind"], "notice");
    assert_eq!(event["@metadata"]["beat"], "sapphire-edge");
}

/// The messages of `tests/data/syslog`.
static CASES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/syslog");
    let folders = std::fs::read_dir(root).unwrap();
    folders.map(|folder| std::fs::read(folder.unwrap().path().join("input.bin")).unwrap()).collect()
});

#[test]
fn every_known_case_becomes_one_object_that_holds_its_bytes() {
    assert!(CASES.len() >= 40);
    for bytes in CASES.iter() {
        for fields in [Fields::Auto, Fields::Always] {
            let reading = Reading { fields, ..Reading::default() };
            let given = [(None, None, &bytes[..])];
            let (text, _) = encoded_all(Kind::Syslog, &reading, &origin("192.0.2.1:514"), &given).remove(0);
            assert_eq!(&raw(&strict(&text)), bytes);
        }
    }
}

#[test]
fn readings_are_kept_by_source() {
    let readings = Readings::default();
    let zone = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
    let reading = Reading { time_zone: zone, fields: Fields::Never };
    readings.clone().set("fw".into(), reading.clone());
    assert_eq!(readings.get(&"fw".into()), reading);
    assert_eq!(readings.get(&"other".into()), Reading::default());
}

/// JSON as a sender might write it.
fn object() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        "[ -~]{0,12}".prop_map(Value::from),
    ];
    let name = prop_oneof!["[a-z@_]{0,6}", Just("@metadata".into()), Just("_id".into()), Just("sapphire".into())];
    let inner = leaf.prop_recursive(3, 24, 5, {
        let name = name.clone();
        move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::hash_map(name.clone(), inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        }
    });
    proptest::collection::hash_map(name, inner, 0..6).prop_map(|members| Value::Object(members.into_iter().collect()))
}

proptest! {
    #[test]
    fn any_bytes_survive(bytes in proptest::collection::vec(any::<u8>(), 0..300), fields in any::<bool>()) {
        let reading = Reading { fields: if fields { Fields::Always } else { Fields::Auto }, ..Reading::default() };
        for kind in [Kind::Syslog, Kind::Beats] {
            let (text, _) = encoded_all(kind, &reading, &origin("[2001:db8::1]:1"), &[(None, None, &bytes)]).remove(0);
            prop_assert_eq!(raw(&strict(&text)), &bytes[..]);
        }
    }

    /// A byte put in, taken out or changed, and another message behind a part of the first.
    #[test]
    fn mutations_of_known_cases_survive(
        one in any::<prop::sample::Index>(), two in any::<prop::sample::Index>(), join in proptest::option::of(any::<prop::sample::Index>()),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0..3, prop_oneof![
            proptest::sample::select(b"<>[]=\"\t\n :%\\-1,|.*\0".to_vec()), any::<u8>()
        ]), 0..5)
    ) {
        let mut bytes = CASES[one.index(CASES.len())].clone();
        if let Some(join) = join {
            bytes.truncate(join.index(bytes.len()));
            bytes.extend_from_slice(&CASES[two.index(CASES.len())]);
        }
        for (place, edit, byte) in edits {
            let at = place.index(bytes.len().max(1));
            match edit {
                0 => bytes.insert(at, byte),
                1 if !bytes.is_empty() => drop(bytes.remove(at)),
                _ if !bytes.is_empty() => bytes[at] = byte,
                _ => {}
            }
        }
        let reading = Reading { fields: Fields::Always, ..Reading::default() };
        let (text, _) = encoded_all(Kind::Syslog, &reading, &origin("192.0.2.1:514"), &[(None, None, &bytes)]).remove(0);
        prop_assert_eq!(raw(&strict(&text)), bytes);
    }

    #[test]
    fn syslog_like_text_survives(
        text in "(<13>|<189>1 |Mar  5 10:15:30 |2024-03-05T10:15:30Z |- |%SYS-5-X: |[a-c]=|\"| |\\[a b=\"c\"\\]|\\PC){0,14}",
        own in proptest::option::of("\\PC{1,20}")
    ) {
        let reading = Reading { fields: Fields::Always, ..Reading::default() };
        let given = [(own.as_deref(), None, text.as_bytes())];
        let (json, _) = encoded_all(Kind::Syslog, &reading, &origin("192.0.2.1:514"), &given).remove(0);
        let event = strict(&json);
        prop_assert_eq!(raw(&event), text.as_bytes());
        if let Some(own) = own {
            prop_assert_eq!(event["@metadata"]["_id"].as_str(), Some(own.as_str()));
            prop_assert_eq!(event["event"]["id"].as_str(), Some(own.as_str()));
        }
    }

    #[test]
    fn objects_keep_all_that_was_in_them(given in object(), pretty in any::<bool>(), own in proptest::option::of("\\PC{1,20}")) {
        let text = if pretty { serde_json::to_string_pretty(&given) } else { serde_json::to_string(&given) }.unwrap();
        let (json, encoded) = encoded_text(Kind::Beats, own.as_deref(), text.as_bytes());
        prop_assert!(!encoded.unparsed);
        let event = strict(&json);
        let id = own.as_deref().unwrap_or("0000000000000abc-ff-0");
        prop_assert_eq!(event["@metadata"]["_id"].as_str(), Some(id));
        for (name, value) in given.as_object().unwrap() {
            match (name.as_str(), value) {
                ("@metadata", Value::Object(members)) => for (name, value) in members.iter().filter(|(name, _)| *name != "_id") {
                    prop_assert_eq!(&event["@metadata"][name], value);
                },
                ("@metadata", other) => {
                    let ours = if given.get("sapphire").is_some() { "sapphire_relay" } else { "sapphire" };
                    let kept: Value = serde_json::from_str(event[ours]["metadata"].as_str().unwrap()).unwrap();
                    prop_assert_eq!(&kept, other);
                }
                _ => prop_assert_eq!(&event[name], value),
            }
        }
    }
}
