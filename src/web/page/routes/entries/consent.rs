//! The consent of another tenant's administrator to the app of a source: asked at Microsoft, answered to this page.
//!
//! The browser comes back from another site, so that our cookie is not with it (SameSite=Strict): the address it comes back to shows
//! nothing and leads on to one of our own, where the session counts again. Nothing changes before an administrator of the box sends a
//! form with its secret, and the state is one that this account asked for.
//!
//! Facts: `source::consent` for the ways of an answer; Content Security Policy 3, `form-action`, which forbids that a form leads to
//! Microsoft: the way there is a link.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::super::super::Shared;
use super::super::super::account::Visitor;
use super::super::super::guard::{Administrator, Named, Refusal, Sent, Vouched};
use super::super::super::serve::Peer;
use super::super::super::view::{self, Here};
use super::List;
use super::guide::host;
use super::pages::{none, not_now, on};
use super::save::{Done, Who};
use crate::control::Edit;
use crate::net::http::Url;
use crate::source;

/// Where the answers go.
const BACK: &str = "/consent";
/// Less than the time that the page gives an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

pub(super) fn pages() -> Router<Arc<Shared>> {
    Router::new()
        .route("/source/{id}/consent", post(begin))
        .route(BACK, get(back))
        .route("/consent/take", get(take_page).post(take))
}

pub(super) fn api() -> Router<Arc<Shared>> {
    Router::new().route("/api/v1/sources/{id}/consent", post(api_begin)).route("/api/v1/consent", post(api_take))
}

/// How a consent is asked for.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Link {
    /// The address that the app must know, in Entra under Authentication.
    redirect: String,
    /// Where the other tenant's administrator says yes, within an hour.
    link: String,
}

/// The answer to a consent.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    /// The whole address that the administrator ended at.
    answer: String,
}

/// Whose consent it was.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Tenant {
    /// The tenant, which the source asks from now on.
    tenant: String,
}

#[derive(Deserialize)]
struct Nothing {}

/// The source of the settings that can ask for one.
fn config(values: &Value, id: &str) -> Option<source::Config> {
    let (entry, form) = List::Source.find_form(values, id)?;
    form.consent.then(|| serde_json::from_value(entry.clone()).ok()).flatten()
}

impl Shared {
    /// Begins a consent; nothing where the source needs none.
    async fn consent_begun(
        &self,
        by: &Visitor,
        id: &str,
        headers: &HeaderMap,
    ) -> Result<Option<view::Consent>, String> {
        let now = self.settings_now().await?;
        let Some(config) = config(&now.values, id) else { return Ok(None) };
        let host = host(headers).ok_or("the request does not say by which name the box is reached")?;
        let redirect = format!("https://{host}{BACK}");
        let state = self.consents.begin(id, &redirect, &by.name);
        let Some(consent) = source::consent(&config, &redirect) else { return Ok(None) };
        let link = consent.link(&state).map_err(|error| error.to_string())?;
        Ok(Some(view::Consent { id: id.to_owned(), redirect, link }))
    }

    /// Takes an answer; the source and its new tenant.
    async fn consent_taken(&self, who: Who<'_>, answer: &str) -> Result<(String, String), String> {
        let state = state_of(answer).unwrap_or_default();
        let waiting = self.consents.take(&state, &who.visitor.name);
        let waiting = waiting.ok_or("nobody waits for this answer, or not any more; ask for the consent again")?;
        let now = self.settings_now().await?;
        let gone = || format!("the source {} is not in the settings any more", waiting.id);
        let config = config(&now.values, &waiting.id).ok_or_else(gone)?;
        let consent = source::consent(&config, &waiting.redirect).ok_or_else(gone)?;
        let finish = consent.finish(answer, &waiting.state, self.context.clock.clone());
        let tenant =
            timeout(ANSWER_WITHIN, finish).await.map_err(|_| "Microsoft did not answer; ask for the consent again")?;
        let tenant = match tenant {
            Ok(tenant) => tenant,
            Err(error) => {
                let message = format!("{} takes a consent for the source {}", who.visitor.name, waiting.id);
                self.note_of(who, "source_consented", message, Err(error.to_string())).await;
                return Err(error.to_string());
            }
        };
        let entry = List::Source.find(&now.values, &waiting.id).cloned().unwrap_or_default();
        let mut tenants = entry.get("tenants").and_then(Value::as_array).cloned().unwrap_or_default();
        if !tenants.iter().any(|known| known.as_str() == Some(&tenant)) {
            tenants.push(tenant.as_str().into());
        }
        let values = Map::from_iter([("tenants".to_owned(), json!(tenants))]);
        let table = format!("source[{}]", waiting.id);
        let about = (Done::Consented, List::Source, waiting.id.as_str());
        self.changed_by(who, about, Edit::Set { table, values }).await.map_err(|wrong| wrong.words())?;
        Ok((waiting.id, tenant))
    }
}

