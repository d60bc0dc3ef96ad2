//! What real senders send arrives at the gateway, whole and once.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use sapphire_edge::status::{Component, Count, DropReason};

use crate::peers::appliance::{Appliance, to_gateway};
use crate::peers::balance::balance;
use crate::peers::certificates::{Authority, Identity};
use crate::peers::gateway::Event;
use crate::peers::program::{Running, have, loggen, run, run_with_input, text};
use crate::peers::rsyslog::{Rsyslog, Tls};
use crate::peers::service::{Manner, Service};
use crate::peers::until;

const UDP: &str = "udp://127.0.0.1:0";
const TCP: &str = "tcp://127.0.0.1:0";
const TLS: &str = "tls://127.0.0.1:0";

/// An appliance with one syslog source of these settings, and its gateway.
fn edge(source: &str) -> (Appliance, Service) {
    let gateway = Service::plain(Manner::Serve);
    let output = to_gateway(gateway.address());
    let settings = format!("{output}[[source]]\nid = \"firewalls\"\ntype = \"syslog\"\n{source}");
    (Appliance::start(&settings), gateway)
}

/// The TLS table of a listener with this certificate, and more lines.
fn tls_table(identity: &Identity, more: &str) -> String {
    format!("[source.tls]\ncert = {:?}\nkey = {:?}\n{more}", identity.cert, identity.key)
}

fn counted(edge: &Appliance, count: Count, wanted: u64) {
    edge.line(Component::Source, "firewalls", |line| line.count(count) == wanted);
}

fn logger(to: SocketAddr, arguments: &[&str]) {
    let (host, port) = (to.ip().to_string(), to.port().to_string());
    run(Command::new("logger").args(["-n", &host, "-P", &port]).args(arguments));
}

#[test]
fn logger_is_understood_in_each_of_its_ways() {
    if !have("logger") {
        return;
    }
    let (edge, gateway) = edge(&format!("listen = [{UDP:?}, {TCP:?}]\n"));
    let (udp, tcp) = (edge.address(UDP, 0), edge.address(TCP, 0));
    logger(udp, &["-d", "--rfc3164", "-t", "sshd", "-p", "auth.warning", "by udp"]);
    logger(udp, &["-d", "--rfc3164", "Grüße aus 東京"]);
    logger(tcp, &["-T", "--rfc3164", "by tcp, a line"]);
    logger(tcp, &["-T", "--octet-count", "--rfc3164", "by tcp, counted"]);
    let data = ["--sd-id", "shop@32473", "--sd-param", "till=\"7\"", "--msgid", "SALE"];
    logger(udp, &[&["-d", "--rfc5424"], &data[..], &["by rfc 5424"]].concat());
    let events = gateway.wait_acked(5);
    let find = |words: &str| -> &Event {
        let found = events.iter().find(|event| event.message().ends_with(words));
        found.unwrap_or_else(|| panic!("no {words:?} in {events:#?}"))
    };
    let event = find("by udp");
    assert_eq!(event.json["log"]["syslog"]["appname"], "sshd", "{event:#?}");
    assert_eq!(event.json["log"]["syslog"]["priority"], 4 * 8 + 4);
    assert_eq!(event.json["sapphire"]["transport"], "udp");
    assert_eq!(event.json["source"]["ip"], "127.0.0.1");
    find("Grüße aus 東京");
    assert_eq!(find("by tcp, a line").json["sapphire"]["transport"], "tcp");
    assert!(find("by tcp, counted").message().starts_with("<13>"), "the count is no part of the message");
    let syslog = &find("by rfc 5424").json["log"]["syslog"];
    assert_eq!((&syslog["msgid"], &syslog["version"]), (&"SALE".into(), &"1".into()), "{syslog:#}");
    assert_eq!(syslog["structured_data"]["shop@32473"]["till"], "7", "{syslog:#}");
    counted(&edge, Count::ReceivedEvents, 5);
    edge.stop();
}

/// The messages that rsyslog is fed with, and as it sends them on.
fn fed(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("<{}>Nov 24 10:15:30 fw1 kernel: dropped packet {number}", number % 192)).collect()
}

