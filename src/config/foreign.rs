//! A settings file that belongs to somebody with fewer rights than we have: read with care.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Tells one content of a file from another, without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    device: u64,
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

impl Version {
    /// What is at this path now; `None` where there is nothing.
    #[must_use]
    pub fn of(file: &Path) -> Option<Self> {
        file.symlink_metadata().ok().map(|metadata| Self::from(&metadata))
    }
}

impl From<&Metadata> for Version {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Opens a file that its owner cannot have made stand for another one, and says which version it is.
pub(super) fn open(file: &Path) -> io::Result<(File, Version)> {
    // A FIFO would otherwise hold us up; a link would let its maker have us read, and quote, what only we may read.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let open = OpenOptions::new().read(true).custom_flags(flags).open(file).map_err(|error| {
        let is_link = error.raw_os_error() == Some(libc::ELOOP);
        if is_link { io::Error::other("this is a symbolic link; name the file itself") } else { error }
    })?;
    let metadata = open.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("this is no file"));
    }
    if metadata.nlink() != 1 {
        return Err(io::Error::other("this file has another name elsewhere; copy it"));
    }
    Ok((open, Version::from(&metadata)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::super::Config;
    use super::*;

    fn refused(file: &Path, words: &str) {
        let error = Config::load_foreign(file).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }

    #[test]
    fn only_a_plain_file_is_read_and_only_so_much_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| -> PathBuf { folder.path().join(name) };
        fs::write(at("real"), "name = \"edge-1\"\n").unwrap();
        let (config, version) = Config::load_foreign(&at("real")).unwrap();
        assert_eq!((config.name.as_deref(), Some(version)), (Some("edge-1"), Version::of(&at("real"))));
        std::os::unix::fs::symlink(at("real"), at("link")).unwrap();
        refused(&at("link"), "symbolic link");
        fs::hard_link(at("real"), at("hard")).unwrap();
        refused(&at("hard"), "another name");
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        refused(&at("fifo"), "no file");
        refused(folder.path(), "no file");
        refused(Path::new("/dev/zero"), "no file");
        refused(&at("absent"), "check the path");
        fs::write(at("large"), vec![b'#'; (1 << 20) + 1]).unwrap();
        refused(&at("large"), "larger than 1 MiB");
    }

    #[test]
    fn a_changed_file_is_another_version() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.toml");
        fs::write(&file, "name = \"a\"\n").unwrap();
        let before = Version::of(&file);
        assert_eq!(before, Version::of(&file));
        fs::write(folder.path().join("new"), "name = \"b\"\n").unwrap();
        fs::rename(folder.path().join("new"), &file).unwrap();
        assert_ne!(before, Version::of(&file));
    }
}
