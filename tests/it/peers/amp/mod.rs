//! Cisco Secure Endpoint as a double: the API v1, strict as the vendor's pages say, with faults on demand, in front of a real RabbitMQ.

mod broker;
mod relay;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::https::{Request, Response, Server};
use super::microsoft::Fault;
pub use broker::{Broker, broker};
use relay::Relay;

pub const CLIENT: &str = "0123456789abcdef0123";
/// Looks like an API key; a test looks for it where it must not be.
pub const KEY: &str = "8f1c2d3e-4b5a-6978-8796-a5b4c3d2e1f0";

/// An event that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// Seconds since 1970.
    pub time: i64,
    pub kind: u64,
    pub text: String,
}

/// A stream that was made.
#[derive(Clone, Debug)]
pub struct Made {
    pub name: String,
    pub stream: broker::Stream,
    pub kinds: Vec<u64>,
}

/// What the vendor has.
#[derive(Debug)]
pub struct State {
    root: String,
    pub key: String,
    pub read_only: bool,
    pub events: Vec<Event>,
    /// Come between the pages of a question.
    pub between: VecDeque<Event>,
    pub streams: Vec<Made>,
    /// Streams of others.
    pub others: usize,
    /// Events of a page, where the client wants as many.
    pub page: usize,
    pub remaining: u64,
    /// Where streams come from, as the answer says.
    pub broker: (String, u16),
    /// What a password is given out as.
    pub wrong_password: bool,
    pub faults: VecDeque<Fault>,
    pub asked: Vec<String>,
    /// What a strict vendor would not have allowed.
    pub sins: Vec<String>,
    kinds: BTreeMap<u64, &'static str>,
}

/// The running double.
pub struct Amp {
    pub server: Server,
    pub broker: &'static Broker,
    pub relay: Relay,
    folder: tempfile::TempDir,
    state: Arc<Mutex<State>>,
}

pub fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// An event as the vendor writes it, with a number that a parser would round.
pub fn event(number: u64, time: i64) -> Event {
    kind_of(number, time, 1_090_519_054)
}

pub fn kind_of(number: u64, time: i64, kind: u64) -> Event {
    let date = jiff::Timestamp::from_second(time).unwrap().strftime("%Y-%m-%dT%H:%M:%S+00:00");
    let text = format!(
        "{{\"id\":{},\"timestamp\":{time},\"timestamp_nanoseconds\":0,\"date\":\"{date}\",\"event_type\":\"Threat Detected\", \
         \"event_type_id\":{kind},\"detection\":\"W32.é:Demo\",\"connector_guid\":\"ad29d359-dac9-4940-9c7e-c50e6d32ee6f\",\
         \"group_guids\":[\"6c3c2005-4c74-4ba7-8dbb-c4d5b6bafe03\"],\"computer\":{{\"hostname\":\"demo-{number}\"}}}}",
        6_455_442_249_407_000_000 + number
    );
    Event { time, kind, text }
}

