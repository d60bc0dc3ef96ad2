//! The gateway: a second instance that writes a file, and what that file must hold.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::net::SocketAddr;

use serde::Deserialize;

use super::agent::{Habit, Report};
use crate::peers::appliance::Appliance;

/// A gateway on plain TCP.
#[derive(Debug)]
pub struct FarEnd(Appliance);

/// An event of the file.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub id: String,
    pub message: String,
}

#[derive(Deserialize)]
struct Line {
    message: String,
    notice: Option<serde::de::IgnoredAny>,
    #[serde(rename = "@metadata")]
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(rename = "_id")]
    id: String,
}

impl FarEnd {
    pub fn start() -> Self {
        // In order: a gateway that falls behind its file would mix its own lanes into what is measured.
        let settings = "[queue]\nflush_after = \"10ms\"\ndrain = \"in_order\"\n[[source]]\nid = \"boxes\"\ntype = \"lumberjack\"\nlisten = \
                        [\"tcp://127.0.0.1:0\"]\n[[output]]\nid = \"archive\"\ntype = \"file\"\nmax_size = \
                        \"64GiB\"\npath = \"{dir}/events.ndjson\"\n";
        Self(Appliance::start(settings))
    }

    pub fn address(&self) -> SocketAddr {
        self.0.address("tcp://127.0.0.1:0", 0)
    }

    /// Whether the end of its file holds this text already.
    pub fn has(&self, text: &str) -> bool {
        /// Some windows.
        const END: u64 = 8 << 20;
        let Ok(mut file) = File::open(self.0.folder().join("events.ndjson")) else { return false };
        let from = file.metadata().unwrap().len().saturating_sub(END);
        let mut end = Vec::new();
        file.seek(SeekFrom::Start(from)).and_then(|_| file.read_to_end(&mut end)).unwrap();
        memchr::memmem::find(&end, text.as_bytes()).is_some()
    }

    /// Stops it, so that its file is complete, and returns what came, in that order, repeats too; not what a killed box
    /// says about that.
    pub fn arrived(self) -> Vec<Arrived> {
        self.0.signal(nix::sys::signal::Signal::SIGTERM);
        let mut gateway = self.0;
        assert!(gateway.wait().success(), "{}", gateway.all_lines());
        let file = gateway.folder().join("events.ndjson");
        let Ok(file) = File::open(file) else { return Vec::new() };
        let lines = BufReader::new(file).lines().map(|line| line.unwrap());
        let event = |line: String| {
            let line: Line = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"));
            line.notice.is_none().then_some(Arrived { id: line.metadata.id, message: line.message })
        };
        lines.filter_map(event).collect()
    }
}

/// The number behind a sender's name, where the message is one of this sender.
pub fn number(message: &str, sender: &str) -> Option<u64> {
    message.strip_prefix(sender)?.strip_prefix(' ')?.split(' ').next()?.parse().ok()
}

/// Checks that ids and messages belong together one to one; returns the messages by id.
pub fn one_id_each(arrived: &[Arrived]) -> HashMap<&str, &str> {
    let (mut messages, mut ids) = (HashMap::new(), HashMap::new());
    for event in arrived {
        let message = *messages.entry(event.id.as_str()).or_insert(event.message.as_str());
        assert_eq!(message, event.message, "{} is the id of two events", event.id);
        let id = *ids.entry(event.message.as_str()).or_insert(event.id.as_str());
        assert_eq!(id, event.id, "{:?} came under two ids", event.message);
    }
    messages
}

/// Checks the promise to agents: what was acknowledged is there, under one id.
pub fn keeps(report: &Report, arrived: &[Arrived]) {
    let mut numbers = HashSet::new();
    for event in arrived {
        let Some(number) = number(&event.message, &report.name) else { continue };
        numbers.insert(number);
        let is_own = event.id == format!("{}-{number}", report.name);
        assert_eq!(is_own, report.habit == Habit::Repeats, "{} has the id {}", event.message, event.id);
    }
    let missing: Vec<u64> = report.acked.iter().cloned().flatten().filter(|number| !numbers.contains(number)).collect();
    let acked: u64 = report.acked.iter().map(|window| window.end - window.start).sum();
    let some = &missing[..missing.len().min(5)];
    assert!(
        missing.is_empty(),
        "{}: {} of {acked} acknowledged events are missing: {some:?}",
        report.name,
        missing.len()
    );
}
