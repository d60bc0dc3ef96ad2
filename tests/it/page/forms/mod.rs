//! Sources and outputs by form: added, changed, tested, paused and taken out.

mod consent;
mod devices;
mod vendors;

use std::net::{SocketAddr, UdpSocket};

use sapphire_edge::status::Component;
use serde_json::{Value, json};

use super::{Answer, Curl, PASSWORD, SETTINGS, address, claimed};
use crate::peers::appliance::{Appliance, until};

/// Sends a form of ours.
pub fn send(curl: &Curl, path: &str, fields: &[(&str, &str)]) -> Answer {
    let csrf = curl.csrf();
    let all: Vec<_> = [("csrf", csrf.as_str())].into_iter().chain(fields.iter().copied()).collect();
    curl.form(path, &all)
}

/// What stands in a hidden field.
pub fn hidden(answer: &Answer, name: &str) -> Option<String> {
    let from = answer.body.split(&format!("name=\"{name}\" value=\"")).nth(1)?;
    from.split('"').next().map(str::to_owned)
}

fn settings(curl: &Curl) -> String {
    curl.get("/api/v1/settings").json()["text"].as_str().unwrap().to_owned()
}

/// A port that nobody has at this moment.
fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn is_taken(port: u16) -> bool {
    UdpSocket::bind(("127.0.0.1", port)).is_err()
}

fn is_healthy(edge: &Appliance, id: &str) {
    edge.line(Component::Source, id, |line| line.health.word() == "healthy");
}

/// What is wrong comes back at its field, with what was typed; nothing is changed.
fn wrong_comes_back(ada: &Curl, listen: &str) {
    let before = settings(ada);
    let wrong = send(
        ada,
        "/add/source/syslog",
        &[("id", "sophos"), ("listen", "udp://nowhere"), ("time_zone", "Mars"), ("allow", "192.0.2.0/24")],
    );
    assert_eq!(wrong.status, 422);
    for words in ["id=\"f-listen-fault\"", "is not an address to listen on", "192.0.2.0/24", "value=\"sophos\""] {
        assert!(wrong.body.contains(words), "{words}: {}", wrong.body);
    }
    let taken = send(ada, "/add/source/syslog", &[("id", "firewalls"), ("listen", listen)]);
    assert!(taken.status == 422 && taken.body.contains("id=\"f-id-fault\""), "{}", taken.body);
    assert_eq!(settings(ada), before);
}

/// Paused: the port is closed, the ledger stays.
fn pausing_closes_the_port(edge: &Appliance, ada: &Curl, port: u16) {
    assert_eq!(send(ada, "/source/sophos/pause", &[]).status, 303);
    edge.line(Component::Source, "sophos", |line| line.health.word() == "paused");
    until("the port is closed", || (!is_taken(port)).then_some(()));
    assert!(settings(ada).contains("enabled = false"));
    let ledger = ada.get("/api/v1/ledger").json();
    let row = ledger["sources"].as_array().unwrap().iter().find(|row| row["source"] == "sophos").cloned().unwrap();
    assert_eq!(row["received"], json!(1), "{ledger}");
    assert!(ada.get("/").body.contains("Something is paused"));
    assert_eq!(send(ada, "/source/sophos/resume", &[]).status, 303);
    is_healthy(edge, "sophos");
    assert!(is_taken(port) && !settings(ada).contains("enabled"));
}

#[test]
fn a_sophos_firewall_comes_in_by_form_is_changed_paused_and_taken_out() {
    let Some((edge, ada)) = claimed(&format!("# for our people\n{SETTINGS}")) else { return };
    let port = free_port();
    let listen = format!("udp://127.0.0.1:{port}");
    assert!(ada.get("/add/source").body.contains("Sophos"));
    let page = ada.get("/add/source/syslog").body;
    for words in ["System services &#62; Log settings", "Severity level", "udp://0.0.0.0:514", "value=\"syslog\""] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let before = settings(&ada);
    wrong_comes_back(&ada, &listen);
    // It is in use at once, and the firewall's event arrives.
    let fields = [
        ("id", "sophos"),
        ("listen", listen.as_str()),
        ("time_zone", "UTC"),
        ("allow", ""),
        ("tls.client_auth", "none"),
    ];
    let added = send(&ada, "/add/source/syslog", &fields);
    assert!(added.status == 303 && added.headers.contains("/source/sophos/edit?done=added"), "{added:?}");
    let text = settings(&ada);
    assert!(
        text.contains(&format!("[[source]]\nid = \"sophos\"\ntype = \"syslog\"\nlisten = [\"{listen}\"]\n")),
        "{text}"
    );
    assert!(text.contains("# for our people") && !text.contains("time_zone"), "defaults are not written: {text}");
    let page = ada.get("/source/sophos/edit?done=added").body;
    assert!(page.contains("It is in use") && page.contains(&format!("<bdi>{port}</bdi>")), "{page}");
    is_healthy(&edge, "sophos");
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    let event =
        b"<30>device=\"SFW\" date=2026-03-05 time=10:15:30 timezone=\"CET\" device_name=\"XGS116\" log_id=010101600001";
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(event, to).unwrap();
    let arrived = until("the event is at the gateway", || {
        let events = std::fs::read_to_string(edge.folder().join("events.ndjson")).unwrap_or_default();
        events.lines().find(|line| line.contains("010101600001")).map(str::to_owned)
    });
    assert!(arrived.contains("sophos_sfos"), "{arrived}");
    // Changed: its key and no other.
    let changed =
        send(&ada, "/source/sophos/edit", &[("listen", &listen), ("time_zone", "Europe/Berlin"), ("allow", "")]);
    assert_eq!(changed.status, 303, "{}", changed.body);
    assert_eq!(
        settings(&ada),
        text.replace(&format!("[\"{listen}\"]\n"), &format!("[\"{listen}\"]\ntime_zone = \"Europe/Berlin\"\n"))
    );
    is_healthy(&edge, "sophos");
    pausing_closes_the_port(&edge, &ada, port);
    let removed = send(&ada, "/source/sophos/remove", &[]);
    assert!(removed.status == 303 && removed.headers.contains("/sources?done=removed"), "{removed:?}");
    assert_eq!(settings(&ada), before, "byte by byte as it was");
    assert!(edge.status().unwrap().line(Component::Source, "sophos").is_none());
    assert_eq!(send(&ada, "/source/sophos/pause", &[]).status, 404);
    let audit = ada.get("/api/v1/audit").json();
    let deeds: Vec<_> = audit["entries"].as_array().unwrap().iter().map(|entry| entry["action"].clone()).collect();
    for action in ["source_added", "source_changed", "source_paused", "source_resumed", "source_removed"] {
        assert!(deeds.contains(&json!(action)), "{action}: {deeds:?}");
    }
    edge.stop();
}

