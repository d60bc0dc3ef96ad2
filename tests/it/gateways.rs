//! Gateways that misbehave, each in its way: nothing is lost, what comes again comes under its own id, and the status
//! says in words what is wrong.

use sapphire_edge::status::{Component, Count, Gauge, Line};

use crate::peers::appliance::{Appliance, to_gateway};
use crate::peers::balance::{Balance, balance};
use crate::peers::certificates::Authority;
use crate::peers::gateway::Event;
use crate::peers::sender::lines;
use crate::peers::service::{Manner, Service};
use crate::peers::until;

const TCP: &str = "tcp://127.0.0.1:0";

/// An appliance with a syslog source over TCP and this output table.
fn edge(output: &str) -> Appliance {
    let source = format!("[[source]]\nid = \"firewalls\"\ntype = \"syslog\"\nlisten = [{TCP:?}]\n");
    Appliance::start(&format!("{output}{source}"))
}

fn send(edge: &Appliance, texts: &[String]) {
    lines(edge.address(TCP, 0), texts);
}

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("<13>Nov 24 10:15:30 fw1 app: event {number}")).collect()
}

/// Waits until the output's health is this word and its fault says this, with advice.
fn says(edge: &Appliance, word: &str, words: &str) -> Line {
    edge.line(Component::Output, "gateway", |line| {
        let fault = line.health.fault();
        line.health.word() == word && fault.is_some_and(|fault| fault.what.contains(words) && !fault.todo.is_empty())
    })
}

/// Waits until the gateway has acknowledged all of these, and everything on the status is well again.
fn recovers(edge: &Appliance, gateway: &Service, sent: &[String]) -> Balance {
    gateway.wait_acked(sent.len());
    edge.line(Component::Output, "gateway", |line| line.health.word() == "healthy");
    let line = edge.line(Component::Output, "gateway", |line| line.count(Count::DeliveredEvents) >= sent.len() as u64);
    assert_eq!(line.count(Count::DeliveredEvents), sent.len() as u64);
    // Repeats are all that came beyond that, acknowledged or not.
    let all: Vec<Event> = gateway.seen().into_iter().map(|seen| seen.event).collect();
    balance(sent, &all)
}

/// A gateway that does this once, with the words that the status must show, and serves afterwards.
fn misbehaves(manner: Manner, more: &str, word: &str, words: &str) -> Balance {
    let gateway = Service::plain(manner);
    let edge = edge(&format!("{}{more}", to_gateway(gateway.address())));
    let sent = texts(20);
    send(&edge, &sent);
    says(&edge, word, words);
    gateway.change(Manner::Serve);
    let balance = recovers(&edge, &gateway, &sent);
    edge.stop();
    balance
}

#[test]
fn one_that_never_acknowledges() {
    let balance = misbehaves(Manner::Silent, "ack_timeout = \"200ms\"\n", "failed", "silent");
    assert!(balance.repeats >= 1);
}

#[test]
fn one_that_only_gives_signs_of_life() {
    let limits = "ack_timeout = \"200ms\"\nstall_timeout = \"500ms\"\n";
    let balance = misbehaves(Manner::SignsOfLife, limits, "failed", "is alive but has acknowledged none");
    assert!(balance.repeats >= 1);
}

#[test]
fn one_that_acknowledges_more_than_it_got() {
    misbehaves(Manner::AckBeyond, "", "failed", "for a window of");
}

#[test]
fn one_that_answers_in_another_language() {
    misbehaves(Manner::Garbage, "", "failed", "byte 0x48 instead of version");
}

#[test]
fn one_that_is_closed_as_soon_as_it_is_open() {
    misbehaves(Manner::Down, "", "failed", "clos");
}

#[test]
fn one_that_resets_the_connection() {
    misbehaves(Manner::Reset, "", "failed", "before it had acknowledged");
}

#[test]
fn one_that_closes_in_the_middle_of_a_window() {
    misbehaves(Manner::CutShort(100), "", "failed", "before it had acknowledged");
}

