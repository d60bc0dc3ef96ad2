//! Signatures of the Admin API.
//!
//! Facts: "Duo Admin API", Authentication; the vendor's `duo_client` for Python 5.7.0 (`client.py`), against which the vectors
//! below were checked. Parameters are encoded as OAuth 1.0 does (RFC 5849 section 3.6) and sorted; what is signed are lines
//! without a line end after the last. Version 5 adds the SHA-512 of the body and of the `x-duo-` fields, both of which are
//! empty in our requests.

use aws_lc_rs::digest::{SHA512, digest};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::source::sign::{encode, hex};

/// How requests are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Signature {
    /// Version 5, HMAC-SHA512.
    #[default]
    V5,
    /// Version 2, HMAC-SHA512.
    V2,
    /// Version 2, HMAC-SHA1, as guides before 2023 say.
    V2Sha1,
}

/// What is signed of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signed<'a> {
    /// As the field `Date` has it.
    pub(super) date: &'a str,
    pub(super) method: &'a str,
    /// Without a port.
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    /// As [`query`] writes them.
    pub(super) query: &'a str,
}

/// Parameters in the one form that is signed and sent.
pub(super) fn query(parameters: &[(&str, String)]) -> String {
    let mut pairs: Vec<(String, String)> =
        parameters.iter().map(|(name, value)| (encode(name, b""), encode(value, b""))).collect();
    pairs.sort();
    let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// A moment as the field `Date` has it.
pub(super) fn date(time: Timestamp) -> String {
    let micros = i64::try_from(time.micros()).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX);
    time.strftime("%a, %d %b %Y %H:%M:%S -0000").to_string()
}

impl Signature {
    /// The value of the field `Authorization`. Never log it.
    pub(super) fn authorization(
        self,
        signed: &Signed<'_>,
        integration_key: &str,
        secret_key: &str,
    ) -> Zeroizing<String> {
        let name = format!("{integration_key}:{}", self.hex(signed, secret_key));
        Zeroizing::new(format!("Basic {}", STANDARD.encode(name)))
    }

    fn hex(self, signed: &Signed<'_>, secret_key: &str) -> String {
        let Signed { date, method, host, path, query } = signed;
        let mut text = format!("{date}\n{}\n{}\n{path}\n{query}", method.to_uppercase(), host.to_lowercase());
        if self == Self::V5 {
            let nothing = hex(digest(&SHA512, b"").as_ref());
            text = format!("{text}\n{nothing}\n{nothing}");
        }
        let algorithm = match self {
            Self::V5 | Self::V2 => hmac::HMAC_SHA512,
            Self::V2Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        };
        hex(hmac::sign(&hmac::Key::new(algorithm, secret_key.as_bytes()), text.as_bytes()).as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vendors_published_example_is_signed_as_it_says() {
        let query = query(&[("username", "root".to_owned()), ("realname", "First Last".to_owned())]);
        assert_eq!(query, "realname=First%20Last&username=root");
        let signed = Signed {
            date: "Tue, 21 Aug 2012 17:29:18 -0000",
            method: "POST",
            host: "API-xxxxxxxx.duosecurity.com",
            path: "/accounts/v1/account/list",
            query: &query,
        };
        let key = "Zh5eGmUq9zpfQnyUIu5OL9iWoMMv5ZNmk3zLJ4Ep";
        assert_eq!(Signature::V2Sha1.hex(&signed, key), "2d97d6166319781b5a3a07af39d366f491234edc");
        let field = Signature::V2Sha1.authorization(&signed, "DIWJ8X6AEYOR5OMC6TQ1", key);
        let field = STANDARD.decode(field.strip_prefix("Basic ").unwrap()).unwrap();
        assert_eq!(field, b"DIWJ8X6AEYOR5OMC6TQ1:2d97d6166319781b5a3a07af39d366f491234edc");
    }

    #[test]
    fn every_version_signs_as_the_vendors_client() {
        let parameters = [
            ("mintime", "1709632800000".to_owned()),
            ("maxtime", "1709633610000".to_owned()),
            ("sort", "ts:asc".to_owned()),
            ("limit", "1000".to_owned()),
        ];
        let query = query(&parameters);
        assert_eq!(query, "limit=1000&maxtime=1709633610000&mintime=1709632800000&sort=ts%3Aasc");
        let date = date(Timestamp(1_709_633_730_000_000));
        assert_eq!(date, "Tue, 05 Mar 2024 10:15:30 -0000");
        let signed = Signed {
            date: &date,
            method: "GET",
            host: "api-test0001.duosecurity.com",
            path: "/admin/v2/logs/authentication",
            query: &query,
        };
        let key = "not-a-real-secret-0123456789abcdef012345";
        for (signature, expected) in [
            (Signature::V2Sha1, "d3aabd12977a0c763c3a358c214bb620da7baf7a"),
            (
                Signature::V2,
                "3dae7309dda9e64b85343ce48f1ec85272ef8b67bca25b7e07b68ade583ba9d7\
                 a4c00770b2e848a4ab9cfa29d605e239fc36a64a249b2988bb8ee41f703ccf0a",
            ),
            (
                Signature::V5,
                "44bc9ec99b431aa310e49847acdfbf3cb084d664837a5d817ce8226e1e2e2a2d\
                 304df66e4a671a2636ca3d271c8f4e4e8740fcba4556f6fb70122456477534eb",
            ),
        ] {
            assert_eq!(signature.hex(&signed, key), expected, "{signature:?}");
        }
    }

    #[test]
    fn parameters_are_encoded_and_sorted_as_oauth_does() {
        let odd = [("a b", "c/d~e"), ("A", "\u{e9}"), ("z", "*"), ("n", "b"), ("n", "a")];
        let odd: Vec<_> = odd.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        assert_eq!(query(&odd), "A=%C3%A9&a%20b=c%2Fd~e&n=a&n=b&z=%2A");
    }
}
