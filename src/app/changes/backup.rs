//! Backups on this box: gathering what belongs into one, and putting one back. Blocks on the disk.
//!
//! What is put back never takes the place of what is there: a file whose content is another one gets another name, and the settings
//! of the backup lead to that. So the settings in use stay whole until the others are in use, and there is a way back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::clock::Clock;
use crate::config::{Backup, BackupFile};
use crate::control::SettingsReply;
use crate::durable;
use crate::secret::Secret;
use crate::web::page;

/// The box's SSH host keys: a device that checks them goes on pushing to a box that took another one's place.
const HOST_KEYS: &str = "ssh/host_keys";
/// A file that the settings name has no more.
const LARGEST_FILE: u64 = 256 << 10;
/// Names that are tried for a file whose own is taken.
const NAMES: usize = 100;

/// Makes a backup of the settings in `file`.
pub(super) fn make(
    file: &Path,
    name: &str,
    state_dir: &Path,
    passphrase: &Secret<String>,
) -> Result<SettingsReply, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("the settings file cannot be read: {error}"))?;
    let folder = state_dir.display().to_string();
    let mut backup = Backup::of(text, name.to_owned(), folder, Clock::System.now().to_string());
    let mut paths = backup.named();
    for folder in ["files", HOST_KEYS] {
        let entries = fs::read_dir(state_dir.join(folder)).into_iter().flatten().flatten();
        let found = entries.map(|entry| entry.path().display().to_string());
        paths.extend(found.filter(|path| !path.ends_with(".new")).collect::<Vec<_>>());
    }
    paths.sort();
    paths.dedup();
    let mut left_out = Vec::new();
    for path in paths {
        match read(Path::new(&path)) {
            Ok(content) => backup.files.push(BackupFile::new(path, content.expose())),
            Err(error) => left_out.push(format!("{path}: {error}")),
        }
    }
    let sealed = backup.seal(passphrase).map_err(|error| error.to_string())?;
    Ok(SettingsReply::Backup { sealed: STANDARD.encode(sealed), left_out })
}

fn read(path: &Path) -> io::Result<Secret<Vec<u8>>> {
    if fs::metadata(path)?.len() > LARGEST_FILE {
        return Err(io::Error::other("it has more than 256 KiB"));
    }
    fs::read(path).map(Secret::new)
}

/// Puts the files of a backup into the box; the settings to apply, which lead to them.
pub(super) fn put_back(sealed: &str, state_dir: &Path, passphrase: &Secret<String>) -> Result<SettingsReply, String> {
    let garbled = |_| "this is no file that a box has sealed; choose another one".to_owned();
    let sealed = STANDARD.decode(sealed.trim()).map_err(garbled)?;
    let mut backup = Backup::open(&sealed, passphrase).map_err(|error| error.to_string())?;
    let mut notes = vec![format!("made by {} (version {}) on {}", backup.name, backup.version, backup.at)];
    let host_keys = format!("{}/{HOST_KEYS}/", backup.state_dir);
    for file in backup.files.clone() {
        if let Some(name) = file.path.strip_prefix(&host_keys) {
            notes.extend(put_host_key(&state_dir.join(HOST_KEYS), name, &file.content())?);
            continue;
        }
        let to = put_file(state_dir, &file)?;
        if to != file.path {
            backup.moved(&file.path, &to);
        }
    }
    let (from, to) = (backup.state_dir.clone(), state_dir.display().to_string());
    backup.moved(&from, &to);
    Ok(SettingsReply::Restored { text: backup.settings, notes })
}

/// A file that is there already with this content stays; else it gets a name that is free.
fn put_file(state_dir: &Path, file: &BackupFile) -> Result<String, String> {
    let path = Path::new(&file.path);
    let content = file.content();
    if path.starts_with(state_dir) && holds(path, content.expose()) {
        return Ok(file.path.clone());
    }
    let text = String::from_utf8(content.expose().clone()).map(Secret::new);
    let text = text.map_err(|_| format!("{} holds no text, which cannot be put back from here", file.path))?;
    match place(state_dir, &name_of(path), text.expose())? {
        Place::Holds(path) => Ok(path),
        Place::Free(name) => page::keep_file(state_dir, &name, &text),
    }
}

/// Where a text is, or may come to be, among the files that the page keeps.
pub(super) enum Place {
    /// It is there already; its path.
    Holds(String),
    /// Nothing has this name.
    Free(String),
}

/// The place for a text that is to be called so: nothing that is there is written over.
pub(super) fn place(state_dir: &Path, wanted: &str, text: &str) -> Result<Place, String> {
    for number in 1..=NAMES {
        let name = if number == 1 { wanted.to_owned() } else { format!("{number}-{wanted}") };
        let path = state_dir.join("files").join(&name);
        if holds(&path, text.as_bytes()) {
            return Ok(Place::Holds(path.display().to_string()));
        }
        if !path.exists() {
            return Ok(Place::Free(name));
        }
    }
    Err(format!("there are too many files called {wanted}; remove some that nothing names"))
}

