//! Keys and certificates of our own that somebody else signs: the key, the request (PKCS #10, RFC 2986), and a look at what came.
//!
//! Keys are ECDSA on P-256, which every broker and enrolment server takes. A request names the box, and nothing else; one for a
//! certificate that is there already has that one's subject and DNS names (RFC 7030 section 4.2.2 wants them to be the same).

use std::io;
use std::sync::Arc;

use rcgen::string::PrintableString;
use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, PublicKeyData as _, SanType};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::asn1_rs::Tag;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use super::provider;
use crate::clock::Timestamp;
use crate::secret::Secret;

/// A private key of ours.
pub struct OwnKey(KeyPair);

impl std::fmt::Debug for OwnKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OwnKey(***)")
    }
}

impl OwnKey {
    /// A new one.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn generate() -> io::Result<Self> {
        KeyPair::generate().map(Self).map_err(io::Error::other)
    }

    /// One that was written as PEM.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_pem(pem: &Secret<String>) -> io::Result<Self> {
        KeyPair::from_pem(pem.expose()).map(Self).map_err(io::Error::other)
    }

    /// As PEM.
    #[must_use]
    pub fn to_pem(&self) -> Secret<String> {
        Secret::new(self.0.serialize_pem())
    }

    /// A request for a certificate of this subject, in DER.
    ///
    /// # Errors
    /// When the subject cannot be written into one.
    pub fn request(&self, subject: &Subject<'_>) -> io::Result<Vec<u8>> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        match subject {
            Subject::Named(name) => params.distinguished_name.push(DnType::CommonName, *name),
            Subject::AsIn(certificate) => as_in(certificate, &mut params)?,
        }
        let request = params.serialize_request(&self.0).map_err(io::Error::other)?;
        Ok(request.der().to_vec())
    }
}

/// Whom a certificate is to be for.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// Whoever has this name (CN).
    Named(&'a str),
    /// The same as this certificate (DER).
    AsIn(&'a [u8]),
}

fn as_in(certificate: &[u8], params: &mut CertificateParams) -> io::Result<()> {
    let certificate = parsed(certificate)?;
    for attribute in certificate.subject().iter_attributes() {
        let odd = || io::Error::other("the certificate's subject holds something that is no text");
        let number: Vec<u64> = attribute.attr_type().iter().ok_or_else(odd)?.collect();
        let text = attribute.as_str().map_err(|_| odd())?;
        let value = match attribute.attr_value().tag() {
            Tag::PrintableString => {
                PrintableString::try_from(text).map(DnValue::PrintableString).map_err(io::Error::other)?
            }
            _ => DnValue::Utf8String(text.to_owned()),
        };
        params.distinguished_name.push(DnType::from_oid(&number), value);
    }
    let alternative = certificate.subject_alternative_name().map_err(io::Error::other)?;
    for name in alternative.iter().flat_map(|names| &names.value.general_names) {
        if let GeneralName::DNSName(name) = name {
            params.subject_alt_names.push(SanType::DnsName((*name).try_into().map_err(io::Error::other)?));
        }
    }
    Ok(())
}

fn parsed(certificate: &[u8]) -> io::Result<X509Certificate<'_>> {
    let (rest, certificate) =
        x509_parser::parse_x509_certificate(certificate).map_err(|error| io::Error::other(error.to_string()))?;
    if rest.is_empty() { Ok(certificate) } else { Err(io::Error::other("something follows the certificate")) }
}

/// What a certificate says, for whoever asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The name in its subject (CN).
    pub common_name: Option<String>,
    /// Its whole subject.
    pub subject: String,
    /// When it begins.
    pub begins: Timestamp,
    /// When it ends.
    pub ends: Timestamp,
    /// Nobody else has signed it: it is a root.
    pub is_root: bool,
    /// The public key in it.
    spki: Vec<u8>,
}

impl Issued {
    /// What this certificate (DER) says.
    ///
    /// # Errors
    /// When it is none, or of no time that can be.
    pub fn read(certificate: &[u8]) -> io::Result<Self> {
        let said = parsed(certificate)?;
        let moment = |seconds: i64| {
            let seconds = u64::try_from(seconds).map_err(|_| io::Error::other("it is of a time before 1970"))?;
            Ok::<_, io::Error>(Timestamp(seconds.saturating_mul(1_000_000)))
        };
        let common_name = said.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        Ok(Self {
            common_name: common_name.map(str::to_owned),
            subject: said.subject().to_string(),
            begins: moment(said.validity().not_before.timestamp())?,
            ends: moment(said.validity().not_after.timestamp())?,
            is_root: said.subject().as_raw() == said.issuer().as_raw(),
            spki: said.public_key().raw.to_vec(),
        })
    }

