//! The first steps of a new box: a short list of what is done and what is left.

use askama::Template;
use schemars::JsonSchema;
use serde::Serialize;

use crate::web::page::view::Frame;

/// The first steps.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Start {
    /// In the order in which they are best done.
    pub steps: Vec<Step>,
    /// Whether nothing is left that the box needs.
    pub is_done: bool,
    /// Whether the overview still points here.
    pub is_left: bool,
}

/// One step.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Step {
    /// A word for it.
    pub id: &'static str,
    /// What it is about.
    pub title: &'static str,
    /// Whether it is done.
    pub is_done: bool,
    /// Whether the box works without it, too.
    pub is_optional: bool,
    /// How it is now.
    pub words: String,
    /// Where it is done.
    pub links: Vec<Link>,
}

/// A way to a form.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Link {
    /// Its path.
    pub path: &'static str,
    /// What one does there.
    pub words: &'static str,
}

impl Step {
    /// A state as a word and a shape, like those of components.
    fn class(&self) -> &'static str {
        match (self.is_done, self.is_optional) {
            (true, _) => "healthy",
            (false, true) => "stopped",
            (false, false) => "degraded",
        }
    }

    fn word(&self) -> &'static str {
        match (self.is_done, self.is_optional) {
            (true, _) => "done",
            (false, true) => "as it comes",
            (false, false) => "to do",
        }
    }
}

impl Start {
    fn left(&self) -> usize {
        self.steps.iter().filter(|step| !step.is_done && !step.is_optional).count()
    }
}

#[derive(Debug, Template)]
#[template(path = "upkeep/start.html", config = ".askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    page: &'a Start,
}

pub(in crate::web::page::view) fn page(frame: &Frame, page: &Start) -> String {
    crate::web::page::view::render(&Page { frame, page })
}
