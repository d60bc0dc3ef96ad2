//! How long to wait before the next try.

use std::time::Duration;

use rand::Rng as _;

/// Waits that double from a least to a most, each shortened at random by up to half, so that many boxes that lost the same
/// gateway do not come back in step.
#[derive(Clone, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// Waits between `min` and `max`. A `min` below 1 ms is taken as 1 ms (a try must not spin), a `max` below `min` as
    /// `min`; the settings refuse both earlier.
    #[must_use]
    pub fn new(min: Duration, max: Duration) -> Self {
        let min = min.max(Duration::from_millis(1));
        Self { min, max: max.max(min), next: min }
    }

    /// The wait before the next try: between half of and the whole of the current step.
    pub fn next_delay(&mut self) -> Duration {
        let step = self.next;
        self.next = step.saturating_mul(2).min(self.max);
        step.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// Starts again from the least wait, after a success.
    pub fn reset(&mut self) {
        self.next = self.min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_most_and_start_again_after_a_success() {
        let secs = Duration::from_secs;
        let mut backoff = Backoff::new(secs(1), secs(60));
        for step in [1, 2, 4, 8, 16, 32, 60, 60] {
            let delay = backoff.next_delay();
            assert!(delay >= secs(step) / 2 && delay <= secs(step), "{delay:?} of {step}");
        }
        backoff.reset();
        assert!(backoff.next_delay() <= secs(1));
    }

    #[test]
    fn a_wait_is_never_zero_and_never_over_the_most() {
        let mut backoff = Backoff::new(Duration::ZERO, Duration::ZERO);
        for _ in 0..100 {
            let delay = backoff.next_delay();
            assert!(delay >= Duration::from_micros(500) && delay <= Duration::from_millis(1));
        }
    }
}
