//! The far end learns of every hole: drops and gaps become events of their own.

use std::fs;
use std::net::UdpSocket;

use serde_json::Value;

use crate::peers::appliance::{Appliance, until};

const SETTINGS: &str = r#"
[[source]]
id = "strangers"
type = "syslog"
listen = ["udp://127.0.0.1:0"]
allow = ["192.0.2.0/24"]

[[output]]
id = "archive"
type = "file"
path = "{dir}/events.ndjson"
"#;

/// The notices in the file so far.
fn notices(edge: &Appliance) -> Vec<Value> {
    let text = fs::read_to_string(edge.folder().join("events.ndjson")).unwrap_or_default();
    let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter(|event| event["notice"].is_object()).collect()
}

/// How many dropped events were told of.
fn told(notices: &[Value]) -> u64 {
    notices.iter().filter_map(|event| event["notice"]["count"].as_u64()).sum()
}

fn send(edge: &Appliance, count: usize) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..count {
        socket.send_to(b"<13>not wanted", edge.address("udp://127.0.0.1:0", 0)).unwrap();
    }
}

#[test]
fn every_drop_is_told_once_and_a_power_cut_is_told_as_a_gap() {
    let mut edge = Appliance::start(SETTINGS);
    send(&edge, 5);
    until("five drops were told", || (told(&notices(&edge)) == 5).then_some(()));
    let first = &notices(&edge)[0];
    assert_eq!(first["notice"]["source"], "strangers");
    assert_eq!(first["notice"]["reason"], "not_allowed");
    assert_eq!(first["sapphire"]["source"], "sapphire_edge");
    assert!(first["notice"]["from"].as_str() <= first["notice"]["to"].as_str());
    assert!(first["@metadata"]["_id"].is_string());

    edge.kill();
    edge.restart();
    until("the gap was told", || notices(&edge).iter().any(|event| event["notice"]["kind"] == "gap").then_some(()));
    send(&edge, 2);
    until("all drops were told", || (told(&notices(&edge)) >= 7).then_some(()));
    edge.stop();
}
