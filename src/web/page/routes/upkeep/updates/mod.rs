//! Updates: looked at by everybody; looked for, installed, restarted into and gone back from by administrators.

mod api;
mod wish;

pub(super) use api::{Install, api};
pub(super) use wish::BEGINS_WITHIN;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use super::unknown;
use crate::web::page::Shared;
use crate::web::page::account::Visitor;
use crate::web::page::feed::Feed;
use crate::web::page::guard::{Administrator, Seen, Sent, token, vouched};
use crate::web::page::multipart::{Multipart, MultipartError};
use crate::web::page::serve::Peer;
use crate::web::page::view::{self, Here, Notice};
use wish::Incoming;

/// The secret of a form has 43 characters.
const LONGEST_SECRET: usize = 256;

pub(super) fn pages() -> Router<Arc<Shared>> {
    Router::new()
        .route("/updates", get(page))
        .route("/updates/events", get(events))
        .route("/updates/check", post(check))
        .route("/updates/install", post(install))
        .route("/updates/upload", post(upload))
        .route("/updates/restart", post(restart))
        .route("/updates/roll-back", post(roll_back))
}

#[derive(Deserialize)]
struct InstallForm {
    #[serde(default)]
    reboot: String,
}

#[derive(Deserialize)]
struct Nothing {}

/// The page, with what came of the last wish.
async fn show(shared: &Shared, visitor: &Visitor, uri: &Uri, notice: Option<Notice>) -> Response {
    let page = match shared.updates().await {
        Ok(page) => page,
        Err(why) => return unknown(shared, uri, &why).into_response(),
    };
    let is_refused = notice.as_ref().is_some_and(|notice| !notice.done);
    let status = if is_refused { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let mut frame = shared.frame(Some(visitor), Here::Updates);
    frame.notice = notice;
    (status, Html(view::updates(&frame, &page))).into_response()
}

/// To the page, which follows what was begun; or why not.
async fn came(shared: &Shared, visitor: &Visitor, uri: &Uri, result: Result<view::Updates, String>) -> Response {
    match result {
        Ok(_) => Redirect::to("/updates").into_response(),
        Err(text) => show(shared, visitor, uri, Some(Notice { done: false, text })).await,
    }
}

async fn page(State(shared): State<Arc<Shared>>, Seen(visitor): Seen, uri: Uri) -> Response {
    show(&shared, &visitor, &uri, None).await
}

async fn events(State(shared): State<Arc<Shared>>, _: Seen, headers: HeaderMap) -> Response {
    let token = token(&headers).unwrap_or_default().to_owned();
    let make = |shared: Arc<Shared>| async move { shared.updates().await.map(|page| view::updates_part(&page)).ok() };
    Feed::part(&shared, "updates", token, make).into_response()
}

async fn check(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    _: Sent<Nothing>,
) -> Response {
    let result = shared.look_for_update(from, &visitor).await;
    came(&shared, &visitor, &uri, result).await
}

async fn install(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    Sent(form): Sent<InstallForm>,
) -> Response {
    let result = shared.install_offer(from, &visitor, form.reboot == "yes").await;
    came(&shared, &visitor, &uri, result).await
}

async fn restart(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    _: Sent<Nothing>,
) -> Response {
    let result = shared.restart_box(from, &visitor).await;
    came(&shared, &visitor, &uri, result).await
}

async fn roll_back(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    _: Sent<Nothing>,
) -> Response {
    let result = shared.roll_back(from, &visitor).await;
    came(&shared, &visitor, &uri, result).await
}

async fn upload(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let form = async {
        let mut form = Multipart::of(&parts.headers, body)?;
        let is_secret = form.next().await?.as_deref() == Some("csrf");
        let secret = if is_secret { form.text("csrf", LONGEST_SECRET).await? } else { String::new() };
        let has_bundle = is_secret && form.next().await?.as_deref() == Some("bundle");
        Ok::<_, MultipartError>((form, secret, has_bundle))
    };
    let result = match form.await {
        Ok((form, secret, has_bundle)) => {
            if let Err(refusal) = vouched(&shared, &uri, &visitor, &secret) {
                return refusal.into_response();
            }
            if has_bundle {
                shared.install_upload(from, &visitor, None, Incoming::Form(form)).await
            } else {
                Err("no file came; choose a bundle".to_owned())
            }
        }
        Err(error) => Err(error.to_string()),
    };
    came(&shared, &visitor, &uri, result).await
}
