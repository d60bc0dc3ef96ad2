use std::fs;
use std::process::Output;
use std::time::Duration;

use sapphire_edge::clock::monotonic;
use sapphire_edge::status::Component;

use super::{screen, settings};
use crate::page;
use crate::peers::appliance::{Appliance, program};
use crate::peers::process::Process;
use crate::peers::tmux::Terminal;
use crate::peers::{free_address, try_until};

fn file(edge: &Appliance) -> String {
    fs::read_to_string(edge.settings()).unwrap()
}

/// Waits for an event that the screen's deed became.
fn event(edge: &Appliance, words: &str) {
    let events = || fs::read_to_string(edge.folder().join("events.ndjson")).unwrap_or_default();
    let found = try_until(|| events().contains(words).then_some(()));
    assert!(found.is_some(), "no event says {words:?}\n{}\n{:#?}", events(), edge.status());
}

/// Opens the form.
fn open_form(screen: &Terminal) {
    screen.keys(&["n"]);
    screen.shows("< eth7 >");
}

/// From DHCP to a fixed address.
fn fill(screen: &Terminal, address: &str) {
    screen.keys(&["Tab", "Right", "Tab"]);
    screen.shows("< fixed address >");
    screen.types(address);
    screen.keys(&["Tab"]);
    screen.types("192.0.2.1");
    screen.keys(&["Tab"]);
    screen.types("192.0.2.53 192.0.2.54");
    screen.keys(&["Enter"]);
}

#[test]
fn a_card_gets_an_address_is_gone_back_on_and_asks_dhcp_again() {
    let edge = Appliance::start(&settings(free_address()));
    let Some(screen) = screen(&edge) else { return };
    edge.line(Component::Source, "firewalls", |line| line.health.word() == "healthy");
    screen.shows("claim code");
    let before = file(&edge);
    open_form(&screen);
    fill(&screen, "192.0.2.10");
    screen.shows("has no length of its network");
    assert_eq!(file(&edge), before, "nothing is written that is wrong");
    screen.keys(&["Up", "Up"]);
    screen.types("/24");
    screen.shows("192.0.2.10/24_");
    screen.keys(&["Enter"]);
    screen.shows("Keep these settings?");
    let new = file(&edge);
    for part in [
        "address = [\"192.0.2.10/24\"]",
        "gateway = [\"192.0.2.1\"]",
        "\"192.0.2.54\"",
        "# Of the image.",
        "# the uplink",
    ] {
        assert!(new.contains(part), "{part}\n{new}");
    }
    screen.keys(&["t"]);
    screen.shows("The settings are as they were before.");
    assert_eq!(file(&edge), before);
    screen.keys(&["Enter"]);
    event(&edge, "somebody at the screen changes the settings");
    event(&edge, "the settings of somebody at the screen were taken back");

    open_form(&screen);
    fill(&screen, "192.0.2.10/24");
    screen.shows("Keep these settings?");
    screen.shows("k  keep them");
    screen.keys(&["k"]);
    screen.shows("The new settings stay.");
    assert_eq!(file(&edge), new);
    event(&edge, "somebody at the screen confirms the new settings");
    screen.keys(&["Enter"]);

    open_form(&screen);
    screen.shows("192.0.2.10/24");
    screen.keys(&["Tab", "Left"]);
    screen.shows("< DHCP >");
    screen.keys(&["Enter"]);
    screen.shows("Keep these settings?");
    screen.keys(&["k"]);
    screen.shows("The new settings stay.");
    let dhcp = file(&edge);
    assert!(!dhcp.contains("192.0.2.10") && dhcp.contains("# the uplink"), "{dhcp}");
    edge.stop();
}

/// What an idle screen may use of a core.
const IDLE: f64 = 0.005;

#[test]
fn what_nobody_keeps_goes_back_by_itself_and_an_idle_screen_costs_next_to_nothing() {
    let edge = Appliance::start(&settings(free_address()));
    let Some(screen) = screen(&edge) else { return };
    screen.shows("claim code");
    let before = file(&edge);
    open_form(&screen);
    fill(&screen, "192.0.2.10/24");
    screen.shows("Keep these settings?");
    assert_ne!(file(&edge), before);
    // It takes two minutes, in which another screen is watched that nobody touches.
    let idle = super::screen(&edge).unwrap();
    idle.shows("claim code");
    let process = Process(idle.id());
    let (begin, cost) = (monotonic(), process.cpu());
    screen.shows_within(Duration::from_secs(180), "The settings are as they were before.");
    assert_eq!(file(&edge), before);
    event(&edge, "nobody confirmed the settings of somebody at the screen in time");
    let share = (process.cpu() - cost).as_secs_f64() / begin.elapsed().as_secs_f64();
    eprintln!("an idle screen: {:.2} % of a core, {} KiB resident", 100.0 * share, process.resident() >> 10);
    assert!(share < IDLE, "{share}");
    edge.stop();
}

