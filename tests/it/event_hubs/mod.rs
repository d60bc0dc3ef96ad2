//! Azure Event Hubs, from the hub to the file: against the double, which Microsoft's own client speaks to as well.

mod backlog;
mod client;
mod command;
mod faults;
mod flow;
mod kill;

use std::collections::BTreeMap;
use std::path::PathBuf;

use sapphire_edge::status::Component;
use serde_json::Value;

use crate::peers::appliance::{Appliance, until};
use crate::peers::certificates::Authority;
use crate::peers::event_hub::{EventHub, KEY, NAMESPACE, POLICY};

/// A namespace, an appliance that reads it, and the file that its events come to.
struct Site {
    authority: Authority,
    hub: EventHub,
}

impl Site {
    /// `None` if peers are to be skipped.
    fn new(hubs: &[(&str, usize, &[&str])]) -> Option<Self> {
        let authority = Authority::new();
        let identity = authority.identity(NAMESPACE);
        let hub = EventHub::start(&identity, hubs)?;
        std::fs::write(authority.folder().join("key"), format!("{KEY}\n")).unwrap();
        Some(Self { authority, hub })
    }

    /// The source by its policy and key, with more settings.
    fn source(&self, more: &str) -> String {
        let folder = self.authority.folder().display();
        format!(
            "[[source]]\nid = \"azure\"\ntype = \"event_hubs\"\nnamespace = \"contoso\"\npolicy = \"{POLICY}\"\n\
             primary_key_file = \"{folder}/key\"\nendpoint = \"127.0.0.1:{}\"\nbackoff_min = \"20ms\"\n\
             backoff_max = \"100ms\"\nbatch_after = \"20ms\"\n{more}[source.tls]\nca = {:?}\n",
            self.hub.amqps,
            self.authority.ca()
        )
    }

    /// An appliance with this source and a file.
    fn edge(&self, source: &str) -> Appliance {
        Appliance::start(&format!("{FILE}{source}"))
    }
}

/// The output to a file, and a queue that settles soon.
const FILE: &str =
    "[queue]\nflush_after = \"20ms\"\n[[output]]\nid = \"archive\"\ntype = \"file\"\npath = \"{dir}/events.ndjson\"\n";

fn file(edge: &Appliance) -> PathBuf {
    edge.folder().join("events.ndjson")
}

/// The events in the file, by their id; those that the box says of itself apart.
fn written(edge: &Appliance) -> (BTreeMap<String, Value>, Vec<Value>) {
    let text = std::fs::read_to_string(file(edge)).unwrap_or_default();
    let (mut events, mut notices) = (BTreeMap::new(), Vec::new());
    for line in text.split_inclusive('\n') {
        // The last line may be half written, and one that a kill tore stays so.
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        if event["sapphire"]["kind"] == "notice" {
            notices.push(event);
            continue;
        }
        let id = event["event"]["id"].as_str().unwrap().to_owned();
        let before = events.insert(id, event.clone());
        // What comes twice under one id is the same event.
        if let Some(before) = before {
            assert_eq!(before["message"], event["message"]);
        }
    }
    (events, notices)
}

/// Waits until so many different events are in the file.
fn wait_for(edge: &Appliance, count: usize) -> BTreeMap<String, Value> {
    until(&format!("{count} events"), || {
        let events = written(edge).0;
        (events.len() >= count).then_some(events)
    })
}

/// Waits until the source's health has this word and says these words.
fn health(edge: &Appliance, word: &str, what: &str) {
    edge.line(Component::Source, "azure", |line| {
        let said = line.health.fault().map(|fault| fault.what.clone()).unwrap_or_default();
        line.health.word() == word && said.contains(what)
    });
}

/// The messages, in any order.
fn messages(events: &BTreeMap<String, Value>) -> Vec<String> {
    let mut messages: Vec<String> =
        events.values().map(|event| event["message"].as_str().unwrap().to_owned()).collect();
    messages.sort();
    messages
}

/// Envelopes with one numbered record each.
fn numbered(range: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    range.map(|number| format!("{{\"records\":[{{\"n\":{}}}]}}", 100_000 + number))
}
