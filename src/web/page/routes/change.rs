//! What comes of a change of the settings, for pages and for programs; and changes of single keys, as forms make them.

use std::net::IpAddr;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::super::Shared;
use super::super::account::Visitor;
use super::super::view::{self, Here};
use crate::control::{Edit, Settings, SettingsNow, SettingsProblem, SettingsReply};

/// What came of a change.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Applied {
    /// Seconds within which it has to be confirmed, or it is taken back; nothing where it stays.
    pub(super) confirm_within_seconds: Option<u64>,
    /// Keys that take effect at the next start of the program.
    pub(super) later: Vec<String>,
}

impl Applied {
    /// Of settings with which the page starts anew: it is not yet known whether everything starts.
    pub(super) fn of_the_page() -> Self {
        Self { confirm_within_seconds: Some(120), later: Vec::new() }
    }
}

/// What came of the wish to take settings into use.
pub(super) enum Came {
    /// It is in use, or will be.
    InUse(Applied),
    /// It is in use as soon as the page has started anew with it.
    PageAnew,
    /// The settings would be wrong with it.
    Wrong(Vec<SettingsProblem>),
}

impl Came {
    /// What a reply says; an error says in words why the settings are as they were.
    pub(super) fn of(reply: SettingsReply) -> Result<Self, String> {
        match reply {
            SettingsReply::Applied { confirm_within, later } => {
                Ok(Self::InUse(Applied { confirm_within_seconds: confirm_within, later }))
            }
            SettingsReply::Done => Ok(Self::PageAnew),
            SettingsReply::Checked { problems, .. } => Ok(Self::Wrong(problems)),
            SettingsReply::TakenBack(why) => Err(why),
            _ => Err(INSIDE.to_owned()),
        }
    }
}

/// Why there is nothing that could be said of a wish.
const INSIDE: &str = "this did not work inside the box; try again";

impl Shared {
    /// Puts a change of single keys into use, like a whole text.
    pub(super) async fn put_into_use(&self, from: IpAddr, by: &Visitor, edit: Edit) -> Result<Came, String> {
        let SettingsReply::Edited { text, version, .. } = self.ask_settings(Settings::Edit(edit)).await? else {
            return Err(INSIDE.to_owned());
        };
        let wish = Settings::Apply { text, version, by: by.name.clone() };
        self.changed(from, by, wish).await.and_then(Came::of)
    }

    /// How the settings are, key by key.
    pub(super) async fn settings_now(&self) -> Result<SettingsNow, String> {
        match self.ask_settings(Settings::Show).await? {
            SettingsReply::Now(now) => Ok(now),
            _ => Err("the settings cannot be asked for now; try again".to_owned()),
        }
    }
}

/// The field of a form that a problem is about: the last key of its path.
pub(super) fn field_of(problem: &SettingsProblem) -> &str {
    let last = problem.key.rsplit('.').next().unwrap_or_default();
    last.split('[').next().unwrap_or_default()
}

/// What came of settings that are in use.
pub(super) fn in_use(confirm_within: Option<u64>, later: &[String]) -> String {
    let mut words = "The settings are in use.".to_owned();
    if !later.is_empty() {
        words = format!("{words} {} take effect at the next start of the program.", later.join(", "));
    }
    if let Some(seconds) = confirm_within {
        words = format!("{words} Confirm them within {seconds} seconds, or they are taken back.");
    }
    words
}

/// The last that this page shows: with the settings another one begins.
pub(super) fn again(shared: &Shared) -> Response {
    Html(view::again(&shared.frame(None, Here::Elsewhere))).into_response()
}

/// What is wrong with settings, for a program.
pub(super) fn wrong(problems: &[view::Problem]) -> Response {
    let (what, todo) = problems.first().map(|first| (first.what.as_str(), first.advice.as_str())).unzip();
    let error = json!({ "what": what.unwrap_or_default(), "todo": todo.unwrap_or_default() });
    (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "error": error, "problems": problems }))).into_response()
}

pub(super) fn trial_of(now: &SettingsNow) -> Option<view::Trial> {
    now.trial.as_ref().map(|trial| view::Trial { by: trial.by.clone(), seconds_left: trial.seconds_left })
}

pub(super) fn listed(problems: Vec<SettingsProblem>) -> Vec<view::Problem> {
    let problem = |p: SettingsProblem| view::Problem {
        line: p.line,
        column: p.column,
        key: p.key,
        what: p.what,
        advice: p.advice,
    };
    problems.into_iter().map(problem).collect()
}
