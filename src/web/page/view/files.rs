//! Secrets, keys and certificates that the settings name.

use askama::Template;
use schemars::JsonSchema;
use serde::Serialize;

use super::account::Form;
use super::frame::Frame;
use super::text;

/// All files.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Files {
    /// By name.
    pub files: Vec<NamedFile>,
}

/// One file; what is in it is never shown.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct NamedFile {
    /// Its name.
    pub name: String,
    /// What the settings call it.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// When it was brought here (RFC 3339).
    pub changed: String,
    /// Whether the settings name it.
    pub is_named: bool,
}

impl NamedFile {
    fn clock(&self) -> String {
        text::clock(&self.changed)
    }

    fn size(&self) -> String {
        text::size(self.bytes)
    }
}

#[derive(Debug, Template)]
#[template(path = "files.html", config = ".askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    page: &'a Files,
    form: &'a Form,
}

pub(super) fn page(frame: &Frame, page: &Files, form: &Form) -> String {
    super::render(&Page { frame, page, form })
}
