//! The one seam between the queue and the disk: open, append, sync, overwrite, read, rename, remove, sync the folder.
//!
//! Everything the queue's segments do to a disk goes through [`Disk`], so that a simulated one can drop, tear and reorder
//! what was not synced, fail with EIO or ENOSPC, and flip bits. (sled keeps its own files; they are a cache, see `index`.)

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rand::{Rng as _, SeedableRng as _};

/// A folder of files.
pub(super) trait Disk: fmt::Debug + Send + Sync {
    /// Makes a new file for appending; it must not exist. Durable only after `sync_dir`.
    fn create(&self, name: &str) -> io::Result<Box<dyn Append>>;
    /// Opens a file for reading.
    fn open(&self, name: &str) -> io::Result<Box<dyn Read>>;
    /// Cuts a file to this length and makes that durable.
    fn truncate(&self, name: &str, length: u64) -> io::Result<()>;
    /// Gives a file another name in one step; a file that had that name is gone. Durable only after `sync_dir`.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Takes a file away. Durable only after `sync_dir`.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// The names in the folder.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Opens a small file for writing in place, and makes it where there is none. Nothing of it is ever synced: a power cut
    /// may leave any mix of old and new.
    fn overwrite(&self, name: &str) -> io::Result<Box<dyn Overwrite>>;
    /// Makes creations and removals durable.
    fn sync_dir(&self) -> io::Result<()>;
}

/// A file that grows at its end.
pub(super) trait Append: fmt::Debug + Send {
    /// Writes all of it at the end. After an error any part of it may be in the file.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Returns once everything appended so far would survive a power cut. After an error nothing is known of what was
    /// appended since the last success: the kernel may have dropped the pages, so asking again proves nothing.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file that is written in place.
pub(super) trait Overwrite: fmt::Debug + Send {
    /// Writes all of it at `offset`. After an error any part of it may be in the file.
    fn overwrite(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
}

/// A file that is read at any place.
pub(super) trait Read: fmt::Debug + Send + Sync {
    /// Reads at most `into.len()` bytes from `offset`; fewer only at the end of the file.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;
    /// The length now.
    fn length(&self) -> io::Result<u64>;
}

/// A file that only takes space, to be given up when others have filled the disk and the queue has to be closed.
pub(super) const BALLAST: &str = "ballast";
/// The last group (at most twice `flush_bytes`, compressed) and a snapshot fit into this.
const BALLAST_BYTES: usize = 4 << 20;

/// Makes the ballast where it is not there.
pub(super) fn make_ballast(disk: &dyn Disk) -> io::Result<()> {
    let whole = |file: Box<dyn Read>| file.length().is_ok_and(|length| length == BALLAST_BYTES as u64);
    if disk.open(BALLAST).is_ok_and(whole) {
        return Ok(());
    }
    drop_ballast(disk);
    let mut file = disk.create(BALLAST)?;
    // Not zeros, which some file systems do not store.
    let mut random = rand::rngs::SmallRng::seed_from_u64(1);
    let mut bytes = vec![0; BALLAST_BYTES];
    random.fill(bytes.as_mut_slice());
    let made = file.append(&bytes).and_then(|()| file.sync());
    made.inspect_err(|_| drop(disk.remove(BALLAST)))
}

/// Gives the ballast up; false if there was none.
pub(super) fn drop_ballast(disk: &dyn Disk) -> bool {
    disk.remove(BALLAST).is_ok()
}

/// A folder on the machine's own disk.
#[derive(Clone, Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Opens the folder, and makes it (mode 0700) where it does not exist.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        Ok(Self(path.to_owned()))
    }

    /// The folder, which must be there.
    pub(super) fn existing(path: &Path) -> io::Result<Self> {
        fs::read_dir(path)?;
        Ok(Self(path.to_owned()))
    }
}

impl Disk for Folder {
    fn create(&self, name: &str) -> io::Result<Box<dyn Append>> {
        let file = OpenOptions::new().append(true).create_new(true).open(self.0.join(name))?;
        Ok(Box::new(Growing(file)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Read>> {
        Ok(Box::new(Standing(File::open(self.0.join(name))?)))
    }

    fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.0.join(name))?;
        file.set_len(length)?;
        file.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names =
            fs::read_dir(&self.0)?.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
        names.collect()
    }

    fn overwrite(&self, name: &str) -> io::Result<Box<dyn Overwrite>> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(self.0.join(name))?;
        Ok(Box::new(InPlace(file)))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

#[derive(Debug)]
struct Growing(File);

impl Append for Growing {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[derive(Debug)]
struct InPlace(File);

impl Overwrite for InPlace {
    fn overwrite(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }
}

#[derive(Debug)]
struct Standing(File);

impl Read for Standing {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.0.read_at(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
        Ok(done)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}
