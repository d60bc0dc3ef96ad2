//! Copies of the settings that were in force, so that a box never stands still for a settings file that it cannot use.
//!
//! After an update a settings file may hold a key that the old firmware does not know; after a power cut or a slip of a hand
//! it may hold anything. Then the newest copy that this version understands is used, and the fault is shown. A copy is made
//! whenever settings have proved to work: all listeners bound. The copies stand beside the file, in `<name>.kept`; where that
//! folder cannot be made (a settings file in `/etc`), there are none.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::{Config, ConfigError, load};
use crate::clock::Timestamp;
use crate::durable;

/// As many as an administrator can go back by.
const COPIES: usize = 20;

/// The copies of one settings file.
#[derive(Clone, Debug)]
pub struct Kept {
    folder: PathBuf,
}

impl Kept {
    /// Those of this settings file.
    #[must_use]
    pub fn of(file: &Path) -> Self {
        Self { folder: file.with_extension("kept") }
    }

    /// Their numbers, oldest first.
    fn numbers(&self) -> Vec<u64> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let number =
            |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.strip_suffix(".toml")?.parse().ok();
        let mut numbers: Vec<u64> = entries.filter_map(number).collect();
        numbers.sort_unstable();
        numbers
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:06}.toml"))
    }

    /// Keeps a copy of the file, if it holds just these settings and differs from the newest copy. Blocks on the disk.
    ///
    /// # Errors
    /// When the copy cannot be made durable. Nothing is lost by that but the copy.
    pub fn keep(&self, file: &Path, config: &Config) -> io::Result<()> {
        let Ok(text) = load::read_file(file) else { return Ok(()) };
        let numbers = self.numbers();
        let newest = numbers.last().map(|number| self.path(*number));
        let is_kept = newest.is_some_and(|newest| fs::read_to_string(newest).is_ok_and(|kept| kept == text));
        if is_kept || Config::parse(file, &text).ok().as_ref() != Some(config) {
            return Ok(());
        }
        DirBuilder::new().recursive(true).mode(0o750).create(&self.folder)?;
        durable::replace(&self.path(numbers.last().map_or(1, |last| last + 1)), text.as_bytes())?;
        let old = numbers.len().saturating_sub(COPIES - 1);
        numbers.into_iter().take(old).try_for_each(|number| fs::remove_file(self.path(number)))
    }

    /// All copies, oldest first: their numbers, and since when their settings were in use. Blocks on the disk.
    #[must_use]
    pub fn copies(&self) -> Vec<(u64, Timestamp)> {
        let at = |number| {
            let changed = fs::metadata(self.path(number)).and_then(|file| file.modified()).ok()?;
            let since = changed.duration_since(UNIX_EPOCH).unwrap_or_default();
            Some((number, Timestamp::default().after(since)))
        };
        self.numbers().into_iter().filter_map(at).collect()
    }

    /// The text of a copy. Blocks on the disk.
    ///
    /// # Errors
    /// When there is none of that number.
    pub fn text(&self, number: u64) -> io::Result<String> {
        fs::read_to_string(self.path(number))
    }

    /// The newest copy that `read` understands, and where it is.
    pub fn newest<T>(&self, read: impl Fn(&Path) -> Result<T, ConfigError>) -> Option<(PathBuf, T)> {
        let paths = self.numbers().into_iter().rev().map(|number| self.path(number));
        paths.into_iter().find_map(|path| read(&path).ok().map(|found| (path, found)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(folder: &Path, text: &str) -> (PathBuf, Config) {
        let file = folder.join("settings.toml");
        fs::write(&file, text).unwrap();
        let config = Config::parse(&file, text).unwrap_or_default();
        (file, config)
    }

    #[test]
    fn the_newest_copy_that_is_understood_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let (file, first) = settings(folder.path(), "name = \"first\"");
        let kept = Kept::of(&file);
        assert!(kept.newest(Config::load).is_none());
        kept.keep(&file, &first).unwrap();
        kept.keep(&file, &first).unwrap();
        assert_eq!(kept.numbers(), [1], "one copy of what did not change");
        let (_, second) = settings(folder.path(), "name = \"second\"");
        kept.keep(&file, &first).unwrap();
        assert_eq!(kept.numbers(), [1], "the file is not what is in force");
        kept.keep(&file, &second).unwrap();
        let newer = kept.path(3);
        fs::write(&newer, "of_a_later_version = 1").unwrap();
        fs::write(folder.path().join("settings.kept/000004.new"), "name = \"half").unwrap();
        let (path, config) = kept.newest(Config::load).unwrap();
        assert_eq!((path, config), (kept.path(2), second));
    }

    #[test]
    fn no_more_than_twenty_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..30 {
            let (file, config) = settings(folder.path(), &format!("name = \"box-{number}\""));
            Kept::of(&file).keep(&file, &config).unwrap();
        }
        let kept = Kept::of(&folder.path().join("settings.toml"));
        assert_eq!(kept.numbers(), (11..=30).collect::<Vec<u64>>());
        let copies = kept.copies();
        assert_eq!((copies.len(), copies[0].0), (20, 11));
        assert!(copies.iter().all(|(_, at)| at.micros() > 0));
        assert_eq!(kept.text(30).unwrap(), "name = \"box-29\"");
        assert!(kept.text(10).is_err());
        assert_eq!(kept.newest(Config::load).unwrap().1.name.as_deref(), Some("box-29"));
    }
}
