//! What is in the bucket arrives, once, row by row.

use std::collections::BTreeSet;

use sapphire_edge::status::{Component, Count, Line};
use serde_json::json;

use super::{arrived, dns, edge, gz, name, put, rows};
use crate::peers::appliance::until;
use crate::peers::s3::{PREFIX, S3};

const DAY: i64 = 86_400;

fn settled(line: &Line) -> bool {
    line.health.word() == "healthy" && line.count(Count::ReceivedEvents) == line.count(Count::SettledEvents)
}

#[test]
fn all_folders_arrive_row_by_row_in_whatever_form_they_are() {
    let double = S3::start();
    let mut expected = BTreeSet::new();
    for number in 0..7 {
        let rows: Vec<String> = (0..5).map(|row| dns(&format!("{number}-{row}"))).collect();
        put(&double, &name(&double, "dnslogs", number * 80_000, "a1b2"), &rows, &mut expected);
    }
    // A header, blanks after commas, a line end in quotes; other folders, counts and schemas.
    let audit = "\"\", \"2026-01-05 10:03:19\", \"a@example.com\", \"A\", \"users\", \"update\", \"192.0.2.1\", \"x: 1\ny: 2\", \"\"";
    let key = double
        .put(&name(&double, "auditlogs", 60, "hhhh"), gz(&format!("\"id\",\"timestamp\",\"email\"\r\n{audit}\r\n")));
    expected.insert((key, audit.to_owned()));
    let wide =
        |count: usize| (1..count).fold("\"2026-01-05 10:03:19\"".to_owned(), |row, at| format!("{row},\"c{at}\""));
    put(&double, &name(&double, "proxylogs", 60, "pppp"), &[wide(49), wide(12), wide(51)], &mut expected);
    put(&double, &name(&double, "firewalllogs", 60, "ffff"), &[wide(16)], &mut expected);
    let new = put(&double, "newlogs/2026-01-05/odd name ü+&.bin", &["what,ever".to_owned()], &mut expected);
    // Two members, one after the other; nothing; not packed; without a line end.
    let two = double.put(&name(&double, "iplogs", 50, "2222"), [gz(&format!("{}\n", wide(7))), gz(&wide(6))].concat());
    expected.extend([(two.clone(), wide(7)), (two, wide(6))]);
    double.put(&name(&double, "iplogs", 50, "eeee"), gz(""));
    let plain = double.put(&name(&double, "iplogs", 50, "plain"), wide(5).into_bytes());
    expected.insert((plain, wide(5)));
    // No log.
    double.put("README_FROM_UMBRELLA.txt", b"token".to_vec());
    let edge = edge(&double, "");
    let all = arrived(&edge, &expected);
    assert_eq!(all.len(), expected.len(), "each once");
    let of = |folder: &str| all.iter().filter(|row| row.record["folder"] == folder).cloned().collect::<Vec<_>>();
    let dns = &of("dnslogs")[0];
    assert_eq!(dns.event["@timestamp"], "2026-01-05T10:03:19.000Z");
    assert_eq!(dns.event["sapphire"]["feed"], "dnslogs");
    assert_eq!(
        (&dns.record["columns"]["identities"], &dns.record["columns"]["action"]),
        (&json!("laptop,Doe, Jane"), &json!("Allowed"))
    );
    let audit = &of("auditlogs")[0].record;
    assert_eq!((&audit["row"], &audit["columns"]["timestamp"]), (&json!(2), &json!("2026-01-05 10:03:19")));
    let proxy = of("proxylogs");
    assert!(proxy.iter().any(|row| row.record["columns"]["extra_2"] == "c50"));
    assert!(proxy.iter().any(|row| row.record["columns"]["organization_id"] == "c48"));
    let unknown = &of("newlogs")[0].record;
    assert_eq!((unknown.get("columns"), unknown["object"].as_str()), (None, Some(new.as_str())));
    edge.line(Component::Source, "umbrella", settled);
    assert_eq!(double.state().sins, BTreeSet::new());
    edge.stop();
}

#[test]
fn what_is_uploaded_late_or_anew_arrives_and_nothing_comes_twice() {
    let double = S3::start();
    let mut expected = BTreeSet::new();
    let first = name(&double, "dnslogs", 600, "mmmm");
    put(&double, &first, &[dns("first")], &mut expected);
    let mut edge = edge(&double, "");
    arrived(&edge, &expected);
    // The same minute with a smaller suffix, one of yesterday, and one that look_back does not reach.
    put(&double, &first.replace("mmmm", "aaaa"), &[dns("smaller")], &mut expected);
    put(&double, &name(&double, "dnslogs", 26 * 3_600, "yyyy"), &[dns("yesterday")], &mut expected);
    arrived(&edge, &expected);
    put(&double, &name(&double, "dnslogs", 5 * DAY, "late"), &[dns("late")], &mut expected);
    // A day later by the vendor's clock everything is listed.
    double.state().ahead = 25 * 3_600;
    arrived(&edge, &expected);
    edge.line(Component::Source, "umbrella", |line| line.count(Count::LateObjects) == 1);
    edge.log_line(&["came later than look_back reaches"]);
    let before = u64::try_from(rows(&edge).len()).unwrap();
    assert_eq!(before, 4);
    edge.line(Component::Source, "umbrella", |line| line.count(Count::SettledEvents) >= before);
    edge.kill();
    edge.restart();
    // Another content under the same name is another object, and its rows have other ids.
    put(&double, &first, &[dns("again"), dns("first")], &mut expected);
    until("the rows of the new content", || (rows(&edge).len() == 6).then_some(()));
    let texts: BTreeSet<_> = rows(&edge).iter().map(|row| row.event["event"]["id"].to_string()).collect();
    assert_eq!(texts.len(), 6);
    let read = double.state().read.iter().filter(|key| !key.contains("mmmm")).count();
    assert_eq!(read, 3, "nothing was read twice");
    assert!(double.state().listed.iter().flatten().all(|after| after.starts_with(&format!("{PREFIX}/dnslogs/"))));
    assert_eq!(double.state().sins, BTreeSet::new());
    edge.log_line(&["started name="]);
    edge.stop();
}

#[test]
fn a_new_folder_is_found_while_it_runs_and_children_have_folders_of_their_own() {
    let double = S3::start();
    let mut expected = BTreeSet::new();
    let edge = edge(&double, "");
    let line = edge.line(Component::Source, "umbrella", |line| line.health.word() == "degraded");
    assert!(line.health.fault().unwrap().todo.contains("up to two hours"));
    put(&double, &name(&double, "dnslogs", 60, "aaaa"), &[dns("one")], &mut expected);
    arrived(&edge, &expected);
    put(&double, &name(&double, "7654321/dnslogs", 60, "aaaa"), &[dns("child")], &mut expected);
    let all = arrived(&edge, &expected);
    assert!(all.iter().any(|row| row.event["sapphire"]["feed"] == "7654321/dnslogs"));
    assert_eq!(all.len(), 2, "what was settled does not come again");
    edge.line(Component::Source, "umbrella", settled);
    edge.stop();
}
