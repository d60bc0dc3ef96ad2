//! Outside opinions: AWS's own library against the double, and the program against moto, which checks signatures and rights
//! by itself.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{arrived, dns, gz, put, rows};
use crate::microsoft;
use crate::peers::appliance::{Appliance, until};
use crate::peers::aws::Aws;
use crate::peers::program::{python, run};
use crate::peers::s3::{BUCKET, KEY_ID, PREFIX, REGION, S3, SECRET};

#[test]
fn boto3_lists_and_reads_the_double() {
    let double = S3::start();
    let mut expected = BTreeSet::new();
    let keys: Vec<String> = (0..7)
        .map(|number| put(&double, &format!("dnslogs/2026-01-05/a b+{number}ü&.csv.gz"), &[dns("x")], &mut expected))
        .collect();
    put(&double, "proxylogs/x", &[dns("x")], &mut expected);
    let Some(mut client) = python("umbrella/client.py") else { return };
    let ca = double.authority.ca();
    let said =
        run(client.arg(double.server.url()).arg(&ca).args([REGION, BUCKET, &format!("{PREFIX}/"), KEY_ID, SECRET]));
    let said: Value = serde_json::from_str(said.trim()).unwrap();
    assert_eq!(said["folders"], json!([format!("{PREFIX}/dnslogs/"), format!("{PREFIX}/proxylogs/")]));
    assert_eq!(said["after"], json!(keys[3..]));
    assert_eq!(said["read"], gz(&format!("{}\n", dns("x"))).len());
    assert_eq!(said["wrong"], json!(["SignatureDoesNotMatch", "InvalidAccessKeyId", "AccessDenied", "NoSuchKey"]));
}

const LOGS: &str = "umbrella-logs";

fn put_rows(aws: &Aws, key: &str, rows: &[String], expected: &mut BTreeSet<(String, String)>) {
    aws.put(LOGS, key, &gz(&rows.join("\n")));
    expected.extend(rows.iter().map(|row| (key.to_owned(), row.clone())));
}

fn start(aws: &Aws, more: &str) -> Appliance {
    let (keys, tls) = (aws.settings(), aws.tls());
    let keys = format!("bucket = \"{LOGS}\"\nprefix = \"data\"\npoll_interval = \"1s\"\n{keys}{more}\n{tls}");
    Appliance::start(&microsoft::settings(&[("umbrella", keys)]))
}

#[test]
fn moto_takes_our_signatures_and_its_queue_tells_what_was_written() {
    let Some(aws) = Aws::start(&[LOGS], "data/", "umbrella") else { return };
    let mut expected = BTreeSet::new();
    put_rows(&aws, "data/dnslogs/2026-01-05/2026-01-05-10-00-a1b2.csv.gz", &[dns("listed"), dns("too")], &mut expected);
    put_rows(&aws, "data/proxylogs/2026-01-05/a b+ü&.csv.gz", &[dns("odd name")], &mut expected);
    let edge = start(&aws, "");
    assert_eq!(arrived(&edge, &expected).len(), 3);
    edge.stop();

    // By notifications, on a new box: what was there before is found by the list, what comes by its message.
    aws.tell(&json!({ "do": "notify", "bucket": LOGS }));
    let queue = format!("sqs_queue = {}", aws.about["queue"]);
    let edge = start(&aws, &queue);
    arrived(&edge, &expected);
    put_rows(&aws, "data/dnslogs/2026-01-05/2026-01-05-10-10-c3d4.csv.gz", &[dns("told")], &mut expected);
    put_rows(&aws, "data/auditlogs/2026-01-05/a b+ü&.csv.gz", &[dns("odd name told")], &mut expected);
    put_rows(&aws, "elsewhere/dnslogs/x.csv.gz", &[], &mut expected);
    aws.send("no event at all");
    let all = arrived(&edge, &expected);
    assert!(
        all.iter().any(|row| row.record["folder"] == "auditlogs" && row.event["sapphire"]["feed"] == "notifications")
    );
    until("every message is deleted", || (aws.waiting() == 0).then_some(()));
    assert_eq!(rows(&edge).len(), expected.len());
    edge.stop();

    aws.write_secret("wrong");
    for more in ["", &queue] {
        let edge = start(&aws, more);
        edge.log_line(&["the secret access key does not belong to the access key id"]);
        edge.stop();
    }
}
