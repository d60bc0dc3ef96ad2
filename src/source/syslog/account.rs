//! What becomes of every event, counted where it happens: on the status board and in the queue's ledger.

use std::net::IpAddr;

use crate::event::{Batch, SourceId};
use crate::queue::{Closed, Intake, Refused};
use crate::status::{Count, DropReason, Handle};
use crate::wire::framing::Frame;

/// The source's side of the balance. Clones count into the same.
#[derive(Clone, Debug)]
pub(super) struct Account {
    source: SourceId,
    intake: Intake,
    status: Handle,
}

impl Account {
    pub(super) fn new(source: SourceId, intake: Intake, status: Handle) -> Self {
        Self { source, intake, status }
    }

    /// Counts events that were lost before the queue had them; the ledger then knows of the hole.
    pub(super) fn dropped(&self, reason: DropReason, events: u64) {
        if events > 0 {
            self.status.counters().drop_events(reason, events);
            self.intake.drop_events(&self.source, reason, events);
        }
    }

    /// Notes who sent datagrams lately.
    pub(super) fn heard(&self, peers: impl Iterator<Item = IpAddr>) {
        let now = self.status.now();
        peers.for_each(|peer| self.status.devices().heard(&peer.to_string(), now));
    }

    /// Hands a batch over; waits for room. If that is cut off or refused, its events count as dropped.
    pub(super) async fn submit(&self, batch: Batch) -> Result<(), Closed> {
        struct InHand<'a>(u32, &'a Account);
        impl Drop for InHand<'_> {
            fn drop(&mut self) {
                self.1.dropped(DropReason::Stopping, self.0.into());
            }
        }
        let mut in_hand = InHand(batch.count(), self);
        self.intake.submit(batch).await?;
        in_hand.0 = 0;
        Ok(())
    }

    /// Hands a batch over if there is room; else it comes back.
    pub(super) fn try_submit(&self, batch: Batch) -> Result<(), Refused> {
        self.intake.try_submit(batch).map(drop)
    }

    /// Begins to count what is taken in one go.
    pub(super) fn tally(&self) -> Tally<'_> {
        Tally { status: &self.status, events: 0, bytes: 0, cut: 0 }
    }
}

/// Counts what was taken, once per read and not once per message.
#[derive(Debug)]
pub(super) struct Tally<'a> {
    status: &'a Handle,
    events: u64,
    bytes: u64,
    cut: u64,
}

impl Tally<'_> {
    pub(super) fn add(&mut self, frame: &Frame<'_>) {
        self.events += 1;
        self.bytes += frame.bytes.len() as u64;
        self.cut += u64::from(frame.cut_from.is_some());
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        let counters = self.status.counters();
        counters.add(Count::ReceivedEvents, self.events);
        counters.add(Count::ReceivedBytes, self.bytes);
        counters.add(Count::CutEvents, self.cut);
    }
}
