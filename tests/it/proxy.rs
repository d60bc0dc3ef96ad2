//! The way out of a site whose proxy asks for a password.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use sapphire_edge::status::{Component, Count};

use crate::peers::appliance::{Appliance, to_gateway};
use crate::peers::balance::balance;
use crate::peers::certificates::Authority;
use crate::peers::program::{Running, have};
use crate::peers::sender::lines;
use crate::peers::service::{Manner, Service};
use crate::peers::{free_address, until};

/// A running tinyproxy that wants user `edge` and password `open sesame`; `None` if that is to be skipped.
pub fn tinyproxy(folder: &std::path::Path, gateway: SocketAddr) -> Option<(Running, SocketAddr)> {
    if !have("/usr/bin/tinyproxy") {
        return None;
    }
    let address = free_address();
    let config = format!(
        "Listen 127.0.0.1\nPort {}\nTimeout 60\nLogFile {:?}\nLogLevel Info\nMaxClients 20\n\
         BasicAuth edge open-sesame\nConnectPort {}\n",
        address.port(),
        folder.join("tinyproxy.log"),
        gateway.port()
    );
    let file = folder.join("tinyproxy.conf");
    fs::write(&file, config).unwrap();
    let mut command = Command::new("/usr/bin/tinyproxy");
    let running = Running::start(command.arg("-d").arg("-c").arg(file).stdout(Stdio::null()).stderr(Stdio::null()));
    until("tinyproxy listens", || std::net::TcpStream::connect(address).ok());
    Some((running, address))
}

#[test]
fn the_way_out_leads_through_tinyproxy_with_the_right_password_only() {
    let authority = Authority::new();
    let gateway = Service::tls(&authority.identity("127.0.0.1"), Manner::Serve);
    let Some((_proxy, address)) = tinyproxy(authority.folder(), gateway.address()) else { return };
    let password = authority.folder().join("password");
    fs::write(&password, "wrong\n").unwrap();
    let edge = Appliance::start(&format!(
        "{}tls.ca = {:?}\nproxy = \"{address}\"\nproxy_user = \"edge\"\nproxy_password_file = {password:?}\n\
         [[source]]\nid = \"firewalls\"\ntype = \"syslog\"\nlisten = [\"tcp://127.0.0.1:0\"]\n",
        to_gateway(gateway.address()).replace("transport = \"tcp\"\n", ""),
        authority.ca(),
    ));
    let sent: Vec<String> = (0..100).map(|number| format!("<13>Nov 24 10:15:30 fw1 a: event {number}")).collect();
    lines(edge.address("tcp://127.0.0.1:0", 0), &sent);
    let line = edge.line(Component::Output, "gateway", |line| line.health.word() == "failed");
    let fault = line.health.fault().unwrap();
    assert!(fault.what.contains("proxy") && fault.todo.contains("password"), "{fault:?}");
    assert_eq!(gateway.connections() + gateway.refused().len(), 0, "nothing went around the proxy");
    // The file is read at every try, so a mended password needs no restart.
    fs::write(&password, "open-sesame\n").unwrap();
    let events = gateway.wait_acked(sent.len());
    assert_eq!(balance(&sent, &events).repeats, 0);
    let log = fs::read_to_string(authority.folder().join("tinyproxy.log")).unwrap();
    assert!(log.contains(&format!("CONNECT {}", gateway.address())), "{log}");
    edge.line(Component::Output, "gateway", |line| line.count(Count::DeliveredEvents) == 100);
    edge.stop();
}
