//! What the queue tells of arrives, once, line by line.

use sapphire_edge::status::{Component, Count, Line};
use serde_json::Value;

use super::{BUCKET, OTHER, Replicator, event, events, message};
use crate::microsoft;
use crate::peers::appliance::{Appliance, until};
use crate::umbrella::gz;

fn text(event: &Value) -> &str {
    event["message"].as_str().unwrap()
}

fn settled(line: &Line) -> bool {
    line.health.word() == "healthy" && line.count(Count::ReceivedEvents) == line.count(Count::SettledEvents)
}

#[test]
fn all_files_of_all_messages_arrive_line_by_line() {
    let Some(mut replicator) = Replicator::start() else { return };
    // As they were: two files and a marker in one message, an inventory elsewhere in another, a name that needs escapes.
    let first = replicator.put("data/0d1f/part-00000.gz", &events("first", 50));
    let second = replicator.put("data/0d1f/part-00001.gz", &events("second", 3_000));
    let marker = replicator.put_as(BUCKET, "data/0d1f/_SUCCESS", b"");
    replicator.tell(BUCKET, "data/0d1f", &[&first, &marker, &second]);
    let row = r#"{"ComputerName":"PC-042","aid":"0123","Time":"1705904285"}"#.to_owned();
    replicator.write(
        "fdrv2/aidmaster",
        "batch=a/platform=Win+ü&/year=2026/day=5/x y%3A.txt.gz",
        std::slice::from_ref(&row),
    );
    // Several members, not packed, without a line end, blank lines, carriage returns, nothing at all, no JSON.
    let lines: Vec<String> = (0..6).map(|number| event("DnsRequest", &format!("odd-{number}"))).collect();
    let odd = [
        replicator.put_as(OTHER, "data/1/a.gz", &[gz(&format!("{}\n", lines[0])), gz(&lines[1])].concat()),
        replicator.put_as(OTHER, "data/1/b", format!("\n\r\n{}\r\n \n{}", lines[2], lines[3]).as_bytes()),
        replicator.put_as(OTHER, "data/1/c.gz", &gz(&format!("{}\nno JSON\n{}", lines[4], lines[5]))),
        replicator.put_as(OTHER, "data/1/d.gz", &gz("")),
    ];
    replicator.tell(OTHER, "data/1", &odd.iter().map(String::as_str).collect::<Vec<_>>());
    replicator.expected.extend(lines);
    replicator.expected.insert("no JSON".to_owned());
    let edge = replicator.edge("");
    let all = replicator.arrived(&edge);
    assert_eq!(all.len(), replicator.expected.len(), "each once");
    let inventory = all.iter().find(|event| text(event) == row).unwrap();
    assert_eq!(
        (&inventory["sapphire"]["feed"], &inventory["sapphire"]["source"]),
        (&"files".into(), &"falcon_replicator".into())
    );
    let own = all.iter().find(|event| text(event).contains("first-0-")).unwrap();
    assert_eq!(own["@timestamp"], "2024-01-22T06:18:05.259Z");
    let line = edge.line(Component::Source, "falcon_replicator", settled);
    assert_eq!(line.count(Count::ReceivedEvents), all.len() as u64);
    assert_eq!((replicator.reads(&marker), replicator.reads(&second)), (0, 1));
    edge.stop();
}

#[test]
fn what_is_told_twice_comes_once_also_after_a_restart() {
    let Some(mut replicator) = Replicator::start() else { return };
    let path = replicator.write("data/0d1f", "part-00000.gz", &events("once", 20));
    let again = message(BUCKET, path.rsplit_once('/').unwrap().0, &[&path]);
    // In one batch of messages, while the box runs, and after it was killed.
    replicator.aws.send(&again);
    let mut edge = replicator.edge("");
    assert_eq!(replicator.arrived(&edge).len(), 20);
    replicator.aws.send(&again);
    replicator.all_deleted();
    edge.kill();
    edge.restart();
    replicator.aws.send(&again);
    replicator.write("data/0d20", "part-00000.gz", &events("next", 1));
    assert_eq!(replicator.arrived(&edge).len(), 21);
    assert_eq!(replicator.reads(&path), 1);
    edge.stop();
}

