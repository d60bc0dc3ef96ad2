//! Cisco Umbrella's logs in S3 through the real program: against a double, and against moto with its checks switched on.

mod backlog;
mod commands;
mod faults;
mod flow;
mod kills;
mod official;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::microsoft;
use crate::peers::appliance::Appliance;
use crate::peers::s3::{S3, stamp};
use crate::peers::try_until;

/// A row that arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// The vendor's record.
    pub record: Value,
    /// The event around it.
    pub event: Value,
}

impl Arrived {
    /// Names the row: its text, in which object.
    fn row(&self) -> (String, String) {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&self.record["object"]), text(&self.record["event"]["original"]))
    }
}

/// An appliance that pulls from the double.
pub fn edge(double: &S3, more: &str) -> Appliance {
    Appliance::start(&settings(double, more))
}

pub fn settings(double: &S3, more: &str) -> String {
    microsoft::settings(&[("umbrella", double.settings(more))])
}

pub fn gz(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// The name of an object that was uploaded so many seconds ago.
pub fn name(double: &S3, folder: &str, ago: i64, suffix: &str) -> String {
    let at = double.state().now() - ago;
    format!("{folder}/{}", stamp(at, &format!("%Y-%m-%d/%Y-%m-%d-%H-%M-{suffix}.csv.gz")))
}

/// A row of the DNS log.
pub fn dns(word: &str) -> String {
    format!(
        "\"2026-01-05 10:03:19\",\"laptop\",\"laptop,Doe, Jane\",\"10.0.0.1\",\"198.51.100.7\",\"Allowed\",\"1 (A)\",\"NOERROR\",\
         \"{word}.example.com.\",\"News\",\"Roaming Computers\",\"Roaming Computers\",\"\""
    )
}

/// Puts an object with these rows, and adds them to what is expected.
pub fn put(double: &S3, path: &str, rows: &[String], expected: &mut BTreeSet<(String, String)>) -> String {
    let key = double.put(path, gz(&(rows.join("\n") + "\n")));
    expected.extend(rows.iter().map(|row| (key.clone(), row.clone())));
    key
}

/// The rows in the gateway's file.
pub fn rows(edge: &Appliance) -> Vec<Arrived> {
    let row =
        |event: Value| Arrived { record: serde_json::from_str(event["message"].as_str().unwrap()).unwrap(), event };
    microsoft::events(edge).into_iter().map(row).collect()
}

/// Waits until the file holds these rows, each under one id, and nothing else.
pub fn arrived(edge: &Appliance, expected: &BTreeSet<(String, String)>) -> Vec<Arrived> {
    let mut missing = Vec::new();
    let is_all = try_until(|| {
        let found: BTreeSet<_> = rows(edge).iter().map(Arrived::row).collect();
        let more: Vec<_> = found.difference(expected).collect();
        assert!(more.is_empty(), "never written: {more:?}");
        missing = expected.difference(&found).cloned().collect();
        missing.is_empty().then_some(())
    });
    assert!(is_all.is_some(), "missing: {missing:#?}\n{}", edge.all_lines());
    let rows = rows(edge);
    let mut ids: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for row in &rows {
        let id = row.event["event"]["id"].as_str().unwrap();
        assert_eq!(row.event["@metadata"]["_id"], id);
        ids.entry(row.row()).or_default().insert(id.to_owned());
    }
    assert!(ids.values().all(|ids| ids.len() == 1), "under two ids: {ids:?}");
    let all: BTreeSet<_> = ids.values().flatten().collect();
    assert_eq!(all.len(), expected.len(), "two rows under one id");
    rows
}
