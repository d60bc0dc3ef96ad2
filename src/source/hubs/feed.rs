//! One partition, read by one consumer group: events in, batches out, each with the position that it reaches.
//!
//! Invariants: a batch ends between two events of the hub, and its checkpoint is its last event; what the queue did not take
//! is read again. What may be on its way from the hub is bounded: in events by the credit, which is made from the largest
//! event of late and this partition's share of `prefetch`; while the queue has no room nothing more is asked for.
//!
//! Facts: sequence numbers of a partition rise by one (Microsoft, "Features and terminology in Azure Event Hubs"); an offset
//! is text that only the service understands. Numbers that are left out are a hole and are counted as dropped.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::amqp::{Event, From, PartitionFacts};
use super::envelope::{self, Records};
use super::fault::Fault;
use super::identity::Identity;
use super::lost;
use super::settings::{Config, Start};
use crate::clock::Clock;
use crate::event::{Batch, BatchBuilder, BatchLimits, Checkpoint, Kind, Origin, Record};
use crate::queue::Closed;
use crate::source::pull::{Later, Store};
use crate::status::{Count, DropReason, Handle};
use crate::wire::azure::Place;

/// Batches that wait to be settled before reading stops: enough to keep the queue's writer busy, little in memory.
const UNSETTLED: usize = 8;
/// The most events on their way for one partition: what the vendor's libraries prefetch.
const MOST_CREDIT: usize = 300;
/// How large an event is taken to be before one was seen: exports fill events with records up to some tens of KiB.
const USUAL_EVENT: usize = 64 << 10;
/// The key of a checkpoint.
const POSITION: &[u8] = b"position";

/// What all partitions of a hub share.
pub(super) struct Account {
    pub(super) config: Config,
    pub(super) namespace: String,
    pub(super) hub: String,
    pub(super) store: Arc<dyn Store>,
    pub(super) status: Handle,
    pub(super) clock: Clock,
}

/// One partition and group. It outlives connections.
pub(super) struct Feed {
    account: Arc<Account>,
    pub(super) group: String,
    pub(super) partition: String,
    /// Names the checkpoint, and the place in health and log.
    pub(super) name: String,
    identity: Identity,
    /// The last event in the builder, or before it. `None` where nothing was ever read.
    position: Option<Position>,
    is_loaded: bool,
    /// Another reader pushed this one out: it does not push back.
    pub(super) yields: bool,
    /// Bytes that may be on their way.
    share: usize,
    largest: usize,
    builder: BatchBuilder,
    building: u64,
    begun: Option<Instant>,
    settling: VecDeque<Settling>,
    scratch: Vec<u8>,
    pub(super) progress: Arc<Progress>,
}

/// A batch that the queue took, and how many events it holds.
type Settling = (Later<'static, Result<(), Closed>>, u64);

/// A link that a partition's events come by.
pub(super) trait Inflow: Send {
    /// Lets this many more events come. A link that has ended says why when the next event is asked for.
    fn allow(&mut self, events: u32) -> impl Future<Output = ()> + Send;

    /// The next event; `None` for one that is no AMQP message.
    ///
    /// # Errors
    /// When the link has ended.
    ///
    /// # Cancel safety
    /// Safe: no event is lost.
    fn next(&mut self) -> impl Future<Output = Result<Option<Event>, Fault>> + Send;

    /// Accepts what came so far; as [`Inflow::allow`] where the link has ended.
    fn accept(&mut self) -> impl Future<Output = ()> + Send;
}

/// How far a feed is, for the one who watches it.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The sequence number of the last event.
    pub(super) sequence: AtomicI64,
    /// Events that were read in all.
    pub(super) events: AtomicU64,
    /// It waits for room in the queue.
    pub(super) is_held: AtomicBool,
}

/// Where a partition was read up to, as the checkpoint keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    sequence: i64,
    /// Empty where the next event is the oldest one.
    offset: String,
    /// When the hub was made: one of the same name that is newer has nothing to do with it.
    created: i64,
}

