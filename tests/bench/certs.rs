//! A certificate authority made on the spot, and the two sides of TLS for our own receivers and generators.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Where everything listens; certificates are for this address and for `localhost`.
pub const HOST: &str = "127.0.0.1";

/// The files of a CA and of one server's certificate, and rustls configurations that use them.
#[derive(Clone, Debug)]
pub struct Certs {
    pub ca: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
    pub server: Arc<ServerConfig>,
    pub client: Arc<ClientConfig>,
}

impl Certs {
    /// Makes them in `folder`.
    pub fn make(folder: &Path) -> Result<Self> {
        let [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map(|name| folder.join(name));
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // OpenSSL takes a certificate whose issuer has its own name for a self-signed one.
        params.distinguished_name.push(DnType::CommonName, "bench ca");
        let ca_key = KeyPair::generate()?;
        std::fs::write(&ca, params.self_signed(&ca_key)?.pem())?;
        let issuer = Issuer::new(params, ca_key);
        let server_key = KeyPair::generate()?;
        let params = CertificateParams::new(vec!["localhost".to_owned(), HOST.to_owned()])?;
        std::fs::write(&cert, params.signed_by(&server_key, &issuer)?.pem())?;
        std::fs::write(&key, server_key.serialize_pem())?;

        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let chain = vec![CertificateDer::from_pem_file(&cert).context("reading the certificate")?];
        let private = PrivateKeyDer::from_pem_file(&key).context("reading the key")?;
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, private)?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&ca).context("reading the CA")?)?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { ca, cert, key, server: Arc::new(server), client: Arc::new(client) })
    }
}
