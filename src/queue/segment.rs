//! Segment files: the whole truth of the queue. They only grow at the end and are removed whole.
//!
//! A segment begins with a file header (magic, version, number, the box's id, check), then a snapshot of all control data,
//! closed by a `SnapshotEnd` record, then records as they come. So the newest segment with a whole snapshot, and what
//! follows it, tells everything but the batches of older segments.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::disk::{Append, Disk, Read};
use super::index::{Change, Index, IndexError, Mark, Place};
use super::record::{self, HEADER, Header, MAGIC, RecordError};
use crate::event::{ApplianceId, Batch};
use crate::status::{Count, Handle};

/// Bytes of the file header.
pub(super) const FILE_HEADER: usize = 32;
pub(super) const FILE_MAGIC: [u8; 8] = *b"SAPPHSEG";
const FILE_VERSION: u32 = 1;

/// The file of a segment.
pub(super) fn file_name(segment: u64) -> String {
    format!("{segment:016x}.seg")
}

/// The segment of a file name; `None` for other files.
pub(super) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg").filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}

/// The segment that is being written.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) length: u64,
    file: Box<dyn Append>,
}

impl Segment {
    /// Makes the file with its header and `snapshot` (records, closed by `SnapshotEnd`), all durable, name included.
    pub(super) fn create(disk: &dyn Disk, number: u64, appliance: ApplianceId, snapshot: &[u8]) -> io::Result<Self> {
        let mut file = disk.create(&file_name(number))?;
        let mut bytes = file_header(number, appliance);
        bytes.extend_from_slice(snapshot);
        file.append(&bytes)?;
        file.sync()?;
        disk.sync_dir()?;
        Ok(Self { number, length: bytes.len() as u64, file })
    }

    /// Appends records and makes them durable.
    ///
    /// After an error the segment must not be used again: nothing is known of its end.
    pub(super) fn append(&mut self, records: &[u8]) -> io::Result<()> {
        self.file.append(records)?;
        self.file.sync()?;
        self.length += records.len() as u64;
        Ok(())
    }
}

/// What a segment's file begins with.
pub(super) fn file_header(segment: u64, appliance: ApplianceId) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FILE_HEADER);
    bytes.extend_from_slice(&FILE_MAGIC);
    bytes.extend_from_slice(&FILE_VERSION.to_le_bytes());
    bytes.extend_from_slice(&segment.to_le_bytes());
    bytes.extend_from_slice(&appliance.0.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// Reads the file header; the box's id, or `None` if this is no segment with that number.
pub(super) fn appliance_of(file: &dyn Read, segment: u64) -> io::Result<Option<ApplianceId>> {
    let mut bytes = [0u8; FILE_HEADER];
    if file.read_at(0, &mut bytes)? < FILE_HEADER {
        return Ok(None);
    }
    let fits = is_sealed(&bytes)
        && bytes.starts_with(&FILE_MAGIC)
        && bytes.get(8..12) == Some(&FILE_VERSION.to_le_bytes())
        && bytes.get(12..20) == Some(&segment.to_le_bytes());
    let id = bytes.get(20..28).and_then(|id| id.try_into().ok()).map(u64::from_le_bytes);
    Ok(id.filter(|_| fits).map(ApplianceId))
}

/// Whether a file header's check matches.
pub(super) fn is_sealed(header: &[u8; FILE_HEADER]) -> bool {
    let (fixed, sum) = header.split_at(FILE_HEADER - 4);
    crc32fast::hash(fixed).to_le_bytes() == sum
}

/// What a scan finds, in the order of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A record whose header and extra part are whole; its payload was not looked at.
    Record { at: u64, header: Header, extra: Vec<u8> },
    /// Bytes that are no record, with a whole record after them.
    Damage { at: u64, length: u64 },
    /// Bytes that are no record up to the end of the file.
    Tail { at: u64, length: u64 },
}

/// Walks a segment's records, skipping payloads.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    file: &'a dyn Read,
    at: u64,
    end: u64,
    window: Vec<u8>,
    window_at: u64,
}

/// Read at once while scanning. Payloads of 50 to 100 KB lie between headers, so more would be read in vain.
const WINDOW: usize = 16 << 10;

