//! Beats agents and gateways that other people wrote.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::Stdio;

use sapphire_edge::status::{Component, Count};
use serde_json::Value;

use crate::peers::appliance::{Appliance, to_gateway};
use crate::peers::balance::balance;
use crate::peers::certificates::Authority;
use crate::peers::program::{Running, python, run};
use crate::peers::sender::lines as send;
use crate::peers::service::{Manner, Service};

const TCP: &str = "tcp://127.0.0.1:0";
const TLS: &str = "tls://127.0.0.1:0";

/// An appliance that takes Beats in, with these listeners and more settings, and its gateway.
fn edge(listen: &str, more: &str) -> (Appliance, Service) {
    let gateway = Service::plain(Manner::Serve);
    let output = to_gateway(gateway.address());
    let source = format!("[[source]]\nid = \"beats\"\ntype = \"lumberjack\"\nlisten = [{listen}]\n{more}");
    (Appliance::start(&format!("{output}{source}")), gateway)
}

fn counted(edge: &Appliance, count: Count, wanted: u64) {
    edge.line(Component::Source, "beats", |line| line.count(count) == wanted);
}

#[test]
fn pylogbeat_sends_several_batches_on_one_connection() {
    let authority = Authority::new();
    let identity = authority.identity("127.0.0.1");
    let table = format!("[source.tls]\ncert = {:?}\nkey = {:?}\n", identity.cert, identity.key);
    let (edge, gateway) = edge(&format!("{TCP:?}, {TLS:?}"), &table);
    let ca = authority.ca();
    for (round, (listener, ca)) in [(TCP, "-"), (TLS, ca.to_str().unwrap())].into_iter().enumerate() {
        let Some(mut client) = python("pylogbeat_client.py") else { return };
        let port = edge.address(listener, 0).port().to_string();
        let said = run(client.args([&port, ca, "100", "50", "1", "3000"]));
        assert_eq!(said.lines().count(), 4, "{said}");
        let events = gateway.wait_acked((round + 1) * 3_151);
        let new = &events[round * 3_151..];
        let sent: Vec<String> = (1..=3_151).map(|number| format!("pylogbeat event {number} ä世")).collect();
        assert_eq!(balance(&sent, new).repeats, 0);
        let first = &new[0].json;
        assert_eq!(first["@timestamp"], "2026-11-24T10:00:00.000Z", "what the sender says of the time stays");
        assert_eq!(first["fields"]["n"], 1);
        assert_eq!(first["sapphire"]["source"], "beats");
    }
    counted(&edge, Count::SettledEvents, 6_302);
    edge.stop();
}

/// Runs timbersnake as a client and returns what it says of its end.
fn timbersnake(to: SocketAddr, version: &str, level: &str, count: &str) -> Option<String> {
    Some(run(python("timbersnake_client.py")?.args([&to.port().to_string(), version, level, count])))
}

#[test]
fn timbersnake_is_taken_where_it_keeps_the_protocol_and_refused_where_it_does_not() {
    let (edge, gateway) = edge(&format!("{TCP:?}"), "");
    let to = edge.address(TCP, 0);
    // Three events in the open, as announced, though numbered from zero.
    let Some(said) = timbersnake(to, "2", "0", "3") else { return };
    assert_eq!(said.trim(), "acknowledged");
    assert_eq!(gateway.wait_acked(3)[2].message(), "timbersnake event 2");
    // By default its window frame stands inside the compressed frame.
    let said = timbersnake(to, "2", "-1", "3").unwrap();
    assert!(said.starts_with("refused"), "{said}");
    counted(&edge, Count::ProtocolErrors, 1);
    // More events than it announces: the three are taken, the others are no window.
    timbersnake(to, "2", "0", "5").unwrap();
    counted(&edge, Count::ProtocolErrors, 2);
    counted(&edge, Count::ReceivedEvents, 6);
    edge.stop();
}

#[test]
fn version_1_is_refused_and_counted() {
    let (edge, gateway) = edge(&format!("{TCP:?}"), "");
    let Some(said) = timbersnake(edge.address(TCP, 0), "1", "0", "3") else { return };
    assert!(said.starts_with("refused"), "{said}");
    counted(&edge, Count::ProtocolErrors, 1);
    counted(&edge, Count::ReceivedEvents, 0);
    assert_eq!(gateway.count(), 0);
    edge.stop();
}

#[test]
fn timbersnake_decodes_what_we_send() {
    let authority = Authority::new();
    let identity = authority.identity("127.0.0.1");
    let Some(mut command) = python("timbersnake_server.py") else { return };
    command.arg(&identity.cert).arg(&identity.key).stdout(Stdio::piped());
    let mut server = Running::start(&mut command);
    let mut lines = BufReader::new(server.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let port = lines.find_map(|line| line.strip_prefix("port ").map(ToOwned::to_owned)).unwrap();
    let edge = Appliance::start(&format!(
        "[[output]]\nid = \"gateway\"\ntype = \"lumberjack\"\nendpoint = [\"127.0.0.1:{port}\"]\n\
         tls.ca = {:?}\n[[source]]\nid = \"firewalls\"\ntype = \"syslog\"\nlisten = [\"tcp://127.0.0.1:0\"]\n",
        authority.ca()
    ));
    let sent: Vec<String> = (0..200).map(|number| format!("<13>Nov 24 10:15:30 fw1 a: für {number}")).collect();
    send(edge.address(TCP, 0), &sent);
    let texts: Vec<String> = lines
        .map(|line| serde_json::from_str::<Value>(&line).unwrap()["message"].as_str().unwrap().to_owned())
        .take(sent.len())
        .collect();
    assert_eq!(texts, sent);
    edge.line(Component::Output, "gateway", |line| line.count(Count::DeliveredEvents) == 200);
    edge.stop();
}
