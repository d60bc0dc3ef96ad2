//! Passwords: which are taken, and how they are kept.
//!
//! Kept as Argon2id (`secret`). One is worked on at a time, so that logins cost at most its memory and one core, and few
//! wait: a flood of logins is turned away instead of queued.
//!
//! Rules after NIST SP 800-63B, 3.1.1: length, and not one that everybody tries; no demand for certain kinds of characters.

use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::AccountError;
use crate::secret::{self, Secret};

/// Shorter ones fall to a computer that tries them all (NIST SP 800-63B: at least 8, and 15 where nothing else is asked for).
const SHORTEST: usize = 12;
/// Hashing takes time by length; nobody types more.
const LONGEST: usize = 256;
/// Fewer different characters than this are a pattern.
const DIFFERENT: usize = 5;
/// Passwords that are tried first, those of 12 characters and more: one a line.
const COMMON: &str = include_str!("common.txt");
/// How long a login waits for those before it. A hash takes about 50 ms on a small board: 100 wait at most.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is wrong with a password that somebody chose for the account `name`; nothing if it is taken.
pub(super) fn fault(password: &str, name: &str) -> Option<String> {
    let lower = password.to_lowercase();
    let plain: String = lower.chars().filter(|c| c.is_alphanumeric()).collect();
    let different = lower.chars().collect::<std::collections::BTreeSet<_>>().len();
    if password.chars().count() < SHORTEST {
        return Some(format!("this password is too short; write {SHORTEST} characters or more, such as four words"));
    }
    if password.len() > LONGEST {
        return Some(format!("this password is too long; write {LONGEST} characters or fewer"));
    }
    if different < DIFFERENT || COMMON.lines().any(|common| common == lower || common == plain) {
        return Some("this password is one of those that are tried first; think of another one".to_owned());
    }
    let without_name = plain.replace(&name.to_lowercase(), "").replace("sapphire", "").replace("password", "");
    if without_name.chars().count() < SHORTEST / 2 {
        return Some("this password is little more than a name; think of another one".to_owned());
    }
    None
}

/// Makes and checks hashes, one at a time.
#[derive(Debug)]
pub(super) struct Hasher {
    place: Semaphore,
    /// A hash that no password has: checked in place of an account that is not there, which must not be told by the time.
    nobody: String,
}

impl Hasher {
    pub(super) fn new() -> Self {
        // Its form and cost are right and its value is nobody's.
        let nobody = format!("$argon2id$v=19$m=19456,t=2,p=1${}${}", "A".repeat(22), "A".repeat(43));
        Self { place: Semaphore::new(1), nobody }
    }

    /// The hash of a password, as text (PHC string format).
    pub(super) async fn hash(&self, password: Secret<String>) -> Result<String, AccountError> {
        self.alone(move || secret::hash(&password)).await?.ok_or(AccountError::Broken)
    }

    /// Whether the password has this hash. Without a hash it takes the same time and is false.
    pub(super) async fn verify(&self, password: Secret<String>, hash: Option<&str>) -> Result<bool, AccountError> {
        let known = hash.is_some();
        let hash = hash.unwrap_or(&self.nobody).to_owned();
        let work = move || password.expose().len() <= LONGEST && secret::verify(&password, &hash);
        Ok(self.alone(work).await? && known)
    }

    /// Does it on a thread that may be busy for long, when nobody else does.
    async fn alone<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, AccountError> {
        let place = timeout(PATIENCE, self.place.acquire()).await.map_err(|_| AccountError::Busy)?;
        let _place = place.map_err(|_| AccountError::Broken)?;
        tokio::task::spawn_blocking(work).await.map_err(|_| AccountError::Broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_common_a_pattern_or_a_name_is_refused_and_the_rest_is_taken() {
        for (password, word) in [
            ("Kb4!x", "short"),
            ("aaaabbbbaaaabbbb", "tried first"),
            ("Password1234", "tried first"),
            ("1234567890ab", ""),
            ("sapphire-admin-12", "little more"),
            ("correct horse battery staple", ""),
            ("Käsekuchen mit Sahne", ""),
        ] {
            let fault = fault(password, "admin");
            assert_eq!(fault.is_none(), word.is_empty(), "{password}: {fault:?}");
            assert!(fault.unwrap_or_default().contains(word), "{password}");
        }
        assert!(fault(&"long enough ".repeat(30), "admin").unwrap().contains("too long"));
        assert!(COMMON.lines().all(|line| line.chars().count() >= SHORTEST && line == line.to_lowercase()));
    }

    #[tokio::test]
    async fn a_hash_is_of_its_password_alone_and_nobody_has_none() {
        let hasher = Hasher::new();
        let secret = |text: &str| Secret::new(text.to_owned());
        let hash = hasher.hash(secret("correct horse battery staple")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, hasher.hash(secret("correct horse battery staple")).await.unwrap());
        assert!(hasher.verify(secret("correct horse battery staple"), Some(&hash)).await.unwrap());
        assert!(!hasher.verify(secret("correct horse battery stapler"), Some(&hash)).await.unwrap());
        assert!(!hasher.verify(secret("correct horse battery staple"), None).await.unwrap());
        assert!(!hasher.verify(secret("correct horse battery staple"), Some("$argon2id$broken")).await.unwrap());
        assert!(secret::is_hash(&hasher.nobody), "an account that is not there takes as long");
    }
}
