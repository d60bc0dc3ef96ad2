//! The pages that show something.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

use super::super::Shared;
use super::super::feed::Feed;
use super::super::guard::{Asked, Named, Refusal, Seen, token};
use super::super::history::Span;
use super::super::view::{self, Here, Notice};
use super::entries::notice;

/// Longer words are found in no event that a person reads.
pub(super) const LONGEST_TEXT: usize = 200;

/// Which chart; what is none is the hour.
pub(super) fn span(asked: &Asked) -> Span {
    let named = |span: &Span| span.as_str() == asked.get("span");
    Span::ALL.into_iter().find(named).unwrap_or_default()
}

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/", get(overview))
        .route("/events", get(overview_events))
        .route("/sources", get(sources))
        .route("/source/{id}", get(source))
        .route("/live", get(live))
        .route("/live/events", get(live_events))
        .route("/ledger", get(ledger))
        .route("/audit", get(audit))
}

async fn overview(State(shared): State<Arc<Shared>>, Seen(visitor): Seen, asked: Asked) -> Html<String> {
    let frame = shared.frame(Some(&visitor), Here::Overview);
    Html(view::overview(&frame, &shared.overview(span(&asked))))
}

async fn overview_events(State(shared): State<Arc<Shared>>, _: Seen, asked: Asked, headers: HeaderMap) -> Response {
    let token = token(&headers).unwrap_or_default().to_owned();
    Feed::overview(&shared, span(&asked), token).into_response()
}

async fn sources(State(shared): State<Arc<Shared>>, Seen(visitor): Seen, asked: Asked) -> Html<String> {
    let mut frame = shared.frame(Some(&visitor), Here::Sources);
    frame.notice = notice(&asked);
    Html(view::sources(&frame, &shared.sources()))
}

async fn source(
    State(shared): State<Arc<Shared>>,
    Seen(visitor): Seen,
    Named(id): Named,
    asked: Asked,
    uri: Uri,
) -> Result<Html<String>, Refusal> {
    let page = shared.source(&id, span(&asked)).ok_or_else(|| {
        Refusal::new(&shared, &uri, StatusCode::NOT_FOUND, "there is no such source", "see the list of sources")
    })?;
    Ok(Html(view::source(&shared.frame(Some(&visitor), Here::Sources), &page)))
}

async fn live(State(shared): State<Arc<Shared>>, Seen(visitor): Seen, asked: Asked) -> Html<String> {
    let sources = shared.sources().sources.into_iter().map(|card| card.id).collect();
    let (source, text) = (asked.get("source").to_owned(), asked.get("text").to_owned());
    let mut frame = shared.frame(Some(&visitor), Here::Live);
    let replay = match asked.get("minutes").parse() {
        Ok(minutes) => match shared.replay(&source, &text, minutes).await {
            Ok(replay) => Some(replay),
            Err(why) => {
                frame.notice = Some(Notice { done: false, text: why });
                None
            }
        },
        Err(_) => None,
    };
    Html(view::live(&frame, &view::Live { source, text, sources, replay }))
}

async fn live_events(State(shared): State<Arc<Shared>>, _: Seen, asked: Asked, headers: HeaderMap) -> Response {
    let token = token(&headers).unwrap_or_default().to_owned();
    let text: String = asked.get("text").chars().take(LONGEST_TEXT).collect();
    let source = Some(asked.get("source").to_owned()).filter(|source| !source.is_empty());
    Feed::tail(&shared, source, &text, token).into_response()
}

async fn ledger(State(shared): State<Arc<Shared>>, Seen(visitor): Seen, uri: Uri) -> Result<Html<String>, Refusal> {
    let page = shared.ledger().map_err(|why| unknown(&shared, &uri, &why))?;
    Ok(Html(view::ledger(&shared.frame(Some(&visitor), Here::Ledger), &page)))
}

/// The queue is not open, or no longer.
pub(super) fn unknown(shared: &Shared, uri: &Uri, why: &str) -> Refusal {
    Refusal::new(shared, uri, StatusCode::SERVICE_UNAVAILABLE, why, "open this again in a moment")
}

async fn audit(State(shared): State<Arc<Shared>>, Seen(visitor): Seen) -> Html<String> {
    Html(view::audit(&shared.frame(Some(&visitor), Here::Audit), &shared.audit()))
}