#[test]
fn one_that_acknowledges_half_and_closes_gets_the_other_half() {
    let gateway = Service::plain(Manner::Down);
    let edge = edge(&format!("{}window = 10\nwindows_in_flight = 1\n", to_gateway(gateway.address())));
    let sent = texts(100);
    send(&edge, &sent);
    edge.line(Component::Source, "firewalls", |line| line.count(Count::ReceivedEvents) == 100);
    gateway.change(Manner::AckHalf);
    until("some are acknowledged by halves", || (gateway.acked().len() >= 10).then_some(()));
    gateway.change(Manner::Serve);
    recovers(&edge, &gateway, &sent);
    let seen = gateway.seen();
    let mut acked = std::collections::HashSet::new();
    for event in &seen {
        assert!(!acked.contains(event.event.id()), "it was acknowledged, and came again: {event:?}");
        if event.acked {
            acked.insert(event.event.id().to_owned());
        }
    }
    edge.stop();
}

#[test]
fn one_that_is_slow_is_waited_for() {
    let gateway = Service::plain(Manner::Slow);
    // Reading all of it takes longer than the limits: it must be seen that bytes flow.
    let limits = "compression = 0\nwindow_size = \"16MiB\"\nack_timeout = \"2500ms\"\nstall_timeout = \"2500ms\"\n";
    let edge = edge(&format!("{}{limits}", to_gateway(gateway.address())));
    let filler = "x".repeat(30_000);
    let sent: Vec<String> = texts(70).iter().map(|text| format!("{text} {filler}")).collect();
    send(&edge, &sent);
    let balance = recovers(&edge, &gateway, &sent);
    assert_eq!((balance.repeats, gateway.connections()), (0, 1));
    edge.stop();
}

#[test]
fn a_backlog_waits_on_the_disk_and_goes_out_when_the_gateway_is_back() {
    let gateway = Service::plain(Manner::Down);
    let edge = edge(&to_gateway(gateway.address()));
    let sent = texts(5_000);
    send(&edge, &sent);
    edge.line(Component::Queue, "queue", |line| line.gauge(Gauge::QueuedEvents) == 5_000);
    gateway.change(Manner::Serve);
    assert_eq!(recovers(&edge, &gateway, &sent).repeats, 0);
    edge.stop();
}

#[test]
fn the_next_of_the_list_takes_over_and_gives_back() {
    let (first, second) = (Service::plain(Manner::Serve), Service::plain(Manner::Serve));
    let one = format!("[\"{}\"]", first.address());
    let both = format!("[\"{}\", \"{}\"]", first.address(), second.address());
    let edge = edge(&format!("{}failback = \"1s\"\n", to_gateway(first.address()).replace(&one, &both)));
    let sent = texts(3_000);
    send(&edge, &sent[..1_000]);
    first.wait_acked(1_000);
    first.change(Manner::Down);
    send(&edge, &sent[1_000..2_000]);
    says(&edge, "degraded", &format!("events go to {}", second.address()));
    second.wait_acked(1_000);
    first.change(Manner::Serve);
    send(&edge, &sent[2_000..]);
    edge.line(Component::Output, "gateway", |line| line.count(Count::DeliveredEvents) == 3_000);
    edge.line(Component::Output, "gateway", |line| line.health.word() == "healthy");
    balance(&sent, &[first.acked(), second.acked()].concat());
    edge.stop();
}

/// The table of an output over TLS.
fn over_tls(gateway: &Service, tls: &str) -> String {
    to_gateway(gateway.address()).replace("transport = \"tcp\"\n", "") + tls
}

#[test]
fn one_with_a_certificate_that_does_not_fit_gets_nothing() {
    let authority = Authority::new();
    let ca = format!("tls.ca = {:?}\n", authority.ca());
    for (identity, words) in [
        (authority.expired("127.0.0.1"), "expired"),
        (authority.identity("gw2.example.net"), "it is for gw2.example.net, not for 127.0.0.1"),
        (Authority::new().identity("127.0.0.1"), "CA"),
    ] {
        let gateway = Service::tls(&identity, Manner::Serve);
        let edge = edge(&over_tls(&gateway, &ca));
        send(&edge, &texts(1));
        says(&edge, "failed", words);
        until("the gateway sees the handshake fail", || (!gateway.refused().is_empty()).then_some(()));
        assert_eq!(gateway.count(), 0);
        edge.stop();
    }
}
