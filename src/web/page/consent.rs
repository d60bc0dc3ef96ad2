//! Consents that were asked for: which state belongs to which source, and who asked.
//!
//! In: what an administrator of the box begins. Out: whether an answer belongs to it. Bounded: how many wait, and how long each
//! does. In memory alone: after a restart one asks again.
//!
//! Facts: RFC 6749, 10.12: the state is what tells an answer to our question from one that somebody else made up.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The other administrator may have to be called on the telephone.
const WAITS: Duration = Duration::from_secs(3_600);
const MOST: usize = 16;

/// A consent that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// What comes back with the answer.
    pub(super) state: String,
    /// The source.
    pub(super) id: String,
    /// Where the answer goes.
    pub(super) redirect: String,
    /// The account that asked.
    pub(super) by: String,
    until: Instant,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Consents(Mutex<VecDeque<Waiting>>);

impl Consents {
    /// Begins one; its state.
    pub(super) fn begin(&self, id: &str, redirect: &str, by: &str) -> String {
        let state = format!("{:032x}", rand::random::<u128>());
        let until = Instant::now() + WAITS;
        let waiting = Waiting {
            state: state.clone(),
            id: id.to_owned(),
            redirect: redirect.to_owned(),
            by: by.to_owned(),
            until,
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|other| other.until > Instant::now());
        if all.len() >= MOST {
            all.pop_front();
        }
        all.push_back(waiting);
        state
    }

    /// The one of this state, if this account asked for it.
    pub(super) fn find(&self, state: &str, by: &str) -> Option<Waiting> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().find(|one| one.is(state, by)).cloned()
    }

    /// The same, which is good once.
    pub(super) fn take(&self, state: &str, by: &str) -> Option<Waiting> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = all.iter().position(|one| one.is(state, by))?;
        all.remove(at)
    }
}

impl Waiting {
    fn is(&self, state: &str, by: &str) -> bool {
        self.state == state && self.by == by && self.until > Instant::now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_good_once_for_who_asked_and_within_the_hour() {
        let consents = Consents::default();
        let state = consents.begin("office365", "https://edge/consent", "ada");
        assert_eq!(consents.find(&state, "eve"), None);
        assert_eq!(consents.find("other", "ada"), None);
        assert_eq!(consents.take(&state, "ada").unwrap().id, "office365");
        assert_eq!(consents.take(&state, "ada"), None);
        let states: Vec<String> = (0..=MOST).map(|_| consents.begin("a", "b", "ada")).collect();
        assert_eq!(consents.find(&states[0], "ada"), None, "the oldest had to go");
        assert!(consents.find(&states[1], "ada").is_some());
        tokio::time::advance(WAITS).await;
        assert_eq!(consents.find(&states[1], "ada"), None);
    }
}
