//! The live tail: events as they come in, through a script, since a page cannot grow without one.

use askama::Template;
use schemars::JsonSchema;
use serde::Serialize;

use super::frame::Frame;
use super::text;

/// What is looked at.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Live {
    /// Only events of this source; empty for all.
    pub source: String,
    /// Only events that hold this text; empty for all.
    pub text: String,
    /// The sources there are, by id.
    pub sources: Vec<String>,
}

impl Live {
    /// Whether the source that is asked for is none of the box's.
    fn is_stranger(&self) -> bool {
        !self.source.is_empty() && !self.sources.contains(&self.source)
    }

    /// Whether a source is the one that is asked for.
    fn is_chosen(&self, source: &str) -> bool {
        self.source == source
    }

    /// Where the script gets the events from.
    fn events(&self) -> String {
        format!("/live/events?source={}&text={}", text::in_path(&self.source), text::in_path(&self.text))
    }

    /// The command that shows the same without a script.
    fn command(&self) -> String {
        if self.source.is_empty() {
            return "sapphire-edge tap".to_owned();
        }
        format!("sapphire-edge tap --source {}", self.source)
    }
}

#[derive(Debug, Template)]
#[template(path = "live.html", config = ".askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    page: &'a Live,
}

pub(super) fn page(frame: &Frame, page: &Live) -> String {
    super::render(&Page { frame, page })
}
