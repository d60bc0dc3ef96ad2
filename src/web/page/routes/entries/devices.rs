//! The devices of a source of pushed files: their keys, added and taken out, and the keys by which they know the box.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::super::Shared;
use super::super::super::guard::{Administrator, Named, Refusal, Seen, Sent, Vouched};
use super::super::super::serve::Peer;
use super::super::super::view::{DeviceKey, DeviceShown, Devices, Form, HostKey};
use super::List;
use super::guide::{host, shown};
use super::pages::{none, not_now, on};
use super::save::{Done, Who, Wrong};
use crate::control::Edit;
use crate::event::SourceId;
use crate::source;

pub(super) fn pages() -> Router<Arc<Shared>> {
    Router::new().route("/source/{id}/device/add", post(add)).route("/source/{id}/device/remove", post(remove))
}

pub(super) fn api() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/v1/sources/{id}/devices", get(api_devices))
        .route("/api/v1/sources/{id}/devices/{name}", put(api_put).delete(api_remove))
}

/// The keys of a device.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Keys {
    /// Each a line of OpenSSH's authorized_keys.
    keys: Vec<String>,
}

#[derive(Deserialize)]
struct AddForm {
    name: String,
    keys: String,
}

#[derive(Deserialize)]
struct RemoveForm {
    name: String,
    /// The key's fingerprint, or the line itself where it holds no key.
    key: String,
}

/// The devices of an entry of the settings; nothing where its type has none.
fn list_of(entry: &Value) -> Option<&Vec<Value>> {
    let is_ssh = entry.get("type").and_then(Value::as_str) == Some("ssh");
    is_ssh.then(|| entry.get("device").and_then(Value::as_array)).flatten()
}

fn text<'v>(device: &'v Value, key: &str) -> Option<&'v str> {
    device.get(key).and_then(Value::as_str)
}

fn lines(device: &Value) -> Vec<String> {
    let keys = device.get("keys").and_then(Value::as_array).into_iter().flatten();
    keys.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn key(line: &str) -> DeviceKey {
    match source::DeviceKey::parse(line) {
        Ok(key) => DeviceKey { algorithm: key.algorithm, fingerprint: key.fingerprint },
        Err(_) => DeviceKey { algorithm: String::new(), fingerprint: line.to_owned() },
    }
}

/// The change that gives a device these keys; without any it is taken out.
fn keys_edit(id: &str, device: Option<&Value>, name: &str, keys: &[String]) -> Edit {
    let list = format!("source[{id}].device");
    let table = format!("{list}[{name}]");
    let has_more = |device: &Value| text(device, "keys_file").or(text(device, "password_file")).is_some();
    match device {
        None => {
            Edit::Add { list, values: Map::from_iter([("name".into(), name.into()), ("keys".into(), json!(keys))]) }
        }
        Some(device) if keys.is_empty() && !has_more(device) => Edit::Remove { entry: table },
        Some(_) => Edit::Set { table, values: Map::from_iter([("keys".into(), json!(keys))]) },
    }
}

impl Shared {
    /// What is shown of the devices of a source.
    pub(super) async fn devices(&self, id: &str, entry: &Value, host: Option<&str>) -> Option<Devices> {
        let list = list_of(entry)?.clone();
        let (state_dir, id) = (self.context.state_dir.clone(), SourceId::from(id));
        let name = host.map_or_else(|| self.context.name.borrow().to_string(), str::to_owned);
        let read = move || {
            let host_keys = source::host_keys(&state_dir).unwrap_or_default();
            (host_keys, source::deeds(&state_dir, &id).unwrap_or_default())
        };
        let (host_keys, deeds) = tokio::task::spawn_blocking(read).await.unwrap_or_default();
        let host_key = |key: source::HostKey| HostKey {
            line: format!("{} {}", super::guide::address(&name), key.line),
            algorithm: key.algorithm,
            sha256: key.fingerprint,
            md5: key.md5,
        };
        let device = |device: &Value| {
            let name = text(device, "name").unwrap_or_default();
            let deeds = deeds.get(name).cloned().unwrap_or_default();
            DeviceShown {
                name: name.to_owned(),
                user: text(device, "user").unwrap_or(name).to_owned(),
                keys: lines(device).iter().map(|line| key(line)).collect(),
                has_more: text(device, "keys_file").or(text(device, "password_file")).is_some(),
                last_upload: deeds.last_upload,
                files: deeds.files,
                last_error: deeds.last_error,
            }
        };
        let (host_keys, devices) = (host_keys.into_iter().map(host_key).collect(), list.iter().map(device).collect());
        Some(Devices { host_keys, devices, add: Form::default() })
    }

    /// Gives a device the keys that `new` makes of those it has; the problems where it is not done.
    async fn set_keys(
        &self,
        who: Who<'_>,
        (id, name): (&str, &str),
        new: impl FnOnce(Option<Vec<String>>) -> Option<Vec<String>>,
    ) -> Result<(), Option<Wrong>> {
        let now = self.settings_now().await.map_err(|why| Some(Wrong::Words(why)))?;
        let devices = List::Source.find(&now.values, id).and_then(list_of).ok_or(None)?;
        let device = devices.iter().find(|device| text(device, "name") == Some(name));
        let keys = new(device.map(lines)).ok_or(None)?;
        let edit = keys_edit(id, device, name, &keys);
        self.changed_by(who, (Done::Keys, List::Source, id), edit).await.map_err(Some)
    }
}

/// At which field of the form for one more key a problem belongs.
fn field_of(key: &str) -> Option<&'static str> {
    let inner = key.split_once(".device[").and_then(|(_, inner)| inner.split_once("]."))?.1;
    ["name", "keys"].into_iter().find(|field| inner.starts_with(field))
}