impl<'a> Scan<'a> {
    /// Starts at `from`, which is the beginning of a record, or right after the file header.
    pub(super) fn new(file: &'a dyn Read, from: u64) -> io::Result<Self> {
        Ok(Self { file, at: from, end: file.length()?, window: Vec::new(), window_at: 0 })
    }

    /// The next thing found; `None` at the end of the file.
    pub(super) fn next(&mut self) -> io::Result<Option<Found>> {
        if self.at >= self.end {
            return Ok(None);
        }
        let at = self.at;
        if let Some((header, extra)) = self.record(at)? {
            self.at = at + header.record_length();
            return Ok(Some(Found::Record { at, header, extra }));
        }
        let mut next = at + 1;
        while let Some(candidate) = self.find_magic(next)? {
            if self.record(candidate)?.is_some() {
                self.at = candidate;
                return Ok(Some(Found::Damage { at, length: candidate - at }));
            }
            next = candidate + 1;
        }
        self.at = self.end;
        Ok(Some(Found::Tail { at, length: self.end - at }))
    }

    /// The record at a place, if there is a whole one.
    fn record(&mut self, at: u64) -> io::Result<Option<(Header, Vec<u8>)>> {
        let Some(fixed) = self.bytes(at, HEADER)?.and_then(|bytes| bytes.first_chunk::<HEADER>().copied()) else {
            return Ok(None);
        };
        let Some(header) = Header::read(&fixed) else { return Ok(None) };
        if at + header.record_length() > self.end {
            return Ok(None);
        }
        let extra = self.bytes(at + HEADER as u64, header.extra_length as usize)?.map(<[u8]>::to_vec);
        Ok(extra.filter(|extra| header.verify(&fixed, extra)).map(|extra| (header, extra)))
    }

    /// Bytes of the file through the window; `None` past its end.
    fn bytes(&mut self, at: u64, length: usize) -> io::Result<Option<&[u8]>> {
        if at + length as u64 > self.end {
            return Ok(None);
        }
        let inside = at >= self.window_at && at + length as u64 <= self.window_at + self.window.len() as u64;
        if !inside {
            self.window.resize(length.max(WINDOW), 0);
            let read = self.file.read_at(at, &mut self.window)?;
            self.window.truncate(read);
            self.window_at = at;
        }
        let start = usize::try_from(at - self.window_at).unwrap_or(usize::MAX);
        Ok(self.window.get(start..start.saturating_add(length)))
    }

    /// The next place from `from` where a record could begin.
    fn find_magic(&mut self, from: u64) -> io::Result<Option<u64>> {
        let mut at = from;
        while at + MAGIC.len() as u64 <= self.end {
            let length = usize::try_from(self.end - at).unwrap_or(usize::MAX).min(WINDOW);
            let Some(bytes) = self.bytes(at, length)? else { return Ok(None) };
            if let Some(place) = memchr::memmem::find(bytes, &MAGIC) {
                return Ok(Some(at + place as u64));
            }
            at += (length - (MAGIC.len() - 1)) as u64;
        }
        Ok(None)
    }
}

/// Reads the stored payload of a record found at `at`.
pub(super) fn read_payload(file: &dyn Read, at: u64, header: &Header) -> io::Result<Vec<u8>> {
    let mut stored = vec![0; header.stored_length as usize];
    let read = file.read_at(at + HEADER as u64 + u64::from(header.extra_length), &mut stored)?;
    stored.truncate(read);
    Ok(stored)
}

/// The record at a place an index names; `None` if there is no whole header there.
pub(super) fn record_at(file: &dyn Read, at: u64) -> io::Result<Option<(Header, Vec<u8>)>> {
    let mut scan = Scan::new(file, at)?;
    scan.record(at)
}

/// The segments with the index into them: what readers and the writer share.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) disk: Box<dyn Disk>,
    index: RwLock<Arc<dyn Index>>,
    /// Held while the index is changed or built again.
    changing: Mutex<()>,
}

