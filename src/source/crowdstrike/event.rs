//! What a line of a stream says about itself. Its bytes go on as they came.
//!
//! Facts: `{"metadata":{"customerIDString":…,"offset":…,"eventType":…,"eventCreationTime":…,"version":…},"event":{…}}`, the time in
//! milliseconds since 1970 (Filebeat, "CrowdStrike fields"; CrowdStrike/falcon-integration-gateway, `models.py`). Values that are
//! no objects happen (elastic/beats passes over them; here they are forwarded). Numbers are read as text: they have 64 bits.

use std::borrow::Cow;

use memchr::{memchr, memmem};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Of a line that was cut, the metadata is looked for in so many bytes: it comes first, and has about 200.
const METADATA: usize = 4 << 10;

/// The metadata of an event, as far as it can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Metadata {
    /// The tenant.
    pub(super) customer: String,
    /// Its place in the partition.
    pub(super) offset: Option<u64>,
    /// What happened, such as `AuthActivityAuditEvent`.
    pub(super) event_type: String,
    /// When, in milliseconds since 1970.
    pub(super) created: Option<u64>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    metadata: Members<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Members<'a> {
    #[serde(borrow, rename = "customerIDString", default)]
    customer: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    offset: Option<&'a RawValue>,
    #[serde(borrow, default)]
    event_type: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    event_creation_time: Option<&'a RawValue>,
}

impl Metadata {
    /// Of a line, or, where it is no JSON (it was cut), of its beginning; `None` if it has none.
    pub(super) fn of(line: &[u8]) -> Option<Self> {
        let whole = serde_json::from_slice::<Envelope<'_>>(line).map(|envelope| Self::from(envelope.metadata));
        whole.ok().or_else(|| {
            let head = line.get(..METADATA.min(line.len()))?;
            let head = head.get(memmem::find(head, b"\"metadata\"")?..)?;
            // The metadata holds no objects, so it ends with the first brace.
            let (open, close) = (memchr(b'{', head)?, memchr(b'}', head)?);
            serde_json::from_slice::<Members<'_>>(head.get(open..=close)?).ok().map(Self::from)
        })
    }
}

impl From<Members<'_>> for Metadata {
    fn from(members: Members<'_>) -> Self {
        let number = |raw: Option<&RawValue>| raw.and_then(|raw| raw.get().trim_matches('"').parse().ok());
        Self {
            customer: members.customer.map(Cow::into_owned).unwrap_or_default(),
            offset: number(members.offset),
            event_type: members.event_type.map(Cow::into_owned).unwrap_or_default(),
            created: number(members.event_creation_time),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"metadata":{"customerIDString":"00ff","offset":18446744073709551615,"eventType":"AuthActivityAuditEvent","eventCreationTime":1709633730123,"version":"1.0"},"event":{"ProcessId":9223372036854775809}}"#;

    #[test]
    fn metadata_of_whole_and_of_cut_lines() {
        let whole = Metadata::of(LINE.as_bytes()).unwrap();
        assert_eq!((whole.customer.as_str(), whole.offset), ("00ff", Some(u64::MAX)));
        assert_eq!((whole.event_type.as_str(), whole.created), ("AuthActivityAuditEvent", Some(1_709_633_730_123)));
        let cut = LINE.as_bytes().split_at(LINE.len() - 12).0;
        assert_eq!(Metadata::of(cut), Some(whole));
        assert_eq!(Metadata::of(b"[1,2]"), None);
        assert_eq!(Metadata::of(br#"{"a":1}"#), None);
        let text = Metadata::of(br#"{"metadata":{"offset":"12"}}"#).unwrap();
        assert_eq!((text.offset, text.created), (Some(12), None));
    }
}
