//! CrowdStrike's Falcon Data Replicator through the real program, against moto with its checks switched on.

mod backlog;
mod commands;
mod faults;
mod flow;
mod kills;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::microsoft;
use crate::peers::appliance::{Appliance, until};
use crate::peers::aws::Aws;
use crate::umbrella::gz;

pub const BUCKET: &str = "cs-prod-cannon-0123456789abcdef";
/// Another bucket that messages may name.
pub const OTHER: &str = "cs-lion-cannon-fedcba9876543210";
/// Its prefix in the bucket is the tenant's, which is what the key may read.
pub const TENANT: &str = "0123456789abcdef";

/// A feed at CrowdStrike, and what is to arrive of it.
pub struct Replicator {
    pub aws: Aws,
    pub expected: BTreeSet<String>,
}

impl Replicator {
    pub fn start() -> Option<Self> {
        let aws = Aws::start(&[BUCKET, OTHER], TENANT, "cs-prod-cannon-queue")?;
        Some(Self { aws, expected: BTreeSet::new() })
    }

    /// Writes a file of these lines below the tenant's folder, and expects them; its path.
    pub fn put(&mut self, path: &str, lines: &[String]) -> String {
        self.expected.extend(lines.iter().cloned());
        self.put_as(BUCKET, path, &gz(&(lines.join("\n") + "\n")))
    }

    /// Writes a file whatever it holds.
    pub fn put_as(&self, bucket: &str, path: &str, body: &[u8]) -> String {
        let path = format!("{TENANT}/{path}");
        self.aws.put(bucket, &path, body);
        path
    }

    /// Tells of files in one message.
    pub fn tell(&self, bucket: &str, folder: &str, paths: &[&str]) {
        self.aws.send(&message(bucket, &format!("{TENANT}/{folder}"), paths));
    }

    /// Writes a file and tells of it.
    pub fn write(&mut self, folder: &str, name: &str, lines: &[String]) -> String {
        let path = self.put(&format!("{folder}/{name}"), lines);
        self.tell(BUCKET, folder, &[&path]);
        path
    }

    pub fn settings(&self, more: &str) -> String {
        let (keys, tls) = (self.aws.settings(), self.aws.tls());
        let (queue, hidden) = (&self.aws.about["queue"], "visibility_timeout = \"2s\"\n");
        let hidden = if more.contains("visibility_timeout") { "" } else { hidden };
        microsoft::settings(&[("falcon_replicator", format!("sqs_queue = {queue}\n{keys}{hidden}{more}\n{tls}"))])
    }

    pub fn edge(&self, more: &str) -> Appliance {
        Appliance::start(&self.settings(more))
    }

    /// Waits until everything arrived and every message is deleted; each event once, under one id.
    pub fn arrived(&self, edge: &Appliance) -> Vec<Value> {
        let all = microsoft::arrived(edge, &self.expected);
        self.all_deleted();
        all
    }

    pub fn all_deleted(&self) {
        until("every message is deleted", || (self.aws.waiting() == 0).then_some(()));
    }

    /// How often a file was opened.
    pub fn reads(&self, path: &str) -> usize {
        self.aws.read().iter().filter(|read| read.ends_with(path)).count()
    }
}

/// A message as CrowdStrike sends it.
pub fn message(bucket: &str, prefix: &str, paths: &[&str]) -> String {
    let files: Vec<Value> = paths
        .iter()
        .map(|path| json!({ "path": path, "size": 90_506_436, "checksum": "69fe068dd7d115ebdc21ed4181b4cd79" }))
        .collect();
    let now = jiff::Timestamp::now().as_millisecond();
    json!({
        "cid": TENANT, "timestamp": now, "fileCount": paths.len(), "totalSize": 349_986_220, "bucket": bucket, "pathPrefix": prefix,
        "files": files,
    })
    .to_string()
}

/// An event of a sensor.
pub fn event(name: &str, word: &str) -> String {
    format!(
        r#"{{"event_simpleName":"{name}","aid":"0123","cid":"4567","id":"{word}","ContextTimeStamp":"1705904285.259","CommandLine":"\"C:\\a b\\x.exe\" /é {word}","TargetProcessId":"18446744073709551615","timestamp":"1705904285259"}}"#
    )
}

/// Many of them, that do not pack well.
pub fn events(word: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| event("ProcessRollup2", &format!("{word}-{number}-{:x}", rand::random::<u64>()))).collect()
}