    /// Whether it is for this key.
    #[must_use]
    pub fn is_for(&self, key: &OwnKey) -> bool {
        self.spki == key.0.subject_public_key_info()
    }
}

/// Whether a server that trusts `roots` would take a client with this chain, its own certificate first; why not.
///
/// # Errors
/// When it would not.
pub fn would_be_taken(chain: &[Vec<u8>], roots: &[Vec<u8>], now: Timestamp) -> Result<(), String> {
    let der = |bytes: &Vec<u8>| CertificateDer::from(bytes.clone());
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.iter().map(der));
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider()).build();
    let verifier = verifier.map_err(|error| error.to_string())?;
    let mut chain = chain.iter().map(der);
    let first = chain.next().ok_or("there is no certificate")?;
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_micros(now.micros()));
    let checked = verifier.verify_client_cert(&first, &chain.collect::<Vec<_>>(), now);
    checked.map(drop).map_err(|error| error.to_string())
}

/// Certificates as PEM, one after the other.
#[must_use]
pub fn to_pem(certificates: &[Vec<u8>]) -> String {
    use base64::Engine as _;
    let lines = |der: &Vec<u8>| {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
        // RFC 7468 section 2: 64 characters a line.
        for line in text.as_bytes().chunks(64) {
            pem.push_str(&String::from_utf8_lossy(line));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        pem
    };
    certificates.iter().map(lines).collect()
}

/// The certificates in a PEM text, in DER; those that are none are left out.
#[must_use]
pub fn from_pem(text: &[u8]) -> Vec<Vec<u8>> {
    use rustls_pki_types::pem::PemObject as _;
    CertificateDer::pem_slice_iter(text).flatten().map(|certificate| certificate.to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, Issuer, date_time_ymd};

    use super::*;

    fn ca(name: &str) -> (Issuer<'static, KeyPair>, Vec<u8>) {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        (Issuer::new(params, key), der)
    }

    fn signed(key: &OwnKey, by: &Issuer<'static, KeyPair>) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["edge-7.example.net".to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, DnValue::PrintableString("Site 7".try_into().unwrap()));
        params.distinguished_name.push(DnType::CommonName, "edge-7");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2027, 1, 1));
        params.signed_by(&key.0, by).unwrap().der().to_vec()
    }

    /// The subject in a request: the second element of its first one (RFC 2986 section 4.1).
    fn subject_of(request: &[u8]) -> String {
        use x509_parser::prelude::FromDer as _;
        let (rest, request) = x509_parser::certification_request::X509CertificationRequest::from_der(request).unwrap();
        assert!(rest.is_empty());
        request.certification_request_info.subject.to_string()
    }

    #[test]
    fn a_certificate_is_asked_for_read_and_asked_for_again_with_the_same_subject() {
        let key = OwnKey::generate().unwrap();
        let again = OwnKey::from_pem(&key.to_pem()).unwrap();
        assert_eq!(subject_of(&key.request(&Subject::Named("edge-7")).unwrap()), "CN=edge-7");
        let (ca, root) = ca("ca");
        let certificate = signed(&key, &ca);
        let issued = Issued::read(&certificate).unwrap();
        assert!(issued.is_for(&again) && !issued.is_for(&OwnKey::generate().unwrap()) && !issued.is_root);
        assert_eq!(issued.common_name.as_deref(), Some("edge-7"));
        assert!(Issued::read(&root).unwrap().is_root);
        let request = key.request(&Subject::AsIn(&certificate)).unwrap();
        assert_eq!(subject_of(&request), issued.subject);
        assert!(memchr::memmem::find(&request, b"edge-7.example.net").is_some(), "its name too");
        assert_eq!(from_pem(to_pem(&[certificate.clone(), root.clone()]).as_bytes()), [certificate, root]);
        assert!(!format!("{key:?}").contains("BEGIN"));
    }

    #[test]
    fn it_is_known_whether_a_server_would_take_it() {
        let key = OwnKey::generate().unwrap();
        let ((issuer, root), (_, other)) = (ca("ca"), ca("another"));
        let chain = [signed(&key, &issuer)];
        let at = |seconds: u64| Timestamp(seconds * 1_000_000);
        let (within, after) = (at(1_790_000_000), at(1_830_000_000));
        assert_eq!(would_be_taken(&chain, std::slice::from_ref(&root), within), Ok(()));
        assert!(would_be_taken(&chain, std::slice::from_ref(&root), after).unwrap_err().contains("xpired"));
        assert!(would_be_taken(&chain, &[other], within).is_err());
        assert!(would_be_taken(&chain, &[], within).is_err() && would_be_taken(&[], &[root], within).is_err());
        assert!(Issued::read(b"no certificate").is_err());
    }
}
