//! What keeps a box going, as pages, forms and JSON.

mod backup;
pub(super) mod calls;
mod certificate;
mod devices;
mod machine;
mod start;
mod support;
mod updates;

use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, Uri};

use super::super::Shared;
use super::super::guard::Refusal;

pub(super) fn pages() -> Router<Arc<Shared>> {
    Router::new()
        .merge(updates::pages())
        .merge(machine::pages())
        .merge(certificate::pages())
        .merge(start::pages())
        .merge(support::pages())
        .merge(backup::pages())
        .merge(devices::pages())
}

pub(super) fn api() -> Router<Arc<Shared>> {
    Router::new()
        .merge(updates::api())
        .merge(machine::api())
        .merge(certificate::api())
        .merge(start::api())
        .merge(support::api())
        .merge(backup::api())
        .merge(devices::api())
}

/// Why something cannot be shown or done now, as a page or for a program.
fn unknown(shared: &Shared, uri: &Uri, why: &str) -> Refusal {
    let (what, todo) = why.split_once("; ").unwrap_or((why, "open this again in a moment"));
    Refusal::new(shared, uri, StatusCode::CONFLICT, what, todo)
}
