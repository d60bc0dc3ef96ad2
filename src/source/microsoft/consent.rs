//! The consent of another tenant's administrator: the link, and what comes back by it.
//!
//! Facts: entra-docs, "client credentials flow" (`adminconsent`: `tenant`, `admin_consent` and `state` come back, or `error`);
//! "Get started with Office 365 Management APIs" (the older way: `code` and `state` come back, and the code is exchanged for a
//! token whose `tid` is the tenant).

use std::sync::Arc;

use super::account::{Account, is_guid};
use crate::clock::Clock;
use crate::net::http::Url;
use crate::source::pull::Trouble;

/// Asks for a consent.
#[derive(Debug)]
pub struct Consent<'a> {
    account: Account<'a>,
    redirect: String,
}

/// Why there is no consent: what is wrong, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{what}; {todo}")]
pub struct ConsentError {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub todo: String,
}

impl ConsentError {
    fn new(what: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { what: what.into(), todo: todo.into() }
    }
}

impl From<Trouble> for ConsentError {
    fn from(trouble: Trouble) -> Self {
        Self { what: trouble.what, todo: trouble.todo }
    }
}

impl<'a> Consent<'a> {
    pub(in crate::source) fn new(account: Account<'a>, redirect: &str) -> Self {
        Self { account, redirect: redirect.to_owned() }
    }

    /// The link for the administrator, with a state that must come back.
    ///
    /// # Errors
    /// When the settings give no address.
    pub fn link(&self, state: &str) -> Result<String, ConsentError> {
        let base = super::account::base(self.account.login);
        let url = base.and_then(|base| base.join("organizations/adminconsent").ok());
        let mut url = url.ok_or_else(|| ConsentError::new("login is no https address", "mend it"))?;
        url.query_pairs_mut()
            .append_pair("client_id", self.account.client_id)
            .append_pair("redirect_uri", &self.redirect)
            .append_pair("state", state);
        Ok(url.into())
    }

    /// Takes the address that the administrator's browser was sent back to, and gives the tenant's id.
    ///
    /// # Errors
    /// When the state is another one, the administrator refused, or the code is not taken.
    ///
    /// # Cancel safety
    /// A code is used up once it was sent: begin again then.
    pub async fn finish(&self, answer: &str, state: &str, clock: Clock) -> Result<String, ConsentError> {
        let again = "send the administrator the link again";
        let url =
            Url::parse(answer).map_err(|_| ConsentError::new("this is no address", "paste the whole address line"))?;
        let field =
            |wanted: &str| url.query_pairs().find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned());
        if field("state").as_deref() != Some(state) {
            return Err(ConsentError::new("the state is not the one of the link", again));
        }
        if let Some(error) = field("error") {
            return Err(ConsentError::new(format!("the administrator's consent was refused: {error}"), again));
        }
        if let Some(tenant) = field("tenant").filter(|tenant| is_guid(tenant)) {
            return Ok(tenant);
        }
        let code =
            field("code").ok_or_else(|| ConsentError::new("the address holds neither tenant nor code", again))?;
        self.exchange(&code, clock).await
    }

    /// Exchanges a code for a token, which says whose it is, and is then thrown away.
    async fn exchange(&self, code: &str, clock: Clock) -> Result<String, ConsentError> {
        let way = self.account.way(clock);
        let identity = self.account.identity("common", &Arc::clone(&way));
        let identity = identity.map_err(|error| ConsentError::new(error.to_string(), error.todo()))?;
        let target = match identity.version {
            super::TokenVersion::V1 => ("resource", self.account.resource.to_owned()),
            super::TokenVersion::V2 => ("scope", format!("{}/.default", self.account.resource)),
        };
        let form = [
            ("grant_type", "authorization_code".to_owned()),
            ("code", code.to_owned()),
            ("redirect_uri", self.redirect.clone()),
            target,
        ];
        let (token, _) = identity.ask("common", &form).await?;
        let tenant = token.claims.as_ref().as_ref().map(|claims| claims.tid.clone()).filter(|tid| is_guid(tid));
        tenant.ok_or_else(|| ConsentError::new("the token does not say whose it is", "send the log to support"))
    }
}
