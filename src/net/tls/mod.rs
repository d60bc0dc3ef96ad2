//! TLS on both sides: the settings tables, and the only place that builds rustls configurations.
//!
//! In: paths of PEM files and rules. Out: an [`Acceptor`] for listeners and a [`Connector`] for dialling. One crypto
//! provider (aws-lc-rs), passed explicitly; TLS 1.2 and 1.3; every suite is an AEAD with ephemeral keys, because rustls has
//! no others. Certificate files may be replaced while the program runs: both sides look at them again
//! ([`Acceptor::reload`], and at every connect).
//!
//! Facts: RFC 5425 section 4.2.2 (fingerprints), 5.2 (names: subjectAltName dNSName, `*` only as the whole left-most
//! label); RFC 9662 (TLS 1.2 or later for syslog).
//!
//! Not supported: revocation lists and OCSP (a box in a rack often reaches no responder; take a certificate out of the rules
//! instead), encrypted key files (the passphrase would have to lie beside them).

#[cfg(test)]
pub(crate) mod certs;
mod client;
mod error;
pub mod own;
mod pem;
mod rules;
mod server;
#[cfg(test)]
mod tests;

pub use client::{ClientConfig, Connector, KeyPin};
pub use error::{HandshakeError, TlsError};
pub(super) use error::{certificate_words, inner};
pub use pem::Said;
pub use rules::Fingerprint;
pub use server::{Acceptor, ClientAuth, ServerConfig};

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A handshake is two round trips and a signature; on a bad line that is a second or two. A peer that takes longer than this
/// only holds a connection slot.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The oldest TLS version that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MinVersion {
    /// TLS 1.2 (RFC 5246) and 1.3. The default: firewalls in the field often know no better.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 (RFC 8446) alone.
    #[serde(rename = "1.3")]
    Tls13,
}

impl MinVersion {
    fn versions(self) -> &'static [&'static rustls::SupportedProtocolVersion] {
        static ALL: [&rustls::SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
        static NEWEST: [&rustls::SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
        match self {
            Self::Tls12 => &ALL,
            Self::Tls13 => &NEWEST,
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
