//! One UDP socket and the thread that reads it.

use std::collections::{HashSet, VecDeque};
use std::io::{self, PipeReader, PipeWriter};
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::account::Account;
use super::listeners::Shared;
use crate::clock::{Clock, monotonic};
use crate::event::{Batch, BatchBuilder, BatchLimits, Kind, Origin, Record, Transport};
use crate::net::{Allow, DatagramSocket, Listen, Receiver, SocketName, pause};
use crate::queue::Refused;
use crate::source::SourceError;
use crate::source::watch::Watch;
use crate::status::{DropReason, Gauge, Handle};
use crate::wire::framing::{Frame, trim, whole_characters};

/// Datagrams per system call: full calls of 256 took 1.0 million a CPU-second, of 32 0.7 million (measured).
const SLOTS: usize = 256;
/// The largest payload of a datagram is 65,507 bytes (IPv4) or 65,527 (IPv6).
const LARGEST: usize = 65_536;
/// Batches that wait for room in the queue: 8 MiB for each socket.
const HELD: usize = 16;
/// How often the queue is asked again while batches wait.
const RETRY: Duration = Duration::from_millis(5);
/// After the socket was emptied, datagrams are let gather for this long, so that calls are full when it matters (from 64,000
/// a second) and wake-ups cost little when it does not...
const GATHER: Duration = Duration::from_millis(4);
/// ...if the kernel's buffer has room for that: 6,000 datagrams at 8 MiB, more than a thread reads in that time.
const GATHER_FROM: u64 = 8 << 20;
/// When we stop, what the kernel holds is still read, but not for ever: this many calls, or 51,200 datagrams.
const LAST_CALLS: usize = 200;
/// How often the kernel is asked for its drops.
const COUNT_DROPS: Duration = Duration::from_secs(1);
/// How often it is noted who sent, and how many at once: more are noted in the next second.
const NOTE_SENDERS: Duration = Duration::from_secs(1);
const MOST_SENDERS: usize = 4_096;
/// A wait without a reason to end it.
const NO_DEADLINE: Duration = Duration::from_secs(60);

/// What a thread leaves behind: batches that the queue had no room for, and why it ended.
type Left = (Outbox, io::Result<()>);

/// Reads a socket until told to stop.
pub(super) async fn serve(
    listen: Listen,
    name: &SocketName,
    socket: DatagramSocket,
    shared: &Shared,
) -> Result<(), SourceError> {
    let broken = |source| SourceError::Socket { listen, source };
    let given = socket.set_receive_buffer(shared.config.receive_buffer.len()).map_err(broken)?;
    let wanted = shared.config.receive_buffer.bytes();
    if given < wanted {
        tracing::warn!(%listen, given, wanted, "receive_buffer is capped by the system: raise net.core.rmem_max");
    }
    let _open = Open::new(&shared.context.status, given);
    let (wake, stop) = io::pipe().map_err(broken)?;
    let (done, ended) = oneshot::channel();
    let reader = Reader::new(wake, given, shared);
    let read_end = socket.try_clone().map_err(broken)?;
    let thread = std::thread::Builder::new().name("syslog-udp".into());
    // If nobody waits for what it left, the source was cut off, and the outbox counts what is in it.
    let thread = thread.spawn(move || drop(done.send(reader.run(read_end))));
    thread.map_err(|source| SourceError::Thread { listen, source })?;
    shared.watch.serving(name, socket.local_addr().ok());
    let Some((mut left, result)) = wait_for(ended, stop, &socket, shared).await else {
        return Err(broken(io::Error::other("its thread panicked")));
    };
    while let Some(batch) = left.held.pop_front() {
        // The queue closes only when the box stops; then the events are counted as dropped.
        let _ = shared.account.submit(batch).await;
    }
    result.map_err(broken)
}

/// Waits for the thread to end, after telling it to when the source stops, and counts the kernel's drops meanwhile.
async fn wait_for(
    mut ended: oneshot::Receiver<Left>,
    stop: PipeWriter,
    socket: &DatagramSocket,
    shared: &Shared,
) -> Option<Left> {
    let mut stop = Some(stop);
    let mut tick = tokio::time::interval(COUNT_DROPS);
    let left = loop {
        tokio::select! {
            left = &mut ended => break left,
            () = shared.stop.cancelled(), if stop.is_some() => drop(stop.take()),
            _ = tick.tick() => count_drops(socket, shared),
        }
    };
    count_drops(socket, shared);
    left.ok()
}

fn count_drops(socket: &DatagramSocket, shared: &Shared) {
    let drops = socket.new_drops();
    if drops > 0 {
        shared.account.dropped(DropReason::KernelBuffer, drops);
        shared.watch.kernel_dropped();
    }
}

/// Shows the size of an open socket's buffer.
struct Open<'a>(&'a Handle, u64);

impl<'a> Open<'a> {
    fn new(status: &'a Handle, given: u64) -> Self {
        status.counters().raise(Gauge::ReceiveBufferBytes, given);
        Self(status, given)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.counters().lower(Gauge::ReceiveBufferBytes, self.1);
    }
}

/// What the thread holds.
struct Reader {
    wake: PipeReader,
    gathers: bool,
    builder: BatchBuilder,
    /// When the batch in `builder` was begun.
    begun: Option<Instant>,
    outbox: Outbox,
    senders: Senders,
    allow: Allow,
    max_message: usize,
    batch_after: Duration,
    clock: Clock,
}