/// What is behind the header, which rsyslog writes anew.
fn bodies<'a>(messages: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, u32> {
    let mut bodies = BTreeMap::new();
    for message in messages {
        let body = message.rsplit_once("kernel: ").unwrap_or_else(|| panic!("{message:?}")).1;
        *bodies.entry(body.to_owned()).or_default() += 1;
    }
    bodies
}

#[test]
fn rsyslog_sends_over_plain_tcp() {
    let (edge, gateway) = edge(&format!("listen = [{TCP:?}]\n"));
    let Some(rsyslog) = Rsyslog::sender(edge.address(TCP, 0), None) else { return };
    let sent = fed(500);
    rsyslog.feed(sent.clone());
    let events = gateway.wait_acked(500);
    assert_eq!(bodies(events.iter().map(Event::message)), bodies(sent.iter().map(String::as_str)));
    assert!(events.iter().all(|event| event.json["sapphire"]["transport"] == "tcp"));
    edge.stop();
}

#[test]
fn rsyslog_sends_over_tls_and_each_side_checks_the_other() {
    let authority = Authority::new();
    let (ours, theirs) = (authority.identity("edge-1.example.net"), authority.identity("fw1.example.net"));
    let rules =
        format!("client_auth = \"required\"\nclient_ca = {:?}\nclient_names = [\"*.example.net\"]\n", authority.ca());
    let (edge, gateway) = edge(&format!("listen = [{TLS:?}]\n{}", tls_table(&ours, &rules)));
    let tls = Tls { authority: &authority, identity: &theirs, peer: "edge-1.example.net" };
    let Some(rsyslog) = Rsyslog::sender(edge.address(TLS, 0), Some(&tls)) else { return };
    let mut sent = fed(500);
    rsyslog.feed(sent.clone());
    if have("logger") {
        let socket = rsyslog.socket();
        run(Command::new("logger").arg("-u").arg(socket).args(["-t", "kernel", "by logger and rsyslog"]));
        sent.push("kernel: by logger and rsyslog".to_owned());
    }
    let events = gateway.wait_acked(sent.len());
    assert_eq!(bodies(events.iter().map(Event::message)), bodies(sent.iter().map(String::as_str)));
    for event in &events {
        let about = &event.json["sapphire"];
        assert_eq!((&about["transport"], &about["client"]), (&"tls".into(), &"fw1.example.net".into()));
    }
    edge.stop();
}

/// Runs loggen and returns how many messages it says it has sent.
fn load(arguments: &[&str], to: SocketAddr) -> Option<u64> {
    let said = run(&mut loggen(arguments, to)?);
    let count = said.rsplit_once("count=").unwrap_or_else(|| panic!("{said}")).1;
    count.split(',').next()?.trim().parse().ok()
}

#[test]
fn loggen_over_tcp_and_tls_arrives_whole() {
    let authority = Authority::new();
    let table = tls_table(&authority.identity("127.0.0.1"), "");
    let (edge, gateway) = edge(&format!("listen = [{TCP:?}, {TLS:?}]\n{table}"));
    let size = ["-s", "400", "-I", "1", "-r", "2000"];
    let Some(by_tcp) = load(&[&["-i", "-S"], &size[..]].concat(), edge.address(TCP, 0)) else { return };
    let Some(by_tls) = load(&[&["-U", "--active-connections=2"], &size[..]].concat(), edge.address(TLS, 0)) else {
        return;
    };
    let Some(counted_frames) = load(&[&["-i", "-S", "-P"], &size[..]].concat(), edge.address(TCP, 0)) else { return };
    assert!(by_tcp > 500 && by_tls > 500 && counted_frames > 500, "{by_tcp} {by_tls} {counted_frames}");
    let sent = by_tcp + by_tls + counted_frames;
    counted(&edge, Count::ReceivedEvents, sent);
    let events = gateway.wait_acked(sent.try_into().unwrap());
    let texts: Vec<String> = events.iter().map(|event| event.message().to_owned()).collect();
    assert_eq!(balance(&texts, &events).ids.len() as u64, sent, "loggen numbers its messages, so all are different");
    edge.stop();
}

