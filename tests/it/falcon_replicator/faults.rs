//! What goes wrong at the vendor → what the box says. And whatever goes wrong, the queue goes on and the secret is not said.

use std::collections::BTreeSet;

use sapphire_edge::status::{Component, Count, Line};
use serde_json::{Value, json};

use super::{BUCKET, Replicator, TENANT, event, events, message};
use crate::microsoft;
use crate::peers::appliance::{Appliance, until};
use crate::umbrella::gz;

fn said(line: &Line) -> String {
    line.health.fault().map(|fault| format!("{}; {}", fault.what, fault.todo)).unwrap_or_default()
}

fn no_secret_is_said(edge: &Appliance, secret: &str) {
    let status = serde_json::to_string(&edge.status().unwrap()).unwrap();
    let file = std::fs::read_to_string(edge.folder().join("events.ndjson")).unwrap_or_default();
    for (place, text) in [("status", &status), ("log", &edge.all_lines()), ("file", &file)] {
        assert!(!text.contains(secret), "the secret is in the {place}");
    }
}

/// Waits until it says this.
fn says(edge: &Appliance, health: &str, what: &str, todo: &str) {
    let line = edge.line(Component::Source, "falcon_replicator", |line| said(line).contains(what));
    assert!(said(&line).contains(todo), "{}", said(&line));
    assert_eq!(line.health.word(), health);
}

fn recovers(edge: &Appliance) {
    edge.line(Component::Source, "falcon_replicator", |line| line.health.word() == "healthy");
}

/// The events that say that something is lost: their reasons.
fn gaps(edge: &Appliance) -> Vec<String> {
    let text = std::fs::read_to_string(edge.folder().join("events.ndjson")).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let events = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let gaps = events.filter(|event| event["notice"]["kind"] == "gap");
    gaps.map(|event| event["notice"]["reason"].as_str().unwrap().to_owned()).collect()
}

/// Waits until there is one gap for each of these words, and no other.
fn has_gaps(edge: &Appliance, words: &[&str]) {
    let mut found = Vec::new();
    until("the gaps", || {
        found = gaps(edge);
        words.iter().all(|word| found.iter().any(|gap| gap.contains(word))).then_some(())
    });
    assert_eq!(found.len(), words.len(), "{found:#?}");
}

#[test]
fn keys_and_rights_that_are_missing_are_said_and_taken_into_use_by_themselves() {
    let Some(mut replicator) = Replicator::start() else { return };
    let secret = replicator.aws.about["secret"].as_str().unwrap().to_owned();
    let edge = replicator.edge("");
    recovers(&edge);
    replicator.aws.write_secret("wrong");
    says(&edge, "failed", "the secret access key does not belong to the access key id", "secret_access_key_file");
    replicator.aws.write_secret("");
    says(&edge, "failed", "is empty", "secret_access_key_file");
    replicator.aws.write_secret(&secret);
    recovers(&edge);
    for (right, rest) in [
        ("ReceiveMessage", json!(["sqs:DeleteMessage", "sqs:ChangeMessageVisibility"])),
        ("DeleteMessage", json!(["sqs:ReceiveMessage", "sqs:ChangeMessageVisibility"])),
    ] {
        replicator.aws.tell(&json!({ "do": "rights", "empty": rest }));
        replicator.write("data/0d1f", &format!("{right}.gz"), &events(right, 5));
        says(&edge, "failed", &format!("the SQS queue refuses the access key for {right}"), "sqs:DeleteMessage");
        replicator.aws.tell(&json!({ "do": "rights" }));
        assert_eq!(replicator.arrived(&edge).len(), replicator.expected.len(), "each once");
        recovers(&edge);
    }
    // So many files that are refused are no accident.
    replicator.aws.tell(&json!({ "do": "rights", "read": [] }));
    let paths: Vec<String> = (0..14)
        .map(|number| replicator.put(&format!("data/0d20/{number}.gz"), &events(&number.to_string(), 5)))
        .collect();
    replicator.tell(BUCKET, "data/0d20", &paths.iter().map(String::as_str).collect::<Vec<_>>());
    says(&edge, "failed", &format!("the bucket {BUCKET} refuses the access key"), "of the same feed");
    replicator.aws.tell(&json!({ "do": "rights" }));
    assert_eq!(replicator.arrived(&edge).len(), replicator.expected.len(), "each once");
    recovers(&edge);
    assert_eq!(gaps(&edge), Vec::<String>::new());
    no_secret_is_said(&edge, &secret);
    edge.stop();
}

