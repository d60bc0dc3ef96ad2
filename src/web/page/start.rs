//! Whether the first steps of a new box are left to be done.
//!
//! They are while the box has no source or no output, unless an administrator said that this is so on purpose.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::view::Kinds;
use crate::durable;

/// The note that somebody has ended them.
#[derive(Debug)]
pub(super) struct Start {
    file: PathBuf,
    is_ended: AtomicBool,
}

impl Start {
    /// Of the page's folder. Blocks on the disk.
    pub(super) fn of(folder: &Path) -> Self {
        let file = folder.join("start-ended");
        let is_ended = AtomicBool::new(file.exists());
        Self { file, is_ended }
    }

    /// Whether something is left of them.
    pub(super) fn is_left(&self, kinds: &Kinds) -> bool {
        let has_all = !kinds.sources.is_empty() && !kinds.outputs.is_empty();
        !has_all && !self.is_ended.load(Ordering::Relaxed)
    }

    /// Nobody wants them any more.
    ///
    /// # Errors
    /// When that cannot be noted.
    pub(super) async fn end(&self) -> io::Result<()> {
        let file = self.file.clone();
        let noted = tokio::task::spawn_blocking(move || durable::replace(&file, b""));
        noted.await.unwrap_or_else(|error| Err(io::Error::other(error)))?;
        self.is_ended.store(true, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn they_are_left_until_there_is_a_source_and_an_output_or_somebody_ends_them() {
        let folder = tempfile::tempdir().unwrap();
        let start = Start::of(folder.path());
        let (mut kinds, word) = (Kinds::default(), || ("x".to_owned(), "y".to_owned()));
        assert!(start.is_left(&kinds));
        kinds.sources.extend([word()]);
        assert!(start.is_left(&kinds), "events have nowhere to go");
        let all = Kinds { outputs: [word()].into(), ..kinds.clone() };
        assert!(!start.is_left(&all));
        start.end().await.unwrap();
        assert!(!start.is_left(&kinds) && !Start::of(folder.path()).is_left(&kinds));
    }
}
