//! Ports that others have, files that are wrong, devices that send too much or nothing any more.

use std::net::{SocketAddr, TcpListener, UdpSocket};

use nix::sys::signal::Signal;
use sapphire_edge::status::{Component, Count, Gauge};

use super::super::SETTINGS;
use super::{BOX, Faces, SOURCE, Table, now, row};
use crate::peers::certificates::Authority;

/// A port of a device that speaks once, and of one that speaks too much; and where two may hold connections.
const SENDERS: &str = r#"
[[source]]
id = "silent"
type = "syslog"
listen = ["udp://127.0.0.1:0"]
silent_after = "1s"
[[source]]
id = "flooded"
type = "syslog"
listen = ["udp://127.0.0.1:0"]
receive_buffer = "64KiB"
[[source]]
id = "crowded"
type = "syslog"
listen = ["tcp://127.0.0.1:0"]
max_connections = 1
"#;

/// What others have taken on this machine, and what is wrong with its own files.
fn taken(table: &mut Table, authority: &Authority, tcp: u16, udp: u16) {
    let taken = "cannot listen on";
    table.source("syslog", &format!("listen = [\"tcp://127.0.0.1:{tcp}\"]"), taken, "");
    table.source("syslog", &format!("listen = [\"udp://127.0.0.1:{udp}\"]"), taken, "");
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    table.source("lumberjack", &format!("listen = [\"tcp://127.0.0.1:{port}\"]"), taken, "");
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAiRfu02Oj4BPFuYII67hMWPpbNUv4EvrIvRKI4nb67a esa1";
    let third = TcpListener::bind("127.0.0.1:0").unwrap();
    let ssh = third.local_addr().unwrap().port();
    let device =
        format!("listen = [\"tcp://127.0.0.1:{ssh}\"]\n[[source.device]]\nname = \"esa1\"\nkeys = [\"{key}\"]");
    table.source("ssh", &device, taken, "");
    // They stay taken as long as the test runs.
    std::mem::forget((other, third));
    let expired = authority.expired("edge.example.net");
    let tls =
        format!("listen = [\"tls://127.0.0.1:0\"]\n[source.tls]\ncert = {:?}\nkey = {:?}", expired.cert, expired.key);
    table.source("syslog", &tls, "the listener's certificate expired", "");
}

#[test]
fn what_is_wrong_with_sources_that_listen_is_told_on_every_face() {
    let (authority, mut table) = (Authority::new(), Table::default());
    let (tcp, udp) = (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    taken(&mut table, &authority, tcp.local_addr().unwrap().port(), udp.local_addr().unwrap().port());
    let Some(faces) = Faces::of(&format!("{SETTINGS}{}{SENDERS}", table.settings)) else { return };
    faces.tell(Some(faces.started()), &table.rows, SOURCE);

    let at = |listener: &str| faces.edge.address(listener, 0);
    let (silent, flooded) = (at("silent udp://127.0.0.1:0"), at("flooded udp://127.0.0.1:0"));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"<13>once", silent).unwrap();
    faces.edge.line(Component::Source, "silent", |line| line.gauge(Gauge::Devices) == 1);
    let row_of_silent = row("silent", "the device 127.0.0.1 sends nothing any more", "look at the device");
    faces.tell(Some(now()), &[row_of_silent], SOURCE);

    let connections = hold(&faces, at("crowded tcp://127.0.0.1:0"));
    let row_of_crowded = row("crowded", "all connections are in use", "raise max_connections");
    faces.tell(Some(now()), &[row_of_crowded], SOURCE);
    drop(connections);

    // Nobody reads meanwhile.
    faces.edge.freeze();
    for number in 0..2_000 {
        socket.send_to(format!("<13>number {number} {}", "x".repeat(500)).as_bytes(), flooded).unwrap();
    }
    let made = now();
    faces.edge.signal(Signal::SIGCONT);
    let row_of_flooded = row("flooded", "the kernel drops some", "raise receive_buffer");
    faces.tell(Some(made), &[row_of_flooded], SOURCE);
    faces.edge.stop();
}

/// Holds all the connections that the source may have.
fn hold(faces: &Faces, to: SocketAddr) -> Vec<std::net::TcpStream> {
    let stream = std::net::TcpStream::connect(to).unwrap();
    faces.edge.line(Component::Source, "crowded", |line| line.count(Count::Connections) == 1);
    vec![stream]
}

#[test]
fn what_is_wrong_with_the_box_itself_is_told_on_every_face() {
    let authority = Authority::new();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let web = format!("[web]\nlisten = \"{}\"\n", other.local_addr().unwrap());
    let expired = authority.expired("edge.example.net");
    let own = format!("cert = {:?}\nkey = {:?}\n[[source]]", expired.cert, expired.key);
    let Some(faces) = Faces::of(&format!("{}{web}", SETTINGS.replacen("[[source]]", &own, 1))) else { return };
    let rows = [
        row("web", "cannot be listened on", "free the address"),
        row("page", "the page's certificate expired on", "put a new certificate in its place"),
    ];
    faces.tell(Some(faces.started()), &rows, BOX);
    // A later fault of the running box.
    let wrong = std::fs::read_to_string(faces.edge.settings()).unwrap();
    std::fs::write(faces.edge.settings(), format!("nane = 1\n{wrong}")).unwrap();
    let made = now();
    faces.edge.signal(Signal::SIGHUP);
    faces.tell(Some(made), &[row("settings", "the settings file is wrong", "mend the file")], BOX);
    faces.edge.stop();
}
