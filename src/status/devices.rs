//! The devices that send to a source: when each was heard last, and which have fallen silent.
//!
//! Only in memory: after a restart nobody was heard yet, so nobody is missed. Bounded: [`MOST`] devices; what more there are is
//! not watched. Time is measured by a clock that nobody sets; the wall time is for people.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Timestamp;

/// Twice the devices of a large site; each costs a hundred bytes.
const MOST: usize = 2_048;
/// Who was silent for so long has gone for good.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(7 * 24 * 3_600);
/// A device that comes and goes is told of once within this.
const TOLD_EVERY: Duration = Duration::from_secs(3_600);
/// Changes that are told at one look: when a switch dies, the others come with the next looks.
const AT_ONCE: usize = 10;

/// The devices of a source.
#[derive(Debug, Default)]
pub struct Devices(Mutex<BTreeMap<String, Heard>>);

#[derive(Debug)]
struct Heard {
    at: Instant,
    last: Timestamp,
    is_silent: bool,
    /// What the far ends have been told, and when last that it fell silent.
    told_silent: bool,
    told: Option<Instant>,
}

impl Heard {
    /// Whether they have to be told. Who is gone again within the hour is told of when that is over.
    fn is_due(&self, now: Instant) -> bool {
        let may = !self.is_silent || self.told.is_none_or(|told| now.duration_since(told) >= TOLD_EVERY);
        self.is_silent != self.told_silent && may
    }
}

/// A device, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name, or its address where it has none.
    pub name: String,
    /// When it was heard last.
    pub last: Timestamp,
    /// Whether it is missed.
    pub is_silent: bool,
}

impl Devices {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Heard>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A device was heard. To be called once a second for each at most, not for each of its events.
    pub fn heard(&self, name: &str, now: Timestamp) {
        let mut all = self.all();
        if let Some(device) = all.get_mut(name) {
            (device.at, device.last) = (Instant::now(), now);
            return;
        }
        if all.len() < MOST {
            let at = Instant::now();
            let device = Heard { at, last: now, is_silent: false, told_silent: false, told: None };
            all.insert(name.to_owned(), device);
        }
    }

    /// Finds out who has been silent for `after`, counted from `since` at the earliest, and who was and is heard again. Each change
    /// comes back once, a few at a time.
    pub fn look(&self, after: Duration, since: Instant) -> Vec<Device> {
        let (now, mut all) = (Instant::now(), self.all());
        all.retain(|_, device| now.duration_since(device.at) < FORGOTTEN_AFTER);
        for device in all.values_mut() {
            device.is_silent = now.duration_since(device.at.max(since)) >= after;
        }
        let due = all.iter_mut().filter(|(_, device)| device.is_due(now)).take(AT_ONCE);
        due.map(|(name, device)| {
            device.told_silent = device.is_silent;
            if device.is_silent {
                device.told = Some(now);
            }
            shown(name, device)
        })
        .collect()
    }

    /// Nobody misses this device any more, until it is heard again. False where there is none of that name.
    pub fn forget(&self, name: &str) -> bool {
        self.all().remove(name).is_some()
    }

    /// All of them, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Device> {
        self.all().iter().map(|(name, device)| shown(name, device)).collect()
    }
}

fn shown(name: &str, device: &Heard) -> Device {
    Device { name: name.to_owned(), last: device.last, is_silent: device.is_silent }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn names(devices: &[Device]) -> Vec<(&str, bool)> {
        devices.iter().map(|device| (device.name.as_str(), device.is_silent)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_heard_is_missed_once_and_comes_back_once() {
        let (devices, since) = (Devices::default(), Instant::now());
        assert!(devices.look(HOUR, since).is_empty() && devices.list().is_empty(), "who was never heard is not missed");
        devices.heard("fw1", Timestamp(1));
        devices.heard("fw2", Timestamp(2));
        for _ in 0..59 {
            tokio::time::advance(Duration::from_secs(60)).await;
            devices.heard("fw2", Timestamp(3));
            assert!(devices.look(HOUR, since).is_empty());
        }
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(names(&devices.look(HOUR, since)), [("fw1", true)]);
        assert!(devices.look(HOUR, since).is_empty(), "once");
        assert_eq!(names(&devices.list()), [("fw1", true), ("fw2", false)]);
        devices.heard("fw1", Timestamp(4));
        assert_eq!(names(&devices.look(HOUR, since)), [("fw1", false)]);
        assert!(devices.look(HOUR, since).is_empty());
        assert!(devices.forget("fw2") && !devices.forget("fw2"));
        tokio::time::advance(FORGOTTEN_AFTER).await;
        devices.look(HOUR, since);
        assert!(devices.list().is_empty(), "gone for good");
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_and_goes_is_told_of_once_an_hour() {
        let (devices, since, minute) = (Devices::default(), Instant::now(), Duration::from_secs(60));
        let mut told = 0;
        for _ in 0..120 {
            devices.heard("fw1", Timestamp(1));
            told += devices.look(minute, since).len();
            tokio::time::advance(minute).await;
            told += devices.look(minute, since).len();
        }
        assert!((2..=6).contains(&told), "{told} in two hours");
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_did_not_listen_misses_nobody_and_many_at_once_are_no_flood() {
        let devices = Devices::default();
        for number in 0..MOST + 5 {
            devices.heard(&format!("device {number}"), Timestamp(1));
        }
        assert_eq!(devices.list().len(), MOST);
        tokio::time::advance(2 * HOUR).await;
        assert!(devices.look(HOUR, Instant::now()).is_empty(), "it begins to listen now");
        let since = Instant::now();
        tokio::time::advance(HOUR).await;
        let mut told = 0;
        for _ in 0..MOST {
            let changes = devices.look(HOUR, since).len();
            assert!(changes <= AT_ONCE);
            told += changes;
        }
        assert_eq!(told, MOST);
    }
}
