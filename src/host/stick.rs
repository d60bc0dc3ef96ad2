//! An enrolment file on a USB stick: found, read, and answered by a file beside it.
//!
//! In: a partition, which whoever made it may have made as they liked. Out: the text of its enrolment file, or why it has none that
//! can be read. It is mounted read-only first and is not there any more while the box thinks, so that a stick without the file is
//! never written to, and one with it can be pulled at most times. To be called as root, in a mount namespace of its own.
//!
//! Invariants: no program and no device of the stick counts, and no symbolic link on it is followed, by the mount's options and once
//! more where a file is opened; a plain file alone is read, and [`LARGEST`] bytes at most. What is malicious enough for the kernel's
//! own code of these three file systems is not held off here.
//!
//! Facts: mount(8) and `Documentation/filesystems/ext4.rst` (`noload`: no journal is played back, which would write); the place of
//! each file system's mark: Microsoft's FAT specification 1.03 (boot sector), exFAT specification 1.00 section 3.1 (`FileSystemName`),
//! `Documentation/filesystems/ext4/super.rst` (`s_magic`).

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount, umount2};

use crate::durable;

/// What an enrolment file is called.
pub const STICK_FILE: &str = "sapphire-edge.toml";
/// What the file is called that says what became of it.
pub const STICK_RESULT: &str = "sapphire-edge-result.txt";
/// A settings file of a hundred sources and a bundle of CAs.
const LARGEST: u64 = 512 << 10;
/// Bytes at a partition's begin that tell what is on it.
const HEAD: usize = 2_048;
/// `MS_NOSYMFOLLOW` (mount.h, since Linux 5.10; older ones pass it over).
const NO_LINKS: MsFlags = MsFlags::from_bits_retain(256);

/// What is on a stick.
#[derive(Debug, PartialEq, Eq)]
pub enum StickFile {
    /// Nothing for us.
    Nothing,
    /// An enrolment file with this text.
    Holds(String),
    /// Something of its name that cannot be read; why.
    Unreadable(String),
}

/// A USB stick.
#[derive(Debug)]
pub struct Stick {
    place: PathBuf,
    /// None: it is mounted already, in a folder.
    kind: Option<Kind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Vfat,
    Exfat,
    Ext4,
}

impl Kind {
    /// What is on a partition that begins so.
    fn of(head: &[u8]) -> Option<Self> {
        let has = |at: usize, mark: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(mark));
        if has(3, b"EXFAT   ") {
            return Some(Self::Exfat);
        }
        if has(510, &[0x55, 0xaa]) && (has(54, b"FAT") || has(82, b"FAT32")) {
            return Some(Self::Vfat);
        }
        has(1_080, &[0x53, 0xef]).then_some(Self::Ext4)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Vfat => "vfat",
            Self::Exfat => "exfat",
            Self::Ext4 => "ext4",
        }
    }

    /// Options of its own, for reading and for writing.
    fn options(self, writes: bool) -> &'static str {
        match (self, writes) {
            (Self::Vfat, _) => "umask=0077",
            (Self::Exfat, _) => "umask=0077",
            (Self::Ext4, false) => "noload",
            (Self::Ext4, true) => "errors=remount-ro",
        }
    }
}

/// A mounted file system, until this goes.
struct Mounted<'f>(&'f Path);

impl Mounted<'_> {
    /// Unmounts it, with all that was written on it.
    fn end(self) -> io::Result<()> {
        umount(self.0)?;
        std::mem::forget(self);
        Ok(())
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        // Something failed already, and that is told.
        let _ = umount2(self.0, MntFlags::MNT_DETACH);
    }
}

