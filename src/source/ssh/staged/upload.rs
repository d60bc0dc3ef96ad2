//! A file on its way from a device: written beside the queue as it comes, hashed on the way.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use tokio::time::Instant;

use super::file::{Facts, Staged};
use super::{Found, Staging, blocking, sync_folder};
use crate::source::sign::hex;

/// Bytes that are collected before they are written: large enough that the hop to a blocking thread does not count.
const CHUNK: usize = 256 << 10;
/// Room is set aside in such steps where the device does not say how much it will send.
const STEP: u64 = 16 << 20;

/// Why a file is not taken. The device keeps it and may try again.
#[derive(Debug, thiserror::Error)]
pub(in crate::source::ssh) enum UploadError {
    #[error("the box has no room for it now; try again later")]
    NoRoom,
    #[error("it is larger than the {0} bytes that max_file allows")]
    TooLarge(u64),
    #[error("it could not be stored: {0}")]
    Disk(#[from] io::Error),
}

/// An upload. Dropped before [`Upload::finish`], it leaves nothing.
#[derive(Debug)]
pub(in crate::source::ssh) struct Upload {
    staging: Arc<Staging>,
    path: PathBuf,
    /// `None` only while a blocking thread has it.
    inner: Option<Inner>,
    reserved: u64,
    max_file: u64,
    is_staged: bool,
}

struct Inner {
    file: File,
    buffer: Vec<u8>,
    /// Where the buffer goes.
    at: u64,
    /// The end of what was written.
    size: u64,
    /// Of all bytes before `at`, unless they did not come in order.
    hash: Option<Context>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inner({} of {})", self.at, self.size)
    }
}

impl Upload {
    /// Begins a file. `size`: what the device says it will send; room for it is set aside now.
    ///
    /// # Errors
    /// When it would not fit, or the disk does not take it.
    pub(in crate::source::ssh) async fn begin(
        staging: &Arc<Staging>,
        size: Option<u64>,
        max_file: u64,
    ) -> Result<Self, UploadError> {
        let reserved = size.unwrap_or(0);
        if reserved > max_file {
            return Err(UploadError::TooLarge(max_file));
        }
        if !staging.reserve(reserved) {
            return Err(UploadError::NoRoom);
        }
        let path = staging.next_path();
        let mut upload = Self {
            staging: Arc::clone(staging),
            path: path.clone(),
            inner: None,
            reserved,
            max_file,
            is_staged: false,
        };
        let open = move || OpenOptions::new().read(true).write(true).create_new(true).mode(0o640).open(path);
        let file = blocking(open).await??;
        let hash = Some(Context::new(&SHA256));
        upload.inner = Some(Inner { file, buffer: Vec::new(), at: 0, size: 0, hash });
        Ok(upload)
    }

    /// Bytes so far.
    pub(in crate::source::ssh) fn size(&self) -> u64 {
        self.inner.as_ref().map_or(0, Inner::end)
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// As [`Upload::begin`]; the file cannot be finished then.
    pub(in crate::source::ssh) async fn write(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
        let at = self.inner.as_ref().map_or(0, |inner| inner.at + inner.buffer.len() as u64);
        self.write_at(at, bytes).await
    }

    /// Takes bytes for a place. Those that come in order are hashed on the way; others make the file be read once more.
    ///
    /// # Errors
    /// As [`Upload::begin`].
    pub(in crate::source::ssh) async fn write_at(&mut self, at: u64, bytes: &[u8]) -> Result<(), UploadError> {
        let end = at.checked_add(bytes.len() as u64).filter(|end| *end <= self.max_file);
        let end = end.ok_or(UploadError::TooLarge(self.max_file))?;
        self.reserve(end)?;
        let inner = self.inner.as_ref().ok_or_else(broken)?;
        if at != inner.at + inner.buffer.len() as u64 {
            self.run(move |inner| inner.seek(at)).await?;
        }
        let inner = self.inner.as_mut().ok_or_else(broken)?;
        if inner.buffer.capacity() == 0 {
            inner.buffer.reserve_exact(CHUNK.min(bytes.len().max(4 << 10)));
        }
        inner.buffer.extend_from_slice(bytes);
        if inner.buffer.len() >= CHUNK {
            self.run(Inner::flush).await?;
        }
        Ok(())
    }

    /// Cuts or lengthens the file.
    ///
    /// # Errors
    /// As [`Upload::begin`].
    pub(in crate::source::ssh) async fn set_size(&mut self, size: u64) -> Result<(), UploadError> {
        if size == self.size() {
            return Ok(());
        }
        if size > self.max_file {
            return Err(UploadError::TooLarge(self.max_file));
        }
        self.reserve(size)?;
        self.run(move |inner| inner.set_size(size)).await
    }

    /// Makes what came so far durable, without taking custody of it.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub(in crate::source::ssh) async fn sync(&mut self) -> Result<(), UploadError> {
        self.run(|inner| inner.flush().and_then(|()| inner.file.sync_data())).await
    }

