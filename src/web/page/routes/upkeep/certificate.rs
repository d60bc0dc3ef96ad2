//! The page's certificate: looked at by everybody, replaced and made anew by administrators.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::accounts::Hidden;
use super::super::change::{Applied, Came, again, in_use, trial_of};
use super::unknown;
use crate::control::Edit;
use crate::secret::Secret;
use crate::web::page::account::{self, Visitor};
use crate::web::page::audit::Deed;
use crate::web::page::files::FileError;
use crate::web::page::guard::{Administrator, Refusal, Seen, Sent, Vouched};
use crate::web::page::serve::Peer;
use crate::web::page::view::{self, Certificate, Form, Here, Notice};
use crate::web::page::{Shared, certificate, settings};

pub(super) fn pages() -> Router<Arc<Shared>> {
    Router::new()
        .route("/certificate", get(page))
        .route("/certificate/replace", post(replace))
        .route("/certificate/new", post(new))
        .route("/certificate/own", post(own))
}

pub(super) fn api() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/v1/certificate", get(api_now).put(api_replace).delete(api_own))
        .route("/api/v1/certificate/new", post(api_new))
}

/// A certificate with its key.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCertificate {
    /// The certificate, followed by the CAs between it and the root (PEM).
    cert: String,
    /// Its private key without a passphrase (PEM).
    #[schemars(with = "String")]
    key: Hidden,
}

#[derive(Deserialize)]
struct ReplaceForm {
    cert: String,
    key: Hidden,
}

#[derive(Deserialize)]
struct Nothing {}

/// The files of a pair that is looked at.
const TRIED: &str = "page-tried";

