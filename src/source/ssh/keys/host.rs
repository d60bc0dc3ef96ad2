//! The keys by which devices know the box: made at the first start, kept for ever.
//!
//! A device that checks host keys stops pushing when they change, until somebody edits it: they live in the state folder and
//! survive updates. All SSH sources of a box share them.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use russh::keys::key::safe_rng;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::RsaKeypair;
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PrivateKey};

use crate::durable;

/// Ed25519 for whoever can, ECDSA and RSA for AsyncOS from 12 on; DSA for what is older.
const NAMES: [&str; 3] = ["ed25519", "ecdsa", "rsa"];
/// Only where a listener takes it.
const DSA: &str = "dsa";
/// NIST SP 800-57: good beyond 2030.
const RSA_BITS: usize = 3_072;

/// One source makes them, the others wait.
static MAKING: Mutex<()> = Mutex::new(());

/// A public key of the box, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKey {
    /// Such as `ssh-ed25519`.
    pub algorithm: String,
    /// As OpenSSH and others show it: `SHA256:…`.
    pub fingerprint: String,
    /// As OpenSSH before 6.8 showed it, and AsyncOS does (not confirmed): the MD5 sum, in pairs of digits.
    pub md5: String,
    /// Algorithm and key, the end of a line of known_hosts.
    pub line: String,
}

/// The folder of the keys.
pub(in crate::source::ssh) fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("ssh").join("host_keys")
}

/// The box's keys; those that are not there are made. Blocks, for seconds at the first start.
///
/// # Errors
/// When the folder cannot be used or a key in it cannot be read: it is never made again by itself.
pub(in crate::source::ssh) fn load(state_dir: &Path, dss: bool) -> io::Result<Vec<PrivateKey>> {
    let _alone = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = folder(state_dir);
    DirBuilder::new().recursive(true).mode(0o750).create(&folder)?;
    let names = NAMES.into_iter().chain(dss.then_some(DSA));
    names.map(|name| read_or_make(&folder.join(name), name)).collect()
}

/// The public halves of the keys that are there.
///
/// # Errors
/// When a key cannot be read.
pub(in crate::source::ssh) fn public(state_dir: &Path) -> io::Result<Vec<HostKey>> {
    let folder = folder(state_dir);
    let paths = NAMES.into_iter().chain([DSA]).map(|name| folder.join(name)).filter(|path| path.exists());
    paths.map(|path| read(&path).and_then(|key| shown(&key))).collect()
}

fn shown(key: &PrivateKey) -> io::Result<HostKey> {
    let line = key.public_key().to_openssh().map_err(io::Error::other)?;
    let line = line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let fingerprint = key.public_key().fingerprint(HashAlg::Sha256).to_string();
    let blob = key.public_key().to_bytes().map_err(io::Error::other)?;
    let md5 = md5::compute(blob).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":");
    Ok(HostKey { algorithm: key.algorithm().to_string(), fingerprint, md5, line })
}

fn read(path: &Path) -> io::Result<PrivateKey> {
    let bad = |error| io::Error::other(format!("{} is no private key: {error}", path.display()));
    PrivateKey::from_openssh(fs::read(path)?).map_err(bad)
}

fn read_or_make(path: &Path, name: &str) -> io::Result<PrivateKey> {
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => return result,
    }
    let key = make(name).map_err(io::Error::other)?;
    durable::replace(path, key.to_openssh(LineEnding::LF).map_err(io::Error::other)?.as_bytes())?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    tracing::info!(algorithm = %key.algorithm(), fingerprint = %key.fingerprint(HashAlg::Sha256), "host key made");
    Ok(key)
}

fn make(name: &str) -> Result<PrivateKey, russh::keys::ssh_key::Error> {
    let mut rng = safe_rng();
    match name {
        "rsa" => RsaKeypair::random(&mut rng, RSA_BITS).map(PrivateKey::from),
        "ecdsa" => PrivateKey::random(&mut rng, Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 }),
        DSA => PrivateKey::random(&mut rng, Algorithm::Dsa),
        _ => PrivateKey::random(&mut rng, Algorithm::Ed25519),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_made_once_and_never_again() {
        let state = tempfile::tempdir().unwrap();
        let first = load(state.path(), false).unwrap();
        let again = load(state.path(), false).unwrap();
        let prints = |keys: &[PrivateKey]| keys.iter().map(|key| key.fingerprint(HashAlg::Sha256)).collect::<Vec<_>>();
        assert_eq!(prints(&first), prints(&again));
        let shown = public(state.path()).unwrap();
        let names: Vec<_> = shown.iter().map(|key| key.algorithm.as_str()).collect();
        assert_eq!(names, ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"]);
        assert!(shown.iter().all(|key| key.line.starts_with(&key.algorithm) && key.line.split(' ').count() == 2));
        for name in NAMES {
            let mode = fs::metadata(folder(state.path()).join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{name}");
        }
        fs::write(folder(state.path()).join("ed25519"), "torn").unwrap();
        assert!(load(state.path(), false).unwrap_err().to_string().contains("is no private key"));
    }
}
