//! Who is logged in: random names in a cookie, held in memory alone. A restart of the program logs everybody out.
//!
//! Bounded: sessions in all and of one account; the ones that were not used for longest go first. A session ends when it was
//! idle for long, when it is old, when its account changes, or when its owner logs out.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::time::Instant;

use super::{AccountError, Role};

/// A box has a handful of users with a few browsers each.
const MOST: usize = 64;
const MOST_OF_ONE: usize = 8;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Visitor {
    /// The account.
    pub(in super::super) name: String,
    /// What it may do.
    pub(in super::super) role: Role,
    /// What proves that a form is one of ours: a page of another site does not know it.
    pub(in super::super) csrf: String,
}

impl Visitor {
    /// Whether a form or request carries what only our pages know.
    pub(in super::super) fn vouches(&self, csrf: &str) -> bool {
        verify_slices_are_equal(self.csrf.as_bytes(), csrf.as_bytes()).is_ok()
    }
}

#[derive(Debug)]
struct Session {
    visitor: Visitor,
    begun: Instant,
    used: Instant,
}

/// All sessions.
#[derive(Debug)]
pub(super) struct Sessions {
    idle: Duration,
    longest: Duration,
    /// By the hash of their names: what is in memory lets nobody in.
    all: Mutex<HashMap<Vec<u8>, Session>>,
}

fn key(token: &str) -> Vec<u8> {
    digest(&SHA256, token.as_bytes()).as_ref().to_vec()
}

fn random() -> Result<String, AccountError> {
    let mut bytes = [0u8; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| AccountError::Broken)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

impl Sessions {
    pub(super) fn new(idle: Duration, longest: Duration) -> Self {
        Self { idle, longest, all: Mutex::default() }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Session>> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        all.retain(|_, session| {
            now.duration_since(session.used) < self.idle && now.duration_since(session.begun) < self.longest
        });
        all
    }

    /// Begins one; its name is for the cookie.
    pub(super) fn begin(&self, name: &str, role: Role) -> Result<String, AccountError> {
        let (token, csrf, now) = (random()?, random()?, Instant::now());
        let mut all = self.all();
        let of_one = all.values().filter(|session| session.visitor.name == name).count();
        if all.len() >= MOST || of_one >= MOST_OF_ONE {
            let candidates = all.iter().filter(|(_, session)| of_one < MOST_OF_ONE || session.visitor.name == name);
            let oldest = candidates.min_by_key(|(_, session)| session.used).map(|(key, _)| key.clone());
            oldest.map(|key| all.remove(&key));
        }
        let visitor = Visitor { name: name.to_owned(), role, csrf };
        all.insert(key(&token), Session { visitor, begun: now, used: now });
        Ok(token)
    }

    /// Whose it is. `is_use`: a person did something; a page that renews itself does not keep a session alive.
    pub(super) fn visitor(&self, token: &str, is_use: bool) -> Option<Visitor> {
        let mut all = self.all();
        let session = all.get_mut(&key(token))?;
        if is_use {
            session.used = Instant::now();
        }
        Some(session.visitor.clone())
    }

    /// Ends one.
    pub(super) fn end(&self, token: &str) -> Option<Visitor> {
        self.all().remove(&key(token)).map(|session| session.visitor)
    }

    /// Ends all of an account.
    pub(super) fn end_of(&self, name: &str) {
        self.all().retain(|_, session| session.visitor.name != name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions() -> Sessions {
        Sessions::new(Duration::from_secs(600), Duration::from_secs(3_600))
    }

    #[tokio::test(start_paused = true)]
    async fn one_ends_when_idle_or_old_and_a_page_that_renews_itself_is_no_use() {
        let sessions = sessions();
        let token = sessions.begin("ada", Role::Administrator).unwrap();
        let visitor = sessions.visitor(&token, true).unwrap();
        assert!(visitor.vouches(&visitor.csrf.clone()) && !visitor.vouches("") && !visitor.vouches(&token));
        assert_eq!(sessions.visitor("", true), None);
        for _ in 0..59 {
            tokio::time::advance(Duration::from_secs(60)).await;
            assert!(sessions.visitor(&token, true).is_some());
        }
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(sessions.visitor(&token, true), None, "an hour is the longest");
        let token = sessions.begin("ada", Role::Administrator).unwrap();
        for _ in 0..9 {
            tokio::time::advance(Duration::from_secs(60)).await;
            assert!(sessions.visitor(&token, false).is_some());
        }
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(sessions.visitor(&token, false), None, "nobody did anything for ten minutes");
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_a_most_of_them_and_the_unused_go_first() {
        let sessions = sessions();
        let first = sessions.begin("ada", Role::Viewer).unwrap();
        let mut tokens = Vec::new();
        for at in 0..200 {
            tokio::time::advance(Duration::from_millis(1)).await;
            tokens.push(sessions.begin(&format!("user{}", at % 20), Role::Viewer).unwrap());
            assert!(sessions.all().len() <= MOST);
        }
        assert_eq!(sessions.visitor(&first, true), None);
        assert!(sessions.visitor(tokens.last().unwrap(), true).is_some());
        sessions.end_of("user19");
        assert_eq!(sessions.visitor(tokens.last().unwrap(), true), None);
        let kept = sessions.visitor(&tokens[198], true).unwrap();
        for _ in 0..20 {
            tokio::time::advance(Duration::from_millis(1)).await;
            sessions.begin(&kept.name, Role::Viewer).unwrap();
        }
        assert_eq!(sessions.all().values().filter(|session| session.visitor.name == kept.name).count(), MOST_OF_ONE);
        let last = sessions.begin("ada", Role::Viewer).unwrap();
        assert_eq!(sessions.end(&last).unwrap().name, "ada");
        assert_eq!(sessions.end(&last), None);
    }
}
