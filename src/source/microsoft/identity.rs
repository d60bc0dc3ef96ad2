//! Tokens: asked for with a secret or a certificate, kept until shortly before they expire (RFC 6749 section 4.4).
//!
//! Facts: entra-docs, "client credentials flow": `resource` on the v1 endpoint, `scope` on v2, no refresh token, `expires_in`
//! is text on v1 and a number on v2, tokens live about an hour. One credential, one tenant, one token for each resource.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::assertion::Signer;
use super::entra_words;
use crate::net::http::{Url, header};
use crate::secret::Secret;
use crate::source::pull::{Budget, Trouble, Way};

/// A token's answer is a few KiB.
const MAX_ANSWER: usize = 256 << 10;
/// A secret has 40 characters; a file that is larger is something else.
const MAX_SECRET: u64 = 4 << 10;
/// A token is renewed this long before it expires: at a random moment between the two, so that no request meets one that
/// expires on the way.
const EARLY: (u64, u64) = (300, 600);
/// Questions for tokens in a minute: far more than are needed, far fewer than a loop gone wrong would send.
const PER_MINUTE: (u32, u32) = (30, 20);

/// Which token endpoint is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenVersion {
    /// `/oauth2/token`, as the older guides say.
    V1,
    /// `/oauth2/v2.0/token`.
    #[default]
    V2,
}

/// How the app proves itself. Files are read for every token, so that a new one is taken into use by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::source) enum Credential {
    /// A file with the secret's value.
    Secret(PathBuf),
    /// PEM files of a certificate and its key.
    Certificate(PathBuf, PathBuf),
}

/// What a token says of itself, as far as it can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(in crate::source) struct Claims {
    /// The tenant.
    pub(in crate::source) tid: String,
    /// The application permissions.
    pub(in crate::source) roles: Vec<String>,
}

/// A token.
#[derive(Clone, Debug)]
pub(in crate::source) struct Token {
    text: Arc<Secret<String>>,
    /// `None` where it cannot be read, which the vendor allows itself.
    pub(in crate::source) claims: Arc<Option<Claims>>,
}

impl Token {
    /// The token itself. Never log it.
    pub(in crate::source) fn text(&self) -> &str {
        self.text.expose()
    }

    /// The value of the `Authorization` field. Never log it.
    pub(in crate::source) fn bearer(&self) -> String {
        format!("Bearer {}", self.text.expose())
    }
}

#[derive(Debug)]
struct Kept {
    token: Token,
    renew: Instant,
}

/// An app in a tenant.
#[derive(Debug)]
pub(in crate::source) struct Identity {
    pub(in crate::source) login: Url,
    pub(in crate::source) tenant: String,
    pub(in crate::source) client: String,
    pub(in crate::source) credential: Credential,
    pub(in crate::source) version: TokenVersion,
    way: Arc<Way>,
    budget: Budget,
    kept: Mutex<BTreeMap<String, Kept>>,
}

/// The answer of the token endpoint; numbers come as text from v1.
#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: serde_json::Value,
}

impl Identity {
    pub(in crate::source) fn new(
        login: Url,
        tenant: &str,
        client: &str,
        credential: Credential,
        version: TokenVersion,
        way: Arc<Way>,
    ) -> Self {
        let (tenant, client) = (tenant.to_owned(), client.to_owned());
        let (budget, kept) = (Budget::per_minute(PER_MINUTE.0, PER_MINUTE.1), Mutex::default());
        Self { login, tenant, client, credential, version, way, budget, kept }
    }

    /// A token for a resource, the kept one or a new one. Those who ask at the same time wait for the same one.
    ///
    /// # Errors
    /// In words of what Entra says.
    ///
    /// # Cancel safety
    /// Safe.
    pub(in crate::source) async fn token(&self, resource: &str) -> Result<Token, Trouble> {
        let mut kept = self.kept.lock().await;
        if let Some(found) = kept.get(resource).filter(|found| Instant::now() < found.renew) {
            return Ok(found.token.clone());
        }
        let (token, seconds) = self.grant(resource).await?;
        let early = rand::rng().random_range(EARLY.0..EARLY.1).min(seconds / 4);
        let renew = Instant::now() + Duration::from_secs(seconds.saturating_sub(early));
        kept.insert(resource.to_owned(), Kept { token: token.clone(), renew });
        Ok(token)
    }

    /// A new token for a resource, and how many seconds it lives.
    ///
    /// # Errors
    /// In words of what Entra says.
    ///
    /// # Cancel safety
    /// Safe.
    pub(in crate::source) async fn grant(&self, resource: &str) -> Result<(Token, u64), Trouble> {
        let target = match self.version {
            TokenVersion::V1 => ("resource", resource.to_owned()),
            TokenVersion::V2 => ("scope", format!("{}/.default", resource.trim_end_matches('/'))),
        };
        let form = [("grant_type", "client_credentials".to_owned()), target];
        let (token, seconds) = self.ask(&self.tenant, &form).await?;
        self.check_tenant(&token)?;
        Ok((token, seconds))
    }

