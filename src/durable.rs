//! Small files that are either as they were or as they should be, whenever the power goes.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Settings and states are for our user and its group.
const MODE: u32 = 0o640;

/// What holds secrets is for our user alone.
const SECRET_MODE: u32 = 0o600;

/// Puts `bytes` into the file in one step, and makes that durable; its folder must be there. A file beside it, that ends in
/// `.new`, is what a power cut may leave. Blocks on the disk.
///
/// # Errors
/// When the disk fails or is full; the file is then as it was, or as it should be but perhaps not durably.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_with(path, bytes, MODE)
}

/// As [`replace`], for a file that only our user may read.
///
/// # Errors
/// As [`replace`].
pub fn replace_secret(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_with(path, bytes, SECRET_MODE)
}

fn replace_with(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&beside)?;
    // One that a power cut left keeps its old mode otherwise.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    sync_folder(path)
}

/// Makes the names in the folder of `path` durable, those that were taken away too. Blocks on the disk.
///
/// # Errors
/// When the disk fails.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    // A name alone has no folder before it.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_whole_and_not_for_others_and_stays_as_it_was_if_that_fails() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        fs::write(folder.path().join("state.new"), "left by a power cut, and longer than what comes").unwrap();
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        fs::create_dir(folder.path().join("state.new")).unwrap();
        assert!(replace(&path, b"three").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"two");
        let other = folder.path().join("other.json");
        replace(&other, b"").unwrap();
        assert_eq!(fs::metadata(&other).unwrap().permissions().mode() & 0o777, 0o640);
        fs::write(other.with_extension("new"), "left by a power cut").unwrap();
        replace_secret(&other, b"secret").unwrap();
        assert_eq!(fs::metadata(other).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
