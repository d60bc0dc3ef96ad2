//! What all connections of a source fill together.

use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

use super::account::{Account, Tally};
use crate::clock::{Clock, Timestamp};
use crate::event::{BatchBuilder, BatchLimits, Kind, Origin, Record, SourceId};
use crate::quantity::Span;
use crate::queue::Closed;
use crate::status::DropReason;
use crate::wire::framing::{Decoder, Frame, FramingError};

/// One open batch for all connections. Whoever fills it waits for the queue with the lock in hand, so all others wait too:
/// that is the back-pressure, and the bound of the memory.
#[derive(Debug)]
pub(super) struct Collector {
    builder: Mutex<BatchBuilder>,
    /// Told when a batch is begun.
    begun: Notify,
    account: Account,
    clock: Clock,
}

/// Why a connection's messages can no longer be taken.
#[derive(Debug)]
pub(super) enum TakeError {
    Framing(FramingError),
    Closed,
}

impl From<FramingError> for TakeError {
    fn from(error: FramingError) -> Self {
        Self::Framing(error)
    }
}

impl From<Closed> for TakeError {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl Collector {
    pub(super) fn new(source: SourceId, account: Account, clock: Clock) -> Self {
        let builder = BatchBuilder::new(source, Kind::Syslog, BatchLimits::default());
        Self { builder: Mutex::new(builder), begun: Notify::new(), account, clock }
    }

    /// Takes every whole message out of `decoder`; waits while the queue has no room.
    pub(super) async fn take(&self, decoder: &mut Decoder, origin: &Origin) -> Result<(), TakeError> {
        let received = self.clock.now();
        let mut tally = self.account.tally();
        let mut guard = None;
        while let Some(frame) = decoder.next()? {
            let builder = match &mut guard {
                Some(builder) => builder,
                None => guard.insert(self.builder.lock().await),
            };
            self.push(builder, &frame, origin, received, &mut tally).await?;
        }
        Ok(())
    }

    /// Takes one message that ended with its connection or by silence.
    pub(super) async fn take_one(&self, frame: Frame<'_>, origin: &Origin) -> Result<(), TakeError> {
        let mut tally = self.account.tally();
        let mut builder = self.builder.lock().await;
        self.push(&mut builder, &frame, origin, self.clock.now(), &mut tally).await?;
        Ok(())
    }

    async fn push(
        &self,
        builder: &mut BatchBuilder,
        frame: &Frame<'_>,
        origin: &Origin,
        received: Timestamp,
        tally: &mut Tally<'_>,
    ) -> Result<(), Closed> {
        let is_first = builder.count() == 0;
        let record = Record { received, origin, id: None, cut_from: frame.cut_from, bytes: frame.bytes };
        let is_full = builder.push(&record);
        // From here on it is ours to deliver or to count as dropped.
        tally.add(frame);
        if is_full {
            self.seal(builder).await?;
        } else if is_first {
            self.begun.notify_one();
        }
        Ok(())
    }

    async fn seal(&self, builder: &mut BatchBuilder) -> Result<(), Closed> {
        match builder.seal() {
            Some(batch) => self.account.submit(batch).await,
            None => Ok(()),
        }
    }

    /// Closes every batch that is `after` old, until `done`. A batch that filled up meanwhile only makes the next one close
    /// earlier than it had to.
    pub(super) async fn close_by_age(&self, after: Span, done: &CancellationToken) {
        loop {
            tokio::select! {
                () = done.cancelled() => return,
                () = self.begun.notified() => {}
            }
            tokio::select! {
                () = done.cancelled() => return,
                () = tokio::time::sleep(after.0) => {}
            }
            if self.flush().await.is_err() {
                return;
            }
        }
    }

    /// Hands over what is there.
    pub(super) async fn flush(&self) -> Result<(), Closed> {
        let mut builder = self.builder.lock().await;
        self.seal(&mut builder).await
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // Only when the source was cut off: otherwise the last flush has emptied it.
        let left = self.builder.get_mut().count();
        self.account.dropped(DropReason::Stopping, left.into());
    }
}
