//! Secrets, keys and certificates that the settings name by file: brought here on the page, so that nobody needs another way
//! into the box.
//!
//! In: a name and a text. Out: a file in the state folder that only our user reads, and its path for the settings. Nothing of
//! what is in a file is ever shown again. Bounded: files, and their size.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use crate::clock::Timestamp;
use crate::durable;
use crate::secret::Secret;

/// A box with every kind of source has about a dozen.
const MOST: usize = 64;
/// A bundle of all public CAs is 250 KiB.
const LARGEST: usize = 256 << 10;
/// A source's id has 64 characters at most, and its key stands behind it.
const LONGEST_NAME: usize = 128;
/// What was typed into a form that is not yet in use; nothing else is called so.
const TYPED: &str = ".typed-";
/// Forms that somebody began. The oldest goes where there are more.
const MOST_TYPED: usize = 16;
/// Who began a form ends it within this, or types its secrets again.
const TYPED_FOR: Duration = Duration::from_secs(3_600);

/// One file, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) bytes: u64,
    /// RFC 3339.
    pub(super) changed: String,
}

/// Why a file was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error(
        "this is no name for a file; write small letters, digits, dots, - and _, a letter or digit first, {LONGEST_NAME} at most"
    )]
    BadName,
    #[error("there is nothing in it; paste the secret, the key or the certificate")]
    Empty,
    #[error("this is larger than 256 KiB; nothing that the settings name is")]
    TooLarge,
    #[error("there are {MOST} files already; remove one that nothing names")]
    TooMany,
    #[error("there is no file of this name")]
    NoFile,
    #[error("the settings name this file; take it out of them first")]
    Named,
    #[error("the disk cannot do it: {0}; see the disk's state on the overview")]
    Disk(#[source] io::Error),
}

impl FileError {
    /// The field of the form that it is about.
    pub(super) fn field(&self) -> Option<&'static str> {
        match self {
            Self::BadName => Some("name"),
            Self::Empty | Self::TooLarge => Some("content"),
            _ => None,
        }
    }
}

/// The folder.
#[derive(Clone, Debug)]
pub(super) struct Files {
    folder: PathBuf,
}

impl Files {
    pub(super) fn of(state_dir: &Path) -> Self {
        Self { folder: state_dir.join("files") }
    }

    fn path(&self, name: &str) -> Result<PathBuf, FileError> {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
        let starts = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        // What a power cut leaves of a file ends so.
        let is_left = name.ends_with(".new") || name.contains(TYPED);
        if !starts || is_left || name.len() > LONGEST_NAME || !name.chars().all(good) {
            return Err(FileError::BadName);
        }
        Ok(self.folder.join(name))
    }

