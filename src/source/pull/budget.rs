//! How many requests an API takes, shared by all feeds that ask it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Requests spread over time: a burst at once, then one at a time (the generic cell rate algorithm). Also the place where a
/// vendor's `Retry-After` is kept, so that no other feed of the same API asks meanwhile.
#[derive(Debug)]
pub(in crate::source) struct Budget {
    interval: Duration,
    /// How far ahead of the even pace a burst may run.
    ahead: Duration,
    /// When the next request is due by the even pace.
    due: Mutex<Instant>,
}

impl Budget {
    /// So many requests a minute, of which `burst` may come at once. Both count as at least 1.
    pub(in crate::source) fn per_minute(requests: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(60) / requests.max(1);
        Self { interval, ahead: interval * burst.max(1).saturating_sub(1), due: Mutex::new(Instant::now()) }
    }

    /// Waits until the next request may be sent.
    ///
    /// # Cancel safety
    /// Dropping it gives a request away, no more.
    pub(in crate::source) async fn take(&self) {
        let at = {
            let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let slot = (*due).max(now);
            *due = slot + self.interval;
            slot.checked_sub(self.ahead).unwrap_or(now)
        };
        sleep_until(at).await;
    }

    /// Nobody asks for this long.
    pub(in crate::source) fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait + self.ahead;
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        *due = (*due).max(until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_and_then_an_even_pace() {
        let budget = Budget::per_minute(60, 5);
        let begin = Instant::now();
        let mut times = Vec::new();
        for _ in 0..8 {
            budget.take().await;
            times.push(begin.elapsed().as_secs());
        }
        assert_eq!(times, [0, 0, 0, 0, 0, 1, 2, 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_for_everybody() {
        let budget = Budget::per_minute(6_000, 100);
        budget.take().await;
        budget.pause(Duration::from_secs(30));
        let begin = Instant::now();
        budget.take().await;
        assert!(begin.elapsed() >= Duration::from_secs(30));
    }
}
