//! A disk that may lose what was not synced: cut short, torn by sectors, or kept; that fails on command; and that forgets
//! file names whose folder was not synced. After a failed sync the data in question is never durable, whatever a later
//! sync says, as on Linux.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::queue::disk::{Append, Disk, Overwrite, Read};

/// What a power cut keeps or loses as one.
const SECTOR: usize = 512;

#[derive(Clone, Debug)]
pub(in crate::queue) struct SimDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    files: BTreeMap<String, SimFile>,
    /// Files that are written in place, and what they held before the last write.
    in_place: BTreeMap<String, (Vec<u8>, Vec<u8>)>,
    /// Removed, but the folder was not synced: a crash may bring them back.
    removed: BTreeMap<String, SimFile>,
    /// Renamed, but the folder was not synced: from, to, and what had that name. A crash may undo the last of them.
    renamed: Vec<(String, String, Option<SimFile>)>,
    random: StdRng,
    /// One in so many operations fails; 0 = none.
    fail_one_in: u32,
    /// A planted bug: syncs that do nothing.
    lying_sync: bool,
    /// A planted bug: writes in place that do nothing.
    lost_overwrite: bool,
    /// A planted bug: renames that come before the sync of what is renamed.
    early_rename: bool,
}

#[derive(Clone, Debug, Default)]
struct SimFile {
    bytes: Vec<u8>,
    synced: usize,
    /// After a failed sync nothing more becomes durable here.
    poisoned: bool,
    named: bool,
}

impl SimDisk {
    pub(in crate::queue) fn new(seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed);
        let state = State {
            files: BTreeMap::new(),
            in_place: BTreeMap::new(),
            removed: BTreeMap::new(),
            renamed: Vec::new(),
            random,
            fail_one_in: 0,
            lying_sync: false,
            lost_overwrite: false,
            early_rename: false,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    pub(in crate::queue) fn fail_one_in(&self, operations: u32) {
        self.0.lock().unwrap().fail_one_in = operations;
    }

    pub(in crate::queue) fn lie_about_syncs(&self) {
        self.0.lock().unwrap().lying_sync = true;
    }

    pub(in crate::queue) fn lose_overwrites(&self) {
        self.0.lock().unwrap().lost_overwrite = true;
    }

    pub(in crate::queue) fn rename_before_syncs(&self) {
        self.0.lock().unwrap().early_rename = true;
    }

    /// A disk of its own with the same files, all durable.
    pub(in crate::queue) fn copy(&self, seed: u64) -> Self {
        let copy = Self::new(seed);
        self.files().into_iter().for_each(|(name, bytes)| copy.put(&name, bytes));
        copy
    }

    pub(in crate::queue) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.0.lock().unwrap();
        state.files.iter().map(|(name, file)| (name.clone(), file.bytes.clone())).collect()
    }

    pub(in crate::queue) fn put(&self, name: &str, bytes: Vec<u8>) {
        let file = SimFile { synced: bytes.len(), bytes, poisoned: false, named: true };
        self.0.lock().unwrap().files.insert(name.to_owned(), file);
    }

    /// Flips one bit of a file.
    pub(in crate::queue) fn flip(&self, name: &str, at: usize, bit: u8) {
        self.0.lock().unwrap().files.get_mut(name).unwrap().bytes[at] ^= 1 << bit;
    }

    /// The power goes.
    pub(in crate::queue) fn crash(&self) {
        let mut state = self.0.lock().unwrap();
        let State { files, in_place, removed, renamed, random, .. } = &mut *state;
        for (bytes, before) in in_place.values_mut() {
            before.resize(bytes.len(), 0);
            for (new, old) in bytes.chunks_mut(SECTOR).zip(before.chunks(SECTOR)) {
                if random.random_bool(0.5) {
                    new.copy_from_slice(old);
                }
            }
        }
        let kept = random.random_range(0..=renamed.len());
        for (from, to, before) in renamed.drain(..).skip(kept).rev() {
            let file = files.remove(&to);
            files.extend(file.map(|file| (from, file)));
            files.extend(before.map(|file| (to, file)));
        }
        for (name, file) in std::mem::take(removed) {
            if random.random_bool(0.5) {
                files.entry(name).or_insert(file);
            }
        }
        files.retain(|_, file| file.named || random.random_bool(0.5));
        for file in files.values_mut() {
            let end = random.random_range(file.synced..=file.bytes.len());
            file.bytes.truncate(end);
            for start in (file.synced..end).step_by(SECTOR) {
                if random.random_bool(0.3) {
                    let until = (start + SECTOR).min(end);
                    file.bytes[start..until].fill(0);
                }
            }
            *file = SimFile {
                synced: file.bytes.len(),
                bytes: std::mem::take(&mut file.bytes),
                poisoned: false,
                named: true,
            };
        }
    }

