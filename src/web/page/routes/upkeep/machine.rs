//! The box's name, network and time: looked at by everybody, changed by administrators.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::change::{Applied, Came, again, field_of, in_use, listed, trial_of, wrong};
use super::unknown;
use crate::control::Edit;
use crate::host;
use crate::web::page::Shared;
use crate::web::page::account::Visitor;
use crate::web::page::guard::{Administrator, Named, Refusal, Seen, Sent};
use crate::web::page::serve::Peer;
use crate::web::page::view::{self, Card, Form, Forms, Here, Machine, Notice};

pub(super) fn pages() -> Router<Arc<Shared>> {
    Router::new()
        .route("/box", get(page))
        .route("/box/name", post(name))
        .route("/box/time", post(time))
        .route("/box/network", post(network))
}

pub(super) fn api() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/v1/box", get(api_now))
        .route("/api/v1/box/name", put(api_name))
        .route("/api/v1/box/time", put(api_time))
        .route("/api/v1/box/network/{name}", put(api_network))
}

/// The box's name.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewName {
    /// The name; nothing: the machine's host name.
    name: Option<String>,
}

/// Where the box gets the time.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTime {
    /// Time servers; none: those that the network gives.
    ntp: Vec<String>,
}

/// What a network card is to do.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCard {
    /// Its own addresses with the length of their networks; none: the network gives one.
    #[serde(default)]
    address: Vec<String>,
    /// The way out of its networks.
    #[serde(default)]
    gateway: Vec<String>,
    /// The servers asked for names.
    #[serde(default)]
    dns: Vec<String>,
}

#[derive(Deserialize)]
struct NameForm {
    name: String,
}

#[derive(Deserialize)]
struct TimeForm {
    ntp: String,
}

#[derive(Deserialize)]
struct NetworkForm {
    card: String,
    address: String,
    gateway: String,
    dns: String,
}

