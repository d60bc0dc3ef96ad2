//! Sources of Microsoft's clouds through the real program, against the double.

mod backlog;
mod commands;
mod faults;
mod flow;
mod kills;
mod official;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::peers::appliance::Appliance;
use crate::peers::microsoft::Microsoft;
use crate::peers::try_until;

/// A gateway's file, one however much comes.
pub const FILE: &str =
    "[[output]]\nid = \"file\"\ntype = \"file\"\npath = \"{dir}/events.ndjson\"\nmax_size = \"64GiB\"\n";

/// A gateway's file, and sources that pull.
pub fn settings(sources: &[(&str, String)]) -> String {
    let mut all = FILE.to_owned();
    for (kind, keys) in sources {
        all.push_str(&format!("[[source]]\nid = \"{kind}\"\ntype = \"{kind}\"\n{keys}"));
    }
    all
}

/// The events in the gateway's file, but for what the box says about itself.
pub fn events(edge: &Appliance) -> Vec<Value> {
    let text = std::fs::read_to_string(edge.folder().join("events.ndjson")).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let all = whole.lines().filter_map(|line| match serde_json::from_str::<Value>(line) {
        // A kill tore it; its event comes again whole.
        Err(error) if error.is_eof() => None,
        read => Some(read.unwrap_or_else(|error| panic!("{error}: {line}"))),
    });
    all.filter(|event| event["sapphire"]["kind"] == "pulled").collect()
}

/// Waits until the file holds these messages, for as long as more come; each under one id, and nothing else.
pub fn arrived(edge: &Appliance, expected: &BTreeSet<String>) -> Vec<Value> {
    let missing = || {
        let found: BTreeSet<String> =
            events(edge).iter().map(|event| event["message"].as_str().unwrap().to_owned()).collect();
        let more: Vec<_> = found.difference(expected).collect();
        assert!(more.is_empty(), "never sent: {more:?}");
        expected.difference(&found).cloned().collect::<Vec<_>>()
    };
    let mut before = missing();
    while !before.is_empty() {
        let fewer = try_until(|| Some(missing()).filter(|missing| missing.len() < before.len()));
        before = fewer.unwrap_or_else(|| panic!("missing: {before:#?}"));
    }
    let events = events(edge);
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for event in &events {
        let (message, id) = (event["message"].as_str().unwrap(), event["event"]["id"].as_str().unwrap());
        assert_eq!(event["@metadata"]["_id"], id);
        ids.entry(message.to_owned()).or_default().insert(id.to_owned());
    }
    let twice: Vec<_> = ids.iter().filter(|(_, ids)| ids.len() > 1).collect();
    assert!(twice.is_empty(), "under two ids: {twice:?}");
    let all: BTreeSet<_> = ids.values().flatten().collect();
    assert_eq!(all.len(), expected.len(), "two records under one id");
    events
}

/// An appliance that pulls from the double.
pub fn edge(double: &Microsoft, kind: &str, more: &str) -> Appliance {
    Appliance::start(&settings(&[(kind, double.settings(more))]))
}