impl Stick {
    /// What is in this place: a partition's device, or a folder where somebody has mounted it; nothing where its file system is
    /// none that we know. Reads the begin of the device.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn at(place: &Path) -> io::Result<Option<Self>> {
        if fs::metadata(place)?.is_dir() {
            return Ok(Some(Self { place: place.to_owned(), kind: None }));
        }
        let mut head = Vec::new();
        File::open(place)?.take(HEAD as u64).read_to_end(&mut head)?;
        Ok(Kind::of(&head).map(|kind| Self { place: place.to_owned(), kind: Some(kind) }))
    }

    /// The enrolment file, by way of `at`, a folder that is made where it is not there. Blocks on the stick.
    ///
    /// # Errors
    /// When the stick cannot be mounted.
    pub fn read(&self, at: &Path) -> io::Result<StickFile> {
        self.with(at, false, |folder| Ok(find(folder)))
    }

    /// Puts what became of the file beside it, and where the box has a secret out of it now, `instead` in its place. Blocks on the
    /// stick.
    ///
    /// # Errors
    /// When the stick cannot be written to.
    pub fn write(&self, at: &Path, result: &str, instead: Option<&str>) -> io::Result<()> {
        self.with(at, true, |folder| {
            if let Some(instead) = instead {
                wipe(folder, instead)?;
            }
            put(folder, result)
        })
    }

    fn with<T>(&self, at: &Path, writes: bool, work: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
        let Some(kind) = self.kind else { return work(&self.place) };
        DirBuilder::new().recursive(true).mode(0o700).create(at)?;
        let mut flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_NOATIME | NO_LINKS;
        if !writes {
            flags |= MsFlags::MS_RDONLY;
        }
        mount(Some(&self.place), at, Some(kind.name()), flags, Some(kind.options(writes)))?;
        let mounted = Mounted(at);
        let done = work(at)?;
        mounted.end()?;
        Ok(done)
    }
}

/// The enrolment file in this folder.
fn find(folder: &Path) -> StickFile {
    let path = folder.join(STICK_FILE);
    let unreadable = |why: String| StickFile::Unreadable(format!("{STICK_FILE} {why}"));
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return StickFile::Nothing,
        Err(error) => return unreadable(format!("cannot be read: {error}")),
        Ok(metadata) if !metadata.is_file() => return unreadable("is no plain file".to_owned()),
        Ok(_) => {}
    }
    match read_plain(&path) {
        Err(error) => unreadable(format!("cannot be read: {error}")),
        Ok(bytes) if bytes.len() as u64 > LARGEST => unreadable(format!("is larger than {} KiB", LARGEST >> 10)),
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => StickFile::Holds(text),
            Err(_) => unreadable("is no text in UTF-8".to_owned()),
        },
    }
}

