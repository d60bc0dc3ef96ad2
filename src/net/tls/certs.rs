//! Certificates made for one test: a CA, and pairs that it signs, as files in a folder that goes with it.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

use super::{ClientAuth, ClientConfig, Fingerprint, KeyPin, ServerConfig};

pub(crate) struct Ca {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    pub(crate) file: PathBuf,
}

#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) der: Vec<u8>,
}

impl Ca {
    pub(crate) fn new() -> Self {
        Self::named("test CA")
    }

    pub(crate) fn named(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key), file }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A pair for the given DNS names or addresses, valid now.
    pub(crate) fn pair(&self, file: &str, names: &[&str]) -> Pair {
        self.pair_between(file, names, 2020, 2090)
    }

    /// A pair that is valid from and until the first of January of the given years.
    pub(crate) fn pair_between(&self, file: &str, names: &[&str], from: i32, until: i32) -> Pair {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        params.distinguished_name.push(DnType::CommonName, "common name");
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let pair = Pair {
            cert: self.path(&format!("{file}.pem")),
            key: self.path(&format!("{file}.key")),
            der: certificate.der().to_vec(),
        };
        std::fs::write(&pair.cert, certificate.pem()).unwrap();
        std::fs::write(&pair.key, key.serialize_pem()).unwrap();
        pair
    }
}

impl Pair {
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.der)
    }

    pub(crate) fn pin(&self) -> KeyPin {
        KeyPin::of(&self.der).unwrap()
    }

    /// A server table with this pair that asks for no client certificate.
    pub(crate) fn server(&self) -> ServerConfig {
        ServerConfig {
            cert: self.cert.clone(),
            key: self.key.clone(),
            min_version: super::MinVersion::Tls12,
            client_auth: ClientAuth::None,
            client_ca: None,
            client_names: Vec::new(),
            client_fingerprints: Vec::new(),
        }
    }

    /// A client table that trusts `ca` and shows this pair.
    pub(crate) fn client(&self, ca: &Path) -> ClientConfig {
        let (cert, key) = (Some(self.cert.clone()), Some(self.key.clone()));
        ClientConfig { ca: Some(ca.to_owned()), cert, key, ..ClientConfig::default() }
    }
}
