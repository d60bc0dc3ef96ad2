//! Updates: looked at by everybody; looked for, installed, restarted into and gone back from by administrators.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{BodyDataStream, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::StreamExt as _;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::unknown;
use crate::control::{Answer, Update};
use crate::update::{Status, Upload};
use crate::web::page::Shared;
use crate::web::page::account::Visitor;
use crate::web::page::audit::Deed;
use crate::web::page::feed::Feed;
use crate::web::page::guard::{Administrator, Refusal, Seen, Sent, Vouched, token, vouched};
use crate::web::page::multipart::{Multipart, MultipartError};
use crate::web::page::serve::Peer;
use crate::web::page::view::{self, Here, Notice};

/// A look at the manifest takes a round trip or two; what takes longer goes on by itself, and the page shows it.
const PATIENCE: Duration = Duration::from_secs(20);
/// What is refused at once is refused within this; what is not has begun.
pub(super) const BEGINS_WITHIN: Duration = Duration::from_secs(2);
/// Who brings a bundle and sends nothing for this long has gone.
const NEXT_WITHIN: Duration = Duration::from_secs(60);
/// How long what comes behind a refusal is passed over.
const LINGER: Duration = Duration::from_secs(60);
/// The secret of a form has 43 characters.
const LONGEST_SECRET: usize = 256;
/// Progress that waits to be passed over.
const AHEAD: usize = 16;

pub(super) fn pages() -> Router<Arc<Shared>> {
    Router::new()
        .route("/updates", get(page))
        .route("/updates/events", get(events))
        .route("/updates/check", post(check))
        .route("/updates/install", post(install))
        .route("/updates/upload", post(upload))
        .route("/updates/restart", post(restart))
        .route("/updates/roll-back", post(roll_back))
}

pub(super) fn api() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/v1/updates", get(api_now))
        .route("/api/v1/updates/check", post(api_check))
        .route("/api/v1/updates/install", post(api_install))
        .route("/api/v1/updates/bundle", post(api_bundle))
        .route("/api/v1/updates/restart", post(api_restart))
        .route("/api/v1/updates/roll-back", post(api_roll_back))
}

/// What is to be installed: what is offered.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Install {
    /// Restart as soon as it is installed, window or not.
    #[serde(default)]
    reboot: bool,
}

#[derive(Deserialize)]
struct InstallForm {
    #[serde(default)]
    reboot: String,
}

#[derive(Deserialize)]
struct Nothing {}

/// A bundle on its way to us.
enum Incoming {
    /// In a form of the page.
    Form(Multipart),
    /// As a program sends it.
    Plain(BodyDataStream),
}

impl Incoming {
    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        match self {
            Self::Form(form) => form.chunk().await.map_err(|error| error.to_string()),
            Self::Plain(body) => match timeout(NEXT_WITHIN, body.next()).await {
                Ok(Some(Ok(bytes))) => Ok(Some(bytes)),
                Ok(None) => Ok(None),
                _ => Err("the bundle broke off; bring it again".to_owned()),
            },
        }
    }
}

