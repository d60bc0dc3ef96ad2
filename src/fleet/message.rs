//! What is said under which topic. Each message is a JSON object with its `form`, the `box`, the time and a number that grows.

use serde::{Deserialize, Serialize};

/// The form of all messages and commands; another number is another form.
pub(super) const FORM: u32 = 1;
/// Their media type.
pub(super) const MEDIA_TYPE: &str = "application/json";
/// What is offered to all boxes: below it, a topic for each kind of board, because each has its own last word.
pub(super) const OFFERS: &str = "sapphire/v1/all/offer/#";

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// How the box is; the broker keeps the newest.
    Status,
    /// What it consists of; the broker keeps the newest.
    Inventory,
    /// What each source's events came to.
    Ledger,
    /// What happened.
    Event,
    /// What became of a command.
    Answer,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Inventory => "inventory",
            Self::Ledger => "ledger",
            Self::Event => "event",
            Self::Answer => "answer",
        }
    }

    pub(super) fn is_retained(self) -> bool {
        matches!(self, Self::Status | Self::Inventory)
    }

    /// Where a box speaks of it.
    pub(super) fn topic(self, id: &str) -> String {
        format!("sapphire/v1/{id}/{}", self.as_str())
    }
}

/// Where a box is told what to do.
pub(super) fn command_topic(id: &str) -> String {
    format!("sapphire/v1/{id}/command")
}

/// A whole message; `body` is a JSON object that is not empty.
pub(super) fn compose(id: &str, at: &str, sequence: u64, body: &str) -> String {
    let rest = body.strip_prefix('{').unwrap_or("}");
    // Neither an id nor a time holds what JSON escapes.
    format!("{{\"form\":{FORM},\"box\":\"{id}\",\"at\":\"{at}\",\"sequence\":{sequence},{rest}")
}

/// A body in JSON.
pub(super) fn body(of: &impl Serialize) -> String {
    // Maps with text as keys, numbers and text: nothing that JSON cannot say.
    serde_json::to_string(of).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_object() {
        let text = compose("edge-7", "2026-11-24T00:00:00.000Z", 9, &body(&serde_json::json!({"words": "a \"word\""})));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&value["box"], &value["sequence"], &value["words"]),
            (&"edge-7".into(), &9.into(), &"a \"word\"".into())
        );
        assert_eq!(Kind::Answer.topic("edge-7"), "sapphire/v1/edge-7/answer");
    }
}
