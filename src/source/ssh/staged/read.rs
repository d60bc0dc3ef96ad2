//! From staged files to the queue: one file after the other, in batches that also carry how far they reach.
//!
//! A file goes when all its events are settled. After a stop it is read again from its start, and what is in the queue is
//! passed over: so splitting, joining and inflating need no state of their own on the disk.

use std::collections::VecDeque;
use std::fs::File;
use std::future::Future;
use std::io::{self, Read, Take};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::book::Changes;
use super::file::Staged;
use super::split::{Piece, Splitter};
use super::{FEED, Staging, blocking};
use crate::clock::Clock;
use crate::event::{
    Batch, BatchBuilder, BatchLimits, Checkpoint, Kind, Line, Notice, Origin, Record, SourceId, Teller, Transport,
};
use crate::queue::{Closed, Intake};
use crate::source::ssh::devices::Devices;
use crate::status::{Count, Handle};

/// Bytes that are read and split at once. Records of one byte become 40 times as large in a batch.
const CHUNK: usize = 128 << 10;
/// Batches that wait to be settled: enough to keep the queue's writer busy.
const IN_FLIGHT: usize = 8;
/// When a file that the disk did not give is asked for again.
const AGAIN: Duration = Duration::from_secs(60);
/// How long the last batches are waited for at a stop: several times the queue's `flush_after`.
const DRAIN: Duration = Duration::from_secs(2);

/// Reads staged files for one source.
#[derive(Debug)]
pub(in crate::source::ssh) struct Reader {
    pub(in crate::source::ssh) id: SourceId,
    pub(in crate::source::ssh) staging: Arc<Staging>,
    pub(in crate::source::ssh) devices: Arc<Devices>,
    pub(in crate::source::ssh) intake: Intake,
    pub(in crate::source::ssh) status: Handle,
    pub(in crate::source::ssh) clock: Clock,
    pub(in crate::source::ssh) teller: Teller,
    pub(in crate::source::ssh) max_record: usize,
    pub(in crate::source::ssh) max_inflated: u64,
}

/// What is on its way into the queue.
struct Flow {
    builder: BatchBuilder,
    /// Event bytes in `builder`.
    bytes: u64,
    changes: Changes,
    /// Files whose last record is in `builder`.
    ending: Vec<Staged>,
    full: Vec<Sealed>,
    settling: VecDeque<(Settling, u32, Vec<Staged>)>,
    /// The record being made, and its id.
    line: Vec<u8>,
    own_id: String,
}

/// Ends when a batch is settled.
type Settling = Pin<Box<dyn Future<Output = Result<(), Closed>> + Send>>;

struct Sealed {
    batch: Batch,
    bytes: u64,
    ending: Vec<Staged>,
}

impl Reader {
    /// Reads what is staged until stopped.
    pub(in crate::source::ssh) async fn run(&self, stop: &CancellationToken) {
        let mut flow = Flow::new(&self.id);
        // The queue closes only when the box stops; what was not settled is read again.
        if let Err(Closed) = self.read_all(&mut flow, stop).await {
            return;
        }
        let rest = async {
            self.submit(&mut flow).await?;
            while !flow.settling.is_empty() {
                self.settled(&mut flow).await?;
            }
            Ok::<(), Closed>(())
        };
        let _ = timeout(DRAIN, rest).await;
    }

