//! The program is restarted under load, and not one datagram is missing.
//!
//! With `RESTART_BOX`, `RESTART_GATEWAY` and `RESTART_COMMAND` the same load goes to a box that stands elsewhere, such as the
//! image in a virtual machine: its syslog address, the address its gateway is to listen at here, and the command that restarts
//! its program.

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Machine, OUTSIDE, outside};
use crate::peers::balance::balance;
use crate::peers::gateway::Event;
use crate::peers::service::{Manner, Service};
use crate::peers::until;

/// How often the program is restarted.
const RESTARTS: usize = 10;
/// Datagrams a second. What comes in during a restart has to fit into a receive buffer of 4 MiB, which is all that a machine of
/// a test may allow; an image allows 256.
const RATE: usize = 4_000;
/// Datagrams between two looks at the clock.
const BURST: usize = 8;

/// Datagrams that flow until they are told to end.
struct Load {
    sent: Arc<AtomicUsize>,
    is_done: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

fn text(number: usize) -> String {
    format!("<13>Nov 24 10:15:30 fw1 kernel: datagram {number} of a firewall that does not wait")
}

impl Load {
    fn start(to: SocketAddr, rate: usize) -> Self {
        let (sent, is_done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, end) = (Arc::clone(&sent), Arc::clone(&is_done));
        let thread = std::thread::spawn(move || {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            let begin = sapphire_edge::clock::monotonic();
            let mut number = 0;
            while !end.load(Ordering::Relaxed) {
                for _ in 0..BURST {
                    socket.send_to(text(number).as_bytes(), to).unwrap();
                    number += 1;
                    count.store(number, Ordering::Relaxed);
                }
                let due = Duration::from_secs_f64(number as f64 / rate as f64);
                std::thread::park_timeout(due.saturating_sub(begin.elapsed()));
            }
        });
        Self { sent, is_done, thread }
    }

    fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Waits until so many more were sent.
    fn more(&self, datagrams: usize) {
        let from = self.sent();
        until("the load goes on", || (self.sent() >= from + datagrams).then_some(()));
    }

    fn end(self) -> Vec<String> {
        self.is_done.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        (0..self.sent.load(Ordering::Relaxed)).map(text).collect()
    }
}

/// Restarts under load, and holds what was sent against what the gateway has.
fn lose_nothing(syslog: SocketAddr, gateway: &Service, rate: usize, mut restart: impl FnMut()) {
    let load = Load::start(syslog, rate);
    load.more(rate);
    for _ in 0..RESTARTS {
        restart();
        load.more(rate / 2);
    }
    let sent = load.end();
    let events = gateway.wait_acked(sent.len());
    let all: Vec<Event> = gateway.seen().into_iter().map(|seen| seen.event).collect();
    let repeats = balance(&sent, &all).repeats;
    assert!(gateway.notices().is_empty(), "a stop in good order leaves no gap: {:?}", gateway.notices());
    eprintln!(
        "{RESTARTS} restarts under {rate} datagrams/s: {} sent, {} came, {repeats} repeated",
        sent.len(),
        events.len()
    );
}

#[test]
fn no_datagram_is_lost_over_restarts_under_load() {
    outside(|| {
        let gateway = Service::plain_at(SocketAddr::new(OUTSIDE_ANY, 5044), Manner::Serve);
        let machine = Machine::boot(&format!(
            "[[source]]\nid = \"firewalls\"\ntype = \"syslog\"\nlisten = [\"udp://0.0.0.0:514\"]\n[[output]]\nid = \
             \"gateway\"\ntype = \"lumberjack\"\ntransport = \"tcp\"\nendpoint = [\"{OUTSIDE}:5044\"]\nbackoff_min = \"20ms\"\n\
             backoff_max = \"100ms\"\n"
        ));
        let mut pids = std::collections::BTreeSet::new();
        lose_nothing(Machine::at(514), &gateway, RATE, || {
            assert!(pids.insert(machine.property("sapphire-edge.service", "MainPID")), "it was not restarted");
            // A person's restarts count as well as failures do.
            machine.say("systemctl reset-failed sapphire-edge.service");
            machine.say("systemctl restart sapphire-edge.service");
        });
        assert_eq!(machine.property("sapphire-edge.service", "NRestarts"), "0", "none was a crash");
        assert_eq!(machine.property("sapphire-edge.service", "NFileDescriptorStore"), "1");
    });
}

/// The cable has its address only once a box is there.
const OUTSIDE_ANY: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

#[test]
fn no_datagram_is_lost_by_a_box_elsewhere() {
    let wanted = ["RESTART_BOX", "RESTART_GATEWAY", "RESTART_COMMAND"].map(std::env::var);
    let [Ok(syslog), Ok(gateway), Ok(command)] = wanted else {
        eprintln!("SKIPPED: RESTART_BOX, RESTART_GATEWAY and RESTART_COMMAND name no box");
        return;
    };
    let gateway = Service::plain_at(gateway.parse().unwrap(), Manner::Serve);
    let rate = std::env::var("RESTART_RATE").map_or(RATE, |rate| rate.parse().unwrap());
    lose_nothing(syslog.parse().unwrap(), &gateway, rate, || {
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success(), "{command}");
    });
}
