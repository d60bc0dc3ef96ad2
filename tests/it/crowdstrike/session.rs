//! Sessions: kept by a timer of their own, and opened anew when they end.

use std::time::Duration;

use sapphire_edge::clock::monotonic;
use sapphire_edge::status::{Component, Count};
use serde_json::json;

use super::{all, arrived, edge, gaps};
use crate::peers::appliance::until;
use crate::peers::crowdstrike::{Falcon, event, now_ms};
use crate::peers::https::Response;

const AUDIT: &str = "AuthActivityAuditEvent";
/// How the connections were made, in the double's log.
const CONNECT: &str = "/datafeed/v1/0";

fn connects(double: &Falcon) -> usize {
    double.state().asked.iter().filter(|asked| asked.contains(CONNECT)).count()
}

#[test]
fn a_quiet_stream_is_kept_by_refreshes_and_one_that_fails_once_is_tried_again() {
    let double = Falcon::start(&["0"]);
    double.state().interval = 2;
    // A token lives shorter than the test: it is renewed on the way.
    double.state().lifetime = 3;
    double.fault("datafeed-actions", 1, Response::text(500, "{}"));
    let edge = edge(&double, "");
    until("four refreshes", || (double.state().refreshes >= 4).then_some(()));
    assert_eq!(connects(&double), 1, "the stream was never opened anew: {:#?}", double.state().asked);
    double.event("0", AUDIT);
    arrived(&edge, &all(&double));
    assert!(double.state().tokens.len() >= 2, "tokens were renewed");
    assert_eq!(double.state().sins, Vec::<String>::new());
    edge.stop();
}

#[test]
fn without_refreshes_all_streams_are_opened_anew() {
    let double = Falcon::start(&["0", "1"]);
    double.state().interval = 2;
    double.fault("datafeed-actions", usize::MAX, Response::text(404, "{}"));
    let edge = edge(&double, "");
    for round in 0..3 {
        let before = connects(&double);
        double.event("0", AUDIT);
        double.event("1", "UserActivityAuditEvent");
        until("the next session", || (connects(&double) > before).then_some(round));
    }
    arrived(&edge, &all(&double));
    double.no_faults();
    double.event("1", "UserActivityAuditEvent");
    arrived(&edge, &all(&double));
    edge.line(Component::Source, "crowdstrike", |line| line.health.word() == "healthy");
    assert_eq!(double.state().sins, Vec::<String>::new());
    edge.stop();
}

#[test]
fn an_old_session_token_leads_to_discovery_and_a_new_partition_comes_with_it() {
    let double = Falcon::start(&["0"]);
    double.state().token_life = Duration::from_millis(1);
    let edge = edge(&double, "");
    // Refused from the first try on, with words.
    edge.line(Component::Source, "crowdstrike", |line| {
        line.health.fault().is_some_and(|fault| fault.what.contains("no longer takes the session"))
    });
    double.state().token_life = Duration::from_secs(600);
    double.event("0", AUDIT);
    arrived(&edge, &all(&double));
    // The stream ends, its token has aged, and meanwhile there is one partition more.
    double.state().partitions.insert("1".to_owned(), Vec::new());
    double.event("1", "UserActivityAuditEvent");
    for session in double.state().sessions.values_mut() {
        session.until = monotonic();
    }
    double.event("0", AUDIT);
    arrived(&edge, &all(&double));
    edge.line(Component::Source, "crowdstrike", |line| line.health.word() == "healthy");
    assert_eq!(double.state().sins, Vec::<String>::new());
    edge.stop();
}

#[test]
fn a_stream_that_says_nothing_at_all_is_connected_anew() {
    let double = Falcon::start(&["0"]);
    double.state().manner.is_mute = true;
    let edge = edge(&double, "read_timeout = \"1s\"");
    edge.line(Component::Source, "crowdstrike", |line| {
        line.health.fault().is_some_and(|fault| fault.what.contains("sent nothing for 1s"))
    });
    double.state().manner.is_mute = false;
    double.event("0", AUDIT);
    arrived(&edge, &all(&double));
    edge.line(Component::Source, "crowdstrike", |line| line.health.word() == "healthy");
    edge.stop();
}

#[test]
fn a_longer_stop_than_the_vendor_keeps_events_is_told() {
    let double = Falcon::start(&["0"]);
    let old = now_ms() - 8 * 86_400_000;
    double.line("0", Some(7), &event(7, AUDIT, old, ""));
    let mut edge = edge(&double, "");
    arrived(&edge, &all(&double));
    edge.line(Component::Source, "crowdstrike", |line| line.count(Count::SettledEvents) == 1);
    edge.kill();
    let first = event(50, AUDIT, now_ms(), "");
    double.line("0", Some(50), &first);
    edge.restart();
    arrived(&edge, &all(&double));
    let gap = until("the gap", || gaps(&edge).first().cloned());
    let message = gap["message"].as_str().unwrap();
    assert!(message.contains("begins at offset 50, not 8"), "{message}");
    assert_eq!((&gap["notice"]["source"], &gap["notice"]["feed"]), (&json!("crowdstrike"), &json!("partition-0")));
    edge.log_line(&["started name="]);
    edge.stop();
}

#[test]
fn a_vendor_that_counts_anew_loses_nothing_and_is_told() {
    let double = Falcon::start(&["0"]);
    let earlier = now_ms() - 60_000;
    double.line("0", Some(700), &event(700, AUDIT, earlier, ""));
    let edge = edge(&double, "");
    arrived(&edge, &all(&double));
    double.line("0", Some(3), &event(3, AUDIT, now_ms(), ""));
    arrived(&edge, &all(&double));
    let gap = until("the gap", || gaps(&edge).first().cloned());
    let message = gap["message"].as_str().unwrap();
    assert!(message.contains("counts anew, from 3 after 700"), "{message}");
    edge.stop();
}
