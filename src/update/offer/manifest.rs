//! The manifest: what a fleet operator says of the newest version, signed.
//!
//! One file, so that it is replaced at one stroke: a first line `sapphire-update-1 SIGNATURE`, where the signature is an
//! Ed25519 one (RFC 8032) in base64 over everything after that line's end, and then a JSON object. Made with `openssl
//! pkeyutl -sign -rawin` (README). The bundle has RAUC's own signature besides; this one tells which bundle, and until when,
//! so that nobody on the way can hold a box back with an old manifest or lead it to another bundle.
//!
//! Keys of the object: `serial` (a number that grows with every manifest), `compatible`, `version` (semantic), `url`
//! (absolute, or relative to the manifest's), `size` in bytes, `sha256` in hex, `not_after` (RFC 3339); if wanted
//! `min_version` and `changelog`. Others are passed over, so that a later version may say more.

use std::path::Path;

use semver::Version;
use serde::{Deserialize, Serialize};

use super::super::error::UpdateError;
use crate::clock::Timestamp;
use crate::net::http::Url;
use crate::secret::{KeysError, PublicKeys};

/// A changelog of a few pages.
pub(in super::super) const LARGEST: usize = 256 << 10;
/// How the first line begins; the number is the format's.
const MAGIC: &str = "sapphire-update-1 ";
/// Reads the keys: any of them is enough.
///
/// # Errors
/// When the file cannot be read or holds something else; in words.
pub(in super::super) fn read_keys(path: &Path) -> Result<PublicKeys, UpdateError> {
    PublicKeys::read(path).map_err(|error| match error {
        KeysError::Read { path, source } => UpdateError::file(&path, source),
        KeysError::Wrong(words) => UpdateError::Refused(words),
    })
}

/// What the operator offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Manifest {
    pub(in super::super) serial: u64,
    pub(in super::super) compatible: String,
    pub(in super::super) version: Version,
    url: String,
    pub(in super::super) size: u64,
    #[serde(with = "hex")]
    pub(in super::super) sha256: [u8; 32],
    not_after: jiff::Timestamp,
    #[serde(default)]
    pub(in super::super) min_version: Option<Version>,
    #[serde(default)]
    pub(in super::super) changelog: String,
}

impl Manifest {
    /// Checks signature and date, and that it is for this box and no older one than the newest seen.
    ///
    /// # Errors
    /// Why it is not taken.
    pub(in super::super) fn open(
        bytes: &[u8],
        keys: &PublicKeys,
        compatible: &str,
        newest_serial: u64,
        now: Timestamp,
    ) -> Result<Self, UpdateError> {
        let refused = |words: String| Err(UpdateError::Refused(words));
        let Some(body) = signed_body(bytes, keys) else {
            return refused(
                "the manifest is not signed by a key that this box trusts, or was changed since; \
                 ask its publisher, or check update.keys"
                    .to_owned(),
            );
        };
        let manifest: Self = match serde_json::from_slice(body) {
            Ok(manifest) => manifest,
            Err(error) => {
                return refused(format!("the manifest does not say what it must ({error}); ask its publisher"));
            }
        };
        if manifest.compatible != compatible {
            let Self { compatible: other, .. } = &manifest;
            return refused(format!(
                "the manifest is for {other}, and this box is {compatible}; check update.manifest"
            ));
        }
        if u64::try_from(manifest.not_after.as_microsecond()).unwrap_or(0) < now.micros() {
            return refused(format!(
                "the manifest was valid until {}; its publisher must sign a new one, unless this box's clock is wrong",
                manifest.not_after
            ));
        }
        if manifest.serial < newest_serial {
            return refused(format!(
                "the manifest is an old one (serial {}, and {newest_serial} was seen): \
                 somebody may hold updates back; ask its publisher",
                manifest.serial
            ));
        }
        Ok(manifest)
    }

    /// Where the bundle is.
    ///
    /// # Errors
    /// When that is no HTTPS address.
    pub(in super::super) fn bundle_url(&self, manifest: &Url) -> Result<Url, UpdateError> {
        let joined = manifest.join(&self.url).ok().filter(|url| url.scheme() == "https");
        let words = || format!("{:?}, where the bundle should be, is no https address; ask the publisher", self.url);
        joined.ok_or_else(|| UpdateError::Refused(words()))
    }
}

/// What follows the first line, if a key has signed it.
fn signed_body<'a>(bytes: &'a [u8], keys: &PublicKeys) -> Option<&'a [u8]> {
    let end = memchr::memchr(b'\n', bytes)?;
    let (line, body) = (bytes.get(..end)?, bytes.get(end + 1..)?);
    let signature = std::str::from_utf8(line).ok()?.strip_prefix(MAGIC)?.trim_end();
    keys.have_signed(body, signature).then_some(body)
}

