//! Secrets, keys and certificates: brought here and taken away by administrators.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::Shared;
use super::super::account::Visitor;
use super::super::audit::Deed;
use super::super::files::FileError;
use super::super::guard::{Administrator, Named, Refusal, Sent, Vouched};
use super::super::serve::Peer;
use super::super::view::{self, Form, Here, Notice};
use super::accounts::Hidden;
use crate::secret::Secret;

/// A file has 256 KiB at most; a form writes most characters of it as three.
const LARGEST_FORM: usize = 1 << 20;

pub(super) fn pages() -> Router<Arc<Shared>> {
    Router::new()
        .route("/files", get(page))
        .route("/files/put", post(put_form))
        .route("/files/remove", post(remove_form))
        .layer(DefaultBodyLimit::max(LARGEST_FORM))
}

pub(super) fn api() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/v1/files", get(api_list))
        .route("/api/v1/files/{name}", put(api_put).delete(api_remove))
        .layer(DefaultBodyLimit::max(LARGEST_FORM))
}

/// What is to be in a file.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Content {
    /// A secret, or a key or certificate as PEM.
    #[schemars(with = "String")]
    content: Hidden,
}

#[derive(Deserialize)]
struct PutForm {
    name: String,
    content: Hidden,
}

#[derive(Deserialize)]
struct RemoveForm {
    name: String,
}

fn status_of(error: &FileError) -> StatusCode {
    match error {
        FileError::BadName | FileError::Empty | FileError::TooLarge => StatusCode::UNPROCESSABLE_ENTITY,
        FileError::TooMany | FileError::Named => StatusCode::CONFLICT,
        FileError::NoFile => StatusCode::NOT_FOUND,
        FileError::Disk(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// What came of work on a thread that may wait for the disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FileError> + Send + 'static,
) -> Result<T, FileError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(FileError::Disk(std::io::Error::other(error))))
}

impl Shared {
    async fn files(&self) -> Result<view::Files, FileError> {
        let files = self.files.clone();
        let settings = self.settings().await.map(|settings| settings.text).unwrap_or_default();
        let list = blocking(move || files.list().map_err(FileError::Disk)).await?;
        let file = |file: super::super::files::Shown| view::NamedFile {
            is_named: settings.contains(&format!("{}\"", file.path)),
            name: file.name,
            path: file.path,
            bytes: file.bytes,
            changed: file.changed,
        };
        Ok(view::Files { files: list.into_iter().map(file).collect() })
    }

    async fn put_file(&self, peer: Peer, by: &Visitor, name: &str, text: Secret<String>) -> Result<String, FileError> {
        let (files, owned) = (self.files.clone(), name.to_owned());
        let result = blocking(move || files.put(&owned, &text)).await;
        self.note_file(("file_put", format!("{} brings the file {name}", by.name)), peer, by, &result).await;
        result
    }

    async fn remove_file(&self, peer: Peer, by: &Visitor, name: &str) -> Result<(), FileError> {
        let (files, owned) = (self.files.clone(), name.to_owned());
        // Without the settings nobody knows whether they name it.
        let settings: Result<String, String> = self.settings().await.map(|settings| settings.text);
        let result = match settings {
            Ok(settings) => blocking(move || files.remove(&owned, &settings)).await,
            Err(why) => Err(FileError::Disk(std::io::Error::other(why))),
        };
        self.note_file(("file_removed", format!("{} removes the file {name}", by.name)), peer, by, &result).await;
        result
    }

    async fn note_file<T>(
        &self,
        (action, message): (&'static str, String),
        Peer(from): Peer,
        by: &Visitor,
        result: &Result<T, FileError>,
    ) {
        let outcome = result.as_ref().map(|_| ()).map_err(ToString::to_string);
        self.audit.note(Deed { action, who: by.name.clone(), from, outcome, message }).await;
    }
}

async fn show(shared: &Shared, visitor: &Visitor, uri: &Uri, notice: Option<Notice>, form: Form) -> Response {
    let page = match shared.files().await {
        Ok(page) => page,
        Err(error) => return refusal(shared, uri, &error).into_response(),
    };
    let is_refused = notice.as_ref().is_some_and(|notice| !notice.done) || !form.is_good();
    let status = if is_refused { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let mut frame = shared.frame(Some(visitor), Here::Files);
    frame.notice = notice;
    (status, Html(view::files(&frame, &page, &form))).into_response()
}

fn refusal(shared: &Shared, uri: &Uri, error: &FileError) -> Refusal {
    let text = error.to_string();
    let (what, todo) = text.split_once("; ").unwrap_or((text.as_str(), "see the list of files"));
    Refusal::new(shared, uri, status_of(error), what, todo)
}

async fn page(State(shared): State<Arc<Shared>>, Administrator(visitor): Administrator, uri: Uri) -> Response {
    show(&shared, &visitor, &uri, None, Form::default()).await
}

async fn put_form(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    peer: Peer,
    uri: Uri,
    Sent(form): Sent<PutForm>,
) -> Response {
    match shared.put_file(peer, &visitor, &form.name, form.content.secret()).await {
        Ok(path) => {
            let text = format!("It is in the box; the settings call it \"{path}\".");
            show(&shared, &visitor, &uri, Some(Notice { done: true, text }), Form::default()).await
        }
        Err(error) => {
            let back = Form::default().keep("name", &form.name);
            let back = match error.field() {
                Some(field) => back.fault(field, error.to_string()),
                None => back.refuse(error.to_string()),
            };
            show(&shared, &visitor, &uri, None, back).await
        }
    }
}

async fn remove_form(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    peer: Peer,
    uri: Uri,
    Sent(form): Sent<RemoveForm>,
) -> Response {
    let result = shared.remove_file(peer, &visitor, &form.name).await;
    let done = result.is_ok();
    let text = result.map_or_else(|error| error.to_string(), |()| format!("The file {} is gone.", form.name));
    show(&shared, &visitor, &uri, Some(Notice { done, text }), Form::default()).await
}

async fn api_list(State(shared): State<Arc<Shared>>, _: Administrator, uri: Uri) -> Result<Json<view::Files>, Refusal> {
    shared.files().await.map(Json).map_err(|error| refusal(&shared, &uri, &error))
}

async fn api_put(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    peer: Peer,
    Named(name): Named,
    uri: Uri,
    Sent(new): Sent<Content>,
) -> Result<StatusCode, Refusal> {
    let put = shared.put_file(peer, &visitor, &name, new.content.secret()).await;
    put.map(|_| StatusCode::NO_CONTENT).map_err(|error| refusal(&shared, &uri, &error))
}

async fn api_remove(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    peer: Peer,
    Named(name): Named,
    uri: Uri,
    _: Vouched,
) -> Result<StatusCode, Refusal> {
    let removed = shared.remove_file(peer, &visitor, &name).await;
    removed.map(|()| StatusCode::NO_CONTENT).map_err(|error| refusal(&shared, &uri, &error))
}
