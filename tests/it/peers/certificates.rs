//! A certificate authority in a folder of its own, and what it signs.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use sapphire_edge::net::tls::{Fingerprint, KeyPin};
use tempfile::TempDir;

/// A CA made on the spot; its files go away with it.
pub struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

/// The PEM files of a certificate.
#[derive(Clone, Debug)]
pub struct Identity {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test ca");
        let key = KeyPair::generate().unwrap();
        std::fs::write(folder.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    /// The CA's own certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Where files of a test may go.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A certificate for a name that is valid for years.
    pub fn identity(&self, name: &str) -> Identity {
        self.identity_of(&[name])
    }

    /// A certificate for several names, signed by this authority.
    pub fn identity_of(&self, names: &[&str]) -> Identity {
        let all: Vec<String> = names.iter().copied().map(str::to_owned).collect();
        self.sign(names[0], CertificateParams::new(all).unwrap())
    }

    /// A certificate that began yesterday and ends in so many days.
    pub fn ending_in(&self, days: u32, name: &str) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let now = jiff::tz::TimeZone::UTC.to_datetime(jiff::Timestamp::now()).date();
        let day = |date: jiff::civil::Date| {
            date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
        };
        params.not_before = day(now.yesterday().unwrap());
        params.not_after = day(now.saturating_add(jiff::Span::new().days(i64::from(days))));
        self.sign(name, params)
    }

    /// A certificate that was valid in the year 2020.
    pub fn expired(&self, name: &str) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.sign(name, params)
    }

    /// The pin of a certificate's key, as the settings write it.
    pub fn pin(&self, identity: &Identity) -> KeyPin {
        let pem = std::fs::read(&identity.cert).unwrap();
        KeyPin::of(&CertificateDer::from_pem_slice(&pem).unwrap()).unwrap()
    }

    /// The fingerprint of a certificate, as the settings write it.
    pub fn fingerprint(&self, identity: &Identity) -> String {
        let pem = std::fs::read(&identity.cert).unwrap();
        Fingerprint::of(&CertificateDer::from_pem_slice(&pem).unwrap()).to_string()
    }

    fn sign(&self, name: &str, mut params: CertificateParams) -> Identity {
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        let path = |ending: &str| self.folder.path().join(format!("{name}-{:x}.{ending}", rand::random::<u64>()));
        let identity = Identity { cert: path("pem"), key: path("key") };
        std::fs::write(&identity.cert, signed.pem()).unwrap();
        std::fs::write(&identity.key, key.serialize_pem()).unwrap();
        identity
    }
}