#[test]
fn programs_do_the_same_and_a_viewer_sees_and_changes_nothing() {
    let Some((edge, ada)) = claimed(SETTINGS) else { return };
    let csrf = ada.csrf();
    let forms = ada.get("/api/v1/forms").json();
    assert_eq!(forms["kinds"].as_array().unwrap().len(), 16);
    let form = ada.get("/api/v1/forms/source/duo").json();
    let secret =
        form["fields"].as_array().unwrap().iter().find(|field| field["key"] == "secret_key_file").cloned().unwrap();
    assert_eq!(
        (&secret["kind"], &secret["label"], &secret["value"]),
        (&json!("secret"), &json!("Secret key"), &json!(""))
    );
    assert_eq!(ada.get("/api/v1/forms/source/nothing").status, 404);
    // An output: pausing it holds its events back.
    let path = edge.folder().join("more.ndjson");
    let new = json!({ "type": "file", "id": "more", "fields": { "path": path } });
    let wrong = json!({ "type": "file", "id": "more", "fields": { "path": path, "keep": "many" } });
    let refused = ada.json("POST", "/api/v1/outputs", &wrong, &csrf);
    assert!(refused.status == 422 && refused.json()["fields"]["keep"].is_string(), "{refused:?}");
    assert_eq!(ada.json("POST", "/api/v1/outputs", &new, "x").status, 403);
    assert_eq!(ada.json("POST", "/api/v1/outputs", &new, &csrf).status, 201);
    assert_eq!(ada.json("PUT", "/api/v1/outputs/more/paused", &json!({ "paused": true }), &csrf).status, 204);
    edge.line(Component::Output, "more", |line| line.health.word() == "paused");
    assert_eq!(ada.get("/api/v1/outputs/more/form").json()["is_paused"], true);
    let keep = json!({ "fields": { "keep": "7" } });
    assert_eq!(ada.json("PUT", "/api/v1/outputs/more", &keep, &csrf).status, 204);
    assert!(settings(&ada).contains("keep = 7"));
    // A gateway that is not there.
    let gateway = json!({ "type": "lumberjack", "id": "gone", "fields": { "endpoint": "127.0.0.1:1" } });
    let tested = ada.json("POST", "/api/v1/outputs/test", &gateway, &csrf);
    assert!(tested.status == 200 && tested.json()["findings"][0]["is_right"] == false, "{tested:?}");
    assert!(!settings(&ada).contains("gone"));
    assert_eq!(ada.json("DELETE", "/api/v1/outputs/more", &json!({}), &csrf).status, 204);
    assert_eq!(ada.json("DELETE", "/api/v1/outputs/more", &json!({}), &csrf).status, 404);
    let bob = [("name", "bob"), ("role", "viewer"), ("password", PASSWORD), ("again", PASSWORD)];
    assert_eq!(send(&ada, "/accounts/add", &bob).status, 200);
    let bob = Curl::to(address(&edge)).unwrap();
    assert_eq!(bob.log_in("bob", PASSWORD).status, 303);
    let page = bob.get("/source/firewalls/edit");
    assert!(
        page.status == 200 && page.body.contains("disabled") && !page.body.contains("Take into use"),
        "{}",
        page.body
    );
    assert_eq!((bob.get("/outputs").status, bob.get("/add/source").status), (200, 403));
    for path in
        ["/source/firewalls/edit", "/source/firewalls/pause", "/source/firewalls/remove", "/output/gateway/pause"]
    {
        assert_eq!(send(&bob, path, &[("listen", "udp://127.0.0.1:0")]).status, 403, "{path}");
    }
    assert_eq!(bob.json("DELETE", "/api/v1/sources/firewalls", &Value::Null, &bob.csrf()).status, 403);
    assert!(settings(&ada).contains("firewalls"));
    edge.stop();
}
