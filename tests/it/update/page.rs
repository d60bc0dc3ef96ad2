//! Updates on the page, with the real RAUC: brought there, watched, restarted into, gone back from.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::{ARCHIVE, ready, told};
use crate::page::{Curl, PASSWORD, address_after, claim, viewer};
use crate::peers::appliance::{Appliance, until};
use crate::peers::rauc::{Machine, arg};

const PAGE: &str = "[page]\nlisten = [\"127.0.0.1:0\"]\n";

fn updates(curl: &Curl) -> Value {
    curl.get("/api/v1/updates").json()
}

/// Waits until updates are in this phase.
fn shows(edge: &Appliance, curl: &Curl, phase: &str) -> Value {
    let mut last = Value::Null;
    let found = crate::peers::try_until(|| {
        last = updates(curl);
        (last["phase"] == phase).then(|| last.clone())
    });
    found.unwrap_or_else(|| panic!("{phase}: {last:#}\n{}", edge.all_lines()))
}

fn upload(curl: &Curl, file: &str, csrf: &str) -> u16 {
    let bundle = format!("@{file}");
    curl.multipart("/updates/upload", &[("csrf", csrf), ("bundle", &bundle)]).status
}

/// Restarts into a slot, and logs in again.
fn boot(machine: &mut Machine, edge: &mut Appliance, slot: &str) -> Curl {
    edge.signal(Signal::SIGTERM);
    assert!(edge.wait().success(), "{}", edge.all_lines());
    machine.reboot(slot);
    edge.restart_with(machine.program());
    let curl = Curl::to(address_after(edge, 0)).unwrap();
    assert_eq!(curl.log_in("ada", PASSWORD).status, 303);
    until("the slot is marked good", || machine.marks().contains(&format!("{slot} good")).then_some(()));
    shows(edge, &curl, "idle");
    curl
}

#[test]
fn a_bundle_is_brought_installed_restarted_into_and_gone_back_from() {
    let Some(mut machine) = Machine::boot() else { return };
    let bundle = machine.bundle("7.0.0");
    let mut edge = machine.appliance_with(&format!("{PAGE}{ARCHIVE}"), "reboot = \"by_hand\"\n");
    let Some(ada) = claim(&edge) else { return };
    ready(&edge);
    let page = ada.get("/updates").body;
    assert!(page.contains("rootfs.1") && page.contains("A bundle from your machine"), "{page}");
    // Not for everybody, and not from elsewhere.
    let bob = viewer(&edge, &ada);
    let small = machine.path("keyring.pem");
    assert_eq!(upload(&bob, arg(&small), &bob.csrf()), 403);
    assert_eq!(upload(&ada, arg(&small), "x"), 403);
    for path in ["/updates/check", "/updates/install", "/updates/restart", "/updates/roll-back"] {
        assert_eq!(bob.form(path, &[("csrf", &bob.csrf())]).status, 403, "{path}");
    }
    assert!(bob.get("/updates").body.contains("rootfs.1"));
    // What is none is refused in words, on the page.
    let csrf = ada.csrf();
    upload(&ada, arg(&small), &csrf);
    let failed = until("the failure is shown", || Some(updates(&ada)["failed"]["why"].as_str()?.to_owned()));
    assert!(failed.contains("rauc") || failed.contains("bundle"), "{failed}");
    assert!(ada.get("/updates").body.contains("The last install came to nothing"));
    let none = ada.form("/updates/install", &[("csrf", &csrf)]);
    assert!(none.status == 422 && none.body.contains("the settings name no manifest"), "{}", none.body);
    // The good one, piece by piece, by somebody who watches.
    if !crate::page::browser::updates(&edge, &bundle.path) {
        assert_eq!(upload(&ada, arg(&bundle.path), &csrf), 303);
    }
    let due = shows(&edge, &ada, "restart_due");
    assert!(due["failed"].is_null() && due["words"].as_str().unwrap().contains("version 7.0.0 is installed"), "{due}");
    assert!(machine.has("B", &bundle) && machine.primary() == "B");
    until("nothing of it is left", || (!edge.folder().join("update/upload.raucb").exists()).then_some(()));
    assert!(!machine.takes_restart(), "a person restarts it");
    // On second thoughts not; and then all the same.
    assert_eq!(ada.form("/updates/roll-back", &[("csrf", &csrf)]).status, 303);
    let stays = shows(&edge, &ada, "idle");
    assert_eq!((machine.primary().as_str(), stays["left"][0]["version"].as_str()), ("A", Some("7.0.0")), "{stays}");
    let installed = ada.ask(
        "/api/v1/updates/bundle",
        &[
            "--header",
            &format!("X-CSRF-Token: {csrf}"),
            "--header",
            "Content-Type: application/octet-stream",
            "--data-binary",
            &format!("@{}", arg(&bundle.path)),
        ],
    );
    assert_eq!(installed.status, 202, "{}", installed.body);
    shows(&edge, &ada, "restart_due");
    assert_eq!(ada.form("/updates/restart", &[("csrf", &csrf)]).status, 303);
    until("a restart is asked for", || machine.takes_restart().then_some(()));
    let ada = boot(&mut machine, &mut edge, "B");
    // It works, and somebody wants the one before.
    let good = updates(&ada);
    assert_eq!(good["back_to"], env!("CARGO_PKG_VERSION"), "{good}");
    assert_eq!(ada.form("/updates/roll-back", &[("csrf", &ada.csrf())]).status, 303);
    until("a restart is asked for", || machine.takes_restart().then_some(()));
    assert_eq!(machine.primary(), "A");
    assert_eq!(told(&edge, "update_rolled_back")["notice"]["user"], "ada");
    let ada = boot(&mut machine, &mut edge, "A");
    let health = edge.line(sapphire_edge::status::Component::Box, "update", |line| line.health.word() == "healthy");
    assert!(health.health.fault().is_none(), "what a person wanted is no fault");
    let audit = ada.get("/api/v1/audit").json();
    let deeds: Vec<&str> =
        audit["entries"].as_array().unwrap().iter().filter_map(|entry| entry["action"].as_str()).collect();
    for deed in ["update_install", "update_restart", "update_roll_back"] {
        assert!(deeds.contains(&deed), "{deed}: {deeds:?}");
    }
    let events = fs::read_to_string(edge.folder().join("events.ndjson")).unwrap();
    assert!(events.contains("installs a bundle from their own machine"));
    edge.stop();
}
