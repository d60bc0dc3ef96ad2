//! A message on its way: from the queue, through its files, until everything of it is settled and it may be deleted.

use std::collections::VecDeque;

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::message::File;
use crate::source::pull::Page;
use crate::source::s3::Inbox;

/// A message whose files are read.
#[derive(Debug)]
pub(super) struct Delivery {
    /// By which it is deleted.
    pub(super) receipt: String,
    /// Those that are still to be read.
    pub(super) files: VecDeque<File>,
    /// Some of them could not be had now: it is not deleted, and comes again.
    pub(super) comes_again: bool,
}

/// Messages of which everything is handed over.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    /// By the end of the page that is being filled.
    ended: Vec<String>,
    /// With earlier pages; told once these are settled.
    waiting: VecDeque<(Vec<String>, oneshot::Receiver<()>)>,
}

impl Leaving {
    /// Everything of this message is in this page or in those before.
    pub(super) fn ended(&mut self, receipt: String) {
        self.ended.push(receipt);
    }

    /// Whether a message has ended with the page that is being filled.
    pub(super) fn is_any_new(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.ended.is_empty() && self.waiting.is_empty()
    }

    /// The page is full: lets it tell when it is settled.
    pub(super) fn go_with(&mut self, page: &mut Page) {
        if self.is_any_new() {
            let (tell, told) = oneshot::channel();
            page.settled = Some(tell);
            self.waiting.push_back((std::mem::take(&mut self.ended), told));
        }
    }

    /// Lets the inbox delete those that are settled.
    pub(super) fn settle(&mut self, inbox: &mut Inbox) {
        while let Some((_, told)) = self.waiting.front_mut() {
            let is_settled = match told.try_recv() {
                Ok(()) => true,
                Err(TryRecvError::Closed) => false,
                Err(TryRecvError::Empty) => return,
            };
            self.leave(inbox, is_settled);
        }
    }

    /// As [`Leaving::settle`], once all of them are.
    ///
    /// # Cancel safety
    /// Safe.
    pub(super) async fn settle_all(&mut self, inbox: &mut Inbox) {
        while let Some((_, told)) = self.waiting.front_mut() {
            let is_settled = told.await.is_ok();
            self.leave(inbox, is_settled);
        }
    }

    fn leave(&mut self, inbox: &mut Inbox, is_settled: bool) {
        for receipt in self.waiting.pop_front().into_iter().flat_map(|(receipts, _)| receipts) {
            if is_settled { inbox.done(receipt) } else { inbox.leave(&receipt) }
        }
    }
}
