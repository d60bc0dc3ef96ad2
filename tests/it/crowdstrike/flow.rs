//! What the vendor has arrives, once, byte by byte, from every partition.

use std::collections::BTreeSet;
use std::time::Duration;

use sapphire_edge::status::{Component, Count, Gauge, Line};
use serde_json::{Value, json};

use super::{all, arrived, edge, gaps, of_kind};
use crate::peers::appliance::until;
use crate::peers::crowdstrike::{CID, Falcon, event, now_ms};

const AUDIT: &str = "AuthActivityAuditEvent";

fn is_settled(line: &Line) -> bool {
    line.health.word() == "healthy" && line.count(Count::ReceivedEvents) == line.count(Count::SettledEvents)
}

#[test]
fn every_partition_arrives_byte_by_byte_at_the_same_time() {
    let double = Falcon::start(&["0", "1"]);
    {
        let mut state = double.state();
        // Lines come in pieces, and the event before comes again with each connection.
        (state.manner.pieces, state.manner.repeats) = (211, true);
    }
    for partition in ["0", "1"] {
        for _ in 0..50 {
            double.event(partition, AUDIT);
        }
        // A gap, a list, and a line of 300 kB.
        double.line(partition, Some(900), &event(900, AUDIT, now_ms(), &format!(",\"P\":\"{partition}\"")));
        double.line(partition, None, &format!("[{partition},\"no object\"]"));
        let long = format!(",\"P\":\"{partition}\",\"Long\":\"{}\"", "x".repeat(300_000));
        double.line(partition, Some(901), &event(901, "EppDetectionSummaryEvent", now_ms(), &long));
    }
    // Events of two partitions are told apart by their place only: make the texts differ.
    let mut state = double.state();
    for entry in state.partitions.get_mut("1").unwrap() {
        entry.text = entry.text.replace("jané", "jack");
    }
    drop(state);
    let edge = edge(&double, "");
    let events = arrived(&edge, &all(&double));
    assert_eq!(events.len(), all(&double).len(), "each once");
    let feeds: BTreeSet<&str> = events.iter().map(|event| event["sapphire"]["feed"].as_str().unwrap()).collect();
    assert_eq!(feeds, BTreeSet::from(["partition-0", "partition-1"]));
    assert_eq!(events[0]["sapphire"]["source"], "crowdstrike");
    // Both are connected, one live event of each comes at once.
    let line = edge.line(Component::Source, "crowdstrike", is_settled);
    assert_eq!(line.gauge(Gauge::OpenFeeds), 2);
    double.event("0", AUDIT);
    double.event("1", "UserActivityAuditEvent");
    arrived(&edge, &all(&double));
    // Nothing but empty lines: the streams are alive, and nothing is behind.
    edge.line(Component::Source, "crowdstrike", |line| is_settled(line) && line.gauge(Gauge::LagSeconds) < 30);
    assert!(gaps(&edge).is_empty(), "a gap in the numbers is no hole");
    assert_eq!(double.state().sins, Vec::<String>::new());
    edge.stop();
    until("the streams are closed", || (double.connected() == 0).then_some(()));
}

#[test]
fn after_a_restart_nothing_comes_twice_and_an_app_id_that_is_held_is_waited_for() {
    let double = Falcon::start(&["0"]);
    {
        let mut state = double.state();
        (state.linger, state.manner.repeats) = (Duration::from_secs(3), true);
    }
    for _ in 0..10 {
        double.event("0", AUDIT);
    }
    let mut edge = edge(&double, "");
    arrived(&edge, &all(&double));
    edge.line(Component::Source, "crowdstrike", is_settled);
    edge.kill();
    double.event("0", AUDIT);
    edge.restart();
    let said = |line: &Line| line.health.fault().is_some_and(|fault| fault.what.contains("gives no streams"));
    let line = edge.line(Component::Source, "crowdstrike", said);
    assert!(line.health.fault().unwrap().todo.contains("app_id"), "{line:#?}");
    let events = arrived(&edge, &all(&double));
    assert_eq!(events.len(), 11, "each once");
    assert!(double.state().asked.iter().any(|asked| asked.ends_with("/v1/0 10")), "the last and one is asked for");
    edge.line(Component::Source, "crowdstrike", is_settled);
    edge.stop();
}