    /// The vendor refused this token: the next question makes a new one.
    pub(in crate::source) async fn forget(&self, resource: &str) {
        self.kept.lock().await.remove(resource);
    }

    /// Asks the token endpoint of a tenant, with the credential added to the form. The token, and how many seconds it lives.
    pub(super) async fn ask(&self, tenant: &str, form: &[(&str, String)]) -> Result<(Token, u64), Trouble> {
        self.budget.take().await;
        let path = match self.version {
            TokenVersion::V1 => format!("{tenant}/oauth2/token"),
            TokenVersion::V2 => format!("{tenant}/oauth2/v2.0/token"),
        };
        let url = self.login.join(&path).map_err(|error| wrong_address(&error))?;
        let body = self.form(&url, form).await?;
        let fields = [(header::CONTENT_TYPE, "application/x-www-form-urlencoded".to_owned())];
        let reply = self.way.ask(&url, &fields, Some(body.into_bytes()), MAX_ANSWER, &[]).await?;
        if reply.code != 200 {
            return Err(entra_words::trouble(&reply, &self.credential, self.way.skew()));
        }
        let odd = || Trouble::protocol("the token endpoint's answer holds no token", "check login of this source");
        let answer: Answer = serde_json::from_slice(&reply.body).map_err(|_| odd())?;
        let seconds = answer.expires_in.as_u64().or_else(|| answer.expires_in.as_str()?.parse().ok());
        let claims = Arc::new(claims(&answer.access_token));
        Ok((Token { text: Arc::new(Secret::new(answer.access_token)), claims }, seconds.ok_or_else(odd)?))
    }

    async fn form(&self, url: &Url, form: &[(&str, String)]) -> Result<String, Trouble> {
        let mut body = url_form(form.iter().map(|(name, value)| (*name, value.as_str())));
        let mut add = |name: &str, value: &str| {
            body.push('&');
            body.push_str(&url_form([(name, value)].into_iter()));
        };
        add("client_id", &self.client);
        match &self.credential {
            Credential::Secret(file) => add("client_secret", &read_secret(file).await?),
            Credential::Certificate(certificate, key) => {
                let signer = Signer::read(certificate, key);
                let unusable = |why| Trouble::login(format!("the certificate cannot be used: {why}"), "mend the files");
                let signer = signer.map_err(unusable)?;
                if signer.until < self.way.now().0 / 1_000_000 {
                    let what = format!("the certificate {} has expired", certificate.display());
                    return Err(Trouble::login(what, "make a new one, upload it in Entra, and put both files here"));
                }
                let signed = signer.sign(self.version, url.as_str(), &self.client, self.way.now());
                let signed = signed.map_err(|why| Trouble::protocol(why, "restart the box"))?;
                add("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
                add("client_assertion", &signed);
            }
        }
        Ok(body)
    }

    /// A token of another tenant than the one that is set cannot be meant.
    fn check_tenant(&self, token: &Token) -> Result<(), Trouble> {
        let Some(claims) = token.claims.as_ref() else { return Ok(()) };
        let is_guid = self.tenant.len() == 36;
        if is_guid && !claims.tid.is_empty() && !claims.tid.eq_ignore_ascii_case(&self.tenant) {
            let what = format!("Entra gave a token of the tenant {}, not of {}", claims.tid, self.tenant);
            return Err(Trouble::login(what, "check tenants and login of this source"));
        }
        Ok(())
    }
}

/// `application/x-www-form-urlencoded`.
pub(super) fn url_form<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    // Only the URL crate behind the HTTP client knows how; the host plays no part.
    let Ok(mut url) = Url::parse("https://form.invalid/") else { return String::new() };
    url.query_pairs_mut().extend_pairs(pairs);
    url.query().unwrap_or_default().to_owned()
}

fn wrong_address(error: &dyn std::fmt::Display) -> Trouble {
    Trouble::login(format!("the address of the token endpoint is wrong: {error}"), "check tenants and login")
}

/// What a token says of itself. Not verified: the vendor does that, this is for words.
fn claims(token: &str) -> Option<Claims> {
    let body = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body.trim_end_matches('=')).ok()?).ok()
}

async fn read_secret(file: &PathBuf) -> Result<Zeroizing<String>, Trouble> {
    use tokio::io::AsyncReadExt as _;
    let unreadable = |error: std::io::Error| {
        let what = format!("the file of the client secret, {}, cannot be read: {error}", file.display());
        Trouble::login(what, "write the secret's value into the file, readable for the program")
    };
    let open = tokio::fs::File::open(file).await.map_err(unreadable)?;
    let mut text = Zeroizing::new(String::new());
    open.take(MAX_SECRET).read_to_string(&mut text).await.map_err(unreadable)?;
    let trimmed = Zeroizing::new(text.trim().to_owned());
    if trimmed.is_empty() {
        let what = format!("the file of the client secret, {}, is empty", file.display());
        return Err(Trouble::login(what, "write the secret's value into it"));
    }
    Ok(trimmed)
}
