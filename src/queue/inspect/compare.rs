//! The index against the segments, of a queue that no program has open.
//!
//! sled writes when it opens, so a copy is opened, and thrown away.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::flaw::{Finding, Flaw};
use super::verify::Report;
use super::{Disk, View};
use crate::queue::index::{Index, IndexError, Mark, Place, Sled};
use crate::queue::receipt::RECEIPTS;
use crate::queue::{disk, index, lock, recover, segment};

/// The index of 10 GiB of events takes some 20 MB; what is larger than this is not copied.
const LARGEST: u64 = 1 << 30;

/// The folder beside the segments that bytes are put into which `repair` took out.
pub(super) const ASIDE: &str = "damaged";

/// Notes what else lies in the folder.
pub(super) fn strangers(disk: &dyn Disk, report: &mut Report) -> io::Result<()> {
    let ours = [index::FOLDER, ASIDE, lock::FILE, disk::BALLAST, RECEIPTS];
    let names = disk.list()?.into_iter().filter(|name| segment::number_of(name).is_none());
    for name in names.filter(|name| !ours.contains(&name.as_str())) {
        report.notes.push(format!("{name} does not belong to the queue"));
    }
    Ok(())
}

/// Compares.
pub(super) fn index(disk: &dyn Disk, folder: &Path, view: &View, report: &mut Report) -> io::Result<()> {
    let folder = folder.join(index::FOLDER);
    if !folder.is_dir() {
        report.notes.push("there is no index; the next start builds it".to_owned());
        return Ok(());
    }
    let copied = match Copied::of(&folder) {
        Ok(copied) => copied,
        Err(err) => {
            report
                .notes
                .push(format!("the index was not checked, because it could not be copied to look at it: {err}"));
            return Ok(());
        }
    };
    match Sled::open(&copied.0) {
        Ok(sled) => match compare(disk, &sled, view, report) {
            Ok(()) => Ok(()),
            Err(Failed::Index(err)) => add(report, &format!("reading it failed ({err})")),
            Err(Failed::Disk(err)) => Err(err),
        },
        Err(err) => add(report, &format!("it does not open ({err})")),
    }
}

enum Failed {
    Index(IndexError),
    Disk(io::Error),
}

impl From<IndexError> for Failed {
    fn from(err: IndexError) -> Self {
        Self::Index(err)
    }
}

impl From<io::Error> for Failed {
    fn from(err: io::Error) -> Self {
        Self::Disk(err)
    }
}

fn add(report: &mut Report, what: &str) -> io::Result<()> {
    report.add(Finding::of(Flaw::Index, format!("the index: {what}; the next start builds it again")));
    Ok(())
}

fn compare(disk: &dyn Disk, index: &dyn Index, view: &View, report: &mut Report) -> Result<(), Failed> {
    let Some(mark) = index.mark()? else {
        report.notes.push("the index is empty; the next start builds it".to_owned());
        return Ok(());
    };
    if !recover::fits(disk, mark).unwrap_or(false) {
        add(report, &format!("it ends at {} in segment {}, where no record ends", mark.end, mark.segment))?;
        return Ok(());
    }
    let mut from = 0;
    loop {
        let (ours, theirs) = (view.index.next(from)?, index.next(from)?);
        let number = match (&ours, &theirs) {
            (None, None) => break,
            (Some((number, _)), None) | (None, Some((number, _))) => *number,
            (Some((ours, _)), Some((theirs, _))) => *ours.min(theirs),
        };
        let at = |entry: Option<(u64, Place)>| entry.filter(|(found, _)| *found == number).map(|(_, place)| place);
        if let Some(what) = difference(number, at(ours), at(theirs), mark, view) {
            report.add(Finding::of(Flaw::Index, what));
        }
        from = number + 1;
    }
    if view.index.mark()? == Some(mark) {
        compare_checkpoints(index, view, report)?;
    }
    Ok(())
}

/// What the index says wrongly of a number.
fn difference(number: u64, ours: Option<Place>, theirs: Option<Place>, mark: Mark, view: &View) -> Option<String> {
    let known = |place: &Place| (place.segment, place.at) < (mark.segment, mark.end);
    match (ours, theirs) {
        // It follows the segments; what came after its mark it learns at the next start.
        (Some(ours), _) if !known(&ours) => None,
        // A delivered segment leaves the index first.
        (Some(_), None) if view.recovered.state.delivered(number) => None,
        (Some(ours), None) => {
            Some(format!("the index does not know batch {number} in segment {} at {}", ours.segment, ours.at))
        }
        (None, Some(theirs)) => {
            let Place { segment, at, count, source, .. } = theirs;
            let what = format!("batch {number}, {count} events of source {source}, is in segment {segment} at {at}");
            Some(format!("the index says that {what}, and it is nowhere"))
        }
        (Some(ours), Some(theirs)) => (ours != theirs).then(|| {
            format!("the index says something else of batch {number} in segment {} at {}", ours.segment, ours.at)
        }),
        (None, None) => None,
    }
}

fn compare_checkpoints(index: &dyn Index, view: &View, report: &mut Report) -> Result<(), IndexError> {
    let feeds = |index: &dyn Index| -> Result<BTreeMap<_, _>, IndexError> {
        let feeds = recover::by_feed(index.checkpoints(b"")?);
        Ok(feeds.into_iter().map(|(source, checkpoint)| ((source, checkpoint.feed), checkpoint.changes)).collect())
    };
    let (ours, theirs) = (feeds(&view.index)?, feeds(index)?);
    let keys: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    for key in keys.into_iter().filter(|key| ours.get(*key) != theirs.get(*key)) {
        let what = format!("the index has another checkpoint of source {}, feed {:?}, than the segments", key.0, key.1);
        report.add(Finding::of(Flaw::Index, what));
    }
    Ok(())
}

/// A copy of the index in the system's folder for temporary files; gone when dropped.
struct Copied(PathBuf);

impl Copied {
    fn of(folder: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let to = std::env::temp_dir().join(format!("sapphire-edge-index-{:016x}", rand::random::<u64>()));
        // Fails if it is there: nobody can have put another folder in its place.
        fs::DirBuilder::new().mode(0o700).create(&to)?;
        let copied = Self(to);
        copy(folder, &copied.0, &mut LARGEST.clone())?;
        Ok(copied)
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn copy(from: &Path, to: &Path, left: &mut u64) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, to) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            fs::create_dir(&to)?;
            copy(&entry.path(), &to, left)?;
        } else if kind.is_file() {
            let size = entry.metadata()?.len();
            *left = left.checked_sub(size).ok_or_else(|| io::Error::other("it is larger than 1 GiB"))?;
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
