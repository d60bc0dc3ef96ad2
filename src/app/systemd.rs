//! What systemd is told: ready, reloading, stopping, a line of status, and that we live. Without systemd nothing is said.
//!
//! Facts: sd_notify(3). The descriptor store and sockets from units are `net::Sockets`' matter.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

use crate::clock::monotonic;

/// Time since a part that must live last gave a sign of life.
pub(super) type Age = Box<dyn Fn() -> Duration + Send + Sync>;

/// The queue is open and the listeners are bound.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The settings are being read again; [`ready`] must follow.
pub(super) fn reloading() {
    // `Type=notify-reload` wants the time of the request, to tell it from an older one.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the service manager could not be told of the reload"),
    }
}

/// We are stopping.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// The line that `systemctl status` shows.
pub(super) fn status(line: &str) {
    tell(&[NotifyState::Status(line)]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager could not be told our state");
    }
}

/// Feeds systemd's watchdog for ever, if it has one for us: twice in its time, and only while every part's last sign of
/// life is younger than that time.
pub(super) async fn feed_watchdog(parts: Vec<(&'static str, Age)>) {
    match sd_notify::watchdog_enabled() {
        Some(limit) => feed(limit, parts, || tell(&[NotifyState::Watchdog])).await,
        None => std::future::pending().await,
    }
}

async fn feed(limit: Duration, parts: Vec<(&'static str, Age)>, mut food: impl FnMut()) {
    let mut ticks = interval((limit / 2).max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let dead = parts.iter().find(|(_, age)| age() > limit);
        match dead {
            None => food(),
            Some((part, age)) => {
                let silent_secs = age().as_secs_f32();
                tracing::error!(part, silent_secs, "no sign of life; the watchdog is not fed");
            }
        }
    }
}

/// A part that beats. Clones share the beat.
#[derive(Clone, Debug)]
pub(super) struct Pulse {
    origin: Instant,
    /// Milliseconds from `origin` to the last beat.
    last: Arc<AtomicU64>,
}

impl Pulse {
    /// A part that has just beaten.
    pub(super) fn new() -> Self {
        Self { origin: monotonic(), last: Arc::default() }
    }

    /// To be called by the part, whenever it has gone once around its loop.
    pub(super) fn beat(&self) {
        let now = monotonic().duration_since(self.origin);
        self.last.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Time since the last beat.
    pub(super) fn age(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        monotonic().duration_since(self.origin).saturating_sub(last)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_starves_when_any_part_stops_beating() {
        let limit = Duration::from_secs(10);
        let last = Arc::new(AtomicU64::new(0));
        let begin = Instant::now();
        let writer = Arc::clone(&last);
        let age = move || begin.elapsed().saturating_sub(Duration::from_secs(writer.load(Ordering::Relaxed)));
        let parts: Vec<(&str, Age)> =
            vec![("supervisor", Box::new(|| Duration::ZERO)), ("queue writer", Box::new(age))];
        let fed = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&fed);
        let feeding = feed(limit, parts, move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        tokio::pin!(feeding);
        let run = |secs| Duration::from_secs(secs);
        let _ = timeout(run(9), &mut feeding).await;
        assert_eq!(fed.load(Ordering::Relaxed), 2, "at once and after half the time");
        last.store(9, Ordering::Relaxed);
        let _ = timeout(run(21), &mut feeding).await;
        let before = fed.load(Ordering::Relaxed);
        assert!((4..=5).contains(&before), "the writer stopped at 9 s: {before}");
        let _ = timeout(run(600), &mut feeding).await;
        assert_eq!(fed.load(Ordering::Relaxed), before, "nothing more");
        last.store(u64::MAX / 2, Ordering::Relaxed);
        let _ = timeout(run(11), &mut feeding).await;
        assert!(fed.load(Ordering::Relaxed) > before, "it beats again");
    }
}