impl Amp {
    /// `None` if peers are to be skipped.
    pub fn start() -> Option<Self> {
        let broker = broker()?;
        let relay = Relay::start(broker.port);
        let state = State {
            root: String::new(),
            key: KEY.to_owned(),
            read_only: false,
            events: Vec::new(),
            between: VecDeque::new(),
            streams: Vec::new(),
            others: 0,
            page: 500,
            remaining: 3_000,
            broker: ("127.0.0.1".to_owned(), relay.address.port()),
            wrong_password: false,
            faults: VecDeque::new(),
            asked: Vec::new(),
            sins: Vec::new(),
            kinds: BTreeMap::from([(1_090_519_054, "Threat Detected"), (553_648_143, "Threat Quarantined")]),
        };
        let state = Arc::new(Mutex::new(state));
        let inside = Arc::clone(&state);
        let server = Server::start(&broker.authority.identity("127.0.0.1"), move |request| {
            answer(&mut inside.lock().unwrap(), broker, request)
        });
        state.lock().unwrap().root = server.url();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), format!("{KEY}\n")).unwrap();
        Some(Self { server, broker, relay, folder, state })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Answers so many requests whose path holds this with another answer.
    pub fn fault(&self, path: &str, times: usize, response: Response) {
        self.state().faults.push_back(Fault { path: path.to_owned(), response, times });
    }

    pub fn key_file(&self) -> std::path::PathBuf {
        self.folder.path().join("key")
    }

    /// The keys of a source that this double serves, besides id and type.
    pub fn settings(&self, more: &str) -> String {
        let (url, ca, file) = (self.server.url(), self.broker.authority.ca(), self.key_file());
        format!(
            "client_id = \"{CLIENT}\"\napi_key_file = {file:?}\napi = \"{url}\"\npoll_interval = \"1s\"\nbackoff_min = \"20ms\"\n\
             backoff_max = \"200ms\"\n{more}\n[source.tls]\nca = {ca:?}\n"
        )
    }

    /// These events happen: the API lists them, and each stream that wants them has them.
    pub fn happen(&self, events: impl IntoIterator<Item = Event>) {
        let events: Vec<Event> = events.into_iter().collect();
        let streams = {
            let mut state = self.state();
            state.events.extend(events.iter().cloned());
            state.streams.clone()
        };
        for made in streams {
            let wanted = |event: &&Event| made.kinds.is_empty() || made.kinds.contains(&event.kind);
            let bodies: Vec<String> = events.iter().filter(wanted).map(|event| event.text.clone()).collect();
            self.broker.send(&made.stream.queue, &bodies);
        }
    }

    /// The queue of the only stream.
    pub fn queue(&self) -> String {
        self.state().streams[0].stream.queue.clone()
    }
}

fn error(code: u16, description: &str, details: &[&str]) -> Response {
    let errors = json!([{ "error_code": code, "description": description, "details": details }]);
    Response::json(code, &json!({ "version": "v1.2.0", "data": {}, "errors": errors }))
}

fn answer(state: &mut State, broker: &Broker, request: &Request) -> Response {
    state.asked.push(format!("{} {}", request.method, request.path));
    if let Some(at) = state.faults.iter().position(|fault| fault.times > 0 && request.path.contains(&fault.path)) {
        state.faults[at].times -= 1;
        return state.faults[at].response.clone();
    }
    let login = format!("Basic {}", STANDARD.encode(format!("{CLIENT}:{}", state.key)));
    if request.field("authorization") != Some(&login) {
        return error(401, "Unauthorized", &["Unknown API key or Client ID"]);
    }
    if state.remaining == 0 {
        state.remaining = 3_000;
        return limits(error(429, "Too Many Requests", &["Rate limit exceeded"]), 0);
    }
    state.remaining -= 1;
    let remaining = state.remaining;
    let response = match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/v1/events") => events(state, request),
        ("GET", "/v1/event_types") => {
            let all: Vec<Value> =
                state.kinds.iter().map(|(id, name)| json!({ "id": id, "name": name, "description": "" })).collect();
            Response::json(200, &json!({ "version": "v1.2.0", "metadata": {}, "data": all }))
        }
        ("GET", "/v1/event_streams") => {
            let ours = state.streams.iter().map(|made| json!({ "id": made.stream.id, "name": made.name }));
            let others = (0..state.others).map(|at| json!({ "id": 900_000 + at, "name": format!("other {at}") }));
            Response::json(
                200,
                &json!({ "version": "v1.2.0", "metadata": {}, "data": ours.chain(others).collect::<Vec<_>>() }),
            )
        }
        (_, path) if path.starts_with("/v1/event_streams") && state.read_only => {
            error(403, "Forbidden", &["read-only"])
        }
        ("POST", "/v1/event_streams") => make(state, broker, request),
        ("DELETE", path) if path.starts_with("/v1/event_streams/") => delete(state, broker, path),
        _ => error(404, "Not Found", &[]),
    };
    limits(response, remaining)
}

fn limits(response: Response, remaining: u64) -> Response {
    response
        .with("X-Rate-Limit-Limit", "3000")
        .with("X-Rate-Limit-Remaining", &remaining.to_string())
        .with("X-Rate-Limit-Reset", "1")
}

