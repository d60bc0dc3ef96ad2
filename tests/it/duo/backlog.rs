//! An account with a backlog: what it costs, and that a kill in the middle does not start it anew.

use std::collections::BTreeSet;
use std::fs;

use sapphire_edge::status::{Component, Count, Gauge, Line};

use super::edge;
use crate::peers::appliance::until;
use crate::peers::duo::{Duo, Entry, ago};
use crate::peers::process::Process;

/// Records; `DUO_BACKLOG` says how many.
fn wanted() -> usize {
    std::env::var("DUO_BACKLOG").map_or(20_000, |text| text.parse().unwrap())
}

#[test]
fn a_backlog_comes_in_little_memory_and_goes_on_after_a_kill() {
    let double = Duo::start();
    let events = wanted();
    {
        let begin = ago(600_000);
        let mut state = double.state();
        let log = state.logs.get_mut("authentication").unwrap();
        for number in 0..events {
            let time = begin + i64::try_from(number * 500_000_000 / events).unwrap();
            log.insert((time, format!("{number:032}")), Entry { listed: 0, text: String::new() });
        }
    }
    let mut edge = edge(&double, "logs = [\"authentication\"]\nbackfill = \"7d\"");
    let half = u64::try_from(events / 2).unwrap();
    edge.line(Component::Source, "duo", |line| line.count(Count::SettledEvents) >= half);
    let peak = Process(edge.id()).peak_mib();
    edge.kill();
    double.state().asked.clear();
    edge.restart();
    let is_all = |line: &Line| {
        line.health.word() == "healthy"
            && line.gauge(Gauge::LagSeconds) < 1_000
            && line.count(Count::ReceivedEvents) == line.count(Count::SettledEvents)
    };
    edge.line(Component::Source, "duo", is_all);
    let file = edge.folder().join("events.ndjson");
    let delivered = || {
        let text = fs::read_to_string(&file).unwrap();
        let ids: BTreeSet<&str> =
            text.lines().filter_map(|line| line.split_once("txid\\\":\\\"")?.1.get(..32)).collect();
        (ids.len() == events).then_some(())
    };
    until("all records", delivered);
    // The window that was cut off goes on near where it was; those after it look back a day, where nothing is.
    let state = double.state();
    let pages = 1 + state.asked.iter().skip(1).take_while(|asked| asked.contains("next_offset")).count();
    let whole = events / 1_000;
    assert!(pages <= whole * 3 / 4, "{pages} pages of {whole} after half of the records were settled");
    assert_eq!(state.sins, Vec::<String>::new());
    drop(state);
    let peak = peak.max(Process(edge.id()).peak_mib());
    eprintln!("{events} records: {peak} MiB at most");
    edge.stop();
}
