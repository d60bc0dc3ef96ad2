//! What a test of a source finds.

pub use crate::form::Finding;

use super::pull::Trouble;

impl Finding {
    pub(super) fn of(feed: &str, asked: Result<(), Trouble>) -> Self {
        let fault = asked.err().map(|trouble| (trouble.what, trouble.todo));
        Self { feed: feed.to_owned(), fault }
    }
}
