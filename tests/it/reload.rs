//! SIGHUP: what did not change goes on, what changed is started again on the same sockets, and a bad file changes nothing.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};

use nix::sys::signal::Signal;
use sapphire_edge::status::{Component, Health, Line};

use crate::peers::appliance::{Appliance, until};

const TWO: &str = r#"
[[source]]
id = "keeps"
type = "syslog"
listen = ["tcp://127.0.0.1:0"]

[[source]]
id = "changes"
type = "syslog"
listen = ["udp://127.0.0.1:0", "tcp://127.0.0.2:0"]
"#;

fn reloaded(appliance: &Appliance, settings: &str) -> String {
    let before = appliance.logged();
    appliance.reload(settings);
    appliance.log_line_after(before, &["the new settings are in force"])
}

#[test]
fn what_did_not_change_keeps_its_connections_and_what_changed_keeps_its_sockets() {
    let appliance = Appliance::start(TWO);
    let mut kept = TcpStream::connect(appliance.address("tcp://127.0.0.1:0", 0)).unwrap();
    let mut cut = TcpStream::connect(appliance.address("tcp://127.0.0.2:0", 0)).unwrap();
    let datagrams = appliance.address("udp://127.0.0.1:0", 0);
    kept.write_all(b"<13>before\n").unwrap();
    cut.write_all(b"<13>before\n").unwrap();
    appliance.received("keeps", 1);
    appliance.received("changes", 1);

    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let line = reloaded(&appliance, &format!("{TWO}max_message = \"1KiB\"\n"));
    assert!(line.contains("stopped=1 started=1"), "{line}");
    for _ in 0..100 {
        sender.send_to(b"<13>whatever happens to its source", datagrams).unwrap();
    }
    kept.write_all(b"<13>after\n").unwrap();
    appliance.received("keeps", 2);
    appliance.received("changes", 101);
    assert_eq!(cut.read(&mut [0]).unwrap(), 0, "the connections of what changed are closed");
    let mut again = TcpStream::connect(cut.peer_addr().unwrap()).unwrap();
    again.write_all(b"<13>again\n").unwrap();
    appliance.received("changes", 102);
    appliance.stop();
}

#[test]
fn what_is_gone_leaves_the_board_and_its_port_and_what_is_new_begins() {
    let appliance = Appliance::start(TWO);
    let old = appliance.address("tcp://127.0.0.1:0", 0);
    appliance.line(Component::Source, "changes", |line| line.health == Health::Healthy);
    let new = "[[source]]\nid = \"new\"\ntype = \"syslog\"\nlisten = [\"tcp://127.0.0.3:0\"]\n";
    reloaded(&appliance, new);
    appliance.line(Component::Source, "new", |line| line.health == Health::Healthy);
    let snapshot = appliance.status().unwrap();
    assert!(snapshot.line(Component::Source, "keeps").is_none());
    until("the old port is closed", || TcpStream::connect(old).is_err().then_some(()));
    let mut stream = TcpStream::connect(appliance.address("tcp://127.0.0.3:0", 0)).unwrap();
    stream.write_all(b"<13>hello\n").unwrap();
    appliance.received("new", 1);
    appliance.stop();
}

#[test]
fn a_bad_file_changes_nothing_and_says_why_until_it_is_mended() {
    let appliance = Appliance::start(TWO);
    let mut stream = TcpStream::connect(appliance.address("tcp://127.0.0.1:0", 0)).unwrap();
    appliance.reload(&TWO.replace("\"changes\"", "\"keeps\""));
    let line = appliance.line(Component::Box, "settings", |line| line.health.fault().is_some());
    let what = &line.health.fault().unwrap().what;
    assert!(what.contains("the old settings stay in force") && what.contains("source[keeps].id"), "{what}");
    stream.write_all(b"<13>still here\n").unwrap();
    appliance.received("keeps", 1);
    assert!(appliance.status().unwrap().line(Component::Source, "changes").is_some());
    reloaded(&appliance, TWO);
    appliance.line(Component::Box, "settings", |line| line.health == Health::Healthy);
    stream.write_all(b"<13>still the same connection\n").unwrap();
    appliance.received("keeps", 2);
    appliance.stop();
}

#[test]
fn what_cannot_change_while_running_says_that_it_waits() {
    let appliance = Appliance::start(TWO);
    appliance.line(Component::Source, "keeps", |line| line.health == Health::Healthy);
    reloaded(&appliance, &format!("[queue]\nmemory = \"8MiB\"\n{TWO}"));
    let line = appliance.line(Component::Box, "settings", |line| line.health.fault().is_some());
    assert!(line.health.fault().unwrap().what.contains("[queue]"), "{line:?}");
    // It waits also after a reload that changes something else.
    reloaded(&appliance, &format!("grace = \"5s\"\n[queue]\nmemory = \"8MiB\"\n{TWO}"));
    appliance.line(Component::Box, "settings", |line| line.health.fault().is_some());
    let moved = format!("state_dir = \"{}/elsewhere\"\n{TWO}", appliance.folder().display());
    reloaded(&appliance, &moved);
    let waits = |line: &Line| line.health.fault().is_some_and(|fault| fault.what.contains("state_dir"));
    appliance.line(Component::Box, "settings", waits);
    reloaded(&appliance, TWO);
    appliance.line(Component::Box, "settings", |line| line.health == Health::Healthy);
    appliance.stop();
}

#[test]
fn the_page_moves_when_its_address_changes() {
    let appliance = Appliance::start("[web]\nlisten = \"127.0.0.1:0\"\n");
    let first = appliance.page();
    let before = appliance.logged();
    reloaded(&appliance, "[web]\nlisten = \"127.0.0.2:0\"\n[log]\nlevel = \"debug\"\n");
    appliance.log_line_after(before, &["health and metrics are served", "127.0.0.2"]);
    until("the old page is gone", || TcpStream::connect(first).is_err().then_some(()));
    reloaded(&appliance, "");
    until("the page is gone", || appliance.status()?.line(Component::Box, "web").is_none().then_some(()));
    appliance.signal(Signal::SIGTERM);
    appliance.stop();
}
