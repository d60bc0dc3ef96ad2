//! Forms for programs.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Extension, Json, Router};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::Shared;
use super::super::super::guard::{Administrator, Named, Refusal, Seen, Sent, Vouched};
use super::super::super::serve::Peer;
use super::super::super::view::{self, EntryForm, Findings, KindList};
use super::super::accounts::Hidden;
use super::guide::{host, shown};
use super::pages::{kinds_of, none, not_now};
use super::save::Who;
use super::{Faults, List, Typed, Wish};

pub(super) fn forms() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/v1/forms", get(kinds))
        .route("/api/v1/forms/{list}/{kind}", get(new_form))
        .route("/api/v1/outputs", get(outputs))
}

/// What can be done with the entries of a list.
pub(super) fn of(list: List) -> Router<Arc<Shared>> {
    let path = format!("/api/v1/{}s", list.word());
    Router::new()
        .route(&path, post(add))
        .route(&format!("{path}/test"), post(test))
        .route(&format!("{path}/{{id}}"), put(change).delete(remove))
        .route(&format!("{path}/{{id}}/form"), get(form))
        .route(&format!("{path}/{{id}}/paused"), put(pause))
        .layer(Extension(list))
}

/// An entry, by the fields of its type's form.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewEntry {
    /// Its type, as in the settings.
    #[serde(rename = "type")]
    kind: String,
    /// Its id.
    id: String,
    /// What is typed into each field, by its key: a line for each part of a list; a secret itself.
    #[schemars(with = "BTreeMap<String, String>")]
    fields: BTreeMap<String, Hidden>,
}

/// What changes in an entry.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangedEntry {
    /// What is typed into a field, by its key; the others stay.
    #[schemars(with = "BTreeMap<String, String>")]
    fields: BTreeMap<String, Hidden>,
    /// Fields whose secret is taken out.
    #[serde(default)]
    drop: Vec<String>,
}

/// Whether an entry is paused.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Paused {
    /// It does not run.
    paused: bool,
}

impl Shared {
    /// The outputs now.
    pub(super) fn outputs(&self) -> view::Outputs {
        let series = self.history.series(super::super::super::history::Span::Hour);
        view::Outputs::of(&self.context.board.snapshot(), &series, &self.context.kinds.borrow())
    }
}

async fn kinds(_: Seen) -> Json<KindList> {
    Json(KindList { kinds: List::ALL.into_iter().flat_map(kinds_of).collect() })
}

async fn outputs(State(shared): State<Arc<Shared>>, _: Seen) -> Json<view::Outputs> {
    Json(shared.outputs())
}

async fn new_form(
    State(shared): State<Arc<Shared>>,
    _: Seen,
    path: Result<Path<(String, String)>, PathRejection>,
    (uri, headers): (Uri, HeaderMap),
) -> Result<Json<EntryForm>, Refusal> {
    let found = path.ok().and_then(|Path((word, kind))| {
        let list = List::ALL.into_iter().find(|list| list.word() == word)?;
        Some((list, list.form(&kind)?))
    });
    let (list, form) = found.ok_or_else(|| {
        let (what, todo) = ("there is no such form", "GET /api/v1/forms lists them");
        Refusal::new(&shared, &uri, StatusCode::NOT_FOUND, what, todo)
    })?;
    let now = shared.settings_now().await.map_err(|why| not_now(&shared, &uri, &why))?;
    Ok(Json(shown(list, form, &list.free_id(&now.values, form), &Value::Null, host(&headers))))
}

async fn form(
    State(shared): State<Arc<Shared>>,
    Extension(list): Extension<List>,
    _: Seen,
    Named(id): Named,
    (uri, headers): (Uri, HeaderMap),
) -> Result<Json<EntryForm>, Refusal> {
    let now = shared.settings_now().await.map_err(|why| not_now(&shared, &uri, &why))?;
    let (entry, form) = list.find_form(&now.values, &id).ok_or_else(|| none(&shared, &uri, list))?;
    let mut page = shown(list, form, &id, entry, host(&headers));
    page.devices = shared.devices(&id, entry, host(&headers)).await;
    Ok(Json(page))
}

/// What is wrong with what was sent, field by field.
fn wrong(faults: &Faults) -> Response {
    let error = json!({ "what": faults.words(), "todo": "GET /api/v1/forms shows what each field asks for" });
    (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "error": error, "fields": faults.fields }))).into_response()
}

