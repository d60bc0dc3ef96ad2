use nix::sys::signal::Signal;
use sapphire_edge::status::{Component, Health};

use super::{ready, refused, shows, update};
use crate::peers::appliance::{Appliance, program, until};
use crate::peers::program::{have, text};
use crate::peers::rauc::{Machine, arg};

const SYSLOG: &str = "[[source]]\nid = \"fw\"\ntype = \"syslog\"\nlisten = [\"tcp://127.0.0.1:0\"]\n";

/// Updates are not available, it is said once, and nothing else is the worse for it.
fn is_told_once(edge: &Appliance) {
    let line = edge.log_line(&["updates are not available"]);
    assert!(line.contains("rauc does not run here"), "{line}");
    let output = update(edge, &["status"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("updates are not available: rauc does not run here"), "{output:?}");
    let words = refused(&update(edge, &["install", "/etc/hostname"]));
    assert!(words.contains("rauc does not run here"), "{words}");
    edge.line(Component::Box, "update", |line| line.health == Health::Healthy);
    edge.line(Component::Source, "fw", |line| line.health == Health::Healthy);
    // Several tries later it still was said only once.
    let words = refused(&update(edge, &["check"]));
    assert!(words.contains("rauc does not run here"), "{words}");
    let said = edge.all_lines().matches("updates are not available").count();
    assert_eq!(said, 1, "{}", edge.all_lines());
}

#[test]
fn a_machine_without_a_bus_or_without_rauc_does_everything_else() {
    let edge = Appliance::start_with(SYSLOG, program(), |command| {
        command.env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere/bus");
    });
    is_told_once(&edge);
    edge.stop();
    if !have("dbus-daemon") {
        return;
    }
    let machine = Machine::without_rauc();
    let edge = Appliance::start_with(SYSLOG, program(), |command| {
        command.env("DBUS_SYSTEM_BUS_ADDRESS", machine.bus());
    });
    is_told_once(&edge);
    edge.stop();
}

#[test]
fn a_rauc_that_comes_later_is_found() {
    let Some(mut machine) = Machine::boot() else { return };
    machine.stop_rauc();
    let edge = machine.appliance("");
    edge.log_line(&["updates are not available"]);
    machine.start_rauc("A");
    ready(&edge);
    edge.stop();
}

#[test]
fn a_new_version_in_which_rauc_does_not_run_is_given_up() {
    let Some(mut machine) = Machine::boot() else { return };
    let bundle = machine.bundle("7.0.0");
    let mut edge = machine.appliance_with("", "patience = \"2s\"\n");
    ready(&edge);
    let installed = update(&edge, &["install", arg(&bundle.path)]);
    assert!(installed.status.success(), "{installed:?}");
    until("a restart is asked for", || machine.takes_restart().then_some(()));
    edge.signal(Signal::SIGTERM);
    assert!(edge.wait().success());
    machine.reboot("B");
    machine.stop_rauc();
    edge.restart_with(machine.program());
    until("a restart is asked for", || machine.takes_restart().then_some(()));
    edge.signal(Signal::SIGTERM);
    assert!(edge.wait().success());
    // The boot loader went back, where it runs.
    machine.start_rauc("A");
    machine.reboot("A");
    edge.restart_with(machine.program());
    shows(&edge, "fell back", |status| status.fell_back.iter().any(|entry| entry.version == "7.0.0"));
    edge.stop();
}

#[test]
fn a_rauc_that_dies_or_hangs_while_it_installs_is_told() {
    let Some(mut machine) = Machine::boot() else { return };
    let bundle = machine.bundle("7.0.0");
    let edge = machine.appliance("");
    ready(&edge);
    let install = || {
        let mut install = program();
        install.arg("update").arg("install").arg(&bundle.path).arg("--config").arg(edge.settings());
        install.stderr(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap()
    };
    let is_installing = |status: &sapphire_edge::update::Status| matches!(&status.phase, sapphire_edge::update::Phase::Installing { percent, .. } if *percent > 0);
    machine.hold(true);
    let child = install();
    shows(&edge, "installing", is_installing);
    machine.stop_rauc();
    let words = refused(&child.wait_with_output().unwrap());
    assert!(words.contains("rauc"), "{words}");
    shows(&edge, "rauc is gone", |status| status.unavailable.is_some());
    machine.hold(false);
    machine.start_rauc("A");
    shows(&edge, "rauc is back", |status| status.unavailable.is_none());
    ready(&edge);

    machine.hold(true);
    let child = install();
    shows(&edge, "installing", is_installing);
    machine.signal_rauc(Signal::SIGSTOP);
    let words = refused(&child.wait_with_output().unwrap());
    assert!(words.starts_with("no answer in time from rauc"), "{words}");
    machine.signal_rauc(Signal::SIGCONT);
    machine.hold(false);
    // What it did while nobody listened is found out: it was installed.
    shows(&edge, "caught up", |status| matches!(status.phase, sapphire_edge::update::Phase::RestartDue { .. }));
    assert!(machine.has("B", &bundle));
    let words = refused(&update(&edge, &["install", arg(&machine.path("primary"))]));
    assert!(words.contains("rauc"), "{words}");
    edge.stop();
}
