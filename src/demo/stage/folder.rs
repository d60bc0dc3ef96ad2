//! The demo's state folder: always fresh, removed at the end unless it is to be kept.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::DemoError;

/// The folder. Dropping it removes it, unless it is kept.
#[derive(Debug)]
pub(in crate::demo) struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    /// Makes a temporary folder, or `path`, which must be new or empty and is always kept: it may lie where a person put
    /// other things. Readable by its owner alone.
    pub(in crate::demo) fn make(path: Option<&Path>, keep: bool) -> Result<Self, DemoError> {
        let (path, keep) = match path {
            Some(path) => (std::path::absolute(path)?, true),
            None => (std::env::temp_dir().join(format!("sapphire-edge-demo-{}", std::process::id())), keep),
        };
        let failed = |source| DemoError::Folder { path: path.clone(), source };
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => {}
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {
                if fs::read_dir(&path).map_err(failed)?.next().is_some() {
                    return Err(DemoError::NotEmpty { path });
                }
            }
            Err(err) => return Err(failed(err)),
        }
        Ok(Self { path, keep })
    }

    /// Makes a folder inside.
    pub(in crate::demo) fn inner(&self, name: &str) -> Result<PathBuf, DemoError> {
        let path = self.path.join(name);
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|source| DemoError::Folder { path: path.clone(), source })?;
        Ok(path)
    }

    /// Where it is.
    pub(in crate::demo) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it stays when the demo ends.
    pub(in crate::demo) fn is_kept(&self) -> bool {
        self.keep
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(%error, folder = %self.path.display(), "the demo's folder could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_folder_must_be_new_or_empty_and_stays() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("state");
        let folder = Folder::make(Some(&path), false).unwrap();
        folder.inner("box").unwrap();
        assert!(folder.is_kept());
        drop(folder);
        assert!(path.join("box").is_dir());
        assert!(matches!(Folder::make(Some(&path), false), Err(DemoError::NotEmpty { .. })));
        fs::remove_dir(path.join("box")).unwrap();
        assert!(Folder::make(Some(&path), false).is_ok());
        assert!(matches!(Folder::make(Some(&path.join("a/b")), false), Err(DemoError::Folder { .. })));
    }

    #[test]
    fn a_temporary_folder_goes_away_with_everything_in_it() {
        let folder = Folder::make(None, false).unwrap();
        let path = folder.path().to_owned();
        fs::write(folder.inner("box").unwrap().join("file"), "x").unwrap();
        assert!(!folder.is_kept());
        drop(folder);
        assert!(!path.exists());
    }
}
