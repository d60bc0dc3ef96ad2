//! Batches on their way into custody, in order, and who is told once they are there.

use std::collections::VecDeque;
use std::pin::pin;

use tokio::sync::oneshot;

use super::store::Later;
use crate::queue::Closed;
use crate::status::{Count, Handle};

/// Batches that were handed over and are not yet settled.
pub(super) struct Flight {
    waiting: VecDeque<Waiting>,
    status: Handle,
}

enum Waiting {
    /// A batch, and how many events it holds.
    Batch(Later<'static, Result<(), Closed>>, u64),
    /// Told once everything before it is settled.
    Told(oneshot::Sender<()>),
}

impl Flight {
    pub(super) fn new(status: Handle) -> Self {
        Self { waiting: VecDeque::new(), status }
    }

    /// Takes in a batch that was handed over.
    pub(super) fn add(&mut self, settled: Later<'static, Result<(), Closed>>, events: u64) {
        self.waiting.push_back(Waiting::Batch(settled, events));
    }

    /// Tells it once everything that was handed over before is settled.
    pub(super) fn tell(&mut self, told: oneshot::Sender<()>) {
        self.waiting.push_back(Waiting::Told(told));
        self.tell_first();
    }

    /// Waits until at most so many wait.
    ///
    /// # Errors
    /// When the queue is closed.
    pub(super) async fn settle(&mut self, most: usize) -> Result<(), Closed> {
        while self.waiting.len() > most {
            self.oldest().await?;
        }
        Ok(())
    }

    /// Does this work, and lets batches settle meanwhile.
    ///
    /// # Errors
    /// When the queue is closed; the work is dropped then.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Closed> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                settled = self.oldest(), if !self.waiting.is_empty() => settled?,
            }
        }
    }

    /// Waits for the oldest batch. Dropping it loses nothing.
    async fn oldest(&mut self) -> Result<(), Closed> {
        if let Some(Waiting::Batch(settled, events)) = self.waiting.front_mut() {
            settled.await?;
            self.status.counters().add(Count::SettledEvents, *events);
            self.waiting.pop_front();
        }
        self.tell_first();
        Ok(())
    }

    /// Tells those that have no batch before them; one that no longer listens needs not know.
    fn tell_first(&mut self) {
        while let Some(Waiting::Told(_)) = self.waiting.front() {
            if let Some(Waiting::Told(told)) = self.waiting.pop_front() {
                let _ = told.send(());
            }
        }
    }
}
