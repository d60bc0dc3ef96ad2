//! Reads certificates and keys from PEM files.

use std::io::Read as _;
use std::path::Path;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::Fingerprint;
use super::TlsError;
use super::own::Issued;
use crate::clock::Timestamp;
use crate::secret::Secret;

/// A bundle of all public CAs is 250 KiB; a certificate file beyond this is a mistake.
const MAX_FILE: u64 = 4 << 20;

/// A chain with its key, checked to belong together.
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads both files and compares them.
    pub(super) fn read(cert: &Path, key: &Path, provider: &CryptoProvider) -> Result<Self, TlsError> {
        let chain = certificates(cert, "certificate file")?;
        let private = private_key(key)?;
        let bad_key = |reason: rustls::Error| TlsError::BadKey { path: key.to_owned(), reason: reason.to_string() };
        let signing = provider.key_provider.load_private_key(private.clone_key()).map_err(bad_key)?;
        match CertifiedKey::new(chain.clone(), signing).keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                return Err(TlsError::KeyMismatch { key: key.to_owned(), cert: cert.to_owned() });
            }
            Err(other) => {
                let (path, reason) = (cert.to_owned(), other.to_string());
                return Err(TlsError::BadCertificate { what: "certificate file", path, reason });
            }
        }
        Ok(Self { chain, key: private })
    }

    /// The end of the leaf's validity; `None` if it cannot be read.
    pub(super) fn valid_until(&self) -> Option<Timestamp> {
        let (_, leaf) = x509_parser::parse_x509_certificate(self.chain.first()?).ok()?;
        let seconds = u64::try_from(leaf.validity().not_after.timestamp()).ok()?;
        Some(Timestamp(seconds.saturating_mul(1_000_000)))
    }
}

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The name in its subject (CN), where there is one.
    pub common_name: Option<String>,
    /// Its whole subject.
    pub subject: String,
    /// When it ends.
    pub ends: Timestamp,
    /// What tells it from every other.
    pub fingerprint: Fingerprint,
}

impl Said {
    /// What the first certificate in a PEM file says. Blocks on the disk.
    ///
    /// # Errors
    /// When the file cannot be read or holds no certificate.
    pub fn in_file(path: &Path) -> Result<Self, TlsError> {
        let what = "certificate file";
        let no_certificate = || TlsError::NoCertificate { what, path: path.to_owned() };
        let der = certificates(path, what)?.into_iter().next().ok_or_else(no_certificate)?;
        let bad = |reason: &str| TlsError::BadCertificate { what, path: path.to_owned(), reason: reason.to_owned() };
        let Issued { common_name, subject, ends, .. } = Issued::read(&der).map_err(|error| bad(&error.to_string()))?;
        Ok(Self { common_name, subject, ends, fingerprint: Fingerprint::of(&der) })
    }
}

/// The CAs in a file.
pub(super) fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, "CA file")? {
        roots.add(certificate).map_err(|error| TlsError::BadCertificate {
            what: "CA file",
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
    }
    Ok(roots)
}

/// The CAs of the machine.
pub(super) fn system_roots() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "a CA certificate of this machine could not be read");
    }
    // Bundles of the system hold a few oddities that webpki does not take; the others still count.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() { Err(TlsError::NoSystemCa) } else { Ok(roots) }
}

fn certificates(path: &Path, what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path, what)?;
    let found = CertificateDer::pem_slice_iter(text.expose()).collect::<Result<Vec<_>, _>>();
    let found =
        found.map_err(|error| TlsError::BadCertificate { what, path: path.to_owned(), reason: error.to_string() })?;
    if found.is_empty() { Err(TlsError::NoCertificate { what, path: path.to_owned() }) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(path, "key file")?;
    let path = || path.to_owned();
    PrivateKeyDer::from_pem_slice(text.expose()).map_err(|error| match error {
        pem::Error::NoItemsFound if is_encrypted(text.expose()) => TlsError::EncryptedKey { path: path() },
        pem::Error::NoItemsFound => TlsError::NoKey { path: path() },
        other => TlsError::BadKey { path: path(), reason: other.to_string() },
    })
}

fn is_encrypted(text: &[u8]) -> bool {
    memchr::memmem::find(text, b"ENCRYPTED").is_some()
}

fn read(path: &Path, what: &'static str) -> Result<Secret<Vec<u8>>, TlsError> {
    let failed = |source| TlsError::Read { what, path: path.to_owned(), source };
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(failed)?.take(MAX_FILE).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Secret::new(bytes))
}

/// What tells that a file was replaced or changed: inode, time of change in nanoseconds, length.
pub(super) type Stamps = Vec<Option<(u64, i64, i64, u64)>>;

/// The state of some files now; a file that cannot be looked at is `None`.
pub(super) fn stamps<'a>(paths: impl Iterator<Item = &'a std::path::PathBuf>) -> Stamps {
    use std::os::unix::fs::MetadataExt as _;
    let stamp = |path| std::fs::metadata(path).ok().map(|m| (m.ino(), m.mtime(), m.mtime_nsec(), m.len()));
    paths.map(stamp).collect()
}
