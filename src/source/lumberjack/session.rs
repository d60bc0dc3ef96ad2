//! One connection of a Beats agent: windows in, acks out, side by side on one task.
//!
//! A window goes to the queue when its last event is here, so that an agent whose connection breaks in the middle of one
//! does not leave half of it behind under ids that never come again; only windows larger than [`HOLD`] go in pieces. Its ack
//! is the sequence of its last event, sent once every batch of it is settled, in the order of the windows. While the agent
//! waits it gets ack 0 as a sign of life. Nothing is read while the queue has no room or too many windows wait: TCP then
//! holds the agent back.
//!
//! However a connection ends, complete windows that wait are still acknowledged, for [`DRAIN`] at most: each ack that gets
//! through spares the agent a repeat.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::event::{NotAnEvent, own_id};
use crate::event::{Batch, BatchBuilder, BatchLimits, Kind, Origin, Record};
use crate::net::Stream;
use crate::queue::{Closed, Intake, Ticket};
use crate::source::silence::Noted;
use crate::status::Count;
use crate::wire::lumberjack::{Decoder, Frame, Malformed, ack};

/// Event bytes of a window that are held back until it is complete: twice the largest window that Filebeat makes of
/// 1 KiB events, and little beside what the queue holds in memory.
const HOLD: usize = 4 << 20;
/// Event bytes decoded before other tasks get their turn: about a millisecond of inflating and checking.
const SLICE: usize = 256 << 10;
/// Bytes of an ack.
const ACK: usize = 6;
/// How long acks are waited for at the end: several times the queue's `flush_after`, well within the default grace.
const DRAIN: Duration = Duration::from_secs(2);
/// How long the end of a connection may take. Closing with unread bytes would reset it and take the last acks with it.
const LINGER: Duration = Duration::from_millis(500);

/// Serves one agent until either side ends it.
pub(super) async fn serve(stream: Stream, shared: Arc<Shared>, stop: CancellationToken) {
    let origin = stream.origin();
    let (mut read, mut write) = tokio::io::split(stream);
    let mut session = Session::new(origin, Arc::clone(&shared));
    let end = session.run(&mut read, &mut write, &stop).await;
    session.tell(&end);
    let _ = timeout(LINGER, linger(&mut read, &mut write)).await;
}

/// Says that we are done, and reads until the peer is.
async fn linger(read: &mut ReadHalf<Stream>, write: &mut WriteHalf<Stream>) -> io::Result<()> {
    write.shutdown().await?;
    let mut waste = [0; 4 << 10];
    while read.read(&mut waste).await? > 0 {}
    Ok(())
}

struct Session {
    shared: Arc<Shared>,
    origin: Origin,
    noted: Noted,
    decoder: Decoder,
    builder: BatchBuilder,
    /// Bytes of the events in `builder`.
    building: u64,
    /// Batches of the window that is being read.
    held: Vec<Held>,
    /// What the queue has not taken yet, in order.
    pending: VecDeque<Pending>,
    /// What the queue took of the window whose end is still in `pending`.
    tickets: Vec<(Ticket, u32)>,
    /// Windows that the queue took, in order.
    waiting: VecDeque<Waiting>,
    /// Acks on their way out.
    out: Vec<u8>,
    /// Bytes that left `out` may still be in the TLS layer.
    is_unflushed: bool,
    /// When bytes last came.
    heard: Instant,
    /// When bytes last left, or the agent began to wait.
    said: Instant,
    /// Why nothing more is read, and how long acks are still waited for.
    ending: Option<(End, Instant)>,
}

struct Held {
    batch: Batch,
    bytes: u64,
}

enum Pending {
    Batch(Held),
    /// A window is complete; this acknowledges it.
    End {
        sequence: u32,
    },
}

/// A window that waits to be settled.
struct Waiting {
    sequence: u32,
    settled: Pin<Box<dyn Future<Output = Result<u64, Closed>> + Send>>,
}

/// Why a connection ends.
enum End {
    /// The agent closed it between two windows, or was idle for too long.
    Finished,
    /// We are stopping.
    Stopping,
    /// The agent or the network broke it off.
    Broken(String),
    /// The bytes are not what they should be.
    Malformed(Malformed),
    NotAnEvent(NotAnEvent),
}

enum Step {
    Read(io::Result<usize>),
    Wrote(io::Result<usize>),
    Submitted(Result<Ticket, Closed>),
    Settled(Result<u64, Closed>),
    Turn,
    Stop,
    Time,
}

/// What decoding came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Decoded {
    NeedsBytes,
    /// There is more, but others are due.
    Slice,
    /// There may be more, but it has to wait for the queue or for acks.
    Enough,
}

