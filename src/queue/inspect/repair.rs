//! Mending a queue that no program has open, so that its next start finds nothing wrong.
//!
//! In this order, each step durable before the next, so that an interruption leaves a queue that opens and can be mended
//! again: a new segment whose snapshot holds the right totals and positions; damaged segments written anew without what is
//! bad, under their own names and numbers (the order of the segments is the order of the batches); torn ends cut; the index
//! built again. What is taken out is kept in `damaged/`, up to a bound.
//!
//! What a damaged batch held cannot be had back: its events are counted as dropped, as the running program would do. A power
//! cut stays known: the next start still reports the gap.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use super::verify::{Checked, Report, check};
use super::{ToolError, View, compare, nobody, survey};
use crate::event::SourceId;
use crate::queue::disk::{Disk, Folder, Read};
use crate::queue::index::{Index as _, Sled};
use crate::queue::ledger::{State, Totals};
use crate::queue::lock::Lock;
use crate::queue::record::{self, Encoder, Header, Type};
use crate::queue::recover::{self, Tail};
use crate::queue::segment::{FILE_HEADER, Found, Scan, Segment, file_header, file_name, number_of, read_payload};
use crate::queue::{index, writer};
use crate::status::DropReason;

/// Bytes kept in `damaged/`: some hundred batches, for whoever wants to look at what happened. A disk that loses more than
/// this has to be replaced, not looked at.
const KEPT_ASIDE: u64 = 256 << 20;
/// The name of a segment while it is written anew ends so.
const MENDED: &str = ".mended";

/// What was wrong, what was done, and how it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// How it was.
    pub before: Report,
    /// What was done, in words.
    pub steps: Vec<String>,
    /// Events that waited and are no more, by source; they are counted as dropped now.
    pub lost: BTreeMap<SourceId, u64>,
    /// How it is.
    pub after: Report,
}

/// Mends a queue's folder. Blocks on the disk.
///
/// # Errors
/// When there is no queue, a program has it open, or the disk fails; then it may be tried again.
pub fn repair(folder: &Path) -> Result<Repaired, ToolError> {
    let failed = ToolError::of(folder);
    let disk = Folder::existing(folder).map_err(&failed)?;
    if !disk.list().map_err(&failed)?.iter().any(|name| number_of(name).is_some()) {
        return Err(ToolError::NoQueue { folder: folder.display().to_string() });
    }
    let running = || ToolError::Running { folder: folder.display().to_string() };
    let _lock = Lock::take(folder).map_err(&failed)?.ok_or_else(running)?;
    let mut repaired = Repaired::default();
    let (view, still) = View::of(&disk, false).map_err(&failed)?;
    drop(still);
    let mut checked = check(&disk, &view).map_err(&failed)?;
    compare::index(&disk, folder, &view, &mut checked.report).map_err(&failed)?;
    if !(checked.damaged.is_empty() && checked.torn.is_empty()) {
        let aside = Folder::open(&folder.join(compare::ASIDE)).map_err(&failed)?;
        mend(&disk, &aside, &view, &checked, &mut repaired).map_err(&failed)?;
    } else if !checked.balances {
        mend(&disk, &disk, &view, &checked, &mut repaired).map_err(&failed)?;
    }
    build_index(&disk, &folder.join(index::FOLDER), &mut repaired).map_err(&failed)?;
    repaired.before = checked.report;
    let (view, _) = View::of(&disk, false).map_err(&failed)?;
    repaired.after = check(&disk, &view).map_err(&failed)?.report;
    compare::index(&disk, folder, &view, &mut repaired.after).map_err(&failed)?;
    Ok(repaired)
}

/// Mends the segments.
pub(super) fn mend(
    disk: &dyn Disk,
    aside: &dyn Disk,
    view: &View,
    checked: &Checked,
    repaired: &mut Repaired,
) -> io::Result<()> {
    for name in disk.list()?.iter().filter(|name| name.ends_with(MENDED)) {
        disk.remove(name)?;
    }
    if !(checked.damaged.is_empty() && checked.balances) {
        let state = mended_state(view, checked, &mut repaired.lost)?;
        let number = view.newest.map_or(1, |newest| newest + 1);
        let snapshot = writer::snapshot(&mut Encoder::new(), &state, view.index.checkpoints(b"")?);
        Segment::create(disk, number, view.recovered.appliance, &snapshot)?;
        repaired.steps.push(format!("segment {number} was begun, with positions and totals as they are now"));
    }
    let mut out = Mending { disk, aside: Aside::of(aside)?, view, checked, steps: &mut repaired.steps };
    checked.damaged.iter().try_for_each(|number| out.rewrite(*number))?;
    checked.torn.difference(&checked.damaged).try_for_each(|number| out.cut(*number))
}

/// The state with the ledger that fits the events that are there.
fn mended_state(view: &View, checked: &Checked, lost: &mut BTreeMap<SourceId, u64>) -> io::Result<State> {
    let mut state = view.recovered.state.clone();
    let is_good = |segment, at| !checked.bad.contains(&(segment, at));
    for (source, balance) in survey::ledger(view, is_good)? {
        let totals: &mut Totals = state.ledger.of(&source);
        let missing = totals.queued().saturating_sub(balance.queued);
        if missing > 0 {
            *totals.dropped.entry(DropReason::Damaged).or_default() += missing;
            lost.insert(source, missing);
        }
        totals.received = totals.delivered.saturating_add(totals.dropped()).saturating_add(balance.queued);
    }
    let places = view.places()?;
    let there = || places.iter().filter(|(_, place)| is_good(place.segment, place.at));
    state.reserved = view.recovered.next.max(state.written);
    for position in state.outputs.values_mut() {
        let waiting = there().filter(|(number, _)| !position.done.contains(*number));
        position.waiting = waiting.map(|(_, place)| u64::from(place.count)).sum();
        state.reserved = state.reserved.max(position.done.end());
    }
    state.appliance = view.recovered.appliance.to_string();
    Ok(state)
}

