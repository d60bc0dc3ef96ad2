//! The bounds that the settings draw: length of a message, number of connections, who may send, how long one may idle.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};

use nix::sys::signal::Signal;
use sapphire_edge::status::{Component, Count, DropReason, Gauge};

use crate::peers::appliance::{Appliance, to_gateway};
use crate::peers::gateway::Event;
use crate::peers::sender::lines;
use crate::peers::service::{Manner, Service};
use crate::peers::{PATIENCE, until};

const UDP: &str = "udp://127.0.0.1:0";
const TCP: &str = "tcp://127.0.0.1:0";

fn edge(more: &str) -> (Appliance, Service) {
    let gateway = Service::plain(Manner::Serve);
    let source = format!("[[source]]\nid = \"firewalls\"\ntype = \"syslog\"\nlisten = [{UDP:?}, {TCP:?}]\n{more}");
    (Appliance::start(&(to_gateway(gateway.address()) + &source)), gateway)
}

#[test]
fn a_message_that_is_too_long_is_cut_marked_and_counted() {
    let (edge, gateway) = edge("max_message = \"1KiB\"\n");
    let long = |name: &str| format!("<13>Nov 24 10:15:30 fw1 {name}: {}", "x".repeat(5_000));
    let (datagram, line, counted) = (long("datagram"), long("line"), long("counted"));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(datagram.as_bytes(), edge.address(UDP, 0)).unwrap();
    lines(edge.address(TCP, 0), &[line.clone(), "<13>Nov 24 10:15:30 fw1 a: short".to_owned()]);
    let mut stream = TcpStream::connect(edge.address(TCP, 0)).unwrap();
    write!(stream, "{} {counted}", counted.len()).unwrap();
    let events = gateway.wait_acked(4);
    let find = |name: &str| -> &Event {
        events.iter().find(|event| event.message().contains(name)).unwrap_or_else(|| panic!("no {name} in {events:#?}"))
    };
    for (name, text) in [("datagram", &datagram), ("line", &line), ("counted", &counted)] {
        let event = find(name);
        assert_eq!(event.message(), &text[..1_024], "{name}");
        assert_eq!(event.json["sapphire"]["cut_from"], text.len(), "{name}");
    }
    assert!(find(" a: short").json["sapphire"]["cut_from"].is_null());
    edge.line(Component::Source, "firewalls", |line| line.count(Count::CutEvents) == 3);
    edge.stop();
}

#[test]
fn datagrams_that_the_kernel_drops_are_counted_to_the_last() {
    let (edge, gateway) = edge("receive_buffer = \"64KiB\"\n");
    let (to, socket) = (edge.address(UDP, 0), UdpSocket::bind("127.0.0.1:0").unwrap());
    // Nobody reads meanwhile.
    edge.freeze();
    for number in 0..2_000 {
        socket.send_to(format!("<13>number {number} {}", "x".repeat(500)).as_bytes(), to).unwrap();
    }
    edge.signal(Signal::SIGCONT);
    let line = edge
        .line(Component::Source, "firewalls", |line| line.count(Count::ReceivedEvents) + line.dropped_total() >= 2_000);
    let dropped = line.dropped.get(&DropReason::KernelBuffer).copied().unwrap_or(0);
    assert!(dropped > 0, "{line:#?}");
    assert_eq!(line.count(Count::ReceivedEvents) + dropped, 2_000, "{line:#?}");
    let told = || gateway.notices().values().filter_map(|notice| notice["count"].as_u64()).sum::<u64>();
    until("the gateway was told of the drops", || (told() == dropped).then_some(()));
    gateway.wait_acked(line.count(Count::ReceivedEvents).try_into().unwrap());
    edge.stop();
}

#[test]
fn a_sender_that_is_not_allowed_is_turned_away_and_counted() {
    let (edge, gateway) = edge("allow = [\"127.0.0.8/29\"]\n");
    let from = |last| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0);
    let (allowed, stranger) = (UdpSocket::bind(from(9)).unwrap(), UdpSocket::bind(from(1)).unwrap());
    for number in 0..3 {
        stranger.send_to(format!("<13>stranger {number}").as_bytes(), edge.address(UDP, 0)).unwrap();
    }
    let mut stream = TcpStream::connect(edge.address(TCP, 0)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // It may be closed before that.
    let _ = stream.write_all(b"<13>stranger by tcp\n");
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "the connection is closed");
    allowed.send_to(b"<13>allowed", edge.address(UDP, 0)).unwrap();
    assert_eq!(gateway.wait_acked(1)[0].message(), "<13>allowed");
    let line = edge.line(Component::Source, "firewalls", |line| line.count(Count::RefusedConnections) == 1);
    assert_eq!(line.dropped.get(&DropReason::NotAllowed), Some(&3), "{line:#?}");
    assert_eq!(line.count(Count::ReceivedEvents), 1);
    assert_eq!(gateway.count(), 1);
    edge.stop();
}

#[test]
fn connections_over_the_limit_wait_until_one_is_free() {
    let (edge, gateway) = edge("max_connections = 2\n");
    let to = edge.address(TCP, 0);
    let mut streams: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(to).unwrap()).collect();
    for (number, stream) in streams.iter_mut().enumerate() {
        writeln!(stream, "<13>by {number}").unwrap();
    }
    gateway.wait_acked(2);
    edge.line(Component::Source, "firewalls", |line| line.gauge(Gauge::OpenConnections) == 2);
    streams.remove(0);
    let mut texts: Vec<String> = gateway.wait_acked(3).iter().map(|event| event.message().to_owned()).collect();
    texts.sort();
    assert_eq!(texts, ["<13>by 0", "<13>by 1", "<13>by 2"]);
    edge.stop();
}

#[test]
fn an_idle_connection_is_closed_and_its_last_words_are_kept() {
    let (edge, gateway) = edge("idle_timeout = \"1s\"\n");
    let mut stream = TcpStream::connect(edge.address(TCP, 0)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"<13>whole\n<13>without an end").unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "the connection is closed");
    let texts: Vec<String> = gateway.wait_acked(2).iter().map(|event| event.message().to_owned()).collect();
    assert_eq!(texts, ["<13>whole", "<13>without an end"]);
    edge.line(Component::Source, "firewalls", |line| line.gauge(Gauge::OpenConnections) == 0);
    edge.stop();
}
