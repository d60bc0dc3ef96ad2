//! Looking into a queue from outside: what is in it, what is wrong with it, taking events out, mending it.
//!
//! In: the queue's folder. Out: [`Inspection`], [`verify`], [`export`], [`repair`]. The first three change nothing, take no
//! lock and do not touch the index (only one process can open it), so they are safe beside a running program: they read
//! the segments, which are the whole truth, as they stood at one moment ([`still`]). Files are held open only while headers
//! are read; a payload's file is opened when its turn comes, so a slow taker of events keeps no deleted segment on the disk.
//! [`repair`] takes the queue's lock and so works only while no program runs.
//!
//! Not supported: reading while a program writes on another machine's clock or file system cache (NFS).

mod compare;
mod export;
mod flaw;
mod repair;
mod still;
mod survey;
#[cfg(test)]
mod tests;
mod verify;

pub use export::{Exported, Wanted, export};
pub use flaw::{Finding, Flaw};
pub use repair::{Repaired, repair};
pub use survey::{Balance, Inspection};
pub use verify::{Report, verify};

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::disk::{Disk, Folder, Read};
use super::index::{Index as _, Memory, Place};
use super::lock;
use super::recover::{self, Recovered, Tail};
use super::segment::{FILE_HEADER, file_name};
use crate::clock::Clock;
use crate::status::{Board, Component, Handle};
use still::{Frozen, Still};

/// Why a look into the queue came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// There is no such folder.
    #[error("there is no queue in {folder}; name its folder with --dir, or the settings file with --config")]
    NoQueue {
        /// The folder.
        folder: String,
    },
    /// The folder cannot be read or written. Trying again helps once the disk works.
    #[error(
        "the queue in {folder} cannot be used: {source}; try as root or as the program's user, and look at the disk"
    )]
    Disk {
        /// The folder.
        folder: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program has the queue open.
    #[error("the queue in {folder} is in use by a running program; stop that one first")]
    Running {
        /// The folder.
        folder: String,
    },
    /// No output of that name ever read from this queue.
    #[error("the queue knows no output {id:?}; the outputs are: {known}")]
    NoOutput {
        /// The name asked for.
        id: String,
        /// Those there are.
        known: String,
    },
}

impl ToolError {
    fn of(folder: &Path) -> impl Fn(io::Error) -> Self {
        let folder = folder.display().to_string();
        move |source| {
            let folder = folder.clone();
            match source.kind() {
                io::ErrorKind::NotFound => Self::NoQueue { folder },
                _ => Self::Disk { folder, source },
            }
        }
    }
}

/// What the segments say, at one moment.
#[derive(Debug)]
struct View {
    recovered: Recovered,
    index: Memory,
    running: bool,
    newest: Option<u64>,
}

impl View {
    /// Of a folder, which a program may have open.
    fn of_folder(folder: &Path) -> Result<(Folder, Self, Still), ToolError> {
        let failed = ToolError::of(folder);
        let disk = Folder::existing(folder).map_err(&failed)?;
        let running = lock::is_taken(folder).map_err(&failed)?;
        let (view, still) = Self::of(&disk, running).map_err(|err| match err.kind() {
            // The folder is there; what is missing is no queue.
            io::ErrorKind::NotFound => ToolError::Disk { folder: folder.display().to_string(), source: err },
            _ => failed(err),
        })?;
        Ok((disk, view, still))
    }

    fn of(disk: &dyn Disk, running: bool) -> io::Result<(Self, Still)> {
        let still = Still::of(disk)?;
        let index = Memory::default();
        let recovered = recover::recover(&still, &index, &nobody(), Tail::Leave)?;
        let newest = recovered.kept.keys().next_back().copied();
        Ok((Self { recovered, index, running, newest }, still))
    }

    /// A segment as it was, if it is still there: delivered ones of a running program go away.
    fn segment(&self, disk: &dyn Disk, number: u64) -> io::Result<Option<Frozen>> {
        let length = self.recovered.kept.get(&number).map_or(u64::MAX, |kept| kept.length);
        match disk.open(&file_name(number)) {
            Ok(file) => Frozen::new(file, length).map(Some),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(err) => Err(err),
        }
    }

    /// Whether the end of this segment is being written right now.
    fn is_growing(&self, segment: u64) -> bool {
        self.running && self.newest == Some(segment)
    }

    /// What is wrong with a segment's file header; one that is just being made may not have its own yet.
    fn file_header(&self, file: &dyn Read, segment: u64) -> io::Result<Option<Finding>> {
        let is_begun = self.is_growing(segment) && file.length()? < FILE_HEADER as u64;
        if is_begun { Ok(None) } else { flaw::file_header(file, segment) }
    }

    /// Every batch there is, once, in the order of the numbers.
    fn places(&self) -> io::Result<Vec<(u64, Place)>> {
        let (mut places, mut from) = (Vec::new(), 0);
        while let Some((number, place)) = self.index.next(from)? {
            places.push((number, place));
            from = number + 1;
        }
        Ok(places)
    }
}

/// A board that nobody looks at: what is found goes into the findings.
fn nobody() -> Handle {
    Board::new(Clock::System).handle(Component::Queue, "queue")
}

/// Events by name, summed.
fn sum<K: Ord>(pairs: impl Iterator<Item = (K, u64)>) -> BTreeMap<K, u64> {
    let mut sums = BTreeMap::new();
    for (key, events) in pairs {
        *sums.entry(key).or_default() += events;
    }
    sums
}