/// Builds the index from the segments. Where it cannot be stored the next start tries again.
fn build_index(disk: &dyn Disk, folder: &Path, repaired: &mut Repaired) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
        _ => {}
    }
    let built = match Sled::open(folder) {
        Ok(sled) => {
            recover::recover(disk, &sled, &nobody(), Tail::Cut)?;
            sled.flush()
        }
        Err(err) => Err(err),
    };
    repaired.steps.push(match built {
        Ok(()) => "the index was built again from the segments".to_owned(),
        Err(err) => format!("the index was taken away, and could not be built ({err}); the next start does"),
    });
    Ok(())
}

struct Mending<'a> {
    disk: &'a dyn Disk,
    aside: Aside<'a>,
    view: &'a View,
    checked: &'a Checked,
    steps: &'a mut Vec<String>,
}

impl Mending<'_> {
    /// Writes a segment anew, without what is bad.
    fn rewrite(&mut self, number: u64) -> io::Result<()> {
        let (name, mended) = (file_name(number), format!("{}{MENDED}", file_name(number)));
        let file = self.disk.open(&name)?;
        let mut out = self.disk.create(&mended)?;
        out.append(&file_header(number, self.view.recovered.appliance))?;
        let mut copy = Copy { encoder: Encoder::new(), group: 0, whole: true, buffer: Vec::new() };
        let (mut scan, mut taken) = (Scan::new(&*file, FILE_HEADER as u64)?, 0);
        while let Some(found) = scan.next()? {
            let bad = match found {
                Found::Record { at, header, .. } if self.checked.bad.contains(&(number, at)) => {
                    (at, header.record_length())
                }
                Found::Record { at, header, .. } => {
                    copy.record(&*file, at, &header)?;
                    out.append(&copy.buffer)?;
                    continue;
                }
                Found::Damage { at, length } | Found::Tail { at, length } => (at, length),
            };
            copy.whole = false;
            taken += bad.1;
            self.aside.keep(&*file, number, bad)?;
        }
        out.sync()?;
        self.aside.sync()?;
        self.disk.rename(&mended, &name)?;
        self.disk.sync_dir()?;
        self.steps.push(format!("segment {number} was written anew, without {taken} bad bytes{}", self.aside.words()));
        Ok(())
    }

    /// Cuts a torn end off.
    fn cut(&mut self, number: u64) -> io::Result<()> {
        let file = self.disk.open(&file_name(number))?;
        let mut scan = Scan::new(&*file, FILE_HEADER as u64)?;
        while let Some(found) = scan.next()? {
            if let Found::Tail { at, length } = found {
                self.aside.keep(&*file, number, (at, length))?;
                self.aside.sync()?;
                self.disk.truncate(&file_name(number), at)?;
                let words = self.aside.words();
                self.steps.push(format!("the torn end of segment {number}, {length} bytes from {at}, was cut{words}"));
            }
        }
        Ok(())
    }
}

/// The state of a segment's copying.
struct Copy {
    encoder: Encoder,
    /// Bytes of the group so far.
    group: u64,
    /// Nothing was left out so far.
    whole: bool,
    /// What to write for the last record.
    buffer: Vec<u8>,
}

impl Copy {
    fn record(&mut self, file: &dyn Read, at: u64, header: &Header) -> io::Result<()> {
        self.buffer.clear();
        let is_state = header.kind == Type::State;
        if header.kind == Type::SnapshotEnd && !self.whole {
            // A snapshot that lost a part must not look whole.
        } else if is_state && header.number.0 != self.group {
            // The group lost a part: its state says so by a length that fits again.
            if let Ok(payload) = record::payload(header, read_payload(file, at, header)?) {
                self.encoder.control(Type::State, self.group, &[], &payload, &mut self.buffer);
            }
        } else {
            self.buffer.resize(usize::try_from(header.record_length()).unwrap_or(usize::MAX), 0);
            let read = file.read_at(at, &mut self.buffer)?;
            self.buffer.truncate(read);
        }
        let in_group = matches!(header.kind, Type::Batch | Type::Checkpoint);
        self.group = if in_group { self.group + self.buffer.len() as u64 } else { 0 };
        Ok(())
    }
}

/// Where bad bytes are kept.
struct Aside<'a> {
    disk: &'a dyn Disk,
    left: u64,
    is_full: bool,
}

impl<'a> Aside<'a> {
    fn of(disk: &'a dyn Disk) -> io::Result<Self> {
        let mut used = 0;
        for name in disk.list()?.iter().filter(|name| name.ends_with(".bytes")) {
            used += disk.open(name)?.length()?;
        }
        Ok(Self { disk, left: KEPT_ASIDE.saturating_sub(used), is_full: false })
    }

    fn keep(&mut self, file: &dyn Read, segment: u64, (at, length): (u64, u64)) -> io::Result<()> {
        let Some(left) = self.left.checked_sub(length) else {
            self.is_full = true;
            return Ok(());
        };
        let names = self.disk.list()?;
        let name = |again: u32| format!("{segment:016x}-{at}-{again}.bytes");
        let name = (0..).map(name).find(|name| !names.contains(name)).unwrap_or_default();
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        let read = file.read_at(at, &mut bytes)?;
        bytes.truncate(read);
        let mut out = self.disk.create(&name)?;
        out.append(&bytes)?;
        out.sync()?;
        self.left = left;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.sync_dir()
    }

    fn words(&self) -> &'static str {
        if self.is_full {
            "; not all of them are kept in damaged/, which is full"
        } else {
            ", which are kept in damaged/"
        }
    }
}
