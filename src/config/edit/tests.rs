//! What changes, and that nothing else does.

use std::path::Path;

use serde_json::json;

use super::*;
use crate::config::{Config, EXAMPLE};

const TEXT: &str = r#"# of the site
name = "edge-1" # as on the label

# The page.
[page]
listen = ["127.0.0.1:443"]

# Firewalls of Berlin.
[[source]]
id = "firewalls"
type = "syslog"
# The old port too.
listen = ["udp://127.0.0.1:514"] # both
# time_zone = "UTC"
max_connections = 10

# Needed for tls://.
[source.tls]
cert = "/x/cert.pem"
key = "/x/key.pem"
# min_version = "1.2"

# All agents.
[[source]]
id = "beats"
type = "lumberjack"
listen = ["tcp://127.0.0.1:5044"]
# the end
"#;

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other}"),
    }
}

fn set_in(text: &str, table: &str, values: Value) -> String {
    edit(text, &Edit::Set { table: table.to_owned(), values: map(values) }).unwrap()
}

#[test]
fn keys_are_set_and_everything_else_stays_byte_by_byte() {
    for (table, values, from, to) in [
        ("", json!({ "name": "edge-2" }), "\"edge-1\" #", "\"edge-2\" #"),
        (
            "page",
            json!({ "listen": ["[::]:443", "0.0.0.0:443"] }),
            "\"127.0.0.1:443\"",
            "\"[::]:443\", \"0.0.0.0:443\"",
        ),
        ("source[firewalls]", json!({ "max_connections": 20 }), "= 10", "= 20"),
        ("source[firewalls]", json!({ "max_connections": null }), "max_connections = 10\n", ""),
        ("source[firewalls]", json!({ "listen": null }), "listen = [\"udp://127.0.0.1:514\"] # both\n", ""),
        ("source[firewalls].tls", json!({ "key": "/y" }), "/x/key.pem", "/y"),
        ("source[firewalls]", json!({ "tls": { "key": "/y", "cert": "/x/cert.pem" } }), "/x/key.pem", "/y"),
        ("source[firewalls]", json!({ "tls": { "key": null } }), "key = \"/x/key.pem\"\n", ""),
        ("source[beats]", json!({ "id": "agents" }), "\"beats\"", "\"agents\""),
        ("source[beats]", json!({ "type": "lumberjack", "tls": { "ca": null }, "nothing": null }), "", ""),
    ] {
        let expected = if from.is_empty() { TEXT.to_owned() } else { TEXT.replacen(from, to, 1) };
        assert_eq!(set_in(TEXT, table, values.clone()), expected, "{table} {values}");
    }
}

#[test]
fn what_is_not_there_is_made_where_it_belongs() {
    let text = set_in(TEXT, "network", json!({ "address": "192.0.2.7/24", "dns": ["192.0.2.1"] }));
    assert!(text.contains("\n[network]\naddress = \"192.0.2.7/24\"\ndns = [\"192.0.2.1\"]\n"), "{text}");
    let text = set_in(&text, "network", json!({ "address": null, "dns": ["192.0.2.2"] }));
    assert!(text.contains("\n[network]\ndns = [\"192.0.2.2\"]\n"), "{text}");
    let text = set_in(TEXT, "source[beats]", json!({ "enabled": false, "tls": { "cert": "/c" } }));
    assert!(text.contains("5044\"]\nenabled = false\n\n[source.tls]\ncert = \"/c\"\n"), "{text}");
    let values: Value = toml::from_str(&text).unwrap();
    assert_eq!(values["source"][1]["tls"]["cert"], "/c");
    // Dots and braces are kept as they are.
    let short = "network.dns = [\"192.0.2.1\"]\nnetwork.address = \"x\"\n[[source]]\nid = \"a\"\ntls = { cert = \"/c\", key = \"/k\" }\n";
    let text = set_in(short, "network", json!({ "address": null, "gateway": "192.0.2.9" }));
    assert!(text.starts_with("network.dns = [\"192.0.2.1\"]\nnetwork.gateway = \"192.0.2.9\"\n"), "{text}");
    let text = set_in(short, "source[a]", json!({ "tls": { "cert": "/d", "key": null } }));
    assert!(text.contains("tls = { cert = \"/d\"") && !text.contains("key"), "{text}");
    assert_eq!(set_in("", "time", json!({ "ntp": ["192.0.2.3"] })), "[time]\nntp = [\"192.0.2.3\"]\n");
}

