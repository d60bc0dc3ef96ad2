//! Until when the firmware gets security updates, on every face.

use std::path::Path;
use std::process::Command;

use jiff::ToSpan as _;
use sapphire_edge::status::Component;

use super::{Curl, PASSWORD, SETTINGS, address, claim};
use crate::peers::appliance::{Appliance, program};
use crate::peers::place::with_places;

/// The program on a firmware whose os-release says this.
fn firmware(file: &Path, support_end: &str) -> Option<Command> {
    std::fs::write(file, format!("NAME=\"Sapphire Edge\"\n{support_end}\n")).unwrap();
    with_places(&program(), &[(file, "/etc/os-release")])
}

fn printed(edge: &Appliance, arguments: &[&str]) -> String {
    let output = program().args(arguments).arg("--config").arg(edge.settings()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Each face says it in these words.
fn says(edge: &Appliance, curl: &Curl, state: &str, words: &str) {
    let support = curl.get("/api/v1/overview").json()["support"].clone();
    assert_eq!((&support["state"], &support["words"]), (&state.into(), &words.into()), "{support}");
    for path in ["/", "/updates"] {
        assert!(curl.get(path).body.contains(words), "{path}");
    }
    assert!(Curl::to(address(edge)).unwrap().get("/login").body.contains(words), "before anybody logs in");
    assert!(printed(edge, &["status"]).contains(words));
    assert!(printed(edge, &["console", "--once"]).contains(words));
    let is_due = curl.get("/").body.contains(&format!("<p class=\"notice\"><strong>{words}"));
    assert_eq!(is_due, ["ends_soon", "ended"].contains(&state), "{state}");
}

#[test]
fn every_face_says_until_when_there_are_security_updates() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("os-release");
    let today = jiff::tz::TimeZone::UTC.to_datetime(jiff::Timestamp::now()).date();
    let Some(command) = firmware(&file, "SUPPORT_END=2099-01-01") else { return };
    let mut edge = Appliance::start_with(SETTINGS, command, |_| {});
    let Some(ada) = claim(&edge) else { return };
    says(&edge, &ada, "supported", "Security updates end on 2099-01-01.");
    let again = |edge: &mut Appliance, support_end: &str| {
        edge.kill();
        edge.restart_with(firmware(&file, support_end).unwrap());
        let curl = Curl::to(address(edge)).unwrap();
        assert_eq!(curl.log_in("ada", PASSWORD).status, 303);
        curl
    };
    let unknown = again(&mut edge, "VERSION_ID=1");
    says(&edge, &unknown, "unknown", "It is not known until when this version gets security updates.");
    // Not near midnight, when the day may change between here and there.
    let soon = today.saturating_add(42.days());
    let near = again(&mut edge, &format!("SUPPORT_END={soon}"));
    let words = near.get("/api/v1/overview").json()["support"]["words"].as_str().unwrap().to_owned();
    assert!(words.starts_with(&format!("Security updates end on {soon}, in 4")), "{words}");
    says(&edge, &near, "ends_soon", &words);
    assert!(edge.status().unwrap().line(Component::Box, "support").is_none(), "advice is no alarm");
    let over = again(&mut edge, "SUPPORT_END=2020-01-01");
    let line = edge.line(Component::Box, "support", |line| line.health.word() == "degraded");
    assert!(line.health.fault().unwrap().what.starts_with("security updates ended on 2020-01-01"), "{line:?}");
    let words = over.get("/api/v1/overview").json()["support"]["words"].as_str().unwrap().to_owned();
    says(&edge, &over, "ended", &words);
    edge.stop();
}
