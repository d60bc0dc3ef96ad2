//! A backup of the settings: the file, and the files of secrets, keys and certificates that it names, sealed with a passphrase.
//!
//! In: texts. Out: bytes to keep elsewhere (`secret::seal`, which says their form), and the way back. What is sealed is JSON: form,
//! time, version, the box's name, the state folder, the settings' text, and each file with its path and its content in base64.
//! Nothing is read or written here. Bounded: all files together.
//!
//! Not in it: accounts, the page's own certificate, the queue. A box that is set up anew gets new ones.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::secret::{self, SealError, Secret};

/// The form that is understood.
const FORM: u32 = 1;
/// All files together; a box with every kind of source has a few dozen KiB.
const LARGEST: usize = 2 << 20;
/// Whoever finds the file tries passphrases for as long as they like.
const SHORTEST_PASSPHRASE: usize = 12;
/// Keys that name a file which the settings need.
const PATHS: [&str; 5] = ["cert", "key", "ca", "client_ca", "keys"];

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    form: u32,
    /// When it was made (RFC 3339).
    pub at: String,
    /// The version of the program.
    pub version: String,
    /// The box's name.
    pub name: String,
    /// The folder of all state.
    pub state_dir: String,
    /// The settings file.
    pub settings: String,
    /// The files that it names, and the box's SSH host keys.
    pub files: Vec<BackupFile>,
}

/// A file in a backup.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFile {
    /// Where it lay.
    pub path: String,
    content: String,
}

/// Why there is no backup, or nothing comes of one.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A passphrase that would be found.
    #[error("this passphrase is too short; write {SHORTEST_PASSPHRASE} characters or more, such as four words")]
    Short,
    /// More than a box needs.
    #[error("the files that the settings name have more than 2 MiB together; take out what nothing needs")]
    TooLarge,
    /// Sealing, or opening, did not work.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// What was sealed is no backup.
    #[error("this is no backup of settings: {0}; choose another file")]
    Garbled(String),
    /// It is of another version of the firmware.
    #[error("this backup has the form {0}, and this firmware understands {FORM}; update the box first")]
    Form(u32),
}

impl std::fmt::Debug for BackupFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BackupFile({})", self.path)
    }
}

impl BackupFile {
    /// A file with this content.
    #[must_use]
    pub fn new(path: String, content: &[u8]) -> Self {
        Self { path, content: STANDARD.encode(content) }
    }

    /// What is in it; nothing where that is garbled.
    #[must_use]
    pub fn content(&self) -> Secret<Vec<u8>> {
        Secret::new(STANDARD.decode(&self.content).unwrap_or_default())
    }
}

