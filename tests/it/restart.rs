//! The program is ended in the middle of its work, by force and in good order, and started again: what a sender was
//! told to be safe is safe.

use std::collections::HashSet;
use std::net::SocketAddr;

use nix::sys::signal::Signal;
use sapphire_edge::status::{Component, Gauge};

use crate::peers::appliance::{Appliance, to_gateway};
use crate::peers::balance::{balance, balance_beside};
use crate::peers::flood::{Flood, WINDOW};
use crate::peers::gateway::Event;
use crate::peers::rsyslog::Rsyslog;
use crate::peers::sender::lines;
use crate::peers::service::{Manner, Service};
use crate::peers::{free_address, until};

/// An appliance that takes Beats in at an address that stays the same over restarts.
fn edge(gateway: &Service) -> (Appliance, SocketAddr) {
    let address = free_address();
    let source = format!("[[source]]\nid = \"beats\"\ntype = \"lumberjack\"\nlisten = [\"tcp://{address}\"]\n");
    let edge = Appliance::start(&(to_gateway(gateway.address()) + &source));
    (edge, address)
}

/// Checks the promise: all that was acknowledged is there, under the id that the agent gave it; nothing was invented.
fn keeps_the_promise(gateway: &Service, acked: &[String]) {
    gateway.wait_for(acked);
    let all: Vec<Event> = gateway.seen().into_iter().map(|seen| seen.event).collect();
    let balance = balance_beside(WINDOW, acked, &all);
    assert!(balance.ids.iter().all(|(text, id)| *id == format!("agent-{}", text.strip_prefix("event ").unwrap())));
}

fn text(number: usize) -> String {
    format!("event {number}")
}

#[test]
fn killed_under_load_it_keeps_all_that_was_acknowledged() {
    let gateway = Service::plain(Manner::Serve);
    let (mut edge, address) = edge(&gateway);
    let flood = Flood::start(address, text);
    for manner in [Manner::Serve, Manner::Down, Manner::Down, Manner::Slow, Manner::Serve] {
        flood.more(500);
        gateway.change(manner);
        flood.more(500);
        edge.kill();
        edge.restart();
    }
    flood.more(500);
    keeps_the_promise(&gateway, &flood.end());
    let gaps = || gateway.notices().values().filter(|notice| notice["kind"] == "gap").count();
    until("each end by force is told as a gap", || (gaps() == 5).then_some(()));
    edge.stop();
}

#[test]
fn stopped_under_load_it_keeps_all_that_was_acknowledged() {
    let gateway = Service::plain(Manner::Serve);
    let (mut edge, address) = edge(&gateway);
    let flood = Flood::start(address, text);
    for manner in [Manner::Serve, Manner::Down, Manner::Serve] {
        flood.more(500);
        gateway.change(manner);
        flood.more(500);
        edge.signal(Signal::SIGTERM);
        assert!(edge.wait().success(), "{}", edge.all_lines());
        edge.restart();
    }
    flood.more(500);
    keeps_the_promise(&gateway, &flood.end());
    assert_eq!(gateway.notices().len(), 0, "a stop in good order leaves no gap");
    edge.stop();
}

fn waiting(edge: &Appliance, events: u64) {
    edge.line(Component::Queue, "queue", |line| line.gauge(Gauge::QueuedEvents) == events);
}

#[test]
fn a_backlog_outlives_a_stop_and_being_killed_again_and_again_while_it_drains() {
    let gateway = Service::plain(Manner::Down);
    let source = "[[source]]\nid = \"firewalls\"\ntype = \"syslog\"\nlisten = [\"tcp://127.0.0.1:0\"]\n";
    let mut edge = Appliance::start(&format!("{}window = 20\n{source}", to_gateway(gateway.address())));
    let filler = "x".repeat(500);
    let sent: Vec<String> = (0..3_000).map(|number| format!("<13>Nov 24 10:15:30 fw1 a: {number} {filler}")).collect();
    lines(edge.address("tcp://127.0.0.1:0", 0), &sent);
    edge.received("firewalls", 3_000);
    edge.signal(Signal::SIGTERM);
    assert!(edge.wait().success(), "{}", edge.all_lines());
    edge.restart();
    waiting(&edge, 3_000);
    gateway.change(Manner::Slow);
    for part in 1..=3 {
        gateway.wait_acked(500 * part);
        edge.kill();
        edge.restart();
    }
    gateway.change(Manner::Serve);
    gateway.wait_acked(3_000);
    let all: Vec<Event> = gateway.seen().into_iter().map(|seen| seen.event).collect();
    balance(&sent, &all);
    waiting(&edge, 0);
    edge.stop();
}

#[test]
fn rsyslog_keeps_its_messages_while_the_program_is_stopped() {
    let gateway = Service::plain(Manner::Serve);
    let address = free_address();
    let source = format!("[[source]]\nid = \"firewalls\"\ntype = \"syslog\"\nlisten = [\"tcp://{address}\"]\n");
    let mut edge = Appliance::start(&(to_gateway(gateway.address()) + &source));
    let Some(rsyslog) = Rsyslog::sender(address, None) else { return };
    let message = |number| format!("<13>Nov 24 10:15:30 fw1 kernel: packet {number}");
    rsyslog.feed((0..100).map(message));
    gateway.wait_acked(100);
    edge.signal(Signal::SIGTERM);
    edge.wait();
    rsyslog.feed((100..3_100).map(message));
    edge.restart();
    let events = gateway.wait_acked(3_100);
    let bodies: HashSet<&str> = events.iter().map(|event| event.message().rsplit_once(": ").unwrap().1).collect();
    assert_eq!(
        bodies,
        (0..3_100).map(|number| format!("packet {number}")).collect::<Vec<_>>().iter().map(String::as_str).collect()
    );
    edge.stop();
}