#[test]
fn a_key_that_was_replaced_is_said_until_the_new_one_is_there() {
    let Some(mut replicator) = Replicator::start() else { return };
    let edge = replicator.edge("");
    recovers(&edge);
    let new = replicator.aws.tell(&json!({ "do": "revoke" }));
    replicator.write("data/0d1f", "part-00000.gz", &events("later", 5));
    says(&edge, "failed", "SQS does not know this access key", "Falcon data replicator");
    replicator.aws.write_secret(new["secret"].as_str().unwrap());
    replicator.aws.about["id"] = new["id"].clone();
    edge.reload(&replicator.settings(""));
    replicator.arrived(&edge);
    recovers(&edge);
    edge.stop();
}

#[test]
fn a_queue_that_is_not_there_is_said() {
    let Some(replicator) = Replicator::start() else { return };
    let settings = replicator.settings("").replace("cs-prod-cannon-queue", "cs-prod-cannon-quern");
    let edge = Appliance::start(&settings);
    says(&edge, "failed", "there is no such SQS queue", "Falcon console");
    edge.stop();
}

#[test]
fn of_a_message_whose_first_file_is_refused_the_second_arrives_and_then_the_first() {
    let Some(mut replicator) = Replicator::start() else { return };
    let paths =
        ["part-00000", "part-00001"].map(|name| replicator.put(&format!("data/0d1f/{name}.gz"), &events(name, 50)));
    replicator.aws.refuse("0d1f/part-00000", u32::MAX, 403, "AccessDenied");
    replicator.tell(BUCKET, "data/0d1f", &[&paths[0], &paths[1]]);
    let edge = replicator.edge("");
    until("the second file", || (microsoft::events(&edge).len() == 50).then_some(()));
    assert!(microsoft::events(&edge).iter().all(|event| event["message"].as_str().unwrap().contains("part-00001")));
    says(&edge, "degraded", &format!("the file {} cannot be read", paths[0]), "of the same feed");
    assert_eq!(replicator.aws.waiting(), 1, "its message is kept");
    // Others do not wait for it.
    let (other, mine) = (events("other", 10), std::mem::take(&mut replicator.expected));
    replicator.write("data/0d20", "part-00000.gz", &other);
    until("the other message", || (microsoft::events(&edge).len() == 60).then_some(()));
    until("its message alone", || (replicator.aws.waiting() == 1).then_some(()));
    replicator.aws.mend();
    replicator.expected.extend(mine);
    assert_eq!(replicator.arrived(&edge).len(), 110, "each once");
    assert_eq!((replicator.reads(&paths[0]), replicator.reads(&paths[1])), (1, 1));
    recovers(&edge);
    assert_eq!(gaps(&edge), Vec::<String>::new());
    edge.stop();
}

#[test]
fn busy_servers_and_broken_links_lose_and_repeat_nothing() {
    let Some(mut replicator) = Replicator::start() else { return };
    let paths = ["part-0", "part-1", "part-2"]
        .map(|name| replicator.put(&format!("data/0d1f/{name}.gz"), &events(name, 2_000)));
    replicator.aws.refuse("part-0", 2, 503, "SlowDown");
    // More often than it is tried in place: its message brings it again.
    replicator.aws.cut("part-1", 5);
    replicator.aws.refuse("part-2", 4, 500, "InternalError");
    replicator.tell(BUCKET, "data/0d1f", &paths.each_ref().map(String::as_str));
    let edge = replicator.edge("");
    assert_eq!(replicator.arrived(&edge).len(), 6_000, "each once");
    recovers(&edge);
    assert_eq!(gaps(&edge), Vec::<String>::new());
    edge.stop();
}