#[test]
fn a_change_of_somebody_else_can_be_kept_at_the_screen() {
    let edge = Appliance::start(&settings(free_address()));
    let Some(screen) = screen(&edge) else { return };
    edge.line(Component::Source, "firewalls", |line| line.health.word() == "healthy");
    let new = edge.folder().join("new.toml");
    fs::write(&new, file(&edge).replace("# the uplink\n", "# the uplink\naddress = [\"192.0.2.7/24\"]\n")).unwrap();
    let apply = program().args(["settings", "apply"]).arg(&new).arg("--config").arg(edge.settings()).output().unwrap();
    assert!(apply.status.success());
    screen.keys(&["n"]);
    screen.shows("Keep these settings?");
    screen.keys(&["k"]);
    screen.shows("The new settings stay.");
    event(&edge, "somebody at the screen confirms the new settings");
    assert!(file(&edge).contains("192.0.2.7/24"));
    edge.stop();
}

#[test]
fn the_program_is_restarted_in_good_order() {
    let mut edge = Appliance::start(&settings(free_address()));
    let Some(screen) = screen(&edge) else { return };
    screen.shows("claim code");
    screen.keys(&["r"]);
    screen.shows("restart the program");
    screen.keys(&["p"]);
    assert!(edge.wait().success(), "{}", edge.all_lines());
    screen.shows("The program does not run.");
    edge.restart();
    event(&edge, "somebody at the screen restarts the program");
    screen.keys(&["Enter"]);
    screen.shows("claim code");
    edge.stop();
}

/// The half of a factory reset that the next boot does.
fn boot(edge: &Appliance) -> Output {
    program().arg("reset").arg("--folder").arg(edge.folder()).output().unwrap()
}

#[test]
fn the_box_is_restarted_and_made_as_new_when_the_word_is_typed() {
    let page = free_address();
    let mut edge = Appliance::start(&settings(page));
    let Some(screen) = screen(&edge) else { return };
    let (mark, reboot) = (edge.folder().join("factory-reset"), edge.folder().join("run/reboot"));
    screen.shows("claim code");
    screen.keys(&["r"]);
    screen.shows("restart the box");
    screen.keys(&["b"]);
    screen.shows("it cannot be asked for");
    event(&edge, "somebody at the screen restarts the box: it cannot be asked for");
    screen.keys(&["Enter"]);
    fs::create_dir(edge.folder().join("run")).unwrap();
    screen.keys(&["r", "b"]);
    screen.shows("The box restarts now");
    assert!(reboot.exists() && !mark.exists());
    fs::remove_file(&reboot).unwrap();
    screen.keys(&["Enter", "f"]);
    screen.shows("Type RESET and press Enter:");
    screen.types("reset");
    screen.keys(&["Enter"]);
    screen.shows("Enter: reset");
    assert!(!mark.exists() && !reboot.exists());
    let before = page::said(&edge, "claim code");
    screen.keys(&["BSpace", "BSpace", "BSpace", "BSpace", "BSpace"]);
    screen.types("RESET");
    screen.keys(&["Enter"]);
    screen.shows("The box restarts now, and comes back as new");
    assert!(mark.exists() && reboot.exists());
    event(&edge, "somebody at the screen resets the box");
    // Until the box has started anew it says so, whatever starts the program.
    edge.kill();
    edge.restart();
    edge.line(Component::Box, "reset", |line| line.health.fault().is_some());
    edge.kill();
    let done = boot(&edge);
    assert!(String::from_utf8_lossy(&done.stdout).contains("the box is as new"), "{done:?}");
    assert_eq!(fs::read_dir(edge.folder()).unwrap().count(), 0, "nothing is left");
    assert!(String::from_utf8_lossy(&boot(&edge).stdout).contains("nobody asked for it"));
    edge.write_settings(&settings(page));
    edge.restart();
    edge.line(Component::Box, "page", |line| line.health.fault().is_some());
    assert_ne!(page::said(&edge, "claim code"), before);
    assert!(edge.status().unwrap().line(Component::Box, "reset").is_none());
    edge.stop();
}
