//! Updates: the program as it ships, the real RAUC on a bus of its own, and a server that breaks off.

/// Without RAUC, or with one that hangs or dies.
mod absent;
/// Bundles that are good, and those that are not.
mod install;
/// The manifest and the download.
pub mod manifest;
/// The same on the page.
mod page;
/// Whether a new version works, and what happens when it does not.
mod trial;

use std::process::Output;

use sapphire_edge::update::{Phase, Status};

use crate::peers::appliance::{Appliance, program, until};
use crate::peers::program::text;

/// `update` with these arguments against a running program.
pub fn update(edge: &Appliance, arguments: &[&str]) -> Output {
    program().arg("update").args(arguments).arg("--config").arg(edge.settings()).output().unwrap()
}

/// It worked; what it printed.
fn worked(output: &Output) -> String {
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// It did not, and said so in one line; what it said.
fn refused(output: &Output) -> String {
    let words = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{}{words}", text(&output.stdout));
    words.lines().last().unwrap_or_default().to_owned()
}

fn status(edge: &Appliance) -> Option<Status> {
    let output = update(edge, &["status", "--json"]);
    serde_json::from_slice(&output.stdout).ok()
}

/// Waits until the status is as wanted.
fn shows(edge: &Appliance, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
    let mut last = None;
    crate::peers::try_until(|| {
        last = status(edge).or(last.take());
        last.clone().filter(|status| wanted(status))
    })
    .unwrap_or_else(|| panic!("{what}: {last:#?}\n{}", edge.all_lines()))
}

/// Waits until RAUC is there and this boot is judged.
pub fn ready(edge: &Appliance) -> Status {
    shows(edge, "ready", |status| {
        let is_there = status.compatible.is_some() && status.unavailable.is_none() && !status.slots.is_empty();
        is_there && status.phase == Phase::Idle
    })
}

/// The notices in the archive so far: what each is called, with its facts.
fn notices(edge: &Appliance) -> Vec<serde_json::Value> {
    let file = std::fs::read_to_string(edge.folder().join("events.ndjson")).unwrap_or_default();
    let events = file.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    events.filter(|event| event["notice"].is_object()).collect()
}

fn told(edge: &Appliance, action: &str) -> serde_json::Value {
    until(action, || notices(edge).into_iter().find(|event| event["event"]["action"] == action))
}

/// An output that keeps what the box says of itself.
const ARCHIVE: &str = "[[output]]\nid = \"archive\"\ntype = \"file\"\npath = \"{dir}/events.ndjson\"\n";
