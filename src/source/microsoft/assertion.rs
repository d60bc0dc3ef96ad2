//! The signed statement that takes the place of a secret (RFC 7523; entra-docs, "certificate credentials").

use std::path::Path;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;

use super::identity::TokenVersion;
use crate::clock::Timestamp;

/// The vendor wants 5 to 10 minutes.
const VALID_SECONDS: u64 = 600;
/// A clock that is a little ahead of the vendor's must not make it come from the future.
const EARLIER_SECONDS: u64 = 60;
/// The vendor takes no shorter key.
const LEAST_BITS: usize = 2_048;

/// A certificate and its RSA key.
#[derive(Debug)]
pub(super) struct Signer {
    key: RsaKeyPair,
    sha1: String,
    sha256: String,
    /// When the certificate expires, in seconds since 1970.
    pub(super) until: u64,
}

impl Signer {
    /// Reads the PEM files. Blocks on the disk, briefly.
    ///
    /// # Errors
    /// What is wrong with them, in words.
    pub(super) fn read(certificate: &Path, key: &Path) -> Result<Self, String> {
        let said = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let leaf = CertificateDer::from_pem_file(certificate).map_err(|error| said(certificate, &error))?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&leaf).map_err(|error| said(certificate, &error))?;
        let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| {
            said(key, &format!("{error}; write the key without a passphrase, as openssl pkey -in FILE does"))
        })?;
        let pair = match &secret {
            PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
            _ => return Err(said(key, &"Entra takes RSA keys only; make one with openssl req -newkey rsa:3072")),
        };
        let pair =
            pair.map_err(|_| said(key, &"this is no RSA key; make one with openssl req -newkey rsa:3072 -nodes"))?;
        if pair.public_modulus_len() * 8 < LEAST_BITS {
            return Err(said(key, &"the key is shorter than 2048 bits, which Entra refuses"));
        }
        if parsed.public_key().subject_public_key.data.as_ref() != public_key(&pair) {
            return Err(said(key, &format!("this is not the key of {}", certificate.display())));
        }
        let thumbprint = |algorithm| URL_SAFE_NO_PAD.encode(digest(algorithm, &leaf));
        let until = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
        Ok(Self { key: pair, sha1: thumbprint(&SHA1_FOR_LEGACY_USE_ONLY), sha256: thumbprint(&SHA256), until })
    }

    /// Makes a statement for one request: RS256 and `x5t` for the v1 endpoint, PS256 and `x5t#S256` for v2, as the vendor's
    /// pages show each.
    ///
    /// # Errors
    /// When the random numbers or the signature fail, which a sound machine never does.
    pub(super) fn sign(
        &self,
        version: TokenVersion,
        audience: &str,
        client: &str,
        now: Timestamp,
    ) -> Result<String, String> {
        let seconds = now.0 / 1_000_000;
        let head = match version {
            TokenVersion::V1 => json!({ "alg": "RS256", "typ": "JWT", "x5t": self.sha1 }),
            TokenVersion::V2 => json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": self.sha256 }),
        };
        let claims = json!({
            "aud": audience, "iss": client, "sub": client, "jti": format!("{:032x}", rand::random::<u128>()),
            "iat": seconds.saturating_sub(EARLIER_SECONDS), "nbf": seconds.saturating_sub(EARLIER_SECONDS),
            "exp": seconds.saturating_add(VALID_SECONDS - EARLIER_SECONDS),
        });
        let encode = |part: serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(head), encode(claims));
        let padding = match version {
            TokenVersion::V1 => &RSA_PKCS1_SHA256,
            TokenVersion::V2 => &RSA_PSS_SHA256,
        };
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(padding, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| "the assertion could not be signed".to_owned())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

fn public_key(pair: &RsaKeyPair) -> &[u8] {
    use aws_lc_rs::signature::KeyPair as _;
    pair.public_key().as_ref()
}
