//! One connection to one gateway: windows out, acks in, side by side on one task.
//!
//! A gateway acknowledges windows in order, a window in one ack or in several (`0 < n < count`: the first n are taken).
//! Ack 0 is a sign of life and no progress. Everything else ends the connection: an ack above its window, an ack while
//! nothing is outstanding (both seen when a middlebox hands one connection's acks to another), another version, other bytes.
//!
//! Two clocks run while events are outstanding. *Silence*: no byte in either direction; the gateway or the way to it is
//! dead. *Stall*: the gateway gives signs of life but takes nothing. Bytes that leave count as life and as progress,
//! because a slow line needs minutes for a window and must not be cut off for it.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::super::deliver::{Ended, Report, Trouble};
use super::super::feed::{Chunk, ChunkLimits, Feed};
use crate::net::{Dialer, Stream};
use crate::status::{Cause, Count};
use crate::wire::lumberjack::AckDecoder;

/// How long outstanding acks are waited for when we leave: well within the default grace of 10 s.
const DRAIN: Duration = Duration::from_secs(3);
/// How long a connection that can no longer be written may still bring acks that are on their way.
const LAST_ACKS: Duration = Duration::from_secs(1);
/// How long the last bytes of a closing connection may take.
const CLOSE: Duration = Duration::from_secs(1);
/// Bytes that may wait in our kernel and not be on their way. It takes megabytes otherwise, which count as gone when they
/// are written: a slow line would look silent while it sends them. Large enough for the next part to come in time.
const UNSENT: u32 = 128 << 10;
/// No progress for this long shows in the health, before anything is done about it.
const SLOW: Duration = Duration::from_secs(20);

/// What of the settings a session needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) windows_in_flight: usize,
    pub(super) silence: Duration,
    pub(super) stall: Duration,
}

/// How large windows are: halved when a connection is lost before anything of them was acknowledged, so that a gateway
/// that cannot finish a full window in time still gets further; doubled with each that is acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct WindowSize {
    most: ChunkLimits,
    events: u32,
}

impl WindowSize {
    pub(super) fn new(most: ChunkLimits) -> Self {
        Self { most, events: most.events }
    }

    pub(super) fn limits(&self) -> ChunkLimits {
        let share = u64::from(self.events) * self.most.bytes as u64 / u64::from(self.most.events.max(1));
        ChunkLimits { events: self.events, bytes: usize::try_from(share).unwrap_or(self.most.bytes) }
    }

    pub(super) fn shrink(&mut self) {
        self.events = (self.events / 2).max(1);
    }

    fn grow(&mut self) -> bool {
        let before = self.events;
        self.events = self.events.saturating_mul(2).min(self.most.events);
        self.events != before
    }
}

/// The state of a connection, without its socket.
pub(super) struct Session<'a> {
    pub(super) dialer: &'a Dialer,
    pub(super) feed: &'a mut Feed,
    pub(super) report: &'a Report,
    pub(super) pace: Pace,
    pub(super) size: &'a mut WindowSize,
    acks: AckDecoder,
    sending: Option<Sending>,
    /// When a byte last came or left.
    moved: Instant,
    /// When an event was last acknowledged, or a byte left.
    progressed: Instant,
    is_slow: bool,
    /// We are leaving, and wait for acks no longer than this.
    end_by: Option<Instant>,
    /// Why nothing more can be written.
    broken: Option<Trouble>,
}

struct Sending {
    chunk: Chunk,
    written: usize,
}

