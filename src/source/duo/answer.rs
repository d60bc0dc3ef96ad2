//! Answers cut into records.
//!
//! Facts: `{"stat":"OK","response":…}`; the logs of version 1 give a list, the others an object with `authlogs`, `items` or
//! `events`; what follows is in `metadata`, which is inside `response` or beside it (the vendor's client looks in both
//! places). The cursor is a list of two, a text or a number by log, and is sent back with commas ("Duo Admin API",
//! Authentication Logs, `next_offset`).

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// A page of a log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// Its records, each as it stands there.
    pub(super) records: Vec<Bytes>,
    /// Where the next page is.
    pub(super) next: Option<String>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    response: &'a RawValue,
    #[serde(default)]
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Inner<'a> {
    #[serde(borrow, alias = "authlogs", alias = "events")]
    items: Vec<&'a RawValue>,
    #[serde(default)]
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    next_offset: Value,
}

/// The page in an answer; `None` if it is none.
pub(super) fn listed(body: &Bytes) -> Option<Listed> {
    let envelope: Envelope<'_> = serde_json::from_slice(body).ok()?;
    let (records, inner) = if envelope.response.get().starts_with('[') {
        (serde_json::from_str::<Vec<&RawValue>>(envelope.response.get()).ok()?, None)
    } else {
        let inner: Inner<'_> = serde_json::from_str(envelope.response.get()).ok()?;
        (inner.items, inner.metadata)
    };
    let next = match inner.or(envelope.metadata) {
        Some(metadata) => cursor(&metadata.next_offset)?,
        None => None,
    };
    let records = records.into_iter().map(|raw| body.slice_ref(raw.get().as_bytes())).collect();
    Some(Listed { records, next })
}

/// A cursor as it is sent back; the outer `None` where it is something unknown.
fn cursor(value: &Value) -> Option<Option<String>> {
    let plain = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let text = match value {
        Value::Null => return Some(None),
        Value::Array(parts) => parts.iter().map(plain).collect::<Option<Vec<_>>>()?.join(","),
        other => plain(other)?,
    };
    Some(Some(text).filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &'static str) -> Option<(Vec<&'static str>, Option<String>)> {
        let page = listed(&Bytes::from_static(text.as_bytes()))?;
        let find =
            |record: &Bytes| text.find(std::str::from_utf8(record).unwrap()).map(|at| &text[at..at + record.len()]);
        Some((page.records.iter().filter_map(find).collect(), page.next))
    }

    #[test]
    fn every_form_of_page_is_read() {
        let text = r#"{"response":{"authlogs":[{"b":1.0}, {"a":2}],"metadata":{"next_offset":["17","t"],"total_objects":2}},"stat":"OK"}"#;
        assert_eq!(page(text), Some((vec![r#"{"b":1.0}"#, r#"{"a":2}"#], Some("17,t".to_owned()))));
        let text = r#"{"response":{"items":[{"b":1}],"metadata":{"next_offset":"17,t","total_objects":{"value":1}}}}"#;
        assert_eq!(page(text), Some((vec![r#"{"b":1}"#], Some("17,t".to_owned()))));
        let text = r#"{"response":{"events":[{"b":1}],"metadata":{"next_offset":200}}}"#;
        assert_eq!(page(text), Some((vec![r#"{"b":1}"#], Some("200".to_owned()))));
        assert_eq!(page(r#"{"response":[{"b":1}]}"#), Some((vec![r#"{"b":1}"#], None)));
        assert_eq!(
            page(r#"{"response":{"events":[]},"metadata":{"next_offset":"x"}}"#),
            Some((Vec::new(), Some("x".to_owned())))
        );
        for end in ["null", "\"\"", "[]"] {
            let text = format!(r#"{{"response":{{"items":[],"metadata":{{"next_offset":{end}}}}}}}"#);
            assert_eq!(listed(&Bytes::from(text)), Some(Listed { records: Vec::new(), next: None }));
        }
    }

    #[test]
    fn what_is_no_page_is_none() {
        for text in [
            "<html>",
            r#"{"stat":"OK"}"#,
            r#"{"response":{"users":[]}}"#,
            r#"{"response":"x"}"#,
            r#"{"response":{"items":[],"metadata":{"next_offset":{"a":1}}}}"#,
        ] {
            assert!(page(text).is_none(), "{text}");
        }
    }
}
