//! Updates for programs.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::routing::{get, post};
use axum::{Json, Router};
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::unknown;
use super::wish::Incoming;
use crate::web::page::Shared;
use crate::web::page::guard::{Administrator, Refusal, Seen, Sent, Vouched};
use crate::web::page::serve::Peer;
use crate::web::page::view;

/// What is to be installed: what is offered.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web::page::routes::upkeep) struct Install {
    /// Restart as soon as it is installed, window or not.
    #[serde(default)]
    reboot: bool,
}

pub(in crate::web::page::routes::upkeep) fn api() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/v1/updates", get(api_now))
        .route("/api/v1/updates/check", post(api_check))
        .route("/api/v1/updates/install", post(api_install))
        .route("/api/v1/updates/bundle", post(api_bundle))
        .route("/api/v1/updates/restart", post(api_restart))
        .route("/api/v1/updates/roll-back", post(api_roll_back))
}

async fn api_now(State(shared): State<Arc<Shared>>, _: Seen, uri: Uri) -> Result<Json<view::Updates>, Refusal> {
    shared.updates().await.map(Json).map_err(|why| unknown(&shared, &uri, &why))
}

async fn api_check(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    _: Vouched,
) -> Result<Json<view::Updates>, Refusal> {
    let result = shared.look_for_update(from, &visitor).await;
    result.map(Json).map_err(|why| unknown(&shared, &uri, &why))
}

async fn api_install(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    Sent(wish): Sent<Install>,
) -> Result<(StatusCode, Json<view::Updates>), Refusal> {
    let result = shared.install_offer(from, &visitor, wish.reboot).await;
    result.map(|page| (StatusCode::ACCEPTED, Json(page))).map_err(|why| unknown(&shared, &uri, &why))
}

async fn api_bundle(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    _: Vouched,
    request: Request,
) -> Result<(StatusCode, Json<view::Updates>), Refusal> {
    let (parts, body) = request.into_parts();
    let size = parts.headers.get(header::CONTENT_LENGTH).and_then(|size| size.to_str().ok()?.parse().ok());
    let incoming = Incoming::Plain(body.into_data_stream());
    let result = shared.install_upload(from, &visitor, size, incoming).await;
    result.map(|page| (StatusCode::ACCEPTED, Json(page))).map_err(|why| unknown(&shared, &uri, &why))
}

async fn api_restart(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    _: Vouched,
) -> Result<(StatusCode, Json<view::Updates>), Refusal> {
    let result = shared.restart_box(from, &visitor).await;
    result.map(|page| (StatusCode::ACCEPTED, Json(page))).map_err(|why| unknown(&shared, &uri, &why))
}

async fn api_roll_back(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    _: Vouched,
) -> Result<(StatusCode, Json<view::Updates>), Refusal> {
    let result = shared.roll_back(from, &visitor).await;
    result.map(|page| (StatusCode::ACCEPTED, Json(page))).map_err(|why| unknown(&shared, &uri, &why))
}
