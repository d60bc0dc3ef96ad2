//! What was sent and may not have arrived: chunks between us and the other end's kernel.
//!
//! TCP tells how many bytes it has not had confirmed, counted from the last one sent. TLS only adds bytes to those of a
//! chunk, so once no more bytes are unconfirmed than were sent after a chunk, all of that chunk has arrived.

use std::collections::VecDeque;
use std::io;

use tokio::time::{Duration, Instant};

use super::{ON_THE_WAY, STUCK};
use crate::net::Stream;
use crate::output::feed::Chunk;

/// First and longest pause between two looks while nothing else happens. The first is a round trip on a local network.
const LOOK: (Duration, Duration) = (Duration::from_micros(500), Duration::from_millis(50));

#[derive(Debug)]
pub(super) struct Way {
    /// Events of each chunk, and bytes sent up to its end.
    chunks: VecDeque<(u32, u64)>,
    /// Bytes sent up to now, all of them handed to the kernel.
    sent: u64,
    /// What was unconfirmed at the last look, and since when it has not become less.
    unconfirmed: u64,
    since: Instant,
    next_look: Instant,
    pause: Duration,
}

impl Way {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { chunks: VecDeque::new(), sent: 0, unconfirmed: 0, since: now, next_look: now, pause: LOOK.0 }
    }

    /// Whether everything has arrived.
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Whether more may be sent.
    pub(super) fn has_room(&self) -> bool {
        self.unconfirmed < ON_THE_WAY
    }

    /// When to look again.
    pub(super) fn next_look(&self) -> Instant {
        self.next_look
    }

    /// Notes a chunk that was written and flushed.
    pub(super) fn add(&mut self, chunk: &Chunk) {
        self.sent += chunk.bytes.len() as u64;
        self.chunks.push_back((chunk.count, self.sent));
        self.unconfirmed = u64::MAX;
        self.since = Instant::now();
        self.pause = LOOK.0;
    }

    /// Looks how far everything has come; the number of events that have newly arrived.
    ///
    /// # Errors
    /// When nothing has got on for too long, or the kernel does not tell.
    pub(super) fn look(&mut self, stream: &Stream) -> io::Result<u32> {
        if self.chunks.is_empty() {
            return Ok(0);
        }
        let (unconfirmed, now) = (stream.unacknowledged()? as u64, Instant::now());
        if unconfirmed < self.unconfirmed {
            self.since = now;
        } else if now.duration_since(self.since) > STUCK {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.unconfirmed = unconfirmed;
        let mut events = 0;
        while let Some((count, _)) = self.chunks.pop_front_if(|(_, end)| self.sent - *end >= unconfirmed) {
            events += count;
        }
        self.next_look = now + self.pause;
        self.pause = (self.pause * 2).min(LOOK.1);
        Ok(events)
    }
}
