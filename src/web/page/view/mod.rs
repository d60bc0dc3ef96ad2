//! The pages as text: plain data in, HTML out.
//!
//! In: models, made from a snapshot of the board, the series of the history, the ledger, and what the page's own rooms know.
//! Out: whole pages, the part of the overview that is pushed, and the assets. No HTTP, no I/O, no waiting, no clock. The models
//! of the pages are the answers of the JSON API as well, so that both say the same.
//!
//! Invariants: every text from outside is escaped by askama, and stands in a `bdi` where it could turn the direction of its
//! neighbours; nothing needs a script, a style or an image from inside the page, so that the content policy can forbid them;
//! no state is told by colour alone.
//!
//! Bounded by what is given: a chart has at most as many points as a span, its table at most [`chart`]'s rows.
//!
//! Not supported: pages in other languages; times are UTC, as in the log and on the screen.

mod account;
mod asset;
mod audit;
mod card;
mod chart;
mod files;
mod frame;
mod ledger;
mod live;
mod outlet;
mod overview;
mod settings;
mod source;
mod text;

#[cfg(test)]
mod tests;

pub(super) use account::{Account, Accounts, Form};
pub(super) use asset::assets;
pub(super) use audit::{Audit, AuditEntry};
pub use card::Kinds;
pub(super) use card::Trouble;
pub(super) use files::{Files, NamedFile};
pub(super) use frame::{Frame, Here, Notice, Visitor};
pub(super) use ledger::Ledger;
pub(super) use live::Live;
pub(super) use overview::Overview;
pub(super) use settings::{Copy, Problem, Review, Settings, Trial};
pub(super) use source::{SourcePage, Sources};

use askama::Template;

/// The overview, `/`; `page.span` says which tab is open.
pub(super) fn overview(frame: &Frame, page: &Overview) -> String {
    overview::page(frame, page)
}

/// The part of the overview that changes: the data of the event `overview` at `/events?span=...`.
pub(super) fn overview_part(page: &Overview) -> String {
    overview::part(page)
}

/// The list of sources, `/sources`.
pub(super) fn sources(frame: &Frame, page: &Sources) -> String {
    source::list(frame, page)
}

/// One source, `/source/{id}?span=...`.
pub(super) fn source(frame: &Frame, page: &SourcePage) -> String {
    source::page(frame, page)
}

/// The live tail, `/live?source=...&text=...`.
pub(super) fn live(frame: &Frame, page: &Live) -> String {
    live::page(frame, page)
}

/// The ledger, `/ledger`.
pub(super) fn ledger(frame: &Frame, page: &Ledger) -> String {
    ledger::page(frame, page)
}

/// What was done on the page, `/audit`.
pub(super) fn audit(frame: &Frame, page: &Audit) -> String {
    audit::page(frame, page)
}

/// The accounts, `/accounts`: for an administrator the list and all forms, for others the form for the own password.
/// `add` and `own` are what was typed last, where a form comes back.
pub(super) fn accounts(frame: &Frame, page: &Accounts, add: &Form, own: &Form) -> String {
    account::page(frame, page, add, own)
}

/// The settings, `/settings`, with what a change would do.
pub(super) fn settings(frame: &Frame, page: &Settings) -> String {
    settings::page(frame, page)
}

/// The files that the settings can name, `/files`; `form` is what was typed last, where it comes back.
pub(super) fn files(frame: &Frame, page: &Files, form: &Form) -> String {
    files::page(frame, page, form)
}

/// `/login`; the frame has no visitor.
pub(super) fn login(frame: &Frame, form: &Form) -> String {
    account::login(frame, form)
}

/// `/claim`: makes the first administrator; the frame has no visitor.
pub(super) fn claim(frame: &Frame, form: &Form) -> String {
    account::claim(frame, form)
}

/// A page that says why there is no other: the HTTP status, what is wrong, what to do.
pub(super) fn error(frame: &Frame, status: u16, what: &str, todo: &str) -> String {
    frame::error(frame, status, what, todo)
}

/// The text of a template. Writing to a string does not fail; if a template did, the log says which, and the page is empty.
fn render(template: &impl Template) -> String {
    template.render().unwrap_or_else(|error| {
        tracing::error!(%error, "a page could not be written");
        String::new()
    })
}
