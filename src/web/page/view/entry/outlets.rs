//! The list of outputs.

use askama::Template;
use schemars::JsonSchema;
use serde::Serialize;

use super::super::card::Kinds;
use super::super::frame::Frame;
use super::super::outlet::OutputCard;
use super::super::text;
use crate::status::Snapshot;
use crate::web::page::history::Series;

/// All outputs.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Outputs {
    /// When this was so (RFC 3339).
    pub at: String,
    /// By id.
    pub outputs: Vec<OutputCard>,
}

impl Outputs {
    /// The outputs of a snapshot.
    #[must_use]
    pub fn of(snapshot: &Snapshot, series: &Series, kinds: &Kinds) -> Self {
        Self { at: snapshot.at.clone(), outputs: OutputCard::all(snapshot, series, kinds) }
    }

    fn clock(&self) -> String {
        text::clock(&self.at)
    }
}

#[derive(Debug, Template)]
#[template(path = "entry/outputs.html", config = ".askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    page: &'a Outputs,
}

pub(super) fn page(frame: &Frame, page: &Outputs) -> String {
    super::super::render(&Page { frame, page })
}
