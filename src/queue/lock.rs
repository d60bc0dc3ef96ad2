//! One program at a time: the lock on a queue's folder.
//!
//! A lock of the open file description, not of the process and not by `flock`: it can be looked at without being taken, so a
//! tool that only reads never keeps a starting program out. The kernel lets go of it however the program ends.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

/// The file that is locked. It stays when the program ends; only the lock on it means something.
pub(super) const FILE: &str = "lock";

/// Held as long as this lives.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the folder for this program alone; `None` if another one has it. The folder must exist.
    pub(super) fn take(folder: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(folder.join(FILE))?;
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_WRLCK))) {
            Ok(_) => Ok(Some(Self { _file: file })),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
            Err(err) => Err(err.into()),
        }
    }
}

/// Whether some program has the folder, without taking it.
pub(super) fn is_taken(folder: &Path) -> io::Result<bool> {
    let file = match File::open(folder.join(FILE)) {
        Ok(file) => file,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(err) => return Err(err),
    };
    let mut asked = whole_file(libc::F_RDLCK);
    fcntl(&file, FcntlArg::F_OFD_GETLK(&mut asked))?;
    Ok(i32::from(asked.l_type) != libc::F_UNLCK)
}

fn whole_file(kind: libc::c_int) -> libc::flock {
    let kind = libc::c_short::try_from(kind).unwrap_or_default();
    let from_start = libc::c_short::try_from(libc::SEEK_SET).unwrap_or_default();
    // A length of zero reaches to the end; the system wants zero as the process of such a lock.
    libc::flock { l_type: kind, l_whence: from_start, l_start: 0, l_len: 0, l_pid: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_others_see_that_and_looking_takes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_taken(folder.path()).unwrap(), "there is no file yet");
        let lock = Lock::take(folder.path()).unwrap().unwrap();
        assert!(is_taken(folder.path()).unwrap());
        assert!(Lock::take(folder.path()).unwrap().is_none());
        drop(lock);
        assert!(!is_taken(folder.path()).unwrap());
        let again = Lock::take(folder.path()).unwrap();
        assert!(again.is_some() && is_taken(folder.path()).unwrap());
    }
}
