//! The demo's own certificate authority, made on the spot: one server certificate for everything that listens on loopback.
//!
//! The CA's private key is never written: when the function returns nobody can sign with it any more.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use super::DemoError;

/// Where the certificates lie (PEM).
#[derive(Clone, Debug)]
pub(super) struct Certs {
    /// What a peer must trust.
    pub(super) ca: PathBuf,
    /// The server's certificate, for `localhost`, 127.0.0.1 and ::1.
    pub(super) cert: PathBuf,
    /// Its key, readable by the owner alone.
    pub(super) key: PathBuf,
}

impl Certs {
    /// Makes them in `folder`.
    pub(super) fn make(folder: &Path) -> Result<Self, DemoError> {
        let (ca_pem, cert_pem, key_pem) = issue().map_err(|err| DemoError::Certificate(err.to_string()))?;
        let certs = Self { ca: folder.join("ca.pem"), cert: folder.join("server.pem"), key: folder.join("server.key") };
        for (path, text, mode) in
            [(&certs.ca, ca_pem, 0o644), (&certs.cert, cert_pem, 0o644), (&certs.key, key_pem, 0o600)]
        {
            write(path, &text, mode).map_err(|source| DemoError::Folder { path: path.clone(), source })?;
        }
        Ok(certs)
    }
}

/// CA certificate, server certificate and server key as PEM.
fn issue() -> Result<(String, String, String), rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Sapphire Edge demo CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

    let mut params = CertificateParams::new(["localhost", "127.0.0.1", "::1"].map(str::to_owned))?;
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let cert = params.signed_by(&key, &ca)?;
    Ok((ca.pem(), cert.pem(), key.serialize_pem()))
}

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?.write_all(text.as_bytes())
}
