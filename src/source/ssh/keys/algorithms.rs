//! Which algorithms a listener offers: the modern ones, or with the old ones behind them.
//!
//! Facts: ssh-audit 3.9 finds nothing to say about the modern lists, but that a key exchange other than the first is not safe from
//! quantum computers: OpenSSH before 9.9 and all of AsyncOS know no other that russh has. They are without SHA-1, CBC, DSA, plain
//! encrypt-and-MAC, finite-field groups below 3,072 bits and NIST curves in the key exchange. What old AsyncOS offers is in
//! no document of Cisco; the legacy lists are the union of what OpenSSH 5 to 7 could speak, without MD5, which russh does not
//! have.

use std::borrow::Cow;

use russh::keys::{Algorithm, EcdsaCurve, HashAlg};
use russh::{Preferred, cipher, compression, kex, mac};

const P256: Algorithm = Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 };
const P384: Algorithm = Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 };
const P521: Algorithm = Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 };
const RSA_512: Algorithm = Algorithm::Rsa { hash: Some(HashAlg::Sha512) };
const RSA_256: Algorithm = Algorithm::Rsa { hash: Some(HashAlg::Sha256) };
const RSA_SHA1: Algorithm = Algorithm::Rsa { hash: None };

const MODERN_KEX: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::DH_G16_SHA512,
    kex::DH_G18_SHA512,
    kex::EXTENSION_SUPPORT_AS_SERVER,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
];
const LEGACY_KEX: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::ECDH_SHA2_NISTP256,
    kex::ECDH_SHA2_NISTP384,
    kex::ECDH_SHA2_NISTP521,
    kex::DH_G16_SHA512,
    kex::DH_G18_SHA512,
    kex::DH_GEX_SHA256,
    kex::DH_G14_SHA256,
    kex::DH_GEX_SHA1,
    kex::DH_G14_SHA1,
    kex::DH_G1_SHA1,
    kex::EXTENSION_SUPPORT_AS_SERVER,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
];
const MODERN_CIPHERS: &[cipher::Name] = &[
    cipher::AES_256_GCM,
    cipher::AES_128_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_CTR,
    cipher::AES_192_CTR,
    cipher::AES_128_CTR,
];
const LEGACY_CIPHERS: &[cipher::Name] = &[
    cipher::AES_256_GCM,
    cipher::AES_128_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_CTR,
    cipher::AES_192_CTR,
    cipher::AES_128_CTR,
    cipher::AES_256_CBC,
    cipher::AES_192_CBC,
    cipher::AES_128_CBC,
    cipher::TRIPLE_DES_CBC,
];
const MODERN_MACS: &[mac::Name] = &[mac::HMAC_SHA512_ETM, mac::HMAC_SHA256_ETM];
const LEGACY_MACS: &[mac::Name] = &[
    mac::HMAC_SHA512_ETM,
    mac::HMAC_SHA256_ETM,
    mac::HMAC_SHA512,
    mac::HMAC_SHA256,
    mac::HMAC_SHA1_ETM,
    mac::HMAC_SHA1,
];
const MODERN_HOST_KEYS: &[Algorithm] = &[Algorithm::Ed25519, RSA_512, RSA_256];
const LEGACY_HOST_KEYS: &[Algorithm] = &[Algorithm::Ed25519, P256, RSA_512, RSA_256, RSA_SHA1, Algorithm::Dsa];

/// What may be spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source::ssh) enum Age {
    /// Nothing that is known to be weak.
    Modern,
    /// The old algorithms too, with or without DSA.
    Legacy {
        /// Whether DSA keys are taken.
        dss: bool,
    },
}

impl Age {
    /// What is offered, best first.
    pub(in crate::source::ssh) fn preferred(self) -> Preferred {
        let is_modern = self == Self::Modern;
        let pick = |modern, legacy| if is_modern { modern } else { legacy };
        Preferred {
            kex: Cow::Borrowed(if is_modern { MODERN_KEX } else { LEGACY_KEX }),
            key: Cow::Borrowed(pick(MODERN_HOST_KEYS, LEGACY_HOST_KEYS)),
            host_key_certificates: Cow::Borrowed(&[]),
            cipher: Cow::Borrowed(if is_modern { MODERN_CIPHERS } else { LEGACY_CIPHERS }),
            mac: Cow::Borrowed(if is_modern { MODERN_MACS } else { LEGACY_MACS }),
            compression: Cow::Borrowed(&[compression::NONE]),
        }
    }

    /// Whether a device may prove its key by this signature.
    pub(in crate::source::ssh) fn takes(self, algorithm: &Algorithm) -> bool {
        match algorithm {
            Algorithm::Ed25519 | Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256 => true,
            Algorithm::Rsa { hash: None } => self != Self::Modern,
            Algorithm::Dsa => self == Self::Legacy { dss: true },
            other => [P256, P384, P521, RSA_512, RSA_256].contains(other),
        }
    }
}
