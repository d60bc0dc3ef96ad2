//! What every output does before and after it sends: takes batches from the queue, cuts and encodes them into chunks off
//! the async workers, and keeps what was sent until the far end acknowledged it.
//!
//! The far end takes events in order, so one number says how far it came: everything here is a line of events. A chunk may
//! hold several batches and a batch may span several chunks. Dropping or [`Feed::reset`] gives unacknowledged batches back
//! to the queue with how far they came.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout_at};

use crate::event::{Batch, BatchNumber, Record};
use crate::queue::{Closed, Delivery, Reader};
use crate::status::{Count, Gauge, Handle};

/// Batches taken for one chunk. A quiet source fills one batch per event, and a backlog of those must not go out one by
/// one; more than this at a time only holds memory.
const BATCHES: usize = 256;
/// How long a chunk that is not full waits for batches that are known to wait behind it: some looks at the disk, and little
/// beside the way to a gateway and back.
const LINGER: Duration = Duration::from_millis(20);
/// Buffers kept for the next chunks: one being filled, one being sent, one waiting.
const SPARE: usize = 3;

/// How an output writes events. Called on a blocking thread.
pub(super) trait Format: Send + 'static {
    /// The records that follow are of this batch.
    fn begin(&mut self, number: BatchNumber, batch: &Batch);
    /// Adds one event; `index` is its place in the batch. Returns whether its header could not be parsed.
    fn record(&mut self, index: u32, record: &Record<'_>) -> bool;
    /// Bytes of the chunk so far, by which it is cut.
    fn bytes(&self) -> usize;
    /// Appends the chunk to `to` and starts the next.
    fn finish(&mut self, to: &mut Vec<u8>);
}

/// Where a chunk ends; the event that passes `bytes` still belongs to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChunkLimits {
    pub(super) events: u32,
    pub(super) bytes: usize,
}

/// Encoded events, ready to send.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) bytes: Vec<u8>,
    pub(super) count: u32,
}

/// Why there is no next chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Halt {
    /// We are stopping.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// The encoder panicked: a fault of ours. The output has to be built again.
    #[error("encoding events ended in a panic")]
    Panicked,
}

/// One session's share of the queue.
pub(super) struct Feed {
    reader: Reader,
    status: Handle,
    limits: ChunkLimits,
    /// A batch on its way to us. It has to be driven or dropped: while it looks at the disk, other sessions of the same
    /// output cannot.
    upcoming: Option<Upcoming>,
    /// How long further batches are waited for, once there is one.
    linger_until: Option<Instant>,
    /// Away while a job runs.
    format: Option<Box<dyn Format>>,
    job: Option<JoinHandle<Encoded>>,
    /// The job works on batches that were given back meanwhile.
    is_stale: bool,
    ready: Option<Result<Encoded, Halt>>,
    spare: Vec<Vec<u8>>,
    /// Batches that are not wholly acknowledged, in the order of sending.
    taken: VecDeque<Taken>,
    /// Chunks that were given out and are not wholly acknowledged.
    sent: VecDeque<Sent>,
    progressed: bool,
}

type Upcoming = Pin<Box<dyn Future<Output = Result<Delivery, Closed>> + Send>>;

struct Taken {
    delivery: Delivery,
    /// Records from the front that are in chunks.
    encoded: u32,
}

struct Sent {
    count: u32,
    acked: u32,
    raw_bytes: u64,
    unparsed: u32,
}

/// What a job works on: records of one batch from `from` on.
struct Piece {
    number: BatchNumber,
    batch: Batch,
    from: u32,
}

/// What a job brings back.
struct Encoded {
    format: Box<dyn Format>,
    bytes: Vec<u8>,
    count: u32,
    raw_bytes: u64,
    unparsed: u32,
}

impl Feed {
    pub(super) fn new(reader: Reader, status: Handle, format: Box<dyn Format>, limits: ChunkLimits) -> Self {
        Self {
            reader,
            status,
            limits,
            upcoming: None,
            linger_until: None,
            format: Some(format),
            job: None,
            is_stale: false,
            ready: None,
            spare: Vec::new(),
            taken: VecDeque::new(),
            sent: VecDeque::new(),
            progressed: false,
        }
    }

    /// Cuts the chunks after the next ones differently.
    pub(super) fn set_limits(&mut self, limits: ChunkLimits) {
        self.limits = limits;
    }

    /// The queue's end that it takes from.
    pub(super) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Tells the queue that the far end is back after a failure.
    pub(super) fn resume(&self) {
        self.reader.resume();
    }

