use std::fs;

use sapphire_edge::update::Phase;

use super::{ARCHIVE, notices, ready, refused, shows, status, told, update, worked};
use crate::peers::appliance::until;
use crate::peers::rauc::{COMPATIBLE, Machine, Signer, arg};

#[test]
fn a_good_bundle_is_installed_into_the_other_slot_and_marked_good_after_the_restart() {
    let Some(mut machine) = Machine::boot() else { return };
    let bundle = machine.bundle("7.0.0");
    let mut edge = machine.appliance(ARCHIVE);
    ready(&edge);
    assert_eq!(machine.marks(), ["A good"], "an ordinary boot is marked good too");
    let shown = worked(&update(&edge, &["install", arg(&bundle.path)]));
    assert!(shown.contains("version 7.0.0 is installed; the box restarts at once"), "{shown}");
    assert!(machine.has("B", &bundle));
    assert_eq!(machine.primary(), "B");
    until("a restart is asked for", || machine.takes_restart().then_some(()));
    let told = told(&edge, "update_installed");
    assert_eq!((&told["notice"]["version"], &told["event"]["outcome"]), (&"7.0.0".into(), &"success".into()));

    edge.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(edge.wait().success());
    machine.reboot("B");
    edge.restart_with(machine.program());
    until("the new slot is marked good", || machine.marks().contains(&"B good".to_owned()).then_some(()));
    let told = super::told(&edge, "update_marked_good");
    assert_eq!(told["notice"]["from_version"], env!("CARGO_PKG_VERSION"));
    let status = ready(&edge);
    assert_eq!(status.fell_back, []);
    assert_eq!(machine.marks(), ["B good"]);
    // A restart of the program is no boot.
    edge.kill();
    edge.restart_with(machine.program());
    ready(&edge);
    assert_eq!(machine.marks(), ["B good"]);
    assert!(!machine.takes_restart());
    assert!(machine.path("run/marked-good").exists(), "the units know");
    edge.stop();
}

#[test]
fn a_bundle_that_is_not_right_is_refused_in_words() {
    let Some(machine) = Machine::boot() else { return };
    let good = machine.bundle("7.0.0");
    let edge = machine.appliance(ARCHIVE);
    ready(&edge);
    let before = fs::read(machine.path("slot-B")).unwrap();
    let size = fs::metadata(&good.path).unwrap().len();
    let at = |part: u64| usize::try_from(size * part / 100).unwrap();
    let other_key = machine.bundle_of("7.0.0", COMPATIBLE, &Signer::named("another ca"));
    let same_name = machine.bundle_of("7.0.0", COMPATIBLE, &Signer::named("bundle ca"));
    let other_box = machine.bundle_of("7.0.0", "sapphire-edge-aarch64", machine.signer());
    let unversioned = machine.bundle_of("seven", COMPATIBLE, machine.signer());
    let mut cases = vec![
        (other_key.path, "the bundle is signed by a key that this box does not trust; take"),
        (same_name.path, "the bundle is signed by a key that this box does not trust, or was damaged"),
        (other_box.path, "the bundle is for sapphire-edge-aarch64, and this box is sapphire-edge-x86_64"),
        (unversioned.path, "\"seven\" is no version such as 1.2.3"),
        (machine.bundle("0.0.1").path, "older than the one that runs (0.1.0); --allow-downgrade"),
        (machine.bundle(env!("CARGO_PKG_VERSION")).path, "is the one that runs"),
        (machine.path("state-A"), "rauc"),
        (good.changed(Vec::clear), "rauc"),
    ];
    // In the image, in the file system's tables, in the signer's signature, and in its length. Not in what the signature does
    // not cover, such as the copy of a certificate that the keyring holds: that changes nothing, and is taken.
    for part in [1, 20, 50, 80, 97] {
        cases.push((good.changed(|bytes| bytes[at(part)] ^= 1), "the bundle"));
    }
    for from_end in [100, 12, 1] {
        cases.push((good.changed(|bytes| bytes[at(100) - from_end] ^= 0x10), "the bundle"));
    }
    for part in [1, 30, 60, 99] {
        cases.push((good.changed(|bytes| bytes.truncate(at(part))), "the bundle was cut off or is no bundle"));
    }
    cases.push((good.changed(|bytes| bytes.truncate(at(100) - 1)), "the bundle was cut off or is no bundle"));
    let count = cases.len();
    for (path, part) in cases {
        let words = refused(&update(&edge, &["install", arg(&path)]));
        assert!(words.contains(part), "{part}: {words}");
        assert_eq!(machine.primary(), "A", "{words}");
    }
    assert_eq!(fs::read(machine.path("slot-B")).unwrap(), before, "nothing was written");
    let words = refused(&update(&edge, &["install", "/nowhere.raucb"]));
    assert!(words.starts_with("/nowhere.raucb cannot be opened"), "{words}");
    let words = refused(&update(&edge, &["install", "http://127.0.0.1/x.raucb"]));
    assert!(words.contains("neither a file nor an https address"), "{words}");
    let failed = |event: &&serde_json::Value| event["event"]["action"] == "update_failed";
    until("each was told", || (notices(&edge).iter().filter(failed).count() == count).then_some(()));
    assert!(!machine.takes_restart());
    edge.stop();
}

