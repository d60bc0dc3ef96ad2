//! Cisco Secure Endpoint through the real program: the API's double in front of a real RabbitMQ.

mod commands;
mod cuts;
mod faults;
mod flow;
mod kills;

use std::collections::BTreeSet;

use sapphire_edge::status::{Component, Line};

use crate::microsoft::{arrived, settings};
use crate::peers::amp::{Amp, Event};
use crate::peers::appliance::Appliance;

/// An appliance that takes from the double.
fn edge(double: &Amp, more: &str) -> Appliance {
    Appliance::start(&whole(double, more))
}

fn whole(double: &Amp, more: &str) -> String {
    format!("[queue]\nflush_after = \"20ms\"\n{}", settings(&[("amp", double.settings(more))]))
}

/// The messages of these events.
fn texts<'a>(events: impl IntoIterator<Item = &'a Event>) -> BTreeSet<String> {
    events.into_iter().map(|event| event.text.clone()).collect()
}

/// Waits until everything that happened arrived, each under one id.
fn all_arrived(double: &Amp, edge: &Appliance) -> usize {
    let expected = texts(&double.state().events);
    arrived(edge, &expected).len()
}

/// Waits until the source's health has this word and says these words.
fn health(edge: &Appliance, word: &str, what: &str) -> Line {
    edge.line(Component::Source, "amp", |line| {
        let said = line.health.fault().map(|fault| fault.what.clone()).unwrap_or_default();
        line.health.word() == word && said.contains(what)
    })
}

/// Waits until the stream is read.
fn reads_a_stream(edge: &Appliance) {
    edge.log_line(&["the event stream is read"]);
}
