//! The listener's side: the `[source.tls]` table and the acceptor made from it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::WebPkiClientVerifier;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::error::HandshakeError;
use super::pem::Identity;
use super::rules::{self, ClientRules};
use super::{Fingerprint, HANDSHAKE_TIMEOUT, MinVersion, TlsError, pem, provider};
use crate::clock::{Clock, Timestamp};
use crate::net::Stream;

/// Whether peers show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// None is asked for.
    #[default]
    None,
    /// One is asked for; a peer without one is taken, one with a wrong one is not.
    Optional,
    /// A peer without an allowed one is refused.
    Required,
}

/// The `[source.tls]` table: our certificate, and the rules for the peers' certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// PEM file with our certificate, followed by the intermediate CAs that lead to the root.
    pub cert: PathBuf,
    /// PEM file with its private key.
    pub key: PathBuf,
    /// The oldest TLS version that is spoken.
    #[serde(default)]
    pub min_version: MinVersion,
    /// Whether peers show a certificate.
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// PEM file with the CAs that sign the peers' certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// Host names, or `*.` and a domain, one of which the peer's certificate must hold. Needs `client_ca`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub client_names: Vec<String>,
    /// Fingerprints of certificates that are taken: besides `client_names`, or by themselves without a CA.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub client_fingerprints: Vec<Fingerprint>,
}

impl ServerConfig {
    /// What contradicts itself: the key inside this table, and what to write instead.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut problem = |key: &str, words: String| problems.push((key.to_owned(), words));
        let has_rules = self.client_ca.is_some() || !self.client_fingerprints.is_empty();
        match self.client_auth {
            ClientAuth::None if has_rules || !self.client_names.is_empty() => problem(
                "client_auth",
                "client rules are set but no certificate is asked for; write client_auth = \"required\" or take the \
                 rules out"
                    .into(),
            ),
            ClientAuth::Optional | ClientAuth::Required if !has_rules => problem(
                "client_ca",
                "client certificates are asked for but nothing says which; set client_ca or client_fingerprints".into(),
            ),
            _ => {}
        }
        if self.client_ca.is_none() && !self.client_names.is_empty() {
            problem("client_names", "a name proves nothing without a CA that vouches for it; set client_ca".into());
        }
        for (at, name) in self.client_names.iter().enumerate().filter(|(_, name)| !rules::is_name_rule(name)) {
            let words = format!("{name:?} is not a host name; write \"fw1.example.net\" or \"*.example.net\"");
            problem(&format!("client_names[{at}]"), words);
        }
        problems
    }

    /// Opens and checks the files: as [`ServerConfig::build`], and a certificate that has expired counts too.
    #[must_use]
    pub fn open_files(&self) -> Vec<(String, String)> {
        match self.load() {
            Err(error) => vec![(error_key(&error, &self.key, self.client_ca.as_ref()), error.to_string())],
            Ok(loaded) if loaded.valid_until < Clock::System.now() => {
                let (file, at) = (self.cert.display(), loaded.valid_until);
                vec![("cert".into(), format!("the certificate in {file} expired on {at}; put a new one in its place"))]
            }
            Ok(_) => Vec::new(),
        }
    }

    /// Reads the files and makes the acceptor. An expired certificate is no error: many senders do not look, and their
    /// events must not be lost; [`Acceptor::valid_until`] tells.
    ///
    /// # Errors
    /// When a file is missing or wrong, or the table contradicts itself.
    pub fn build(&self) -> Result<Acceptor, TlsError> {
        if let Some((key, words)) = self.validate().into_iter().next() {
            return Err(TlsError::Settings(format!("tls.{key}: {words}")));
        }
        let stamps = self.stamps();
        let loaded = self.load()?;
        let shared = Shared { config: self.clone(), current: RwLock::new((stamps, loaded)) };
        Ok(Acceptor { shared: Arc::new(shared) })
    }

    fn load(&self) -> Result<Loaded, TlsError> {
        let provider = provider();
        let identity = Identity::read(&self.cert, &self.key, &provider)?;
        let valid_until = identity.valid_until().unwrap_or_default();
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(self.min_version.versions())?;
        let builder = if self.client_auth == ClientAuth::None {
            builder.with_no_client_auth()
        } else {
            builder.with_client_cert_verifier(Arc::new(self.client_rules(provider)?))
        };
        let config = builder.with_single_cert(identity.chain, identity.key)?;
        Ok(Loaded { acceptor: TlsAcceptor::from(Arc::new(config)), valid_until })
    }

    fn client_rules(&self, provider: Arc<rustls::crypto::CryptoProvider>) -> Result<ClientRules, TlsError> {
        let chain = match &self.client_ca {
            None => None,
            Some(path) => {
                let roots = Arc::new(pem::roots(path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
                Some(verifier.map_err(|error| TlsError::Settings(format!("tls.client_ca: {error}")))?)
            }
        };
        Ok(ClientRules {
            chain,
            names: self.client_names.clone(),
            fingerprints: self.client_fingerprints.clone(),
            mandatory: self.client_auth == ClientAuth::Required,
            provider,
        })
    }

    fn stamps(&self) -> pem::Stamps {
        pem::stamps([&self.cert, &self.key].into_iter().chain(&self.client_ca))
    }
}

/// The key of the table that a build error is about.
fn error_key(error: &TlsError, key: &std::path::Path, ca: Option<&PathBuf>) -> String {
    let about = match error {
        TlsError::Read { path, .. } if path == key => "key",
        TlsError::Read { path, .. } | TlsError::NoCertificate { path, .. } | TlsError::BadCertificate { path, .. }
            if Some(path) == ca =>
        {
            "client_ca"
        }
        TlsError::NoKey { .. }
        | TlsError::EncryptedKey { .. }
        | TlsError::BadKey { .. }
        | TlsError::KeyMismatch { .. } => "key",
        _ => "cert",
    };
    about.to_owned()
}

/// Does the TLS handshakes of a listener. Clones share the certificate that is in use.
#[derive(Clone, Debug)]
pub struct Acceptor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: ServerConfig,
    current: RwLock<(pem::Stamps, Loaded)>,
}

