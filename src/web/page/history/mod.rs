//! Numbers over time for the charts: the last hour in points of 10 s, the last day of 5 min, the last month of 2 h.
//!
//! In: snapshots of the board, every 10 s. Out: [`Series`], one span at a time. Counters are read as differences; one that went
//! back (a restart, a component removed and made anew) counts from zero. What was not measured, because the box was off, is a
//! gap and not a zero.
//!
//! Points belong to places on the wall clock. A clock that leaps forward leaves a gap. A clock that is behind the newest point is
//! not believed for ten minutes, so that a box which starts in 1970 until the network has set its clock keeps what it knew;
//! then it is, and the points that lie in its future are dropped.
//!
//! Bounded: the rings never grow, 64 sources have points of their own (all others are in the sum), and the file has 200 KiB at
//! most. Kind to flash: it is written every 15 minutes and at the end. A box that loses its power loses so much of its charts,
//! and nothing else: the ledger does not live here.
//!
//! A file that is torn, foreign or of another version is put aside as `history.damaged`, and the history begins anew.

mod book;
mod file;
mod meter;
mod series;
mod track;

#[cfg(test)]
mod tests;

pub(super) use file::sum;
#[cfg(test)]
pub(super) use series::Now;
pub(super) use series::{Series, Span};

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::durable;
use crate::status::{Board, Snapshot};
use book::Book;
use meter::Meter;

/// How often the board is read: each time wakes the box, and nobody looks closer at an hour than this.
const SAMPLE: Duration = Duration::from_secs(10);

/// How often the file is written: at 50 KiB, which is a box with ten sources, 5 MB a day.
const SAVE: Duration = Duration::from_secs(15 * 60);

/// The numbers over time. Clones are the same history.
#[derive(Clone, Debug)]
pub(super) struct History {
    clock: Clock,
    path: PathBuf,
    book: Arc<Mutex<Book>>,
}

impl History {
    /// Reads what was kept in the folder, which is made if it is not there. What cannot be read is put aside, and the history
    /// begins anew: no box stands still for a chart. Blocks on the disk.
    pub(super) fn open(folder: &Path, clock: Clock) -> Self {
        let path = folder.join("history.bin");
        let made = DirBuilder::new().recursive(true).mode(0o750).create(folder);
        let book = match made.and_then(|()| bytes(&path)) {
            Ok(bytes) => file::read(&bytes).unwrap_or_else(|| put_aside(&path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Book::default(),
            Err(error) => {
                tracing::warn!(%error, file = %path.display(), "the history cannot be read and begins anew");
                Book::default()
            }
        };
        Self { clock, path, book: Arc::new(Mutex::new(book)) }
    }

    /// Reads the board every 10 s until told to stop, and keeps what it read on the disk.
    ///
    /// # Cancel safety
    /// Safe; what came since the file was written last is lost then.
    pub(super) async fn run(&self, board: Board, stop: CancellationToken) {
        let mut meter = Meter::default();
        let mut tick = interval(SAMPLE);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = Instant::now();
        let mut saved = before;
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            before = self.add(&mut meter, &board.snapshot(), before);
            if before.duration_since(saved) >= SAVE {
                saved = before;
                self.save().await;
            }
        }
        self.add(&mut meter, &board.snapshot(), before);
        self.save().await;
    }

    /// The numbers of a span up to now.
    pub(super) fn series(&self, span: Span) -> Series {
        self.book().series(span)
    }

    fn add(&self, meter: &mut Meter, snapshot: &Snapshot, before: Instant) -> Instant {
        let now = Instant::now();
        let sample = meter.read(snapshot, now.duration_since(before).as_secs_f64());
        self.book().add(self.clock.now().micros() / 1_000_000, &sample);
        now
    }

    /// Writes the file. A disk that fails costs the charts, and is told by the queue.
    async fn save(&self) {
        let (bytes, path) = (file::write(&self.book()), self.path.clone());
        let written = tokio::task::spawn_blocking(move || durable::replace(&path, &bytes)).await;
        if let Err(error) = written.unwrap_or_else(|error| Err(error.into())) {
            tracing::warn!(%error, file = %self.path.display(), "the history cannot be written; it is tried again later");
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is in the file; of one that is too long, enough to see that.
fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(file::MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn put_aside(path: &Path) -> Book {
    tracing::warn!(file = %path.display(), "is damaged or of another version; it is put aside and begun anew");
    // If it cannot even be renamed, the next write replaces it.
    let _ = fs::rename(path, path.with_extension("damaged"));
    Book::default()
}
