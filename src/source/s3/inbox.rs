//! The messages of a queue that are being dealt with: hidden meanwhile, and deleted once everything of them is settled.
//!
//! Facts: AWS, SQS: a message that is received is hidden for a time, and comes again unless it is deleted by then; it may come
//! twice all the same, each time under another receipt.

use std::time::Duration;

use tokio::time::Instant;

use super::notices::{Message, Notices};
use crate::source::pull::Trouble;
use crate::status::Cause;

/// The messages that are being dealt with.
#[derive(Debug)]
pub(in crate::source) struct Inbox {
    notices: Notices,
    /// How long they are hidden; they are hidden anew after a third of it.
    hide: Duration,
    hidden: Instant,
    /// The receipts of those that are open.
    open: Vec<String>,
    /// The receipts of those that can be deleted.
    done: Vec<String>,
}

impl Inbox {
    pub(in crate::source) fn new(notices: Notices, hide: Duration) -> Self {
        Self { notices, hide, hidden: Instant::now(), open: Vec::new(), done: Vec::new() }
    }

    /// Everything of all open messages is settled by the next time we are asked.
    pub(in crate::source) fn all_done(&mut self) {
        self.done.append(&mut self.open);
    }

    /// Everything of this message is settled.
    pub(in crate::source) fn done(&mut self, receipt: String) {
        self.leave(&receipt);
        self.done.push(receipt);
    }

    /// Hides a message no longer: it comes again.
    pub(in crate::source) fn leave(&mut self, receipt: &str) {
        self.open.retain(|open| open != receipt);
    }

    /// Deletes those that are done, and waits for others.
    ///
    /// # Errors
    /// In words.
    ///
    /// # Cancel safety
    /// Messages on their way come again.
    pub(in crate::source) async fn next(&mut self) -> Result<Vec<Message>, Trouble> {
        self.delete().await?;
        let (messages, now) = (self.notices.receive(self.hide).await?, Instant::now());
        self.hidden = now;
        self.open = messages.iter().map(|message| message.receipt.clone()).collect();
        Ok(messages)
    }

    /// Deletes those that are done.
    ///
    /// # Errors
    /// In words; those that were not deleted come again.
    ///
    /// # Cancel safety
    /// As with an error.
    pub(in crate::source) async fn delete(&mut self) -> Result<(), Trouble> {
        for receipt in std::mem::take(&mut self.done) {
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
    ///
    /// # Cancel safety
    /// They come again at worst.
    pub(in crate::source) async fn hold(&mut self) {
        if self.open.is_empty() || self.hidden.elapsed() < self.hide / 3 {
            return;
        }
        self.hidden = Instant::now();
        for receipt in &self.open {
            if let Err(trouble) = self.notices.hide(receipt, self.hide).await {
                // Its objects come twice at worst, and are known then.
                tracing::info!(error = trouble.what, "a notification may come again");
                return;
            }
        }
    }
}
