//! The segments as they were at one moment, while a program may go on writing and removing them.
//!
//! Every file is opened at once and its length noted, so nothing that is read later depends on when it is read. Nothing
//! here can write.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::queue::disk::{Append, Disk, Overwrite, Read};
use crate::queue::receipt::RECEIPTS;
use crate::queue::segment::number_of;

/// A segment is made or removed a few times a second at most, and opening them all takes milliseconds.
const TRIES: usize = 20;

/// A [`Disk`] that stands still.
#[derive(Debug)]
pub(super) struct Still(BTreeMap<String, Frozen>);

/// A file up to the length it had.
#[derive(Clone, Debug)]
pub(super) struct Frozen {
    file: Arc<dyn Read>,
    length: u64,
}

impl Still {
    /// Opens every segment there is, in a moment when none comes or goes.
    pub(super) fn of(disk: &dyn Disk) -> io::Result<Self> {
        let mut before = segments(disk)?;
        for _ in 0..TRIES {
            let opened = open_all(disk, &before);
            let after = segments(disk)?;
            match opened {
                Ok(files) if before == after => return Ok(Self(files)),
                Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
                _ => before = after,
            }
        }
        Err(io::Error::other("segments come and go too fast to be read; try again"))
    }

    /// How long each segment was.
    pub(super) fn lengths(&self) -> BTreeMap<u64, u64> {
        self.0.iter().filter_map(|(name, frozen)| Some((number_of(name)?, frozen.length))).collect()
    }
}

fn segments(disk: &dyn Disk) -> io::Result<Vec<String>> {
    let mut names: Vec<String> = disk.list()?.into_iter().filter(|name| number_of(name).is_some()).collect();
    // In the order of their numbers: the newest comes last, so its state knows of everything in the others.
    names.sort_unstable();
    Ok(names)
}

fn open_all(disk: &dyn Disk, names: &[String]) -> io::Result<BTreeMap<String, Frozen>> {
    let open = |name: &String| Ok((name.clone(), Frozen::new(disk.open(name)?, u64::MAX)?));
    let mut files: BTreeMap<String, Frozen> = names.iter().map(open).collect::<io::Result<_>>()?;
    // A queue that was only ever filled has none.
    files.extend(disk.open(RECEIPTS).and_then(|file| Ok((RECEIPTS.to_owned(), Frozen::new(file, u64::MAX)?))).ok());
    Ok(files)
}

impl Frozen {
    /// A file as it is now, or as it was when it had this length.
    pub(super) fn new(file: Box<dyn Read>, length: u64) -> io::Result<Self> {
        let length = file.length()?.min(length);
        Ok(Self { file: file.into(), length })
    }
}

impl Read for Frozen {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = into.len().min(left);
        self.file.read_at(offset, into.get_mut(..length).unwrap_or_default())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.length)
    }
}

impl Disk for Still {
    fn create(&self, _name: &str) -> io::Result<Box<dyn Append>> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Read>> {
        let frozen = self.0.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(frozen.clone()))
    }

    fn truncate(&self, _name: &str, _length: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn rename(&self, _from: &str, _to: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn remove(&self, _name: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn overwrite(&self, _name: &str) -> io::Result<Box<dyn Overwrite>> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.keys().cloned().collect())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}
