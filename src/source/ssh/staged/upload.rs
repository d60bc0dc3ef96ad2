//! A file on its way from a device: collected, and written beside the queue by a blocking thread while more of it comes.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::Instant;

use super::file::{Facts, Staged};
use super::store::Store;
use super::{Found, Staging, blocking, sync_folder};

/// Bytes that are collected before they are written: large enough that the hop to a blocking thread does not count. There are
/// two such buffers: one is filled while the other is written.
const CHUNK: usize = 256 << 10;
/// A buffer that holds this much grows to its full size at once.
const LARGE: usize = CHUNK / 4;
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
    place: Place,
    /// What is collected, and where it goes.
    buffer: Vec<u8>,
    at: u64,
    size: u64,
    reserved: u64,
    max_file: u64,
    is_staged: bool,
}

/// Where the file is.
#[derive(Debug)]
enum Place {
    Here(Box<Store>),
    /// A blocking thread works on it.
    Away(JoinHandle<(Box<Store>, io::Result<()>)>),
    /// That came to nothing.
    Lost,
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
            place: Place::Lost,
            buffer: Vec::new(),
            at: 0,
            size: 0,
            reserved,
            max_file,
            is_staged: false,
        };
        let open = move || OpenOptions::new().read(true).write(true).create_new(true).mode(0o640).open(path);
        upload.place = Place::Here(Box::new(Store::new(blocking(open).await??)));
        Ok(upload)
    }

    /// Bytes so far.
    pub(in crate::source::ssh) fn size(&self) -> u64 {
        self.size
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// As [`Upload::begin`], also for bytes before; the file cannot be finished then.
    pub(in crate::source::ssh) async fn write(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
        self.write_at(self.at + self.buffer.len() as u64, bytes).await
    }

    /// Takes bytes for a place. Those that come in order are hashed on the way; others make the file be read once more.
    ///
    /// # Errors
    /// As [`Upload::write`].
    pub(in crate::source::ssh) async fn write_at(&mut self, at: u64, bytes: &[u8]) -> Result<(), UploadError> {
        let end = at.checked_add(bytes.len() as u64).filter(|end| *end <= self.max_file);
        let end = end.ok_or(UploadError::TooLarge(self.max_file))?;
        if bytes.is_empty() {
            return Ok(());
        }
        self.reserve(end)?;
        if at != self.at + self.buffer.len() as u64 {
            self.flush().await?;
            self.at = at;
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(CHUNK - self.buffer.len()));
            let needed = self.buffer.len() + now.len();
            if needed > self.buffer.capacity() {
                let wanted = if needed > LARGE { CHUNK } else { needed.next_power_of_two() };
                self.buffer.reserve_exact(wanted - self.buffer.len());
            }
            self.buffer.extend_from_slice(now);
            rest = later;
            if self.buffer.len() == CHUNK {
                self.flush().await?;
            }
        }
        self.size = self.size.max(end);
        Ok(())
    }

    /// Cuts or lengthens the file.
    ///
    /// # Errors
    /// As [`Upload::begin`].
    pub(in crate::source::ssh) async fn set_size(&mut self, size: u64) -> Result<(), UploadError> {
        if size == self.size {
            return Ok(());
        }
        if size > self.max_file {
            return Err(UploadError::TooLarge(self.max_file));
        }
        self.reserve(size)?;
        self.flush().await?;
        let store = self.store().await?;
        self.hand_over(store, move |store| store.set_size(size));
        self.size = size;
        Ok(())
    }

    /// Makes what came so far durable, without taking custody of it.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub(in crate::source::ssh) async fn sync(&mut self) -> Result<(), UploadError> {
        self.flush().await?;
        let store = self.store().await?;
        self.hand_over(store, |store| store.sync());
        self.place = Place::Here(self.store().await?);
        Ok(())
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
        self.flush().await?;
        let mut store = self.store().await?;
        let (store, sha256) = blocking(move || store.sha256().map(|hash| (store, hash))).await??;
        let size = self.size;
        let facts = Facts { size, sha256, ..facts };
        let staging = Arc::clone(&self.staging);
        if staging.is_known(&facts) {
            return Ok((Found::Repeat, size));
        }
        let (from, to, own) = (self.path.clone(), self.path.with_extension("staged"), facts);
        let folder = self.staging.folder.clone();
        let stored = blocking(move || -> io::Result<Staged> {
            store.close(&own.trailer()?, own.size)?;
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

    /// The file, once all that was handed over is written. It is lost with the first error.
    ///
    /// # Cancel safety
    /// Safe: it stays where it is.
    async fn store(&mut self) -> io::Result<Box<Store>> {
        if let Place::Away(working) = &mut self.place {
            let (store, result) = working.await.map_err(io::Error::other).inspect_err(|_| self.place = Place::Lost)?;
            self.place = Place::Lost;
            result?;
            return Ok(store);
        }
        match std::mem::replace(&mut self.place, Place::Lost) {
            Place::Here(store) => Ok(store),
            _ => Err(io::Error::other("an earlier write failed")),
        }
    }

    /// Hands what was collected to a blocking thread.
    async fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let mut store = self.store().await?;
        let bytes = std::mem::replace(&mut self.buffer, std::mem::take(&mut store.spare));
        let at = self.at;
        self.at += bytes.len() as u64;
        self.hand_over(store, move |store| store.write(at, bytes));
        Ok(())
    }

    fn hand_over(&mut self, mut store: Box<Store>, work: impl FnOnce(&mut Store) -> io::Result<()> + Send + 'static) {
        self.place = Place::Away(spawn_blocking(move || {
            let result = work(&mut store);
            (store, result)
        }));
    }
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

#[cfg(test)]
mod tests {
    use aws_lc_rs::digest::{SHA256, digest};

    use super::*;
    use crate::clock::Clock;
    use crate::event::OutputId;
    use crate::queue::{self, OutputRule, Queue};
    use crate::source::sign::hex;
    use crate::status::{Board, Component};

    fn staging(folder: &std::path::Path) -> (Queue, Arc<Staging>) {
        let rule = OutputRule { id: OutputId::from("out"), may_skip: false, acknowledges: true };
        let status = Board::new(Clock::System).handle(Component::Queue, "queue");
        let queue = Queue::open(&folder.join("queue"), &queue::Config::default(), &[rule], status).unwrap();
        let staging = Staging::open(folder.join("staged"), &"ces".into(), queue.intake()).unwrap();
        (queue, Arc::new(staging))
    }

    fn facts(path: String) -> Facts {
        let (device, peer) = ("esa1".into(), "192.0.2.5:40000".parse().unwrap());
        Facts { device, path, peer, received: 5, size: 0, sha256: String::new() }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn whatever_the_order_and_size_of_its_pieces_the_file_is_what_was_sent_and_so_is_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        let (_queue, staging) = staging(folder.path());
        // So much that the disk is told to begin.
        let data: Vec<u8> = (0..5 * CHUNK as u32 + 5).flat_map(u32::to_le_bytes).collect();
        let (middle, end) = (CHUNK + 7, data.len() as u64);
        let write = async |upload: &mut Upload, from: usize, to: usize, size: usize| {
            for (piece, at) in data[from..to].chunks(size).zip((from as u64..).step_by(size)) {
                upload.write_at(at, piece).await.unwrap();
            }
        };
        for (size, is_in_order) in
            [1_000, 32 << 10, CHUNK, 3 * CHUNK].into_iter().flat_map(|size| [(size, true), (size, false)])
        {
            let mut upload = Upload::begin(&staging, None, 1 << 30).await.unwrap();
            if is_in_order {
                write(&mut upload, 0, middle, size).await;
                upload.sync().await.unwrap();
                write(&mut upload, middle, data.len(), size).await;
            } else {
                upload.write(b"written over").await.unwrap();
                upload.write_at(u64::MAX, b"x").await.unwrap_err();
                upload.write_at(1 << 20, b"").await.unwrap();
                assert_eq!(upload.size(), 12);
                write(&mut upload, middle, data.len(), size).await;
                write(&mut upload, 0, middle, size).await;
                upload.set_size(end - 1).await.unwrap();
                upload.set_size(end).await.unwrap();
                upload.write_at(end - 1, &data[data.len() - 1..]).await.unwrap();
            }
            let path = upload.path.with_extension("staged");
            let found = upload.finish(facts(format!("/in/{size} {is_in_order}")), Duration::ZERO).await.unwrap();
            assert_eq!(found, (Found::New, end));
            let staged = Staged::open(&path).unwrap().unwrap();
            assert_eq!(staged.facts.sha256, hex(digest(&SHA256, &data).as_ref()), "{size} {is_in_order}");
            assert!(std::fs::read(&path).unwrap().starts_with(&data), "{size} {is_in_order}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_file_whose_way_into_custody_was_cut_short_is_taken_when_it_comes_again() {
        let folder = tempfile::tempdir().unwrap();
        let (_queue, staging) = staging(folder.path());
        let (mut cut, mut number) = (0, 0_u32);
        while cut < 40 && number < 4_000 {
            number += 1;
            let finish = async || {
                let mut upload = Upload::begin(&staging, Some(3), 1 << 20).await.unwrap();
                upload.write(b"a\nb").await.unwrap();
                upload.finish(facts(format!("/in/{number}")), Duration::ZERO).await.unwrap().0
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
