//! What was done on the page, and by whom.

use askama::Template;
use schemars::JsonSchema;
use serde::Serialize;

use super::frame::Frame;
use super::text;

/// The newest entries of the audit log.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Audit {
    /// Newest first.
    pub entries: Vec<AuditEntry>,
}

/// One thing that was done, or tried.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AuditEntry {
    /// When (RFC 3339).
    pub at: String,
    /// The account; empty where nobody was logged in.
    pub who: String,
    /// The address it came from.
    pub from: String,
    /// What was to be done.
    pub action: String,
    /// Whether it was done, in a word.
    pub outcome: String,
    /// More about it.
    pub message: String,
}

impl AuditEntry {
    fn clock(&self) -> String {
        text::clock(&self.at)
    }
}

#[derive(Debug, Template)]
#[template(path = "audit.html", config = ".askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    page: &'a Audit,
}

pub(super) fn page(frame: &Frame, page: &Audit) -> String {
    super::render(&Page { frame, page })
}