#[test]
fn a_message_is_deleted_only_when_its_events_are_settled() {
    let Some(mut replicator) = Replicator::start() else { return };
    replicator.write("data/0d1f", "part-00000.gz", &events("kept", 20));
    // Nobody takes the events, and they become durable late.
    let settings = replicator.settings("visibility_timeout = \"1m\"").replacen(
        microsoft::FILE,
        "[queue]\nflush_after = \"4s\"\n[[output]]\nid = \"gateway\"\ntype = \"lumberjack\"\ntransport = \"tcp\"\nendpoint = [\"127.0.0.1:1\"]\n",
        1,
    );
    let edge = Appliance::start(&settings);
    let line = edge.line(Component::Source, "falcon_replicator", |line| line.count(Count::ReceivedEvents) == 20);
    assert_eq!((line.count(Count::SettledEvents), replicator.aws.waiting()), (0, 1));
    // It goes with the flush.
    let waiting = || (replicator.aws.waiting() == 0).then_some(());
    until("the message is deleted", waiting);
    edge.line(Component::Source, "falcon_replicator", |line| line.count(Count::SettledEvents) == 20);
    edge.stop();
}

#[test]
fn only_what_is_wanted_is_sent_and_what_is_too_long_is_cut_and_marked() {
    let Some(mut replicator) = Replicator::start() else { return };
    let wanted =
        [event("ProcessRollup2", "yes"), event("SyntheticProcessRollup2", "yes"), r#"{"nameless":1}"#.to_owned()];
    let mut lines = wanted.to_vec();
    lines.extend([event("SensorHeartbeat", "no"), event("DnsRequest", "no")]);
    let long = event("ProcessRollup2", &"x".repeat(9_000));
    lines.extend([long.clone(), event("DnsRequest", &"x".repeat(9_000))]);
    replicator.write("data/0d1f", "part-00000.gz", &lines);
    let other = replicator.write("fdrv2/userinfo", "part-00000.gz", &[event("ProcessRollup2", "elsewhere")]);
    replicator.expected = wanted.into_iter().chain([long.get(..4_096).unwrap().to_owned()]).collect();
    let edge = replicator.edge(
        "folders = [\"data\", \"aidmaster\"]\nevents = [\"ProcessRollup2\", \"SyntheticProcessRollup2\", \"DnsRequest\"]\n\
         skip_events = [\"DnsRequest\"]\nmax_event = \"4KiB\"",
    );
    let all = replicator.arrived(&edge);
    let cut: Vec<_> = all.iter().filter(|event| text(event).len() == 4_096).collect();
    assert_eq!((all.len(), cut.len()), (4, 1));
    assert!(cut[0].to_string().contains(&long.len().to_string()), "{}", cut[0]);
    edge.line(Component::Source, "falcon_replicator", |line| line.count(Count::CutEvents) == 1);
    assert_eq!(replicator.reads(&other), 0);
    edge.stop();
}

#[test]
fn a_file_that_breaks_off_goes_on_behind_what_is_here() {
    let Some(mut replicator) = Replicator::start() else { return };
    let path = replicator.write("data/0d1f", "part-00000.gz", &events("long", 9_000));
    replicator.aws.cut("part-00000", 2);
    let mut edge = replicator.edge("");
    assert_eq!(replicator.arrived(&edge).len(), 9_000, "each once");
    assert_eq!(replicator.reads(&path), 1);
    // The same over a kill in the middle: what is durable does not come twice.
    let path = replicator.put("data/0d20/part-00001.gz", &events("killed", 40_000));
    replicator.aws.hold("part-00001");
    replicator.tell(BUCKET, "data/0d20", &[&path]);
    edge.line(Component::Source, "falcon_replicator", |line| line.count(Count::SettledEvents) > 15_000);
    edge.kill();
    replicator.aws.mend();
    edge.restart();
    let all = replicator.arrived(&edge).len();
    assert!(all < 49_000 + 20_000, "it began anew: {all}");
    edge.stop();
}
