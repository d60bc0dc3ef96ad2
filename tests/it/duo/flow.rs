//! What is in Duo's logs arrives, once, byte by byte.

use std::collections::BTreeSet;

use sapphire_edge::status::{Component, Count, Line};
use serde_json::json;

use super::edge;
use crate::microsoft::{arrived, events, settings};
use crate::peers::appliance::{Appliance, program_at, until};
use crate::peers::duo::{Duo, HOST, LOGS, ago, record};

const DAY: i64 = 86_400;

#[test]
fn all_logs_arrive_byte_by_byte_whatever_the_signature() {
    for signature in ["v5", "v2", "v2_sha1"] {
        let double = Duo::start();
        double.state().page = 2;
        let mut expected = BTreeSet::new();
        for log in LOGS {
            for (at, seconds) in [130, 131, 3_600, 5 * DAY, 100 * DAY, 179 * DAY].into_iter().enumerate() {
                expected.insert(double.add(log, &format!("{log}-{at}"), ago(seconds)));
            }
            // What is older than was wished for, and what is too young yet.
            double.add(log, "old", ago(179 * DAY + 43_200));
            double.add(log, "young", ago(-600));
        }
        let more = format!("signature = \"{signature}\"\nbackfill = \"4300h\"");
        let edge = edge(&double, &more);
        let all = arrived(&edge, &expected);
        assert_eq!(all.len(), expected.len(), "each once");
        let login = all.iter().find(|event| event["message"].as_str().unwrap().contains("authentication-0")).unwrap();
        assert_eq!(login["sapphire"]["feed"], format!("{HOST}/authentication"));
        assert_eq!((&login["sapphire"]["source"], &login["sapphire"]["transport"]), (&json!("duo"), &json!("https")));
        let settled = |line: &Line| line.count(Count::ReceivedEvents) == line.count(Count::SettledEvents);
        let line = edge.line(Component::Source, "duo", |line| line.health.word() == "healthy" && settled(line));
        assert!(line.count(Count::Requests) > 20);
        let state = double.state();
        assert_eq!(state.sins, Vec::<String>::new());
        assert_eq!(state.signatures, BTreeSet::from([signature]));
        drop(state);
        edge.stop();
    }
}

#[test]
fn what_comes_late_or_twice_or_in_one_moment_arrives_once() {
    let double = Duo::start();
    double.state().page = 3;
    double.state().repeats = true;
    let moment = ago(400);
    let mut expected: BTreeSet<String> =
        (0..10).map(|number| double.add("authentication", &format!("same-{number}"), moment)).collect();
    expected
        .extend((0..250).map(|number| double.add("administrator", &format!("admin-{number}"), ago(500 + number / 3))));
    // Fewer in a page than the vendor says.
    double.state().earliest = 100;
    let mut edge = edge(&double, "backfill = \"2h\"");
    arrived(&edge, &expected);
    // Later, in the same moment and before it.
    expected.insert(double.add("authentication", "same-0-late", moment));
    expected.insert(double.add("authentication", "earlier", moment - 150_000));
    expected.insert(double.add("administrator", "late", ago(500)));
    expected.insert(double.add("trust_monitor", "event", ago(300)));
    arrived(&edge, &expected);
    // An event of Trust Monitor that changes is another one.
    let changed = record("trust_monitor", "event", ago(300)).replace("null", "1709633730000");
    double.add_text("trust_monitor", "event", ago(300), &changed);
    expected.insert(changed);
    let before = arrived(&edge, &expected).len();
    assert_eq!(before, expected.len(), "each once");
    let all = u64::try_from(before).unwrap();
    edge.line(Component::Source, "duo", |line| line.count(Count::SettledEvents) >= all);
    edge.kill();
    edge.restart();
    expected.insert(double.add("authentication", "after", ago(121)));
    arrived(&edge, &expected);
    assert_eq!(events(&edge).len(), before + 1, "nothing once more");
    assert_eq!(double.state().sins, Vec::<String>::new());
    edge.stop();
}

#[test]
fn pages_out_of_order_are_read_whole() {
    let double = Duo::start();
    double.state().page = 4;
    double.state().earliest = 100;
    double.state().shuffles = true;
    let mut expected = BTreeSet::new();
    for log in ["authentication", "administrator", "telephony"] {
        expected.extend((0..230).map(|number| double.add(log, &format!("{log}-{number}"), ago(200 + number * 7))));
    }
    let edge = edge(&double, "backfill = \"2h\"");
    assert_eq!(arrived(&edge, &expected).len(), expected.len());
    edge.stop();
}

#[test]
fn a_second_with_more_records_than_duo_gives_is_a_gap_that_is_told() {
    let double = Duo::start();
    let moment = ago(600);
    for number in 0..1_010 {
        double.add("administrator", &format!("{number:04}"), moment);
    }
    let after = double.add("administrator", "after", moment + 5_000);
    let edge = edge(&double, "logs = [\"administrator\"]\nbackfill = \"1h\"");
    until("what comes after", || events(&edge).iter().any(|event| event["message"] == after.as_str()).then_some(()));
    assert_eq!(events(&edge).len(), 1_001);
    edge.log_line(&["no more than 1000 records of one second"]);
    let file = std::fs::read_to_string(edge.folder().join("events.ndjson")).unwrap();
    assert!(file.lines().any(|line| line.contains("\"kind\":\"gap\"") && line.contains("one second")));
    edge.stop();
}

/// The box's clock is wrong by so much; what it says about it.
fn with_clock(by: &str) -> Option<String> {
    let command = program_at(by)?;
    let double = Duo::start();
    let mut expected = BTreeSet::new();
    for log in LOGS {
        expected.insert(double.add(log, log, ago(200)));
    }
    let edge = Appliance::start_with(&settings(&[("duo", double.settings("backfill = \"3h\""))]), command, |_| {});
    arrived(&edge, &expected);
    // A record of the hour by which the clock is ahead.
    expected.insert(double.add("authentication", "next", ago(121)));
    arrived(&edge, &expected);
    assert_eq!(double.state().sins, Vec::<String>::new());
    let said = |line: &Line| line.health.fault().map(|fault| fault.what.clone());
    let line = edge.line(Component::Source, "duo", |line| said(line).is_some_and(|what| what.contains("clock")));
    said(&line)
}

#[test]
fn a_clock_that_is_wrong_by_an_hour_is_said_and_loses_nothing() {
    for (by, side) in [("-1h", "behind the vendor's"), ("+1h", "ahead of the vendor's")] {
        let Some(said) = with_clock(by) else { return };
        assert!(said.contains(side), "{said}");
    }
}
