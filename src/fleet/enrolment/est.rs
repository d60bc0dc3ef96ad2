//! The enrolment server: EST over HTTPS (RFC 7030), through the site's proxy where there is one.
//!
//! In: a request (PKCS #10) and what proves who asks. Out: certificates, or why there are none, in words. What is used of EST:
//! `cacerts` (4.1), `simpleenroll` (4.2.1) with HTTP Basic authentication (3.2.3), `simplereenroll` (4.2.2) with the present
//! certificate in the TLS handshake (3.3.2). Bodies are base64 (4.2; RFC 8951 section 3.1). Bounded: time, size of an answer.
//!
//! Not supported: redirects (the secret goes to the host of the settings alone), keys that the server makes (4.4), attributes that it
//! wants in a request (4.5), TLS-SRP and certificate-less TLS.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::certs_only;
use crate::fleet::trouble::Trouble;
use crate::net::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use crate::net::http::{HttpClient, HttpError, Reach, Url};
use crate::secret::Secret;
use crate::status::Cause;

/// A chain and a few roots are 10 KiB.
const LARGEST: usize = 256 << 10;
/// RFC 7030 section 3.2.2.
const PLACE: &str = "/.well-known/est";
/// A server that says that a person has to look first is asked again after this, unless it says when.
const LATER: Duration = Duration::from_secs(300);

/// The server, as it is reached for one piece of work.
#[derive(Debug)]
pub(super) struct Est {
    client: HttpClient,
    base: Url,
}

/// Who asks.
#[derive(Debug)]
pub(super) enum Proof<'a> {
    /// Whoever has the box's one-time secret.
    Secret { id: &'a str, secret: &'a Secret<String> },
    /// Whoever has the certificate that the connection was made with.
    Certificate,
}

/// What a request came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Granted {
    /// Certificates, in DER.
    Certificates(Vec<Vec<u8>>),
    /// Nothing yet: the same has to be asked again after this.
    Later(Duration),
}

impl Est {
    pub(super) async fn new(base: &Url, reach: &Reach<'_>) -> Result<Self, Trouble> {
        let client = HttpClient::direct(reach).await.map_err(|error| of_http(&error))?;
        Ok(Self { client, base: base.clone() })
    }

    /// The certificates of the CAs that sign.
    ///
    /// # Cancel safety
    /// Dropping it closes the connection.
    pub(super) async fn roots(&self) -> Result<Vec<Vec<u8>>, Trouble> {
        let url = self.operation("cacerts");
        let answer = self.client.send(&url, &[], None).await.map_err(|error| of_http(&error))?;
        match self.certificates(&url, answer).await? {
            Granted::Certificates(certificates) => Ok(certificates),
            Granted::Later(wait) => {
                Err(Trouble::new("the enrolment server has no CA yet", "look at the server").after(wait))
            }
        }
    }

    /// Asks for a certificate.
    ///
    /// # Cancel safety
    /// Dropping it closes the connection; the server may have signed.
    pub(super) async fn ask(&self, request: &[u8], proof: &Proof<'_>) -> Result<Granted, Trouble> {
        let encoding = HeaderName::from_static("content-transfer-encoding");
        let mut fields = vec![(CONTENT_TYPE, "application/pkcs10".to_owned()), (encoding, "base64".to_owned())];
        let operation = match proof {
            Proof::Secret { id, secret } => {
                let pair = Secret::new(format!("{id}:{}", secret.expose()));
                fields.push((AUTHORIZATION, format!("Basic {}", STANDARD.encode(pair.expose()))));
                "simpleenroll"
            }
            Proof::Certificate => "simplereenroll",
        };
        let url = self.operation(operation);
        let body = STANDARD.encode(request).into_bytes();
        let answer = self.client.send(&url, &fields, Some(body)).await.map_err(|error| of_http(&error))?;
        if matches!(answer.code(), 401 | 403) {
            return Err(refused(proof, answer.code()));
        }
        self.certificates(&url, answer).await
    }

    async fn certificates(&self, url: &Url, answer: crate::net::http::Answer) -> Result<Granted, Trouble> {
        let (code, wait) = (answer.code(), answer.retry_after());
        if code == 202 {
            return Ok(Granted::Later(wait.unwrap_or(LATER)));
        }
        if code != 200 {
            let what = format!("the enrolment server answered {code} at {}", url.path());
            let todo = if code == 404 {
                "check [fleet] enrolment"
            } else {
                "look at the server's log; the box tries again by itself"
            };
            let trouble = Trouble::new(what, todo).because(Cause::Protocol);
            return Err(match wait {
                Some(wait) => trouble.after(wait),
                None => trouble,
            });
        }
        let kind = answer.field(&CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
        let is_ours = kind.split(';').next().is_some_and(|kind| kind.trim() == "application/pkcs7-mime");
        let body = answer.body(LARGEST).await.map_err(|error| of_http(&error))?;
        let certificates = is_ours.then(|| certs_only::certificates(&body)).flatten();
        certificates.map(Granted::Certificates).ok_or_else(|| {
            let what =
                format!("the enrolment server's answer at {} holds no certificates that can be read", url.path());
            Trouble::new(what, "check [fleet] enrolment, and the server: it should speak EST (RFC 7030)")
                .because(Cause::Protocol)
        })
    }

    /// Where something is done: the address may hold the place already, and a label after it (RFC 7030 section 3.2.2).
    fn operation(&self, name: &str) -> Url {
        operation(&self.base, name)
    }
}

fn operation(base: &Url, name: &str) -> Url {
    let mut url = base.clone();
    let path = base.path().trim_end_matches('/');
    let place = if path.contains(PLACE) { "" } else { PLACE };
    url.set_path(&format!("{path}{place}/{name}"));
    url
}

fn refused(proof: &Proof<'_>, code: u16) -> Trouble {
    match proof {
        Proof::Secret { .. } => {
            let what = format!(
                "the enrolment server does not take the box's one-time secret ({code}): it was used already, or is too old"
            );
            Trouble::new(what, "bring the box a new enrolment file, with another secret").because(Cause::Login)
        }
        Proof::Certificate => {
            let what = format!("the enrolment server does not take the box's certificate ({code})");
            Trouble::new(what, "ask whoever runs the fleet whether this box was taken out of it").because(Cause::Login)
        }
    }
}

fn of_http(error: &HttpError) -> Trouble {
    let said = Trouble::said(error, "the box tries again by itself");
    let cause = match error {
        HttpError::Dial(dial) if !dial.is_tls() => Cause::Unreachable,
        HttpError::Dial(_) | HttpError::Tls(_) => Cause::Tls,
        _ => Cause::Protocol,
    };
    Trouble::new(format!("the enrolment server: {}", said.what), said.todo).because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_where_the_address_says_and_else_where_est_has_them() {
        for (base, path) in [
            ("https://est.example.net", "/.well-known/est/cacerts"),
            ("https://est.example.net:8443/", "/.well-known/est/cacerts"),
            ("https://est.example.net/.well-known/est", "/.well-known/est/cacerts"),
            ("https://est.example.net/.well-known/est/edges/", "/.well-known/est/edges/cacerts"),
        ] {
            assert_eq!(operation(&Url::parse(base).unwrap(), "cacerts").path(), path);
        }
    }
}
