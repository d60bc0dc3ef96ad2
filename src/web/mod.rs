//! The local HTTP listener: `/healthz` for whoever watches the box, `/metrics` for Prometheus. The page for people is a room of
//! its own below ([`page`]).
//!
//! In: snapshots of the status board. Out: pages; nothing can be changed here. Floor 4. Runs on the small runtime of its own
//! thread, so that it answers when the data path does not. Bounded: connections, and how long each may last, which also
//! bounds how slowly a request may come; bodies are not read.
//!
//! Not supported: TLS and passwords, which `page` has. Listen on a loopback address, or behind something that has them.

mod health;
mod listener;
mod metrics;
pub mod page;

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json};
use axum::routing::get;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::status::{Board, Handle, Health};
use listener::Bounded;

/// The `[web]` table of the settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address and port to listen on, such as `"127.0.0.1:9180"`.
    pub listen: SocketAddr,
}

/// The listener cannot be used now; a later try may succeed.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The address could not be bound.
    #[error("{address} cannot be listened on: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// Serving ended.
    #[error("the listener broke: {0}")]
    Serve(#[source] std::io::Error),
}

/// Binds and serves until told to stop. `bound` is told the address, which matters where the port is 0.
///
/// # Errors
/// When the address cannot be bound.
///
/// # Cancel safety
/// Safe: connections that are open end by themselves within their time.
pub async fn run(
    config: Config,
    board: Board,
    status: Handle,
    stop: CancellationToken,
    bound: impl FnOnce(SocketAddr) + Send,
) -> Result<(), WebError> {
    let failed = |source| WebError::Bind { address: config.listen, source };
    let listener = match Bounded::bind(config.listen).await {
        Ok(listener) => listener,
        Err(error) => {
            let todo = "free the address, or change listen in [web]";
            status.set(Health::failed(format!("{} cannot be listened on: {error}", config.listen), todo));
            return Err(failed(error));
        }
    };
    let address = listener.address().map_err(failed)?;
    tracing::info!(%address, "health and metrics are served");
    bound(address);
    status.set(Health::Healthy);
    let served = axum::serve(listener, routes(board)).with_graceful_shutdown(stop.cancelled_owned());
    served.await.map_err(WebError::Serve)
}

fn routes(board: Board) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/metrics", get(prometheus))
        .fallback(not_found)
        .with_state(board)
}

async fn healthz(State(board): State<Board>) -> impl IntoResponse {
    let report = health::Report::of(&board.snapshot());
    let code = if report.healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, [(header::CACHE_CONTROL, "no-store")], Json(report))
}

async fn prometheus(State(board): State<Board>) -> impl IntoResponse {
    let text = metrics::text(&board.snapshot()).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok::<_, StatusCode>(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text))
}

async fn not_found() -> impl IntoResponse {
    (StatusCode::NOT_FOUND, "there is nothing here; ask for /healthz or /metrics\n")
}

#[cfg(test)]
mod tests;
