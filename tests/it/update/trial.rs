use nix::sys::signal::Signal;
use sapphire_edge::status::{Component, Health};
use sapphire_edge::update::Phase;

use super::{ARCHIVE, ready, refused, shows, status, told, update, worked};
use crate::peers::appliance::{Appliance, until};
use crate::peers::certificates::{Authority, Identity};
use crate::peers::free_address;
use crate::peers::rauc::{Machine, arg};
use crate::peers::service::{Manner, Service};

/// A box whose gateway is known by its CA and listens at this address.
fn settings(gateway: std::net::SocketAddr, authority: &Authority) -> String {
    format!(
        "[web]\nlisten = \"{}\"\n[[output]]\nid = \"gateway\"\ntype = \"lumberjack\"\nendpoint = [\"{gateway}\"]\n\
         backoff_min = \"20ms\"\nbackoff_max = \"100ms\"\n[output.tls]\nca = {:?}\n\
         [[source]]\nid = \"firewalls\"\ntype = \"syslog\"\nlisten = [\"tcp://127.0.0.1:0\"]\n{ARCHIVE}",
        free_address(),
        authority.ca()
    )
}

fn gateway_is(edge: &Appliance, word: &str) {
    edge.line(Component::Output, "gateway", |line| line.health.word() == word);
}

/// Installs and restarts into the other slot.
fn update_and_boot(machine: &mut Machine, edge: &mut Appliance, version: &str, slot: &str) {
    let bundle = machine.bundle(version);
    worked(&update(edge, &["install", arg(&bundle.path)]));
    until("a restart is asked for", || machine.takes_restart().then_some(()));
    boot(machine, edge, slot);
}

fn boot(machine: &mut Machine, edge: &mut Appliance, slot: &str) {
    edge.signal(Signal::SIGTERM);
    assert!(edge.wait().success(), "{}", edge.all_lines());
    machine.reboot(slot);
    edge.restart_with(machine.program());
}

/// Stands where the gateway stood.
fn gateway_at(address: std::net::SocketAddr, identity: &Identity) -> Service {
    Service::tls_at(address, identity, Manner::Serve)
}

#[test]
fn a_gateway_whose_tls_fails_since_the_update_sends_the_box_back_and_the_version_is_not_tried_again() {
    let Some(mut machine) = Machine::boot() else { return };
    let (authority, stranger) = (Authority::new(), Authority::new());
    let address = free_address();
    let gateway = gateway_at(address, &authority.identity("127.0.0.1"));
    let mut edge = machine.appliance(&settings(address, &authority));
    ready(&edge);
    gateway_is(&edge, "healthy");
    // To the box this looks as if the new version did not take the certificate.
    let bundle = machine.bundle("7.0.0");
    worked(&update(&edge, &["install", arg(&bundle.path)]));
    until("a restart is asked for", || machine.takes_restart().then_some(()));
    edge.signal(Signal::SIGTERM);
    assert!(edge.wait().success());
    drop(gateway);
    let gateway = gateway_at(address, &stranger.identity("127.0.0.1"));
    machine.reboot("B");
    edge.restart_with(machine.program());
    until("the slot is marked bad", || machine.marks().contains(&"B bad".to_owned()).then_some(()));
    until("a restart is asked for", || machine.takes_restart().then_some(()));
    assert!(!machine.marks().contains(&"B good".to_owned()));
    let words = refused(&update(&edge, &["install", arg(&bundle.path)]));
    assert!(words.contains("7.0.0 did not work here, and the other slot is the one to go back to"), "{words}");
    // Nor does a program that is started anew forget it.
    edge.kill();
    edge.restart_with(machine.program());
    until("a restart is asked for", || machine.takes_restart().then_some(()));
    let words = refused(&update(&edge, &["install", arg(&bundle.path)]));
    assert!(words.contains("7.0.0 did not work here"), "{words}");

    edge.signal(Signal::SIGTERM);
    assert!(edge.wait().success());
    drop(gateway);
    let _gateway = gateway_at(address, &authority.identity("127.0.0.1"));
    machine.reboot("A");
    edge.restart_with(machine.program());
    let status = shows(&edge, "fell back", |status| !status.fell_back.is_empty());
    let entry = &status.fell_back[0];
    assert_eq!(entry.version, "7.0.0");
    assert!(entry.why.contains("output gateway fails (tls)"), "{}", entry.why);
    let event = told(&edge, "update_fell_back");
    assert_eq!((&event["notice"]["version"], &event["event"]["outcome"]), (&"7.0.0".into(), &"failure".into()));
    let line = edge.line(Component::Box, "update", |line| matches!(line.health, Health::Degraded(_)));
    assert!(line.health.fault().unwrap().what.contains("7.0.0 did not work"));
    ready(&edge);
    // By hand it may be tried again.
    worked(&update(&edge, &["install", arg(&bundle.path)]));
    edge.stop();
}