async fn add(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    (peer, Named(id)): (Peer, Named),
    (uri, headers): (Uri, HeaderMap),
    Sent(form): Sent<AddForm>,
) -> Response {
    let (name, new) = (form.name.trim().to_owned(), form.keys.lines().map(|line| line.trim().to_owned()));
    let new: Vec<String> = new.filter(|line| !line.is_empty()).collect();
    let all = |before: Option<Vec<String>>| Some(before.unwrap_or_default().into_iter().chain(new).collect());
    let wrong = match shared.set_keys(Who { peer, visitor: &visitor }, (&id, &name), all).await {
        Ok(()) => return on(List::Source, &id, Done::Keys),
        Err(None) => return none(&shared, &uri, List::Source).into_response(),
        Err(Some(wrong)) => wrong,
    };
    let back = Form::default().keep("name", &form.name).keep("keys", &form.keys);
    let back = match &wrong {
        Wrong::Words(words) => back.refuse(words.clone()),
        Wrong::Settings(problems) => problems.iter().fold(back, |back, problem| {
            let words = format!("{}; {}", problem.what, problem.advice);
            match field_of(&problem.key) {
                Some(field) => back.fault(field, words),
                None => back.refuse(format!("{}: {words}", problem.key)),
            }
        }),
    };
    let values = shared.settings_now().await.map(|now| now.values).unwrap_or_default();
    let Some((entry, form)) = List::Source.find_form(&values, &id) else {
        return none(&shared, &uri, List::Source).into_response();
    };
    let mut page = shown(List::Source, form, &id, entry, host(&headers));
    let devices = shared.devices(&id, entry, host(&headers)).await;
    page.devices = devices.map(|devices| Devices { add: back, ..devices });
    shared.form_page(&visitor, (List::Source, entry), (page, None), &headers).await
}

async fn remove(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    (peer, Named(id)): (Peer, Named),
    uri: Uri,
    Sent(form): Sent<RemoveForm>,
) -> Response {
    let rest = |before: Option<Vec<String>>| {
        Some(before?.into_iter().filter(|line| key(line).fingerprint != form.key).collect())
    };
    match shared.set_keys(Who { peer, visitor: &visitor }, (&id, &form.name), rest).await {
        Ok(()) => on(List::Source, &id, Done::Keys),
        Err(None) => none(&shared, &uri, List::Source).into_response(),
        Err(Some(wrong)) => not_now(&shared, &uri, &wrong.words()).into_response(),
    }
}

async fn api_devices(
    State(shared): State<Arc<Shared>>,
    _: Seen,
    Named(id): Named,
    (uri, headers): (Uri, HeaderMap),
) -> Result<Json<Devices>, Refusal> {
    let now = shared.settings_now().await.map_err(|why| not_now(&shared, &uri, &why))?;
    let entry = List::Source.find(&now.values, &id).cloned().unwrap_or_default();
    let devices = shared.devices(&id, &entry, host(&headers)).await;
    devices.map(Json).ok_or_else(|| none(&shared, &uri, List::Source))
}

/// A source and a device, by their names.
type Both = Result<Path<(String, String)>, PathRejection>;

async fn api_put(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    (peer, both): (Peer, Both),
    uri: Uri,
    Sent(new): Sent<Keys>,
) -> Result<StatusCode, Refusal> {
    let Path((id, name)) = both.map_err(|_| none(&shared, &uri, List::Source))?;
    let done = shared.set_keys(Who { peer, visitor: &visitor }, (&id, &name), |_| Some(new.keys)).await;
    done.map(|()| StatusCode::NO_CONTENT).map_err(|why| refused(&shared, &uri, why))
}

async fn api_remove(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    (peer, both): (Peer, Both),
    uri: Uri,
    _: Vouched,
) -> Result<StatusCode, Refusal> {
    let Path((id, name)) = both.map_err(|_| none(&shared, &uri, List::Source))?;
    let all = |before: Option<Vec<String>>| before.map(|_| Vec::new());
    let done = shared.set_keys(Who { peer, visitor: &visitor }, (&id, &name), all).await;
    done.map(|()| StatusCode::NO_CONTENT).map_err(|why| refused(&shared, &uri, why))
}

fn refused(shared: &Shared, uri: &Uri, why: Option<Wrong>) -> Refusal {
    match why {
        None => none(shared, uri, List::Source),
        Some(Wrong::Words(why)) => not_now(shared, uri, &why),
        Some(wrong) => {
            let todo = "GET /api/v1/sources/{id}/devices shows those that are there";
            Refusal::new(shared, uri, StatusCode::UNPROCESSABLE_ENTITY, &wrong.words(), todo)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_and_go_and_a_device_without_any_goes_too() {
        let device = json!({ "name": "esa1", "keys": ["one", "two"] });
        let file = json!({ "name": "esa1", "keys": ["one"], "keys_file": "/x" });
        let strings = |keys: &[&str]| keys.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(
            matches!(keys_edit("ces", None, "esa1", &strings(&["k"])), Edit::Add { list, .. } if list == "source[ces].device")
        );
        let left = keys_edit("ces", Some(&device), "esa1", &strings(&["two"]));
        assert!(matches!(left, Edit::Set { table, .. } if table == "source[ces].device[esa1]"));
        assert!(matches!(keys_edit("ces", Some(&device), "esa1", &[]), Edit::Remove { .. }));
        assert!(matches!(keys_edit("ces", Some(&file), "esa1", &[]), Edit::Set { .. }));
        for (key, field) in [
            ("source[ces].device[2].keys", Some("keys")),
            ("source[ces].device[0].name", Some("name")),
            ("source[ces].listen[0]", None),
        ] {
            assert_eq!(field_of(key), field);
        }
    }
}