    /// Flips one bit somewhere in the segments; false if there is none.
    pub(in crate::queue) fn flip_a_bit(&self) -> bool {
        let mut state = self.0.lock().unwrap();
        let State { files, random, .. } = &mut *state;
        let total: usize = files.values().map(|file| file.bytes.len()).sum();
        if total == 0 {
            return false;
        }
        let mut at = random.random_range(0..total);
        for file in files.values_mut() {
            if at < file.bytes.len() {
                file.bytes[at] ^= 1 << random.random_range(0..8);
                return true;
            }
            at -= file.bytes.len();
        }
        false
    }

    pub(in crate::queue) fn segments(&self) -> usize {
        self.0.lock().unwrap().files.len()
    }
}

impl State {
    fn fails(&mut self) -> io::Result<()> {
        if self.fail_one_in > 0 && self.random.random_ratio(1, self.fail_one_in) {
            let code = if self.random.random_bool(0.5) { libc::ENOSPC } else { libc::EIO };
            return Err(io::Error::from_raw_os_error(code));
        }
        Ok(())
    }

    fn file(&mut self, name: &str) -> io::Result<&mut SimFile> {
        self.files.get_mut(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for SimDisk {
    fn create(&self, name: &str) -> io::Result<Box<dyn Append>> {
        let mut state = self.0.lock().unwrap();
        state.fails()?;
        assert!(!state.files.contains_key(name), "{name} is made twice");
        state.files.insert(name.to_owned(), SimFile::default());
        Ok(Box::new(Handle { disk: self.clone(), name: name.to_owned() }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Read>> {
        let mut state = self.0.lock().unwrap();
        let in_place = state.in_place.get(name).map(|(bytes, _)| bytes.clone());
        let bytes = in_place.map_or_else(|| Ok(state.file(name)?.bytes.clone()), io::Result::Ok)?;
        Ok(Box::new(Bytes(bytes)))
    }

    fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.fails()?;
        let file = state.file(name)?;
        file.bytes.truncate(usize::try_from(length).unwrap());
        file.synced = file.bytes.len();
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.fails()?;
        let mut file = state.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        if state.early_rename {
            file.synced = 0;
        }
        let before = state.files.insert(to.to_owned(), file);
        state.renamed.push((from.to_owned(), to.to_owned(), before));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.fails()?;
        let file = state.files.remove(name).ok_or(io::ErrorKind::NotFound)?;
        if file.named {
            state.removed.insert(name.to_owned(), file);
        }
        Ok(())
    }

    fn overwrite(&self, name: &str) -> io::Result<Box<dyn Overwrite>> {
        self.0.lock().unwrap().in_place.entry(name.to_owned()).or_default();
        Ok(Box::new(Handle { disk: self.clone(), name: name.to_owned() }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().unwrap().files.keys().cloned().collect())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.fails()?;
        state.files.values_mut().for_each(|file| file.named = true);
        state.removed.clear();
        state.renamed.clear();
        Ok(())
    }
}

#[derive(Debug)]
struct Handle {
    disk: SimDisk,
    name: String,
}

impl Append for Handle {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.0.lock().unwrap();
        let failed = state.fails();
        let part = if failed.is_err() { state.random.random_range(0..=bytes.len()) } else { bytes.len() };
        state.file(&self.name)?.bytes.extend_from_slice(&bytes[..part]);
        failed
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.0.lock().unwrap();
        let (failed, lying) = (state.fails(), state.lying_sync);
        let file = state.file(&self.name)?;
        if failed.is_err() {
            file.poisoned = true;
        } else if !file.poisoned && !lying {
            file.synced = file.bytes.len();
        }
        failed
    }
}

impl Overwrite for Handle {
    fn overwrite(&mut self, offset: u64, new: &[u8]) -> io::Result<()> {
        let mut state = self.disk.0.lock().unwrap();
        let failed = state.fails();
        if state.lost_overwrite {
            return Ok(());
        }
        let part = if failed.is_err() { state.random.random_range(0..=new.len()) } else { new.len() };
        let (bytes, before) = state.in_place.get_mut(&self.name).unwrap();
        before.clone_from(bytes);
        let at = usize::try_from(offset).unwrap();
        bytes.resize(bytes.len().max(at + new.len()), 0);
        bytes[at..at + part].copy_from_slice(&new[..part]);
        failed
    }
}

#[derive(Debug)]
struct Bytes(Vec<u8>);

impl Read for Bytes {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let from = usize::try_from(offset).unwrap().min(self.0.len());
        let length = into.len().min(self.0.len() - from);
        into[..length].copy_from_slice(&self.0[from..from + length]);
        Ok(length)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}