/// What happened.
enum Step {
    Read(io::Result<usize>),
    Wrote(io::Result<usize>),
    Worked,
    Leave,
    Time,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        dialer: &'a Dialer,
        feed: &'a mut Feed,
        report: &'a Report,
        pace: Pace,
        size: &'a mut WindowSize,
    ) -> Self {
        let now = Instant::now();
        feed.set_limits(size.limits());
        Self {
            dialer,
            feed,
            report,
            pace,
            size,
            acks: AckDecoder::default(),
            sending: None,
            moved: now,
            progressed: now,
            is_slow: false,
            end_by: None,
            broken: None,
        }
    }

    /// Sends until the connection ends, or until `leave` and what is outstanding then is acknowledged.
    pub(super) async fn run(mut self, stream: Stream, leave: &CancellationToken) -> Ended {
        if let Err(error) = stream.keep_unsent_below(UNSENT) {
            tracing::debug!(%error, "a slow line may look silent");
        }
        let (mut read, mut write) = tokio::io::split(stream);
        // Acks are 6 bytes: this takes hundreds of them at once.
        let mut buffer = [0; 2048];
        loop {
            if self.may_send()
                && let Some(next) = self.feed.take()
            {
                match next {
                    Ok(chunk) => self.send(chunk),
                    Err(halt) => return halt.into(),
                }
            }
            let (has_work, deadline) = (self.feed.has_work(), self.deadline());
            let step = tokio::select! {
                read = read.read(&mut buffer) => Step::Read(read),
                wrote = write_some(&mut write, self.sending.as_mut()), if self.sending.is_some() => Step::Wrote(wrote),
                () = self.feed.work(), if has_work => Step::Worked,
                () = leave.cancelled(), if self.end_by.is_none() => Step::Leave,
                () = sleep_until(deadline) => Step::Time,
            };
            let ended = match step {
                Step::Read(Ok(count)) => self.heard(buffer.get(..count).unwrap_or_default()),
                Step::Read(Err(error)) => Some(self.read_failed(error)),
                Step::Wrote(result) => self.wrote(result),
                Step::Worked => None,
                Step::Leave => self.leave(DRAIN),
                Step::Time => self.time_passed(),
            };
            let is_done = self.end_by.is_some() && self.is_idle() && self.broken.is_none();
            if let Some(ended) = ended.or(is_done.then_some(Ended::Stopped)) {
                if ended == Ended::Stopped {
                    let _ = timeout(CLOSE, write.shutdown()).await;
                }
                return ended;
            }
        }
    }

    fn may_send(&self) -> bool {
        self.sending.is_none() && self.end_by.is_none() && self.feed.chunks_out() < self.pace.windows_in_flight
    }

    fn is_idle(&self) -> bool {
        self.sending.is_none() && self.feed.chunks_out() == 0
    }

    fn send(&mut self, chunk: Chunk) {
        if self.feed.chunks_out() == 1 {
            // The clocks stood while nothing was outstanding.
            self.moved = Instant::now();
            self.progressed = self.moved;
        }
        self.sending = Some(Sending { chunk, written: 0 });
    }

    fn wrote(&mut self, result: io::Result<usize>) -> Option<Ended> {
        match result {
            Ok(0) => {
                if let Some(sent) = self.sending.take() {
                    self.feed.recycle(sent.chunk);
                }
            }
            Ok(count) => {
                self.moved = Instant::now();
                self.progressed = self.moved;
                self.report.status().counters().add(Count::SentBytes, count as u64);
                if let Some(sending) = &mut self.sending {
                    sending.written += count;
                }
            }
            Err(error) => {
                // Acks that came before the connection broke can still be read, and spare repeats.
                self.sending = None;
                self.broken = Some(self.explain(error));
                return self.leave(LAST_ACKS);
            }
        }
        None
    }

    fn leave(&mut self, patience: Duration) -> Option<Ended> {
        let by = Instant::now() + patience;
        self.end_by = Some(self.end_by.map_or(by, |before| before.min(by)));
        None
    }

    /// Bytes came from the gateway; none means it closed the connection.
    fn heard(&mut self, mut bytes: &[u8]) -> Option<Ended> {
        if bytes.is_empty() {
            return Some(self.closed());
        }
        self.moved = Instant::now();
        loop {
            let sequence = match self.acks.next_ack(&mut bytes) {
                Ok(Some(sequence)) => sequence,
                Ok(None) => return None,
                Err(error) => return Some(self.misunderstood(&format!("an answer that is no ack: {error}"))),
            };
            match self.feed.oldest() {
                _ if sequence == 0 => {}
                None => return Some(self.misunderstood(&format!("ack {sequence} while nothing was outstanding"))),
                Some((count, _)) if sequence > count => {
                    return Some(self.misunderstood(&format!("ack {sequence} for a window of {count} events")));
                }
                Some((count, acked)) if sequence > acked => self.acked(sequence - acked, sequence == count),
                // The same or an earlier number again: nothing new.
                Some(_) => {}
            }
        }
    }

    fn acked(&mut self, events: u32, is_whole: bool) {
        let is_first = !self.feed.has_progressed();
        self.feed.acked(events);
        self.progressed = Instant::now();
        if is_first || std::mem::take(&mut self.is_slow) {
            self.report.up();
        }
        if is_whole && self.size.grow() {
            self.feed.set_limits(self.size.limits());
        }
    }

    fn closed(&mut self) -> Ended {
        if let Some(trouble) = self.broken.take() {
            return Ended::Lost(trouble);
        }
        if self.is_idle() {
            return Ended::Quiet;
        }
        self.report.count(Count::BrokenConnections);
        let (gateway, unacked) = (&self.dialer.endpoint, self.feed.unacked());
        Ended::Lost(Trouble::new(
            format!("{gateway} closed the connection before it had acknowledged {unacked} events"),
            "look at the gateway's log; it may refuse what is sent, or be overloaded",
        ))
    }

    fn read_failed(&mut self, error: io::Error) -> Ended {
        let is_hang_up = matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof);
        if is_hang_up || self.broken.is_some() {
            return self.closed();
        }
        Ended::Lost(self.explain(error))
    }

    fn explain(&self, error: io::Error) -> Trouble {
        self.report.count(Count::BrokenConnections);
        self.dialer.explain(error).into()
    }

    fn misunderstood(&self, what: &str) -> Ended {
        self.report.count(Count::ProtocolErrors);
        let gateway = &self.dialer.endpoint;
        let what = format!("{gateway} broke the lumberjack protocol: it sent {what}");
        let todo =
            "check that this port is a beats (lumberjack v2) input and that nothing in between alters the connection";
        Ended::Lost(Trouble::new(what, todo).because(Cause::Protocol))
    }

    /// When the next clock runs out.
    fn deadline(&self) -> Instant {
        // A day stands for never.
        let mut deadline = self.end_by.unwrap_or_else(|| self.moved + Duration::from_secs(86_400));
        if self.feed.chunks_out() > 0 {
            deadline = deadline.min(self.moved + self.pace.silence).min(self.progressed + self.pace.stall);
            if !self.is_slow {
                deadline = deadline.min(self.progressed + SLOW);
            }
        }
        deadline
    }

    fn time_passed(&mut self) -> Option<Ended> {
        let now = Instant::now();
        if self.end_by.is_some_and(|end| now >= end) {
            return Some(self.broken.take().map_or(Ended::Stopped, Ended::Lost));
        }
        if self.feed.chunks_out() == 0 {
            self.moved = now;
            return None;
        }
        let (gateway, unacked) = (&self.dialer.endpoint, self.feed.unacked());
        let lost = |what, todo| {
            self.report.count(Count::BrokenConnections);
            Some(Ended::Lost(Trouble::new(what, todo)))
        };
        if now >= self.moved + self.pace.silence {
            let what = format!(
                "{gateway} has been silent for {:?} while {unacked} events wait for its acknowledgement",
                self.pace.silence
            );
            return lost(what, "check the gateway and the network to it; the events are sent again");
        }
        if now >= self.progressed + self.pace.stall {
            let what =
                format!("{gateway} is alive but has acknowledged none of {unacked} events for {:?}", self.pace.stall);
            return lost(what, "the gateway's pipeline or its output is blocked: look at its log");
        }
        if !self.is_slow && now >= self.progressed + SLOW {
            self.is_slow = true;
            let what = format!("{gateway} has acknowledged none of {unacked} events for {SLOW:?}");
            self.report.slow(Trouble::new(what, "if this lasts, the gateway is overloaded: look at its log"));
        }
        None
    }
}

/// Writes the next piece, or flushes at the end, which counts as 0. Losing the race changes nothing.
async fn write_some(write: &mut (impl AsyncWrite + Unpin), sending: Option<&mut Sending>) -> io::Result<usize> {
    let Some(sending) = sending else { return Ok(0) };
    match sending.chunk.bytes.get(sending.written..) {
        Some(rest) if !rest.is_empty() => match write.write(rest).await? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            count => Ok(count),
        },
        _ => write.flush().await.map(|()| 0),
    }
}