#[test]
fn a_downgrade_is_a_choice() {
    let Some(machine) = Machine::boot() else { return };
    let old = machine.bundle("0.0.1");
    let edge = machine.appliance("");
    ready(&edge);
    worked(&update(&edge, &["install", "--allow-downgrade", arg(&old.path)]));
    assert!(machine.has("B", &old));
    edge.stop();
}

/// A window of a minute that does not open within the next hour.
fn closed_window() -> String {
    let now = sapphire_edge::clock::Clock::System.now().micros() / 60_000_000;
    let at = |minutes: u64| format!("{:02}:{:02}", (now + minutes) / 60 % 24, (now + minutes) % 60);
    format!("window = \"{}-{}\"\n", at(120), at(121))
}

#[test]
fn a_restart_waits_for_the_window_unless_a_person_does_not() {
    let Some(machine) = Machine::boot() else { return };
    let bundle = machine.bundle("7.0.0");
    let mut edge = machine.appliance_with("", &closed_window());
    ready(&edge);
    let shown = worked(&update(&edge, &["install", arg(&bundle.path)]));
    assert!(shown.contains("the box restarts when the window is open"), "{shown}");
    assert!(!machine.takes_restart());
    // A program that is started anew knows it too.
    edge.kill();
    edge.restart_with(machine.program());
    shows(&edge, "it is known", |status| matches!(status.phase, Phase::RestartDue { .. }));
    assert!(!machine.takes_restart());
    worked(&update(&edge, &["install", "--reboot", arg(&bundle.path)]));
    assert!(machine.takes_restart());
    edge.stop();
}

#[test]
fn a_bus_that_does_not_let_us_is_told() {
    let Some(machine) = Machine::boot() else { return };
    machine.deny();
    let edge = machine.appliance("");
    let line = edge.log_line(&["updates are not available"]);
    assert!(line.contains("the bus does not let this user call rauc"), "{line}");
    edge.stop();
}

#[test]
fn one_thing_at_a_time_and_a_restart_of_the_program_does_not_lose_it() {
    let Some(machine) = Machine::boot() else { return };
    let bundle = machine.bundle("7.0.0");
    let mut edge = machine.appliance_with("", "reboot = \"by_hand\"\n");
    ready(&edge);
    machine.hold(true);
    let mut install = crate::peers::appliance::program();
    install.arg("update").arg("install").arg(&bundle.path).arg("--config").arg(edge.settings());
    let install = install.stderr(std::process::Stdio::piped()).spawn().unwrap();
    shows(&edge, "installing", |status| matches!(&status.phase, Phase::Installing { percent, .. } if *percent > 0));
    let words = refused(&update(&edge, &["install", arg(&bundle.path)]));
    assert!(words.starts_with("not now: installing"), "{words}");
    let words = refused(&update(&edge, &["check"]));
    assert!(words.starts_with("not now: installing"), "{words}");

    edge.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(edge.wait().success());
    let left = install.wait_with_output().unwrap();
    assert!(!left.status.success(), "it cannot know how it ends");
    edge.restart_with(machine.program());
    shows(&edge, "rauc is at work", |status| matches!(status.phase, Phase::Installing { .. }));
    machine.hold(false);
    shows(
        &edge,
        "it is installed",
        |status| matches!(&status.phase, Phase::RestartDue { version, when } if version == "7.0.0" && when.contains("by hand")),
    );
    assert!(machine.has("B", &bundle) && machine.primary() == "B");
    assert!(!machine.takes_restart());
    assert!(status(&edge).unwrap().slots.iter().any(|slot| slot.version.as_deref() == Some("7.0.0")));
    edge.stop();
}
