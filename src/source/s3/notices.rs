//! An SQS queue into which S3 tells what was written.
//!
//! Facts: AWS, SQS API reference, "ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility" (JSON protocol 1.0: the action
//! in `X-Amz-Target`); S3 user guide, "Event message structure": names are URL-encoded with `+` for a blank, `s3:TestEvent` is
//! sent once when notifications are switched on, and events come at least once and in any order. Through SNS the event is text
//! inside `Message`.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::bucket::Login;
use super::words::{self, Advice, Names};
use crate::net::http::Url;
use crate::net::http::header::{CONTENT_TYPE, HeaderName};
use crate::source::pull::{Trouble, Way};

/// Ten messages of at most 256 KiB each, with escapes.
const LONGEST: usize = 16 << 20;
/// How long an empty queue is waited at; the most that SQS allows.
const WAIT_SECONDS: u64 = 20;

/// A queue.
#[derive(Debug)]
pub(in crate::source) struct Notices {
    way: Arc<Way>,
    login: Login,
    url: Url,
    names: Names,
}

/// A message: deleted once everything of it is safe.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::source) struct Message {
    /// By which it is deleted.
    #[serde(rename = "ReceiptHandle")]
    pub(in crate::source) receipt: String,
    /// Its text.
    #[serde(default)]
    pub(in crate::source) body: String,
}

/// An object that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::source) struct Written {
    pub(in crate::source) bucket: String,
    pub(in crate::source) key: String,
    /// Without quotes.
    pub(in crate::source) tag: String,
    pub(in crate::source) size: u64,
    /// When (RFC 3339).
    pub(in crate::source) time: String,
}

/// The region that a queue's address names, if it is one of AWS's.
///
/// Facts: AWS, "Amazon SQS endpoints and quotas": `sqs.REGION.amazonaws.com`, `sqs-fips.REGION.amazonaws.com`, and the older
/// `REGION.queue.amazonaws.com`.
pub(in crate::source) fn region(queue: &Url) -> Option<String> {
    let (host, _) = queue.host_str()?.split_once(".amazonaws.com")?;
    let new = host.strip_prefix("sqs.").or_else(|| host.strip_prefix("sqs-fips."));
    new.or_else(|| host.strip_suffix(".queue")).map(str::to_owned)
}

impl Message {
    /// The objects that were written, as an event of S3 tells. None for a test event or what is no event of S3.
    pub(in crate::source) fn written(&self) -> Vec<Written> {
        written(&self.body)
    }
}

impl Notices {
    /// The region of `login` is the queue's where its address names one.
    pub(in crate::source) fn new(way: Arc<Way>, mut login: Login, url: Url, advice: Advice) -> Self {
        login.region = region(&url).unwrap_or(login.region);
        let names = Names { bucket: String::new(), region: login.region.clone(), advice };
        Self { way, login, url, names }
    }

    /// The next messages, at most ten, hidden from others for `hide`; waits up to 20 s for one if `hide` is not zero.
    ///
    /// # Errors
    /// In words.
    ///
    /// # Cancel safety
    /// Messages that were on their way come again after `hide`.
    pub(in crate::source) async fn receive(&self, hide: Duration) -> Result<Vec<Message>, Trouble> {
        let wait = if hide.is_zero() { 0 } else { WAIT_SECONDS };
        let (most, hide) = (if hide.is_zero() { 1 } else { 10 }, hide.as_secs());
        let ask = json!({ "MaxNumberOfMessages": most, "WaitTimeSeconds": wait, "VisibilityTimeout": hide });
        let mut answer = self.ask("ReceiveMessage", ask).await?;
        let messages = answer.get_mut("Messages").map_or(Value::Null, Value::take);
        match messages {
            Value::Null => Ok(Vec::new()),
            messages => serde_json::from_value(messages)
                .map_err(|_| Trouble::protocol("the answer of SQS is no list of messages", "check sqs_queue")),
        }
    }

    /// Takes a message out of the queue.
    ///
    /// # Errors
    /// In words; the message then comes again.
    pub(in crate::source) async fn delete(&self, receipt: &str) -> Result<(), Trouble> {
        self.ask("DeleteMessage", json!({ "ReceiptHandle": receipt })).await.map(drop)
    }

