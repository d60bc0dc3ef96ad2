//! The disk's side of an upload: what comes is written, hashed on the way, and begins to leave for the disk. All of it blocks.
#![allow(unsafe_code, reason = "sync_file_range(2) has no safe wrapper")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;

use aws_lc_rs::digest::{Context, SHA256};

use crate::source::sign::hex;

/// After so many bytes the disk is told to begin: the sync at the end then waits for little, and the device with it. Large
/// enough for the disk to write in one go.
const BEGIN: u64 = 4 << 20;
/// Bytes that are read at once where the hash has to be taken afterwards.
const CHUNK: usize = 256 << 10;

/// The file of an upload.
pub(super) struct Store {
    file: File,
    hash: Option<Context>,
    /// The hash is of all bytes before; `hash` is `None` once they did not come in order.
    hashed: u64,
    /// Where the bytes begin that the disk was not told to begin with.
    begun: u64,
    /// An empty buffer that was written.
    pub(super) spare: Vec<u8>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({} bytes hashed)", self.hashed)
    }
}

impl Store {
    pub(super) fn new(file: File) -> Self {
        Self { file, hash: Some(Context::new(&SHA256)), hashed: 0, begun: 0, spare: Vec::new() }
    }

    pub(super) fn write(&mut self, at: u64, bytes: Vec<u8>) -> io::Result<()> {
        self.file.write_all_at(&bytes, at)?;
        if at != self.hashed {
            self.hash = None;
        }
        if let Some(hash) = &mut self.hash {
            hash.update(&bytes);
            self.hashed += bytes.len() as u64;
            if self.hashed - self.begun >= BEGIN {
                begin(&self.file, self.begun, self.hashed - self.begun);
                self.begun = self.hashed;
            }
        }
        self.spare = bytes;
        self.spare.clear();
        Ok(())
    }

    pub(super) fn set_size(&mut self, size: u64) -> io::Result<()> {
        self.hash = None;
        self.file.set_len(size)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// The hash of all its bytes, in hexadecimal.
    pub(super) fn sha256(&mut self) -> io::Result<String> {
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

    /// Writes what stands behind the data, and makes all of it durable.
    pub(super) fn close(self, trailer: &[u8], size: u64) -> io::Result<()> {
        self.file.write_all_at(trailer, size)?;
        self.file.sync_all()
    }
}

/// Tells the disk to begin with a part of a file. Nothing is promised by it, so an error is none: the sync would say it again.
fn begin(file: &File, at: u64, length: u64) {
    let (Ok(at), Ok(length)) = (i64::try_from(at), i64::try_from(length)) else { return };
    // SAFETY: it takes numbers only; the descriptor is open because `file` is.
    unsafe { libc::sync_file_range(file.as_raw_fd(), at, length, libc::SYNC_FILE_RANGE_WRITE) };
}
