//! Where pages go: the queue, or in tests a model of it that can lose what was not settled.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;

use crate::event::{Batch, SourceId};
use crate::queue::{Closed, Intake};
use crate::status::DropReason;

/// A future behind a trait object.
pub(in crate::source) type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + Sync + 'a>>;

/// What the loop needs of a queue.
pub(in crate::source) trait Store: Send + Sync {
    /// Hands a batch over; waits for room. The inner future ends when it is settled.
    fn submit(&self, batch: Batch) -> Later<'_, Result<Later<'static, Result<(), Closed>>, Closed>>;

    /// The newest durable checkpoint of a feed.
    fn checkpoint(&self, source: SourceId, feed: String) -> Later<'_, io::Result<BTreeMap<Vec<u8>, Vec<u8>>>>;

    /// Counts events that can never be had.
    fn drop_events(&self, source: &SourceId, reason: DropReason, events: u64);
}

impl Store for Intake {
    fn submit(&self, batch: Batch) -> Later<'_, Result<Later<'static, Result<(), Closed>>, Closed>> {
        Box::pin(async move {
            let ticket = Self::submit(self, batch).await?;
            let settled: Later<'static, _> = Box::pin(ticket.settled());
            Ok(settled)
        })
    }

    fn checkpoint(&self, source: SourceId, feed: String) -> Later<'_, io::Result<BTreeMap<Vec<u8>, Vec<u8>>>> {
        let intake = self.clone();
        Box::pin(async move {
            let read = tokio::task::spawn_blocking(move || Self::checkpoint(&intake, &source, &feed)).await;
            read.unwrap_or_else(|error| Err(io::Error::other(error)))
        })
    }

    fn drop_events(&self, source: &SourceId, reason: DropReason, events: u64) {
        Self::drop_events(self, source, reason, events);
    }
}
