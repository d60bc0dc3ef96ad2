//! The disk is used up: senders that keep their data are held back, datagrams take the reserve, and nothing is lost.

use std::net::UdpSocket;

use rand::{RngCore as _, SeedableRng as _};
use sapphire_edge::status::{Component, Count};

use crate::peers::appliance::{Appliance, to_gateway};
use crate::peers::balance::balance_beside;
use crate::peers::flood::{Flood, WINDOW};
use crate::peers::service::{Manner, Service};

const UDP: &str = "udp://127.0.0.1:0";
const TCP: &str = "tcp://127.0.0.1:0";

const SETTINGS: &str = r#"
[queue]
max_size = "8MiB"
reserve = "2MiB"
segment_size = "1MiB"
memory = "2MiB"
flush_bytes = "1MiB"
flush_after = "10ms"

[[source]]
id = "beats"
type = "lumberjack"
listen = ["tcp://127.0.0.1:0"]
keepalive = "100ms"

[[source]]
id = "firewalls"
type = "syslog"
listen = ["udp://127.0.0.1:0"]

"#;

/// An event that does not compress below 2 KB, so that the disk fills.
fn text(number: usize) -> String {
    let mut noise = rand::rngs::StdRng::seed_from_u64(number as u64);
    (0..250).fold(format!("event {number} "), |text, _| text + &format!("{:016x}", noise.next_u64()))
}

#[test]
fn a_full_queue_holds_agents_back_and_takes_datagrams_still() {
    let gateway = Service::plain(Manner::Down);
    let edge = Appliance::start(&format!("{SETTINGS}{}", to_gateway(gateway.address())));
    let flood = Flood::start(edge.address(TCP, 0), text);
    edge.line(Component::Queue, "queue", |line| {
        line.health.fault().is_some_and(|fault| fault.what.contains("full") && fault.todo.contains("held back"))
    });
    let (held_at, socket) = (flood.acked(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let datagrams: Vec<String> =
        (0..100).map(|number| format!("<13>Nov 24 10:15:30 fw1 a: datagram {number}")).collect();
    for datagram in &datagrams {
        socket.send_to(datagram.as_bytes(), edge.address(UDP, 0)).unwrap();
    }
    edge.received("firewalls", 100);
    assert!(flood.acked() <= held_at + WINDOW, "the agent is held back");
    gateway.change(Manner::Serve);
    flood.more(1_000);
    let mut sent = flood.end();
    sent.extend(datagrams);
    let events = gateway.wait_for(&sent);
    balance_beside(WINDOW, &sent, &events);
    for source in ["beats", "firewalls"] {
        let line = edge.line(Component::Source, source, |line| line.count(Count::ReceivedEvents) > 0);
        assert_eq!(line.dropped_total(), 0, "{line:#?}");
    }
    edge.stop();
}
