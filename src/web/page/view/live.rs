//! The live tail: events as they come in, through a script, since a page cannot grow without one; and what is still in the box of the
//! last minutes, which needs none.

use askama::Template;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

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
    /// What is still there of the last minutes, where somebody asked for it.
    pub replay: Option<Replay>,
}

/// Spans that can be looked back, in minutes.
const SPANS: [u32; 3] = [5, 15, 60];
/// A longer event is cut in the list; the whole stands below it.
const LONGEST_WORDS: usize = 2_000;

/// What is still in the box of the last minutes.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Replay {
    /// How far back, in minutes.
    pub minutes: u32,
    /// Events that were still there and looked through.
    pub looked_at: u64,
    /// Those of them that are wanted.
    pub found: u64,
    /// The same in a sentence.
    pub words: String,
    /// The newest of those, the oldest first: as they go to the gateway.
    pub events: Vec<Value>,
}

/// An event in the list.
#[derive(Debug)]
struct Row {
    at: String,
    clock: String,
    source: String,
    words: String,
    whole: String,
}

impl Row {
    fn of(event: &Value) -> Self {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let at = text(event.get("@timestamp"));
        let host = text(event.pointer("/host/name"));
        let message = event.get("message").and_then(Value::as_str).map_or_else(|| event.to_string(), str::to_owned);
        // The newest source of a chain of boxes is this box's own.
        let fields = event.as_object().into_iter().flatten();
        let own = fields.filter(|(name, _)| name.as_str() == "sapphire" || name.starts_with("sapphire_relay"));
        let source = text(own.max_by_key(|(name, _)| name.as_str()).and_then(|(_, own)| own.get("source")));
        Self {
            clock: at.get(11..19).unwrap_or_default().to_owned(),
            at,
            source,
            words: format!("{host} {message}").trim().chars().take(LONGEST_WORDS).collect(),
            whole: serde_json::to_string_pretty(event).unwrap_or_default(),
        }
    }
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

    /// The newest first, as they come in.
    fn rows(&self) -> Vec<Row> {
        self.replay.iter().flat_map(|replay| replay.events.iter().rev()).map(Row::of).collect()
    }

    fn spans(&self) -> [u32; 3] {
        SPANS
    }

    fn is_span(&self, minutes: &u32) -> bool {
        self.replay.as_ref().is_some_and(|replay| replay.minutes == *minutes)
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
