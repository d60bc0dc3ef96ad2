//! How the queue is, in words: full, on a slow disk, or on one that does not take anything.

use std::io;
use std::time::Duration;

use super::WhenFull;
use super::core::Core;
use crate::clock;
use crate::quantity::size;
use crate::status::{Gauge, Health};

/// How long it is shown that something found no room: what fits again at once may not for the next.
const CROWDED_SHOWN: Duration = Duration::from_secs(10);
/// Flash that cleans up behind itself takes a second now and then; what takes longer holds senders back.
pub(super) const SLOW: Duration = Duration::from_secs(2);
/// How long it is shown that the disk was slow: long enough for a person to see it.
const SLOW_SHOWN: Duration = Duration::from_secs(60);

impl Core {
    /// Shows how the queue is.
    pub(super) fn report(&self) {
        let inner = self.lock();
        let limit = self.config.max_size.bytes();
        let counters = self.status.counters();
        counters.set(Gauge::MemoryBytes, inner.held_bytes);
        counters.set(Gauge::QueueLimitBytes, limit);
        counters.set(Gauge::QueuedEvents, inner.outlets.values().map(|outlet| outlet.waiting).max().unwrap_or(0));
        let todo = match self.config.when_full {
            WhenFull::HoldBack => {
                "senders are held back until the gateway takes events again: look at the output's state"
            }
            WhenFull::DropOldest => "the oldest events are dropped to make room: look at the output's state",
            WhenFull::DropNewest => "new events are dropped: look at the output's state",
        };
        let now = clock::monotonic();
        let was_crowded = inner.crowded.is_some_and(|at| now - at < CROWDED_SHOWN);
        let was_slow = inner.slow.is_some_and(|at| now - at < SLOW_SHOWN);
        let health = if was_crowded || inner.disk_bytes >= limit - self.config.reserve().bytes() {
            let what = format!("the queue is full: {} of {} used", size(inner.disk_bytes), size(limit));
            Health::degraded(what, todo)
        } else if was_slow {
            let what = format!("the disk is slow: it took more than {} s to store what came in", SLOW.as_secs());
            let todo = "it is worn, or something else writes to it: look at the kernel log for disk errors, and replace it if this \
                        stays; senders that can wait are held back meanwhile";
            Health::degraded(what, todo)
        } else {
            Health::Healthy
        };
        drop(inner);
        self.status.set(health);
    }

    /// Shows how the disk is that refused to store something.
    pub(super) fn report_disk(&self, err: &io::Error) {
        let (what, todo) = match err.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT) => (
                "the disk is full: nothing can be stored".to_owned(),
                "free space on the data partition, or lower queue.max_size; senders are held back until then",
            ),
            _ => (
                format!("the disk refuses to store: {err}"),
                "look at the kernel log for disk errors and replace the disk; senders are held back until it works",
            ),
        };
        self.status.set(Health::failed(what, todo));
    }
}
