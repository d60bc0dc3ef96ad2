//! Notifications: which objects were written to a bucket of one's own. A message is deleted once all its objects are settled.
//!
//! Facts: AWS, SQS: a message that is received is hidden for a time, and comes again unless it is deleted by then; it may come
//! twice all the same. What was never told, for want of the right settings, only a full list finds: so there is one a day.

use std::time::Duration;

use tokio::time::Instant;

use crate::source::pull::Trouble;
use crate::source::s3::{Notices, Written};
use crate::status::Cause;

/// How long messages are hidden while their objects are read.
const HIDE: Duration = Duration::from_secs(300);
/// They are hidden anew after this.
const AGAIN: Duration = Duration::from_secs(100);

/// The messages that are being dealt with.
#[derive(Debug)]
pub(super) struct Inbox {
    notices: Notices,
    /// By which they are deleted.
    open: Vec<String>,
    hidden: Instant,
    /// Their objects are handed over, and are settled by the next time we are asked.
    is_done: bool,
}

impl Inbox {
    pub(super) fn new(notices: Notices) -> Self {
        Self { notices, open: Vec::new(), hidden: Instant::now(), is_done: false }
    }

    /// Everything of the open messages is handed over.
    pub(super) fn done(&mut self) {
        self.is_done = true;
    }

    /// Waits for messages, and deletes those that are done.
    ///
    /// # Errors
    /// In words.
    ///
    /// # Cancel safety
    /// Messages on their way come again.
    pub(super) async fn next(&mut self) -> Result<Vec<Written>, Trouble> {
        self.delete().await?;
        let (messages, now) = (self.notices.receive(HIDE).await?, Instant::now());
        self.hidden = now;
        self.open = messages.iter().map(|message| message.receipt.clone()).collect();
        Ok(messages.into_iter().flat_map(|message| message.written).collect())
    }

    /// Deletes what is done.
    async fn delete(&mut self) -> Result<(), Trouble> {
        if !std::mem::take(&mut self.is_done) {
            return Ok(());
        }
        for receipt in std::mem::take(&mut self.open) {
            match self.notices.delete(&receipt).await {
                // One that came again meanwhile has another receipt: it is deleted by that.
                Err(trouble) if trouble.cause == Cause::Protocol => {
                    tracing::info!(error = trouble.what, "a notification is not deleted and will come again");
                }
                other => other?,
            }
        }
        Ok(())
    }

    /// Keeps the open messages hidden, where their objects take long.
    pub(super) async fn hold(&mut self) {
        if self.open.is_empty() || self.hidden.elapsed() < AGAIN {
            return;
        }
        self.hidden = Instant::now();
        for receipt in &self.open {
            if let Err(trouble) = self.notices.hide(receipt, HIDE).await {
                // Its objects come twice at worst, and are known then.
                tracing::info!(error = trouble.what, "a notification may come again");
                return;
            }
        }
    }

    /// For a test.
    pub(super) async fn probe(&self) -> Result<(), Trouble> {
        self.notices.receive(Duration::ZERO).await.map(drop)
    }
}
