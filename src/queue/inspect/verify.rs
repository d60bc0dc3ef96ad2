//! Everything that can be checked, checked: every byte of every segment, the totals against the events, the index against
//! the segments.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use serde::Serialize;

use super::flaw::{Finding, Flaw, no_record};
use super::{ToolError, View, compare, survey};
use crate::queue::disk::{Disk, Read};
use crate::queue::index::Index as _;
use crate::queue::ledger::State;
use crate::queue::record::{self, Header, Type};
use crate::queue::segment::{FILE_HEADER, Found, Scan, read_payload, record_at};

/// So many findings are named; a disk that is gone altogether would fill the memory with them.
const NAMED: usize = 1_000;

/// What a check of everything found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// A program has the queue open: its index was not looked at.
    pub running: bool,
    /// Segments that were read.
    pub segments: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Whole batches in them.
    pub batches: u64,
    /// Events of those.
    pub events: u64,
    /// What is wrong, up to 1,000 things.
    pub findings: Vec<Finding>,
    /// How many more things are wrong.
    pub more: u64,
    /// What could not be checked, or is worth knowing and not wrong.
    pub notes: Vec<String>,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    pub(super) fn add(&mut self, finding: Finding) {
        if self.findings.len() < NAMED {
            self.findings.push(finding);
        } else {
            self.more += 1;
        }
    }
}

/// Checks a queue's folder; safe while a program has it open. Blocks on the disk, for as long as it takes to read it all.
///
/// # Errors
/// When there is no queue or the disk does not give it. What is wrong inside is in the report.
pub fn verify(folder: &Path) -> Result<Report, ToolError> {
    let (disk, view, still) = View::of_folder(folder)?;
    // Reading everything takes a while; segments that are delivered meanwhile shall leave the disk.
    drop(still);
    let failed = ToolError::of(folder);
    let Checked { mut report, .. } = check(&disk, &view).map_err(&failed)?;
    compare::strangers(&disk, &mut report).map_err(&failed)?;
    if view.running {
        report.notes.push("the index was not checked, because a program has it open".to_owned());
    } else {
        compare::index(&disk, folder, &view, &mut report).map_err(&failed)?;
    }
    Ok(report)
}

/// A report, and what has to be mended.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub(super) report: Report,
    /// Records (segment and offset) whose content is bad.
    pub(super) bad: BTreeSet<(u64, u64)>,
    /// Segments with something bad inside.
    pub(super) damaged: BTreeSet<u64>,
    /// Segments with something at their end that is no record.
    pub(super) torn: BTreeSet<u64>,
    /// The totals agree with the events that are there.
    pub(super) balances: bool,
}

/// Checks segments and totals.
pub(super) fn check(disk: &dyn Disk, view: &View) -> io::Result<Checked> {
    let mut checked = Checked::default();
    checked.report.running = view.running;
    let mut gone = 0;
    for number in view.recovered.kept.keys().copied() {
        match view.segment(disk, number)? {
            Some(file) => Walk::new(disk, view, &file, number, &mut checked).run()?,
            None => gone += 1,
        }
    }
    let Checked { report, bad, balances, .. } = &mut checked;
    *balances = true;
    if gone > 0 {
        report.notes.push(format!("{gone} segments were delivered and removed before their turn came"));
    }
    for (source, balance) in survey::ledger(view, |segment, at| !bad.contains(&(segment, at)))? {
        if !balance.balances {
            *balances = false;
            let (totals, queued) = (&balance.totals, balance.queued);
            let what = format!(
                "source {source}: received {}, but delivered {}, dropped {} and {queued} in the segments",
                totals.received,
                totals.delivered,
                totals.dropped()
            );
            report.add(Finding::of(Flaw::Ledger, what));
        }
    }
    Ok(checked)
}

/// The way through one segment.
struct Walk<'a> {
    disk: &'a dyn Disk,
    view: &'a View,
    file: &'a dyn Read,
    segment: u64,
    checked: &'a mut Checked,
    /// Where the group began that the next state record closes; unknown after damage.
    group: Option<u64>,
    last: u64,
}

impl<'a> Walk<'a> {
    fn new(disk: &'a dyn Disk, view: &'a View, file: &'a dyn Read, segment: u64, checked: &'a mut Checked) -> Self {
        Self { disk, view, file, segment, checked, group: Some(FILE_HEADER as u64), last: 0 }
    }

