//! The settings: looked at by everybody, changed by administrators.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::Shared;
use super::super::account::Visitor;
use super::super::guard::{Administrator, Named, Refusal, Seen, Sent, Vouched};
use super::super::serve::Peer;
use super::super::view::{self, Here, Notice};
use super::change::{Applied, Came, again, in_use, listed, trial_of, wrong};
use crate::control::{Answer, Settings, SettingsNow, SettingsReply};

/// A settings file has 1 MiB at most; a form writes most characters of it as three.
const LARGEST_FORM: usize = 4 << 20;

pub(super) fn pages() -> Router<Arc<Shared>> {
    Router::new()
        .route("/settings", get(page))
        .route("/settings/copy/{number}", get(copy_page))
        .route("/settings/add/{list}/{kind}", get(add_page))
        .route("/settings/enrol", post(enrol))
        .route("/settings/review", post(review))
        .route("/settings/apply", post(apply))
        .route("/settings/confirm", post(confirm))
        .route("/settings/take-back", post(take_back))
        .layer(DefaultBodyLimit::max(LARGEST_FORM))
}

pub(super) fn api() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/v1/settings", get(api_now).put(api_apply))
        .route("/api/v1/settings/check", post(api_check))
        .route("/api/v1/settings/copies/{number}", get(api_copy))
        .route("/api/v1/settings/confirm", post(api_confirm))
        .route("/api/v1/settings/take-back", post(api_take_back))
        .layer(DefaultBodyLimit::max(LARGEST_FORM))
}

/// A text to look at.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewText {
    /// The whole settings file.
    text: String,
}

/// A text to take into use.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSettings {
    /// The whole settings file.
    text: String,
    /// The version that it was made from.
    version: String,
}

/// A form with the whole file in it.
#[derive(Deserialize)]
struct Form {
    text: String,
    version: String,
}

impl Form {
    /// The text as it was typed: forms end lines as HTTP does (HTML, section "Constructing the entry list").
    fn text(&self) -> String {
        self.text.replace("\r\n", "\n")
    }
}

#[derive(Deserialize)]
struct Nothing {}

impl Shared {
    /// Asks for something; an error says why not, in words.
    pub(super) async fn ask_settings(&self, wish: Settings) -> Result<SettingsReply, String> {
        match Arc::clone(&self.context.questions).settings(wish).await {
            Answer::Settings(reply) => Ok(*reply),
            Answer::Refused(why) => Err(why),
            _ => Err("the settings cannot be asked for now; try again".to_owned()),
        }
    }

    /// The settings now, as they are shown.
    pub(super) async fn settings(&self) -> Result<view::Settings, String> {
        self.settings_now().await.map(shown)
    }

    async fn reviewed(&self, text: String) -> Result<view::Review, String> {
        match self.ask_settings(Settings::Check { text }).await? {
            SettingsReply::Checked { problems, diff } => Ok(view::Review { problems: listed(problems), diff }),
            _ => Err("the settings cannot be looked at now; try again".to_owned()),
        }
    }
}

fn shown(now: SettingsNow) -> view::Settings {
    view::Settings {
        trial: trial_of(&now),
        file: now.file,
        text: now.text,
        version: now.version,
        copies: now.copies.into_iter().map(|copy| view::Copy { number: copy.number, at: copy.at }).collect(),
        review: None,
        samples: Vec::new(),
    }
}