    /// Waits for events and encodes them until a chunk is ready.
    ///
    /// # Cancel safety
    /// Safe: whatever was begun is gone on with by the next call.
    pub(super) async fn prepare(&mut self) {
        while self.ready.is_none() {
            if let Some(job) = &mut self.job {
                let ended = job.await.map_err(|_| Halt::Panicked);
                self.job = None;
                match (std::mem::take(&mut self.is_stale), ended) {
                    (true, Ok(encoded)) => self.format = Some(encoded.format),
                    (_, ended) => self.ready = Some(ended),
                }
            } else if let Err(closed) = self.gather().await {
                self.ready = Some(Err(closed.into()));
            } else {
                self.start();
            }
        }
    }

    /// Whether [`Feed::work`] has something to do.
    pub(super) fn has_work(&self) -> bool {
        self.ready.is_none() || self.upcoming.is_some()
    }

    /// As [`Feed::prepare`]; once a chunk is ready it goes on with what was begun beyond that. To be driven for as long as
    /// there is work, also while another chunk is sent and acknowledgements are waited for.
    ///
    /// # Cancel safety
    /// Safe: whatever was begun is gone on with by the next call.
    pub(super) async fn work(&mut self) {
        match &mut self.upcoming {
            Some(upcoming) if self.ready.is_some() => {
                let delivery = upcoming.await;
                self.upcoming = None;
                // That the queue is closed comes up again with the next chunk.
                let _ = delivery.map(|delivery| self.hold(delivery));
            }
            _ => self.prepare().await,
        }
    }

    /// The chunk that is ready; from now on it counts as sent.
    ///
    /// # Errors
    /// When the queue is closed, or the encoder panicked.
    pub(super) fn take(&mut self) -> Option<Result<Chunk, Halt>> {
        Some(self.ready.take()?.map(|encoded| self.hand_out(encoded)))
    }

