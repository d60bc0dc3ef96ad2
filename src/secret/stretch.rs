//! Passwords made long: as hashes to be kept, and as keys. The only file that names argon2.
//!
//! Argon2id (RFC 9106). Hashes of logins have the cost that OWASP's Password Storage Cheat Sheet (read 2026-11) gives: 19 MiB, two
//! passes, one lane. Keys are tried by whoever has the file, for as long as they like, and are made once in a while: they cost what
//! RFC 9106, 4 recommends where memory is short, 64 MiB and three passes.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};

use super::Secret;

/// What a hash or a key costs: memory in KiB, passes, lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) memory: u32,
    pub(super) passes: u32,
    pub(super) lanes: u32,
}

const LOGIN: Cost = Cost { memory: 19 * 1024, passes: 2, lanes: 1 };
/// Of keys that are made now.
pub(super) const KEY: Cost = Cost { memory: 64 * 1024, passes: 3, lanes: 1 };
/// Whoever made a file must not make us work for ever.
const MOST: Cost = Cost { memory: 256 * 1024, passes: 16, lanes: 4 };

impl Cost {
    fn argon2(self) -> Option<Argon2<'static>> {
        let params = Params::new(self.memory, self.passes, self.lanes, None).ok()?;
        Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
    }
}

/// The hash of a password, as text with its salt and cost (PHC string format). Takes 50 ms and 19 MiB; nothing where there is no
/// memory or no random number.
#[must_use]
pub fn hash(password: &Secret<String>) -> Option<String> {
    let mut salt = [0u8; 16];
    aws_lc_rs::rand::fill(&mut salt).ok()?;
    let hash: PasswordHash = LOGIN.argon2()?.hash_password_with_salt(password.expose().as_bytes(), &salt).ok()?;
    Some(hash.to_string())
}

/// Whether the password has this hash.
#[must_use]
pub fn verify(password: &Secret<String>, hash: &str) -> bool {
    let (Ok(hash), Some(argon2)) = (PasswordHash::new(hash), LOGIN.argon2()) else { return false };
    argon2.verify_password(password.expose().as_bytes(), &hash).is_ok()
}

/// Whether a text has the form of a hash.
#[must_use]
pub fn is_hash(text: &str) -> bool {
    PasswordHash::new(text).is_ok()
}

/// The key of a passphrase; nothing where that would cost too much.
pub(super) fn key(passphrase: &Secret<String>, salt: &[u8], cost: Cost) -> Option<Secret<[u8; 32]>> {
    let is_bearable = cost.memory <= MOST.memory && cost.passes <= MOST.passes && cost.lanes <= MOST.lanes;
    let argon2 = cost.argon2().filter(|_| is_bearable)?;
    let mut key = [0; 32];
    argon2.hash_password_into(passphrase.expose().as_bytes(), salt, &mut key).ok()?;
    Some(Secret::new(key))
}