/// The bytes of a plain file, up to one more than it may have.
fn read_plain(path: &Path) -> io::Result<Vec<u8>> {
    // A link or a FIFO that took its place since would lead elsewhere, or hold us up.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Puts the result into this folder, in place of an earlier one.
fn put(folder: &Path, text: &str) -> io::Result<()> {
    let path = folder.join(STICK_RESULT);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Only one that is made here is written to, wherever a link of its name leads.
    let mut file = OpenOptions::new().write(true).create_new(true).custom_flags(libc::O_NOFOLLOW).open(&path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    durable::sync_folder(&path)
}

/// Writes over the enrolment file where it lies, and puts another text there. What the stick's own controller keeps of it is not
/// within reach, which is why the secret is one that is used once.
fn wipe(folder: &Path, instead: &str) -> io::Result<()> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let path = folder.join(STICK_FILE);
    let mut file = OpenOptions::new().write(true).custom_flags(flags).open(&path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    let zeros = vec![0; usize::try_from(metadata.len().min(LARGEST)).unwrap_or_default()];
    file.write_all(&zeros)?;
    file.sync_all()?;
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(instead.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use proptest::prelude::*;

    use super::*;

    fn read(folder: &Path) -> StickFile {
        Stick::at(folder).unwrap().unwrap().read(Path::new("/nowhere")).unwrap()
    }

    #[test]
    fn a_plain_file_of_the_name_is_read_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(STICK_FILE);
        fs::write(folder.path().join("another.toml"), "form = 1\n").unwrap();
        assert_eq!(read(folder.path()), StickFile::Nothing);
        fs::write(&path, "form = 1\n").unwrap();
        assert_eq!(read(folder.path()), StickFile::Holds("form = 1\n".to_owned()));
        let refused = |words: &str| {
            let found = read(folder.path());
            assert!(matches!(&found, StickFile::Unreadable(why) if why.contains(words)), "{found:?}");
        };
        fs::write(&path, b"name = \"\xff\"").unwrap();
        refused("no text in UTF-8");
        fs::write(&path, vec![b'#'; usize::try_from(LARGEST).unwrap() + 1]).unwrap();
        refused("larger than 512 KiB");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        refused("no plain file");
        fs::remove_dir(&path).unwrap();
        symlink("/etc/passwd", &path).unwrap();
        refused("no plain file");
        fs::remove_file(&path).unwrap();
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        refused("no plain file");
    }

    #[test]
    fn the_result_replaces_the_one_before_and_follows_no_link() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let stick = Stick::at(folder.path()).unwrap().unwrap();
        let result = folder.path().join(STICK_RESULT);
        for text in ["a longer one\n", "one\n"] {
            stick.write(Path::new("/nowhere"), text, None).unwrap();
            assert_eq!(fs::read_to_string(&result).unwrap(), text);
        }
        let precious = outside.path().join("precious");
        fs::write(&precious, "of somebody else").unwrap();
        fs::remove_file(&result).unwrap();
        symlink(&precious, &result).unwrap();
        stick.write(Path::new("/nowhere"), "two\n", None).unwrap();
        assert_eq!(fs::read_to_string(&precious).unwrap(), "of somebody else");
        assert_eq!(fs::read_to_string(&result).unwrap(), "two\n");
        fs::remove_file(&result).unwrap();
        fs::create_dir(&result).unwrap();
        assert!(stick.write(Path::new("/nowhere"), "three\n", None).is_err());
    }

    #[test]
    fn a_file_whose_secret_is_used_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let (path, stick) = (folder.path().join(STICK_FILE), Stick::at(folder.path()).unwrap().unwrap());
        fs::write(&path, "secret = \"s3cret\" # and more\n").unwrap();
        // The same file seen from elsewhere: it is written over, not put beside.
        let mut before = File::open(&path).unwrap();
        stick.write(Path::new("/nowhere"), "taken\n", Some("form = 1\n")).unwrap();
        let mut text = String::new();
        before.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), fs::read_to_string(&path).unwrap().as_str()), ("form = 1\n", "form = 1\n"));
        fs::remove_file(&path).unwrap();
        symlink("/dev/null", &path).unwrap();
        assert!(stick.write(Path::new("/nowhere"), "taken\n", Some("x")).is_err());
    }

    #[test]
    fn a_file_system_is_known_by_its_mark() {
        let with = |marks: &[(usize, &[u8])]| {
            let mut head = vec![0; HEAD];
            marks.iter().for_each(|(at, mark)| head[*at..*at + mark.len()].copy_from_slice(mark));
            Kind::of(&head)
        };
        let boot: (usize, &[u8]) = (510, &[0x55, 0xaa]);
        assert_eq!(with(&[boot, (54, b"FAT16   ")]), Some(Kind::Vfat));
        assert_eq!(with(&[boot, (82, b"FAT32   ")]), Some(Kind::Vfat));
        assert_eq!(with(&[boot, (3, b"EXFAT   ")]), Some(Kind::Exfat));
        assert_eq!(with(&[(1_080, &[0x53, 0xef])]), Some(Kind::Ext4));
        assert_eq!(with(&[boot]), None, "a table of partitions");
        assert_eq!(with(&[]), None);
    }

    proptest! {
        #[test]
        fn any_begin_of_a_partition_is_looked_at_without_a_panic(head in proptest::collection::vec(any::<u8>(), 0..HEAD)) {
            let _ = Kind::of(&head);
        }
    }
}
