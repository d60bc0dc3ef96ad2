//! What is at the vendor arrives, once, byte by byte.

use std::collections::BTreeSet;

use sapphire_edge::status::{Component, Count, Line};
use serde_json::json;

use super::{arrived, edge, events, settings};
use crate::peers::appliance::{Appliance, until};
use crate::peers::microsoft::{Microsoft, TENANT, now, record, rfc3339};

const TYPES: [&str; 5] =
    ["Audit.AzureActiveDirectory", "Audit.Exchange", "Audit.SharePoint", "Audit.General", "DLP.All"];

#[test]
fn all_feeds_of_all_sources_arrive_byte_by_byte() {
    let double = Microsoft::start();
    let mut expected = BTreeSet::new();
    for (at, name) in TYPES.iter().enumerate() {
        for content in 0..5 {
            let records: Vec<String> =
                (0..3).map(|number| record(&format!("{at}-{content}-{number}"), now() - 7_000)).collect();
            // From the last minutes back to nearly a week ago.
            double.content(name, &format!("c{content}"), now() - 120 - content * 130_000, &records);
            expected.extend(records);
        }
    }
    let fields =
        double.state().collections.iter().map(|(path, (field, _))| (path.clone(), field.clone())).collect::<Vec<_>>();
    for (path, field) in fields {
        for number in 0..5 {
            let object =
                json!({ "id": format!("{path}-{number}"), field.as_str(): rfc3339(now() - 100 - number * 90_000) });
            expected.insert(object.to_string());
            double.object(&path, object);
        }
    }
    let short = "backfill = \"168h\"";
    let query = format!("{short}\nqueries = {{ logons = \"DeviceLogonEvents | where {{window}}\" }}");
    let edge = Appliance::start(&settings(&[
        ("office365", double.settings(short)),
        ("graph", double.settings(short)),
        ("defender", double.settings(&query)),
    ]));
    let all = arrived(&edge, &expected);
    assert_eq!(all.len(), expected.len(), "each once");
    let audit = all.iter().find(|event| event["message"].as_str().unwrap().contains("\"0-0-0\"")).unwrap();
    assert_eq!(audit["sapphire"]["feed"], format!("{TENANT}/Audit.AzureActiveDirectory"));
    assert_eq!((&audit["sapphire"]["source"], &audit["sapphire"]["transport"]), (&json!("office365"), &json!("https")));
    assert!(audit["@timestamp"] != audit["event"]["created"], "the record's own time");
    for source in ["office365", "graph", "defender"] {
        let settled = |line: &Line| line.count(Count::ReceivedEvents) == line.count(Count::SettledEvents);
        let line = edge.line(Component::Source, source, |line| line.health.word() == "healthy" && settled(line));
        assert!(line.count(Count::Requests) > 10);
    }
    assert_eq!(double.state().sins, Vec::<String>::new());
    edge.stop();
}

#[test]
fn what_comes_late_or_twice_arrives_once() {
    let double = Microsoft::start();
    let created = now() - 600;
    let (first, late) = (record("first", created), record("late", created));
    double.content("Audit.General", "a", created, std::slice::from_ref(&first));
    let edge = edge(&double, "office365", "content_types = [\"Audit.General\"]\nbackfill = \"2h\"");
    let mut expected = BTreeSet::from([first.clone()]);
    arrived(&edge, &expected);
    // Listed later with the same time, and an earlier one; and a record that is in two contents.
    double.content("Audit.General", "b", created, &[late.clone(), first.clone()]);
    let earlier = record("earlier", created - 3_000);
    double.content("Audit.General", "c", created - 3_000, std::slice::from_ref(&earlier));
    expected.extend([late, earlier]);
    arrived(&edge, &expected);
    // After a restart nothing comes once more, but for the record that the vendor itself has twice.
    // The file may have them before our own disk, which alone makes them settled.
    let before = events(&edge).len();
    let all = u64::try_from(before).unwrap();
    edge.line(Component::Source, "office365", |line| line.count(Count::SettledEvents) >= all);
    let mut edge = edge;
    edge.kill();
    edge.restart();
    let after = record("after", now() - 100);
    double.content("Audit.General", "d", now() - 100, std::slice::from_ref(&after));
    expected.insert(after);
    arrived(&edge, &expected);
    assert_eq!(events(&edge).len(), before + 1);
    edge.stop();
}

#[test]
fn an_object_that_changes_comes_again_and_a_token_is_renewed_in_time() {
    let double = Microsoft::start();
    double.state().lifetime = 4;
    let path = "/v1.0/security/alerts_v2";
    let object = |time: i64| json!({ "id": "alert", "status": "new", "lastUpdateDateTime": rfc3339(time) });
    double.object(path, object(now() - 200));
    let edge = edge(&double, "graph", "feeds = [\"alerts\"]\nbackfill = \"2h\"");
    let mut expected = BTreeSet::from([object(now() - 200).to_string()]);
    let first = until("the alert", || events(&edge).first().cloned());
    expected.clear();
    expected.insert(first["message"].as_str().unwrap().to_owned());
    let changed = object(now() - 61);
    double.object(path, changed.clone());
    expected.insert(changed.to_string());
    assert_eq!(arrived(&edge, &expected).len(), 2);
    until("several tokens", || (double.state().tokens.len() >= 3).then_some(()));
    edge.line(Component::Source, "graph", |line| line.health.word() == "healthy");
    edge.stop();
}

#[test]
fn certificates_work_on_both_token_endpoints() {
    let double = Microsoft::start();
    let credential = super::official::certificate(&double);
    double.content("Audit.General", "a", now() - 300, &[record("one", now())]);
    for version in ["v1", "v2"] {
        let more = format!("content_types = [\"Audit.General\"]\nbackfill = \"1h\"\ntoken_version = \"{version}\"");
        let edge = Appliance::start(&settings(&[("office365", double.settings_of(&credential, &more))]));
        until("the record", || (events(&edge).len() == 1).then_some(()));
        edge.stop();
    }
    assert!(double.state().assertions.len() >= 2);
}