#[derive(Clone)]
struct Loaded {
    acceptor: TlsAcceptor,
    valid_until: Timestamp,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("valid_until", &self.valid_until).finish_non_exhaustive()
    }
}

impl Acceptor {
    /// When our certificate expires.
    #[must_use]
    pub fn valid_until(&self) -> Timestamp {
        self.current().valid_until
    }

    /// Takes the files into use again if any of them changed; true if so. Blocks for the time of reading three small files.
    ///
    /// # Errors
    /// When a changed file cannot be used: what was in use stays in use.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let stamps = self.shared.config.stamps();
        if self.shared.current.read().unwrap_or_else(PoisonError::into_inner).0 == stamps {
            return Ok(false);
        }
        let loaded = self.shared.config.load()?;
        *self.shared.current.write().unwrap_or_else(PoisonError::into_inner) = (stamps, loaded);
        Ok(true)
    }

    fn current(&self) -> Loaded {
        self.shared.current.read().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// Does the handshake, within 10 s.
    ///
    /// # Errors
    /// When the peer is refused, too slow, or speaks no TLS.
    ///
    /// # Cancel safety
    /// Dropping it closes the connection.
    pub async fn accept(&self, tcp: TcpStream, peer: SocketAddr) -> Result<Stream, HandshakeError> {
        let handshake = self.current().acceptor.accept(tcp);
        let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await.map_err(|_| HandshakeError::TimedOut)?;
        let stream = stream.map_err(HandshakeError::from_io)?;
        let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let name = leaf.and_then(|leaf| rules::name_of(leaf, &self.shared.config.client_names));
        Ok(Stream::tls(stream.into(), peer, name))
    }
}