    fn run(mut self) -> io::Result<()> {
        self.checked.report.segments += 1;
        self.checked.report.bytes += self.file.length()?;
        if let Some(finding) = self.view.file_header(self.file, self.segment)? {
            self.checked.damaged.insert(self.segment);
            self.checked.report.add(finding);
        }
        let mut scan = Scan::new(self.file, FILE_HEADER as u64)?;
        while let Some(found) = scan.next()? {
            match found {
                Found::Record { at, header, extra } => self.record(at, &header, &extra)?,
                Found::Tail { .. } if self.view.is_growing(self.segment) => {}
                Found::Damage { at, length } => {
                    self.group = None;
                    self.add(Flaw::Record, at, length, no_record(self.file, at)?);
                }
                Found::Tail { at, length } => {
                    let what = format!("{length} bytes at the end are no whole record: {}", no_record(self.file, at)?);
                    self.add(Flaw::Tail, at, length, what);
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, flaw: Flaw, at: u64, length: u64, what: impl Into<String>) {
        match flaw {
            Flaw::Tail => self.checked.torn.insert(self.segment),
            Flaw::Record | Flaw::Payload | Flaw::State => self.checked.damaged.insert(self.segment),
            _ => false,
        };
        self.checked.report.add(Finding::at(flaw, self.segment, at, length, what));
    }

    fn record(&mut self, at: u64, header: &Header, extra: &[u8]) -> io::Result<()> {
        let (end, stored) = (at + header.record_length(), read_payload(self.file, at, header)?);
        let fault = match header.kind {
            Type::Batch => {
                self.number(at, header)?;
                batch_fault(header, extra, stored)
            }
            Type::State => self.state(at, header, stored),
            Type::Checkpoint | Type::WholeCheckpoint => checkpoint_fault(extra),
            Type::SnapshotEnd => None,
        };
        match fault {
            Some(why) => {
                let what = match header.kind {
                    Type::Batch => format!("batch {} with {} events: {why}", header.number, header.count),
                    Type::State => format!("a state record: {why}"),
                    _ => format!("a checkpoint: {why}"),
                };
                self.checked.bad.insert((self.segment, at));
                self.add(Flaw::Payload, at, header.record_length(), what);
            }
            None if header.kind == Type::Batch => {
                self.checked.report.batches += 1;
                self.checked.report.events += u64::from(header.count);
            }
            None => {}
        }
        if matches!(header.kind, Type::State | Type::WholeCheckpoint | Type::SnapshotEnd) {
            self.group = Some(end);
        }
        Ok(())
    }

    /// A batch's number: in order, reserved, and of this batch alone.
    fn number(&mut self, at: u64, header: &Header) -> io::Result<()> {
        let number = header.number.0;
        let mut wrong = Vec::new();
        if number <= self.last {
            wrong.push(format!("batch {number} comes after batch {}", self.last));
        }
        if number >= self.view.recovered.state.reserved {
            wrong.push(format!("batch {number} has a number that was never reserved"));
        }
        self.last = self.last.max(number);
        let other = self.view.index.next(number)?.filter(|(found, _)| *found == number);
        if let Some((_, place)) = other.filter(|(_, place)| (place.segment, place.at) != (self.segment, at))
            && let Some(file) = self.view.segment(self.disk, place.segment)?
            && let Some((same, _)) = record_at(&file, place.at)?
            // The same batch may lie in two segments: its first group could not be made durable.
            && (same.count, same.raw_length, same.first_received)
                != (header.count, header.raw_length, header.first_received)
        {
            wrong.push(format!("batch {number} is another one in segment {} at {}", place.segment, place.at));
        }
        wrong.into_iter().for_each(|what| self.add(Flaw::Numbers, at, header.record_length(), what));
        Ok(())
    }

    /// A state record: why it cannot be used, if so. What it contradicts is added.
    fn state(&mut self, at: u64, header: &Header, stored: Vec<u8>) -> Option<String> {
        let payload = match record::payload(header, stored) {
            Ok(payload) => payload,
            Err(why) => return Some(why.to_string()),
        };
        let Some(state) = State::from_bytes(&payload) else { return Some("it does not decode".to_owned()) };
        let mut wrong = contradictions(&state);
        if state.appliance() != Some(self.view.recovered.appliance) {
            wrong.push(format!("it is of the box {}, not {}", state.appliance, self.view.recovered.appliance));
        }
        let group = self.group.map(|from| at - from);
        if let Some(lies) = group.filter(|lies| *lies != header.number.0) {
            wrong.push(format!("it closes a group of {} bytes where {lies} bytes lie", header.number));
        }
        let length = header.record_length();
        wrong.into_iter().for_each(|what| self.add(Flaw::State, at, length, format!("a state record: {what}")));
        None
    }
}

fn batch_fault(header: &Header, extra: &[u8], stored: Vec<u8>) -> Option<String> {
    match record::batch(header, extra, stored) {
        Err(why) => Some(why.to_string()),
        Ok(_) => {
            let (_, rest) = record::source(extra)?;
            let whole = record::read_checkpoint(rest).is_ok();
            (!whole).then(|| "its checkpoint does not decode".to_owned())
        }
    }
}

fn checkpoint_fault(extra: &[u8]) -> Option<String> {
    let whole = record::source(extra).is_some_and(|(_, rest)| matches!(record::read_checkpoint(rest), Ok(Some(_))));
    (!whole).then(|| "it does not decode".to_owned())
}

/// What a state says that cannot be.
fn contradictions(state: &State) -> Vec<String> {
    let mut wrong = Vec::new();
    for (source, totals) in &state.ledger.0 {
        if !totals.balances(totals.queued()) {
            wrong.push(format!("source {source} has more events delivered and dropped than received"));
        }
    }
    if state.written > state.reserved {
        wrong.push(format!(
            "batches below {} are written, and only those below {} reserved",
            state.written, state.reserved
        ));
    }
    for (id, position) in &state.outputs {
        if position.done.end() > state.reserved {
            wrong.push(format!("output {id} has numbers that were never reserved"));
        }
    }
    wrong
}