    /// All files, by name. Blocks on the disk.
    pub(super) fn list(&self) -> io::Result<Vec<Shown>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut files = Vec::new();
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            let Ok(path) = self.path(&name) else { continue };
            let since = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
            let changed = Timestamp::default().after(since).to_string();
            files.push(Shown { name, path: path.display().to_string(), bytes: metadata.len(), changed });
        }
        files.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(files)
    }

    /// Puts a text into a file, in place of what was in it; its path. Blocks on the disk.
    ///
    /// Lines end as files do, not as forms do, and a text of one line has no line end: secrets are read as they are.
    pub(super) fn put(&self, name: &str, text: &Secret<String>) -> Result<String, FileError> {
        let path = self.path(name)?;
        let files = self.list().map_err(FileError::Disk)?;
        if files.len() >= MOST && !files.iter().any(|file| file.name == name) {
            return Err(FileError::TooMany);
        }
        self.write(&path, text)
    }

    /// Keeps what was typed into a form beside the file of this name, until the form is taken into use; its own name. Blocks on the
    /// disk.
    pub(super) fn type_in(&self, name: &str, text: &Secret<String>) -> Result<String, FileError> {
        self.path(name)?;
        self.sweep(MOST_TYPED - 1);
        let typed = format!("{name}{TYPED}{:016x}", rand::random::<u64>());
        self.write(&self.folder.join(&typed), text).map(|_| typed)
    }

    /// The path of what was typed into a form for the file of this name, while it is kept.
    pub(super) fn typed(&self, name: &str, typed: &str) -> Option<String> {
        let random = typed.strip_prefix(name)?.strip_prefix(TYPED)?;
        let is_one = self.path(name).is_ok() && random.bytes().all(|byte| byte.is_ascii_hexdigit());
        let path = self.folder.join(typed);
        (is_one && path.exists()).then(|| path.display().to_string())
    }

    /// Puts what was typed in the place of the file of this name; its path. Blocks on the disk.
    pub(super) fn take_over(&self, name: &str, typed: &str) -> Result<String, FileError> {
        let path = self.path(name)?;
        let files = self.list().map_err(FileError::Disk)?;
        if files.len() >= MOST && !files.iter().any(|file| file.name == name) {
            return Err(FileError::TooMany);
        }
        let taken = fs::rename(self.folder.join(typed), &path).and_then(|()| durable::sync_folder(&path));
        taken.map_err(FileError::Disk)?;
        Ok(path.display().to_string())
    }

    /// Takes away what was typed too long ago, and all but the newest so many. Blocks on the disk.
    pub(super) fn sweep(&self, keep: usize) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let typed = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().contains(TYPED));
        let age = |entry: &fs::DirEntry| entry.metadata().and_then(|file| file.modified()).ok()?.elapsed().ok();
        let mut by_age: Vec<_> = typed.map(|entry| (age(&entry).unwrap_or(TYPED_FOR), entry.path())).collect();
        by_age.sort();
        for (at, (age, path)) in by_age.into_iter().enumerate() {
            if at >= keep || age >= TYPED_FOR {
                // It is tried again with the next form.
                let _ = fs::remove_file(path);
            }
        }
    }

    fn write(&self, path: &Path, text: &Secret<String>) -> Result<String, FileError> {
        let text = Secret::new(text.expose().replace("\r\n", "\n").trim_end().to_owned());
        if text.expose().trim().is_empty() {
            return Err(FileError::Empty);
        }
        if text.expose().len() > LARGEST {
            return Err(FileError::TooLarge);
        }
        let end = if text.expose().contains('\n') { "\n" } else { "" };
        let whole = Secret::new(format!("{}{end}", text.expose()));
        let write = || {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
            durable::replace_secret(path, whole.expose().as_bytes())
        };
        write().map_err(FileError::Disk)?;
        Ok(path.display().to_string())
    }

    /// Takes a file away that the settings do not name. Blocks on the disk.
    pub(super) fn remove(&self, name: &str, settings: &str) -> Result<(), FileError> {
        let path = self.path(name)?;
        if settings.contains(&format!("{}\"", path.display())) {
            return Err(FileError::Named);
        }
        match fs::remove_file(&path) {
            Ok(()) => durable::sync_folder(&path).map_err(FileError::Disk),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(FileError::NoFile),
            Err(error) => Err(FileError::Disk(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn a_secret_is_kept_as_it_was_pasted_for_us_alone_and_a_certificate_with_its_lines() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::of(folder.path());
        assert_eq!(files.list().unwrap(), []);
        let path = files.put("duo-secret", &secret("abc+/= \r\n")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "abc+/=");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let pem = files.put("ca.pem", &secret("-----BEGIN\r\nabc\r\n-----END\r\n\r\n")).unwrap();
        assert_eq!(fs::read_to_string(pem).unwrap(), "-----BEGIN\nabc\n-----END\n");
        files.put("duo-secret", &secret("another")).unwrap();
        let names: Vec<_> = files.list().unwrap().into_iter().map(|file| (file.name, file.bytes)).collect();
        assert_eq!(names, [("ca.pem".to_owned(), 24), ("duo-secret".to_owned(), 7)]);
        let settings = format!("secret_key_file = \"{path}\"");
        assert!(matches!(files.remove("duo-secret", &settings), Err(FileError::Named)));
        files.remove("duo-secret", "").unwrap();
        assert!(matches!(files.remove("duo-secret", ""), Err(FileError::NoFile)));
    }

    #[test]
    fn no_name_leads_out_of_the_folder_and_everything_has_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::of(folder.path());
        for name in [
            "",
            ".",
            "..",
            "../x",
            "/etc/passwd",
            "a/b",
            "A",
            ".hidden",
            "x.new",
            "x.typed-1",
            "a\0b",
            "ä",
            &"a".repeat(129),
        ] {
            assert!(matches!(files.put(name, &secret("x")), Err(FileError::BadName)), "{name}");
            assert!(matches!(files.remove(name, ""), Err(FileError::BadName)), "{name}");
        }
        assert!(matches!(files.put("a", &secret(" \r\n")), Err(FileError::Empty)));
        assert!(matches!(files.put("a", &secret(&"x".repeat(LARGEST + 1))), Err(FileError::TooLarge)));
        for number in 0..MOST {
            files.put(&format!("file{number}"), &secret("x")).unwrap();
        }
        assert!(matches!(files.put("a", &secret("x")), Err(FileError::TooMany)));
        files.put("file1", &secret("y")).unwrap();
    }

    #[test]
    fn what_was_typed_waits_unseen_until_it_is_taken_over_or_too_old() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::of(folder.path());
        files.put("source-duo-secret", &secret("old")).unwrap();
        let typed = files.type_in("source-duo-secret", &secret("new\r\n")).unwrap();
        let path = files.typed("source-duo-secret", &typed).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(files.list().unwrap().len(), 1);
        for other in ["source-duo-secret", "source-duo-secret.typed-../x", "../x", ""] {
            assert_eq!(files.typed("source-duo-secret", other), None, "{other}");
        }
        assert_eq!(files.typed("source-duo", &typed), None, "it belongs to another field");
        let kept = files.take_over("source-duo-secret", &typed).unwrap();
        assert_eq!(
            (fs::read_to_string(kept).unwrap().as_str(), files.typed("source-duo-secret", &typed)),
            ("new", None)
        );
        let many: Vec<String> = (0..20).map(|_| files.type_in("a", &secret("x")).unwrap()).collect();
        assert_eq!(many.iter().filter(|typed| files.typed("a", typed).is_some()).count(), MOST_TYPED);
        let old = std::time::SystemTime::UNIX_EPOCH;
        fs::File::open(files.typed("a", &many[19]).unwrap()).unwrap().set_modified(old).unwrap();
        files.sweep(MOST_TYPED);
        assert_eq!(files.typed("a", &many[19]), None);
        assert_eq!(files.list().unwrap().len(), 1);
    }
}