impl Session {
    fn new(origin: Origin, shared: Arc<Shared>) -> Self {
        let now = Instant::now();
        Self {
            decoder: Decoder::new(shared.limits),
            builder: BatchBuilder::new(shared.id.clone(), Kind::Beats, BatchLimits::default()),
            shared,
            noted: Noted::new(&origin),
            origin,
            building: 0,
            held: Vec::new(),
            pending: VecDeque::new(),
            tickets: Vec::new(),
            waiting: VecDeque::new(),
            out: Vec::new(),
            is_unflushed: false,
            heard: now,
            said: now,
            ending: None,
        }
    }

    async fn run(
        &mut self,
        read: &mut ReadHalf<Stream>,
        write: &mut WriteHalf<Stream>,
        stop: &CancellationToken,
    ) -> End {
        let shared = Arc::clone(&self.shared);
        loop {
            let decoded = self.decode();
            if let Some(end) = self.take_end() {
                return end;
            }
            let (deadline, is_open) = (self.deadline(), self.ending.is_none());
            let (may_read, must_write) = (is_open && decoded == Decoded::NeedsBytes, self.must_write());
            let next = self.pending.front().and_then(Pending::batch);
            let step = tokio::select! {
                read = read.read_buf(self.decoder.input()), if may_read => Step::Read(read),
                wrote = write_some(write, &self.out), if must_write => Step::Wrote(wrote),
                ticket = submit(&shared.intake, next.cloned()), if next.is_some() => Step::Submitted(ticket),
                settled = settled(self.waiting.front_mut()), if !self.waiting.is_empty() => Step::Settled(settled),
                () = tokio::task::yield_now(), if decoded == Decoded::Slice => Step::Turn,
                () = stop.cancelled(), if is_open => Step::Stop,
                () = sleep_until(deadline) => Step::Time,
            };
            self.take(step);
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Read(Ok(0)) => self.closed(),
            // Many agents leave out TLS's own farewell.
            Step::Read(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => self.closed(),
            Step::Read(Ok(_)) => self.heard = Instant::now(),
            Step::Wrote(Ok(count)) => {
                self.is_unflushed = count > 0;
                self.out.drain(..count.min(self.out.len()));
                self.said = Instant::now();
            }
            Step::Read(Err(error)) | Step::Wrote(Err(error)) => self.give_up(End::Broken(error.to_string())),
            Step::Submitted(Ok(ticket)) => self.submitted(ticket),
            Step::Settled(Ok(events)) => self.settled(events),
            Step::Submitted(Err(Closed)) | Step::Settled(Err(Closed)) => self.give_up(End::Stopping),
            Step::Stop => self.end(End::Stopping),
            Step::Time => self.time_passed(),
            Step::Turn => {}
        }
    }

    /// Takes frames apart until it has to wait for something.
    fn decode(&mut self) -> Decoded {
        let (was_owing, mut taken) = (self.is_owing(), 0);
        let decoded = loop {
            self.advance();
            let unanswered = self.waiting.len() + self.out.len() / ACK;
            if self.ending.is_some() || !self.pending.is_empty() || unanswered >= self.shared.windows {
                break Decoded::Enough;
            }
            if taken >= SLICE {
                break Decoded::Slice;
            }
            match self.decoder.next_frame() {
                Ok(None) => break Decoded::NeedsBytes,
                Ok(Some(Frame::Window { count: 0 })) => self.pending.push_back(Pending::End { sequence: 0 }),
                Ok(Some(Frame::Window { .. })) => {}
                Ok(Some(Frame::Event { sequence, json, is_last })) => {
                    taken += json.len();
                    let id = match own_id(json) {
                        Ok(id) => id,
                        Err(error) => {
                            self.end(End::NotAnEvent(error));
                            break Decoded::Enough;
                        }
                    };
                    let (received, origin) = (self.shared.clock.now(), &self.origin);
                    let record = Record { received, origin, id: id.as_deref(), cut_from: None, bytes: json };
                    let is_full = self.builder.push(&record);
                    self.building += json.len() as u64;
                    self.sort(is_full, is_last.then_some(sequence));
                }
                Err(error) => {
                    self.end(End::Malformed(error));
                    break Decoded::Enough;
                }
            }
        };
        if !was_owing && self.is_owing() {
            self.said = Instant::now();
        }
        decoded
    }

    /// Closes the batch if it is full or its window is; hands the window's batches on if it is complete or too large to hold.
    fn sort(&mut self, is_full: bool, last: Option<u32>) {
        if !is_full && last.is_none() {
            return;
        }
        let bytes = std::mem::take(&mut self.building);
        self.held.extend(self.builder.seal().map(|batch| Held { batch, bytes }));
        let held: usize = self.held.iter().map(|held| held.batch.packed().len()).sum();
        if last.is_some() || held > HOLD {
            self.pending.extend(self.held.drain(..).map(Pending::Batch));
        }
        self.pending.extend(last.map(|sequence| Pending::End { sequence }));
    }

    /// Lets windows wait whose batches the queue took.
    fn advance(&mut self) {
        while let Some(Pending::End { sequence }) = self.pending.front() {
            let (sequence, tickets) = (*sequence, std::mem::take(&mut self.tickets));
            let settled = Box::pin(async move {
                let mut events = 0;
                for (ticket, count) in tickets {
                    ticket.settled().await?;
                    events += u64::from(count);
                }
                Ok(events)
            });
            self.waiting.push_back(Waiting { sequence, settled });
            self.pending.pop_front();
        }
    }

    fn submitted(&mut self, ticket: Ticket) {
        if let Some(Pending::Batch(held)) = self.pending.pop_front() {
            let counters = self.shared.status.counters();
            counters.add(Count::ReceivedEvents, held.batch.count().into());
            counters.add(Count::ReceivedBytes, held.bytes);
            self.noted.heard(&self.shared.status);
            self.tickets.push((ticket, held.batch.count()));
        }
    }

    fn settled(&mut self, events: u64) {
        if let Some(window) = self.waiting.pop_front() {
            self.shared.status.counters().add(Count::SettledEvents, events);
            self.out.extend_from_slice(&ack(window.sequence));
        }
    }

    fn closed(&mut self) {
        if self.decoder.is_midway() {
            self.end(End::Broken("it closed the connection in the middle of a window".into()));
        } else {
            self.end(End::Finished);
        }
    }

    /// Reads nothing more; what waits may still be answered for a while. Half a window is forgotten: it comes again.
    fn end(&mut self, end: End) {
        self.held.clear();
        self.ending.get_or_insert_with(|| (end, Instant::now() + DRAIN));
    }

    /// Ends at once: nobody is there to be answered, or nothing will be settled.
    fn give_up(&mut self, end: End) {
        self.pending.clear();
        self.waiting.clear();
        self.out.clear();
        self.is_unflushed = false;
        self.end(end);
    }

    fn take_end(&mut self) -> Option<End> {
        let is_done = !self.is_owing() && !self.must_write();
        if is_done { self.ending.take().map(|(end, _)| end) } else { None }
    }

    fn is_owing(&self) -> bool {
        !self.pending.is_empty() || !self.waiting.is_empty()
    }

    fn must_write(&self) -> bool {
        !self.out.is_empty() || self.is_unflushed
    }

    fn deadline(&self) -> Instant {
        let idle = self.shared.idle_timeout;
        let clock = match (self.must_write(), self.is_owing()) {
            (true, _) => self.said + idle,
            (false, true) => self.said + self.shared.keepalive,
            (false, false) => self.heard + idle,
        };
        self.ending.as_ref().map_or(clock, |(_, by)| clock.min(*by))
    }

    fn time_passed(&mut self) {
        let now = Instant::now();
        if self.ending.as_ref().is_some_and(|(_, by)| now >= *by) {
            return self.give_up(End::Stopping);
        }
        if now < self.deadline() {
            return;
        }
        match (self.must_write(), self.is_owing()) {
            (true, _) => self.give_up(End::Broken("it does not read its acks".into())),
            (false, true) => self.out.extend_from_slice(&ack(0)),
            (false, false) if self.decoder.is_midway() => {
                self.end(End::Broken("it fell silent in the middle of a window".into()));
            }
            (false, false) => self.end(End::Finished),
        }
    }

    /// Counts and logs how it ended.
    fn tell(&self, end: &End) {
        let peer = self.origin.peer;
        let (count, reason) = match end {
            End::Finished | End::Stopping => return,
            End::Broken(reason) => (Count::BrokenConnections, reason.clone()),
            End::Malformed(error) => (Count::ProtocolErrors, error.to_string()),
            End::NotAnEvent(error) => (Count::ProtocolErrors, error.to_string()),
        };
        self.shared.status.counters().add(count, 1);
        if count == Count::BrokenConnections {
            tracing::debug!(?peer, reason, "connection broke");
        } else if let Some(left_out) = self.shared.complaints.due() {
            tracing::warn!(?peer, reason, left_out, "connection closed: the peer broke the protocol");
        }
    }
}

impl Pending {
    fn batch(&self) -> Option<&Batch> {
        match self {
            Self::Batch(held) => Some(&held.batch),
            Self::End { .. } => None,
        }
    }
}

async fn submit(intake: &Intake, batch: Option<Batch>) -> Result<Ticket, Closed> {
    match batch {
        Some(batch) => intake.submit(batch).await,
        None => std::future::pending().await,
    }
}

async fn settled(window: Option<&mut Waiting>) -> Result<u64, Closed> {
    match window {
        Some(window) => window.settled.as_mut().await,
        None => std::future::pending().await,
    }
}

/// Writes a piece, or flushes where there is none, which counts as 0. Losing the race changes nothing.
async fn write_some(write: &mut WriteHalf<Stream>, out: &[u8]) -> io::Result<usize> {
    if out.is_empty() {
        return write.flush().await.map(|()| 0);
    }
    match write.write(out).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        count => Ok(count),
    }
}
