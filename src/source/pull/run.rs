//! The loop: asks a feed, hands what comes to the queue, waits.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::flight::Flight;
use super::position::{Change, GROUP};
use super::store::Store;
use super::{Hole, Next, Page, Picture, Position, Trouble, Wait};
use crate::clock::Clock;
use crate::event::{Batch, BatchBuilder, BatchLimits, Checkpoint, Kind, Origin, Record, SourceId, Transport};
use crate::net::Backoff;
use crate::queue::Closed;
use crate::source::SourceError;
use crate::status::{Count, Handle};

/// Batches handed over and not yet settled; then the oldest is waited for.
const IN_FLIGHT: usize = 16;
/// A first start asks within this, so that the feeds of a source do not all ask in the same moment.
const FIRST: Duration = Duration::from_secs(1);

/// One stream at a vendor.
pub(in crate::source) trait Feed: Send + 'static {
    /// Its name, unique within the source and the same in every run: its checkpoint is kept under it.
    fn name(&self) -> &str;

    /// What the bytes of its records are.
    fn kind(&self) -> Kind {
        Kind::Pulled
    }

    /// Asks for the next page after `position`. Called again after an error, with the same position: what it holds of a
    /// window that is not finished it may keep. A stream keeps its connection in itself, gives a page as soon as something came,
    /// and an empty one every few seconds while it is quiet.
    ///
    /// # Cancel safety
    /// Dropped only when the source stops.
    fn pull(&mut self, position: &Position) -> impl Future<Output = Result<Page, Trouble>> + Send;
}

/// How fast a feed is asked.
#[derive(Clone, Copy, Debug)]
pub(in crate::source) struct Pace {
    /// How long after everything was had.
    pub(in crate::source) poll: Duration,
    /// Shortest and longest wait after an error.
    pub(in crate::source) backoff: (Duration, Duration),
}

/// What all feeds of a source work with.
#[derive(Clone)]
pub(in crate::source) struct Bench {
    pub(in crate::source) id: SourceId,
    pub(in crate::source) store: Arc<dyn Store>,
    pub(in crate::source) status: Handle,
    pub(in crate::source) clock: Clock,
    pub(in crate::source) stop: CancellationToken,
    pub(in crate::source) picture: Arc<Picture>,
}

/// The feeds of a source, each in a task.
pub(in crate::source) struct Feeds {
    tasks: JoinSet<Result<(), SourceError>>,
    stop: CancellationToken,
}

impl Feeds {
    pub(in crate::source) fn new(bench: &Bench) -> Self {
        Self { tasks: JoinSet::new(), stop: bench.stop.clone() }
    }

    pub(in crate::source) fn start(&mut self, feed: impl Feed, pace: Pace, bench: Bench) {
        bench.picture.comes(feed.name());
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let mut run = Run::new(feed, pace, bench);
            tokio::select! {
                () = stop.cancelled() => Ok(()),
                ended = run.run() => ended,
            }
        });
    }

    /// Waits until all have ended; one that cannot go on ends them all.
    ///
    /// # Errors
    /// The first that did not end because it was told to.
    ///
    /// # Cancel safety
    /// Dropping it ends them; what was not yet handed to the queue is pulled again later.
    pub(in crate::source) async fn join(mut self) -> Result<(), SourceError> {
        let mut result = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            self.note(ended, &mut result);
        }
        result
    }

    /// As [`Feeds::join`]; besides it starts each feed that comes meanwhile. One that is [`Next::Over`] goes; it has to be gone
    /// before one of its name comes.
    ///
    /// # Errors
    /// As [`Feeds::join`].
    ///
    /// # Cancel safety
    /// As [`Feeds::join`].
    pub(in crate::source) async fn join_with<F: Feed>(
        mut self,
        mut coming: mpsc::Receiver<F>,
        pace: Pace,
        bench: Bench,
    ) -> Result<(), SourceError> {
        let mut result = Ok(());
        loop {
            tokio::select! {
                Some(feed) = coming.recv() => self.start(feed, pace, bench.clone()),
                ended = self.tasks.join_next() => match ended {
                    Some(ended) => self.note(ended, &mut result),
                    None => return result,
                },
            }
        }
    }

    /// One has ended; what cannot go on ends them all.
    fn note(&mut self, ended: Result<Result<(), SourceError>, JoinError>, result: &mut Result<(), SourceError>) {
        if let Err(error) = ended.unwrap_or(Err(SourceError::Panicked))
            && result.is_ok()
        {
            *result = Err(error);
            self.tasks.abort_all();
        }
    }
}

/// One feed while it is pulled.
struct Run<F> {
    feed: F,
    pace: Pace,
    bench: Bench,
    origin: Origin,
    /// Kept, because a batch is about as large as the one before.
    builder: BatchBuilder,
    flight: Flight,
}

impl<F: Feed> Run<F> {
    fn new(feed: F, pace: Pace, bench: Bench) -> Self {
        let mut origin = Origin::new(Transport::Https, None);
        origin.name = Some(feed.name().into());
        let flight = Flight::new(bench.status.clone());
        let builder = BatchBuilder::new(bench.id.clone(), feed.kind(), BatchLimits::default());
        Self { feed, pace, bench, origin, builder, flight }
    }

