//! The socket's file: made with the right mode from the first moment on, and never taken from a program that listens.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use super::ControlError;

/// Owner and group may ask; nobody else, because answers show log lines.
const MODE: u32 = 0o660;

/// A listening socket and its file, which goes away with it.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) listener: UnixListener,
    _file: File,
}

/// The file of a socket; removed on drop, unless another one has its place by then.
#[derive(Debug)]
struct File {
    path: PathBuf,
    inode: u64,
}

/// Binds the socket. A file that a dead program left is replaced.
///
/// It is made under another name, given its mode, and then renamed to its place: so it is never there with another mode, and
/// a reader finds the old one or the new one.
pub(super) async fn bind(path: &Path) -> Result<Listening, ControlError> {
    free(path).await?;
    let failed = |source| ControlError::Bind { path: path.to_owned(), source };
    let mut made_as = path.as_os_str().to_owned();
    made_as.push(format!(".{}", std::process::id()));
    let made_as = PathBuf::from(made_as);
    match fs::remove_file(&made_as) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&made_as).map_err(failed)?;
    let finish = || {
        fs::set_permissions(&made_as, fs::Permissions::from_mode(MODE))?;
        let inode = fs::symlink_metadata(&made_as)?.ino();
        fs::rename(&made_as, path)?;
        Ok(inode)
    };
    let inode = finish().map_err(|error| {
        // Nothing else is known about the half-made file, and the error that counts is the first one.
        let _ = fs::remove_file(&made_as);
        failed(error)
    })?;
    Ok(Listening { listener, _file: File { path: path.to_owned(), inode } })
}

/// Makes sure that nobody listens at the path, and that nothing but a socket has it.
async fn free(path: &Path) -> Result<(), ControlError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(ControlError::Bind { path: path.to_owned(), source }),
        Ok(known) if !known.file_type().is_socket() => return Err(ControlError::NoSocket { path: path.to_owned() }),
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(ControlError::InUse { path: path.to_owned() }),
        // A full backlog is a program that listens.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(ControlError::InUse { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(ControlError::NotAllowed { path: path.to_owned() })
        }
        Err(_) => Ok(()),
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|known| known.ino() == self.inode);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "the control socket's file could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.sock");
        let first = bind(&path).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        assert!(matches!(bind(&path).await, Err(ControlError::InUse { .. })));
        drop(first);
        assert!(!path.exists());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "this is what a killed program leaves");
        let _second = bind(&path).await.unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.sock");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(bind(&path).await, Err(ControlError::NoSocket { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        let missing = folder.path().join("no/such/c.sock");
        assert!(matches!(bind(&missing).await, Err(ControlError::Bind { .. })));
    }

    #[tokio::test]
    async fn the_file_of_a_newer_program_survives_the_older_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.sock");
        let older = bind(&path).await.unwrap();
        fs::remove_file(&path).unwrap();
        let _newer = bind(&path).await.unwrap();
        drop(older);
        assert!(path.exists());
    }
}