/// Whether a file holds this already; the page ends a text in its own way.
fn holds(path: &Path, content: &[u8]) -> bool {
    let in_lines = |content: &[u8]| {
        content.split(|byte| *byte == b'\n').map(|line| line.trim_ascii_end().to_vec()).collect::<Vec<_>>()
    };
    fs::read(path).is_ok_and(|now| in_lines(now.trim_ascii_end()) == in_lines(content.trim_ascii_end()))
}

/// The name of a file as the page takes it.
fn name_of(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '-' };
    let name: String = name.chars().map(plain).take(48).collect();
    let name = name.trim_start_matches(['.', '-', '_']).to_owned();
    if name.is_empty() { "restored".to_owned() } else { name }
}

/// A host key is put back where the box has none of its kind: one that it has may be known to devices already.
fn put_host_key(folder: &Path, name: &str, key: &Secret<Vec<u8>>) -> Result<Option<String>, String> {
    let is_plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let path: PathBuf = folder.join(name);
    if !is_plain || fs::read(&path).is_ok_and(|now| now == *key.expose()) {
        return Ok(None);
    }
    if path.exists() {
        return Ok(Some(format!(
            "this box keeps its own SSH host key ({name}): devices that check it have to learn it"
        )));
    }
    let put = || {
        fs::create_dir_all(folder)?;
        durable::replace_secret(&path, key.expose())
    };
    put().map_err(|error: io::Error| format!("the SSH host key {name} cannot be put back: {error}"))?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Secret<String> {
        Secret::new("four words make one".to_owned())
    }

    /// A box with a secret of the page, one from elsewhere, and a host key.
    fn one() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let elsewhere = folder.path().join("Elsewhere Key.pem");
        fs::create_dir_all(state.join(HOST_KEYS)).unwrap();
        fs::write(&elsewhere, "-----BEGIN\nx\n-----END\n").unwrap();
        fs::write(state.join(HOST_KEYS).join("ed25519"), "host key").unwrap();
        let duo = page::keep_file(&state, "duo", &Secret::new("duo secret".to_owned())).unwrap();
        let text = format!(
            "state_dir = {state:?}\nsecret_key_file = {duo:?}\nkey = {elsewhere:?}\nca = \"/nothing/there.pem\"\n"
        );
        fs::write(folder.path().join("settings.toml"), text).unwrap();
        (folder, state)
    }

    fn made() -> (tempfile::TempDir, PathBuf, String) {
        let (folder, state) = one();
        let made = make(&folder.path().join("settings.toml"), "edge", &state, &words()).unwrap();
        let SettingsReply::Backup { sealed, left_out } = made else { panic!("{made:?}") };
        assert!(left_out.len() == 1 && left_out[0].contains("/nothing/there.pem"), "{left_out:?}");
        (folder, state, sealed)
    }

    #[test]
    fn another_box_gets_settings_secrets_and_host_keys() {
        let (_folder, state, sealed) = made();
        let other = tempfile::tempdir().unwrap();
        let back = put_back(&sealed, other.path(), &words()).unwrap();
        let SettingsReply::Restored { text, notes } = back else { panic!("{back:?}") };
        assert!(notes.len() == 1 && notes[0].starts_with("made by edge"), "{notes:?}");
        let duo = other.path().join("files/duo");
        assert_eq!(fs::read_to_string(&duo).unwrap(), "duo secret");
        assert!(
            text.contains(&format!("secret_key_file = {duo:?}")) && !text.contains(state.to_str().unwrap()),
            "{text}"
        );
        let key = other.path().join("files/elsewhere-key.pem");
        assert!(text.contains(&format!("key = {key:?}")) && key.exists(), "{text}");
        assert!(text.contains(&format!("state_dir = {:?}", other.path())), "{text}");
        assert_eq!(fs::read(other.path().join(HOST_KEYS).join("ed25519")).unwrap(), b"host key");
        assert!(
            put_back(&sealed, other.path(), &Secret::new("x".to_owned())).unwrap_err().contains("does not open it")
        );
        assert!(put_back("no base64!", other.path(), &words()).is_err());
    }

    #[test]
    fn what_is_there_is_never_written_over() {
        let (_folder, state, sealed) = made();
        fs::write(state.join("files/duo"), "newer secret").unwrap();
        fs::write(state.join(HOST_KEYS).join("ed25519"), "newer key").unwrap();
        for _ in 0..2 {
            let back = put_back(&sealed, &state, &words()).unwrap();
            let SettingsReply::Restored { text, notes } = back else { panic!("{back:?}") };
            assert!(
                text.contains("files/2-duo") && notes.len() == 2 && notes[1].contains("keeps its own"),
                "{text} {notes:?}"
            );
        }
        assert_eq!(fs::read_to_string(state.join("files/duo")).unwrap(), "newer secret");
        assert_eq!(fs::read_to_string(state.join("files/2-duo")).unwrap(), "duo secret");
        assert_eq!(fs::read_to_string(state.join(HOST_KEYS).join("ed25519")).unwrap(), "newer key");
        assert!(!state.join("files/3-duo").exists(), "the second time it was there already");
    }
}
