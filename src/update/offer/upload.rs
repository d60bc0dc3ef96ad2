//! A bundle that a person brings: written down as it comes, never held in memory.
//!
//! One at a time; whoever takes them sees to that. The folder's disk is looked at before the first byte and on the way, and
//! what does not come to its end leaves nothing.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use tokio::fs::File;
use tokio::io::{AsyncWriteExt as _, BufWriter};

use super::super::error::UpdateError;
use super::download::{check_room, remove};
use crate::quantity::size;

/// Written at one stroke: several blocks of any flash.
const BUFFER: usize = 256 << 10;
/// How often the disk's room is looked at where nobody said how much comes.
const STEP: u64 = 16 << 20;

/// A bundle on its way. Dropped before [`Upload::finish`], it leaves nothing.
#[derive(Debug)]
pub struct Upload {
    folder: PathBuf,
    file: BufWriter<File>,
    length: u64,
    limit: u64,
    /// Up to this length there was room when it was looked at last.
    room: u64,
    is_whole: bool,
}

fn part(folder: &Path) -> PathBuf {
    folder.join("upload.part")
}

impl Upload {
    /// Begins one in the folder of updates; what was left of an earlier one goes. `size` is what comes, where that is known, and
    /// `limit` the most that is taken.
    ///
    /// # Errors
    /// When it would not fit; in words.
    pub async fn begin(folder: &Path, size: Option<u64>, limit: u64) -> Result<Self, String> {
        Self::open(folder, size, limit).await.map_err(|error| error.to_string())
    }

    async fn open(folder: &Path, size: Option<u64>, limit: u64) -> Result<Self, UpdateError> {
        check_limit(size.unwrap_or(0), limit)?;
        let room = size.unwrap_or(STEP);
        let (folder, path) = (folder.to_owned(), part(folder));
        let opened = {
            let folder = folder.clone();
            tokio::task::spawn_blocking(move || {
                remove(&folder.join("upload.raucb"))?;
                remove(&path)?;
                check_room(&folder, room)?;
                let file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&path);
                file.map_err(|source| UpdateError::file(&path, source))
            })
        };
        let file = opened.await.unwrap_or_else(|error| Err(UpdateError::file(&folder, error.into())))?;
        let file = BufWriter::with_capacity(BUFFER, File::from_std(file));
        Ok(Self { folder, file, length: 0, limit, room, is_whole: false })
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// When there are too many or the disk does not take them; in words.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.put(bytes).await.map_err(|error| error.to_string())
    }

    async fn put(&mut self, bytes: &[u8]) -> Result<(), UpdateError> {
        self.length += bytes.len() as u64;
        check_limit(self.length, self.limit)?;
        if self.length > self.room {
            check_room(&self.folder, STEP)?;
            self.room = self.length + STEP;
        }
        self.file.write_all(bytes).await.map_err(|source| UpdateError::file(&part(&self.folder), source))
    }

    /// It is whole: where it is. The file goes when it was installed, or with the next upload.
    ///
    /// # Errors
    /// When nothing came, or the disk does not take it; in words.
    pub async fn finish(mut self) -> Result<PathBuf, String> {
        let whole = self.folder.join("upload.raucb");
        if self.length == 0 {
            return Err("the file is empty; choose a bundle (it ends in .raucb)".to_owned());
        }
        let done = async {
            self.file.flush().await?;
            self.file.get_ref().sync_all().await?;
            tokio::fs::rename(part(&self.folder), &whole).await
        };
        done.await.map_err(|source| UpdateError::file(&whole, source).to_string())?;
        self.is_whole = true;
        Ok(whole)
    }
}

fn check_limit(length: u64, limit: u64) -> Result<(), UpdateError> {
    if length <= limit {
        return Ok(());
    }
    let limit = size(limit);
    Err(UpdateError::Refused(format!(
        "this file has more than update.max_size ({limit}); raise that, or choose a bundle"
    )))
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.is_whole {
            // What stays goes with the next one.
            let _ = std::fs::remove_file(part(&self.folder));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_bundle_comes_whole_or_not_at_all_and_never_larger_than_it_may_be() {
        let folder = tempfile::tempdir().unwrap();
        let names = || std::fs::read_dir(folder.path()).unwrap().count();
        let mut upload = Upload::begin(folder.path(), None, 10).await.unwrap();
        upload.write(b"01234").await.unwrap();
        upload.write(b"56789").await.unwrap();
        let path = upload.finish().await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"0123456789");
        let mut upload = Upload::begin(folder.path(), Some(5), 10).await.unwrap();
        assert!(!path.exists(), "one at a time");
        upload.write(b"01234").await.unwrap();
        let error = upload.write(b"567890").await.unwrap_err();
        assert!(error.contains("update.max_size"), "{error}");
        drop(upload);
        assert_eq!(names(), 0);
        assert!(Upload::begin(folder.path(), Some(11), 10).await.unwrap_err().contains("update.max_size"));
        let error = Upload::begin(folder.path(), Some(1 << 60), u64::MAX).await.unwrap_err();
        assert!(error.contains("of disk"), "{error}");
        assert!(Upload::begin(folder.path(), None, 10).await.unwrap().finish().await.unwrap_err().contains("empty"));
        assert_eq!(names(), 0);
    }
}
