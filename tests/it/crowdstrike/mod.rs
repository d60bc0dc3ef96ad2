//! CrowdStrike Falcon through the real program, against the double.

mod commands;
mod faults;
mod flow;
mod kills;
mod session;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::peers::appliance::Appliance;
use crate::peers::crowdstrike::Falcon;

pub use crate::microsoft::arrived;

/// A gateway's file, and the source.
pub fn settings(double: &Falcon, more: &str) -> String {
    crate::microsoft::settings(&[("crowdstrike", double.settings(more))])
}

/// An appliance that reads from the double.
pub fn edge(double: &Falcon, more: &str) -> Appliance {
    Appliance::start(&settings(double, more))
}

/// All lines of the double.
pub fn all(double: &Falcon) -> BTreeSet<String> {
    let state = double.state();
    state.partitions.values().flatten().map(|entry| entry.text.clone()).collect()
}

/// The events of a kind in the gateway's file.
pub fn of_kind(edge: &Appliance, kind: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(edge.folder().join("events.ndjson")).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let all = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|event| event["sapphire"]["kind"] == kind).collect()
}

/// The gaps that were told.
pub fn gaps(edge: &Appliance) -> Vec<Value> {
    of_kind(edge, "notice").into_iter().filter(|event| event["notice"]["feed"].is_string()).collect()
}
