//! What can go wrong with certificates, keys and handshakes, in words that say what to do.

use std::io;
use std::path::PathBuf;

/// Why no TLS configuration could be made. A retry helps once a person has mended the file.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {what} {}: {source}; check the path and that the program may read it", .path.display())]
    Read {
        /// What the file is for.
        what: &'static str,
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A certificate file holds no certificate.
    #[error("{what} {} holds no certificate; it must be PEM text with -----BEGIN CERTIFICATE-----", .path.display())]
    NoCertificate {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A certificate in the file cannot be used.
    #[error("a certificate in {what} {} cannot be used ({reason}); export it again as PEM", .path.display())]
    BadCertificate {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the decoder says.
        reason: String,
    },
    /// A key file holds no key.
    #[error("key file {} holds no private key; it must be PEM text with -----BEGIN PRIVATE KEY-----", .path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// A key file is encrypted.
    #[error("the key in {} is encrypted; write it without a passphrase: openssl pkey -in OLD -out NEW", .path.display())]
    EncryptedKey {
        /// The file.
        path: PathBuf,
    },
    /// The key is of a kind we cannot use.
    #[error("the key in {} cannot be used ({reason}); make an ECDSA P-256 or RSA 2048 key", .path.display())]
    BadKey {
        /// The file.
        path: PathBuf,
        /// What the crypto provider says.
        reason: String,
    },
    /// Key and certificate are no pair.
    #[error("the key in {} does not belong to the certificate in {}; give the pair that was made together", .key.display(), .cert.display())]
    KeyMismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        cert: PathBuf,
    },
    /// The machine has no CA certificates.
    #[error("this machine has no CA certificates; set tls.ca to a file with the CA of the far end, or tls.pinned_keys")]
    NoSystemCa,
    /// The settings contradict each other (`validate` names the key).
    #[error("{0}")]
    Settings(String),
    /// rustls refuses the whole.
    #[error("the tls settings cannot be used: {0}")]
    Refused(#[from] rustls::Error),
}

/// Why a peer's handshake with one of our listeners failed.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The peer took too long.
    #[error("the peer did not finish the tls handshake in time")]
    TimedOut,
    /// The peer sent no certificate, or one that the rules do not allow.
    #[error("the peer's certificate was refused: {0}")]
    Refused(String),
    /// The peer or the network broke off, or no TLS was spoken.
    #[error("{0}")]
    Broken(#[from] io::Error),
}

impl HandshakeError {
    /// Whether our rules refused the peer, as against a handshake that broke.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused(_))
    }

    pub(super) fn from_io(error: io::Error) -> Self {
        match inner(&error) {
            Some(rustls::Error::NoCertificatesPresented) => {
                Self::Refused("it sent none, and client_auth is required".into())
            }
            Some(rustls::Error::InvalidCertificate(reason)) => Self::Refused(certificate_words(reason)),
            _ => Self::Broken(error),
        }
    }
}

/// The rustls error inside an I/O error, if there is one.
pub(in super::super) fn inner(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref::<rustls::Error>()
}

/// What is wrong with a certificate, without what to do about it.
pub(in super::super) fn certificate_words(reason: &rustls::CertificateError) -> String {
    use rustls::CertificateError as E;
    match reason {
        E::ExpiredContext { not_after, .. } => format!("it expired on {}", day(*not_after)),
        E::NotValidYetContext { not_before, .. } => format!("it is not valid before {}", day(*not_before)),
        E::UnknownIssuer => "it is not signed by a CA that is trusted here".to_owned(),
        // Seen when a CA was made anew under its old name.
        E::BadSignature => "it is signed by another CA than the one of the same name that is trusted here".to_owned(),
        E::NotValidForNameContext { expected, presented } if presented.is_empty() => {
            format!("it holds no name, and should be for {}", expected.to_str())
        }
        E::NotValidForNameContext { expected, presented } => {
            // webpki shows each as DnsName("gw.example.net").
            let names: Vec<_> = presented.iter().map(|name| name.split('"').nth(1).unwrap_or(name)).collect();
            format!("it is for {}, not for {}", names.join(", "), expected.to_str())
        }
        E::Other(other) => other.to_string(),
        other => other.to_string(),
    }
}

/// The moment in UTC, to the second.
fn day(time: rustls_pki_types::UnixTime) -> String {
    let micros = time.as_secs().saturating_mul(1_000_000);
    crate::clock::Timestamp(micros).to_string()
}
