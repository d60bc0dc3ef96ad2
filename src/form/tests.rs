//! What is typed, and what becomes of it.

use serde_json::json;

use super::*;

const FORM: Form = Form {
    kind: "x",
    title: "",
    about: "",
    asks: &[
        Field::text("host", "Host", "").needed(),
        Field::list("listen", "Listen", "").preset("udp://0.0.0.0:514"),
        Field::secret("secret_file", "Secret", ""),
        Field::new(Kind::Number, "most", "Most", "").default("30"),
    ],
    more: &[
        &PROXY,
        &VENDOR_CA,
        &[
            Field::new(Kind::Several(&[("a", "A"), ("b", "B")]), "logs", "", "").default("a\nb"),
            Field::new(Kind::Flag, "flag", "", ""),
        ],
    ],
    steps: &[],
    guides: &[],
    is_tested: false,
    consent: false,
    inside: None,
};

fn patch(now: &Value, typed: &[(&str, &str)]) -> Value {
    let text = |key: &str| typed.iter().find(|(name, _)| *name == key).map(|(_, text)| *text);
    let file =
        |key: &str| text(key).map(|text| if text == "-" { Value::Null } else { json!(format!("/files/{text}")) });
    Value::Object(FORM.patch(now, text, file))
}

#[test]
fn only_what_was_changed_changes_and_empty_means_out() {
    let now =
        json!({ "host": "a", "listen": ["x", "y"], "most": 40, "tls": { "ca": "/ca" }, "logs": ["b"], "flag": true });
    let same = [
        ("host", "a "),
        ("listen", "x\r\n y\n\n"),
        ("most", "40"),
        ("proxy", ""),
        ("logs", "\nb"),
        ("flag", "false\ntrue"),
    ];
    assert_eq!(patch(&now, &same), json!({}));
    let other = [
        ("host", ""),
        ("listen", "z"),
        ("most", "30"),
        ("logs", ""),
        ("flag", "false"),
        ("tls.ca", "-"),
        ("secret_file", "s"),
    ];
    let expected = json!({
        "host": null, "listen": ["z"], "most": 30, "logs": [], "flag": false, "tls": { "ca": null }, "secret_file": "/files/s",
    });
    assert_eq!(patch(&now, &other), expected);
    assert_eq!(patch(&now, &[]), json!({}));
}

#[test]
fn a_new_entry_says_what_is_no_default() {
    let typed = [
        ("host", "h"),
        ("listen", "udp://0.0.0.0:514"),
        ("most", "30"),
        ("logs", "a\nb"),
        ("flag", "false"),
        ("proxy", "p:1"),
    ];
    let expected = json!({ "host": "h", "listen": ["udp://0.0.0.0:514"], "proxy": "p:1" });
    assert_eq!(patch(&Value::Null, &typed), expected);
    assert_eq!(patch(&Value::Null, &[("most", "many")]), json!({ "most": "many" }));
}

#[test]
fn a_guide_is_shown_where_all_is_there_that_it_names() {
    let guide = Guide {
        title: "Device",
        place: "Log settings",
        rows: &[("Address", "{address}"), ("Port", "{tls}")],
        text: "user {user}",
    };
    let mut place = Place { address: "192.0.2.10".into(), user: "esa1".into(), udp: Some(514), ..Place::default() };
    assert_eq!(guide.fill(&place), None);
    place.tls = Some(6514);
    let filled = guide.fill(&place).unwrap();
    assert_eq!(filled.rows, [("Address", "192.0.2.10".to_owned()), ("Port", "6514".to_owned())]);
    assert_eq!(filled.text, "user esa1");
}
