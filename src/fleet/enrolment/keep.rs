//! What the box keeps of its enrolment in the fleet: its key, its certificate, and until it is used, the one-time secret.
//!
//! The secret is kept before the settings that it came with are in use, and whoever looks at them may not take them: so it is kept
//! with the server that it is for, and no other gets it.
//!
//! In the channel's folder, for our user alone. The key is made once and stays until a factory reset, so that key and certificate
//! always belong together, whenever the power goes. Blocks on the disk.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::durable;
use crate::net::tls::own::{self, OwnKey};
use crate::secret::Secret;

/// Longer than anybody's secret.
pub(super) const LONGEST_SECRET: usize = 1_024;

/// What tells one secret from the next without reading it.
pub(super) type Mark = (u64, i64, i64);

/// What a box gets its certificate with.
#[derive(Debug)]
pub struct OneTime {
    /// What the box is called in the fleet; nothing: as in the ids of its events.
    pub id: Option<String>,
    /// The enrolment server that takes it, as the settings name it; nothing: whichever they name.
    pub server: Option<String>,
    /// The secret.
    pub secret: Secret<String>,
}

/// What is kept beside the secret.
#[derive(Debug, Serialize, Deserialize)]
struct Beside {
    id: Option<String>,
    server: Option<String>,
}

/// The folder.
#[derive(Clone, Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn of(state_dir: &Path) -> Self {
        Self(crate::fleet::folder(state_dir))
    }

    fn make(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)
    }

    pub(super) fn certificate_path(&self) -> PathBuf {
        self.0.join("certificate.pem")
    }

    pub(super) fn key_path(&self) -> PathBuf {
        self.0.join("key.pem")
    }

    fn beside_path(&self) -> PathBuf {
        self.0.join("one-time.json")
    }

    fn secret_path(&self) -> PathBuf {
        self.0.join("one-time-secret")
    }

    /// The box's key, which is made where there is none.
    pub(super) fn key(&self) -> io::Result<OwnKey> {
        if let Some(pem) = read(&self.key_path())?.map(Secret::new) {
            return OwnKey::from_pem(&pem);
        }
        let key = OwnKey::generate()?;
        self.make()?;
        durable::replace_secret(&self.key_path(), key.to_pem().expose().as_bytes())?;
        Ok(key)
    }

    /// The box's certificate with those of the CAs between, in DER; none where there is none yet.
    pub(super) fn certificate(&self) -> io::Result<Vec<Vec<u8>>> {
        Ok(read(&self.certificate_path())?.map(|pem| own::from_pem(pem.as_bytes())).unwrap_or_default())
    }

    pub(super) fn put_certificate(&self, chain: &[Vec<u8>]) -> io::Result<()> {
        self.make()?;
        durable::replace(&self.certificate_path(), own::to_pem(chain).as_bytes())
    }

    /// The one-time secret, while it is not used.
    pub(super) fn secret(&self) -> io::Result<Option<OneTime>> {
        let Some(secret) = read(&self.secret_path())?.map(Secret::new) else { return Ok(None) };
        let Beside { id, server } = serde_json::from_str(&read(&self.beside_path())?.unwrap_or_default())?;
        Ok(Some(OneTime { id, server, secret }))
    }

    /// What is beside it comes first, so that no secret is used under another id or at another server.
    pub(super) fn put_secret(&self, one_time: &OneTime) -> io::Result<()> {
        self.make()?;
        self.wipe_secret()?;
        let beside = Beside { id: one_time.id.clone(), server: one_time.server.clone() };
        durable::replace(&self.beside_path(), &serde_json::to_vec(&beside)?)?;
        durable::replace_secret(&self.secret_path(), one_time.secret.expose().as_bytes())
    }

    /// What tells the secret from another one; nothing where there is none.
    pub(super) fn secret_mark(&self) -> Option<Mark> {
        let file = fs::symlink_metadata(self.secret_path()).ok()?;
        Some((file.ino(), file.ctime(), file.ctime_nsec()))
    }

    /// Writes over the secret and removes it.
    pub(super) fn wipe_secret(&self) -> io::Result<()> {
        let path = self.secret_path();
        let length = match fs::symlink_metadata(&path) {
            Ok(file) => file.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut file = OpenOptions::new().write(true).open(&path)?;
        file.write_all(&vec![0; usize::try_from(length).unwrap_or_default().min(LONGEST_SECRET)])?;
        file.sync_all()?;
        // What a power cut may have left of it.
        remove(&path.with_extension("new"))?;
        remove(&path)
    }
}

/// The text of a file; nothing where there is none.
fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => durable::sync_folder(path),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_the_secret_goes_when_it_is_used() {
        let state = tempfile::tempdir().unwrap();
        let folder = Folder::of(state.path());
        assert!(folder.certificate().unwrap().is_empty() && folder.secret().unwrap().is_none());
        assert_eq!(folder.secret_mark(), None);
        folder.wipe_secret().unwrap();
        let key = folder.key().unwrap();
        assert_eq!(folder.key().unwrap().to_pem().expose(), key.to_pem().expose());
        let (id, server) = (Some("edge-7".to_owned()), Some("https://est.example/".to_owned()));
        let secret = OneTime { id, server, secret: Secret::new("only-once".to_owned()) };
        folder.put_secret(&secret).unwrap();
        let mark = folder.secret_mark();
        let OneTime { id, server, secret: kept } = folder.secret().unwrap().unwrap();
        assert_eq!((id.as_deref(), kept.expose().as_str()), (Some("edge-7"), "only-once"));
        assert_eq!(server.as_deref(), Some("https://est.example/"));
        folder.put_secret(&OneTime { id: None, ..secret }).unwrap();
        assert_ne!(folder.secret_mark(), mark, "another file brought it again");
        assert_eq!(folder.secret().unwrap().unwrap().id, None);
        for path in [folder.key_path(), folder.secret_path()] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        folder.wipe_secret().unwrap();
        assert!(folder.secret().unwrap().is_none() && folder.key_path().exists());
        fs::write(folder.key_path(), "torn").unwrap();
        assert!(folder.key().is_err(), "a key that is there is never replaced");
    }
}
