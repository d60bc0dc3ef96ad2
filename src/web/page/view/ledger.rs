//! The ledger: whether for each source `received = delivered + queued + dropped`.

use std::collections::BTreeMap;

use askama::Template;
use schemars::JsonSchema;
use serde::Serialize;

use super::card::Dropped;
use super::frame::Frame;
use super::text;
use crate::event::SourceId;
use crate::queue::{Balance, Totals};

/// The balance of all sources since the queue was made.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Ledger {
    /// When this was so (RFC 3339).
    pub at: String,
    /// Whether all of them balance.
    pub balances: bool,
    /// By id; also sources that the settings no longer name.
    pub sources: Vec<SourceBalance>,
}

/// The balance of one source.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SourceBalance {
    /// The source's id.
    pub source: String,
    /// Events taken from its senders, drops included.
    pub received: u64,
    /// Events that every output had to have, and has.
    pub delivered: u64,
    /// Events that wait in the queue.
    pub queued: u64,
    /// All drops together.
    pub dropped: u64,
    /// Why they were dropped.
    pub reasons: Vec<Dropped>,
    /// Whether it balances.
    pub balances: bool,
}

impl Ledger {
    /// The ledger of the queue's totals at a time (RFC 3339).
    #[must_use]
    pub fn of(at: &str, totals: &BTreeMap<SourceId, Totals>) -> Self {
        let sources: Vec<SourceBalance> = totals.iter().map(SourceBalance::of).collect();
        Self { at: at.to_owned(), balances: sources.iter().all(|source| source.balances), sources }
    }

    fn clock(&self) -> String {
        text::clock(&self.at)
    }
}

impl SourceBalance {
    fn of((source, totals): (&SourceId, &Totals)) -> Self {
        let queued = totals.queued();
        let balance = Balance::of(totals.clone(), queued);
        Self {
            source: source.to_string(),
            received: totals.received,
            delivered: totals.delivered,
            queued,
            dropped: totals.dropped(),
            reasons: Dropped::list(&totals.dropped),
            balances: balance.balances,
        }
    }

    /// Received, delivered, queued, dropped.
    fn numbers(&self) -> [String; 4] {
        [self.received, self.delivered, self.queued, self.dropped].map(text::thousands)
    }

    /// What the columns come to, where they do not come to what was received.
    fn sum(&self) -> String {
        text::thousands(self.delivered.saturating_add(self.queued).saturating_add(self.dropped))
    }
}

#[derive(Debug, Template)]
#[template(path = "ledger.html", config = ".askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    page: &'a Ledger,
}

pub(super) fn page(frame: &Frame, page: &Ledger) -> String {
    super::render(&Page { frame, page })
}
