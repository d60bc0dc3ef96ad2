//! Log lines about what peers do wrong: one now and then, with how many were left out.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Often enough to see that it goes on, seldom enough that a port scan does not fill the log.
const EVERY: Duration = Duration::from_secs(10);

/// Lets one line through every 10 s.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<(Option<Instant>, u64)>);

impl Seldom {
    /// Whether a line may be written now: how many were left out since the last, or `None` if this one is left out too.
    pub fn due(&self) -> Option<u64> {
        let (last, left_out) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if last.is_some_and(|last| now.duration_since(last) < EVERY) {
            *left_out += 1;
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_in_10_seconds_with_the_number_of_those_left_out() {
        let seldom = Seldom::default();
        assert_eq!((seldom.due(), seldom.due(), seldom.due()), (Some(0), None, None));
        tokio::time::advance(EVERY).await;
        assert_eq!((seldom.due(), seldom.due()), (Some(2), None));
    }
}
