//! What a USB stick brings, and what became of it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a USB stick brings. Debug shows no text: there may be a secret in it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Stick {
    /// An enrolment file.
    Holds {
        /// Its text.
        text: String,
    },
    /// A file of its name that is none.
    Unreadable {
        /// Why not.
        why: String,
    },
}

impl fmt::Debug for Stick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holds { .. } => f.write_str("Holds(***)"),
            Self::Unreadable { why } => f.debug_tuple("Unreadable").field(why).finish(),
        }
    }
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StickReply {
    /// In a word.
    pub outcome: StickOutcome,
    /// In a sentence.
    pub words: String,
    /// What somebody should do now; nothing where there is nothing to do.
    pub todo: Option<String>,
    /// What is to be put in the place of the file's text, whose secret the box has now.
    #[serde(default)]
    pub instead: Option<String>,
}

/// What became of it, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StickOutcome {
    /// The box has taken it.
    Taken,
    /// The box was set up so already.
    AsItWas,
    /// The box has not taken it, and is as it was.
    Refused,
}
