//! What goes wrong at the vendor → what the box says. And whatever goes wrong, the secret is not said.

use std::collections::BTreeSet;

use sapphire_edge::status::{Component, Count, Line};

use super::{arrived, dns, edge, gz, name, put, rows, settings};
use crate::peers::appliance::{Appliance, program_at, until};
use crate::peers::https::Response;
use crate::peers::s3::{S3, SECRET, error, stamp};

fn said(line: &Line) -> String {
    line.health.fault().map(|fault| format!("{}; {}", fault.what, fault.todo)).unwrap_or_default()
}

fn no_secret_is_said(edge: &Appliance) {
    let status = serde_json::to_string(&edge.status().unwrap()).unwrap();
    let file = std::fs::read_to_string(edge.folder().join("events.ndjson")).unwrap_or_default();
    for (place, text) in [("status", &status), ("log", &edge.all_lines()), ("file", &file)] {
        assert!(!text.contains(SECRET), "the secret is in the {place}");
    }
}

/// The box says so while the fault lasts, and goes on by itself afterwards.
fn says(more: &str, response: Response, what: &str, todo: &str) {
    let double = S3::start();
    let mut expected = BTreeSet::new();
    put(&double, &name(&double, "dnslogs", 60, "aaaa"), &[dns("one")], &mut expected);
    double.fault("list-type=2", usize::MAX, response);
    let edge = edge(&double, more);
    let line = edge.line(Component::Source, "umbrella", |line| said(line).contains(what));
    assert!(said(&line).contains(todo), "{}", said(&line));
    assert_eq!(line.health.word(), "failed");
    double.state().faults.clear();
    arrived(&edge, &expected);
    no_secret_is_said(&edge);
    edge.stop();
}

#[test]
fn refusals_are_said_in_words() {
    let old = stamp(jiff::Timestamp::now().as_second() - 91 * 86_400, "key_created = \"%Y-%m-%d\"");
    for (more, response, what, todo) in [
        ("", error(403, "InvalidAccessKeyId", ""), "does not know this access key", "Admin > Log Management"),
        (
            "",
            error(403, "SignatureDoesNotMatch", ""),
            "the secret access key does not belong",
            "secret_access_key_file",
        ),
        (
            "",
            error(403, "AccessDenied", ""),
            "refuses the access key for this prefix (403 AccessDenied)",
            "check prefix",
        ),
        (
            &old,
            error(403, "AccessDenied", ""),
            "the access key is 91 days old: Cisco refuses it since",
            "rotate the key",
        ),
        ("", error(404, "NoSuchBucket", ""), "there is no bucket cisco-managed-eu-central-1", "region and endpoint"),
        ("", error(301, "PermanentRedirect", ""), "is in another region, not in eu-central-1", "region of this source"),
        (
            "",
            error(301, "PermanentRedirect", "").with("x-amz-bucket-region", "us-west-2"),
            "in the region us-west-2",
            "region of this source",
        ),
        (
            "",
            error(400, "AuthorizationHeaderMalformed", "<Region>us-east-1</Region>"),
            "is in the region us-east-1",
            "region of this source",
        ),
        ("", error(503, "SlowDown", ""), "wants fewer requests (SlowDown)", "by itself"),
        ("", Response::text(502, "<html>front door</html>"), "is not well and answered with 502", "by itself"),
        ("", Response::text(200, "<html>a proxy's page</html>"), "is no list", "the proxy"),
        ("", Response::text(407, "<html>proxy</html>"), "refused a request with 407", "the proxy"),
    ] {
        says(more, response, what, todo);
    }
}

#[test]
fn a_key_that_will_end_is_told_in_time() {
    let double = S3::start();
    let mut expected = BTreeSet::new();
    put(&double, &name(&double, "dnslogs", 60, "aaaa"), &[dns("one")], &mut expected);
    let edge = edge(&double, &stamp(double.state().now() - 80 * 86_400, "key_created = \"%Y-%m-%d\""));
    arrived(&edge, &expected);
    let line = edge.line(Component::Source, "umbrella", |line| line.health.word() == "degraded");
    assert!(said(&line).contains("the access key is 80 days old: Cisco refuses it from day 90 on"), "{}", said(&line));
    edge.stop();
}

