//! The devices of a source: by which keys they are known, what they may push, and what they did.
//!
//! What they did stands in `devices.json` beside the staged files, for `sapphire-edge ssh` and for the limits of a day, and is
//! written a few seconds late: after a power cut a device may push a little more in that day.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use russh::keys::PublicKey;
use serde::{Deserialize, Serialize};

use super::keys::authorized::{self, Entry, NotNow};
use super::settings::{Device, LogType};
use crate::clock::Timestamp;
use crate::durable;

/// A fault of a device is shown this long, unless an upload comes to its end before.
const SHOWN: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// What a device did since it was first seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Deeds {
    /// When it last pushed a whole file.
    pub last_upload: Option<String>,
    /// Its whole files, without repeats.
    pub files: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Events made of them.
    pub events: u64,
    /// Files that it pushed again, and that were not taken twice.
    pub repeats: u64,
    /// What went wrong last, and when.
    pub last_error: Option<String>,
    /// When that was.
    pub last_error_at: Option<String>,
    /// The day since the epoch that the next two are of.
    day: u64,
    files_today: u64,
    bytes_today: u64,
}

/// A device and what it did.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) device: Device,
    keys: Vec<Entry>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    deeds: Deeds,
    failed_at: Option<Timestamp>,
}

/// All devices of a source.
#[derive(Debug)]
pub(super) struct Devices {
    accounts: Vec<Arc<Account>>,
    file: PathBuf,
    is_changed: AtomicBool,
}

/// Why a key opens nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// No device of that user has it.
    Key,
    /// This device has it, but not now or not from there.
    NotNow(String, NotNow),
}

impl Devices {
    /// Reads what the devices did before. Blocks.
    pub(super) fn open(devices: &[Device], folder: &Path) -> Self {
        let file = folder.join("devices.json");
        let mut before = deeds(&file).unwrap_or_default();
        let account = |device: &Device| {
            let keys = device.keys.iter().filter_map(|line| Entry::parse(line).ok()).collect();
            let deeds = before.remove(&device.name).unwrap_or_default();
            let state = Mutex::new(State { deeds, failed_at: None });
            Arc::new(Account { device: device.clone(), keys, state })
        };
        let accounts = devices.iter().map(account).collect();
        Self { accounts, file, is_changed: AtomicBool::new(false) }
    }

    /// The device of a key. Reads key files: blocks.
    pub(super) fn of_key(
        &self,
        user: &str,
        key: &PublicKey,
        peer: IpAddr,
        now: Timestamp,
    ) -> Result<Arc<Account>, Unknown> {
        let mut why = Unknown::Key;
        for account in self.accounts.iter().filter(|account| account.device.user() == user) {
            let more = account.keys_of_file();
            for entry in account.keys.iter().chain(&more).filter(|entry| entry.is(key)) {
                match entry.check(peer, now) {
                    Ok(()) => return Ok(Arc::clone(account)),
                    Err(not_now) => why = Unknown::NotNow(account.device.name.clone(), not_now),
                }
            }
        }
        Err(why)
    }

    /// The device of a password. Reads password files: blocks.
    pub(super) fn of_password(&self, user: &str, password: &str) -> Option<Arc<Account>> {
        let given = digest(&SHA256, password.as_bytes());
        let matches = |account: &&Arc<Account>| {
            let file = account.device.password_file.as_deref();
            let wanted = file.and_then(|path| authorized::read_small(path).ok()).unwrap_or_default();
            let wanted = wanted.trim_end_matches(['\r', '\n']);
            let same = verify_slices_are_equal(digest(&SHA256, wanted.as_bytes()).as_ref(), given.as_ref()).is_ok();
            same && !wanted.is_empty()
        };
        let mut of_user = self.accounts.iter().filter(|account| account.device.user() == user);
        of_user.find(matches).map(Arc::clone)
    }

    pub(super) fn takes_passwords(&self) -> bool {
        self.accounts.iter().any(|account| account.device.password_file.is_some())
    }

    fn account(&self, name: &str) -> Option<&Arc<Account>> {
        self.accounts.iter().find(|account| account.device.name == name)
    }

    pub(super) fn log_type(&self, name: &str) -> LogType {
        self.account(name).map_or(LogType::Auto, |account| account.device.log_type)
    }

