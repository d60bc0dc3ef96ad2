//! What can be asked about the settings, and what is answered.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::secret::Secret;

use super::Card;

/// What can be asked about the settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Settings {
    /// How they are.
    Show,
    /// The text of a kept copy.
    Copy {
        /// Its number.
        number: u64,
    },
    /// What is wrong with a text; nothing is changed.
    Check {
        /// The whole file.
        text: String,
    },
    /// Put an enrolment file into the settings: answered with the text to apply; the gateway's CA is kept in the box already.
    Enrol {
        /// The enrolment file's text.
        text: String,
    },
    /// Put a change of single keys into the settings: answered with [`SettingsReply::Edited`]; it is not in use.
    Edit(Edit),
    /// Give a network card other addresses: answered with the text to apply.
    Network {
        /// The card as it is to be.
        card: Card,
    },
    /// Make a backup of the settings and of what they name: answered with [`SettingsReply::Backup`].
    Backup {
        /// What seals it.
        passphrase: Passphrase,
    },
    /// Put the files of a backup into the box: answered with [`SettingsReply::Restored`]; its settings are not in use.
    Restore {
        /// The backup, in base64.
        sealed: String,
        /// What it was sealed with.
        passphrase: Passphrase,
    },
    /// Take a text into use.
    Apply {
        /// The whole file.
        text: String,
        /// The version that it was made from, as [`SettingsNow`] said it: another one in the meantime is not overwritten.
        version: String,
        /// Who wants it, for the log and the far ends.
        by: String,
    },
    /// Keep what waits to be confirmed.
    Confirm {
        /// Who.
        by: String,
    },
    /// Go back to what was before what waits to be confirmed.
    TakeBack {
        /// Who.
        by: String,
    },
}

/// A passphrase on its way; Debug shows stars.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Passphrase(String);

impl Passphrase {
    /// This one.
    #[must_use]
    pub fn new(words: &Secret<String>) -> Self {
        Self(words.expose().clone())
    }

    /// In custody.
    #[must_use]
    pub fn into_secret(self) -> Secret<String> {
        Secret::new(self.0)
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A change of single keys. Tables are named as in [`SettingsProblem::key`]: `network`, `source[firewalls].tls`, and nothing for
/// the top of the file; an entry of a list by its `id` or its `name`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Edit {
    /// Sets keys of a table, which is made where it is not there.
    Set {
        /// The table, or the entry of a list.
        table: String,
        /// The keys: null takes one out, a table in it is changed by the same rules (RFC 7396), the rest is put in its place.
        values: Map<String, Value>,
    },
    /// Adds an entry to a list.
    Add {
        /// The list: `source`, `source[ces].device`.
        list: String,
        /// The entry's keys.
        values: Map<String, Value>,
    },
    /// Takes an entry out of its list.
    Remove {
        /// The entry: `source[firewalls]`.
        entry: String,
    },
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingsReply {
    /// How they are.
    Now(SettingsNow),
    /// The text of a copy, or of the settings with an enrolment or other addresses in them.
    Copy(String),
    /// The settings with a change in them, to be looked at or applied.
    Edited {
        /// The whole file.
        text: String,
        /// What it says, as in [`SettingsNow`].
        values: Value,
        /// The version that it was made from.
        version: String,
    },
    /// A backup.
    Backup {
        /// Its bytes, in base64.
        sealed: String,
        /// Files that are not in it, each with why not.
        left_out: Vec<String>,
    },
    /// The files of a backup are in the box.
    Restored {
        /// Its settings, which lead to them.
        text: String,
        /// What somebody should know of it.
        notes: Vec<String>,
    },
    /// The text was looked at; it is not in use.
    Checked {
        /// What is wrong with it; nothing: it can be applied.
        problems: Vec<SettingsProblem>,
        /// What is different from the text in use, as a unified diff; empty: nothing.
        diff: String,
    },
    /// The text is in use.
    Applied {
        /// Seconds within which it has to be confirmed, or it is taken back; nothing where it stays.
        confirm_within: Option<u64>,
        /// Keys that take effect at the next start of the program.
        later: Vec<String>,
    },
    /// It was in use and is not any more; why.
    TakenBack(String),
    /// It was done.
    Done,
}

/// How the settings are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsNow {
    /// The file's path.
    pub file: String,
    /// The whole file.
    pub text: String,
    /// What it says, key by key, without defaults; null where it is no TOML.
    #[serde(default)]
    pub values: Value,
    /// What tells this text from another one.
    pub version: String,
    /// What waits to be confirmed.
    pub trial: Option<SettingsTrial>,
    /// The copies of settings that have worked, the newest first.
    pub copies: Vec<SettingsCopy>,
}

/// Settings that are taken back unless somebody confirms them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsTrial {
    /// Who wanted them.
    pub by: String,
    /// Seconds that are left.
    pub seconds_left: u64,
}

/// A copy of settings that have worked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsCopy {
    /// Its number; a later one has a larger number.
    pub number: u64,
    /// Since when they were in use (RFC 3339).
    pub at: String,
}

/// One thing that is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsProblem {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Path of the key; empty where the text is no TOML.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub advice: String,
}
