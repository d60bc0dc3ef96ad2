//! From a sender to the gateway's hands, through real programs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::path::Path;

use sapphire_edge::status::{Component, Count, Gauge};
use serde_json::Value;

use crate::peers::appliance::{Appliance, until};
use crate::peers::free_address;

/// A certificate for 127.0.0.1 that is its own CA; returns the paths of certificate and key.
fn certificate(folder: &Path) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (cert.display().to_string(), key.display().to_string())
}

/// The other end: a second instance that takes Lumberjack over TLS and writes a file.
fn gateway(cert: &str, key: &str) -> Appliance {
    gateway_at("127.0.0.1:0", cert, key)
}

fn gateway_at(listen: &str, cert: &str, key: &str) -> Appliance {
    Appliance::start(&gateway_settings(listen, cert, key))
}

fn gateway_settings(listen: &str, cert: &str, key: &str) -> String {
    format!(
        r#"
[[source]]
id = "boxes"
type = "lumberjack"
listen = ["tls://{listen}"]
[source.tls]
cert = "{cert}"
key = "{key}"

[[output]]
id = "archive"
type = "file"
path = "{{dir}}/events.ndjson"
"#
    )
}

fn edge(endpoint: SocketAddr, ca: &str) -> Appliance {
    Appliance::start(&edge_settings(endpoint, ca))
}

fn edge_settings(endpoint: SocketAddr, ca: &str) -> String {
    format!(
        r#"
name = "edge-1"
[[source]]
id = "firewalls"
type = "syslog"
listen = ["tcp://127.0.0.1:0"]

[[output]]
id = "gateway"
type = "lumberjack"
endpoint = ["{endpoint}"]
[output.tls]
ca = "{ca}"
"#
    )
}

/// Sends numbered messages over one connection; returns their bytes.
fn send(edge: &Appliance, numbers: Range<u32>) -> u64 {
    let mut sender = TcpStream::connect(edge.address("tcp://127.0.0.1:0", 0)).unwrap();
    let lines: String = numbers.map(|at| format!("<134>1 2026-11-24T08:00:00Z fw1 app 7 - - number {at}\n")).collect();
    sender.write_all(lines.as_bytes()).unwrap();
    lines.bytes().filter(|byte| *byte != b'\n').count() as u64
}

/// The events in the gateway's file, once there are so many; not what a box that was killed says about that.
fn events(gateway: &Appliance, count: usize) -> Vec<Value> {
    let file = gateway.folder().join("events.ndjson");
    let read = || {
        let text = fs::read_to_string(&file).ok()?;
        if !text.ends_with('\n') || text.lines().count() < count {
            return None;
        }
        let mut events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        events.retain(|event| !event["notice"].is_object());
        (events.len() >= count).then_some(events)
    };
    until("the events in the gateway's file", read)
}

/// Every number once; repeats only under the id that they had.
fn assert_complete(events: &[Value], count: u32) {
    let mut ids: BTreeMap<String, String> = BTreeMap::new();
    for event in events {
        let (id, message) = (event["event"]["id"].to_string(), event["message"].to_string());
        let before = ids.insert(id, message.clone());
        assert!(before.is_none_or(|before| before == message), "an id stands for two messages");
    }
    let messages: BTreeSet<&String> = ids.values().collect();
    assert_eq!((ids.len(), messages.len()), (count as usize, count as usize));
}

#[test]
fn a_syslog_line_reaches_the_gateway_over_tls_and_is_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(folder.path());
    let gateway = gateway(&cert, &key);
    let edge = edge(gateway.address("tls://127.0.0.1:0", 0), &cert);
    let mut sender = TcpStream::connect(edge.address("tcp://127.0.0.1:0", 0)).unwrap();
    sender.write_all(b"<134>1 2026-11-24T08:00:00.123Z fw1 app 7 - - hello, gateway\n").unwrap();
    edge.line(Component::Output, "gateway", |line| line.count(Count::DeliveredEvents) == 1);
    let event = &events(&gateway, 1)[0];
    assert_eq!(event["@timestamp"], "2026-11-24T08:00:00.123Z");
    assert_eq!(event["message"], "<134>1 2026-11-24T08:00:00.123Z fw1 app 7 - - hello, gateway");
    assert_eq!(event["sapphire"]["source"], "firewalls");
    assert_eq!(event["event"]["id"], event["@metadata"]["_id"]);
    edge.stop();
    gateway.stop();
}

#[test]
fn what_was_on_the_disk_when_the_box_died_arrives_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(folder.path());
    // Where nobody answers yet.
    let address = free_address();
    let mut edge = edge(address, &cert);
    let bytes = send(&edge, 0..2_000);
    edge.line(Component::Queue, "queue", |line| line.count(Count::StoredRawBytes) >= bytes);
    edge.kill();
    let gateway = gateway_at(&address.to_string(), &cert, &key);
    edge.restart();
    send(&edge, 2_000..2_500);
    edge.line(Component::Output, "gateway", |line| line.gauge(Gauge::QueuedEvents) == 0);
    assert_complete(&events(&gateway, 2_500), 2_500);
    edge.stop();
    gateway.stop();
}

#[test]
fn a_gateway_that_dies_again_and_again_gets_everything() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(folder.path());
    let address = free_address();
    let mut gateway = gateway_at(&address.to_string(), &cert, &key);
    let edge = edge(address, &cert);
    for round in 0..3 {
        send(&edge, round * 1_000..(round + 1) * 1_000);
        edge.received("firewalls", u64::from(round + 1) * 1_000);
        gateway.kill();
        gateway.restart();
    }
    edge.line(Component::Output, "gateway", |line| line.count(Count::DeliveredEvents) >= 3_000);
    assert_complete(&events(&gateway, 3_000), 3_000);
    edge.stop();
    gateway.stop();
}

#[test]
fn an_output_that_changes_under_load_loses_and_invents_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(folder.path());
    let gateway = gateway(&cert, &key);
    let address = gateway.address("tls://127.0.0.1:0", 0);
    let edge = edge(address, &cert);
    for round in 0..5 {
        send(&edge, round * 500..(round + 1) * 500);
        let before = edge.logged();
        let settings = edge_settings(address, &cert)
            .replace("type = \"lumberjack\"", &format!("type = \"lumberjack\"\ncompression = {round}"));
        edge.reload(&settings);
        edge.log_line_after(before, &["the new settings are in force"]);
    }
    edge.line(Component::Output, "gateway", |line| line.count(Count::DeliveredEvents) >= 2_500);
    assert_complete(&events(&gateway, 2_500), 2_500);
    edge.stop();
    gateway.stop();
}
