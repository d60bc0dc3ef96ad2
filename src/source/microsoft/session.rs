//! Requests to one API as one app in one tenant: token, budget, one more try with a new token, and words for refusals.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::identity::Identity;
use crate::net::http::Url;
use crate::net::http::header::{self, HeaderName};
use crate::source::pull::{Budget, Reply, Trouble, Way};

/// How an API says no.
pub(super) type Words = fn(&Reply, &Api) -> Trouble;

/// An API as one tenant sees it.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) identity: Arc<Identity>,
    pub(super) way: Arc<Way>,
    /// Its address; whatever it links to must be on the same host.
    pub(super) root: Url,
    /// What a token is for.
    pub(super) resource: String,
    /// Bodies in memory, of all feeds of the source.
    pub(super) bodies: Arc<Semaphore>,
    /// Largest body.
    pub(super) max_body: usize,
}

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Ask<'a> {
    pub(super) url: &'a Url,
    /// Sent by POST as JSON.
    pub(super) body: Option<String>,
    /// Besides the usual ones.
    pub(super) fields: &'a [(HeaderName, String)],
    /// Fields of the answer that are needed.
    pub(super) wanted: &'a [HeaderName],
    /// Application permissions, each of which is needed.
    pub(super) needs: &'a [&'a str],
    pub(super) budget: &'a Budget,
    pub(super) words: Words,
}

impl Api {
    /// A place for a body in memory; waits until there is one.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.bodies).acquire_owned().await.ok()
    }

    /// Sends a request; an answer is always of the 200s.
    ///
    /// # Errors
    /// In words, everything else.
    ///
    /// # Cancel safety
    /// Dropping it closes the connection.
    pub(super) async fn ask(&self, ask: &Ask<'_>) -> Result<Reply, Trouble> {
        self.check_host(ask.url)?;
        let mut is_second = false;
        loop {
            let token = self.identity.token(&self.resource).await?;
            let missing =
                token.claims.as_ref().as_ref().and_then(|claims| {
                    ask.needs.iter().find(|need| !claims.roles.iter().any(|role| covers(role, need)))
                });
            if let Some(missing) = missing {
                // It may have been granted a moment ago: then the next token has it.
                self.identity.forget(&self.resource).await;
                return Err(permission(missing));
            }
            ask.budget.take().await;
            let mut fields = vec![(header::AUTHORIZATION, token.bearer()), (header::ACCEPT, "application/json".into())];
            fields.extend(ask.body.as_ref().map(|_| (header::CONTENT_TYPE, "application/json".to_owned())));
            fields.extend_from_slice(ask.fields);
            let body = ask.body.clone().map(String::into_bytes);
            let reply = self.way.ask(ask.url, &fields, body, self.max_body, ask.wanted).await?;
            if (200..300).contains(&reply.code) {
                return Ok(reply);
            }
            if reply.code == 401 {
                self.identity.forget(&self.resource).await;
                if !std::mem::replace(&mut is_second, true) {
                    continue;
                }
            }
            let trouble = (ask.words)(&reply, self);
            if let crate::source::pull::Wait::For(wait) = trouble.wait {
                ask.budget.pause(wait);
            }
            return Err(trouble);
        }
    }

    /// Links come from the server; the token goes to nobody but the host of the settings.
    fn check_host(&self, url: &Url) -> Result<(), Trouble> {
        let same = url.scheme() == "https"
            && url.host_str() == self.root.host_str()
            && url.port_or_known_default() == self.root.port_or_known_default();
        if same {
            return Ok(());
        }
        let host = url.host_str().unwrap_or_default();
        let what = format!("the answer links to another host, {host}, which gets no token");
        Err(Trouble::protocol(what, "check api of this source; if it is right, report this to support"))
    }
}

/// Whether a role of a token includes a permission: what may write may read too.
fn covers(role: &str, need: &str) -> bool {
    role == need || need.strip_suffix(".Read.All").is_some_and(|base| role == format!("{base}.ReadWrite.All"))
}

/// The words for a permission that is missing, named as the portal names it.
pub(super) fn permission(name: &str) -> Trouble {
    Trouble::login(
        format!("the app lacks the permission {name}"),
        format!(
            "in Entra, App registrations, your app, API permissions, add the application permission {name}, then press \
             Grant admin consent; it may take some minutes"
        ),
    )
}