    async fn read_all(&self, flow: &mut Flow, stop: &CancellationToken) -> Result<(), Closed> {
        loop {
            if stop.is_cancelled() {
                return Ok(());
            }
            let due = match self.staging.next(Instant::now()) {
                // It came twice at once. What was read of the other one may not be settled yet, so it goes no sooner.
                Ok(file) if self.staging.inner().book.is_done(&file.facts.key()) => {
                    self.ended(file, flow).await;
                    continue;
                }
                Ok(file) => {
                    self.read(file, flow, stop).await?;
                    continue;
                }
                Err(due) => due,
            };
            flow.seal();
            self.submit(flow).await?;
            let (settling, later) = (!flow.settling.is_empty(), Instant::now() + Duration::from_secs(3_600));
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = self.staging.more.notified() => {}
                () = sleep_until(due.unwrap_or(later)) => {}
                result = oldest(&mut flow.settling), if settling => {
                    result?;
                    self.let_go(flow).await;
                }
            }
        }
    }

    /// Reads one file. What keeps it from being read is told, and is an event.
    async fn read(&self, file: Staged, flow: &mut Flow, stop: &CancellationToken) -> Result<(), Closed> {
        let key = file.facts.key();
        let mut place = Place { from: self.staging.inner().book.place(&key), reached: 0, id: file.facts.id() };
        let origin = Origin {
            transport: Transport::Ssh,
            peer: Some(file.facts.peer),
            name: Some(file.facts.device.as_str().into()),
        };
        let mut splitter = Splitter::new(self.devices.log_type(&file.facts.device), self.max_record);
        let path = file.path.clone();
        let (size, most) = (file.facts.size, self.max_inflated);
        let mut feed = match blocking(move || Feed::open(&path, size, most)).await {
            Ok(Ok(feed)) => Some(feed),
            Ok(Err(error)) | Err(error) => {
                self.try_later(file, &error);
                return Ok(());
            }
        };
        let mut events = 0;
        let mut chunk = Vec::new();
        while let Some(open) = feed.take() {
            let error;
            (feed, chunk, error) = next_chunk(open, chunk).await;
            match error {
                Some(error) if is_damage(&error) => self.tell_damaged(&file, place.reached, &error),
                Some(error) => {
                    self.try_later(file, &error);
                    return Ok(());
                }
                None => {}
            }
            let is_last = feed.is_none();
            {
                let mut inner = self.staging.inner();
                let mut emit = |piece: &Piece<'_>| {
                    if piece.offset < place.from {
                        return;
                    }
                    events += 1;
                    place.reached = piece.end;
                    if piece.cut_from.is_some() {
                        self.status.counters().add(Count::CutEvents, 1);
                    }
                    if flow.push(&file, &place.id, piece, &origin) {
                        inner.book.reach(key, piece.end, &mut flow.changes);
                        flow.seal();
                    }
                };
                splitter.push(&chunk, &mut emit);
                if is_last {
                    splitter.finish(&mut emit);
                }
            }
            self.submit(flow).await?;
            if !is_last && stop.is_cancelled() {
                if place.reached > 0 {
                    self.staging.inner().book.reach(key, place.reached, &mut flow.changes);
                }
                flow.seal();
                return self.submit(flow).await;
            }
        }
        self.staging.inner().book.finish(key, self.clock.now(), &mut flow.changes);
        self.devices.read(&file.facts.device, events);
        tracing::info!(device = file.facts.device, file = file.facts.path, bytes = size, events, "file read");
        self.ended(file, flow).await;
        Ok(())
    }

    /// A file has no more records: it goes with the batch that holds its last one.
    async fn ended(&self, file: Staged, flow: &mut Flow) {
        if flow.builder.count() > 0 {
            flow.ending.push(file);
        } else if let Some((.., ending)) = flow.settling.back_mut() {
            ending.push(file);
        } else {
            self.remove(vec![file]).await;
        }
    }

    /// Hands over the batches that are full; waits while too many are not settled.
    async fn submit(&self, flow: &mut Flow) -> Result<(), Closed> {
        for Sealed { batch, bytes, ending } in std::mem::take(&mut flow.full) {
            let count = batch.count();
            let ticket = self.intake.submit(batch).await?;
            self.status.counters().add(Count::ReceivedEvents, count.into());
            self.status.counters().add(Count::ReceivedBytes, bytes);
            flow.settling.push_back((Box::pin(ticket.settled()), count, ending));
            while flow.settling.len() > IN_FLIGHT {
                self.settled(flow).await?;
            }
        }
        Ok(())
    }

    /// Waits for the oldest batch, and lets its files go.
    async fn settled(&self, flow: &mut Flow) -> Result<(), Closed> {
        oldest(&mut flow.settling).await?;
        self.let_go(flow).await;
        Ok(())
    }

    /// The oldest batch is settled: its files go.
    async fn let_go(&self, flow: &mut Flow) {
        if let Some((_, count, ending)) = flow.settling.pop_front() {
            self.status.counters().add(Count::SettledEvents, count.into());
            self.remove(ending).await;
        }
    }

    async fn remove(&self, files: Vec<Staged>) {
        for file in files {
            self.staging.release(file.facts.size);
            let path = file.path.clone();
            // If it stays it is removed at the next start, because it is known to be done.
            if let Ok(Err(error)) = blocking(move || std::fs::remove_file(path)).await {
                tracing::warn!(file = %file.path.display(), %error, "a file that was read cannot be removed");
            }
        }
    }

    /// The disk does not give it now; it is in our custody, so it is asked again.
    fn try_later(&self, file: Staged, error: &io::Error) {
        let Staged { facts, path } = &file;
        tracing::warn!(file = %path.display(), %error, "a staged file cannot be read now, and is tried again");
        let what = format!("its file {} cannot be read from the box's disk now: {error}", facts.path);
        self.devices.failed(&facts.device, self.clock.now(), what);
        self.staging.add(file, Instant::now() + AGAIN);
    }

    fn tell_damaged(&self, file: &Staged, offset: u64, error: &io::Error) {
        let Staged { facts, .. } = file;
        let message = format!(
            "the file {} of {} could not be read past byte {offset}: {error}; what follows is missing",
            facts.path, facts.device
        );
        let known = [
            ("source", self.id.to_string()),
            ("device", facts.device.clone()),
            ("file", facts.path.clone()),
            ("sha256", facts.sha256.clone()),
            ("offset", offset.to_string()),
        ];
        self.devices.failed(&facts.device, self.clock.now(), message.clone());
        self.teller.tell(Notice::new("file_damaged", false, message, &known));
    }
}