#[test]
fn broken_links_and_busy_servers_lose_and_repeat_nothing() {
    let double = S3::start();
    let mut expected = BTreeSet::new();
    let long: Vec<String> = (0..6_000).map(|row| dns(&format!("{:x}-{row}", rand::random::<u64>()))).collect();
    put(&double, &name(&double, "dnslogs", 60, "long"), &long, &mut expected);
    put(&double, &name(&double, "dnslogs", 50, "next"), &[dns("next")], &mut expected);
    double.state().cuts = 3;
    double.fault("next.csv.gz", 2, error(503, "SlowDown", ""));
    let edge = edge(&double, "");
    assert_eq!(arrived(&edge, &expected).len(), expected.len(), "each once");
    edge.line(Component::Source, "umbrella", |line| line.health.word() == "healthy");
    edge.stop();
}

#[test]
fn an_object_that_cannot_be_had_is_a_gap_and_holds_up_nobody() {
    let double = S3::start();
    let mut expected = BTreeSet::new();
    double.put(&name(&double, "dnslogs", 90, "gone"), gz(&dns("gone")));
    double.fault("gone.csv.gz", usize::MAX, error(404, "NoSuchKey", ""));
    double.put(&name(&double, "dnslogs", 80, "cold"), gz(&dns("cold")));
    double.fault("cold.csv.gz", usize::MAX, error(403, "InvalidObjectState", ""));
    // Random rows, so that the part that is there unpacks to whole rows.
    let half: Vec<String> = (0..2_000).map(|row| dns(&format!("{:x}-{row}", rand::random::<u64>()))).collect();
    let mut packed = gz(&half.join("\n"));
    packed.truncate(packed.len() / 2);
    let cut = double.put(&name(&double, "dnslogs", 70, "half"), packed);
    put(&double, &name(&double, "dnslogs", 60, "good"), &[dns("good")], &mut expected);
    let edge = edge(&double, "");
    until("the good row", || rows(&edge).iter().any(|row| row.record["object"] != cut.as_str()).then_some(()));
    edge.log_line(&["records are lost", "gone.csv.gz was deleted before it could be read"]);
    edge.log_line(&["records are lost", "cold.csv.gz was moved to an archive class"]);
    edge.log_line(&["records are lost", "half.csv.gz cannot be read after row", "it ends too early"]);
    edge.line(Component::Source, "umbrella", |line| line.health.word() == "healthy");
    let of_half: Vec<_> = rows(&edge).into_iter().filter(|row| row.record["object"] == cut.as_str()).collect();
    assert!(of_half.len() > 500, "what could be unpacked was sent: {}", of_half.len());
    let ids: BTreeSet<_> = of_half.iter().map(|row| row.event["event"]["id"].to_string()).collect();
    assert_eq!(ids.len(), of_half.len(), "and once, though it was fetched three times");
    assert_eq!(double.state().read.iter().filter(|key| **key == cut).count(), 3);
    edge.stop();
}

#[test]
fn a_clock_that_is_wrong_is_said_and_loses_nothing() {
    let double = S3::start();
    let mut expected = BTreeSet::new();
    put(&double, &name(&double, "dnslogs", 60, "aaaa"), &[dns("one")], &mut expected);
    let Some(command) = program_at("-1h") else { return };
    let edge = Appliance::start_with(&settings(&double, ""), command, |_| {});
    arrived(&edge, &expected);
    let line = edge.line(Component::Source, "umbrella", |line| said(line).contains("clock"));
    assert!(said(&line).contains("behind the vendor's"), "{}", said(&line));
    assert!(line.count(Count::ReceivedEvents) == 1);
}
