//! An even pace for what sends.

use tokio::time::Instant;

/// What is due at a moment. A sender that was held up catches up.
#[derive(Debug)]
pub(super) struct Pace {
    start: Instant,
    /// Events a second.
    rate: f64,
    pub(super) sent: u64,
}

impl Pace {
    /// Begins now.
    pub(super) fn new(rate: f64) -> Self {
        Self { start: Instant::now(), rate, sent: 0 }
    }

    /// Events that should have been sent by now and were not.
    pub(super) fn due(&self) -> u64 {
        let planned = self.start.elapsed().as_secs_f64() * self.rate;
        (planned as u64).saturating_sub(self.sent)
    }
}
