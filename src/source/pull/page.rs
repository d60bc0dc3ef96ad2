//! What a feed gives for one question.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::clock::Timestamp;

/// Names a record for ever: the hash of type, account, feed and the vendor's own id. 128 bits: among 2^40 records two are
/// the same by chance once in 2^49 boxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::source) struct RecordId(pub(in crate::source) [u8; 16]);

impl RecordId {
    /// Of these parts; their lengths are hashed too, so that no two lists of parts are the same.
    pub(in crate::source) fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Context::new(&SHA256);
        for part in parts {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let sum = hash.finish();
        let mut id = [0; 16];
        id.iter_mut().zip(sum.as_ref()).for_each(|(to, from)| *to = *from);
        Self(id)
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One record, as it stood in the answer.
#[derive(Clone, Debug)]
pub(in crate::source) struct Pulled {
    /// Its id.
    pub(in crate::source) id: RecordId,
    /// Set where the same record may be in a later page: it is then remembered by this time, and passed over when it comes
    /// again.
    pub(in crate::source) remember: Option<Timestamp>,
    /// Its bytes, a slice of the answer.
    pub(in crate::source) bytes: Bytes,
}

/// Records that will never come: told as an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::source) struct Hole {
    /// What is lost and why.
    pub(in crate::source) what: String,
    /// From when...
    pub(in crate::source) from: Timestamp,
    /// ...to when.
    pub(in crate::source) to: Timestamp,
}

/// When to ask next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::source) enum Next {
    /// There is more.
    #[default]
    Now,
    /// Everything that is there was had: after the poll interval.
    Later,
    /// Never: the feed goes, once everything of it is settled. It may come again under the same name.
    Over,
}

/// The answer to one question.
#[derive(Debug, Default)]
pub(in crate::source) struct Page {
    /// What came.
    pub(in crate::source) records: Vec<Pulled>,
    /// Those of them that are only the beginning of what the vendor sent, with its whole length in bytes.
    pub(in crate::source) cut: BTreeMap<RecordId, u64>,
    /// What else is to be remembered as seen once the records are in the queue (whole contents of many records), and by which
    /// time.
    pub(in crate::source) seen: Vec<(RecordId, Timestamp)>,
    /// Marks that change with this page.
    pub(in crate::source) marks: Vec<(String, Option<Vec<u8>>)>,
    /// What was seen before this need not be remembered any more.
    pub(in crate::source) forget: Option<Timestamp>,
    /// What is lost for good.
    pub(in crate::source) holes: Vec<Hole>,
    /// Everything up to here was had.
    pub(in crate::source) through: Option<Timestamp>,
    /// When to ask next.
    pub(in crate::source) next: Next,
    /// Holds its place among the bodies in memory until the queue has it.
    pub(in crate::source) permit: Option<OwnedSemaphorePermit>,
    /// Told once everything of this page, and of the pages before it, is settled: then a vendor that keeps what was not
    /// acknowledged may be answered. Dropped untold where the feed ends before.
    pub(in crate::source) settled: Option<oneshot::Sender<()>>,
    /// What a person should know although pages come, and what to do: shown as degraded until a page without it.
    pub(in crate::source) remark: Option<(String, String)>,
}
