//! An update that writes a newer queue and knows more settings, and the way back, with a backlog: as far as the program goes.

use std::io::Write as _;
use std::net::TcpStream;

use nix::sys::signal::Signal;
use sapphire_edge::clock::Clock;
use sapphire_edge::queue::Inspection;
use sapphire_edge::status::{Component, Health};

use super::far_end::{FarEnd, number, one_id_each};
use super::link::Link;
use super::{drained, to_gateway};
use crate::peers::appliance::{Appliance, next_program, program, until};

const EACH: u64 = 500;
const LISTEN: &str = "[[source]]\nid = \"firewalls\"\ntype = \"syslog\"\nlisten = [\"tcp://127.0.0.1:0\"]\n";

/// Sends as many lines, and waits until so many in all lie on the disk.
fn store(edge: &Appliance, name: &str, in_all: u64) {
    let mut sender = TcpStream::connect(edge.address("tcp://127.0.0.1:0", 0)).unwrap();
    for line in 0..EACH {
        writeln!(sender, "{name} {line} of a backlog").unwrap();
    }
    until("the lines lie on the disk", || {
        let inspection = Inspection::read(&edge.folder().join("queue"), &Clock::System).ok()?;
        (inspection.ledger.get(&"firewalls".into())?.queued == in_all).then_some(())
    });
}

fn stop(edge: &mut Appliance) {
    edge.signal(Signal::SIGTERM);
    assert!(edge.wait().success(), "{}", edge.all_lines());
}

#[test]
fn the_old_program_goes_on_with_what_the_new_one_left() {
    let gateway = FarEnd::start();
    let link = Link::new(gateway.address(), false);
    let settings = format!("[queue]\nflush_after = \"10ms\"\n{LISTEN}{}", to_gateway(link.address()));
    let mut edge = Appliance::start(&settings);
    edge.line(Component::Source, "firewalls", |line| line.health == Health::Healthy);
    store(&edge, "old", EACH);
    stop(&mut edge);

    edge.write_settings(&format!("trial = \"known to the new program only\"\n{settings}"));
    edge.restart_with(next_program());
    edge.line(Component::Box, "settings", |line| line.health == Health::Healthy);
    store(&edge, "new", 2 * EACH);
    // As a rollback often begins.
    edge.kill();

    edge.restart();
    let line = edge.line(Component::Box, "settings", |line| line.health.fault().is_some());
    let what = &line.health.fault().unwrap().what;
    assert!(what.contains("kept copy") && what.contains("trial"), "{what}");
    let apply = program().args(["apply", "--root"]).arg(edge.folder()).arg("--config").arg(edge.settings()).output();
    let apply = apply.unwrap();
    let told = String::from_utf8(apply.stderr).unwrap();
    assert!(apply.status.success() && told.contains("kept copy") && told.contains("trial"), "{told}");
    store(&edge, "again", 3 * EACH);
    link.mend();
    drained(&edge);
    edge.reload(&settings);
    edge.line(Component::Box, "settings", |line| line.health == Health::Healthy);
    stop(&mut edge);

    let arrived = gateway.arrived();
    assert_eq!(one_id_each(&arrived).len() as u64, 3 * EACH);
    for name in ["old", "new", "again"] {
        let mut numbers: Vec<u64> = arrived.iter().filter_map(|event| number(&event.message, name)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len() as u64, EACH, "events of {name}");
    }
}