/// The page, with what came of the last wish.
async fn show(
    shared: &Shared,
    visitor: &Visitor,
    uri: &Uri,
    notice: Option<Notice>,
    edited: Option<(String, String, view::Review)>,
) -> Response {
    let mut page = match shared.settings().await {
        Ok(page) => page,
        Err(why) => return unknown(shared, uri, &why).into_response(),
    };
    page.samples = shared.context.samples.iter().map(|sample| (sample.list, sample.kind)).collect();
    if let Some((text, version, review)) = edited {
        (page.text, page.version, page.review) = (text, version, Some(review));
    }
    let refused = notice.as_ref().is_some_and(|notice| !notice.done)
        || page.review.as_ref().is_some_and(|review| !review.problems.is_empty());
    let status = if refused { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let mut frame = shared.frame(Some(visitor), Here::Settings);
    frame.notice = notice;
    (status, Html(view::settings(&frame, &page))).into_response()
}

/// The page with a text that somebody may want to take into use, or why there is none.
async fn proposed(shared: &Shared, visitor: &Visitor, uri: &Uri, text: Result<String, String>) -> Response {
    proposed_with(shared, visitor, uri, None, text).await
}

/// The same, with what has been done already.
pub(super) async fn proposed_with(
    shared: &Shared,
    visitor: &Visitor,
    uri: &Uri,
    notice: Option<Notice>,
    text: Result<String, String>,
) -> Response {
    let edited = async {
        let text = text?;
        let version = shared.settings().await?.version;
        let review = shared.reviewed(text.clone()).await?;
        Ok((text, version, review))
    };
    match edited.await {
        Ok(edited) => show(shared, visitor, uri, notice, Some(edited)).await,
        Err(why) => show(shared, visitor, uri, said(Err(why)), None).await,
    }
}

fn unknown(shared: &Shared, uri: &Uri, why: &str) -> Refusal {
    Refusal::new(shared, uri, StatusCode::CONFLICT, why, "open the settings anew")
}

fn said(result: Result<String, String>) -> Option<Notice> {
    let done = result.is_ok();
    Some(Notice { done, text: result.unwrap_or_else(|why| why) })
}

async fn page(State(shared): State<Arc<Shared>>, Seen(visitor): Seen, uri: Uri) -> Response {
    show(&shared, &visitor, &uri, None, None).await
}

async fn copy_page(State(shared): State<Arc<Shared>>, Seen(visitor): Seen, Named(number): Named, uri: Uri) -> Response {
    let asked = async {
        let number = number.parse().map_err(|_| "this is no copy's number; choose another one".to_owned())?;
        let SettingsReply::Copy(text) = shared.ask_settings(Settings::Copy { number }).await? else {
            return Err("this copy cannot be read; choose another one".to_owned());
        };
        Ok(text)
    };
    proposed(&shared, &visitor, &uri, asked.await).await
}

/// The settings with a table more, to be filled in: a sample's comments say what the vendor shows where.
async fn add_page(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    path: Result<Path<(String, String)>, PathRejection>,
    uri: Uri,
) -> Response {
    let sample = path.ok().and_then(|Path((list, kind))| {
        shared.context.samples.iter().find(|sample| sample.list == list && sample.kind == kind)
    });
    let Some(sample) = sample else {
        let what = "there is no such type of source or output";
        let todo = "choose one on the settings page";
        return Refusal::new(&shared, &uri, StatusCode::NOT_FOUND, what, todo).into_response();
    };
    let asked = async {
        let now = shared.settings().await?;
        Ok(format!("{}\n\n{}", now.text.trim_end(), sample.text))
    };
    proposed(&shared, &visitor, &uri, asked.await).await
}

/// An enrolment file, pasted.
#[derive(Deserialize)]
struct EnrolForm {
    enrolment: String,
}

async fn enrol(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    uri: Uri,
    Sent(form): Sent<EnrolForm>,
) -> Response {
    let asked = async {
        let SettingsReply::Copy(text) = shared.ask_settings(Settings::Enrol { text: form.enrolment }).await? else {
            return Err("this did not work inside the box; try again".to_owned());
        };
        Ok(text)
    };
    proposed(&shared, &visitor, &uri, asked.await).await
}

async fn review(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    uri: Uri,
    Sent(form): Sent<Form>,
) -> Response {
    match shared.reviewed(form.text()).await {
        Ok(review) => show(&shared, &visitor, &uri, None, Some((form.text(), form.version, review))).await,
        Err(why) => show(&shared, &visitor, &uri, said(Err(why)), None).await,
    }
}

async fn apply(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    Sent(form): Sent<Form>,
) -> Response {
    let text = form.text();
    let wish = Settings::Apply { text: text.clone(), version: form.version.clone(), by: visitor.name.clone() };
    match shared.changed(from, &visitor, wish).await.and_then(Came::of) {
        Ok(Came::InUse(Applied { confirm_within_seconds, later })) => {
            show(&shared, &visitor, &uri, said(Ok(in_use(confirm_within_seconds, &later))), None).await
        }
        Ok(Came::PageAnew) => again(&shared),
        Ok(Came::Wrong(problems)) => {
            let review = view::Review { problems: listed(problems), diff: String::new() };
            show(&shared, &visitor, &uri, None, Some((text, form.version, review))).await
        }
        Err(why) => {
            // What was typed is not lost.
            let review = shared.reviewed(text.clone()).await.unwrap_or_default();
            show(&shared, &visitor, &uri, said(Err(why)), Some((text, form.version, review))).await
        }
    }
}

async fn confirm(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    _: Sent<Nothing>,
) -> Response {
    let done = shared.changed(from, &visitor, Settings::Confirm { by: visitor.name.clone() }).await;
    let notice = said(done.map(|_| "The new settings stay.".to_owned()));
    show(&shared, &visitor, &uri, notice, None).await
}

async fn take_back(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    _: Sent<Nothing>,
) -> Response {
    let done = shared.changed(from, &visitor, Settings::TakeBack { by: visitor.name.clone() }).await;
    let notice = said(done.map(|_| "The settings are as they were before.".to_owned()));
    show(&shared, &visitor, &uri, notice, None).await
}

async fn api_now(State(shared): State<Arc<Shared>>, _: Seen, uri: Uri) -> Result<Json<view::Settings>, Refusal> {
    shared.settings().await.map(Json).map_err(|why| unknown(&shared, &uri, &why))
}

async fn api_copy(
    State(shared): State<Arc<Shared>>,
    _: Seen,
    Named(number): Named,
    uri: Uri,
) -> Result<Json<view::Settings>, Refusal> {
    let gone = |why: &str| Refusal::new(&shared, &uri, StatusCode::NOT_FOUND, why, "GET /api/v1/settings lists them");
    let now = shared.settings().await.map_err(|why| unknown(&shared, &uri, &why))?;
    let number = number.parse().map_err(|_| gone("this is no copy's number"))?;
    match shared.ask_settings(Settings::Copy { number }).await {
        Ok(SettingsReply::Copy(text)) => Ok(Json(view::Settings { text, ..now })),
        Ok(_) => Err(gone("this copy cannot be read")),
        Err(why) => Err(gone(&why)),
    }
}

async fn api_check(
    State(shared): State<Arc<Shared>>,
    _: Administrator,
    uri: Uri,
    Sent(new): Sent<NewText>,
) -> Result<Json<view::Review>, Refusal> {
    shared.reviewed(new.text).await.map(Json).map_err(|why| unknown(&shared, &uri, &why))
}

async fn api_apply(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    Sent(new): Sent<NewSettings>,
) -> Response {
    let wish = Settings::Apply { text: new.text, version: new.version, by: visitor.name.clone() };
    match shared.changed(from, &visitor, wish).await.and_then(Came::of) {
        Ok(Came::InUse(applied)) => Json(applied).into_response(),
        Ok(Came::PageAnew) => Json(Applied::of_the_page()).into_response(),
        Ok(Came::Wrong(problems)) => wrong(&listed(problems)),
        Err(why) => unknown(&shared, &uri, &why).into_response(),
    }
}

async fn api_confirm(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    _: Vouched,
) -> Result<StatusCode, Refusal> {
    let done = shared.changed(from, &visitor, Settings::Confirm { by: visitor.name.clone() }).await;
    done.map(|_| StatusCode::NO_CONTENT).map_err(|why| unknown(&shared, &uri, &why))
}

async fn api_take_back(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    _: Vouched,
) -> Result<StatusCode, Refusal> {
    let done = shared.changed(from, &visitor, Settings::TakeBack { by: visitor.name.clone() }).await;
    done.map(|_| StatusCode::NO_CONTENT).map_err(|why| unknown(&shared, &uri, &why))
}