/// What lies at a number.
#[derive(Debug)]
pub(super) enum Looked {
    /// A whole batch.
    Batch(u64, Batch),
    /// A record that failed its checks.
    Damaged { number: u64, place: Place, why: RecordError },
    /// The index names a place where this number is not: the index is wrong, or the record's header is damaged.
    Misplaced(u64),
    /// There is no such number.
    Nothing,
}

impl Shelf {
    pub(super) fn new(disk: Box<dyn Disk>, index: Arc<dyn Index>) -> Self {
        Self { disk, index: RwLock::new(index), changing: Mutex::new(()) }
    }

    pub(super) fn index(&self) -> Arc<dyn Index> {
        Arc::clone(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace_index(&self, index: Arc<dyn Index>) {
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = index;
    }

    /// Brings the index up to date with what is durable. One that is built again meanwhile must not miss it, so the two
    /// wait for each other.
    pub(super) fn apply(&self, changes: &[Change], mark: Mark, status: &Handle) -> io::Result<()> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.ask_locked(status, |index| index.apply(changes, mark))
    }

    /// Asks the index; one that fails is replaced by one in memory, built from the segments.
    pub(super) fn ask<T>(
        &self,
        status: &Handle,
        question: impl Fn(&dyn Index) -> Result<T, IndexError>,
    ) -> io::Result<T> {
        match question(&*self.index()) {
            Ok(answer) => Ok(answer),
            Err(_) => {
                let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
                self.ask_locked(status, question)
            }
        }
    }

    fn ask_locked<T>(&self, status: &Handle, question: impl Fn(&dyn Index) -> Result<T, IndexError>) -> io::Result<T> {
        question(&*self.index()).or_else(|err| {
            tracing::error!(error = %err, "the queue's index failed and is built again in memory from the segments");
            status.counters().add(Count::DiskErrors, 1);
            let right = super::recover::index_in_memory(&*self.disk, status)?;
            self.replace_index(Arc::clone(&right));
            Ok(question(&*right)?)
        })
    }

    /// Builds the index again from the segments, in memory; the one on the disk is emptied, so that the next start builds
    /// it too. Returns what the wrong one knew and the segments do not hold.
    pub(super) fn rebuild(&self, status: &Handle) -> io::Result<Vec<(u64, Place)>> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let right = super::recover::index_in_memory(&*self.disk, status)?;
        let wrong = self.index();
        let (mut lost, mut from) = (Vec::new(), 0);
        // One that fails says no more.
        while let Ok(Some((number, place))) = wrong.next(from) {
            from = number + 1;
            if right.next(number)?.is_none_or(|(found, _)| found != number) {
                lost.push((number, place));
            }
        }
        self.replace_index(right);
        if let Err(err) = wrong.clear().and_then(|()| wrong.flush()) {
            tracing::warn!(error = %err, "the queue's wrong index could not be emptied");
        }
        Ok(lost)
    }

    /// The first batch with a number in `from..bound`. Blocks on the disk.
    pub(super) fn look(&self, from: u64, bound: u64) -> io::Result<Looked> {
        // An index that fails is as good as a wrong one.
        let Ok(next) = self.index().next(from) else { return Ok(Looked::Misplaced(from)) };
        let Some((number, place)) = next.filter(|(number, _)| *number < bound) else { return Ok(Looked::Nothing) };
        let file = match self.disk.open(&file_name(place.segment)) {
            Ok(file) => file,
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                // A delivered segment leaves the index first, then the disk: if it is gone from both, there is no such batch.
                let still = self.index().next(from).is_ok_and(|next| next == Some((number, place)));
                return if still { Ok(Looked::Misplaced(number)) } else { self.look(from, bound) };
            }
            Err(err) => return Err(err),
        };
        let fits = |header: &Header| header.number.0 == number && header.kind == record::Type::Batch;
        let Some((header, extra)) = record_at(&*file, place.at)?.filter(|(header, _)| fits(header)) else {
            return Ok(Looked::Misplaced(number));
        };
        let stored = read_payload(&*file, place.at, &header)?;
        Ok(match record::batch(&header, &extra, stored) {
            Ok(batch) => Looked::Batch(number, batch),
            Err(why) => Looked::Damaged { number, place, why },
        })
    }
}
