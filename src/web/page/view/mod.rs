//! The pages as text: plain data in, HTML out.
//!
//! In: models, made from a snapshot of the board, the series of the history, the ledger, and what the page's own rooms know.
//! Out: whole pages, the pieces of the overview that are pushed, and the assets. No HTTP, no I/O, no waiting, no clock. The models
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
mod entry;
mod files;
mod frame;
mod ledger;
mod live;
mod outlet;
mod overview;
mod pieces;
mod settings;
mod source;
mod text;
mod upkeep;

#[cfg(test)]
mod tests;

pub(super) use account::{Account, Accounts, Form};
pub(super) use asset::assets;
pub(super) use audit::{Audit, AuditEntry};
pub use card::Kinds;
pub(super) use card::Trouble;
pub(super) use entry::{
    Consent, DeviceKey, DeviceShown, Devices, EntryForm, Findings, GuideShown, HostKey, KindList, KindShown, Outputs,
};
pub(super) use files::{Files, NamedFile};
pub(super) use frame::{Frame, Here, Notice, Visitor};
pub(super) use ledger::Ledger;
pub(super) use live::{Live, Replay};
pub(super) use overview::Overview;
pub(super) use pieces::Pieces;
pub(super) use settings::{Copy, Problem, Review, Settings, Trial};
pub(super) use source::{SourcePage, Sources};
pub(super) use upkeep::certificate::Certificate;
pub(super) use upkeep::machine::{Card, Forms, Machine};
pub(super) use upkeep::start::{Link, Start, Step};
pub(super) use upkeep::updates::Updates;

use askama::Template;

/// The overview, `/`; `page.span` says which tab is open.
pub(super) fn overview(frame: &Frame, page: &Overview) -> String {
    overview::page(frame, page)
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

/// Updates, `/updates`.
pub(super) fn updates(frame: &Frame, page: &Updates) -> String {
    upkeep::updates::page(frame, page)
}

/// The part of it that changes: the data of the event `updates` at `/updates/events`.
pub(super) fn updates_part(page: &Updates) -> String {
    upkeep::updates::part(page)
}

/// The box's name, network and time, `/box`; `forms` are what was typed last, where it comes back.
pub(super) fn machine(frame: &Frame, page: &Machine, forms: &Forms) -> String {
    upkeep::machine::page(frame, page, forms)
}

/// The page's certificate, `/certificate`.
pub(super) fn certificate(frame: &Frame, page: &Certificate, form: &Form) -> String {
    upkeep::certificate::page(frame, page, form)
}

/// Support and backups, `/support`; the form is what was typed last, where it comes back.
pub(super) fn support(frame: &Frame, form: &Form) -> String {
    upkeep::support::page(frame, form)
}

/// The first steps of a new box, `/start`.
pub(super) fn start(frame: &Frame, page: &Start) -> String {
    upkeep::start::page(frame, page)
}

/// The last that a page shows which starts anew with other settings.
pub(super) fn again(frame: &Frame) -> String {
    upkeep::machine::again(frame)
}

/// The list of outputs, `/outputs`.
pub(super) fn outputs(frame: &Frame, page: &Outputs) -> String {
    entry::outputs(frame, page)
}

/// The types that can be added to a list, `/add/{list}`.
pub(super) fn kinds(frame: &Frame, list: &str, page: &KindList) -> String {
    entry::kinds(frame, list, page)
}

/// A source or an output as a form, `/add/{list}/{kind}` and `/{list}/{id}/edit`.
pub(super) fn entry(frame: &Frame, page: &EntryForm) -> String {
    entry::form(frame, page)
}

/// How to get the consent of another tenant's administrator.
pub(super) fn consent(frame: &Frame, page: &Consent) -> String {
    entry::consent(frame, page)
}

/// Where a browser comes back from Microsoft: it brings no session along, so that the page only leads on to `next`.
pub(super) fn answered(frame: &Frame, next: &str) -> String {
    entry::answered(frame, next)
}

/// The answer of Microsoft for a source, to be taken over.
pub(super) fn take(frame: &Frame, id: &str, answer: &str) -> String {
    entry::take(frame, id, answer)
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