/// Waits until the oldest batch is settled.
///
/// # Cancel safety
/// Safe: it stays the oldest.
async fn oldest(settling: &mut VecDeque<(Settling, u32, Vec<Staged>)>) -> Result<(), Closed> {
    match settling.front_mut() {
        Some((settled, ..)) => settled.as_mut().await,
        None => std::future::pending().await,
    }
}

/// The next bytes of a file, which is given back unless they are the last, and what kept the rest from being read.
async fn next_chunk(mut feed: Feed, mut chunk: Vec<u8>) -> (Option<Feed>, Vec<u8>, Option<io::Error>) {
    let read = blocking(move || {
        let result = feed.read(&mut chunk);
        (feed, chunk, result)
    });
    match read.await {
        Ok((feed, chunk, Ok(()))) => ((!chunk.is_empty()).then_some(feed), chunk, None),
        Ok((_, chunk, Err(error))) => (None, chunk, Some(error)),
        Err(error) => (None, Vec::new(), Some(error)),
    }
}

/// Whether the content of a file is to blame, which asking again does not mend: flate2 says so by these.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof)
}

/// How far a file was read.
struct Place {
    /// Records before this offset are in the queue.
    from: u64,
    reached: u64,
    id: String,
}

impl Flow {
    fn new(id: &SourceId) -> Self {
        Self {
            builder: BatchBuilder::new(id.clone(), Kind::Line, BatchLimits::default()),
            bytes: 0,
            changes: Changes::new(),
            ending: Vec::new(),
            full: Vec::new(),
            settling: VecDeque::new(),
            line: Vec::new(),
            own_id: String::new(),
        }
    }

    /// Puts a record into the batch; true if that is full now.
    fn push(&mut self, file: &Staged, id: &str, piece: &Piece<'_>, origin: &Origin) -> bool {
        use std::fmt::Write as _;
        self.own_id.clear();
        // Writing to memory cannot fail.
        let _ = write!(self.own_id, "{id}-{:x}", piece.offset);
        self.line.clear();
        let Piece { format, number, offset, bytes, fields, cut_from, .. } = *piece;
        Line { format, number, offset, path: &file.facts.path, fields, bytes }.write(&mut self.line);
        self.bytes += bytes.len() as u64;
        let (received, id) = (file.facts.received(), Some(self.own_id.as_str()));
        self.builder.push(&Record { received, origin, id, cut_from, bytes: &self.line })
    }

    /// Closes the batch, with its checkpoint.
    fn seal(&mut self) {
        let Some(batch) = self.builder.seal() else { return };
        let changes = std::mem::take(&mut self.changes);
        let batch = batch.with_checkpoint(Checkpoint { feed: FEED.to_owned(), changes });
        let (bytes, ending) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.ending));
        self.full.push(Sealed { batch, bytes, ending });
    }
}

/// The data of a file, inflated where it is compressed.
enum Feed {
    Plain(Take<File>),
    Gzip { inflated: Box<MultiGzDecoder<io::BufReader<Take<File>>>>, left: u64 },
}

impl Feed {
    fn open(path: &std::path::Path, size: u64, max_inflated: u64) -> io::Result<Self> {
        use std::os::unix::fs::FileExt as _;
        let file = File::open(path)?;
        let mut magic = [0; 2];
        // RFC 1952 section 2.3.1.
        if size > 18 && file.read_at(&mut magic, 0)? == 2 && magic == [0x1f, 0x8b] {
            let buffered = io::BufReader::with_capacity(64 << 10, file.take(size));
            return Ok(Self::Gzip { inflated: Box::new(MultiGzDecoder::new(buffered)), left: max_inflated });
        }
        Ok(Self::Plain(file.take(size)))
    }

    /// Fills `chunk`; nothing in it means the end. What came before an error is in it.
    fn read(&mut self, chunk: &mut Vec<u8>) -> io::Result<()> {
        chunk.clear();
        match self {
            Self::Plain(file) => file.take(CHUNK as u64).read_to_end(chunk).map(drop),
            Self::Gzip { inflated, left } => {
                let read = inflated.as_mut().take(CHUNK as u64).read_to_end(chunk);
                *left = left.saturating_sub(chunk.len() as u64);
                if *left == 0 {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "it inflates to more than max_inflated"));
                }
                read.map(drop)
            }
        }
    }
}
