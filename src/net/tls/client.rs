//! The dialling side: the `[output.tls]` table and the connector made from it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{CertificateError, DigitallySignedStruct, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::pem::Identity;
use super::rules::sha256;
use super::{MinVersion, TlsError, pem, provider};
use crate::net::Stream;

/// The SHA-256 of a public key (its SubjectPublicKeyInfo in DER), written `"sha256/"` and base64, as curl's
/// `--pinnedpubkey` takes it with `//`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct KeyPin([u8; 32]);

impl KeyPin {
    /// The pin of the key in a certificate; `None` if it is none.
    #[must_use]
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
        Some(Self(sha256(parsed.public_key().raw)))
    }
}

impl fmt::Display for KeyPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256/{}", STANDARD.encode(self.0))
    }
}

impl FromStr for KeyPin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // 32 bytes are 44 characters, the first of which may be a slash too.
        let digits = text.strip_prefix("sha256/");
        let digits = digits.map(|digits| digits.strip_prefix('/').filter(|rest| rest.len() == 44).unwrap_or(digits));
        let sum = digits.and_then(|digits| STANDARD.decode(digits).ok()).and_then(|sum| sum.try_into().ok());
        sum.map(Self).ok_or_else(|| {
            format!("{text:?} is not a pinned key; write \"sha256/\" and the 44 base64 characters of the key's SHA-256")
        })
    }
}

impl TryFrom<String> for KeyPin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<KeyPin> for String {
    fn from(pin: KeyPin) -> Self {
        pin.to_string()
    }
}

/// The `[output.tls]` table: whom we trust, and our own certificate where the far end asks for one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientConfig {
    /// PEM file with the CAs of the far end; default the machine's own, unless keys are pinned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Keys one of which the far end must have. Enough by themselves (name and dates then play no part); with `ca` both
    /// must hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pinned_keys: Vec<KeyPin>,
    /// PEM file with our certificate, where the far end asks for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// PEM file with its private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// The name the far end's certificate must hold; default the host of the endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// The oldest TLS version that is spoken.
    pub min_version: MinVersion,
}

impl ClientConfig {
    /// What contradicts itself: the key inside this table, and what to write instead.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        if self.cert.is_some() != self.key.is_some() {
            let (missing, there) = if self.key.is_none() { ("key", "cert") } else { ("cert", "key") };
            problems.push((missing.to_owned(), format!("{there} is set without {missing}; set both or neither")));
        }
        if let Some(name) = &self.server_name
            && ServerName::try_from(name.as_str()).is_err()
        {
            let words = format!("{name:?} is not a host name or IP address; write \"gw1.example.net\"");
            problems.push(("server_name".into(), words));
        }
        problems
    }

    /// Opens and checks the files: as [`ClientConfig::build`], and a certificate that has expired counts too.
    #[must_use]
    pub fn open_files(&self) -> Vec<(String, String)> {
        let identity = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some((cert, Identity::read(cert, key, &provider()))),
            _ => None,
        };
        let mut problems = Vec::new();
        match identity {
            Some((_, Err(error))) => problems.push(("cert".to_owned(), error.to_string())),
            Some((cert, Ok(identity))) => {
                if let Some(at) = identity.valid_until().filter(|at| *at < crate::clock::Clock::System.now()) {
                    let words =
                        format!("the certificate in {} expired on {at}; put a new one in its place", cert.display());
                    problems.push(("cert".to_owned(), words));
                }
            }
            None => {}
        }
        if let Err(error) = self.roots() {
            problems.push(("ca".to_owned(), error.to_string()));
        }
        problems
    }

    /// Reads the files and makes the connector.
    ///
    /// # Errors
    /// When a file is missing or wrong, or the table contradicts itself.
    pub fn build(&self) -> Result<Connector, TlsError> {
        if let Some((key, words)) = self.validate().into_iter().next() {
            return Err(TlsError::Settings(format!("tls.{key}: {words}")));
        }
        let stamps = self.stamps();
        let current = RwLock::new((stamps, self.load()?));
        Ok(Connector { shared: Arc::new(Shared { config: self.clone(), current }) })
    }

    /// The CAs to check against; `None` where pinned keys decide alone.
    fn roots(&self) -> Result<Option<Arc<rustls::RootCertStore>>, TlsError> {
        match &self.ca {
            Some(path) => pem::roots(path).map(Arc::new).map(Some),
            None if !self.pinned_keys.is_empty() => Ok(None),
            None => pem::system_roots().map(Arc::new).map(Some),
        }
    }

    fn load(&self) -> Result<TlsConnector, TlsError> {
        Ok(TlsConnector::from(Arc::new(self.rustls()?)))
    }

    /// Reads the files and makes the configuration, for the HTTP client, which does its handshakes itself.
    pub(in super::super) fn rustls(&self) -> Result<rustls::ClientConfig, TlsError> {
        let provider = provider();
        let chain = match self.roots()? {
            None => None,
            Some(roots) => {
                let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
                Some(verifier.map_err(|error| TlsError::Settings(format!("tls.ca: {error}")))?)
            }
        };
        let name = self.server_name.as_deref().and_then(|name| ServerName::try_from(name.to_owned()).ok());
        let rules = ServerRules { chain, pins: self.pinned_keys.clone(), name, provider: Arc::clone(&provider) };
        let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(self.min_version.versions())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(rules));
        match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                let identity = Identity::read(cert, key, &provider)?;
                Ok(builder.with_client_auth_cert(identity.chain, identity.key)?)
            }
            _ => Ok(builder.with_no_client_auth()),
        }
    }

    fn stamps(&self) -> pem::Stamps {
        pem::stamps(self.ca.iter().chain(&self.cert).chain(&self.key))
    }
}

