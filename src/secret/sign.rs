//! Whether something was signed by one of the keys that a file holds: Ed25519 (RFC 8032), made with `openssl pkeyutl -sign
//! -rawin`.

use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject as _;

/// RFC 8410 section 4: an Ed25519 SubjectPublicKeyInfo is these bytes and the key's 32.
const ED25519_SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// Keys in the file: the one in use, the next one, and some to spare.
const MOST: usize = 8;

/// Public keys, any of which is enough, so that a new one can be brought out before the old one goes.
#[derive(Clone, Debug)]
pub struct PublicKeys(Vec<[u8; 32]>);

/// Why there are no keys. A retry helps once a person has mended the file.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file cannot be read.
    #[error("{} cannot be read ({source}); check the path and that the program may read it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It holds something else; in words that name it and say what to do.
    #[error("{0}")]
    Wrong(String),
}

impl PublicKeys {
    /// Reads the PEM file. Blocks on the disk.
    ///
    /// # Errors
    /// When it cannot be read or holds something else.
    pub fn read(path: &Path) -> Result<Self, KeysError> {
        let text = std::fs::read(path).map_err(|source| KeysError::Read { path: path.to_owned(), source })?;
        let wrong = |words: String| KeysError::Wrong(format!("{}: {words}", path.display()));
        let mut keys = Vec::new();
        for found in SubjectPublicKeyInfoDer::pem_slice_iter(&text).take(MOST) {
            let found = found.map_err(|error| wrong(format!("{error}; write PEM public keys")))?;
            let key = found.strip_prefix(&ED25519_SPKI).and_then(|key| key.try_into().ok());
            keys.push(key.ok_or_else(|| {
                wrong("a key is no Ed25519 key; make one with openssl genpkey -algorithm ed25519".to_owned())
            })?);
        }
        if keys.is_empty() {
            return Err(wrong("it holds no public key; write the output of openssl pkey -pubout into it".to_owned()));
        }
        Ok(Self(keys))
    }

    /// These keys.
    #[must_use]
    pub fn new(keys: Vec<[u8; 32]>) -> Self {
        Self(keys)
    }

    /// Whether one of them has signed `bytes` with this signature in base64.
    #[must_use]
    pub fn have_signed(&self, bytes: &[u8], signature: &str) -> bool {
        let Ok(signature) = STANDARD.decode(signature) else { return false };
        self.0.iter().any(|key| UnparsedPublicKey::new(&ED25519, key).verify(bytes, &signature).is_ok())
    }
}
