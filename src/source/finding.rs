//! What a test of a source finds.

use super::pull::Trouble;

/// What one feed of a source says when it is asked once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The feed, or the part of the settings.
    pub feed: String,
    /// `None` if all is well, else what is wrong and what to do.
    pub fault: Option<(String, String)>,
}

impl Finding {
    pub(super) fn right(feed: &str) -> Self {
        Self { feed: feed.to_owned(), fault: None }
    }

    pub(super) fn wrong(feed: &str, what: String, todo: String) -> Self {
        Self { feed: feed.to_owned(), fault: Some((what, todo)) }
    }

    pub(super) fn of(feed: &str, asked: Result<(), Trouble>) -> Self {
        let fault = asked.err().map(|trouble| (trouble.what, trouble.todo));
        Self { feed: feed.to_owned(), fault }
    }
}