/// Takes a server certificate when it chains to a CA and holds the name, where there are CAs, and has a pinned key, where
/// keys are pinned. There is always at least one of the two.
#[derive(Debug)]
struct ServerRules {
    chain: Option<Arc<WebPkiServerVerifier>>,
    pins: Vec<KeyPin>,
    /// The name that the settings want in the certificate, whatever was dialled.
    name: Option<ServerName<'static>>,
    provider: Arc<CryptoProvider>,
}

/// A key that is not pinned, carried through rustls.
#[derive(Debug, thiserror::Error)]
#[error("its key is {0}, which is not among the pinned keys")]
pub(in super::super) struct NotPinned(String);

impl ServerCertVerifier for ServerRules {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if !self.pins.is_empty() {
            let pin = KeyPin::of(leaf).ok_or(CertificateError::BadEncoding)?;
            if !self.pins.contains(&pin) {
                return Err(CertificateError::Other(OtherError(Arc::new(NotPinned(pin.to_string())))).into());
            }
        }
        match &self.chain {
            Some(chain) => {
                let name = self.name.as_ref().unwrap_or(name);
                chain.verify_server_cert(leaf, intermediates, name, ocsp, now)
            }
            None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Does the TLS handshakes of what we dial. Clones share the certificate that is in use.
#[derive(Clone, Debug)]
pub struct Connector {
    shared: Arc<Shared>,
}

struct Shared {
    config: ClientConfig,
    current: RwLock<(pem::Stamps, TlsConnector)>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Connector {
    /// Does the handshake with the far end that was dialled as `host`. The caller bounds its time.
    ///
    /// # Errors
    /// As the handshake fails; a rustls error inside tells why.
    ///
    /// # Cancel safety
    /// Dropping it closes the connection.
    pub(in super::super) async fn connect(&self, tcp: TcpStream, host: &str, peer: SocketAddr) -> io::Result<Stream> {
        let name = self.shared.config.server_name.as_deref().unwrap_or(host).to_owned();
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        let stream = self.current().connect(name, tcp).await?;
        Ok(Stream::tls(stream.into(), peer, None))
    }

    /// What is in use, after another look at the files: dialling is rare enough for that. A changed file that cannot be used
    /// changes nothing.
    fn current(&self) -> TlsConnector {
        let stamps = self.shared.config.stamps();
        let (before, connector) = self.shared.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        if before == stamps {
            return connector;
        }
        match self.shared.config.load() {
            Ok(connector) => {
                *self.shared.current.write().unwrap_or_else(PoisonError::into_inner) = (stamps, connector.clone());
                connector
            }
            Err(error) => {
                tracing::warn!(%error, "changed tls files cannot be used; the earlier ones stay in use");
                connector
            }
        }
    }
}