    /// Does some work, such as sending, while the next chunk is prepared.
    ///
    /// # Cancel safety
    /// That of the work.
    pub(super) async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        tokio::select! {
            biased;
            done = &mut work => done,
            () = self.prepare() => work.await,
        }
    }

    /// Takes a chunk's buffer back for a later one.
    pub(super) fn recycle(&mut self, chunk: Chunk) {
        let mut bytes = chunk.bytes;
        bytes.clear();
        // One giant event must not stay in memory.
        bytes.shrink_to(self.limits.bytes.saturating_mul(2));
        if self.spare.len() < SPARE {
            self.spare.push(bytes);
        }
    }

    /// The chunk that has been out longest: its events, and how many of them are acknowledged.
    pub(super) fn oldest(&self) -> Option<(u32, u32)> {
        self.sent.front().map(|sent| (sent.count, sent.acked))
    }

    /// Chunks given out that are not wholly acknowledged.
    pub(super) fn chunks_out(&self) -> usize {
        self.sent.len()
    }

    /// Events given out that are not acknowledged.
    pub(super) fn unacked(&self) -> u64 {
        self.sent.iter().map(|sent| u64::from(sent.count - sent.acked)).sum()
    }

    /// Whether anything was acknowledged since the last [`Feed::reset`].
    pub(super) fn has_progressed(&self) -> bool {
        self.progressed
    }

    /// The far end has the next `count` events, in the order they were given out. More than are out is cut to that.
    pub(super) fn acked(&mut self, count: u32) {
        let counters = self.status.counters();
        let mut left = count;
        while let Some(sent) = self.sent.front_mut().filter(|_| left > 0) {
            let step = left.min(sent.count - sent.acked);
            let bytes_before = sent.raw_acked();
            sent.acked += step;
            left -= step;
            counters.add(Count::DeliveredEvents, step.into());
            counters.add(Count::DeliveredBytes, sent.raw_acked() - bytes_before);
            counters.lower(Gauge::UnackedEvents, step.into());
            if sent.acked == sent.count {
                counters.add(Count::UnparsedEvents, sent.unparsed.into());
                self.sent.pop_front();
            }
        }
        let mut done = count - left;
        self.progressed |= done > 0;
        while done > 0
            && let Some(mut taken) = self.taken.pop_front()
        {
            let (before, all) = (taken.delivery.done(), taken.delivery.batch().count());
            let step = done.min(all - before);
            done -= step;
            if before + step == all {
                taken.delivery.ack();
            } else {
                taken.delivery.advance(before + step);
                self.taken.push_front(taken);
            }
        }
    }

    /// Gives back what is not acknowledged, after the connection is lost; counts what will be sent again.
    pub(super) fn reset(&mut self) {
        let unacked = self.unacked();
        self.status.counters().add(Count::RepeatedEvents, unacked);
        self.forget();
        self.is_stale = self.job.is_some();
        self.progressed = false;
    }

    fn forget(&mut self) {
        self.status.counters().lower(Gauge::UnackedEvents, self.unacked());
        self.sent.clear();
        if let Some(Ok(encoded)) = self.ready.take() {
            self.format = Some(encoded.format);
        }
        self.upcoming = None;
        // The queue gives back the oldest first, in whatever order they return.
        self.taken.clear();
    }

    /// Takes batches until there is enough for a chunk, or no more to be had soon.
    async fn gather(&mut self) -> Result<(), Closed> {
        loop {
            let left = self.taken.iter().filter(|taken| taken.left() > 0);
            let (batches, events) =
                (left.clone().count(), left.clone().map(|taken| u64::from(taken.left())).sum::<u64>());
            let bytes: usize = left.map(|taken| taken.delivery.batch().packed().len()).sum();
            let is_enough = events >= self.limits.events.into() || bytes >= self.limits.bytes || batches >= BATCHES;
            if events > 0 && (is_enough || !self.is_more_behind()) {
                break;
            }
            let upcoming = self.upcoming.get_or_insert_with(|| {
                let reader = self.reader.clone();
                Box::pin(async move { reader.next().await })
            });
            let delivery = if events == 0 {
                upcoming.await
            } else {
                let until = *self.linger_until.get_or_insert_with(|| Instant::now() + LINGER);
                match timeout_at(until, upcoming).await {
                    Ok(delivery) => delivery,
                    Err(_) => break,
                }
            };
            self.upcoming = None;
            self.hold(delivery?);
        }
        self.linger_until = None;
        Ok(())
    }

    fn hold(&mut self, delivery: Delivery) {
        let encoded = delivery.done();
        self.taken.push_back(Taken { delivery, encoded });
    }

    /// Whether the queue has events for this output that are in none of our hands.
    fn is_more_behind(&self) -> bool {
        let held: u64 = self.taken.iter().map(|taken| u64::from(taken.delivery.batch().count())).sum();
        self.reader.waiting() > held
    }

    /// Begins to encode what was taken.
    fn start(&mut self) {
        let Some(format) = self.format.take() else { return };
        let pieces: Vec<Piece> = self
            .taken
            .iter()
            .filter(|taken| taken.left() > 0)
            .map(|taken| Piece {
                number: taken.delivery.number(),
                batch: taken.delivery.batch().clone(),
                from: taken.encoded,
            })
            .collect();
        let (limits, buffer) = (self.limits, self.spare.pop().unwrap_or_default());
        self.job = Some(spawn_blocking(move || encode(format, &pieces, limits, buffer)));
    }

    fn hand_out(&mut self, encoded: Encoded) -> Chunk {
        self.format = Some(encoded.format);
        let mut left = encoded.count;
        for taken in &mut self.taken {
            let step = left.min(taken.left());
            taken.encoded += step;
            left -= step;
        }
        let (raw_bytes, unparsed) = (encoded.raw_bytes, encoded.unparsed);
        self.sent.push_back(Sent { count: encoded.count, acked: 0, raw_bytes, unparsed });
        self.status.counters().raise(Gauge::UnackedEvents, encoded.count.into());
        Chunk { bytes: encoded.bytes, count: encoded.count }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.forget();
    }
}

impl Taken {
    /// Records that are in no chunk yet.
    fn left(&self) -> u32 {
        self.delivery.batch().count() - self.encoded
    }
}

impl Sent {
    /// Bytes of the acknowledged events: exact when all are, in proportion before.
    fn raw_acked(&self) -> u64 {
        self.raw_bytes * u64::from(self.acked) / u64::from(self.count.max(1))
    }
}

/// The work of a blocking thread.
fn encode(mut format: Box<dyn Format>, pieces: &[Piece], limits: ChunkLimits, mut bytes: Vec<u8>) -> Encoded {
    let (mut count, mut raw_bytes, mut unparsed) = (0, 0, 0);
    'chunk: for piece in pieces {
        format.begin(piece.number, &piece.batch);
        let mut records = piece.batch.records();
        let mut index = 0;
        while let Some(record) = records.next() {
            if index >= piece.from {
                if count > 0 && (count >= limits.events || format.bytes() >= limits.bytes) {
                    break 'chunk;
                }
                unparsed += u32::from(format.record(index, &record));
                raw_bytes += record.bytes.len() as u64;
                count += 1;
            }
            index += 1;
        }
    }
    format.finish(&mut bytes);
    Encoded { format, bytes, count, raw_bytes, unparsed }
}