impl Backup {
    /// A backup of a settings text, still without files.
    #[must_use]
    pub fn of(settings: String, name: String, state_dir: String, at: String) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { form: FORM, at, version, name, state_dir, settings, files: Vec::new() }
    }

    /// The files that the settings need, by their paths, each once.
    #[must_use]
    pub fn named(&self) -> Vec<String> {
        fn collect(key: &str, value: &Value, into: &mut Vec<String>) {
            match value {
                Value::Object(table) => table.iter().for_each(|(key, value)| collect(key, value, into)),
                Value::Array(list) => list.iter().for_each(|value| collect(key, value, into)),
                Value::String(text) => {
                    let is_path = (key.ends_with("_file") || PATHS.contains(&key)) && text.starts_with('/');
                    if is_path && !into.contains(text) {
                        into.push(text.clone());
                    }
                }
                _ => {}
            }
        }
        let mut paths = Vec::new();
        if let Ok(values) = toml::from_str::<Value>(&self.settings) {
            collect("", &values, &mut paths);
        }
        paths
    }

    /// A file of it lies elsewhere now: the settings say so.
    pub fn moved(&mut self, from: &str, to: &str) {
        for quote in ['"', '\''] {
            self.settings = self.settings.replace(&format!("{quote}{from}{quote}"), &format!("{quote}{to}{quote}"));
        }
    }

    /// Seals it.
    ///
    /// # Errors
    /// When the passphrase is too short, or there is too much.
    pub fn seal(&self, passphrase: &Secret<String>) -> Result<Vec<u8>, BackupError> {
        if passphrase.expose().chars().count() < SHORTEST_PASSPHRASE {
            return Err(BackupError::Short);
        }
        // Base64 has four characters for three bytes.
        if self.files.iter().map(|file| file.content.len() / 4 * 3).sum::<usize>() > LARGEST {
            return Err(BackupError::TooLarge);
        }
        let json = serde_json::to_vec(self).map_err(|error| BackupError::Garbled(error.to_string()))?;
        Ok(secret::seal(passphrase, &Secret::new(json))?)
    }

    /// Opens one.
    ///
    /// # Errors
    /// When it is none, was changed, or the passphrase is another one.
    pub fn open(sealed: &[u8], passphrase: &Secret<String>) -> Result<Self, BackupError> {
        let json = secret::open(passphrase, sealed)?;
        let garbled = |error: serde_json::Error| BackupError::Garbled(error.to_string());
        let form: Value = serde_json::from_slice(json.expose()).map_err(garbled)?;
        let form = form.get("form").and_then(Value::as_u64).unwrap_or_default();
        if form != u64::from(FORM) {
            return Err(BackupError::Form(u32::try_from(form).unwrap_or(u32::MAX)));
        }
        serde_json::from_slice(json.expose()).map_err(garbled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup() -> Backup {
        let settings = "name = \"a\" # kept\n[page]\ncert = \"/x/page.pem\"\nkey = '/x/page.key'\n[[source]]\n\
                        secret_key_file = \"/x/duo\"\nhost = \"/no/file\"\n[source.tls]\nkey = \"/x/page.key\"\n";
        Backup::of(settings.to_owned(), "a".to_owned(), "/x".to_owned(), "2026-11-29T00:00:00.000Z".to_owned())
    }

    #[test]
    fn what_was_sealed_comes_back_whole_and_only_with_its_passphrase() {
        let mut backup = backup();
        backup.files.push(BackupFile::new("/x/duo".to_owned(), b"\xff secret"));
        let words = Secret::new("four words make one".to_owned());
        let sealed = backup.seal(&words).unwrap();
        let again = Backup::open(&sealed, &words).unwrap();
        assert_eq!(again, backup);
        assert_eq!(again.files[0].content().expose(), b"\xff secret");
        assert!(!format!("{again:?}").contains("secret\""));
        assert!(matches!(
            Backup::open(&sealed, &Secret::new("x".to_owned())),
            Err(BackupError::Seal(SealError::Wrong))
        ));
        assert!(matches!(backup.seal(&Secret::new("short".to_owned())), Err(BackupError::Short)));
        let later = secret::seal(&words, &Secret::new(b"{\"form\": 2}".to_vec())).unwrap();
        assert!(matches!(Backup::open(&later, &words), Err(BackupError::Form(2))));
        let other = secret::seal(&words, &Secret::new(b"{\"form\": 1}".to_vec())).unwrap();
        assert!(matches!(Backup::open(&other, &words), Err(BackupError::Garbled(_))));
        backup.files.push(BackupFile::new("/x/large".to_owned(), &vec![0; LARGEST]));
        assert!(matches!(backup.seal(&words), Err(BackupError::TooLarge)));
    }

    #[test]
    fn the_files_that_settings_need_are_found_and_can_lie_elsewhere() {
        let mut backup = backup();
        assert_eq!(backup.named(), ["/x/page.pem", "/x/page.key", "/x/duo"]);
        backup.moved("/x/page.key", "/y/page.key");
        assert_eq!(backup.named(), ["/x/page.pem", "/y/page.key", "/x/duo"]);
        assert!(backup.settings.contains("# kept"));
    }
}