/// 32 bytes as 64 hexadecimal digits.
mod hex {
    use serde::de::{Deserialize as _, Deserializer, Error as _};
    use serde::ser::Serializer;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(from)?;
        let digits: Option<Vec<u8>> =
            text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
        let bytes: Option<Vec<u8>> = digits.filter(|digits| digits.len() == 64).map(|digits| {
            digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| (byte << 4) | digit)).collect()
        });
        bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| D::Error::custom("sha256 is 64 hex digits"))
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    const BOX: &str = "sapphire-edge-x86_64";

    fn pair() -> (Ed25519KeyPair, PublicKeys) {
        let pair = Ed25519KeyPair::generate().unwrap();
        let key = pair.public_key().as_ref().try_into().unwrap();
        (pair, PublicKeys::new(vec![[7; 32], key]))
    }

    fn body(change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
        let mut value = serde_json::json!({
            "serial": 7, "compatible": BOX, "version": "1.2.3", "url": "bundles/a.raucb", "size": 1000,
            "sha256": "00ff".repeat(16), "not_after": "2027-01-01T00:00:00Z", "more": true,
        });
        change(&mut value);
        value.to_string().into_bytes()
    }

    fn signed(pair: &Ed25519KeyPair, body: &[u8]) -> Vec<u8> {
        let signature = STANDARD.encode(pair.sign(body).as_ref());
        [MAGIC.as_bytes(), signature.as_bytes(), b"\n", body].concat()
    }

    fn at(text: &str) -> Timestamp {
        Timestamp(u64::try_from(text.parse::<jiff::Timestamp>().unwrap().as_microsecond()).unwrap())
    }

    fn open(bytes: &[u8], keys: &PublicKeys) -> Result<Manifest, String> {
        Manifest::open(bytes, keys, BOX, 7, at("2026-11-24T00:00:00Z")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_good_manifest_is_read() {
        let (pair, keys) = pair();
        let manifest = open(&signed(&pair, &body(|_| {})), &keys).unwrap();
        assert_eq!((manifest.version.to_string().as_str(), manifest.size, manifest.sha256[1]), ("1.2.3", 1_000, 255));
        let base = Url::parse("https://up.example.net/edge/x.manifest").unwrap();
        assert_eq!(manifest.bundle_url(&base).unwrap().as_str(), "https://up.example.net/edge/bundles/a.raucb");
        let json = serde_json::to_string(&manifest).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), manifest);
    }

    #[test]
    fn what_is_wrong_is_refused_and_said() {
        let (pair, keys) = pair();
        let (other, _) = self::pair();
        for (bytes, part) in [
            (signed(&other, &body(|_| {})), "not signed by a key that this box trusts"),
            (body(|_| {}), "not signed"),
            (Vec::new(), "not signed"),
            (signed(&pair, &body(|json| json["compatible"] = "other".into())), "is for other"),
            (signed(&pair, &body(|json| json["not_after"] = "2026-11-23T00:00:00Z".into())), "was valid until"),
            (signed(&pair, &body(|json| json["serial"] = 6.into())), "an old one (serial 6, and 7 was seen)"),
            (signed(&pair, &body(|json| json["sha256"] = "00".into())), "64 hex digits"),
            (signed(&pair, &body(|json| json["version"] = "1.2".into())), "does not say what it must"),
            (signed(&pair, &body(|json| drop(json.as_object_mut().unwrap().remove("size")))), "`size`"),
        ] {
            let error = open(&bytes, &keys).unwrap_err();
            assert!(error.contains(part), "{part}: {error}");
        }
        let plain = signed(&pair, &body(|json| json["url"] = "http://up.example.net/a.raucb".into()));
        let base = Url::parse("https://up.example.net/").unwrap();
        assert!(open(&plain, &keys).unwrap().bundle_url(&base).is_err(), "the bundle is never fetched in the clear");
    }

    proptest! {
        #[test]
        fn no_changed_byte_is_taken(place in any::<prop::sample::Index>(), flip in 1..=255u8) {
            let (pair, keys) = pair();
            let good = signed(&pair, &body(|_| {}));
            let mut bytes = good.clone();
            let at = place.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert!(open(&bytes, &keys).is_err(), "byte {at}");
            prop_assert!(open(&good[..at], &keys).is_err(), "cut at {at}");
        }

        #[test]
        fn arbitrary_bytes_are_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let (_, keys) = pair();
            prop_assert!(open(&bytes, &keys).is_err());
        }
    }
}
