//! Devices that are missed, and are not to be missed any more.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{delete, post};
use serde::Deserialize;

use crate::web::page::Shared;
use crate::web::page::account::Visitor;
use crate::web::page::audit::Deed;
use crate::web::page::guard::{Administrator, Named, Refusal, Sent, Vouched};
use crate::web::page::serve::Peer;

pub(super) fn pages() -> Router<Arc<Shared>> {
    Router::new().route("/source/{id}/forget", post(forget))
}

pub(super) fn api() -> Router<Arc<Shared>> {
    Router::new().route("/api/v1/sources/{id}/heard/{name}", delete(api_forget))
}

#[derive(Deserialize)]
struct Form {
    device: String,
}

impl Shared {
    /// Forgets a device; why not, if there is none.
    async fn forget_device(&self, from: IpAddr, by: &Visitor, source: &str, device: &str) -> Result<(), String> {
        let is_done = self.context.board.forget_device(source, device);
        let outcome = if is_done { Ok(()) } else { Err("there is no such device".to_owned()) };
        let message = format!("{} forgets the device {device} of source {source}", by.name);
        let deed = Deed { action: "device_forgotten", who: by.name.clone(), from, outcome: outcome.clone(), message };
        self.audit.note(deed).await;
        outcome
    }
}

fn none(shared: &Shared, uri: &Uri, why: &str) -> Refusal {
    Refusal::new(shared, uri, StatusCode::NOT_FOUND, why, "see the source's page")
}

async fn forget(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    Named(id): Named,
    uri: Uri,
    Sent(form): Sent<Form>,
) -> Response {
    match shared.forget_device(from, &visitor, &id, &form.device).await {
        Ok(()) => Redirect::to(uri.path().trim_end_matches("/forget")).into_response(),
        Err(why) => none(&shared, &uri, &why).into_response(),
    }
}

async fn api_forget(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    path: Result<Path<(String, String)>, PathRejection>,
    uri: Uri,
    _: Vouched,
) -> Result<StatusCode, Refusal> {
    let Ok(Path((id, name))) = path else { return Err(none(&shared, &uri, "there is no such device")) };
    let forgotten = shared.forget_device(from, &visitor, &id, &name).await;
    forgotten.map(|()| StatusCode::NO_CONTENT).map_err(|why| none(&shared, &uri, &why))
}