#[test]
fn a_gateway_that_is_away_only_prolongs_the_trial() {
    let Some(mut machine) = Machine::boot() else { return };
    let authority = Authority::new();
    let address = free_address();
    let identity = authority.identity("127.0.0.1");
    let gateway = gateway_at(address, &identity);
    let mut edge = machine.appliance(&settings(address, &authority));
    ready(&edge);
    gateway_is(&edge, "healthy");
    let bundle = machine.bundle("7.0.0");
    worked(&update(&edge, &["install", arg(&bundle.path)]));
    edge.signal(Signal::SIGTERM);
    assert!(edge.wait().success());
    drop(gateway);
    machine.reboot("B");
    edge.restart_with(machine.program());
    gateway_is(&edge, "failed");
    shows(
        &edge,
        "on trial",
        |status| matches!(&status.phase, Phase::Trial { waits_for } if waits_for == "output gateway cannot reach its far end"),
    );
    let words = refused(&update(&edge, &["install", arg(&bundle.path)]));
    assert!(words.starts_with("not now: this boot is not yet marked good"), "{words}");
    // Longer than it has to settle.
    let begin = sapphire_edge::clock::monotonic();
    until("three seconds", || (begin.elapsed().as_secs() >= 3).then_some(()));
    assert_eq!(machine.marks(), [""; 0]);
    let _gateway = gateway_at(address, &identity);
    until("the slot is marked good", || machine.marks().contains(&"B good".to_owned()).then_some(()));
    assert!(!machine.marks().contains(&"B bad".to_owned()));
    edge.stop();
}

#[test]
fn a_new_version_that_does_not_even_start_fell_back() {
    let Some(mut machine) = Machine::boot() else { return };
    let mut edge = machine.appliance(ARCHIVE);
    ready(&edge);
    // The boot loader tried slot B in vain and booted A again: the program only sees that.
    update_and_boot(&mut machine, &mut edge, "7.0.0", "A");
    let status = shows(&edge, "fell back", |status| !status.fell_back.is_empty());
    assert_eq!(status.fell_back[0].why, "the boot loader went back to the old slot");
    told(&edge, "update_fell_back");
    ready(&edge);
    // A newer one is another matter, and when it works all is well again.
    update_and_boot(&mut machine, &mut edge, "7.0.1", "B");
    until("the slot is marked good", || machine.marks().contains(&"B good".to_owned()).then_some(()));
    edge.stop();
}

#[test]
fn a_program_that_crashes_on_trial_is_bad() {
    let Some(mut machine) = Machine::boot() else { return };
    let mut edge = machine
        .appliance(&format!("{ARCHIVE}[[source]]\nid = \"fw\"\ntype = \"syslog\"\nlisten = [\"tcp://127.0.0.1:0\"]\n"));
    ready(&edge);
    let bundle = machine.bundle("7.0.0");
    worked(&update(&edge, &["install", arg(&bundle.path)]));
    until("a restart is asked for", || machine.takes_restart().then_some(()));
    edge.signal(Signal::SIGTERM);
    assert!(edge.wait().success());
    machine.reboot("B");
    // The service manager starts it again and again.
    for start in 1..=5 {
        edge.restart_with(machine.program());
        edge.log_line(&["the new version is on trial", &format!("starts={start}")]);
        edge.kill();
    }
    assert!(!machine.marks().contains(&"B good".to_owned()), "it had no second to settle");
    edge.restart_with(machine.program());
    until("the slot is marked bad", || machine.marks().contains(&"B bad".to_owned()).then_some(()));
    until("a restart is asked for", || machine.takes_restart().then_some(()));
    assert!(status(&edge).unwrap().fell_back.is_empty(), "it has not fallen back yet");
    edge.stop();
}