impl Reader {
    fn new(wake: PipeReader, given: u64, shared: &Shared) -> Self {
        let (config, context) = (&shared.config, &shared.context);
        Self {
            wake,
            gathers: given >= GATHER_FROM,
            builder: BatchBuilder::new(config.id.clone(), Kind::Syslog, BatchLimits::default()),
            begun: None,
            outbox: Outbox {
                held: VecDeque::new(),
                account: shared.account.clone(),
                watch: Arc::clone(&shared.watch),
                is_closed: false,
            },
            senders: Senders::default(),
            allow: config.allow.clone(),
            max_message: config.max_message.len(),
            batch_after: config.batch_after.0,
            clock: context.clock.clone(),
        }
    }

    /// Reads until woken or broken, and returns what the queue had no room for.
    fn run(mut self, socket: DatagramSocket) -> Left {
        let mut receiver = Receiver::new(socket, SLOTS, self.max_message.min(LARGEST));
        let result = self.read(&mut receiver);
        self.outbox.put(self.builder.seal());
        self.outbox.offer();
        (self.outbox, result)
    }

    /// Reads until woken, then empties the socket.
    fn read(&mut self, receiver: &mut Receiver) -> io::Result<()> {
        while !self.outbox.is_closed {
            if receiver.wait(self.wake.as_fd(), self.time_left())? {
                break;
            }
            let count = receiver.receive()?;
            self.take(receiver);
            self.close_by_age();
            self.senders.note(&self.outbox.account);
            self.outbox.offer();
            if self.gathers && (1..receiver.slots()).contains(&count) && pause(self.wake.as_fd(), GATHER)? {
                break;
            }
        }
        for _ in 0..LAST_CALLS {
            if receiver.receive()? == 0 {
                break;
            }
            self.take(receiver);
        }
        Ok(())
    }

    /// Puts what was received into batches.
    fn take(&mut self, receiver: &Receiver) {
        let received = self.clock.now();
        let mut refused = 0;
        let mut tally = self.outbox.account.tally();
        let mut full = Vec::new();
        for datagram in receiver.datagrams() {
            if !self.allow.contains(datagram.peer.ip()) {
                refused += 1;
                continue;
            }
            let is_cut = datagram.length > datagram.bytes.len();
            let bytes = if is_cut { whole_characters(datagram.bytes) } else { trim(datagram.bytes) };
            if bytes.is_empty() {
                continue;
            }
            let cut_from = is_cut.then_some(datagram.length as u64);
            tally.add(&Frame { bytes, cut_from });
            self.senders.heard(datagram.peer.ip());
            let origin = Origin::new(Transport::Udp, Some(datagram.peer));
            if self.builder.push(&Record { received, origin: &origin, id: None, cut_from, bytes }) {
                full.extend(self.builder.seal());
                self.begun = None;
            }
        }
        drop(tally);
        self.outbox.account.dropped(DropReason::NotAllowed, refused);
        for batch in full {
            self.outbox.put(Some(batch));
        }
        if self.builder.count() > 0 {
            self.begun.get_or_insert_with(monotonic);
        }
    }

    fn close_by_age(&mut self) {
        if self.begun.is_some_and(|begun| monotonic().duration_since(begun) >= self.batch_after) {
            self.begun = None;
            self.outbox.put(self.builder.seal());
        }
    }

    /// Until a batch must be closed or the queue be asked again.
    fn time_left(&self) -> Duration {
        let age = self.begun.map(|begun| monotonic().duration_since(begun));
        let left = age.map_or(NO_DEADLINE, |age| self.batch_after.saturating_sub(age));
        let left = if self.senders.all.is_empty() { left } else { left.min(NOTE_SENDERS) };
        if self.outbox.held.is_empty() { left } else { left.min(RETRY) }
    }
}

/// Who sent since it was noted last: a set of this thread's own, so that a datagram costs no lock.
#[derive(Default)]
struct Senders {
    all: HashSet<IpAddr>,
    last: Option<IpAddr>,
    noted: Option<Instant>,
}

impl Senders {
    fn heard(&mut self, peer: IpAddr) {
        // Mostly the same one as before.
        if self.last != Some(peer) && self.all.len() < MOST_SENDERS {
            self.last = Some(peer);
            self.all.insert(peer);
        }
    }

    fn note(&mut self, account: &Account) {
        let now = monotonic();
        if !self.all.is_empty() && self.noted.is_none_or(|noted| now.duration_since(noted) >= NOTE_SENDERS) {
            account.heard(self.all.drain());
            (self.last, self.noted) = (None, Some(now));
        }
    }
}

/// Batches on their way to the queue. What is in it when it goes is counted as dropped.
struct Outbox {
    held: VecDeque<Batch>,
    account: Account,
    watch: Arc<Watch>,
    is_closed: bool,
}

impl Outbox {
    /// Takes a batch in; where too many wait already, its events are dropped and counted.
    fn put(&mut self, batch: Option<Batch>) {
        let Some(batch) = batch else { return };
        if self.held.len() >= HELD {
            self.offer();
        }
        if self.held.len() < HELD {
            self.held.push_back(batch);
        } else {
            self.account.dropped(DropReason::QueueFull, batch.count().into());
            self.watch.queue_was_full();
        }
    }

    /// Hands over, in order, what the queue has room for.
    fn offer(&mut self) {
        while let Some(batch) = self.held.pop_front() {
            match self.account.try_submit(batch) {
                Ok(()) => {}
                Err(Refused::Full(batch)) => {
                    self.held.push_front(batch);
                    return;
                }
                Err(Refused::Closed(batch)) => {
                    self.held.push_front(batch);
                    self.is_closed = true;
                    return;
                }
            }
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let events = self.held.iter().map(|batch| u64::from(batch.count())).sum();
        self.account.dropped(DropReason::Stopping, events);
    }
}