    /// Hides a message for so long from now on.
    ///
    /// # Errors
    /// In words; the message may then come again.
    pub(in crate::source) async fn hide(&self, receipt: &str, hide: Duration) -> Result<(), Trouble> {
        let ask = json!({ "ReceiptHandle": receipt, "VisibilityTimeout": hide.as_secs() });
        self.ask("ChangeMessageVisibility", ask).await.map(drop)
    }

    async fn ask(&self, action: &str, mut ask: Value) -> Result<Value, Trouble> {
        if let Some(members) = ask.as_object_mut() {
            members.insert("QueueUrl".into(), self.url.as_str().into());
        }
        let mut url = self.url.clone();
        url.set_path("/");
        let own = [
            (CONTENT_TYPE, "application/x-amz-json-1.0".to_owned()),
            (HeaderName::from_static("x-amz-target"), format!("AmazonSQS.{action}")),
        ];
        let body = ask.to_string().into_bytes();
        let mut is_second = false;
        loop {
            let fields = self.login.sign(&self.way, "sqs", &url, &own, Some(&body)).await?;
            let reply = self.way.ask(&url, &fields, Some(body.clone()), LONGEST, &[]).await?;
            if reply.code == 200 {
                return Ok(serde_json::from_slice(&reply.body).unwrap_or_default());
            }
            if !words::is_skewed(&reply) || std::mem::replace(&mut is_second, true) {
                return Err(words::queue_refused(action, &reply, &self.names));
            }
        }
    }
}

/// The objects of an event.
fn written(body: &str) -> Vec<Written> {
    let Ok(mut event) = serde_json::from_str::<Value>(body) else { return Vec::new() };
    if let Some(inner) = event.get("Message").and_then(Value::as_str) {
        event = serde_json::from_str(inner).unwrap_or_default();
    }
    let records = event.get("Records").and_then(Value::as_array);
    records.into_iter().flatten().filter_map(one).collect()
}

fn one(record: &Value) -> Option<Written> {
    let text = |path: &str| record.pointer(path).and_then(Value::as_str);
    if !text("/eventName")?.starts_with("ObjectCreated:") {
        return None;
    }
    Some(Written {
        bucket: text("/s3/bucket/name")?.to_owned(),
        key: decoded(text("/s3/object/key")?),
        tag: text("/s3/object/eTag").unwrap_or_default().trim_matches('"').to_owned(),
        size: record.pointer("/s3/object/size").and_then(Value::as_u64).unwrap_or_default(),
        time: text("/eventTime").unwrap_or_default().to_owned(),
    })
}

/// Undoes URL encoding.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let digits = after.split_at_checked(2).filter(|_| *first == b'%');
        let value =
            digits.and_then(|(hex, rest)| Some((u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?, rest)));
        match (first, value) {
            (_, Some((value, after))) => {
                bytes.push(value);
                rest = after;
            }
            (b'+', None) => bytes.push(b' '),
            (other, None) => bytes.push(*other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queues_address_tells_its_region() {
        for (text, expected) in [
            ("https://sqs.us-west-1.amazonaws.com/1/q", Some("us-west-1")),
            ("https://us-west-2.queue.amazonaws.com/1/q", Some("us-west-2")),
            ("https://sqs-fips.us-gov-west-1.amazonaws.com/1/q", Some("us-gov-west-1")),
            ("https://sqs.cn-north-1.amazonaws.com.cn/1/q", Some("cn-north-1")),
            ("https://sqs.example.net/1/q", None),
            ("https://queue.amazonaws.com/1/q", None),
        ] {
            assert_eq!(region(&Url::parse(text).unwrap()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn events_of_s3_are_read_and_others_are_none() {
        let record = json!({
            "eventName": "ObjectCreated:Put", "eventTime": "2026-01-05T10:10:00.000Z",
            "s3": { "bucket": { "name": "logs" }, "object": { "key": "d/a+b%2Bc%C3%BC%.gz", "size": 7, "eTag": "0cc1" } },
        });
        let event = json!({ "Records": [record, { "eventName": "ObjectRemoved:Delete" }] }).to_string();
        let found = written(&event);
        assert_eq!((found.len(), found[0].key.as_str(), found[0].size), (1, "d/a b+cü%.gz", 7));
        assert_eq!(written(&json!({ "Type": "Notification", "Message": event }).to_string()), found);
        for other in [r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"logs"}"#, "", "[]", "no JSON"] {
            assert!(written(other).is_empty(), "{other}");
        }
    }
}
