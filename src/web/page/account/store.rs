//! The accounts on the disk: a small file that only our user reads.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Role;
use crate::durable;

/// The form of the file. An older program must not take a newer file for an empty one: the box would be there to be claimed.
const FORM: u32 = 1;
/// A box has a handful of users.
pub(super) const MOST: usize = 32;
/// A name stands in tables and in events.
const LONGEST_NAME: usize = 32;

/// One account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Account {
    pub(super) role: Role,
    /// Argon2id (PHC string format).
    pub(super) hash: String,
    /// RFC 3339.
    pub(super) created: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_login: Option<String>,
}

/// All accounts, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Book {
    form: u32,
    pub(super) accounts: BTreeMap<String, Account>,
}

impl Book {
    /// What was saved; an empty one where nothing was. Blocks on the disk.
    ///
    /// # Errors
    /// When the file cannot be read, or is not one of ours: it is never taken for an empty one.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { form: FORM, accounts: BTreeMap::new() });
            }
            Err(error) => return Err(error),
        };
        let damaged = |what: String| {
            let words = format!(
                "{} is damaged ({what}); take it away (rm, as root) to claim the box anew with its code",
                path.display()
            );
            io::Error::new(io::ErrorKind::InvalidData, words)
        };
        let book: Self = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if book.form != FORM {
            return Err(damaged(format!("it has the form {} of another version", book.form)));
        }
        Ok(book)
    }

    /// Saves it, durably. Blocks on the disk.
    pub(super) fn save(&self, path: &Path) -> io::Result<()> {
        durable::replace_secret(path, &serde_json::to_vec_pretty(self).map_err(io::Error::other)?)
    }

    /// How many administrate.
    pub(super) fn administrators(&self) -> usize {
        self.accounts.values().filter(|account| account.role == Role::Administrator).count()
    }
}

/// What is wrong with a name for a new account.
pub(super) fn name_fault(name: &str) -> Option<String> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    (!starts || !name.chars().all(good) || name.len() > LONGEST_NAME).then(|| {
        format!("this is no name for an account; write a small letter, then small letters, digits, dots, - and _, {LONGEST_NAME} at most")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_damaged_or_of_a_later_version_is_never_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("accounts.json");
        let mut book = Book::open(&path).unwrap();
        assert!(book.accounts.is_empty());
        let account = Account { role: Role::Viewer, hash: "x".into(), created: "y".into(), last_login: None };
        book.accounts.insert("ada".into(), account);
        book.save(&path).unwrap();
        assert_eq!(Book::open(&path).unwrap(), book);
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(Book::open(&path).is_err(), "{cut}");
        }
        let later = String::from_utf8(whole).unwrap().replace("\"form\": 1", "\"form\": 2");
        fs::write(&path, later).unwrap();
        assert!(Book::open(&path).unwrap_err().to_string().contains("another version"));
    }

    #[test]
    fn names_stand_in_tables_and_events_without_escaping() {
        for name in ["a", "ada", "ada.lovelace-2", "a_b"] {
            assert_eq!(name_fault(name), None, "{name}");
        }
        for name in ["", "Ada", "1a", "a b", "a<b", "ä", "a/../b", &"a".repeat(33)] {
            assert!(name_fault(name).is_some(), "{name}");
        }
    }
}