#[test]
fn only_the_types_that_are_wanted_and_only_what_is_new() {
    let double = Falcon::start(&["0"]);
    double.event("0", AUDIT);
    let more = "begin = \"newest\"\nevent_types = [\"AuthActivityAuditEvent\", \"IncidentSummaryEvent\"]\n\
                skip_event_types = [\"IncidentSummaryEvent\"]";
    let edge = edge(&double, more);
    until("the stream is connected", || (double.connected() == 1).then_some(()));
    double.event("0", "FirewallMatchEvent");
    double.event("0", "IncidentSummaryEvent");
    let wanted = double.event("0", AUDIT);
    assert_eq!(arrived(&edge, &BTreeSet::from([wanted])).len(), 1);
    edge.stop();
}

#[test]
fn a_longer_line_is_cut_marked_and_counted() {
    let double = Falcon::start(&["0"]);
    let long = event(5, AUDIT, now_ms(), &format!(",\"Long\":\"{}\"", "x".repeat(300_000)));
    double.line("0", Some(5), &long);
    let after = double.event("0", AUDIT);
    let edge = edge(&double, "max_event = \"64KiB\"");
    let events = arrived(&edge, &BTreeSet::from([long.split_at(64 << 10).0.to_owned(), after]));
    let cut = events.iter().find(|event| event["sapphire"]["cut_from"].is_u64()).unwrap();
    // The double's letters are not all of one byte.
    assert_eq!(cut["sapphire"]["cut_from"], long.len() as u64);
    edge.line(Component::Source, "crowdstrike", |line| line.count(Count::CutEvents) == 1);
    edge.stop();
}

#[test]
fn a_stream_that_dies_at_every_byte_loses_and_repeats_nothing() {
    let double = Falcon::start(&["0"]);
    for _ in 0..3 {
        double.event("0", AUDIT);
    }
    let expected = all(&double);
    let length: usize = expected.iter().map(|line| line.len() + 2).sum();
    double.state().manner.cut_after = Some(1);
    let pace = "backoff_min = \"10ms\"\nbackoff_max = \"10ms\"";
    let text = super::settings(&double, "").replace("backoff_min = \"20ms\"\nbackoff_max = \"200ms\"", pace);
    let edge = crate::peers::appliance::Appliance::start(&text);
    let mut seen = 0;
    until("it was cut at every byte", || {
        let mut state = double.state();
        let connects = state.asked.iter().filter(|asked| asked.contains("/datafeed/v1/")).count();
        if connects > seen {
            seen = connects;
            state.manner.cut_after = state.manner.cut_after.map(|at| at + 1);
        }
        (state.manner.cut_after.unwrap() > length || of_kind(&edge, "pulled").len() == 3).then_some(())
    });
    double.state().manner.cut_after = None;
    assert_eq!(arrived(&edge, &expected).len(), 3, "each once");
    edge.stop();
}

#[test]
fn an_event_keeps_its_id_in_every_format() {
    let double = Falcon::start(&["0"]);
    let line = double.event("0", AUDIT);
    let created: u64 = {
        let event: Value = serde_json::from_str(&line).unwrap();
        event["metadata"]["eventCreationTime"].as_u64().unwrap()
    };
    let json = edge(&double, "");
    let events = arrived(&json, &BTreeSet::from([line]));
    assert_eq!(moment(&events[0]), created / 1_000);
    json.stop();
    until("the stream is closed", || (double.connected() == 0).then_some(()));
    let cef = edge(&double, "format = \"cef\"");
    let event = until("the event", || of_kind(&cef, "syslog").first().cloned());
    assert_eq!(event["event"]["id"], events[0]["event"]["id"]);
    let message = event["message"].as_str().unwrap();
    assert!(message.contains(" crowdstrike CEF:0|CrowdStrike|FalconHost|1.0|"), "{message}");
    assert!(message.contains("cn3=0 ") && message.contains(&format!("rt={created}")), "{message}");
    assert_eq!((&event["host"]["name"], &event["sapphire"]["format"]), (&json!("crowdstrike"), &json!("cef")));
    assert_eq!(event["sapphire"]["feed"], "partition-0");
    assert_eq!(moment(&event), created / 1_000);
    assert!(!message.contains(CID), "rules decide what is in it");
    cef.stop();
}

/// An event's own time, in seconds.
fn moment(event: &Value) -> u64 {
    let time: jiff::Timestamp = event["@timestamp"].as_str().unwrap().parse().unwrap();
    time.as_second().try_into().unwrap()
}
