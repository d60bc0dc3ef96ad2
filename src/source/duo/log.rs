//! The logs of the Admin API: where each is, how it is paged, what names a record.
//!
//! Facts: "Duo Admin API", Logs (Authentication Logs, Administrator Logs, Telephony Logs, Offline Enrollment Logs, Activity
//! Logs) and Trust Monitor; `duo_client` for Python 5.7.0 for the paging of Trust Monitor. Both ends of a window belong to it.
//! The logs of version 1 give the 1,000 earliest records from `mintime` on, "more or fewer", and know no end.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::clock::Timestamp;

/// A log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DuoLog {
    /// Logins of users.
    Authentication,
    /// What administrators did.
    Administrator,
    /// Calls and text messages.
    Telephony,
    /// Enrolments for offline access.
    OfflineEnrollment,
    /// Changes by users and administrators.
    Activity,
    /// Risky logins that Duo found.
    TrustMonitor,
}

/// How a log is read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paging {
    /// A window in milliseconds in the order of time, `limit` and the cursor `next_offset`.
    Ordered,
    /// As before, but without a promised order, and the cursor is sent back as `offset`.
    Unordered,
    /// From a second on; the next page begins at the last record's second.
    Seconds,
}

impl DuoLog {
    /// As the settings write it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::Administrator => "administrator",
            Self::Telephony => "telephony",
            Self::OfflineEnrollment => "offline_enrollment",
            Self::Activity => "activity",
            Self::TrustMonitor => "trust_monitor",
        }
    }

    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Authentication => "/admin/v2/logs/authentication",
            Self::Administrator => "/admin/v1/logs/administrator",
            Self::Telephony => "/admin/v2/logs/telephony",
            Self::OfflineEnrollment => "/admin/v1/logs/offline_enrollment",
            Self::Activity => "/admin/v2/logs/activity",
            Self::TrustMonitor => "/admin/v1/trust_monitor/events",
        }
    }

    pub(super) fn paging(self) -> Paging {
        match self {
            Self::Authentication | Self::Telephony | Self::Activity => Paging::Ordered,
            Self::TrustMonitor => Paging::Unordered,
            Self::Administrator | Self::OfflineEnrollment => Paging::Seconds,
        }
    }

    /// The most records of a page; the logs of version 1 cannot be told.
    pub(super) fn limit(self) -> Option<u32> {
        match self.paging() {
            Paging::Ordered => Some(1_000),
            Paging::Unordered => Some(200),
            Paging::Seconds => None,
        }
    }
}

/// What names a record.
#[derive(Debug, Default)]
pub(super) struct Marks<'a> {
    /// The vendor's id.
    pub(super) id: Option<&'a str>,
    /// The time of the record as it is written there; empty if it has none.
    pub(super) written: &'a str,
    /// That time.
    pub(super) time: Option<Timestamp>,
    /// What changes with the record; empty where records do not change.
    pub(super) version: &'a str,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Known<'a> {
    #[serde(borrow)]
    txid: Option<&'a RawValue>,
    #[serde(borrow)]
    telephony_id: Option<&'a RawValue>,
    #[serde(borrow)]
    activity_id: Option<&'a RawValue>,
    #[serde(borrow)]
    sekey: Option<&'a RawValue>,
    #[serde(borrow)]
    isotimestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    ts: Option<&'a RawValue>,
    #[serde(borrow)]
    surfaced_timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    state_updated_timestamp: Option<&'a RawValue>,
}

impl<'a> Marks<'a> {
    /// Of a record's text.
    pub(super) fn of(log: DuoLog, bytes: &'a [u8]) -> Self {
        let known: Known<'a> = serde_json::from_slice(bytes).unwrap_or_default();
        let (id, time, version) = match log {
            DuoLog::Authentication => (known.txid, known.isotimestamp.or(known.timestamp), None),
            DuoLog::Telephony => (known.telephony_id, known.ts, None),
            DuoLog::Activity => (known.activity_id, known.ts, None),
            DuoLog::Administrator | DuoLog::OfflineEnrollment => (None, known.timestamp, None),
            DuoLog::TrustMonitor => (known.sekey, known.surfaced_timestamp, known.state_updated_timestamp),
        };
        Self {
            id: id.map(RawValue::get).filter(|id| *id != "\"\""),
            written: time.map(RawValue::get).unwrap_or_default(),
            time: time.and_then(|time| Timestamp::said(time.get().trim_matches('"'))),
            version: version.map(RawValue::get).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_named_by_its_own_words() {
        let text = br#"{"txid":"t-1","isotimestamp":"2024-03-05T10:15:30.123456+00:00","timestamp":1709633730,"x":1}"#;
        let marks = Marks::of(DuoLog::Authentication, text);
        assert_eq!((marks.id, marks.time), (Some("\"t-1\""), Some(Timestamp(1_709_633_730_123_456))));
        let text = br#"{"timestamp":1709633730,"object":null,"description":null}"#;
        let marks = Marks::of(DuoLog::Administrator, text);
        assert_eq!((marks.id, marks.time), (None, Some(Timestamp(1_709_633_730_000_000))));
        let text = br#"{"sekey":"SE1","surfaced_timestamp":1709633730123,"state_updated_timestamp":null}"#;
        let marks = Marks::of(DuoLog::TrustMonitor, text);
        assert_eq!((marks.id, marks.time), (Some("\"SE1\""), Some(Timestamp(1_709_633_730_123_000))));
        assert_eq!(marks.version, "");
        let marks = Marks::of(DuoLog::Activity, br#"{"activity_id":"","ts":"2024-03-05T10:15:30.5"}"#);
        assert_eq!((marks.id, marks.time), (None, Some(Timestamp(1_709_633_730_500_000))));
        let marks = Marks::of(DuoLog::Telephony, b"[1]");
        assert_eq!((marks.id, marks.time, marks.written), (None, None, ""));
    }
}
