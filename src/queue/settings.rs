//! The `[queue]` table of the settings, and what the queue has to know of an output.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::OutputId;
use crate::quantity::{Size, Span};

/// The `[queue]` table of the settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Bytes the queue may occupy on the disk. When they are used up, senders are held back.
    pub max_size: Size,
    /// The part of `max_size` that is kept for senders that cannot be held back (UDP); a sixteenth if nothing is set.
    pub reserve: Option<Size>,
    /// Event bytes held in memory while they wait to be written or delivered.
    pub memory: Size,
    /// A group of batches is made durable when it holds this many event bytes...
    pub flush_bytes: Size,
    /// ...or when its first batch is this old. This is the most that a power cut can take of events that nobody was
    /// promised (UDP and plain TCP).
    pub flush_after: Span,
    /// Size at which a segment file is closed and the next one begun.
    pub segment_size: Size,
    /// What happens when `max_size` is used up.
    pub when_full: WhenFull,
    /// When a sender is answered.
    pub settle: Settle,
    /// What goes out first when a backlog waits.
    pub drain: Drain,
    /// Per cent of the bytes that the backlog gets at least while new events go out first; 1 to 99.
    pub backlog_share: u8,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // Some two days of 1,000 events a second at a ratio of 6.
            max_size: Size::gib(8),
            reserve: None,
            // 32 batches of the usual size: enough to keep the writer and two outputs busy, a sixth of the memory bound.
            memory: Size::mib(16),
            // A sync costs 0.35 ms on an idle disk and 6 to 9 ms on a busy one; 4 MiB of events compress to under 1 MiB.
            flush_bytes: Size::mib(4),
            // Long enough for a gateway 150 ms away to acknowledge first and spare the write.
            flush_after: Span::millis(250),
            segment_size: Size::mib(32),
            when_full: WhenFull::HoldBack,
            settle: Settle::DurableOrDelivered,
            drain: Drain::LiveFirst,
            backlog_share: 25,
        }
    }
}

impl Config {
    /// The part of `max_size` that is kept for senders that cannot be held back.
    #[must_use]
    pub fn reserve(&self) -> Size {
        self.reserve.unwrap_or(Size(self.max_size.bytes() / 16))
    }

    /// What is wrong with the values, by key.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut check = |fine: bool, key: &str, text: String| {
            if !fine {
                problems.push((key.to_owned(), text));
            }
        };
        let four_segments = Size(self.segment_size.bytes().saturating_mul(4));
        check(self.segment_size >= Size::mib(1), "segment_size", "is too small; write at least \"1MiB\"".into());
        check(
            self.max_size >= four_segments,
            "max_size",
            format!("must hold at least four segments; write at least \"{four_segments}\""),
        );
        check(
            self.reserve().bytes() <= self.max_size.bytes() / 2,
            "reserve",
            format!("leaves too little for the other senders; write at most \"{}\"", Size(self.max_size.bytes() / 2)),
        );
        check(self.memory >= Size::mib(2), "memory", "is too small for a few batches; write at least \"2MiB\"".into());
        check(
            self.flush_bytes <= self.memory && !self.flush_bytes.is_empty(),
            "flush_bytes",
            format!("must be more than nothing and fit into memory; write at most \"{}\"", self.memory),
        );
        let span = Duration::from_millis(1)..=Duration::from_secs(60);
        check(span.contains(&self.flush_after.0), "flush_after", "must be between \"1ms\" and \"1m\"".into());
        check((1..=99).contains(&self.backlog_share), "backlog_share", "is a percentage; write 1 to 99".into());
        problems
    }
}

/// What happens when the queue may not grow any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// Senders wait; only what cannot wait (UDP) is dropped, once the reserve is used up too.
    HoldBack,
    /// The oldest events make room, a segment at a time.
    DropOldest,
    /// New events are dropped; their senders are answered as if they were stored.
    DropNewest,
}

/// When a batch counts as settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Settle {
    /// Durable on our disk, or acknowledged by every output, whichever comes first; the latter spares the write.
    DurableOrDelivered,
    /// Durable on our disk, always.
    Durable,
}

/// What goes out first when a backlog waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Drain {
    /// New events at once, the backlog in the rest of the bandwidth.
    LiveFirst,
    /// Everything in the order it came.
    InOrder,
}

/// What the queue has to know of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputRule {
    /// Its id.
    pub id: OutputId,
    /// Whether the queue may let go of events that it has not had.
    pub may_skip: bool,
    /// Whether its far end acknowledges; only then may a delivery spare a write.
    pub acknowledges: bool,
}
