//! Files between the device and the queue: taken whole, kept until the queue has all their events.
//!
//! In: bytes of an upload. Out: batches of lines. A file is `<number>.part` while it comes, then its facts are appended, both are
//! synced, it becomes `<number>.staged`, and the folder is synced: from there on it is in our custody. It goes when all its
//! events are settled. A `.part` that a stop left is removed at the next start: nobody was told that we have it.
//!
//! The facts stand behind the data (JSON, its length, a magic number), so that one sync makes both durable; the last ones
//! count, so a new name is appended too.

mod book;
mod file;
mod read;
mod split;
mod store;
mod upload;

pub(super) use file::{Facts, Staged};
pub(super) use read::Reader;
pub(super) use upload::{Upload, UploadError};

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::event::SourceId;
use crate::queue::Intake;
use book::Book;

/// The feed whose checkpoint says which files were read, and how far.
const FEED: &str = "files";

/// The folder of staged files, what is in it, and what was read of it.
#[derive(Debug)]
pub(super) struct Staging {
    folder: PathBuf,
    intake: Intake,
    inner: Mutex<Inner>,
    /// A file waits.
    more: Notify,
}

#[derive(Debug)]
struct Inner {
    /// The number of the next file.
    next: u64,
    /// Bytes of all files that are there or on their way.
    bytes: u64,
    /// Files that nobody reads yet, in the order they came.
    waiting: VecDeque<Waiting>,
    book: Book,
}

#[derive(Debug)]
struct Waiting {
    file: Staged,
    /// Until then its device may still rename it.
    due: Instant,
}

/// Whether a file is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    New,
    /// It is here or was here, whole, within the last days.
    Repeat,
}

impl Staging {
    /// Opens the folder: what an earlier run staged is read again, what it had not finished is removed. Blocks.
    ///
    /// # Errors
    /// When the folder or the queue's checkpoint cannot be used.
    pub(super) fn open(folder: PathBuf, id: &SourceId, intake: Intake) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o750).create(&folder)?;
        let mut book = Book::new(intake.checkpoint(id, FEED)?);
        let (mut waiting, mut bytes, mut next) = (VecDeque::new(), 0, 1);
        let mut names: Vec<PathBuf> = fs::read_dir(&folder)?.flatten().map(|entry| entry.path()).collect();
        names.sort();
        let due = Instant::now();
        for path in names {
            next = next.max(file::number(&path).map_or(0, |number| number + 1));
            if path.extension().is_some_and(|ending| ending == "part") {
                fs::remove_file(&path)?;
            } else if path.extension().is_some_and(|ending| ending == "staged") {
                let Some(file) = Staged::open(&path)? else {
                    tracing::error!(file = %path.display(), "a staged file is damaged and is set aside");
                    fs::rename(&path, path.with_extension("damaged"))?;
                    continue;
                };
                if book.is_done(&file.facts.key()) {
                    fs::remove_file(&path)?;
                    continue;
                }
                book.stage(file.facts.key());
                bytes += file.facts.size;
                waiting.push_back(Waiting { file, due });
            }
        }
        if !waiting.is_empty() {
            tracing::info!(files = waiting.len(), bytes, "staged files of an earlier run are read");
        }
        Ok(Self { folder, intake, inner: Mutex::new(Inner { next, bytes, waiting, book }), more: Notify::new() })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets room aside; false if that would go over the queue's bound.
    fn reserve(&self, bytes: u64) -> bool {
        let room = self.intake.room_bytes();
        let mut inner = self.inner();
        let fits = inner.bytes.saturating_add(bytes) <= room;
        if fits {
            inner.bytes += bytes;
        }
        fits
    }

    fn release(&self, bytes: u64) {
        let mut inner = self.inner();
        inner.bytes = inner.bytes.saturating_sub(bytes);
    }

    /// The path of the next `.part`.
    fn next_path(&self) -> PathBuf {
        let mut inner = self.inner();
        let number = inner.next;
        inner.next += 1;
        self.folder.join(format!("{number:016x}.part"))
    }

    /// Whether a complete file is in our custody already, or was. One that is only on its way there does not count: nobody may be
    /// told that it is safe.
    fn is_known(&self, facts: &Facts) -> bool {
        self.inner().book.is_known(&facts.key())
    }

    /// A file is in custody. It is read from `due` on.
    fn add(&self, file: Staged, due: Instant) {
        let mut inner = self.inner();
        inner.book.stage(file.facts.key());
        inner.waiting.push_back(Waiting { file, due });
        drop(inner);
        self.more.notify_one();
    }

    /// Gives a file that is not read yet another path; false if there is none by that path. Blocks.
    ///
    /// # Errors
    /// When that could not be made durable; it keeps its path then.
    pub(super) fn rename(&self, device: &str, from: &str, to: &str) -> io::Result<bool> {
        let mut inner = self.inner();
        let is_it = |waiting: &&mut Waiting| waiting.file.facts.device == device && waiting.file.facts.path == from;
        let Some(found) = inner.waiting.iter_mut().rev().find(is_it) else { return Ok(false) };
        let (old, facts) = (found.file.facts.key(), Facts { path: to.to_owned(), ..found.file.facts.clone() });
        found.file.rewrite(&facts)?;
        let new = facts.key();
        found.file.facts = facts;
        inner.book.unstage(&old);
        inner.book.stage(new);
        Ok(true)
    }

    /// Lets files be read whose device is done with renaming.
    pub(super) fn release_names(&self, device: &str) {
        let now = Instant::now();
        let mut inner = self.inner();
        for waiting in inner.waiting.iter_mut().filter(|waiting| waiting.file.facts.device == device) {
            waiting.due = now;
        }
        drop(inner);
        self.more.notify_one();
    }

    /// The next file to read, or when to ask again.
    fn next(&self, now: Instant) -> Result<Staged, Option<Instant>> {
        let mut inner = self.inner();
        match inner.waiting.iter().position(|waiting| waiting.due <= now) {
            Some(at) => inner.waiting.remove(at).map(|waiting| waiting.file).ok_or(None),
            None => Err(inner.waiting.iter().map(|waiting| waiting.due).min()),
        }
    }
}

/// Makes the names in a folder durable. Blocks.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Runs what blocks where it may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}