    /// Pulls until the queue closes.
    async fn run(&mut self) -> Result<(), SourceError> {
        let name = self.feed.name().to_owned();
        let kept = self.bench.store.checkpoint(self.bench.id.clone(), name.clone()).await;
        let mut position = Position::of(kept.map_err(SourceError::Checkpoint)?);
        let mut backoff = Backoff::new(self.pace.backoff.0, self.pace.backoff.1);
        tokio::time::sleep(FIRST.min(self.pace.poll).mul_f64(between(0.0, 1.0))).await;
        loop {
            let Ok(pulled) = self.flight.during(self.feed.pull(&position)).await else { return Ok(()) };
            let wait = match pulled {
                Ok(mut page) => {
                    backoff.reset();
                    let (next, through) = (page.next, page.through);
                    self.bench.picture.remark(&name, page.remark.take());
                    if self.hand_over(page, &mut position).await.is_err() {
                        return Ok(());
                    }
                    if self.bench.picture.works(&name, through) {
                        tracing::info!(source = %self.bench.id, feed = name, "records are pulled");
                    }
                    if next == Next::Now {
                        continue;
                    }
                    if self.flight.settle(0).await.is_err() {
                        return Ok(());
                    }
                    if next == Next::Over {
                        self.bench.picture.goes(&name);
                        return Ok(());
                    }
                    self.pace.poll.mul_f64(between(0.9, 1.1))
                }
                Err(trouble) => self.troubled(&name, trouble, &mut backoff),
            };
            if self.flight.during(tokio::time::sleep(wait)).await.is_err() {
                return Ok(());
            }
        }
    }

    /// Says what is wrong; how long to wait.
    fn troubled(&self, name: &str, trouble: Trouble, backoff: &mut Backoff) -> Duration {
        let wait = match trouble.wait {
            Wait::Backoff => backoff.next_delay(),
            // A little later than asked for, each box at its own time.
            Wait::For(wait) => wait.mul_f64(between(1.0, 1.2)).max(self.pace.backoff.0),
            Wait::Person => self.pace.backoff.1.mul_f64(between(0.5, 1.0)),
        };
        let (what, todo) = (trouble.what.clone(), trouble.todo.clone());
        if self.bench.picture.fails(name, trouble) {
            tracing::warn!(source = %self.bench.id, feed = name, error = what, todo, "cannot pull");
        }
        wait
    }

    /// Hands a page to the queue, and moves the position.
    async fn hand_over(&mut self, page: Page, position: &mut Position) -> Result<(), Closed> {
        let bench = self.bench.clone();
        for hole in &page.holes {
            self.submit(notice(&bench, self.feed.name(), hole), 0).await?;
        }
        let (mut bytes, received, mut full) = (0, bench.clock.now(), false);
        for record in &page.records {
            if record.remember.is_some() && position.has_seen(record.id) {
                continue;
            }
            // Only now, so that there is a last batch, which takes the marks.
            if full && let Some(batch) = self.builder.seal() {
                let batch = batch.with_checkpoint(self.checkpoint(position.take_own()));
                self.submit(batch, std::mem::take(&mut bytes)).await?;
            }
            let id = record.id.to_string();
            let cut_from = page.cut.get(&record.id).copied();
            bench.status.counters().add(Count::CutEvents, cut_from.is_some().into());
            let record_of = Record { received, origin: &self.origin, id: Some(&id), cut_from, bytes: &record.bytes };
            full = self.builder.push(&record_of);
            bytes += record.bytes.len() as u64;
            if let Some(time) = record.remember {
                position.see(record.id, time);
            }
            full |= position.own() >= GROUP;
        }
        for (id, time) in page.seen {
            position.see_later(id, time);
        }
        for (name, value) in page.marks {
            position.set(name, value);
        }
        if let Some(before) = page.forget {
            position.forget(before);
        }
        if let Some(batch) = self.builder.seal() {
            let mut changes = position.take_own();
            changes.extend(position.take_pending());
            self.submit(batch.with_checkpoint(self.checkpoint(changes)), bytes).await?;
        }
        if let Some(settled) = page.settled {
            self.flight.tell(settled);
        }
        drop(page.permit);
        Ok(())
    }

    fn checkpoint(&self, changes: Vec<Change>) -> Checkpoint {
        Checkpoint { feed: self.feed.name().to_owned(), changes }
    }

    async fn submit(&mut self, batch: Batch, bytes: u64) -> Result<(), Closed> {
        let events = u64::from(batch.count());
        let settled = self.bench.store.submit(batch).await?;
        let counters = self.bench.status.counters();
        counters.add(Count::ReceivedEvents, events);
        counters.add(Count::ReceivedBytes, bytes);
        self.flight.add(settled, events);
        self.flight.settle(IN_FLIGHT).await
    }
}

/// A number at random: boxes that were started together must not ask together.
fn between(least: f64, most: f64) -> f64 {
    rand::rng().random_range(least..most)
}

/// The event of a hole.
#[expect(clippy::expect_used, reason = "a record was pushed in the line above")]
fn notice(bench: &Bench, feed: &str, hole: &Hole) -> Batch {
    let now = bench.clock.now();
    let event = json!({
        "@timestamp": now.to_string(),
        "message": format!("records of {feed} are lost: {}", hole.what),
        "event": { "kind": "event", "category": ["host"], "action": "gap", "outcome": "failure" },
        "notice": {
            "kind": "gap", "source": bench.id.as_str(), "feed": feed, "from": hole.from.to_string(),
            "to": hole.to.to_string(), "reason": hole.what,
        },
    });
    tracing::warn!(source = %bench.id, feed, from = %hole.from, to = %hole.to, "records are lost: {}", hole.what);
    let mut builder = BatchBuilder::new(bench.id.clone(), Kind::Notice, BatchLimits::default());
    let (origin, text) = (Origin::new(Transport::Internal, None), event.to_string());
    builder.push(&Record { received: now, origin: &origin, id: None, cut_from: None, bytes: text.as_bytes() });
    builder.seal().expect("not empty")
}