#[test]
fn loggen_over_udp_is_accounted_for_to_the_last_datagram() {
    // A buffer that a burst overflows: what the kernel drops is counted, so nothing is lost in silence.
    let (edge, gateway) = edge(&format!("listen = [{UDP:?}]\nreceive_buffer = \"64KiB\"\n"));
    let to = edge.address(UDP, 0);
    let Some(sent) = load(&["-i", "-D", "-s", "800", "-I", "1", "-r", "40000"], to) else { return };
    let line = edge
        .line(Component::Source, "firewalls", |line| line.count(Count::ReceivedEvents) + line.dropped_total() >= sent);
    let received = line.count(Count::ReceivedEvents);
    let dropped = line.dropped.get(&DropReason::KernelBuffer).copied().unwrap_or(0);
    assert_eq!(received + dropped, sent, "{line:#?}");
    gateway.wait_acked(received.try_into().unwrap());
    edge.stop();
}

fn s_client(to: SocketAddr, authority: &Authority) -> Command {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-verify_return_error", "-CAfile"]).arg(authority.ca());
    command.arg("-connect").arg(to.to_string());
    command
}

/// Sends a line over TLS and keeps the connection open until it has arrived.
fn send_by_openssl(command: &mut Command, line: &str, gateway: &Service, count: usize) -> Vec<Event> {
    let mut running = Running::start(command.arg("-quiet").stdin(Stdio::piped()).stderr(Stdio::null()));
    writeln!(running.0.stdin.as_mut().unwrap(), "{line}").unwrap();
    gateway.wait_acked(count)
}

#[test]
fn openssl_comes_in_with_the_right_certificate_and_stays_out_with_none() {
    if !have("openssl") {
        return;
    }
    let authority = Authority::new();
    let (ours, theirs) = (authority.identity("127.0.0.1"), authority.identity("fw1.example.net"));
    let rules = format!("client_auth = \"required\"\nclient_ca = {:?}\n", authority.ca());
    let (edge, gateway) = edge(&format!("listen = [{TLS:?}]\n{}", tls_table(&ours, &rules)));
    let to = edge.address(TLS, 0);
    let others = Authority::new();
    let stranger = others.identity("fw1.example.net");
    for version in ["-tls1_2", "-tls1_3"] {
        let mut command = s_client(to, &authority);
        command.args([version, "-cert"]).arg(&theirs.cert).arg("-key").arg(&theirs.key);
        let seen = gateway.count();
        let events =
            send_by_openssl(&mut command, &format!("<14>Nov 24 10:15:30 fw1 a: {version}"), &gateway, seen + 1);
        assert!(events.last().unwrap().message().ends_with(version));
        assert_eq!(events.last().unwrap().json["sapphire"]["client"], "fw1.example.net");
    }
    let refused = |more: &[&std::ffi::OsStr]| {
        let output = run_with_input(s_client(to, &authority).args(more), b"<14>not wanted\n");
        text(&output.stderr) + &text(&output.stdout)
    };
    let words = refused(&["-tls1_2".as_ref()]);
    assert!(words.contains("alert"), "{words}");
    refused(&["-tls1_3".as_ref()]);
    refused(&["-cert".as_ref(), stranger.cert.as_os_str(), "-key".as_ref(), stranger.key.as_os_str()]);
    counted(&edge, Count::RefusedConnections, 3);
    counted(&edge, Count::ReceivedEvents, 2);
    edge.stop();
}

#[test]
fn openssl_is_asked_for_no_certificate_where_none_is_wanted_and_tls_1_1_is_refused() {
    if !have("openssl") {
        return;
    }
    let authority = Authority::new();
    let (edge, gateway) = edge(&format!("listen = [{TLS:?}]\n{}", tls_table(&authority.identity("127.0.0.1"), "")));
    let to = edge.address(TLS, 0);
    let events = send_by_openssl(&mut s_client(to, &authority), "<14>Nov 24 10:15:30 fw1 a: hello", &gateway, 1);
    assert!(events[0].json["sapphire"]["client"].is_null());
    let mut old = s_client(to, &authority);
    old.args(["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]);
    let output = run_with_input(&mut old, b"<14>too old\n");
    let words = text(&output.stderr);
    assert!(!output.status.success() && words.contains("alert"), "{words}");
    counted(&edge, Count::ReceivedEvents, 1);
    until("the failed handshake is counted", || {
        let status = edge.status()?;
        let line = status.line(Component::Source, "firewalls")?;
        (line.count(Count::BrokenConnections) + line.count(Count::RefusedConnections) > 0).then_some(())
    });
    edge.stop();
}
