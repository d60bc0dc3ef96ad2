//! What can be wrong, and where, in words.

use std::fmt;
use std::io;

use serde::Serialize;

use crate::queue::disk::Read;
use crate::queue::record::{HEADER, MAGIC, can_read};
use crate::queue::segment::{self, FILE_HEADER};

/// A kind of damage or disagreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Flaw {
    /// The first bytes of a segment's file.
    FileHeader,
    /// Bytes that are no record, with a record after them.
    Record,
    /// A record whose content fails its checks.
    Payload,
    /// Bytes that are no record at the end of a segment: what a power cut leaves, or a damaged last record.
    Tail,
    /// A state record that contradicts what lies around it, or itself.
    State,
    /// Batch numbers out of order, not reserved, or used twice.
    Numbers,
    /// Totals that do not agree with the events that are there.
    Ledger,
    /// The index disagrees with the segments.
    Index,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing.
    pub flaw: Flaw,
    /// The segment, where it is in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment: Option<u64>,
    /// The offset in the segment's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
    /// How many bytes are concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// What is wrong, in words.
    pub what: String,
}

impl Finding {
    pub(super) fn of(flaw: Flaw, what: impl Into<String>) -> Self {
        Self { flaw, segment: None, at: None, length: None, what: what.into() }
    }

    pub(super) fn at(flaw: Flaw, segment: u64, at: u64, length: u64, what: impl Into<String>) -> Self {
        Self { flaw, segment: Some(segment), at: Some(at), length: Some(length), what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((segment, at)) = self.segment.zip(self.at) {
            write!(f, "segment {segment} at {at}: ")?;
        }
        f.write_str(&self.what)
    }
}

/// What is wrong with a segment's file header, if anything is.
pub(super) fn file_header(file: &dyn Read, number: u64) -> io::Result<Option<Finding>> {
    if segment::appliance_of(file, number)?.is_some() {
        return Ok(None);
    }
    let mut bytes = [0u8; FILE_HEADER];
    let read = file.read_at(0, &mut bytes)?;
    let named = bytes.get(12..20).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes);
    let what = match (bytes.first_chunk::<8>(), segment::is_sealed(&bytes)) {
        _ if read < FILE_HEADER => "the file ends inside its header".to_owned(),
        (Some(magic), _) if *magic != segment::FILE_MAGIC => {
            "the file's header does not say that this is a segment".to_owned()
        }
        (_, false) => "the check of the file's header does not match".to_owned(),
        _ if named != number => format!("the file's header says that this is segment {named}"),
        _ => "the file is of a version that this program does not know".to_owned(),
    };
    Ok(Some(Finding::at(Flaw::FileHeader, number, 0, FILE_HEADER.min(read) as u64, what)))
}

/// Why there is no record where one should be.
pub(super) fn no_record(file: &dyn Read, at: u64) -> io::Result<&'static str> {
    let mut bytes = [0u8; HEADER];
    let read = file.read_at(at, &mut bytes)?;
    Ok(match bytes.split_first_chunk::<4>() {
        _ if read < HEADER => "a record's header is cut off",
        Some((magic, rest)) if *magic == MAGIC => match rest.get(1) {
            Some(version) if can_read(*version) => {
                "a record's header fails its check, or is longer than the bytes that are there"
            }
            _ => "a record is of a version that this program does not know",
        },
        _ if bytes.iter().all(|byte| *byte == 0) => "zeros where a record should begin",
        _ => "no record begins here",
    })
}
