//! The note that takes settings back when the program starts again before they were confirmed.
//!
//! Written before the settings file is, and removed when the new settings are to stay: whenever the power goes, the next start
//! finds either no note, or a note that holds what to go back to.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::durable;

/// What was before, what was put in its place, and who did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// The whole settings file.
    pub(super) before: String,
    pub(super) after: String,
    pub(super) by: String,
}

fn path(file: &Path) -> PathBuf {
    file.with_extension("trial")
}

/// From now on a start goes back to `note.before`. Blocks on the disk.
pub(super) fn begin(file: &Path, note: &Note) -> io::Result<()> {
    durable::replace(&path(file), &serde_json::to_vec(note).map_err(io::Error::other)?)
}

/// The settings stay as they are. Blocks on the disk.
pub(super) fn end(file: &Path) -> io::Result<()> {
    match fs::remove_file(path(file)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => durable::sync_folder(file),
    }
}

/// Goes back to what was before settings that nobody confirmed; who had changed them, if somebody had. To be called before
/// the settings are read. Blocks on the disk.
///
/// # Errors
/// When the file cannot be written: the settings stay as they are.
pub fn undo(file: &Path) -> io::Result<Option<String>> {
    let note = match fs::read(path(file)) {
        Ok(note) => note,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let note: Note = serde_json::from_slice(&note).map_err(|error| {
        let words = format!("{} is damaged ({error}); remove it", path(file).display());
        io::Error::new(io::ErrorKind::InvalidData, words)
    })?;
    // What somebody wrote by hand in the meantime is theirs.
    let now = fs::read(file).unwrap_or_default();
    if now != note.after.as_bytes() && now != note.before.as_bytes() {
        return end(file).map(|()| None);
    }
    durable::replace(file, note.before.as_bytes())?;
    end(file)?;
    Ok(Some(note.by))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The steps of an apply, a confirmation and a way back; the power goes after each number of them.
    #[test]
    fn whenever_the_power_goes_the_settings_are_the_old_or_the_confirmed_ones() {
        for confirmed in [true, false] {
            for steps in 0..=3 {
                let folder = tempfile::tempdir().unwrap();
                let file = folder.path().join("settings.toml");
                fs::write(&file, "old").unwrap();
                let note = Note { before: "old".into(), after: "new".into(), by: "ada".into() };
                let apply: [&dyn Fn(); 3] =
                    [&|| begin(&file, &note).unwrap(), &|| durable::replace(&file, b"new").unwrap(), &|| {
                        if confirmed {
                            end(&file).unwrap();
                        }
                    }];
                apply.iter().take(steps).for_each(|step| step());
                let undone = undo(&file).unwrap();
                let (is_new, was_begun) = (confirmed && steps == 3, steps >= 1);
                assert_eq!(
                    fs::read_to_string(&file).unwrap(),
                    if is_new { "new" } else { "old" },
                    "{confirmed} {steps}"
                );
                assert_eq!(undone.is_some(), was_begun && !is_new, "{confirmed} {steps}");
                assert_eq!(undo(&file).unwrap(), None);
            }
        }
    }

    #[test]
    fn what_was_written_by_hand_in_the_meantime_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.toml");
        begin(&file, &Note { before: "old".into(), after: "new".into(), by: "ada".into() }).unwrap();
        fs::write(&file, "by hand").unwrap();
        assert_eq!(undo(&file).unwrap(), None);
        assert_eq!(fs::read_to_string(&file).unwrap(), "by hand");
        assert!(!path(&file).exists());
    }

    #[test]
    fn a_note_that_cannot_be_read_changes_nothing_and_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.toml");
        fs::write(&file, "new").unwrap();
        fs::write(path(&file), "{").unwrap();
        assert!(undo(&file).unwrap_err().to_string().contains("remove it"));
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
    }
}
