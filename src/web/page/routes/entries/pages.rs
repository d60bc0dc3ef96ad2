//! Forms for people.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Deserialize;
use serde_json::Value;

use super::super::super::Shared;
use super::super::super::account::Visitor;
use super::super::super::guard::{Administrator, Asked, Named, Refusal, Seen, Sent};
use super::super::super::serve::Peer;
use super::super::super::view::{self, EntryForm, Findings, Here, KindList, KindShown, Notice};
use super::super::accounts::Hidden;
use super::draft::{Failure, Waiting};
use super::guide::{host, shown, typed};
use super::save::{Done, Who};
use super::{List, Wish};

/// What can be done with the entries of a list.
pub(super) fn of(list: List) -> Router<Arc<Shared>> {
    let word = list.word();
    Router::new()
        .route(&format!("/add/{word}"), get(kinds))
        .route(&format!("/add/{word}/{{kind}}"), get(new_page).post(add))
        .route(&format!("/{word}/{{id}}/edit"), get(edit_page).post(change))
        .route(&format!("/{word}/{{id}}/pause"), post(pause))
        .route(&format!("/{word}/{{id}}/resume"), post(resume))
        .route(&format!("/{word}/{{id}}/remove"), post(remove))
        .layer(Extension(list))
}

pub(super) fn outputs() -> Router<Arc<Shared>> {
    Router::new().route("/outputs", get(outputs_page))
}

/// The fields of a form, in the order of the page.
#[derive(Deserialize)]
#[serde(transparent)]
struct Pairs(Vec<(String, Hidden)>);

/// A form with nothing but its secret.
#[derive(Deserialize)]
struct Nothing {}

impl List {
    pub(super) fn here(self) -> Here {
        match self {
            Self::Source => Here::Sources,
            Self::Output => Here::Outputs,
        }
    }

    fn path(self, id: &str, done: Done) -> String {
        // An id that the settings took has no character that a path could not hold.
        match done {
            Done::Removed => format!("/{}s?done={}", self.word(), done.word()),
            _ => format!("/{}/{id}/edit?done={}", self.word(), done.word()),
        }
    }
}

/// To the page that follows a deed.
pub(super) fn on(list: List, id: &str, done: Done) -> Response {
    Redirect::to(&list.path(id, done)).into_response()
}

/// What is said of a deed on the page that follows.
pub(in super::super) fn notice(asked: &Asked) -> Option<Notice> {
    Done::of(asked.get("done")).map(|text| Notice { done: true, text: text.to_owned() })
}

/// The types of a list.
pub(super) fn kinds_of(list: List) -> Vec<KindShown> {
    let kind = |form: &&crate::form::Form| KindShown {
        list: list.word(),
        kind: form.kind,
        title: form.title,
        about: form.about,
    };
    list.forms().iter().map(kind).collect()
}

