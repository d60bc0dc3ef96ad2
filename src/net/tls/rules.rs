//! Which client certificates a listener takes.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;

/// The SHA-256 of a whole certificate in DER, written `"sha256:AA:BB:…"` (32 pairs; RFC 5425 section 4.2.2 with SHA-256), as
/// `openssl x509 -noout -fingerprint -sha256` shows it. That line as a whole, `sha-256:`, lower case and no colons are read
/// too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a certificate.
    #[must_use]
    pub fn of(certificate: &[u8]) -> Self {
        Self(sha256(certificate))
    }
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    for (to, from) in sum.iter_mut().zip(digest::digest(&digest::SHA256, bytes).as_ref()) {
        *to = *from;
    }
    sum
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256")?;
        self.0.iter().try_for_each(|byte| write!(f, ":{byte:02X}"))
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not a fingerprint; write \"sha256:\" and 32 pairs of hexadecimal digits, as \
                 openssl x509 -noout -fingerprint -sha256 shows them"
            )
        };
        let text = &text.replacen(" Fingerprint=", ":", 1);
        let (kind, digits) = text.split_once(':').ok_or_else(wrong)?;
        let digits: Vec<u32> = digits.chars().filter(|c| *c != ':').map_while(|c| c.to_digit(16)).collect();
        let separators = text.chars().skip(kind.len()).filter(|c| *c == ':').count();
        if !matches!(kind.to_ascii_lowercase().as_str(), "sha256" | "sha-256")
            || digits.len() != 64
            || kind.len() + separators + digits.len() != text.len()
        {
            return Err(wrong());
        }
        let mut sum = [0; 32];
        for (byte, pair) in sum.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair.iter().fold(0u8, |sum, digit| (sum << 4) | (*digit as u8 & 15));
        }
        Ok(Self(sum))
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

/// Takes a client certificate when it chains to the CA, where there is one, and is one of the listed names or fingerprints,
/// where there are any. Without a CA the fingerprint decides alone; the validity dates and, as always, the signature of the
/// handshake are checked too.
#[derive(Debug)]
pub(super) struct ClientRules {
    /// Checks the chain; `None` where only fingerprints are given.
    pub(super) chain: Option<Arc<dyn ClientCertVerifier>>,
    pub(super) names: Vec<String>,
    pub(super) fingerprints: Vec<Fingerprint>,
    pub(super) mandatory: bool,
    pub(super) provider: Arc<CryptoProvider>,
}

/// A refusal in our own words, carried through rustls.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NotListed(String);

fn refuse(words: String) -> rustls::Error {
    CertificateError::Other(OtherError(Arc::new(NotListed(words)))).into()
}

impl ClientRules {
    fn check_listed(&self, leaf: &CertificateDer<'_>, parsed: &X509Certificate<'_>) -> Result<(), rustls::Error> {
        if self.names.is_empty() && self.fingerprints.is_empty() {
            return Ok(());
        }
        let fingerprint = Fingerprint::of(leaf);
        let names = dns_names(parsed);
        let is_named = |rule: &String| names.iter().any(|name| name_matches(rule, name));
        if self.fingerprints.contains(&fingerprint) || self.names.iter().any(is_named) {
            return Ok(());
        }
        let shown = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
        Err(refuse(format!("it holds {shown} and has the fingerprint {fingerprint}, which the rules do not list")))
    }
}

impl ClientCertVerifier for ClientRules {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.as_ref().map_or(&[], |chain| chain.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let (_, parsed) = x509_parser::parse_x509_certificate(leaf).map_err(|_| CertificateError::BadEncoding)?;
        match &self.chain {
            Some(chain) => {
                chain.verify_client_cert(leaf, intermediates, now)?;
            }
            None => check_dates(&parsed, now)?,
        }
        self.check_listed(leaf, &parsed)?;
        Ok(ClientCertVerified::assertion())
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

fn check_dates(certificate: &X509Certificate<'_>, time: UnixTime) -> Result<(), CertificateError> {
    let moment = |at: i64| UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(at).unwrap_or(0)));
    let not_before = moment(certificate.validity().not_before.timestamp());
    let not_after = moment(certificate.validity().not_after.timestamp());
    if time < not_before {
        return Err(CertificateError::NotValidYetContext { time, not_before });
    }
    if time > not_after {
        return Err(CertificateError::ExpiredContext { time, not_after });
    }
    Ok(())
}

/// The name by which a verified certificate is known: the DNS name that a rule lists, else its first, else its common name.
pub(super) fn name_of(certificate: &[u8], rules: &[String]) -> Option<Box<str>> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let names = dns_names(&parsed);
    let listed = names.iter().find(|name| rules.iter().any(|rule| name_matches(rule, name)));
    let common = || parsed.subject().iter_common_name().next()?.as_str().ok();
    let name = listed.or(names.first()).copied().or_else(common)?;
    // `Origin` keeps 255 bytes; a DNS name is no longer, a common name may be.
    let name = name.get(..name.floor_char_boundary(255))?;
    (!name.is_empty()).then(|| name.into())
}

fn dns_names<'a>(certificate: &'a X509Certificate<'_>) -> Vec<&'a str> {
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    names.iter().filter_map(|name| if let GeneralName::DNSName(name) = name { Some(*name) } else { None }).collect()
}

/// Whether a rule and a certificate's name are the same host. `*` may stand for the whole left-most label on either side
/// (RFC 5425 section 5.2), never for a part of a label or for several.
pub(super) fn name_matches(rule: &str, name: &str) -> bool {
    let covers = |pattern: &str, name: &str| match (pattern.split_once('.'), name.split_once('.')) {
        (Some(("*", pattern)), Some((first, rest))) => !first.is_empty() && pattern.eq_ignore_ascii_case(rest),
        _ => false,
    };
    let (rule, name) = (rule.trim_end_matches('.'), name.trim_end_matches('.'));
    rule.eq_ignore_ascii_case(name) || covers(rule, name) || covers(name, rule)
}

/// Whether a name rule can match anything.
pub(super) fn is_name_rule(rule: &str) -> bool {
    let host = rule.strip_prefix("*.").unwrap_or(rule);
    !host.is_empty() && host.split('.').all(|label| !label.is_empty() && !label.contains(['*', ' ', '/', ':']))
}