/// What a person writes into a field for several: with blanks or commas between them.
fn list(text: &str) -> Vec<String> {
    text.split([' ', ',', ';', '\t', '\r', '\n']).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// A list for the settings: none is no key.
fn or_none(list: &[String]) -> Value {
    if list.is_empty() { Value::Null } else { json!(list) }
}

fn texts(value: &Value, key: &str) -> Vec<String> {
    let list = value.get(key).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

/// The cards that the settings name.
fn set_cards(values: &Value) -> impl Iterator<Item = &Value> {
    values.pointer("/network/interface").and_then(Value::as_array).into_iter().flatten()
}

fn name_of(card: &Value) -> &str {
    card.get("name").and_then(Value::as_str).unwrap_or_default()
}

fn set(table: &str, key: &str, value: Value) -> Edit {
    Edit::Set { table: table.to_owned(), values: Map::from_iter([(key.to_owned(), value)]) }
}

fn edit_name(name: Option<&str>) -> Edit {
    set("", "name", name.map(str::trim).filter(|name| !name.is_empty()).into())
}

fn edit_time(ntp: &[String]) -> Edit {
    set("time", "ntp", or_none(ntp))
}

/// What puts a card into the settings, or takes it out where it does what every card does by itself.
fn edit_card(values: &Value, name: &str, new: &NewCard) -> Option<Edit> {
    let (list, entry) = ("network.interface".to_owned(), format!("network.interface[{name}]"));
    let is_there = set_cards(values).any(|card| name_of(card) == name);
    let is_plain = new.address.is_empty() && new.gateway.is_empty() && new.dns.is_empty();
    let keys = [("address", &new.address), ("gateway", &new.gateway), ("dns", &new.dns)];
    let mut values: Map<String, Value> = keys.into_iter().map(|(key, list)| (key.to_owned(), or_none(list))).collect();
    match (is_there, is_plain) {
        (true, true) => Some(Edit::Remove { entry }),
        (true, false) => Some(Edit::Set { table: entry, values }),
        (false, true) => None,
        (false, false) => {
            values.retain(|_, value| !value.is_null());
            values.insert("name".to_owned(), name.into());
            Some(Edit::Add { list, values })
        }
    }
}

impl Shared {
    /// The box itself, as it is shown.
    async fn machine(&self) -> Result<Machine, String> {
        let now = self.settings_now().await?;
        let looked = tokio::task::spawn_blocking(|| (host::cards(Path::new("/")), host::is_clock_set(Path::new("/"))));
        let (found, is_set) = looked.await.map_err(|error| error.to_string())?;
        let mut cards: Vec<Card> = set_cards(&now.values)
            .map(|card| Card {
                name: name_of(card).to_owned(),
                address: texts(card, "address"),
                gateway: texts(card, "gateway"),
                dns: texts(card, "dns"),
                ..Card::default()
            })
            .collect();
        for host::Card { name, mac, has_link, .. } in found {
            match cards.iter_mut().find(|card| card.name == name) {
                Some(card) => (card.is_there, card.has_link, card.mac) = (true, has_link, mac),
                None => cards.push(Card { name, is_there: true, has_link, mac, ..Card::default() }),
            }
        }
        cards.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Machine {
            name: self.context.name.borrow().to_string(),
            set_name: now.values.get("name").and_then(Value::as_str).map(str::to_owned),
            cards,
            ntp: now.values.get("time").map(|time| texts(time, "ntp")).unwrap_or_default(),
            at: self.context.clock.now().to_string(),
            is_set,
            trial: trial_of(&now),
        })
    }

    async fn set_card(&self, from: IpAddr, by: &Visitor, name: &str, new: &NewCard) -> Result<Came, String> {
        let values = self.settings_now().await?.values;
        match edit_card(&values, name, new) {
            Some(edit) => self.put_into_use(from, by, edit).await,
            None => Ok(Came::InUse(Applied { confirm_within_seconds: None, later: Vec::new() })),
        }
    }
}

/// The page, with what came of the last wish.
async fn show(shared: &Shared, visitor: &Visitor, uri: &Uri, notice: Option<Notice>, forms: Forms) -> Response {
    let page = match shared.machine().await {
        Ok(page) => page,
        Err(why) => return unknown(shared, uri, &why).into_response(),
    };
    let is_wrong = forms.name.is_some() || forms.time.is_some() || forms.card.is_some();
    let is_refused = is_wrong || notice.as_ref().is_some_and(|notice| !notice.done);
    let status = if is_refused { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let mut frame = shared.frame(Some(visitor), Here::Box);
    frame.notice = notice;
    (status, Html(view::machine(&frame, &page, &forms))).into_response()
}

/// The page after a form: with a notice, or with the form and what was wrong in it.
async fn came(
    shared: &Shared,
    visitor: &Visitor,
    uri: &Uri,
    result: Result<Came, String>,
    (typed, back): (Form, impl FnOnce(Form) -> Forms),
) -> Response {
    match result {
        Ok(Came::InUse(applied)) => {
            let text = in_use(applied.confirm_within_seconds, &applied.later);
            show(shared, visitor, uri, Some(Notice { done: true, text }), Forms::default()).await
        }
        Ok(Came::PageAnew) => again(shared),
        Ok(Came::Wrong(problems)) => {
            let form = problems.iter().fold(typed, |form, problem| {
                let words = format!("{}; {}", problem.what, problem.advice);
                match field_of(problem) {
                    field @ ("name" | "ntp" | "address" | "gateway" | "dns") => form.fault(field, words),
                    _ => form.refuse(words),
                }
            });
            show(shared, visitor, uri, None, back(form)).await
        }
        Err(text) => show(shared, visitor, uri, Some(Notice { done: false, text }), back(typed)).await,
    }
}

async fn page(State(shared): State<Arc<Shared>>, Seen(visitor): Seen, uri: Uri) -> Response {
    show(&shared, &visitor, &uri, None, Forms::default()).await
}

async fn name(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    Sent(form): Sent<NameForm>,
) -> Response {
    let result = shared.put_into_use(from, &visitor, edit_name(Some(&form.name))).await;
    let typed = Form::default().keep("name", &form.name);
    let back = |form| Forms { name: Some(form), ..Forms::default() };
    came(&shared, &visitor, &uri, result, (typed, back)).await
}

async fn time(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    Sent(form): Sent<TimeForm>,
) -> Response {
    let result = shared.put_into_use(from, &visitor, edit_time(&list(&form.ntp))).await;
    let typed = Form::default().keep("ntp", &form.ntp);
    let back = |form| Forms { time: Some(form), ..Forms::default() };
    came(&shared, &visitor, &uri, result, (typed, back)).await
}

async fn network(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    Sent(form): Sent<NetworkForm>,
) -> Response {
    let new = NewCard { address: list(&form.address), gateway: list(&form.gateway), dns: list(&form.dns) };
    let result = shared.set_card(from, &visitor, &form.card, &new).await;
    let typed = Form::default().keep("address", &form.address).keep("gateway", &form.gateway).keep("dns", &form.dns);
    let back = |typed| Forms { card: Some((form.card.clone(), typed)), ..Forms::default() };
    came(&shared, &visitor, &uri, result, (typed, back)).await
}

async fn api_now(State(shared): State<Arc<Shared>>, _: Seen, uri: Uri) -> Result<Json<Machine>, Refusal> {
    shared.machine().await.map(Json).map_err(|why| unknown(&shared, &uri, &why))
}

/// What a program is answered.
fn answer(shared: &Shared, uri: &Uri, result: Result<Came, String>) -> Response {
    match result {
        Ok(Came::InUse(applied)) => Json(applied).into_response(),
        Ok(Came::PageAnew) => Json(Applied::of_the_page()).into_response(),
        Ok(Came::Wrong(problems)) => wrong(&listed(problems)),
        Err(why) => unknown(shared, uri, &why).into_response(),
    }
}

async fn api_name(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    Sent(new): Sent<NewName>,
) -> Response {
    let result = shared.put_into_use(from, &visitor, edit_name(new.name.as_deref())).await;
    answer(&shared, &uri, result)
}

async fn api_time(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    Sent(new): Sent<NewTime>,
) -> Response {
    let result = shared.put_into_use(from, &visitor, edit_time(&new.ntp)).await;
    answer(&shared, &uri, result)
}

async fn api_network(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    Named(name): Named,
    uri: Uri,
    Sent(new): Sent<NewCard>,
) -> Response {
    let result = shared.set_card(from, &visitor, &name, &new).await;
    answer(&shared, &uri, result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_added_changed_or_taken_out() {
        let values = json!({ "network": { "interface": [{ "name": "eth0", "address": ["192.0.2.10/24"] }] } });
        let card = |address: &str| NewCard { address: list(address), gateway: Vec::new(), dns: Vec::new() };
        let Some(Edit::Set { table, values: keys }) = edit_card(&values, "eth0", &card("192.0.2.11/24")) else {
            panic!("it is changed")
        };
        assert_eq!(table, "network.interface[eth0]");
        assert_eq!(Value::Object(keys), json!({ "address": ["192.0.2.11/24"], "gateway": null, "dns": null }));
        let Some(Edit::Add { list, values: keys }) = edit_card(&values, "eth1", &card("192.0.2.11/24,2001:db8::1/64"))
        else {
            panic!("it is added")
        };
        assert_eq!(list, "network.interface");
        assert_eq!(Value::Object(keys), json!({ "name": "eth1", "address": ["192.0.2.11/24", "2001:db8::1/64"] }));
        let removed = edit_card(&values, "eth0", &card(" "));
        assert_eq!(removed, Some(Edit::Remove { entry: "network.interface[eth0]".to_owned() }));
        assert_eq!(edit_card(&values, "eth1", &card("")), None);
    }
}
