//! Devices that fall silent and come back, and events that came before anybody looked.

use std::fs;
use std::net::UdpSocket;

use sapphire_edge::status::{Component, Gauge};
use serde_json::Value;

use super::{SETTINGS, claimed, viewer};
use crate::peers::appliance::{Appliance, program, until};

fn send(edge: &Appliance, text: &str) {
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender
        .send_to(format!("<13>Mar  5 10:15:30 fw1 app: {text}").as_bytes(), edge.address("udp://127.0.0.1:0", 0))
        .unwrap();
}

/// Notices with this action, so far.
fn told(edge: &Appliance, action: &str) -> Vec<Value> {
    let events = fs::read_to_string(edge.folder().join("events.ndjson")).unwrap_or_default();
    let events = events.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter(|event| event["event"]["action"] == action).collect()
}

#[test]
fn a_device_that_falls_silent_is_shown_and_told_once_and_forgotten_by_a_person() {
    let settings = SETTINGS.replace("listen = [\"udp", "silent_after = \"2s\"\nlisten = [\"udp");
    let Some((mut edge, ada)) = claimed(&settings) else { return };
    let line = edge.line(Component::Source, "firewalls", |line| line.health.word() == "healthy");
    assert_eq!(line.gauge(Gauge::Devices), 0, "who never sent is not missed");
    send(&edge, "hello");
    edge.line(Component::Source, "firewalls", |line| line.gauge(Gauge::Devices) == 1);
    let line = edge.line(Component::Source, "firewalls", |line| line.health.word() == "degraded");
    let fault = line.health.fault().unwrap();
    assert!(fault.what.starts_with("the device 127.0.0.1 sends nothing any more"), "{fault:?}");
    let first = until("it is told", || told(&edge, "device_silent").pop());
    assert_eq!((&first["notice"]["device"], &first["notice"]["source"]), (&"127.0.0.1".into(), &"firewalls".into()));
    // It is on the page: in the source's card, and by name.
    let page = ada.get("/source/firewalls").body;
    assert!(
        page.contains("<dd>1, 1 silent</dd>") && page.contains("<span class=\"state degraded\">silent</span>"),
        "{page}"
    );
    send(&edge, "here I am");
    edge.line(Component::Source, "firewalls", |line| line.health.word() == "healthy");
    until("its return is told", || told(&edge, "device_speaks").pop());
    // Silent again: shown, and not told again within the hour.
    edge.line(Component::Source, "firewalls", |line| line.health.word() == "degraded");
    assert_eq!(told(&edge, "device_silent").len(), 1);
    let bob = viewer(&edge, &ada);
    let forget = [("csrf", ada.csrf()), ("device", "127.0.0.1".to_owned())];
    let forget: Vec<(&str, &str)> = forget.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(bob.form("/source/firewalls/forget", &[("csrf", &bob.csrf()), ("device", "127.0.0.1")]).status, 403);
    assert_eq!(ada.form("/source/firewalls/forget", &forget).status, 303);
    edge.line(Component::Source, "firewalls", |line| line.health.word() == "healthy");
    assert_eq!(ada.form("/source/firewalls/forget", &forget).status, 404);
    // Nor is anybody missed after a restart who was not heard since.
    send(&edge, "once more");
    edge.line(Component::Source, "firewalls", |line| line.gauge(Gauge::Devices) == 1);
    edge.kill();
    edge.restart();
    edge.line(Component::Source, "firewalls", |line| {
        line.health.word() == "healthy" && line.gauge(Gauge::Devices) == 0
    });
    edge.stop();
}

#[test]
fn what_came_before_a_page_was_opened_is_shown_while_it_is_in_the_box() {
    let Some((edge, ada)) = claimed(SETTINGS) else { return };
    let none = ada.get("/api/v1/live?minutes=5&source=firewalls").json();
    assert!(none["words"].as_str().unwrap().contains("Nothing of the last 5 minutes is in the box any more"), "{none}");
    for number in 0..3 {
        send(&edge, &format!("earlier <b>{number}</b>"));
    }
    edge.received("firewalls", 3);
    let replay = until("they are in the queue", || {
        let replay = ada.get("/api/v1/live?minutes=5&source=firewalls").json();
        (replay["looked_at"] == 3).then_some(replay)
    });
    assert!(replay["events"][0]["message"].as_str().unwrap().ends_with("earlier <b>0</b>"), "{replay}");
    let one = ada.get("/api/v1/live?minutes=5&text=EARLIER%20%3Cb%3E1").json();
    assert_eq!((one["found"].as_u64(), one["events"].as_array().unwrap().len()), (Some(1), 1), "{one}");
    let page = ada.get("/live?minutes=5&source=firewalls").body;
    assert!(
        page.contains("3 events of the last 5 minutes are still in the box") && page.contains("earlier &#60;b&#62;2"),
        "{page}"
    );
    let wrong = ada.get("/live?minutes=5&source=nobody").body;
    assert!(wrong.contains("there is no source &#34;nobody&#34;"), "{wrong}");
    assert_eq!(ada.get("/api/v1/live?source=nobody").status, 409);
    // The same at the box.
    let mut tap = program();
    tap.args(["tap", "--last", "5", "--source", "firewalls", "--config"]).arg(edge.settings());
    let mut tap = tap.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(tap.stdout.take().unwrap()));
    let seen: Vec<String> = lines.by_ref().take(3).map(Result::unwrap).collect();
    assert!(seen[0].contains("earlier <b>0</b>") && seen[2].contains("earlier <b>2</b>"), "{seen:?}");
    send(&edge, "and now");
    assert!(lines.next().unwrap().unwrap().contains("and now"), "what follows is new");
    tap.kill().unwrap();
    tap.wait().unwrap();
    edge.stop();
}
