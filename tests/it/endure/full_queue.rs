//! The queue at its `max_size` with the gateway gone, for each `when_full`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sapphire_edge::queue::Totals;
use sapphire_edge::status::{Component, Count, DropReason, Gauge, Line};

use super::far_end::{FarEnd, number, one_id_each};
use super::link::Link;
use super::{drained, ledger, to_gateway};
use crate::peers::appliance::{Appliance, until};

/// Event bytes that do not fit: random digits shrink to a half.
const TOO_MUCH: u64 = 24 << 20;
/// Bytes of an event, a little more.
const LENGTH: usize = 1_000;

/// A box with a queue of 8 MiB, of which 2 are kept for UDP, and its gateway behind a line that is cut.
struct Stage {
    gateway: FarEnd,
    link: Link,
    edge: Appliance,
}

impl Stage {
    fn set(when_full: &str) -> Self {
        let gateway = FarEnd::start();
        let link = Link::new(gateway.address(), false);
        let edge = Appliance::start(&format!(
            "[queue]\nmax_size = \"8MiB\"\nreserve = \"2MiB\"\nsegment_size = \"1MiB\"\nmemory = \"4MiB\"\nflush_bytes = \
             \"512KiB\"\nwhen_full = \"{when_full}\"\n[[source]]\nid = \"streams\"\ntype = \"syslog\"\nlisten = \
             [\"tcp://127.0.0.1:0\"]\n[[source]]\nid = \"datagrams\"\ntype = \"syslog\"\nlisten = \
             [\"udp://127.0.0.1:0\"]\n{}",
            to_gateway(link.address())
        ));
        Self { gateway, link, edge }
    }

    fn tcp(&self) -> SocketAddr {
        self.edge.address("tcp://127.0.0.1:0", 0)
    }

    fn udp(&self) -> Datagrams {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(self.edge.address("udp://127.0.0.1:0", 0)).unwrap();
        Datagrams { socket, dice: StdRng::seed_from_u64(2), sent: 0 }
    }

    fn source(&self, id: &str) -> Line {
        let line = || self.edge.status()?.line(Component::Source, id).cloned();
        until("the status", line)
    }

    /// Waits until the queue says that it is full, and what becomes of events.
    fn says(&self, todo: &str) {
        let line = self.edge.line(Component::Queue, "queue", |line| {
            line.health.fault().is_some_and(|fault| fault.what.contains("the queue is full"))
        });
        assert!(line.health.fault().unwrap().todo.contains(todo), "{:?}", line.health);
    }

    /// Lets everything out and stops; the messages that came, and each source's totals, which balance.
    fn end(self) -> (Vec<String>, Totals, Totals) {
        let Self { gateway, link, mut edge } = self;
        link.mend();
        drained(&edge);
        edge.signal(Signal::SIGTERM);
        assert!(edge.wait().success(), "{}", edge.all_lines());
        let arrived = gateway.arrived();
        let messages: Vec<String> = one_id_each(&arrived).into_values().map(str::to_owned).collect();
        let mut ledger = ledger(edge.folder());
        println!("full queue: {ledger:?}");
        let totals = ["streams", "datagrams"].map(|id| ledger.remove(&id.into()).unwrap_or_default());
        for (totals, sender) in totals.iter().zip(["tcp", "udp"]) {
            assert_eq!(totals.queued(), 0, "{totals:?}");
            let came = messages.iter().filter(|message| number(message, sender).is_some()).count();
            assert_eq!(totals.delivered, came as u64, "{sender}");
            assert_eq!(totals.received, totals.delivered + totals.dropped.values().sum::<u64>(), "{totals:?}");
        }
        let [streams, datagrams] = totals;
        (messages, streams, datagrams)
    }
}

/// A sender of datagrams.
struct Datagrams {
    socket: UdpSocket,
    dice: StdRng,
    sent: u64,
}

impl Datagrams {
    fn send(&mut self, count: u64) {
        for number in self.sent..self.sent + count {
            self.socket.send(line("udp", number, &mut self.dice).as_bytes()).unwrap();
        }
        self.sent += count;
    }
}

fn line(sender: &str, number: u64, dice: &mut StdRng) -> String {
    let mut line = format!("{sender} {number} ");
    while line.len() < LENGTH {
        write!(line, "{:016x}", dice.random::<u64>()).unwrap();
    }
    line
}

