//! What is asked where: pages for people, JSON for programs.

mod accounts;
mod api;
mod calls;
mod change;
mod deeds;
mod entries;
mod files;
mod openapi;
mod pages;
mod replay;
mod settings;
mod upkeep;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Shared;
use super::account::{self, Visitor};
use super::guard::{self, LARGEST_BODY, Refusal};
use super::history::Span;
use super::view::{self, Frame, Here, Trouble};
use crate::event::SourceId;
use crate::queue::Totals;

/// How to report a weakness (RFC 9116).
const SECURITY: &str = include_str!("../../../../image/security.txt");
/// What is named after its content never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// Everything that can be asked.
pub(super) fn all(shared: Arc<Shared>) -> Router {
    let mut routes = Router::new()
        .merge(pages::routes())
        .merge(accounts::routes())
        .merge(settings::pages())
        .merge(files::pages())
        .merge(entries::pages())
        .merge(upkeep::pages())
        .merge(api::routes())
        .merge(settings::api())
        .merge(files::api())
        .merge(entries::api())
        .merge(upkeep::api())
        .merge(replay::api())
        .route("/.well-known/security.txt", get(|| async { text(SECURITY) }))
        .fallback(not_here)
        .method_not_allowed_fallback(wrong_method);
    for asset in view::assets() {
        let answer = move || async move {
            ([(header::CONTENT_TYPE, asset.content_type), (header::CACHE_CONTROL, FOR_EVER)], asset.bytes)
        };
        routes = routes.route(&asset.path, get(answer));
    }
    routes
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(from_fn_with_state(Arc::clone(&shared), guard::watch))
        .with_state(shared)
}

fn text(text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

async fn not_here(State(shared): State<Arc<Shared>>, uri: Uri) -> Refusal {
    Refusal::new(&shared, &uri, StatusCode::NOT_FOUND, "there is no such page", "begin at the overview")
}

async fn wrong_method(State(shared): State<Arc<Shared>>, uri: Uri) -> Refusal {
    let what = "this cannot be done with this address";
    Refusal::new(&shared, &uri, StatusCode::METHOD_NOT_ALLOWED, what, "begin at the overview")
}

impl Shared {
    /// What stands around a page.
    pub(super) fn frame(&self, visitor: Option<&Visitor>, here: Here) -> Frame {
        let snapshot = visitor.map(|_| self.context.board.snapshot());
        Frame {
            box_name: self.context.name.borrow().to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            visitor: visitor.map(|visitor| view::Visitor {
                name: visitor.name.clone(),
                role: visitor.role,
                csrf: visitor.csrf.clone(),
            }),
            here,
            notice: None,
            troubles: snapshot.map(|snapshot| Trouble::all(&snapshot)).unwrap_or_default(),
            support: self.context.board.support(),
            has_first_steps: visitor.is_some() && self.start.is_left(&self.context.kinds.borrow()),
        }
    }

    /// The overview now.
    pub(super) fn overview(&self, span: Span) -> view::Overview {
        view::Overview::of(&self.context.board.snapshot(), &self.history.series(span), &self.context.kinds.borrow())
    }

    /// The list of sources now.
    fn sources(&self) -> view::Sources {
        view::Sources::of(
            &self.context.board.snapshot(),
            &self.history.series(Span::Hour),
            &self.context.kinds.borrow(),
        )
    }

    /// One source now, if there is one of that id.
    fn source(&self, id: &str, span: Span) -> Option<view::SourcePage> {
        let page = view::SourcePage::of(
            &self.context.board.snapshot(),
            &self.history.series(span),
            &self.context.kinds.borrow(),
            id,
        );
        page.map(|page| page.with_devices(self.context.board.devices(id)))
    }

    /// The ledger now.
    fn ledger(&self) -> Result<view::Ledger, String> {
        let json = self.context.questions.ledger()?;
        let totals: BTreeMap<SourceId, Totals> =
            serde_json::from_str(json.get()).map_err(|error| format!("the ledger cannot be read: {error}"))?;
        Ok(view::Ledger::of(&self.context.clock.now().to_string(), &totals))
    }

    /// The deeds.
    fn audit(&self) -> view::Audit {
        view::Audit { entries: self.audit.newest() }
    }

    /// The accounts.
    async fn accounts(&self) -> view::Accounts {
        let account = |shown: account::Shown| view::Account {
            name: shown.name,
            role: shown.role,
            last_login: shown.last_login,
            locked_until: shown.locked_until,
        };
        view::Accounts { accounts: self.accounts.list().await.into_iter().map(account).collect() }
    }
}
