//! Backups of the settings: fetched and brought back by administrators.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::unknown;
use crate::control::{Passphrase, Settings, SettingsReply};
use crate::secret::Secret;
use crate::support;
use crate::web::page::Shared;
use crate::web::page::account::Visitor;
use crate::web::page::audit::Deed;
use crate::web::page::guard::{Administrator, Refusal, Sent, vouched};
use crate::web::page::multipart::{Multipart, MultipartError};
use crate::web::page::routes::accounts::Hidden;
use crate::web::page::routes::settings::proposed_with;
use crate::web::page::serve::Peer;
use crate::web::page::view::{self, Form, Here, Notice};

/// A sealed backup: 2 MiB of files in base64, and the settings.
const LARGEST: usize = 5 << 20;
/// The same in base64, for programs.
const LARGEST_JSON: usize = 7 << 20;
/// Longer ones nobody types.
const LONGEST_WORDS: usize = 1_024;

pub(super) fn pages() -> Router<Arc<Shared>> {
    Router::new().route("/support/backup", post(backup)).route("/support/restore", post(restore))
}

pub(super) fn api() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/v1/backup", post(api_backup))
        .route("/api/v1/backup/restore", post(api_restore))
        .layer(DefaultBodyLimit::max(LARGEST_JSON))
}

/// What a backup is sealed with.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewBackup {
    /// 12 characters or more.
    #[schemars(with = "String")]
    passphrase: Hidden,
}

/// A backup that is to come back.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OldBackup {
    /// Its bytes, in base64.
    sealed: String,
    /// What it was sealed with.
    #[schemars(with = "String")]
    passphrase: Hidden,
}

/// What a backup brought.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Restored {
    /// Its settings, to be sent to PUT /settings; they lead to its files, which are in the box.
    text: String,
    /// What somebody should know of it.
    notes: Vec<String>,
}

#[derive(Deserialize)]
struct BackupForm {
    passphrase: Hidden,
    again: Hidden,
}

impl Shared {
    async fn make_backup(&self, from: IpAddr, by: &Visitor, words: &Secret<String>) -> Result<Vec<u8>, String> {
        let wish = Settings::Backup { passphrase: Passphrase::new(words) };
        let result = match self.ask_settings(wish).await {
            Ok(SettingsReply::Backup { sealed, .. }) => STANDARD.decode(sealed).map_err(|error| error.to_string()),
            Ok(_) => Err("this did not work inside the box; try again".to_owned()),
            Err(why) => Err(why),
        };
        self.note_backup(("backup", "fetches a backup of the settings"), from, by, &result).await;
        result
    }

    async fn put_back(
        &self,
        from: IpAddr,
        by: &Visitor,
        sealed: String,
        words: &Secret<String>,
    ) -> Result<Restored, String> {
        let wish = Settings::Restore { sealed, passphrase: Passphrase::new(words) };
        let result = match self.ask_settings(wish).await {
            Ok(SettingsReply::Restored { text, notes }) => Ok(Restored { text, notes }),
            Ok(_) => Err("this did not work inside the box; try again".to_owned()),
            Err(why) => Err(why),
        };
        self.note_backup(("restore", "puts the files of a backup into the box"), from, by, &result).await;
        result
    }

    async fn note_backup<T>(
        &self,
        (action, words): (&'static str, &str),
        from: IpAddr,
        by: &Visitor,
        result: &Result<T, String>,
    ) {
        let outcome = result.as_ref().map(|_| ()).map_err(Clone::clone);
        let (who, message) = (by.name.clone(), format!("{} {words}", by.name));
        self.audit.note(Deed { action, who, from, outcome, message }).await;
    }

    /// A backup as a file to be kept.
    fn backup_file(&self, sealed: Vec<u8>) -> Response {
        let name = support::file_name(&self.context.name.borrow(), self.context.clock.now());
        let name = name.replace(".support.tar.gz", ".backup");
        let mut answer = Response::new(Body::from(sealed));
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
            headers.insert(header::CONTENT_DISPOSITION, value);
        }
        answer
    }
}

