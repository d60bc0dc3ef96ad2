//! Signature Version 4: proves with each request that we know the secret, without sending it.
//!
//! Facts: AWS, "Authenticating Requests: Using the Authorization Header (AWS Signature Version 4)" of the S3 API reference,
//! whose three examples are the tests below; "Create a signed AWS API request" of the IAM guide.
//!
//! Decision: by hand. `aws-sigv4` is maintained, but brings some 20 crates for what is five calls of HMAC, among them a second
//! implementation of HMAC and SHA-256 (`hmac`, `sha2`) beside the one provider of this house.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, Tag, sign as hmac};
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::net::http::Url;
use crate::net::http::header::{AUTHORIZATION, HeaderName};
use crate::secret::Secret;
use crate::source::sign::hex;

/// An access key.
#[derive(Debug)]
pub(in crate::source) struct AccessKey {
    /// Its id, which is no secret.
    pub(in crate::source) id: String,
    /// The secret access key.
    pub(in crate::source) secret: Secret<String>,
}

/// What is signed. The URL's path and query must be in canonical form, see [`encode`].
#[derive(Debug)]
pub(super) struct ToSign<'a> {
    pub(super) method: &'a str,
    pub(super) url: &'a Url,
    pub(super) region: &'a str,
    /// `s3` or `sqs`.
    pub(super) service: &'a str,
    /// Fields besides `host` and those that a signature brings, names in lower case.
    pub(super) fields: &'a [(HeaderName, String)],
    pub(super) body: &'a [u8],
}

/// The fields of a request that is signed at `now`, with those it had.
pub(super) fn sign(request: &ToSign<'_>, key: &AccessKey, now: Timestamp) -> Vec<(HeaderName, String)> {
    let moment = moment(now);
    let day = moment.get(..8).unwrap_or_default();
    let mut fields = request.fields.to_vec();
    fields.push((HeaderName::from_static("x-amz-content-sha256"), hex(digest(&SHA256, request.body).as_ref())));
    fields.push((HeaderName::from_static("x-amz-date"), moment.clone()));
    let mut signed: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.trim())).collect();
    let host = host(request.url);
    signed.push(("host", &host));
    signed.sort_unstable();
    let names = signed.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let mut canonical = format!("{}\n{}\n{}\n", request.method, request.url.path(), query(request.url));
    for (name, value) in &signed {
        // Writing to a string cannot fail.
        let _ = writeln!(canonical, "{name}:{value}");
    }
    let _ = write!(canonical, "\n{names}\n{}", hex(digest(&SHA256, request.body).as_ref()));
    let scope = format!("{day}/{}/{}/aws4_request", request.region, request.service);
    let text = format!("AWS4-HMAC-SHA256\n{moment}\n{scope}\n{}", hex(digest(&SHA256, canonical.as_bytes()).as_ref()));
    let start = Zeroizing::new(format!("AWS4{}", key.secret.expose()));
    let step = |key: &[u8], data: &str| hmac(&Key::new(HMAC_SHA256, key), data.as_bytes());
    let parts = [request.region, request.service, "aws4_request", &text];
    let first: Tag = step(start.as_bytes(), day);
    let signature = parts.iter().fold(first, |tag, part| step(tag.as_ref(), part));
    let value = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope},SignedHeaders={names},Signature={}",
        key.id,
        hex(signature.as_ref())
    );
    fields.push((AUTHORIZATION, value));
    fields
}

/// The host as the HTTP client writes it: with its port, where that is not 443.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The pairs of a query, sorted, each with a `=`.
fn query(url: &Url) -> String {
    let pairs = url.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<_> = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
    pairs.sort_unstable();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// `20130524T000000Z`.
fn moment(now: Timestamp) -> String {
    let text = now.to_string();
    text.chars().take(19).filter(|c| !matches!(c, '-' | ':')).chain(['Z']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::sign::encode;

    /// The signature of a GET at the time, and with the key, of the vendor's examples.
    fn signature(url: &str, fields: &[(HeaderName, String)]) -> String {
        let key = AccessKey {
            id: "AKIAIOSFODNN7EXAMPLE".into(),
            secret: Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into()),
        };
        let url = Url::parse(url).unwrap();
        let request = ToSign { method: "GET", url: &url, region: "us-east-1", service: "s3", fields, body: b"" };
        let signed = sign(&request, &key, Timestamp(1_369_353_600_000_000));
        signed.last().unwrap().1.rsplit_once("Signature=").unwrap().1.to_owned()
    }

    #[test]
    fn the_vendors_examples() {
        let range = [(HeaderName::from_static("range"), "bytes=0-9".to_owned())];
        for (path, fields, expected) in [
            ("test.txt", &range[..], "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
            ("?lifecycle", &[], "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
            ("?max-keys=2&prefix=J", &[], "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
            ("?prefix=J&max-keys=2", &[], "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
        ] {
            assert_eq!(
                signature(&format!("https://examplebucket.s3.amazonaws.com/{path}"), fields),
                expected,
                "{path}"
            );
        }
    }

    #[test]
    fn names_are_encoded_as_the_signature_has_them() {
        assert_eq!(encode("a b/ü+~*'", b"/"), "a%20b/%C3%BC%2B~%2A%27");
        // What the URL keeps is what was signed.
        let url = Url::parse(&format!("https://h/{}", encode("a b/ü+~*'()[]|^", b"/"))).unwrap();
        assert_eq!(url.path(), "/a%20b/%C3%BC%2B~%2A%27%28%29%5B%5D%7C%5E");
    }
}