/// Why a certificate is not taken: the field that is wrong, if one is, and the words.
type Fault = (Option<&'static str>, String);

fn set(cert: Value, key: Value) -> Edit {
    let values = Map::from_iter([("cert".to_owned(), cert), ("key".to_owned(), key)]);
    Edit::Set { table: "page".to_owned(), values }
}

impl Shared {
    /// The certificate, as it is shown.
    async fn certificate(&self) -> Result<Certificate, String> {
        let trial = trial_of(&self.settings_now().await?);
        let file = self.config.tls(&account::folder(&self.context.state_dir)).cert;
        let is_own = self.config.cert.is_none();
        let read = tokio::task::spawn_blocking(move || {
            let said = std::fs::read(&file).ok().and_then(|pem| certificate::said(&pem));
            said.map(|said| (file, said))
        });
        let (file, said) = read.await.ok().flatten().ok_or("the certificate's file cannot be read now")?;
        let addresses = said.addresses.iter().map(ToString::to_string);
        Ok(Certificate {
            is_own,
            names: said.names.iter().cloned().chain(addresses).collect(),
            issuer: if said.is_own { "nobody but itself".to_owned() } else { said.issuer },
            fingerprint: said.fingerprint.to_string(),
            begins: said.begins.to_string(),
            ends: said.ends.to_string(),
            file: file.display().to_string(),
            trial,
        })
    }

    /// Puts a pair into files of its own: their paths, if they belong together and can be used.
    async fn keep_pair(&self, cert: String, key: Secret<String>) -> Result<(String, String), Fault> {
        let files = self.files.clone();
        let work = move || {
            let no_certificate = || {
                let words = "this is no certificate; paste the lines from BEGIN CERTIFICATE to END CERTIFICATE";
                (Some("cert"), words.to_owned())
            };
            let said = certificate::said(cert.as_bytes()).ok_or_else(no_certificate)?;
            let cert = Secret::new(cert);
            let put = |name: &str| -> Result<(String, String), Fault> {
                let fault = |field| move |error: FileError| (error.field().map(|_| field), error.to_string());
                let cert = files.put(&format!("{name}.pem"), &cert).map_err(fault("cert"))?;
                let key = files.put(&format!("{name}.key"), &key).map_err(fault("key"))?;
                Ok((cert, key))
            };
            // Looked at under another name: what is in use stays as it is whatever was pasted.
            let tried = put(TRIED).and_then(|(cert, key)| {
                match settings::pair(cert.into(), key.into()).open_files().into_iter().next() {
                    None => Ok(()),
                    Some((key, words)) => Err((Some(if key == "key" { "key" } else { "cert" }), words)),
                }
            });
            // If they stay, the list of files shows them, and nothing names them.
            for ending in ["pem", "key"] {
                let _ = files.remove(&format!("{TRIED}.{ending}"), "");
            }
            tried?;
            // Files of its own, so that the settings before still lead to theirs.
            let short: String = said.fingerprint.to_string().chars().filter(char::is_ascii_hexdigit).take(16).collect();
            put(&format!("page-{}", short.to_ascii_lowercase()))
        };
        let kept = tokio::task::spawn_blocking(work).await;
        kept.unwrap_or_else(|error| Err((None, error.to_string())))
    }

    async fn note_certificate<T>(&self, from: IpAddr, by: &Visitor, words: &str, result: &Result<T, String>) {
        let outcome = result.as_ref().map(|_| ()).map_err(Clone::clone);
        let (who, message) = (by.name.clone(), format!("{} {words}", by.name));
        self.audit.note(Deed { action: "certificate", who, from, outcome, message }).await;
    }

    async fn replace_certificate(
        &self,
        from: IpAddr,
        by: &Visitor,
        cert: String,
        key: Secret<String>,
    ) -> Result<Applied, Fault> {
        let words = "puts a certificate of their own in the place of the page's";
        let (cert, key) = match self.keep_pair(cert, key).await {
            Ok(paths) => paths,
            Err((field, why)) => {
                self.note_certificate::<()>(from, by, words, &Err(why.clone())).await;
                return Err((field, why));
            }
        };
        self.note_certificate(from, by, words, &Ok(())).await;
        used(self.put_into_use(from, by, set(cert.into(), key.into())).await).map_err(|why| (None, why))
    }

    async fn own_certificate(&self, from: IpAddr, by: &Visitor) -> Result<Applied, String> {
        self.note_certificate(from, by, "goes back to the certificate that the box makes itself", &Ok(())).await;
        used(self.put_into_use(from, by, set(Value::Null, Value::Null)).await)
    }

    async fn new_certificate(&self, from: IpAddr, by: &Visitor) -> Result<(), String> {
        let (folder, clock) = (account::folder(&self.context.state_dir), self.context.clock.clone());
        let name = Arc::clone(&self.context.name.borrow());
        let result = if self.config.cert.is_some() {
            Err("the settings name a certificate of your own; go back to the box's own first".to_owned())
        } else {
            let made = tokio::task::spawn_blocking(move || certificate::renew(&folder, &name, &clock));
            let made = made.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
            made.map_err(|error| format!("it cannot be made: {error}; see the disk's state on the overview"))
        };
        self.look.notify_one();
        self.note_certificate(from, by, "makes a new certificate for the page", &result).await;
        result
    }
}

fn used(came: Result<Came, String>) -> Result<Applied, String> {
    match came? {
        Came::InUse(applied) => Ok(applied),
        Came::PageAnew => Ok(Applied::of_the_page()),
        Came::Wrong(problems) => {
            let first = problems.first().map(|problem| format!("{}; {}", problem.what, problem.advice));
            Err(first.unwrap_or_else(|| "the settings do not take it".to_owned()))
        }
    }
}

/// The page, with what came of the last wish.
async fn show(shared: &Shared, visitor: &Visitor, uri: &Uri, notice: Option<Notice>, form: &Form) -> Response {
    let page = match shared.certificate().await {
        Ok(page) => page,
        Err(why) => return unknown(shared, uri, &why).into_response(),
    };
    let is_refused = !form.is_good() || notice.as_ref().is_some_and(|notice| !notice.done);
    let status = if is_refused { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let mut frame = shared.frame(Some(visitor), Here::Box);
    frame.notice = notice;
    (status, Html(view::certificate(&frame, &page, form))).into_response()
}

async fn page(State(shared): State<Arc<Shared>>, Seen(visitor): Seen, uri: Uri) -> Response {
    show(&shared, &visitor, &uri, None, &Form::default()).await
}

/// After a change of the settings: mostly the page ends with it.
async fn came(shared: &Shared, visitor: &Visitor, uri: &Uri, result: Result<Applied, Fault>, typed: Form) -> Response {
    match result {
        Ok(_) if shared.context.stop.is_cancelled() => again(shared),
        Ok(applied) => {
            let text = in_use(applied.confirm_within_seconds, &applied.later);
            show(shared, visitor, uri, Some(Notice { done: true, text }), &Form::default()).await
        }
        Err((Some(field), words)) => show(shared, visitor, uri, None, &typed.fault(field, words)).await,
        Err((None, text)) => show(shared, visitor, uri, Some(Notice { done: false, text }), &typed).await,
    }
}

async fn replace(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    Sent(form): Sent<ReplaceForm>,
) -> Response {
    let result = shared.replace_certificate(from, &visitor, form.cert.clone(), form.key.secret()).await;
    came(&shared, &visitor, &uri, result, Form::default().keep("cert", &form.cert)).await
}

async fn own(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    _: Sent<Nothing>,
) -> Response {
    let result = shared.own_certificate(from, &visitor).await.map_err(|why| (None, why));
    came(&shared, &visitor, &uri, result, Form::default()).await
}

async fn new(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    _: Sent<Nothing>,
) -> Response {
    let result = shared.new_certificate(from, &visitor).await;
    let done = result.is_ok();
    let text = result.err().unwrap_or_else(|| {
        "It is in use for every new connection. Compare its fingerprint when the browser warns.".to_owned()
    });
    show(&shared, &visitor, &uri, Some(Notice { done, text }), &Form::default()).await
}

async fn api_now(State(shared): State<Arc<Shared>>, _: Seen, uri: Uri) -> Result<Json<Certificate>, Refusal> {
    shared.certificate().await.map(Json).map_err(|why| unknown(&shared, &uri, &why))
}

async fn api_replace(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    Sent(new): Sent<NewCertificate>,
) -> Result<Json<Applied>, Refusal> {
    let result = shared.replace_certificate(from, &visitor, new.cert, new.key.secret()).await;
    result.map(Json).map_err(|(field, why)| {
        let (what, todo) = why.split_once("; ").unwrap_or((&why, "send a certificate with its key as PEM"));
        let status = field.map_or(StatusCode::CONFLICT, |_| StatusCode::UNPROCESSABLE_ENTITY);
        Refusal::new(&shared, &uri, status, what, todo)
    })
}

async fn api_own(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    _: Vouched,
) -> Result<Json<Applied>, Refusal> {
    let result = shared.own_certificate(from, &visitor).await;
    result.map(Json).map_err(|why| unknown(&shared, &uri, &why))
}

async fn api_new(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    _: Vouched,
) -> Result<StatusCode, Refusal> {
    let result = shared.new_certificate(from, &visitor).await;
    result.map(|()| StatusCode::NO_CONTENT).map_err(|why| unknown(&shared, &uri, &why))
}