impl Shared {
    /// A page of a form, with what has to be looked up for it.
    pub(super) async fn form_page(
        &self,
        visitor: &Visitor,
        (list, entry): (List, &Value),
        (mut page, notice): (EntryForm, Option<Notice>),
        headers: &HeaderMap,
    ) -> Response {
        if page.devices.is_none() {
            page.devices = self.devices(&page.id, entry, host(headers)).await;
        }
        let is_refused = !page.faults.is_empty()
            || page.each().any(|field| field.fault.is_some())
            || page.devices.as_ref().is_some_and(|devices| !devices.add.is_good());
        let status = if is_refused { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
        let mut frame = self.frame(Some(visitor), list.here());
        frame.notice = notice;
        (status, Html(view::entry(&frame, &page))).into_response()
    }

    /// The form once more, with what was typed.
    async fn again(
        &self,
        visitor: &Visitor,
        wish: &Wish,
        came: Result<(Findings, Vec<Waiting>), Failure>,
        headers: &HeaderMap,
    ) -> Response {
        let values = self.settings_now().await.map(|now| now.values).unwrap_or_default();
        let entry = if wish.is_new { None } else { wish.list.find(&values, &wish.id) };
        let entry = entry.cloned().unwrap_or_default();
        let mut page = typed(wish, &entry, host(headers));
        let secrets = match came {
            Ok((findings, secrets)) => {
                page.findings = Some(findings);
                secrets
            }
            Err(Failure { faults, secrets }) => {
                page.faults = faults.above;
                faults.fields.into_iter().for_each(|(key, words)| page.fault(&key, words));
                secrets
            }
        };
        for secret in secrets {
            if let Some(field) = page.each().find(|field| field.key == secret.key) {
                field.kept = Some(secret.typed);
            }
        }
        self.form_page(visitor, (wish.list, &entry), (page, None), headers).await
    }

    /// Does what the form's button says.
    async fn act(&self, who: Who<'_>, wish: &Wish, headers: &HeaderMap) -> Response {
        let came = if wish.typed.text("do") == Some("test") {
            self.tested(who, wish).await.map(|tested| (Findings::of(tested.findings), tested.secrets))
        } else {
            match self.saved(who, wish).await {
                Ok(()) if wish.is_new => return on(wish.list, &wish.id, Done::Added),
                Ok(()) => return on(wish.list, &wish.id, Done::Changed),
                Err(failure) => Err(failure),
            }
        };
        self.again(who.visitor, wish, came, headers).await
    }
}

async fn outputs_page(State(shared): State<Arc<Shared>>, Seen(visitor): Seen, asked: Asked) -> Html<String> {
    let mut frame = shared.frame(Some(&visitor), Here::Outputs);
    frame.notice = notice(&asked);
    Html(view::outputs(&frame, &shared.outputs()))
}

async fn kinds(
    State(shared): State<Arc<Shared>>,
    Extension(list): Extension<List>,
    Administrator(visitor): Administrator,
) -> Html<String> {
    let page = KindList { kinds: kinds_of(list) };
    Html(view::kinds(&shared.frame(Some(&visitor), list.here()), list.word(), &page))
}

/// What is not there.
pub(super) fn none(shared: &Shared, uri: &Uri, list: List) -> Refusal {
    let word = list.word();
    let (what, todo) = (format!("there is no such {word}"), format!("see the list of {word}s"));
    Refusal::new(shared, uri, StatusCode::NOT_FOUND, &what, &todo)
}

pub(super) fn not_now(shared: &Shared, uri: &Uri, why: &str) -> Refusal {
    Refusal::new(shared, uri, StatusCode::CONFLICT, why, "open this again in a moment")
}

async fn new_page(
    State(shared): State<Arc<Shared>>,
    Extension(list): Extension<List>,
    Administrator(visitor): Administrator,
    Named(kind): Named,
    (uri, headers): (Uri, HeaderMap),
) -> Response {
    let Some(form) = list.form(&kind) else { return none(&shared, &uri, list).into_response() };
    match shared.settings_now().await {
        Err(why) => not_now(&shared, &uri, &why).into_response(),
        Ok(now) => {
            let page = shown(list, form, &list.free_id(&now.values, form), &Value::Null, host(&headers));
            shared.form_page(&visitor, (list, &Value::Null), (page, None), &headers).await
        }
    }
}

async fn add(
    State(shared): State<Arc<Shared>>,
    Extension(list): Extension<List>,
    Administrator(visitor): Administrator,
    (peer, Named(kind)): (Peer, Named),
    (uri, headers): (Uri, HeaderMap),
    Sent(pairs): Sent<Pairs>,
) -> Response {
    let Some(form) = list.form(&kind) else { return none(&shared, &uri, list).into_response() };
    let typed: super::Typed = pairs.0.into_iter().collect();
    let id = typed.text("id").unwrap_or_default().trim().to_owned();
    let wish = Wish { list, form, id, is_new: true, typed };
    shared.act(Who { peer, visitor: &visitor }, &wish, &headers).await
}

async fn edit_page(
    State(shared): State<Arc<Shared>>,
    Extension(list): Extension<List>,
    Seen(visitor): Seen,
    (Named(id), asked): (Named, Asked),
    (uri, headers): (Uri, HeaderMap),
) -> Response {
    let values = match shared.settings_now().await {
        Ok(now) => now.values,
        Err(why) => return not_now(&shared, &uri, &why).into_response(),
    };
    let Some((entry, form)) = list.find_form(&values, &id) else { return none(&shared, &uri, list).into_response() };
    let page = shown(list, form, &id, entry, host(&headers));
    shared.form_page(&visitor, (list, entry), (page, notice(&asked)), &headers).await
}

async fn change(
    State(shared): State<Arc<Shared>>,
    Extension(list): Extension<List>,
    Administrator(visitor): Administrator,
    (peer, Named(id)): (Peer, Named),
    (uri, headers): (Uri, HeaderMap),
    Sent(pairs): Sent<Pairs>,
) -> Response {
    let form = match shared.settings_now().await {
        Ok(now) => list.find_form(&now.values, &id).map(|(_, form)| form),
        Err(why) => return not_now(&shared, &uri, &why).into_response(),
    };
    let Some(form) = form else { return none(&shared, &uri, list).into_response() };
    let wish = Wish { list, form, id, is_new: false, typed: pairs.0.into_iter().collect() };
    shared.act(Who { peer, visitor: &visitor }, &wish, &headers).await
}

/// To the page that follows, or the form with why it was not done.
async fn followed(
    shared: &Shared,
    visitor: &Visitor,
    (list, id, done): (List, &str, Done),
    result: Result<(), String>,
    (uri, headers): (&Uri, &HeaderMap),
) -> Response {
    let Err(why) = result else { return on(list, id, done) };
    let values = shared.settings_now().await.map(|now| now.values).unwrap_or_default();
    let Some((entry, form)) = list.find_form(&values, id) else { return none(shared, uri, list).into_response() };
    let mut page = shown(list, form, id, entry, host(headers));
    page.faults.push(why);
    shared.form_page(visitor, (list, entry), (page, None), headers).await
}

async fn pause(
    State(shared): State<Arc<Shared>>,
    Extension(list): Extension<List>,
    Administrator(visitor): Administrator,
    (peer, Named(id)): (Peer, Named),
    (uri, headers): (Uri, HeaderMap),
    _: Sent<Nothing>,
) -> Response {
    let result = shared.paused(Who { peer, visitor: &visitor }, list, &id, true).await;
    followed(&shared, &visitor, (list, &id, Done::Paused), result, (&uri, &headers)).await
}

async fn resume(
    State(shared): State<Arc<Shared>>,
    Extension(list): Extension<List>,
    Administrator(visitor): Administrator,
    (peer, Named(id)): (Peer, Named),
    (uri, headers): (Uri, HeaderMap),
    _: Sent<Nothing>,
) -> Response {
    let result = shared.paused(Who { peer, visitor: &visitor }, list, &id, false).await;
    followed(&shared, &visitor, (list, &id, Done::Resumed), result, (&uri, &headers)).await
}

async fn remove(
    State(shared): State<Arc<Shared>>,
    Extension(list): Extension<List>,
    Administrator(visitor): Administrator,
    (peer, Named(id)): (Peer, Named),
    (uri, headers): (Uri, HeaderMap),
    _: Sent<Nothing>,
) -> Response {
    let result = shared.taken_out(Who { peer, visitor: &visitor }, list, &id).await;
    followed(&shared, &visitor, (list, &id, Done::Removed), result, (&uri, &headers)).await
}