impl Feed {
    pub(super) fn new(account: Arc<Account>, group: &str, partition: &str, share: usize) -> Self {
        let name = format!("{}/{}/{group}/{partition}", account.namespace, account.hub);
        let own_group = account.config.event_per_group.then_some(group);
        let identity = Identity::new(&account.namespace, &account.hub, own_group, partition);
        let builder = BatchBuilder::new(account.config.id.clone(), Kind::EventHub, BatchLimits::default());
        let progress = Arc::new(Progress { sequence: AtomicI64::new(-1), ..Progress::default() });
        Self {
            group: group.to_owned(),
            partition: partition.to_owned(),
            name,
            identity,
            position: None,
            is_loaded: false,
            yields: false,
            share,
            largest: USUAL_EVENT,
            builder,
            building: 0,
            begun: None,
            settling: VecDeque::new(),
            scratch: Vec::new(),
            progress,
            account,
        }
    }

    /// Where to begin, by the checkpoint and what the hub still has. Holes are told and counted here.
    ///
    /// # Errors
    /// When the checkpoint cannot be read, or the queue is closed.
    pub(super) async fn prepare(&mut self, facts: &PartitionFacts, created: i64) -> Result<(), Fault> {
        self.load().await?;
        let Some(position) = &self.position else {
            if self.account.config.start == Start::Latest && facts.last >= 0 {
                self.moved(Some(Position { sequence: facts.last, offset: facts.last_offset.clone(), created }));
            }
            return Ok(());
        };
        if (position.created != created && position.created != 0 && created != 0) || position.sequence > facts.last {
            return self.start_over("the event hub was made anew since it was last read").await;
        }
        let oldest = if facts.is_empty { facts.last + 1 } else { facts.begin };
        let missing = u64::try_from(oldest - position.sequence - 1).unwrap_or(0);
        if missing > 0 {
            let position = Position { sequence: oldest - 1, offset: String::new(), created };
            let why = format!("{missing} events grew older than the event hub keeps them before they were read");
            self.lose(&why, Some(missing), Some(position)).await?;
        }
        Ok(())
    }

    /// Begins with the oldest event, because the position is worth nothing any more.
    ///
    /// # Errors
    /// When the queue is closed.
    pub(super) async fn start_over(&mut self, why: &str) -> Result<(), Fault> {
        self.lose(why, None, None).await
    }

