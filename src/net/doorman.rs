//! Who failed to log in: slowed after a few times, refused for a while after many.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Addresses (or names) that are remembered; a flood of more of them pushes the oldest out.
const MOST: usize = 4_096;
/// Failures are counted over this time.
const REMEMBERED: Duration = Duration::from_secs(3_600);
/// Failures without a wait: a person who has to find the right key.
const FREE: u32 = 3;
/// Each failure after those makes the next answer this much later, up to the second.
const SLOWER: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Remembers the failures of each address, or of whatever else they are counted by.
#[derive(Debug)]
pub struct Doorman<K = IpAddr> {
    ban_after: u32,
    ban_for: Duration,
    tries: Mutex<HashMap<K, Tries>>,
}

#[derive(Clone, Copy, Debug)]
struct Tries {
    count: u32,
    since: Instant,
    refused_until: Option<Instant>,
}

impl<K: Clone + Eq + Hash> Doorman<K> {
    /// Refuses for `ban_for` (zero: never) who failed `ban_after` times within an hour.
    #[must_use]
    pub fn new(ban_after: u32, ban_for: Duration) -> Self {
        Self { ban_after, ban_for, tries: Mutex::default() }
    }

    fn tries(&self) -> MutexGuard<'_, HashMap<K, Tries>> {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the peer is refused now.
    pub fn refuses(&self, peer: &K) -> bool {
        self.refused_for(peer).is_some()
    }

    /// How long the peer is refused from now on, if it is.
    pub fn refused_for(&self, peer: &K) -> Option<Duration> {
        let until = self.tries().get(peer).and_then(|tries| tries.refused_until)?;
        until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }

    /// How long a peer waits for the answer that a key or password is wrong.
    pub fn delay(&self, peer: &K) -> Duration {
        let count = self.tries().get(peer).map_or(0, |tries| tries.count);
        (SLOWER.0 * count.saturating_sub(FREE)).min(SLOWER.1)
    }

    /// A login failed. True if the peer is refused from now on.
    pub fn failed(&self, peer: &K) -> bool {
        let now = Instant::now();
        let mut all = self.tries();
        if all.len() >= MOST && !all.contains_key(peer) {
            all.retain(|_, tries| now.duration_since(tries.since) < REMEMBERED);
            let oldest = all.iter().min_by_key(|(_, tries)| tries.since).map(|(peer, _)| peer.clone());
            if let Some(oldest) = oldest.filter(|_| all.len() >= MOST) {
                all.remove(&oldest);
            }
        }
        let tries = all.entry(peer.clone()).or_insert(Tries { count: 0, since: now, refused_until: None });
        if now.duration_since(tries.since) >= REMEMBERED || tries.refused_until.is_some_and(|until| now >= until) {
            *tries = Tries { count: 0, since: now, refused_until: None };
        }
        tries.count += 1;
        let is_over = tries.count >= self.ban_after && tries.refused_until.is_none() && !self.ban_for.is_zero();
        if is_over {
            tries.refused_until = Some(now + self.ban_for);
        }
        is_over
    }

    /// A login: what was before is forgiven.
    pub fn succeeded(&self, peer: &K) {
        self.tries().remove(peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_fails_again_and_again_is_slowed_then_refused_then_let_in_again() {
        let doorman = Doorman::new(5, Duration::from_secs(60));
        let (bad, good): (IpAddr, IpAddr) = ("192.0.2.66".parse().unwrap(), "192.0.2.7".parse().unwrap());
        for count in 1..5 {
            assert!(!doorman.failed(&bad) && !doorman.refuses(&bad), "{count}");
        }
        assert!(doorman.delay(&bad) > Duration::ZERO && doorman.delay(&good).is_zero());
        assert!(doorman.failed(&bad));
        assert!(doorman.refuses(&bad) && !doorman.refuses(&good));
        assert!(!doorman.failed(&bad), "it is told once");
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(!doorman.refuses(&bad) && !doorman.failed(&bad));
        doorman.succeeded(&bad);
        assert!(doorman.delay(&bad).is_zero());
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_addresses_pushes_the_oldest_out() {
        let doorman = Doorman::new(5, Duration::from_secs(60));
        for number in 0..=MOST as u32 {
            doorman.failed(&IpAddr::from(std::net::Ipv4Addr::from(number)));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert_eq!(doorman.tries().len(), MOST);
        assert!(!doorman.tries().contains_key(&IpAddr::from([0, 0, 0, 0])));
    }
}
