//! Which content types of a tenant are subscribed to: listed once, started where they are missing.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Tenant;
use super::settings::ContentType;
use super::words;
use crate::source::microsoft::session::Ask;
use crate::source::pull::Trouble;

/// The vendor wants this long a pause between starts of the same subscription.
const BETWEEN_STARTS: Duration = Duration::from_secs(15 * 60);

/// What is known of a tenant's subscriptions. Shared by its feeds, so that the list is asked for once.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Whether each is enabled; `None` before it was listed.
    enabled: Option<BTreeMap<String, bool>>,
    started: BTreeMap<ContentType, Instant>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Subscription {
    content_type: String,
    /// The vendor's own samples leave it out: enabled then.
    status: Option<String>,
}

impl Subscriptions {
    /// Makes sure that a content type is subscribed to.
    ///
    /// # Errors
    /// When it cannot be, or was started a moment ago and is not enabled yet.
    pub(super) async fn ensure(&self, tenant: &Tenant, content_type: ContentType) -> Result<(), Trouble> {
        let mut known = self.known.lock().await;
        let enabled = match known.enabled.take() {
            Some(enabled) => enabled,
            None => list(tenant).await?,
        };
        let is_enabled = enabled.get(content_type.as_str()).copied().unwrap_or(false);
        known.enabled = Some(enabled);
        if is_enabled {
            return Ok(());
        }
        if let Some(since) =
            known.started.get(&content_type).map(Instant::elapsed).filter(|since| *since < BETWEEN_STARTS)
        {
            known.enabled = None;
            let what = format!("the subscription of {content_type} was started and is not enabled yet");
            return Err(Trouble::passing(what, Some((BETWEEN_STARTS - since) / 5)));
        }
        known.started.insert(content_type, Instant::now());
        start(tenant, content_type).await?;
        tracing::info!(tenant = tenant.api.identity.tenant, %content_type, "subscription started");
        if let Some(enabled) = &mut known.enabled {
            enabled.insert(content_type.as_str().to_owned(), true);
        }
        Ok(())
    }

    /// The API said that a subscription is not what we think.
    pub(super) async fn forget(&self) {
        self.known.lock().await.enabled = None;
    }
}

/// The tenant's subscriptions: whether each is enabled.
pub(super) async fn list(tenant: &Tenant) -> Result<BTreeMap<String, bool>, Trouble> {
    let url = tenant.url("subscriptions/list", &[])?;
    let reply = tenant.api.ask(&tenant.request(&url, None, &[])).await?;
    let odd = |_| Trouble::protocol("the list of subscriptions is no list", "check api of this source");
    let list: Vec<Subscription> = serde_json::from_slice(&reply.body).map_err(odd)?;
    let is_enabled = |status: Option<String>| status.is_none_or(|status| status.eq_ignore_ascii_case("enabled"));
    Ok(list.into_iter().map(|one| (one.content_type, is_enabled(one.status))).collect())
}

async fn start(tenant: &Tenant, content_type: ContentType) -> Result<(), Trouble> {
    let url = tenant.url("subscriptions/start", &[("contentType", content_type.as_str())])?;
    let ask = Ask { body: Some(String::new()), ..tenant.request(&url, None, &[]) };
    match tenant.api.ask(&ask).await {
        // It was enabled already, and nothing changed.
        Err(trouble) if words::code_of(&trouble) == Some("AF20024") => Ok(()),
        other => other.map(drop),
    }
}
