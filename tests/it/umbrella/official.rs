//! Outside opinions: AWS's own library against the double, and the program against moto, which checks signatures and rights
//! by itself.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{arrived, dns, gz, put, rows};
use crate::microsoft;
use crate::peers::appliance::{Appliance, until};
use crate::peers::certificates::Authority;
use crate::peers::program::{Running, python, run};
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

/// moto.
struct Aws {
    authority: Authority,
    input: std::process::ChildStdin,
    output: BufReader<std::process::ChildStdout>,
    about: Value,
    _program: Running,
}

impl Aws {
    fn start() -> Option<Self> {
        let mut command = python("umbrella/aws.py")?;
        let mut program = Running::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let (input, output) = (program.0.stdin.take().unwrap(), BufReader::new(program.0.stdout.take().unwrap()));
        let authority = Authority::new();
        let identity = authority.identity("127.0.0.1");
        let mut aws = Self { authority, input, output, about: Value::Null, _program: program };
        let ca = aws.authority.ca();
        aws.about = aws.tell(&json!({
            "cert": identity.cert, "key": identity.key, "ca": ca, "bucket": "umbrella-logs", "prefix": "data/",
        }));
        std::fs::write(aws.authority.folder().join("secret"), aws.about["secret"].as_str().unwrap()).unwrap();
        Some(aws)
    }

    fn tell(&mut self, command: &Value) -> Value {
        writeln!(self.input, "{command}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn put(&mut self, key: &str, rows: &[String], expected: &mut BTreeSet<(String, String)>) {
        let body = STANDARD.encode(gz(&rows.join("\n")));
        self.tell(&json!({ "do": "put", "objects": { key: body } }));
        expected.extend(rows.iter().map(|row| (key.to_owned(), row.clone())));
    }

    fn edge(&self, more: &str) -> Appliance {
        let (about, ca, secret) = (&self.about, self.authority.ca(), self.authority.folder().join("secret"));
        let keys = format!(
            "bucket = \"umbrella-logs\"\nregion = \"eu-central-1\"\nprefix = \"data\"\nendpoint = \"https://127.0.0.1:{}\"\n\
             access_key_id = {}\nsecret_access_key_file = {secret:?}\npoll_interval = \"1s\"\nbackoff_min = \"20ms\"\n\
             backoff_max = \"200ms\"\n{more}\n[source.tls]\nca = {ca:?}\n",
            about["port"], about["id"]
        );
        Appliance::start(&microsoft::settings(&[("umbrella", keys)]))
    }
}

#[test]
fn moto_takes_our_signatures_and_its_queue_tells_what_was_written() {
    let Some(mut aws) = Aws::start() else { return };
    let mut expected = BTreeSet::new();
    aws.put("data/dnslogs/2026-01-05/2026-01-05-10-00-a1b2.csv.gz", &[dns("listed"), dns("too")], &mut expected);
    aws.put("data/proxylogs/2026-01-05/a b+ü&.csv.gz", &[dns("odd name")], &mut expected);
    let edge = aws.edge("");
    assert_eq!(arrived(&edge, &expected).len(), 3);
    edge.stop();

    // By notifications, on a new box: what was there before is found by the list, what comes by its message.
    aws.tell(&json!({ "do": "notify" }));
    let queue = format!("sqs_queue = {}", aws.about["queue"]);
    let edge = aws.edge(&queue);
    arrived(&edge, &expected);
    aws.put("data/dnslogs/2026-01-05/2026-01-05-10-10-c3d4.csv.gz", &[dns("told")], &mut expected);
    aws.put("data/auditlogs/2026-01-05/a b+ü&.csv.gz", &[dns("odd name told")], &mut expected);
    aws.put("elsewhere/dnslogs/x.csv.gz", &[], &mut expected);
    aws.tell(&json!({ "do": "send", "body": "no event at all" }));
    let all = arrived(&edge, &expected);
    assert!(
        all.iter().any(|row| row.record["folder"] == "auditlogs" && row.event["sapphire"]["feed"] == "notifications")
    );
    until("every message is deleted", || (aws.tell(&json!({ "do": "waiting" })) == 0).then_some(()));
    assert_eq!(rows(&edge).len(), expected.len());
    edge.stop();

    std::fs::write(aws.authority.folder().join("secret"), "wrong").unwrap();
    for more in ["", &queue] {
        let edge = aws.edge(more);
        edge.log_line(&["the secret access key does not belong to the access key id"]);
        edge.stop();
    }
}
