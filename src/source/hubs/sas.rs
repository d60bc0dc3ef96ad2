//! Shared access: the connection string as the portal shows it, and the tokens that its key signs.
//!
//! Facts: Microsoft, "Authenticate access to Event Hubs resources using shared access signatures" (read 2026-11): the string
//! to sign is the encoded resource, a line feed, and the expiry in seconds; the key is used as its text, not decoded.

use std::fmt::Write as _;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// A connection string taken apart.
#[derive(Debug)]
pub(super) struct ConnectionString {
    /// The namespace's host name.
    pub(super) namespace: String,
    /// The event hub, where the policy belongs to one.
    pub(super) hub: Option<String>,
    /// What it lets us in with.
    pub(super) access: Access,
}

/// What a token is made from.
#[derive(Debug)]
pub(super) enum Access {
    /// A policy and its key.
    Key {
        /// The policy's name.
        policy: String,
        /// Its key, as text.
        key: Secret<String>,
    },
    /// A token that somebody else signed. It cannot be renewed.
    Signature(Secret<String>),
}

impl ConnectionString {
    /// Takes it apart. Names are in any case, unknown ones are passed over, as the vendor's libraries do.
    ///
    /// # Errors
    /// What is wrong with it and what to do; nothing of the string itself.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (mut endpoint, mut policy, mut key, mut hub, mut signature) = (None, None, None, None, None);
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            // Keys end in "=", so only the first one counts.
            let (name, value) = part.split_once('=').ok_or(NO_STRING)?;
            let value = value.trim();
            match name.trim().to_ascii_lowercase().as_str() {
                "endpoint" => endpoint = Some(value),
                "sharedaccesskeyname" => policy = Some(value),
                "sharedaccesskey" => key = Some(value),
                "sharedaccesssignature" => signature = Some(value),
                "entitypath" => hub = Some(value),
                _ => {}
            }
        }
        let endpoint = endpoint.ok_or("has no Endpoint; copy the whole connection string from the portal")?;
        let host = endpoint.rsplit("://").next().unwrap_or_default().trim_end_matches('/');
        let host = host.split_once(':').map_or(host, |(host, _)| host);
        let access = match (policy, key, signature) {
            (Some(policy), Some(key), None) => {
                super::words::check_key(key)?;
                Access::Key { policy: policy.to_owned(), key: Secret::new(key.to_owned()) }
            }
            (None, None, Some(token)) => Access::Signature(Secret::new(token.to_owned())),
            _ => return Err("has no SharedAccessKeyName and SharedAccessKey; copy the whole connection string".into()),
        };
        let hub = hub.filter(|hub| !hub.is_empty()).map(ToOwned::to_owned);
        Ok(Self { namespace: host.to_ascii_lowercase(), hub, access })
    }
}

const NO_STRING: &str =
    "is no connection string; copy \"Connection string-primary key\" from the portal, it begins with Endpoint=sb://";

/// Signs a token for a resource, valid until `expiry` (seconds since 1970).
pub(super) fn sign(resource: &str, policy: &str, key: &str, expiry: u64) -> Zeroizing<String> {
    let resource = encode(resource);
    let signer = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let signature = STANDARD.encode(hmac::sign(&signer, format!("{resource}\n{expiry}").as_bytes()));
    let (signature, policy) = (encode(&signature), encode(policy));
    Zeroizing::new(format!("SharedAccessSignature sr={resource}&sig={signature}&se={expiry}&skn={policy}"))
}

/// The expiry that a token names.
pub(super) fn expiry(token: &str) -> Option<u64> {
    token.split(['&', ' ']).find_map(|part| part.strip_prefix("se="))?.parse().ok()
}

/// Percent-encodes everything but the unreserved characters of RFC 3986.
fn encode(text: &str) -> String {
    let mut to = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            to.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(to, "%{byte:02x}");
        }
    }
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_those_of_the_vendors_own_libraries() {
        // The first pair was produced by azure_messaging_eventhubs 0.16 for Rust, both were computed again with OpenSSL.
        for (resource, policy, key, expiry, signature) in [
            (
                "amqps://example.servicebus.windows.net/hub",
                "listen",
                "a2V5a2V5",
                1_795_502_819,
                "c0vxbzN6I%2bxQpS9mULjHBjVawq%2fNRLekTwH8HmZQaNA%3d",
            ),
            (
                "sb://fake.servicebus.windows.net/hub1",
                "collector",
                "c2VjcmV0LWtleQ==",
                1_900_000_000,
                "y5TJZfnD8rYsjnkOszIvnvTpv9VRrQgdhqiqLwSEm4k%3d",
            ),
        ] {
            let token = sign(resource, policy, key, expiry);
            let expected =
                format!("SharedAccessSignature sr={}&sig={signature}&se={expiry}&skn={policy}", encode(resource));
            assert_eq!(*token, expected);
            assert_eq!(super::expiry(&token), Some(expiry));
        }
    }

    #[test]
    fn connection_strings_are_taken_as_people_paste_them() {
        let string = ConnectionString::parse(
            " Endpoint=sb://Contoso.servicebus.windows.net/;sharedaccesskeyname=listen; SharedAccessKey=c2VjcmV0LWtleQ==;EntityPath=hub;Odd=1;\n",
        )
        .unwrap();
        assert_eq!((string.namespace.as_str(), string.hub.as_deref()), ("contoso.servicebus.windows.net", Some("hub")));
        let Access::Key { policy, key } = &string.access else { panic!() };
        assert_eq!((policy.as_str(), key.expose().as_str()), ("listen", "c2VjcmV0LWtleQ=="));
        let string = ConnectionString::parse(
            "Endpoint=contoso.example;SharedAccessSignature=SharedAccessSignature sr=x&sig=y&se=5&skn=z",
        );
        let Access::Signature(token) = string.unwrap().access else { panic!() };
        assert_eq!(expiry(token.expose()), Some(5));
        for (wrong, words) in [
            ("c2VjcmV0LWtleQ==", "has no Endpoint"),
            ("hello", "is no connection string"),
            ("SharedAccessKeyName=p;SharedAccessKey=k", "has no Endpoint"),
            ("Endpoint=sb://x/;SharedAccessKeyName=p", "has no SharedAccessKeyName and"),
        ] {
            let error = ConnectionString::parse(wrong).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn nothing_shows_a_key() {
        let string =
            ConnectionString::parse("Endpoint=sb://x/;SharedAccessKeyName=p;SharedAccessKey=c2VjcmV0").unwrap();
        assert!(!format!("{string:?}").contains("c2VjcmV0"));
    }
}