/// The page again, with what was wrong.
fn back(shared: &Shared, visitor: &Visitor, form: &Form) -> Response {
    let page = view::support(&shared.frame(Some(visitor), Here::Support), form);
    (StatusCode::UNPROCESSABLE_ENTITY, Html(page)).into_response()
}

async fn backup(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    Sent(form): Sent<BackupForm>,
) -> Response {
    let (words, again) = (form.passphrase.secret(), form.again.secret());
    if words.expose() != again.expose() {
        let fault = "the two passphrases are not the same; type the same one twice";
        return back(&shared, &visitor, &Form::default().fault("again", fault));
    }
    match shared.make_backup(from, &visitor, &words).await {
        Ok(sealed) => shared.backup_file(sealed),
        Err(why) => back(&shared, &visitor, &fault_of(&why)),
    }
}

/// What is wrong, at the field that it is about.
fn fault_of(why: &str) -> Form {
    let field = match why {
        _ if why.contains("too short") => "passphrase",
        _ if why.contains("does not open it") => "words",
        _ if why.contains("no file that a box has sealed") || why.contains("no backup") => "backup",
        _ => return Form::default().refuse(why),
    };
    Form::default().fault(field, why)
}

async fn restore(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let read = async {
        let mut form = Multipart::of(&parts.headers, body)?;
        let (mut secret, mut words, mut sealed) = (String::new(), String::new(), Vec::new());
        while let Some(name) = form.next().await? {
            match name.as_str() {
                "csrf" => secret = form.text("csrf", LONGEST_WORDS).await?,
                "words" => words = form.text("words", LONGEST_WORDS).await?,
                // Nothing is taken of whoever does not know the secret, which stands first in our form.
                "backup" if visitor.vouches(&secret) => sealed = form.bytes("backup", LARGEST).await?,
                _ => {}
            }
        }
        Ok::<_, MultipartError>((secret, Secret::new(words), sealed))
    };
    let (secret, words, sealed) = match read.await {
        Ok(read) => read,
        Err(error) => return back(&shared, &visitor, &Form::default().refuse(error.to_string())),
    };
    if let Err(refusal) = vouched(&shared, &uri, &visitor, &secret) {
        return refusal.into_response();
    }
    match shared.put_back(from, &visitor, STANDARD.encode(sealed), &words).await {
        Ok(Restored { text, notes }) => {
            let words = format!(
                "The files of the backup are in the box ({}). Its settings are not in use yet.",
                notes.join("; ")
            );
            proposed_with(&shared, &visitor, &uri, Some(Notice { done: true, text: words }), Ok(text)).await
        }
        Err(why) => back(&shared, &visitor, &fault_of(&why)),
    }
}

/// What a program is told: what it sent was wrong, or the box cannot do it now.
fn refused(shared: &Shared, uri: &Uri, why: &str) -> Refusal {
    if fault_of(why).refused().is_some() {
        return unknown(shared, uri, why);
    }
    let (what, todo) = why.split_once("; ").unwrap_or((why, "send another one"));
    Refusal::new(shared, uri, StatusCode::UNPROCESSABLE_ENTITY, what, todo)
}

async fn api_backup(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    Sent(new): Sent<NewBackup>,
) -> Result<Response, Refusal> {
    let made = shared.make_backup(from, &visitor, &new.passphrase.secret()).await;
    made.map(|sealed| shared.backup_file(sealed)).map_err(|why| refused(&shared, &uri, &why))
}

async fn api_restore(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    Sent(old): Sent<OldBackup>,
) -> Result<Json<Restored>, Refusal> {
    let back = shared.put_back(from, &visitor, old.sealed, &old.passphrase.secret()).await;
    back.map(Json).map_err(|why| refused(&shared, &uri, &why))
}
