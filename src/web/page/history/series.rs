//! What the charts are drawn from.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far back a chart goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// The last hour, in points of 10 s.
    #[default]
    Hour,
    /// The last day, in points of 5 min.
    Day,
    /// The last 31 days, in points of 2 h.
    Month,
}

impl Span {
    /// All of them, the shortest first.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Month];

    /// The word in links and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// What one point stands for.
    #[must_use]
    pub fn step_seconds(self) -> u64 {
        match self {
            Self::Hour => 10,
            Self::Day => 300,
            Self::Month => 7_200,
        }
    }

    /// How many points there are.
    #[must_use]
    pub fn points(self) -> usize {
        match self {
            Self::Hour => 360,
            Self::Day => 288,
            Self::Month => 372,
        }
    }
}

/// The numbers of one span, oldest first. Every list has as many points as the span; a point that is `null` was not measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Series {
    /// How far back it goes.
    pub span: Span,
    /// What one point stands for.
    pub step_seconds: u64,
    /// When the oldest point begins, in seconds since 1970.
    pub from_seconds: u64,
    /// Events taken from all sources, per second.
    pub received_per_second: Vec<Option<f32>>,
    /// Events that the outputs delivered, per second; one that goes to two outputs counts twice.
    pub delivered_per_second: Vec<Option<f32>>,
    /// Events that were dropped within the point.
    pub dropped: Vec<Option<f32>>,
    /// The most events that waited within the point.
    pub queued: Vec<Option<f32>>,
    /// The greatest age of the oldest event that waited, within the point.
    pub oldest_seconds: Vec<Option<f32>>,
    /// The most bytes that the queue had on the disk within the point.
    pub queued_bytes: Vec<Option<f32>>,
    /// Bytes of the delivered events for each byte that was sent for them.
    pub compression: Vec<Option<f32>>,
    /// Events taken from each source, per second.
    pub sources: BTreeMap<String, Vec<Option<f32>>>,
    /// What was measured last.
    pub now: Now,
}

/// The newest measurement, whatever the span.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Now {
    /// Events taken from all sources, per second; none until there are two measurements.
    pub received_per_second: Option<f32>,
    /// Events that the outputs delivered, per second.
    pub delivered_per_second: Option<f32>,
    /// Events taken from each source, per second.
    pub sources: BTreeMap<String, f32>,
    /// Events delivered by each output, per second.
    pub outputs: BTreeMap<String, f32>,
    /// When each source was last seen to have taken an event, in seconds since 1970, to 10 s; restarts do not forget it.
    pub last_events: BTreeMap<String, u64>,
}