    /// Whether the device may push a file of that size today; else in words why not.
    pub(super) fn admit(&self, account: &Account, size: u64, now: Timestamp) -> Result<(), String> {
        let mut state = account.state();
        state.deeds.turn_to(now);
        let (device, deeds) = (&account.device, &state.deeds);
        if deeds.files_today >= u64::from(device.max_files_per_day) {
            return Err(format!("the {} files of this day are used up (max_files_per_day)", device.max_files_per_day));
        }
        if deeds.bytes_today.saturating_add(size) > device.max_bytes_per_day.bytes() {
            return Err(format!("the {} of this day are used up (max_bytes_per_day)", device.max_bytes_per_day));
        }
        Ok(())
    }

    /// A whole file came.
    pub(super) fn stored(&self, account: &Account, size: u64, is_repeat: bool, now: Timestamp) {
        let mut state = account.state();
        state.deeds.turn_to(now);
        state.failed_at = None;
        let deeds = &mut state.deeds;
        deeds.last_upload = Some(now.to_string());
        deeds.files_today += 1;
        deeds.bytes_today += size;
        if is_repeat {
            deeds.repeats += 1;
        } else {
            deeds.files += 1;
            deeds.bytes += size;
        }
        drop(state);
        self.is_changed.store(true, Ordering::Relaxed);
    }

    /// Its files became events.
    pub(super) fn read(&self, name: &str, events: u64) {
        if let Some(account) = self.account(name) {
            account.state().deeds.events += events;
            self.is_changed.store(true, Ordering::Relaxed);
        }
    }

    /// Something went wrong with a device.
    pub(super) fn failed(&self, name: &str, now: Timestamp, what: String) {
        if let Some(account) = self.account(name) {
            let mut state = account.state();
            state.failed_at = Some(now);
            (state.deeds.last_error, state.deeds.last_error_at) = (Some(what), Some(now.to_string()));
            drop(state);
            self.is_changed.store(true, Ordering::Relaxed);
        }
    }

    /// The newest fault that no upload has made good.
    pub(super) fn trouble(&self, now: Timestamp) -> Option<String> {
        let faults = self.accounts.iter().filter_map(|account| {
            let state = account.state();
            let at = state.failed_at.filter(|at| now.since(*at) < SHOWN)?;
            Some((at, format!("{}: {}", account.device.name, state.deeds.last_error.clone()?)))
        });
        faults.max_by_key(|(at, _)| *at).map(|(_, what)| what)
    }

    /// Writes what changed. Blocks.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub(super) fn save(&self) -> std::io::Result<()> {
        if !self.is_changed.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let of = |account: &Arc<Account>| (account.device.name.clone(), account.state().deeds.clone());
        let all: BTreeMap<String, Deeds> = self.accounts.iter().map(of).collect();
        durable::replace(&self.file, &serde_json::to_vec_pretty(&all)?)
    }
}

/// What the devices of a source did, by their names.
///
/// # Errors
/// When the file cannot be read or is damaged.
pub(super) fn deeds(file: &Path) -> std::io::Result<BTreeMap<String, Deeds>> {
    Ok(serde_json::from_slice(&std::fs::read(file)?)?)
}

impl Account {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keys_of_file(&self) -> Vec<Entry> {
        let Some(path) = &self.device.keys_file else { return Vec::new() };
        let text = match authorized::read_small(path) {
            Ok(text) => text,
            Err(error) => {
                tracing::warn!(device = self.device.name, file = %path.display(), %error, "key file cannot be read");
                return Vec::new();
            }
        };
        let mut entries = Vec::new();
        for (at, entry) in text.lines().enumerate().filter_map(|(at, line)| Some((at, Entry::parse_line(line)?))) {
            match entry {
                Ok(entry) => entries.push(entry),
                Err(error) => tracing::warn!(file = %path.display(), line = at + 1, error, "no public key"),
            }
        }
        entries
    }
}

impl Deeds {
    fn turn_to(&mut self, now: Timestamp) {
        let day = now.micros() / u64::try_from(DAY.as_micros()).unwrap_or(u64::MAX);
        if day != self.day {
            (self.day, self.files_today, self.bytes_today) = (day, 0, 0);
        }
    }
}

/// Asks what blocks where it may.
pub(super) async fn asked<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}
