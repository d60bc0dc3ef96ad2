//! The same for programs: JSON, with the session in the cookie and its secret in a header.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::Shared;
use super::super::account::{AccountError, Chosen, Login, Role};
use super::super::guard::{Administrator, Asked, Named, Refusal, Seen, Sent, Vouched, cookie, status_of, token};
use super::super::serve::Peer;
use super::super::view;
use super::accounts::Hidden;
use super::openapi;
use super::pages::{span, unknown};

/// What can be asked below `/api/v1`.
pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/v1/openapi.json", get(|| async { Json(openapi::document()) }))
        .route("/api/v1/claim", axum::routing::post(claim))
        .route("/api/v1/session", get(whoami).post(login).delete(logout))
        .route("/api/v1/overview", get(overview))
        .route("/api/v1/sources", get(sources))
        .route("/api/v1/sources/{id}", get(source))
        .route("/api/v1/ledger", get(ledger))
        .route("/api/v1/audit", get(audit))
        .route("/api/v1/accounts", get(accounts).post(add))
        .route("/api/v1/accounts/{name}", axum::routing::delete(remove))
        .route("/api/v1/accounts/{name}/password", axum::routing::put(password))
}

/// A session, as its owner sees it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Session {
    /// The account.
    name: String,
    /// What it may do.
    role: Role,
    /// To be sent as X-CSRF-Token with everything that changes something.
    csrf: String,
}

/// The claim of a new box.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Claim {
    /// The code that `sapphire-edge claim` prints.
    code: String,
    /// The first administrator's name.
    name: String,
    /// And password: 12 characters or more.
    #[schemars(with = "String")]
    password: Hidden,
}

/// A login.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Credentials {
    /// The account.
    name: String,
    /// Its password.
    #[schemars(with = "String")]
    password: Hidden,
}

/// A new account.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewAccount {
    /// Its name: a small letter, then small letters, digits, dots, - and _.
    name: String,
    /// What it may do.
    role: Role,
    /// Its password: 12 characters or more.
    #[schemars(with = "String")]
    password: Hidden,
}

/// A new password.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPassword {
    /// The one until now.
    #[schemars(with = "String")]
    current: Hidden,
    /// The new one: 12 characters or more.
    #[schemars(with = "String")]
    password: Hidden,
}

/// What was refused, in the words of the pages.
fn refusal(shared: &Shared, uri: &Uri, error: &AccountError) -> Refusal {
    let text = error.to_string();
    let (what, todo) = text.split_once("; ").unwrap_or((text.as_str(), "see the account's page"));
    Refusal::new(shared, uri, status_of(error), what, todo)
}

fn chosen(name: String, password: Hidden) -> Chosen {
    let (password, again) = password.twice();
    Chosen { name, password, again }
}

/// A new session, with its cookie.
fn session(shared: &Shared, uri: &Uri, login: &Login) -> Response {
    let Some(visitor) = shared.accounts.visitor(&login.token, true) else {
        return refusal(shared, uri, &AccountError::Broken).into_response();
    };
    let body = Session { name: visitor.name, role: login.role, csrf: visitor.csrf };
    (cookie(Some(&login.token)), Json(body)).into_response()
}

async fn claim(State(shared): State<Arc<Shared>>, Peer(from): Peer, uri: Uri, Sent(claim): Sent<Claim>) -> Response {
    match shared.claimed(from, &claim.code, chosen(claim.name, claim.password)).await {
        Ok(login) => session(&shared, &uri, &login),
        Err(error) => refusal(&shared, &uri, &error).into_response(),
    }
}

async fn login(
    State(shared): State<Arc<Shared>>,
    Peer(from): Peer,
    uri: Uri,
    Sent(who): Sent<Credentials>,
) -> Response {
    match shared.logged_in(from, &who.name, who.password.secret()).await {
        Ok(login) => session(&shared, &uri, &login),
        Err(error) => refusal(&shared, &uri, &error).into_response(),
    }
}

async fn whoami(Seen(visitor): Seen) -> Json<Session> {
    Json(Session { name: visitor.name, role: visitor.role, csrf: visitor.csrf })
}

async fn logout(
    State(shared): State<Arc<Shared>>,
    _: Seen,
    Peer(from): Peer,
    headers: HeaderMap,
    _: Vouched,
) -> Response {
    shared.logged_out(from, token(&headers).unwrap_or_default()).await;
    (cookie(None), StatusCode::NO_CONTENT).into_response()
}

async fn overview(State(shared): State<Arc<Shared>>, _: Seen, asked: Asked) -> Json<view::Overview> {
    Json(shared.overview(span(&asked)))
}

async fn sources(State(shared): State<Arc<Shared>>, _: Seen) -> Json<view::Sources> {
    Json(shared.sources())
}

async fn source(
    State(shared): State<Arc<Shared>>,
    _: Seen,
    Named(id): Named,
    asked: Asked,
    uri: Uri,
) -> Result<Json<view::SourcePage>, Refusal> {
    let page = shared.source(&id, span(&asked));
    page.map(Json).ok_or_else(|| {
        Refusal::new(&shared, &uri, StatusCode::NOT_FOUND, "there is no such source", "GET /api/v1/sources lists them")
    })
}

async fn ledger(State(shared): State<Arc<Shared>>, _: Seen, uri: Uri) -> Result<Json<view::Ledger>, Refusal> {
    shared.ledger().map(Json).map_err(|why| unknown(&shared, &uri, &why))
}

async fn audit(State(shared): State<Arc<Shared>>, _: Seen) -> Json<view::Audit> {
    Json(shared.audit())
}

async fn accounts(State(shared): State<Arc<Shared>>, _: Administrator) -> Json<view::Accounts> {
    Json(shared.accounts().await)
}

async fn add(
    State(shared): State<Arc<Shared>>,
    Administrator(by): Administrator,
    Peer(from): Peer,
    uri: Uri,
    Sent(new): Sent<NewAccount>,
) -> Result<StatusCode, Refusal> {
    let added = shared.added(from, &by, chosen(new.name, new.password), new.role).await;
    added.map(|()| StatusCode::CREATED).map_err(|error| refusal(&shared, &uri, &error))
}

async fn remove(
    State(shared): State<Arc<Shared>>,
    Administrator(by): Administrator,
    Peer(from): Peer,
    Named(name): Named,
    uri: Uri,
    _: Vouched,
) -> Result<StatusCode, Refusal> {
    let removed = shared.removed(from, &by, &name).await;
    removed.map(|()| StatusCode::NO_CONTENT).map_err(|error| refusal(&shared, &uri, &error))
}

async fn password(
    State(shared): State<Arc<Shared>>,
    Seen(visitor): Seen,
    Peer(from): Peer,
    Named(name): Named,
    uri: Uri,
    Sent(new): Sent<NewPassword>,
) -> Response {
    if name != visitor.name {
        let (what, todo) =
            ("this is not your account", "its owner sets its password; you can remove it and make it anew");
        return Refusal::new(&shared, &uri, StatusCode::FORBIDDEN, what, todo).into_response();
    }
    match shared.password_changed(from, new.current.secret(), chosen(name, new.password)).await {
        Ok(login) => session(&shared, &uri, &login),
        Err(error) => refusal(&shared, &uri, &error).into_response(),
    }
}
