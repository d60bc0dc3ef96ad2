//! Why something with the fleet does not work, and what to do.

use std::time::Duration;

use crate::status::Cause;

/// The reason, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) what: String,
    pub(super) todo: String,
    pub(super) cause: Option<Cause>,
    /// When the far end wants to be asked again.
    pub(super) wait: Option<Duration>,
}

impl Trouble {
    pub(super) fn new(what: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { what: what.into(), todo: todo.into(), cause: None, wait: None }
    }

    /// What an error says: what is wrong, and behind a semicolon what to do, or else this.
    pub(super) fn said(error: &impl std::fmt::Display, todo: &str) -> Self {
        let words = error.to_string();
        let (what, todo) = words.split_once("; ").unwrap_or((&words, todo));
        Self::new(what, todo)
    }

    pub(super) fn because(self, cause: Cause) -> Self {
        Self { cause: Some(cause), ..self }
    }

    pub(super) fn after(self, wait: Duration) -> Self {
        Self { wait: Some(wait.max(Duration::from_secs(1))), ..self }
    }
}