/// The state that an answer carries.
fn state_of(answer: &str) -> Option<String> {
    let url = Url::parse(answer.trim()).ok()?;
    url.query_pairs().find(|(name, _)| name == "state").map(|(_, state)| state.into_owned())
}

async fn begin(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Named(id): Named,
    (uri, headers): (Uri, HeaderMap),
    _: Sent<Nothing>,
) -> Response {
    match shared.consent_begun(&visitor, &id, &headers).await {
        Ok(Some(page)) => Html(view::consent(&shared.frame(Some(&visitor), Here::Sources), &page)).into_response(),
        Ok(None) => none(&shared, &uri, List::Source).into_response(),
        Err(why) => not_now(&shared, &uri, &why).into_response(),
    }
}

/// Where Microsoft sends the browser back to.
async fn back(State(shared): State<Arc<Shared>>, uri: Uri) -> Html<String> {
    let next = format!("/consent/take?{}", uri.query().unwrap_or_default());
    Html(view::answered(&shared.frame(None, Here::Elsewhere), &next))
}

async fn take_page(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    uri: Uri,
) -> Result<Html<String>, Refusal> {
    let query = uri.query().unwrap_or_default();
    // Only the query counts; the address is the one that the answer was sent to.
    let state = state_of(&format!("https://box{BACK}?{query}")).unwrap_or_default();
    let waiting = shared.consents.find(&state, &visitor.name).ok_or_else(|| {
        let what = "nobody waits for this answer, or not any more";
        Refusal::new(&shared, &uri, StatusCode::NOT_FOUND, what, "ask for the consent again on the source's page")
    })?;
    let answer = format!("{}?{query}", waiting.redirect);
    Ok(Html(view::take(&shared.frame(Some(&visitor), Here::Sources), &waiting.id, &answer)))
}

async fn take(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    peer: Peer,
    uri: Uri,
    Sent(form): Sent<AnswerForm>,
) -> Response {
    match shared.consent_taken(Who { peer, visitor: &visitor }, form.answer.trim()).await {
        Ok((id, _)) => on(List::Source, &id, Done::Consented),
        Err(why) => {
            Refusal::new(&shared, &uri, StatusCode::UNPROCESSABLE_ENTITY, &why, "begin again on the source's page")
                .into_response()
        }
    }
}

#[derive(Deserialize)]
struct AnswerForm {
    answer: String,
}

async fn api_begin(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Named(id): Named,
    (uri, headers): (Uri, HeaderMap),
    _: Vouched,
) -> Result<Json<Link>, Refusal> {
    match shared.consent_begun(&visitor, &id, &headers).await {
        Ok(Some(page)) => Ok(Json(Link { redirect: page.redirect, link: page.link })),
        Ok(None) => Err(none(&shared, &uri, List::Source)),
        Err(why) => Err(not_now(&shared, &uri, &why)),
    }
}

async fn api_take(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    peer: Peer,
    uri: Uri,
    Sent(new): Sent<Answer>,
) -> Result<Json<Tenant>, Refusal> {
    let taken = shared.consent_taken(Who { peer, visitor: &visitor }, new.answer.trim()).await;
    taken.map(|(_, tenant)| Json(Tenant { tenant })).map_err(|why| {
        let todo = "POST /api/v1/sources/{id}/consent begins anew";
        Refusal::new(&shared, &uri, StatusCode::UNPROCESSABLE_ENTITY, &why, todo)
    })
}