/// What a person does: the word for the audit log, and the words after the person's name.
type Words = (&'static str, String);

impl Shared {
    /// How updates are; after a wish that takes longer, how they are by then.
    pub(super) async fn ask_updates(&self, wish: Update, patience: Duration) -> Result<Status, String> {
        let is_status = wish == Update::Status;
        let (to, mut answers) = mpsc::channel(AHEAD);
        Arc::clone(&self.context.questions).update(wish, to).await;
        let until = Instant::now() + patience;
        loop {
            match timeout_at(until, answers.recv()).await {
                Ok(Some(Answer::Update(json))) => {
                    let status = serde_json::from_str(json.get());
                    return status.map_err(|error| format!("the status of updates cannot be read: {error}"));
                }
                Ok(Some(Answer::Refused(why))) => return Err(why),
                Ok(Some(_)) => {}
                Ok(None) => return Err("updates cannot be asked for now; try again in a moment".to_owned()),
                Err(_) if is_status => return Err("updates do not answer; see the log".to_owned()),
                Err(_) => break,
            }
        }
        Box::pin(self.ask_updates(Update::Status, PATIENCE)).await
    }

    /// How updates are, as it is shown.
    async fn updates(&self) -> Result<view::Updates, String> {
        self.ask_updates(Update::Status, BEGINS_WITHIN).await.map(view::Updates::of)
    }

    /// Does what somebody wants of updates, or begins it.
    async fn update_wish(
        &self,
        from: IpAddr,
        by: &Visitor,
        (action, words): Words,
        (wish, patience): (Update, Duration),
    ) -> Result<view::Updates, String> {
        let result = self.ask_updates(wish, patience).await;
        let outcome = result.as_ref().map(|_| ()).map_err(Clone::clone);
        let message = format!("{} {words}", by.name);
        self.audit.note(Deed { action, who: by.name.clone(), from, outcome, message }).await;
        result.map(view::Updates::of)
    }

    async fn look_for_update(&self, from: IpAddr, by: &Visitor) -> Result<view::Updates, String> {
        let words = ("update_check", "looks for a newer version".to_owned());
        self.update_wish(from, by, words, (Update::Check, PATIENCE)).await
    }

    async fn install_offer(&self, from: IpAddr, by: &Visitor, reboot: bool) -> Result<view::Updates, String> {
        let words = ("update_install", "installs the version that is offered".to_owned());
        let wish = Update::Install { from: None, allow_downgrade: false, reboot };
        self.update_wish(from, by, words, (wish, BEGINS_WITHIN)).await
    }

    async fn restart_box(&self, from: IpAddr, by: &Visitor) -> Result<view::Updates, String> {
        let words = ("update_restart", "restarts the box into what is installed".to_owned());
        self.update_wish(from, by, words, (Update::Restart, PATIENCE)).await
    }

    async fn roll_back(&self, from: IpAddr, by: &Visitor) -> Result<view::Updates, String> {
        let words = ("update_roll_back", "goes back to the version before".to_owned());
        let wish = Update::RollBack { by: by.name.clone() };
        self.update_wish(from, by, words, (wish, PATIENCE)).await
    }

    /// Takes a bundle in, piece by piece, and has it installed.
    async fn install_upload(
        &self,
        from: IpAddr,
        by: &Visitor,
        size: Option<u64>,
        mut incoming: Incoming,
    ) -> Result<view::Updates, String> {
        let words = ("update_install", "installs a bundle from their own machine".to_owned());
        match self.bring(size, &mut incoming).await {
            Ok(file) => {
                let wish = Update::Install { from: Some(file), allow_downgrade: false, reboot: false };
                self.update_wish(from, by, words, (wish, BEGINS_WITHIN)).await
            }
            Err(why) => {
                // Who still sends when the connection closes does not see why.
                let _ = timeout(LINGER, async { while let Ok(Some(_)) = incoming.next().await {} }).await;
                let (action, words) = words;
                let message = format!("{} {words}", by.name);
                let outcome = Err(why.clone());
                self.audit.note(Deed { action, who: by.name.clone(), from, outcome, message }).await;
                Err(why)
            }
        }
    }

    /// Writes a bundle down as it comes; where it is.
    async fn bring(&self, size: Option<u64>, incoming: &mut Incoming) -> Result<String, String> {
        let status = self.ask_updates(Update::Status, BEGINS_WITHIN).await?;
        if let Some(why) = status.unavailable {
            return Err(why);
        }
        if status.phase.is_busy() {
            // The one before may be what RAUC reads at this moment.
            return Err(format!("not now: {}", status.phase.words()));
        }
        let Ok(_place) = Arc::clone(&self.upload).try_acquire_owned() else {
            return Err("somebody else is bringing a bundle at this moment; wait until it is here".to_owned());
        };
        let folder = self.context.state_dir.join("update");
        let mut upload = Upload::begin(&folder, size, status.largest).await?;
        while let Some(bytes) = incoming.next().await? {
            upload.write(&bytes).await?;
        }
        upload.finish().await.map(|path| path.display().to_string())
    }
}

/// The page, with what came of the last wish.
async fn show(shared: &Shared, visitor: &Visitor, uri: &Uri, notice: Option<Notice>) -> Response {
    let page = match shared.updates().await {
        Ok(page) => page,
        Err(why) => return unknown(shared, uri, &why).into_response(),
    };
    let is_refused = notice.as_ref().is_some_and(|notice| !notice.done);
    let status = if is_refused { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let mut frame = shared.frame(Some(visitor), Here::Updates);
    frame.notice = notice;
    (status, Html(view::updates(&frame, &page))).into_response()
}

/// To the page, which follows what was begun; or why not.
async fn came(shared: &Shared, visitor: &Visitor, uri: &Uri, result: Result<view::Updates, String>) -> Response {
    match result {
        Ok(_) => Redirect::to("/updates").into_response(),
        Err(text) => show(shared, visitor, uri, Some(Notice { done: false, text })).await,
    }
}

async fn page(State(shared): State<Arc<Shared>>, Seen(visitor): Seen, uri: Uri) -> Response {
    show(&shared, &visitor, &uri, None).await
}

async fn events(State(shared): State<Arc<Shared>>, _: Seen, headers: HeaderMap) -> Response {
    let token = token(&headers).unwrap_or_default().to_owned();
    let make = |shared: Arc<Shared>| async move { shared.updates().await.map(|page| view::updates_part(&page)).ok() };
    Feed::part(&shared, "updates", token, make).into_response()
}

async fn check(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    _: Sent<Nothing>,
) -> Response {
    let result = shared.look_for_update(from, &visitor).await;
    came(&shared, &visitor, &uri, result).await
}

async fn install(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    Sent(form): Sent<InstallForm>,
) -> Response {
    let result = shared.install_offer(from, &visitor, form.reboot == "yes").await;
    came(&shared, &visitor, &uri, result).await
}

async fn restart(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    _: Sent<Nothing>,
) -> Response {
    let result = shared.restart_box(from, &visitor).await;
    came(&shared, &visitor, &uri, result).await
}

async fn roll_back(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    _: Sent<Nothing>,
) -> Response {
    let result = shared.roll_back(from, &visitor).await;
    came(&shared, &visitor, &uri, result).await
}

async fn upload(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let form = async {
        let mut form = Multipart::of(&parts.headers, body)?;
        let is_secret = form.next().await?.as_deref() == Some("csrf");
        let secret = if is_secret { form.text("csrf", LONGEST_SECRET).await? } else { String::new() };
        let has_bundle = is_secret && form.next().await?.as_deref() == Some("bundle");
        Ok::<_, MultipartError>((form, secret, has_bundle))
    };
    let result = match form.await {
        Ok((form, secret, has_bundle)) => {
            if let Err(refusal) = vouched(&shared, &uri, &visitor, &secret) {
                return refusal.into_response();
            }
            if has_bundle {
                shared.install_upload(from, &visitor, None, Incoming::Form(form)).await
            } else {
                Err("no file came; choose a bundle".to_owned())
            }
        }
        Err(error) => Err(error.to_string()),
    };
    came(&shared, &visitor, &uri, result).await
}

async fn api_now(State(shared): State<Arc<Shared>>, _: Seen, uri: Uri) -> Result<Json<view::Updates>, Refusal> {
    shared.updates().await.map(Json).map_err(|why| unknown(&shared, &uri, &why))
}

async fn api_check(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    _: Vouched,
) -> Result<Json<view::Updates>, Refusal> {
    let result = shared.look_for_update(from, &visitor).await;
    result.map(Json).map_err(|why| unknown(&shared, &uri, &why))
}

async fn api_install(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    Sent(wish): Sent<Install>,
) -> Result<(StatusCode, Json<view::Updates>), Refusal> {
    let result = shared.install_offer(from, &visitor, wish.reboot).await;
    result.map(|page| (StatusCode::ACCEPTED, Json(page))).map_err(|why| unknown(&shared, &uri, &why))
}

async fn api_bundle(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    _: Vouched,
    request: Request,
) -> Result<(StatusCode, Json<view::Updates>), Refusal> {
    let (parts, body) = request.into_parts();
    let size = parts.headers.get(header::CONTENT_LENGTH).and_then(|size| size.to_str().ok()?.parse().ok());
    let incoming = Incoming::Plain(body.into_data_stream());
    let result = shared.install_upload(from, &visitor, size, incoming).await;
    result.map(|page| (StatusCode::ACCEPTED, Json(page))).map_err(|why| unknown(&shared, &uri, &why))
}

async fn api_restart(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    _: Vouched,
) -> Result<(StatusCode, Json<view::Updates>), Refusal> {
    let result = shared.restart_box(from, &visitor).await;
    result.map(|page| (StatusCode::ACCEPTED, Json(page))).map_err(|why| unknown(&shared, &uri, &why))
}

async fn api_roll_back(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    _: Vouched,
) -> Result<(StatusCode, Json<view::Updates>), Refusal> {
    let result = shared.roll_back(from, &visitor).await;
    result.map(|page| (StatusCode::ACCEPTED, Json(page))).map_err(|why| unknown(&shared, &uri, &why))
}