fn events(state: &mut State, request: &Request) -> Response {
    let known = ["start_date", "limit", "offset", "event_type[]", "group_guid[]"];
    if let Some((name, _)) = request.query.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        state.sins.push(format!("parameter {name}"));
        return error(400, "Bad Request", &[&format!("unpermitted: {name}")]);
    }
    let number = |name: &str, default: usize| request.query(name).map_or(default, |text| text.parse().unwrap());
    let (limit, offset) = (number("limit", 500), number("offset", 0));
    let Ok(from) = request.query("start_date").unwrap_or_default().parse::<jiff::Timestamp>() else {
        state.sins.push(format!("start_date {:?}", request.query("start_date")));
        return error(400, "Bad Request", &["start_date"]);
    };
    if limit == 0 || limit > 500 {
        state.sins.push(format!("limit {limit}"));
        return error(400, "Bad Request", &["limit"]);
    }
    let kinds: Vec<u64> = request
        .query
        .iter()
        .filter(|(name, _)| name == "event_type[]")
        .map(|(_, kind)| kind.parse().unwrap())
        .collect();
    let mut found: Vec<Event> = state
        .events
        .iter()
        .filter(|event| event.time >= from.as_second() && (kinds.is_empty() || kinds.contains(&event.kind)))
        .cloned()
        .collect();
    found.sort_by_key(|event| std::cmp::Reverse(event.time));
    let page = limit.min(state.page);
    let texts: Vec<&str> = found.iter().skip(offset).take(page).map(|event| event.text.as_str()).collect();
    let query = request.query.iter().filter(|(name, _)| name != "offset");
    let mut next = sapphire_edge::net::http::Url::parse(&format!("{}/v1/events", state.root)).unwrap();
    next.query_pairs_mut().extend_pairs(query).append_pair("offset", &(offset + page).to_string());
    let link = if offset + page < found.len() { format!(",\"next\":{:?}", next.as_str()) } else { String::new() };
    let body = format!(
        "{{\"version\":\"v1.2.0\",\"metadata\":{{\"links\":{{\"self\":\"{}\"{link}}},\"results\":{{\"total\":{},\
         \"current_item_count\":{},\"index\":{offset},\"items_per_page\":{page}}}}},\"data\":[{}]}}",
        state.root,
        found.len(),
        texts.len(),
        texts.join(", ")
    );
    // What comes now pushes the rest of the pages on.
    if let Some(event) = state.between.pop_front() {
        state.events.push(event);
    }
    Response::text(200, &body)
}

fn make(state: &mut State, broker: &Broker, request: &Request) -> Response {
    let Ok(body) = serde_json::from_slice::<serde_json::Map<String, Value>>(&request.body) else {
        state.sins.push("a body that is no object".into());
        return error(400, "Bad Request", &[]);
    };
    let is_good = body.keys().all(|key| ["name", "event_type", "group_guid"].contains(&key.as_str()))
        && body.get("name").is_some_and(|name| name.as_str().is_some_and(|name| !name.is_empty()))
        && request.field("content-type") == Some("application/json");
    if !is_good {
        state.sins.push(format!("a stream of {body:?}"));
        return error(400, "Bad Request", &[]);
    }
    if state.streams.len() + state.others >= 5 {
        return error(400, "Bad Request", &["maximum number of event streams reached"]);
    }
    let kinds: Vec<u64> =
        body.get("event_type").map_or_else(Vec::new, |list| serde_json::from_value(list.clone()).unwrap());
    let (stream, name) = (broker.take(), body["name"].as_str().unwrap().to_owned());
    let password = if state.wrong_password { "0".repeat(40) } else { stream.password.clone() };
    let data = json!({
        "id": stream.id, "name": name, "event_types": kinds, "group_guids": [],
        "amqp_credentials": {
            "user_name": stream.user, "password": password, "queue_name": stream.queue,
            "host": state.broker.0, "port": state.broker.1.to_string(), "proto": "https",
        },
    });
    state.streams.push(Made { name, stream, kinds });
    Response::json(201, &json!({ "version": "v1.2.0", "metadata": {}, "data": data }))
}

fn delete(state: &mut State, broker: &Broker, path: &str) -> Response {
    let id = path.rsplit('/').next().unwrap();
    let Some(at) = state.streams.iter().position(|made| made.stream.id.to_string() == id) else {
        state.sins.push(format!("deletes {id}, which is not its own"));
        return error(404, "Not Found", &[]);
    };
    broker.delete(&state.streams.remove(at).stream.queue);
    Response::json(200, &json!({ "version": "v1.2.0", "metadata": {}, "data": {} }))
}