#[test]
fn what_can_never_be_read_is_a_gap_and_holds_up_nobody() {
    let Some(mut replicator) = Replicator::start() else { return };
    let gone = format!("{TENANT}/data/0d1f/gone.gz");
    let cold = replicator.put_as(BUCKET, "data/0d1f/cold.gz", &gz(&event("x", "cold")));
    replicator.aws.refuse("cold.gz", u32::MAX, 403, "InvalidObjectState");
    let half = events("half", 2_000);
    let mut packed = gz(&half.join("\n"));
    packed.truncate(packed.len() / 2);
    let cut = replicator.put_as(BUCKET, "data/0d1f/cut.gz", &packed);
    let mut packed = gz(&events("flipped", 2_000).join("\n"));
    let middle = packed.len() / 2;
    packed[middle..middle + 64].fill(0);
    let flipped = replicator.put_as(BUCKET, "data/0d1f/flipped.gz", &packed);
    let good = replicator.put("data/0d1f/good.gz", &events("good", 10));
    replicator.tell(BUCKET, "data/0d1f", &[&gone, &cold, &cut, &flipped, &good]);
    let edge = replicator.edge("");
    replicator.all_deleted();
    has_gaps(
        &edge,
        &[
            "gone.gz of cs-prod-cannon-0123456789abcdef was deleted before it could be read",
            "cold.gz of cs-prod-cannon-0123456789abcdef was moved to an archive class",
            "cut.gz of cs-prod-cannon-0123456789abcdef cannot be read after line",
            "flipped.gz of cs-prod-cannon-0123456789abcdef cannot be read after line",
        ],
    );
    recovers(&edge);
    assert_eq!((replicator.reads(&cut), replicator.reads(&flipped)), (3, 3));
    let events = microsoft::events(&edge);
    let of = |word: &str| events.iter().filter(|event| event["message"].as_str().unwrap().contains(word)).count();
    assert_eq!(of("\"good-"), 10);
    assert!(of("\"half-") > 500, "what could be unpacked was sent: {}", of("\"half-"));
    let ids: BTreeSet<_> = events.iter().map(|event| event["event"]["id"].to_string()).collect();
    assert_eq!(ids.len(), events.len(), "and once, though it was fetched three times");
    edge.stop();
}

#[test]
fn messages_that_are_none_and_paths_that_lead_elsewhere_are_told_and_do_not_hold_up_the_queue() {
    let Some(mut replicator) = Replicator::start() else { return };
    let prefix = format!("{TENANT}/data/0d1f");
    replicator.put_as(BUCKET, "secret/x.gz", &gz(&event("x", "stolen")));
    let outside = [format!("{prefix}/../../secret/x.gz"), format!("{TENANT}/secret/x.gz"), "/etc/passwd".to_owned()];
    let good = replicator.put("data/0d1f/good.gz", &events("good", 10));
    let mut paths: Vec<&str> = outside.iter().map(String::as_str).collect();
    paths.push(&good);
    replicator.aws.send(&message(BUCKET, &prefix, &paths));
    replicator.aws.send("no JSON at all");
    replicator
        .aws
        .send(r#"{"Records":[{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"x"},"object":{"key":"y"}}}]}"#);
    replicator.aws.send(&message("not/a.bucket", "data", &["data/x.gz"]));
    let edge = replicator.edge("");
    assert_eq!(replicator.arrived(&edge).len(), 10);
    has_gaps(
        &edge,
        &[
            "/../../secret/x.gz",
            &format!("outside its folder: \"{TENANT}/secret"),
            "/etc/passwd",
            "no JSON: \"no JSON at all\"",
            "none of the replicator",
            "a bucket that can be none: \"not/a.bucket\"",
        ],
    );
    edge.line(Component::Source, "falcon_replicator", |line| line.count(Count::ProtocolErrors) == 6);
    recovers(&edge);
    assert_eq!(replicator.reads("x.gz"), 0);
    // A bucket that is not there costs its own message only, which is kept.
    replicator.aws.refuse("cs-prod-cannon-elsewhere", u32::MAX, 404, "NoSuchBucket");
    replicator.tell("cs-prod-cannon-elsewhere", "data/0d21", &[&format!("{TENANT}/data/0d21/x.gz")]);
    says(&edge, "degraded", "there is no bucket cs-prod-cannon-elsewhere", "CrowdStrike");
    replicator.write("data/0d22", "part-00000.gz", &events("behind", 10));
    until("what is behind it", || (microsoft::events(&edge).len() == 20).then_some(()));
    until("its message alone", || (replicator.aws.waiting() == 1).then_some(()));
    edge.stop();
}