/// The wish that was sent: of a new entry, or of one that the settings have.
async fn wish(shared: &Shared, uri: &Uri, list: List, new: NewEntry) -> Result<Wish, Response> {
    let Some(form) = list.form(&new.kind) else {
        let words = format!("there is no {} of this type; GET /api/v1/forms lists them", list.word());
        return Err(wrong(&Faults::at("type", words)));
    };
    let now = shared.settings_now().await.map_err(|why| not_now(shared, uri, &why).into_response())?;
    let is_new = list.find_form(&now.values, &new.id).is_none_or(|(_, other)| other.kind != form.kind);
    Ok(Wish { list, form, id: new.id, is_new, typed: new.fields.into_iter().collect() })
}

async fn add(
    State(shared): State<Arc<Shared>>,
    Extension(list): Extension<List>,
    Administrator(visitor): Administrator,
    peer: Peer,
    uri: Uri,
    Sent(new): Sent<NewEntry>,
) -> Response {
    let wish = match wish(&shared, &uri, list, new).await {
        Ok(wish) => Wish { is_new: true, ..wish },
        Err(response) => return response,
    };
    match shared.saved(Who { peer, visitor: &visitor }, &wish).await {
        Ok(()) => StatusCode::CREATED.into_response(),
        Err(failure) => wrong(&failure.faults),
    }
}

async fn test(
    State(shared): State<Arc<Shared>>,
    Extension(list): Extension<List>,
    Administrator(visitor): Administrator,
    peer: Peer,
    uri: Uri,
    Sent(new): Sent<NewEntry>,
) -> Response {
    let wish = match wish(&shared, &uri, list, new).await {
        Ok(wish) => wish,
        Err(response) => return response,
    };
    match shared.tested(Who { peer, visitor: &visitor }, &wish).await {
        Ok(tested) => Json(Findings::of(tested.findings)).into_response(),
        Err(failure) => wrong(&failure.faults),
    }
}

async fn change(
    State(shared): State<Arc<Shared>>,
    Extension(list): Extension<List>,
    Administrator(visitor): Administrator,
    (peer, Named(id)): (Peer, Named),
    uri: Uri,
    Sent(new): Sent<ChangedEntry>,
) -> Response {
    let now = match shared.settings_now().await {
        Ok(now) => now,
        Err(why) => return not_now(&shared, &uri, &why).into_response(),
    };
    let Some((_, form)) = list.find_form(&now.values, &id) else {
        return none(&shared, &uri, list).into_response();
    };
    let drop = ("drop".to_owned(), Hidden::from(new.drop.join("\n")));
    let typed: Typed = new.fields.into_iter().chain([drop]).collect();
    let wish = Wish { list, form, id, is_new: false, typed };
    match shared.saved(Who { peer, visitor: &visitor }, &wish).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(failure) => wrong(&failure.faults),
    }
}

/// Whether the settings have the entry: else it is not there.
async fn there(shared: &Shared, uri: &Uri, list: List, id: &str) -> Result<(), Refusal> {
    let now = shared.settings_now().await.map_err(|why| not_now(shared, uri, &why))?;
    list.find(&now.values, id).map(|_| ()).ok_or_else(|| none(shared, uri, list))
}

async fn remove(
    State(shared): State<Arc<Shared>>,
    Extension(list): Extension<List>,
    Administrator(visitor): Administrator,
    (peer, Named(id)): (Peer, Named),
    uri: Uri,
    _: Vouched,
) -> Result<StatusCode, Refusal> {
    there(&shared, &uri, list, &id).await?;
    let done = shared.taken_out(Who { peer, visitor: &visitor }, list, &id).await;
    done.map(|()| StatusCode::NO_CONTENT).map_err(|why| not_now(&shared, &uri, &why))
}

async fn pause(
    State(shared): State<Arc<Shared>>,
    Extension(list): Extension<List>,
    Administrator(visitor): Administrator,
    (peer, Named(id)): (Peer, Named),
    uri: Uri,
    Sent(new): Sent<Paused>,
) -> Result<StatusCode, Refusal> {
    there(&shared, &uri, list, &id).await?;
    let done = shared.paused(Who { peer, visitor: &visitor }, list, &id, new.paused).await;
    done.map(|()| StatusCode::NO_CONTENT).map_err(|why| not_now(&shared, &uri, &why))
}
