//! A value that must not be seen; what is made of passwords and passphrases; and who has signed something.
//!
//! Floor 0. Debug shows stars, there is no Display, and the memory is wiped on drop.

mod seal;
mod sign;
mod stretch;

pub use seal::{SealError, open, seal};
pub use sign::{KeysError, PublicKeys};
pub use stretch::{hash, is_hash, verify};

use std::fmt;

use zeroize::Zeroize;

/// Holds a secret; the only way to read it is [`Secret::expose`], which is easy to search for.
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Takes the value into custody.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The secret itself. Never log, print or store what this returns.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
