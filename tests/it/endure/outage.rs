//! After an outage: what is new comes first or in its order, and every event keeps its id over retries, restarts, a second
//! gateway and a changed output.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::net::TcpStream;
use std::ops::Range;
use std::time::Duration;

use sapphire_edge::clock::monotonic;
use sapphire_edge::status::{Component, Count};

use super::far_end::{Arrived, FarEnd, number, one_id_each};
use super::link::Link;
use super::{alone, drained, to_gateway};
use crate::peers::appliance::{Appliance, program, until};

const SYSLOG: &str = "[[source]]\nid = \"firewalls\"\ntype = \"syslog\"\nlisten = [\"tcp://127.0.0.1:0\"]\n";
/// Events of the backlog: seconds of work for a gateway that writes them to a file.
const BACKLOG: u64 = 400_000;

/// A sender that keeps its connection.
struct Sender(TcpStream);

impl Sender {
    fn new(edge: &Appliance) -> Self {
        Self(TcpStream::connect(edge.address("tcp://127.0.0.1:0", 0)).unwrap())
    }

    fn send(&mut self, name: &str, numbers: Range<u64>) {
        let lines: String = numbers.map(|number| format!("{name} {number} {:0200}\n", number * 7_919)).collect();
        self.0.write_all(lines.as_bytes()).unwrap();
    }
}

/// Received, delivered and waiting events by what is on the disk alone.
fn on_disk(edge: &Appliance) -> [u64; 3] {
    let folder = edge.folder().join("queue");
    let told = program().args(["queue", "inspect", "--json", "--dir"]).arg(folder).output().unwrap();
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap_or_default();
    ["received", "delivered", "queued"].map(|what| told["ledger"]["firewalls"][what].as_u64().unwrap_or(0))
}

/// Builds a backlog with the gateway gone, lets it come back and sends something new; how long that took to be there, how
/// much of the backlog was there by then, and all that came.
fn outage(drain: &str) -> (Duration, u64, Vec<Arrived>) {
    let _alone = alone();
    let gateway = FarEnd::start();
    let link = Link::new(gateway.address(), false);
    // As after a real outage the backlog is on the disk, and the way to the gateway is the bottleneck.
    let queue = format!("[queue]\nmemory = \"4MiB\"\nflush_bytes = \"1MiB\"\ndrain = \"{drain}\"\n");
    let edge = Appliance::start(&format!("{queue}{SYSLOG}{}compression = 9\n", to_gateway(link.address())));
    let mut sender = Sender::new(&edge);
    for first in (0..BACKLOG).step_by(10_000) {
        sender.send("old", first..first + 10_000);
    }
    edge.received("firewalls", BACKLOG);
    // Older than what counts as new.
    let begin = monotonic();
    until("the outage lasts", || (begin.elapsed() > Duration::from_secs(3)).then_some(()));
    link.mend();
    edge.line(Component::Output, "gateway", |line| line.count(Count::DeliveredEvents) > 0);
    let begin = monotonic();
    for number in 0..20 {
        sender.send("new", number..number + 1);
        edge.received("firewalls", BACKLOG + number + 1);
    }
    until("the new events", || gateway.has("new 19 ").then_some(()));
    let took = begin.elapsed();
    let by_then = edge.line(Component::Output, "gateway", |_| true).count(Count::DeliveredEvents);
    drained(&edge);
    edge.stop();
    println!("outage, {drain}: new events there after {took:.1?}, with {by_then} delivered");
    (took, by_then, gateway.arrived())
}

/// Checks that all are there, each sender's in the order it sent them. What came once more after a broken connection counts
/// where it came first: a window that is sent again is no disorder.
fn in_order(arrived: &[Arrived], name: &str, count: u64) {
    let mut seen = HashSet::new();
    let numbers = arrived.iter().filter_map(|event| number(&event.message, name));
    let numbers: Vec<u64> = numbers.filter(|number| seen.insert(*number)).collect();
    let back: Vec<_> = numbers.windows(2).filter(|pair| pair[0] > pair[1]).take(5).collect();
    assert!(back.is_empty(), "{name} came out of order: {back:?}");
    assert_eq!(numbers.len() as u64, count, "{name}");
}

#[test]
fn after_an_outage_new_events_come_first_and_both_lanes_in_order() {
    let (took, by_then, arrived) = outage("live_first");
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(by_then < BACKLOG, "the backlog was gone before: it proves nothing");
    in_order(&arrived, "old", BACKLOG);
    in_order(&arrived, "new", 20);
    one_id_each(&arrived);
}

#[test]
fn where_order_is_asked_for_new_events_come_last() {
    let (_, _, arrived) = outage("in_order");
    in_order(&arrived, "old", BACKLOG);
    in_order(&arrived, "new", 20);
    let first = arrived.iter().position(|event| event.message.starts_with("new ")).unwrap();
    assert!(arrived[first..].iter().all(|event| event.message.starts_with("new ")), "new events before old ones");
}

#[test]
fn an_event_keeps_its_id_over_restarts_a_second_gateway_and_a_changed_output() {
    let (first, second) = (FarEnd::start(), FarEnd::start());
    // Both have everything: the first is lost after it took much and before we could note its answers.
    let (to_first, to_second) = (Link::new(first.address(), true), Link::new(second.address(), false));
    let output = |more: &str| {
        let gateways = format!("\"{}\", \"{}\"", to_first.address(), to_second.address());
        let table = to_gateway(to_first.address()).replace(&format!("\"{}\"", to_first.address()), &gateways);
        format!("{SYSLOG}{table}{more}")
    };
    let mut edge = Appliance::start(&output("window = 100\n"));
    let mut all = 0;
    let mut send = |edge: &Appliance, count: u64| {
        Sender::new(edge).send("event", all..all + count);
        all += count;
    };
    send(&edge, 5_000);
    edge.line(Component::Output, "gateway", |line| line.count(Count::DeliveredEvents) > 0);
    // Failover in the middle of a delivery.
    to_first.cut();
    to_second.mend();
    send(&edge, 5_000);
    edge.line(Component::Output, "gateway", |line| line.count(Count::DeliveredEvents) == 10_000);
    // Everything on the disk, killed, and out by a changed output.
    to_second.cut();
    send(&edge, 5_000);
    until("all lies on the disk", || (on_disk(&edge) == [15_000, 10_000, 5_000]).then_some(()));
    edge.write_settings(&output("window = 50\ncompression = 0\n"));
    edge.kill();
    to_second.mend();
    edge.restart();
    edge.line(Component::Output, "gateway", |line| line.count(Count::DeliveredEvents) > 0);
    // Killed again while it drains: what it had not noted goes out once more.
    to_second.cut();
    edge.kill();
    to_first.mend();
    edge.restart();
    drained(&edge);
    edge.reload(&output("window = 70\nmode = \"balance\"\n"));
    edge.log_line(&["the new settings are in force"]);
    to_second.mend();
    send(&edge, 5_000);
    drained(&edge);
    edge.stop();
    let mut arrived = first.arrived();
    let at_first = arrived.len();
    arrived.extend(second.arrived());
    let messages = one_id_each(&arrived);
    let numbers: HashMap<u64, &str> =
        messages.iter().filter_map(|(id, message)| Some((number(message, "event")?, *id))).collect();
    println!("ids: {all} sent, {at_first} at the first gateway, {} in all", arrived.len());
    assert_eq!((numbers.len() as u64, messages.len() as u64), (all, all));
}