    /// Where the next reader begins.
    pub(super) fn from(&self) -> From<'_> {
        match &self.position {
            Some(position) if !position.offset.is_empty() => From::After { offset: &position.offset },
            _ => From::Earliest,
        }
    }

    async fn load(&mut self) -> Result<(), Fault> {
        if self.is_loaded {
            return Ok(());
        }
        let read = self.account.store.checkpoint(self.account.config.id.clone(), self.name.clone()).await;
        let failed = |error: std::io::Error| {
            Fault::Secret(
                format!("the queue's checkpoint cannot be read: {error}"),
                "if it stays, restart the box".into(),
            )
        };
        let found = read.map_err(failed)?;
        let position = found.get(POSITION).and_then(|value| serde_json::from_slice(value).ok());
        self.moved(position);
        self.is_loaded = true;
        Ok(())
    }

    fn moved(&mut self, position: Option<Position>) {
        self.progress.sequence.store(position.as_ref().map_or(-1, |position| position.sequence), Ordering::Relaxed);
        self.position = position;
    }

    /// What was read since the last batch is not in the queue and will not be: the checkpoint decides.
    fn forget(&mut self) {
        self.position = None;
        self.is_loaded = false;
    }

    /// Tells of a hole, and keeps the position behind it with what is told.
    async fn lose(&mut self, why: &str, count: Option<u64>, position: Option<Position>) -> Result<(), Fault> {
        self.flush(&CancellationToken::new()).await.map_err(|Closed| Fault::Closed)?;
        tracing::warn!(feed = self.name, events = count, "{why}");
        let last = self.position.as_ref().map(|position| position.sequence);
        let notice = lost(&self.account, &self.name, why, count, last);
        let batch = notice.with_checkpoint(self.checkpoint(position.as_ref()));
        if let Some(count) = count {
            self.count_lost(count);
        }
        self.account.status.counters().add(Count::ReceivedEvents, 1);
        let settled = self.account.store.submit(batch).await.map_err(|Closed| Fault::Closed)?;
        self.settling.push_back((settled, 1));
        self.moved(position);
        Ok(())
    }

    fn count_lost(&self, events: u64) {
        let Account { status, store, config, .. } = &*self.account;
        status.counters().drop_events(DropReason::Expired, events);
        store.drop_events(&config.id, DropReason::Expired, events);
    }

    fn checkpoint(&self, position: Option<&Position>) -> Checkpoint {
        let value = position.and_then(|position| serde_json::to_vec(position).ok());
        Checkpoint { feed: self.name.clone(), changes: vec![(POSITION.to_vec(), value)] }
    }

    /// Reads until the link ends or it is told to stop; then hands over what it has. Gives itself back with what ended it.
    pub(super) async fn run(
        mut self,
        mut reader: impl Inflow,
        from: Origin,
        created: i64,
        stop: CancellationToken,
    ) -> Ended {
        let mut fault = self.read(&mut reader, &from, created, &stop).await.err();
        if let Err(Closed) = self.flush(&stop).await {
            fault = Some(Fault::Closed);
        }
        drop(reader);
        Ended { feed: self, fault }
    }

    async fn read(
        &mut self,
        reader: &mut impl Inflow,
        from: &Origin,
        created: i64,
        stop: &CancellationToken,
    ) -> Result<(), Fault> {
        let mut left = self.credit();
        let mut given = left;
        reader.allow(left).await;
        loop {
            let may_read = self.settling.len() < UNSETTLED;
            let due = self.begun.map(|begun| begun + self.account.config.batch_after.0);
            tokio::select! {
                event = reader.next(), if may_read => {
                    left = left.saturating_sub(1);
                    if let Some(event) = event?
                        && self.take(&event, from, created)?
                    {
                        self.flush(stop).await.map_err(|Closed| Fault::Closed)?;
                    }
                    if left <= given / 2 {
                        reader.accept().await;
                        (left, given) = (self.credit(), self.credit());
                        reader.allow(left).await;
                    }
                }
                settled = settled(self.settling.front_mut()), if !self.settling.is_empty() => self.settled(settled)?,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() && may_read => {
                    self.flush(stop).await.map_err(|Closed| Fault::Closed)?;
                    reader.accept().await;
                }
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    fn credit(&self) -> u32 {
        u32::try_from((self.share / self.largest.max(1)).clamp(1, MOST_CREDIT)).unwrap_or(1)
    }

    /// Adds an event to the batch; true once it is full.
    fn take(&mut self, event: &Event, from: &Origin, created: i64) -> Result<bool, Fault> {
        self.progress.events.fetch_add(1, Ordering::Relaxed);
        if event.sequence < 0 || event.offset.is_empty() {
            return Err(Fault::Broken("an event has no sequence number or offset".into()));
        }
        if let Some(position) = &self.position {
            if event.sequence <= position.sequence {
                return Ok(false);
            }
            let missing = u64::try_from(event.sequence - position.sequence - 1).unwrap_or(0);
            if missing > 0 {
                tracing::warn!(feed = self.name, events = missing, before = event.sequence, "events are missing");
                self.count_lost(missing);
            }
        }
        let bytes = event.body.as_deref().unwrap_or_default();
        self.largest = bytes.len().max(self.largest - self.largest / 16).max(512);
        let is_full = match event.body.as_deref().map(envelope::open) {
            Some(Records::Split(records)) => {
                let mut is_full = false;
                for ((record, mark), number) in records.into_iter().zip(0..) {
                    is_full |= self.push(event, record, number, mark, from);
                }
                is_full
            }
            Some(Records::Whole(mark)) => self.push(event, bytes, 0, mark, from),
            None => self.push(event, bytes, 0, Some("no_bytes"), from),
        };
        self.moved(Some(Position { sequence: event.sequence, offset: event.offset.clone(), created }));
        self.begun.get_or_insert_with(Instant::now);
        Ok(is_full)
    }

    fn push(&mut self, event: &Event, record: &[u8], number: u32, mark: Option<&'static str>, from: &Origin) -> bool {
        let Account { namespace, hub, clock, .. } = &*self.account;
        let place = Place {
            namespace: namespace.into(),
            hub: hub.into(),
            group: (&self.group).into(),
            partition: (&self.partition).into(),
            sequence: event.sequence,
            offset: (&event.offset).into(),
            enqueued: u64::try_from(event.enqueued).unwrap_or(0),
            key: event.key.as_deref().map(Into::into),
            record: number,
            mark: mark.map(Into::into),
        };
        self.scratch.clear();
        place.write(record, &mut self.scratch);
        let id = self.identity.of(event.sequence, event.enqueued, number);
        self.building += record.len() as u64;
        let bytes = &self.scratch;
        self.builder.push(&Record { received: clock.now(), origin: from, id: Some(&id), cut_from: None, bytes })
    }

    /// Hands over what there is; waits for room. If it is told to stop meanwhile, the events are read again another time.
    async fn flush(&mut self, stop: &CancellationToken) -> Result<(), Closed> {
        self.begun = None;
        let bytes = std::mem::take(&mut self.building);
        let Some(batch) = self.builder.seal() else { return Ok(()) };
        let batch = batch.with_checkpoint(self.checkpoint(self.position.as_ref()));
        let events = u64::from(batch.count());
        self.progress.is_held.store(true, Ordering::Relaxed);
        let settled = submit(&*self.account.store, batch, stop).await;
        self.progress.is_held.store(false, Ordering::Relaxed);
        match settled? {
            Some(settled) => {
                let counters = self.account.status.counters();
                counters.add(Count::ReceivedEvents, events);
                counters.add(Count::ReceivedBytes, bytes);
                self.settling.push_back((settled, events));
            }
            None => self.forget(),
        }
        Ok(())
    }

    fn settled(&mut self, settled: Result<(), Closed>) -> Result<(), Fault> {
        if let Some((_, events)) = self.settling.pop_front() {
            settled.map_err(|Closed| Fault::Closed)?;
            self.account.status.counters().add(Count::SettledEvents, events);
        }
        Ok(())
    }

    /// Waits until all is settled, so that the checkpoint is where the next start finds it.
    pub(super) async fn drain(&mut self) {
        while !self.settling.is_empty() {
            let settled = settled(self.settling.front_mut()).await;
            if self.settled(settled).is_err() {
                return;
            }
        }
    }
}

/// What became of a feed.
pub(super) struct Ended {
    pub(super) feed: Feed,
    /// `None` where it was told to stop.
    pub(super) fault: Option<Fault>,
}

/// Hands a batch over; `None` if it was told to stop before there was room.
async fn submit(
    store: &dyn Store,
    batch: Batch,
    stop: &CancellationToken,
) -> Result<Option<Later<'static, Result<(), Closed>>>, Closed> {
    // Room that is there is used, also while stopping.
    tokio::select! {
        biased;
        settled = store.submit(batch) => settled.map(Some),
        () = stop.cancelled() => Ok(None),
    }
}

async fn settled(front: Option<&mut Settling>) -> Result<(), Closed> {
    match front {
        Some((settled, _)) => settled.await,
        None => std::future::pending().await,
    }
}