    /// Takes custody: when this returns, the file and its name are durable, or it is known already. `facts` lack size and hash.
    /// It is read after `rest`, until then it may be renamed.
    ///
    /// # Errors
    /// When the disk does not take it; nothing of it is kept then.
    ///
    /// # Cancel safety
    /// If dropped, the file may or may not be in custody; its device must not be told that it is.
    pub(in crate::source::ssh) async fn finish(
        mut self,
        facts: Facts,
        rest: Duration,
    ) -> Result<(Found, u64), UploadError> {
        let mut inner = self.inner.take().ok_or_else(broken)?;
        let (inner, sha256) = blocking(move || inner.finish().map(|hash| (inner, hash))).await??;
        let facts = Facts { size: inner.size, sha256, ..facts };
        let size = facts.size;
        let staging = Arc::clone(&self.staging);
        if staging.is_known(&facts) {
            return Ok((Found::Repeat, size));
        }
        let (from, to, own) = (self.path.clone(), self.path.with_extension("staged"), facts);
        let folder = self.staging.folder.clone();
        let stored = blocking(move || -> io::Result<Staged> {
            inner.file.write_all_at(&own.trailer()?, own.size)?;
            inner.file.sync_all()?;
            std::fs::rename(&from, &to)?;
            sync_folder(&folder)?;
            Ok(Staged { path: to, facts: own })
        });
        let staged = stored.await.and_then(|stored| stored)?;
        self.is_staged = true;
        // What is there counts, and not what was announced.
        staging.release(self.reserved.saturating_sub(size));
        staging.add(staged, Instant::now() + rest);
        Ok((Found::New, size))
    }

    fn reserve(&mut self, end: u64) -> Result<(), UploadError> {
        if end > self.reserved {
            let least = end - self.reserved;
            // Near the end of the room a smaller step may do.
            let step = [least.max(STEP), least].into_iter().find(|step| self.staging.reserve(*step));
            self.reserved += step.ok_or(UploadError::NoRoom)?;
        }
        Ok(())
    }

    async fn run(
        &mut self,
        work: impl FnOnce(&mut Inner) -> io::Result<()> + Send + 'static,
    ) -> Result<(), UploadError> {
        let mut inner = self.inner.take().ok_or_else(broken)?;
        let (inner, result) = blocking(move || {
            let result = work(&mut inner);
            (inner, result)
        })
        .await?;
        self.inner = Some(inner);
        Ok(result?)
    }
}

fn broken() -> io::Error {
    io::Error::other("an earlier write failed")
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.is_staged {
            self.staging.release(self.reserved);
            // What stays is removed at the next start.
            let _ = std::fs::remove_file(&self.path);
            let _ = std::fs::remove_file(self.path.with_extension("staged"));
        }
    }
}

impl Inner {
    fn end(&self) -> u64 {
        self.size.max(self.at + self.buffer.len() as u64)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.file.write_all_at(&self.buffer, self.at)?;
        // Bytes that go over others make their hash wrong.
        if self.at < self.size {
            self.hash = None;
        }
        if let Some(hash) = &mut self.hash {
            hash.update(&self.buffer);
        }
        self.at += self.buffer.len() as u64;
        self.size = self.size.max(self.at);
        self.buffer.clear();
        Ok(())
    }

    fn seek(&mut self, at: u64) -> io::Result<()> {
        self.flush()?;
        self.hash = None;
        self.at = at;
        Ok(())
    }

    fn set_size(&mut self, size: u64) -> io::Result<()> {
        self.flush()?;
        self.file.set_len(size)?;
        self.hash = None;
        self.size = size;
        Ok(())
    }

    /// Writes what is left; the hash of all.
    fn finish(&mut self) -> io::Result<String> {
        self.flush()?;
        if let Some(hash) = self.hash.take() {
            return Ok(hex(hash.finish().as_ref()));
        }
        let (mut hash, mut at, mut buffer) = (Context::new(&SHA256), 0, vec![0; CHUNK]);
        loop {
            let count = self.file.read_at(&mut buffer, at)?;
            if count == 0 {
                return Ok(hex(hash.finish().as_ref()));
            }
            hash.update(buffer.get(..count).unwrap_or_default());
            at += count as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::event::OutputId;
    use crate::queue::{self, OutputRule, Queue};
    use crate::status::{Board, Component};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_file_whose_way_into_custody_was_cut_short_is_taken_when_it_comes_again() {
        let folder = tempfile::tempdir().unwrap();
        let rule = OutputRule { id: OutputId::from("out"), may_skip: false, acknowledges: true };
        let status = Board::new(Clock::System).handle(Component::Queue, "queue");
        let queue = Queue::open(&folder.path().join("queue"), &queue::Config::default(), &[rule], status).unwrap();
        let staging = Staging::open(folder.path().join("staged"), &"ces".into(), queue.intake()).unwrap();
        let staging = Arc::new(staging);
        let (mut cut, mut number) = (0, 0_u32);
        while cut < 40 && number < 4_000 {
            number += 1;
            let finish = async || {
                let facts = Facts {
                    device: "esa1".into(),
                    path: format!("/in/{number}"),
                    peer: "192.0.2.5:40000".parse().unwrap(),
                    received: 5,
                    size: 0,
                    sha256: String::new(),
                };
                let mut upload = Upload::begin(&staging, Some(3), 1 << 20).await.unwrap();
                upload.write(b"a\nb").await.unwrap();
                upload.finish(facts, Duration::ZERO).await.unwrap().0
            };
            let patience = Duration::from_micros(u64::from(number % 40) * 50);
            if tokio::time::timeout(patience, finish()).await.is_err() {
                cut += 1;
                assert_eq!(finish().await, Found::New, "its device would be told that it is safe");
            }
            assert_eq!(finish().await, Found::Repeat);
        }
        assert!(cut > 0, "none was cut");
    }
}