#[test]
fn an_inner_table_in_which_nothing_is_left_goes_and_the_comments_of_others_stay() {
    let text = set_in(TEXT, "source[firewalls]", json!({ "tls": { "cert": null, "key": null } }));
    let expected = TEXT.replace(
        "# Needed for tls://.\n[source.tls]\ncert = \"/x/cert.pem\"\nkey = \"/x/key.pem\"\n# min_version = \"1.2\"\n\n",
        "",
    );
    assert_eq!(text, expected);
    assert_eq!(set_in(TEXT, "source[firewalls]", json!({ "tls": null })), expected);
    let dotted = "[[source]]\nid = \"a\"\n# about a\ntls.cert = \"/c\"\ntls.key = \"/k\"\nx = 1\n";
    assert_eq!(
        set_in(dotted, "source[a]", json!({ "tls": { "cert": null, "key": null } })),
        "[[source]]\nid = \"a\"\n# about a\nx = 1\n"
    );
}

#[test]
fn entries_are_added_behind_the_others_and_taken_out_with_their_tables() {
    let new = json!({ "listen": ["udp://127.0.0.1:515"], "type": "syslog", "id": "new", "tls": { "cert": "/c" } });
    let add =
        |text: &str, list: &str, values: Value| edit(text, &Edit::Add { list: list.to_owned(), values: map(values) });
    let text = add(TEXT, "source", new).unwrap();
    let added = "\n[[source]]\nid = \"new\"\ntype = \"syslog\"\nlisten = [\"udp://127.0.0.1:515\"]\n\n[source.tls]\ncert = \"/c\"\n";
    assert!(text.contains(added), "{text}");
    let remove = |text: &str, entry: &str| edit(text, &Edit::Remove { entry: entry.to_owned() });
    // What stands at the very end belongs to the last entry.
    assert_eq!(remove(&text, "source[new]").unwrap().trim_end(), TEXT.replace("# the end\n", "").trim_end());
    let rest = remove(TEXT, "source[firewalls]").unwrap();
    let (begin, end) = (TEXT.find("# Firewalls").unwrap(), TEXT.find("# All agents").unwrap());
    assert_eq!(rest, format!("{}{}", &TEXT[..begin], &TEXT[end..]));
    assert_eq!(remove(&rest, "source[beats]").unwrap(), format!("{}\n", TEXT[..begin].trim_end()));
    let first =
        add("source = []\n", "source", json!({ "id": "a", "device": [{ "keys": ["k"], "name": "esa1" }] })).unwrap();
    let more = add(&first, "source[a].device", json!({ "keys": [], "name": "esa.2@x" })).unwrap();
    let values: Value = toml::from_str(&more).unwrap();
    assert_eq!(
        values["source"][0]["device"],
        json!([{ "keys": ["k"], "name": "esa1" }, { "keys": [], "name": "esa.2@x" }])
    );
    let changed = set_in(&more, "source[a].device[esa.2@x]", json!({ "keys": ["l"] }));
    let less = remove(&changed, "source[a].device[esa1]").unwrap();
    let values: Value = toml::from_str(&less).unwrap();
    assert_eq!(values["source"][0]["device"], json!([{ "keys": ["l"], "name": "esa.2@x" }]));
}

#[test]
fn what_is_not_there_or_no_toml_is_told_and_never_a_panic() {
    let set = |text: &str, table: &str| edit(text, &Edit::Set { table: table.into(), values: map(json!({ "a": 1 })) });
    assert!(matches!(set("name = ", "network"), Err(EditError::NotToml)));
    assert!(matches!(set(TEXT, "source[nobody]"), Err(EditError::NoEntry(_))));
    assert!(matches!(set(TEXT, "name"), Err(EditError::NoTable(_))));
    assert!(matches!(set("source = [{ id = \"a\" }]", "source[a]"), Err(EditError::NoTable(_))));
    assert!(matches!(edit(TEXT, &Edit::Remove { entry: "source[x]".into() }), Err(EditError::NoEntry(_))));
    for odd in ["[", "]", ".", "a[", "a[b", "a]b", "..", "source[firewalls", "source]", "a.b[c].d"] {
        let _ = set(TEXT, odd);
        let _ = edit(TEXT, &Edit::Remove { entry: odd.into() });
        let _ = edit(TEXT, &Edit::Add { list: odd.into(), values: Map::new() });
    }
}

#[test]
fn the_example_loses_and_gets_each_of_its_entries() {
    let config = Config::parse(Path::new("x"), EXAMPLE).unwrap();
    for source in &config.source {
        let entry = format!("source[{}]", source.id());
        let text = edit(EXAMPLE, &Edit::Remove { entry }).unwrap();
        let less = Config::parse(Path::new("x"), &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(less.source.len(), config.source.len() - 1);
        assert!(less.source.iter().all(|other| config.source.contains(other)));
        assert_eq!(less.output, config.output);
        let Value::Object(values) = serde_json::to_value(source).unwrap() else { panic!() };
        let again = edit(&text, &Edit::Add { list: "source".into(), values }).unwrap();
        let again = Config::parse(Path::new("x"), &again).unwrap_or_else(|error| panic!("{error}\n{again}"));
        assert!(again.source.contains(source), "{source:?}");
    }
}
