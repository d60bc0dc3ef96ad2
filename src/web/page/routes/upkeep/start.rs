//! The first steps of a new box.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::Value;

use super::unknown;
use crate::host;
use crate::web::page::Shared;
use crate::web::page::account::Visitor;
use crate::web::page::audit::Deed;
use crate::web::page::guard::{Administrator, Refusal, Seen, Sent, Vouched};
use crate::web::page::serve::Peer;
use crate::web::page::view::{self, Here, Link, Start, Step};

pub(super) fn pages() -> Router<Arc<Shared>> {
    Router::new().route("/start", get(page)).route("/start/end", post(end))
}

pub(super) fn api() -> Router<Arc<Shared>> {
    Router::new().route("/api/v1/start", get(api_now).delete(api_end))
}

#[derive(Deserialize)]
struct Nothing {}

/// How many entries a list of the settings has.
fn count(values: &Value, list: &str) -> usize {
    values.pointer(list).and_then(Value::as_array).map_or(0, Vec::len)
}

/// What the settings say of the network, the time and the name: the box works as it comes.
fn own_steps(values: &Value, name: &str, is_clock_set: Option<bool>) -> Vec<Step> {
    let (has_name, cards) = (values.get("name").is_some(), count(values, "/network/interface"));
    let servers = count(values, "/time/ntp");
    let network = match cards {
        0 => "Every card asks the network for its address (DHCP).".to_owned(),
        1 => "One card has settings of its own.".to_owned(),
        _ => format!("{cards} cards have settings of their own."),
    };
    let time = match (servers, is_clock_set) {
        (_, Some(true)) => "A time server has set the clock.",
        (0, _) => "The network says which time servers are asked, or else the public pool.",
        (..) => "Time servers are set.",
    };
    let link = |path, words| vec![Link { path, words }];
    vec![
        Step {
            id: "name",
            title: "Name",
            is_done: has_name,
            is_optional: true,
            words: format!("The box is called {name}{}.", if has_name { "" } else { ", after its host name" }),
            links: link("/box#name-head", "Name the box"),
        },
        Step {
            id: "network",
            title: "Network",
            is_done: cards > 0,
            is_optional: true,
            words: network,
            links: link("/box#network-head", "Set addresses"),
        },
        Step {
            id: "time",
            title: "Time",
            is_done: servers > 0 || is_clock_set == Some(true),
            is_optional: true,
            words: time.to_owned(),
            links: link("/box#time-head", "Set time servers"),
        },
    ]
}

/// The way in and the way out: without them the box does nothing.
fn data_steps(values: &Value) -> Vec<Step> {
    let (outputs, sources) = (count(values, "/output"), count(values, "/source"));
    let there = |count: usize, one: &str, none: &str| match count {
        0 => none.to_owned(),
        1 => format!("There is one {one}."),
        _ => format!("There are {count} {one}s."),
    };
    vec![
        Step {
            id: "gateway",
            title: "Gateway",
            is_done: outputs > 0,
            is_optional: false,
            words: there(outputs, "output", "Events have nowhere to go yet: they wait in the box."),
            links: vec![
                Link { path: "#enrol", words: "Paste an enrolment file" },
                Link { path: "/add/output/lumberjack", words: "Type the gateway's address" },
            ],
        },
        Step {
            id: "source",
            title: "First source",
            is_done: sources > 0,
            is_optional: false,
            words: there(sources, "source", "Nothing sends to the box yet."),
            links: vec![Link { path: "/add/source", words: "Add a source" }],
        },
    ]
}

impl Shared {
    /// The first steps, as they are shown.
    async fn first_steps(&self) -> Result<Start, String> {
        let values = self.settings_now().await?.values;
        let looked = tokio::task::spawn_blocking(|| host::is_clock_set(Path::new("/")));
        let is_clock_set = looked.await.map_err(|error| error.to_string())?;
        let name = self.context.name.borrow().to_string();
        let mut steps = own_steps(&values, &name, is_clock_set);
        steps.extend(data_steps(&values));
        let is_done = steps.iter().all(|step| step.is_done || step.is_optional);
        Ok(Start { steps, is_done, is_left: self.start.is_left(&self.context.kinds.borrow()) })
    }

    async fn end_first_steps(&self, from: IpAddr, by: &Visitor) -> Result<(), String> {
        let result = self.start.end().await.map_err(|error| format!("this cannot be noted: {error}; look at the disk"));
        let (who, message) = (by.name.clone(), format!("{} ends the first steps", by.name));
        self.audit.note(Deed { action: "first_steps", who, from, outcome: result.clone(), message }).await;
        result
    }
}

async fn page(State(shared): State<Arc<Shared>>, Seen(visitor): Seen, uri: Uri) -> Result<Html<String>, Refusal> {
    let page = shared.first_steps().await.map_err(|why| unknown(&shared, &uri, &why))?;
    Ok(Html(view::start(&shared.frame(Some(&visitor), Here::Start), &page)))
}

async fn end(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    _: Sent<Nothing>,
) -> Response {
    match shared.end_first_steps(from, &visitor).await {
        Ok(()) => Redirect::to("/").into_response(),
        Err(why) => unknown(&shared, &uri, &why).into_response(),
    }
}

async fn api_now(State(shared): State<Arc<Shared>>, _: Seen, uri: Uri) -> Result<Json<Start>, Refusal> {
    shared.first_steps().await.map(Json).map_err(|why| unknown(&shared, &uri, &why))
}

async fn api_end(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    _: Vouched,
) -> Result<StatusCode, Refusal> {
    let ended = shared.end_first_steps(from, &visitor).await;
    ended.map(|()| StatusCode::NO_CONTENT).map_err(|why| unknown(&shared, &uri, &why))
}