/// Sends lines over TCP until they are too much, on a thread; the number it came to is shared.
fn stream(to: SocketAddr) -> (JoinHandle<()>, Arc<AtomicU64>) {
    let sent = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&sent);
    let thread = std::thread::spawn(move || {
        let (mut stream, mut dice) = (TcpStream::connect(to).unwrap(), StdRng::seed_from_u64(1));
        for number in 0..TOO_MUCH / LENGTH as u64 {
            stream.write_all((line("tcp", number, &mut dice) + "\n").as_bytes()).unwrap();
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    (thread, sent)
}

fn numbers(messages: &[String], sender: &str) -> BTreeSet<u64> {
    messages.iter().filter_map(|message| number(message, sender)).collect()
}

#[test]
fn a_full_queue_holds_streams_back_and_keeps_its_reserve_for_datagrams() {
    let stage = Stage::set("hold_back");
    let (sending, sent) = stream(stage.tcp());
    stage.says("senders are held back");
    let mut datagrams = stage.udp();
    // Few enough for the reserve.
    datagrams.send(500);
    let line = stage.edge.line(Component::Source, "datagrams", |line| line.count(Count::ReceivedEvents) == 500);
    assert_eq!(line.dropped_total(), 0);
    assert!(!sending.is_finished(), "the stream was not held back after {} events", sent.load(Ordering::Relaxed));
    // More than that: dropped, counted, and said.
    while !stage.source("datagrams").dropped.contains_key(&DropReason::QueueFull) {
        datagrams.send(100);
    }
    stage.edge.line(Component::Source, "datagrams", |line| line.health.fault().is_some());
    stage.link.mend();
    let udp = datagrams.sent;
    sending.join().unwrap();
    stage.edge.received("streams", TOO_MUCH / LENGTH as u64);
    let (messages, streams, datagrams) = stage.end();
    assert_eq!(streams.received, TOO_MUCH / LENGTH as u64);
    assert_eq!(streams.dropped.len(), 0, "{streams:?}");
    // What the kernel dropped is in the ledger too.
    assert_eq!(datagrams.received, udp, "{datagrams:?}");
    assert!((0..500).all(|number| numbers(&messages, "udp").contains(&number)));
}

#[test]
fn a_full_queue_drops_the_oldest_where_it_should() {
    let stage = Stage::set("drop_oldest");
    let (sending, _) = stream(stage.tcp());
    sending.join().unwrap();
    let all = TOO_MUCH / LENGTH as u64;
    stage.edge.received("streams", all);
    stage.says("the oldest events are dropped");
    let line = stage.edge.line(Component::Queue, "queue", |line| line.gauge(Gauge::QueuedBytes) > 0);
    assert!(line.gauge(Gauge::QueuedBytes) <= 8 << 20, "{line:#?}");
    let (messages, streams, _) = stage.end();
    assert_eq!(streams.received, all);
    let came = numbers(&messages, "tcp");
    let missing: Vec<u64> = (0..all).filter(|number| !came.contains(number)).collect();
    assert_eq!(streams.dropped[&DropReason::QueueFull], missing.len() as u64, "{streams:?}");
    // What the output had in its hands when it was dropped is delivered yet; else the oldest go first.
    let newest = missing.last().unwrap();
    assert!(all - newest > came.len() as u64 / 2, "{newest} is missing, one of the newest of {all}");
}

#[test]
fn a_full_queue_drops_the_newest_where_it_should() {
    let stage = Stage::set("drop_newest");
    let (sending, _) = stream(stage.tcp());
    sending.join().unwrap();
    let all = TOO_MUCH / LENGTH as u64;
    stage.says("new events are dropped");
    let received = |line: &Line| line.count(Count::ReceivedEvents) + line.dropped_total() >= all;
    stage.edge.line(Component::Source, "streams", received);
    // The status tells of all: what waits and what was dropped.
    let told = |line: &Line| line.gauge(Gauge::QueuedEvents) + line.dropped_total() == all;
    stage.edge.line(Component::Queue, "queue", told);
    let (messages, streams, _) = stage.end();
    assert_eq!(streams.received, all);
    let came = numbers(&messages, "tcp");
    let dropped = streams.dropped[&DropReason::QueueFull];
    assert!(dropped > 0 && came.len() as u64 == all - dropped, "{} and {streams:?}", came.len());
    // All of the first MiB, which fits whatever the batches are.
    assert!((0..1_000).all(|number| came.contains(&number)));
}
