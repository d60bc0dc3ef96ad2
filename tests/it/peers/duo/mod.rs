//! Duo's Admin API as a double: signatures, the clock, windows, pages and limits as strict as the vendor's pages say, with
//! faults on demand.

mod logs;
mod sign;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::json;

use super::certificates::Authority;
use super::https::{Request, Response, Server};

pub const HOST: &str = "api-test0001.duosecurity.com";
pub const INTEGRATION_KEY: &str = "DITESTTESTTESTTEST01";
/// Looks like a secret key; a test looks for it where it must not be.
pub const SECRET_KEY: &str = "s3cretKeyOfTheApplication0123456789abcde";
pub const LOGS: [&str; 6] =
    ["authentication", "administrator", "telephony", "offline_enrollment", "activity", "trust_monitor"];

/// A record of a log.
#[derive(Clone, Debug)]
pub struct Entry {
    /// From when on it is listed, in seconds since 1970.
    pub listed: i64,
    /// Nothing stands for the usual text.
    pub text: String,
}

/// An answer in place of the right one.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Part of the path.
    pub path: String,
    pub response: Response,
    /// How often.
    pub times: usize,
}

/// What the vendor has.
#[derive(Debug)]
pub struct State {
    pub secret_key: String,
    /// Logs that the application may not read.
    pub forbidden: BTreeSet<&'static str>,
    /// By log, then by time in milliseconds and id.
    pub logs: BTreeMap<&'static str, BTreeMap<(i64, String), Entry>>,
    /// Most records of a page.
    pub page: usize,
    /// Most records of a page of version 1.
    pub earliest: usize,
    /// Each page begins with the last record of the one before.
    pub repeats: bool,
    /// Pages are not in order within themselves.
    pub shuffles: bool,
    /// Seconds by which its clock is ahead.
    pub ahead: i64,
    pub faults: VecDeque<Fault>,
    /// What was asked: path and parameters.
    pub asked: Vec<String>,
    /// How requests were signed.
    pub signatures: BTreeSet<&'static str>,
    /// What a strict vendor would not have allowed.
    pub sins: Vec<String>,
}

/// The running double.
pub struct Duo {
    pub server: Server,
    pub authority: Authority,
    state: Arc<Mutex<State>>,
}

pub fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// A time in milliseconds, so many seconds ago.
pub fn ago(seconds: i64) -> i64 {
    (now() - seconds) * 1_000
}

/// A refusal as Duo writes it.
pub fn refusal(code: u16, status: u16, message: &str, detail: Option<&str>) -> Response {
    let mut body = json!({ "code": u32::from(status) * 100 + u32::from(code), "message": message, "stat": "FAIL" });
    if let Some(detail) = detail {
        body["message_detail"] = json!(detail);
    }
    Response::json(status, &body)
}

impl Duo {
    pub fn start() -> Self {
        let authority = Authority::new();
        let state = State {
            secret_key: SECRET_KEY.to_owned(),
            forbidden: BTreeSet::new(),
            logs: LOGS.into_iter().map(|log| (log, BTreeMap::new())).collect(),
            page: 1_000,
            earliest: 1_000,
            repeats: false,
            shuffles: false,
            ahead: 0,
            faults: VecDeque::new(),
            asked: Vec::new(),
            signatures: BTreeSet::new(),
            sins: Vec::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let inside = Arc::clone(&state);
        let server = Server::start(&authority.identity_of(&["127.0.0.1", "localhost"]), move |request| {
            answer(&mut inside.lock().unwrap(), request)
        });
        std::fs::write(authority.folder().join("secret"), format!("{SECRET_KEY}\n")).unwrap();
        Self { server, authority, state }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Answers so many requests whose path holds this with another answer.
    pub fn fault(&self, path: &str, times: usize, response: Response) {
        self.state().faults.push_back(Fault { path: path.to_owned(), response, times });
    }

    /// The keys of a source that this double serves, besides id and type.
    pub fn settings(&self, more: &str) -> String {
        let (url, ca, secret) = (self.server.url(), self.authority.ca(), self.authority.folder().join("secret"));
        format!(
            "host = \"{HOST}\"\nintegration_key = \"{INTEGRATION_KEY}\"\nsecret_key_file = {secret:?}\napi = \"{url}\"\n\
             requests_per_minute = 60000\npoll_interval = \"1s\"\nbackoff_min = \"20ms\"\nbackoff_max = \"200ms\"\n{more}\n\
             [source.tls]\nca = {ca:?}\n"
        )
    }

    /// Adds a record with a time in milliseconds; its text.
    pub fn add(&self, log: &'static str, id: &str, time: i64) -> String {
        let text = record(log, id, time);
        self.add_text(log, id, time, &text);
        text
    }

    pub fn add_text(&self, log: &'static str, id: &str, time: i64, text: &str) {
        let entry = Entry { listed: 0, text: text.to_owned() };
        self.state().logs.get_mut(log).unwrap().insert((time, id.to_owned()), entry);
    }
}

fn answer(state: &mut State, request: &Request) -> Response {
    let parameters: Vec<String> = request.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    state.asked.push(format!("{} {}", request.path, parameters.join("&")));
    let date = jiff::Timestamp::from_second(now() + state.ahead).unwrap();
    let date = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Some(at) = state.faults.iter().position(|fault| fault.times > 0 && request.path.contains(&fault.path)) {
        state.faults[at].times -= 1;
        return state.faults[at].response.clone();
    }
    let response = match sign::check(state, request) {
        Ok(()) => logs::answer(state, request),
        Err(response) => response,
    };
    response.with("Date", &date)
}

/// A record as the vendor writes it, with a number that a parser would round and a space that it would drop.
pub fn record(log: &str, id: &str, time: i64) -> String {
    let moment = jiff::Timestamp::from_millisecond(time).unwrap();
    let (seconds, iso) = (time / 1_000, moment.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00"));
    match log {
        "authentication" => format!(
            "{{\"access_device\":{{\"ip\":\"192.0.2.7\",\"hostname\":null}}, \"big\":639199803770463703,\"event_type\":\"authentication\",\"factor\":\"duo_push\",\"isotimestamp\":\"{iso}\",\"reason\":\"user_approved\",\"result\":\"success\",\"timestamp\":{seconds},\"txid\":\"{id}\",\"user\":{{\"name\":\"Zo\u{eb}\"}}}}"
        ),
        "telephony" => format!(
            "{{\"context\":\"authentication\",\"credits\":1, \"phone\":\"+15555550100\",\"telephony_id\":\"{id}\",\"ts\":\"{iso}\",\"txid\":\"t\",\"type\":\"sms\"}}"
        ),
        "activity" => format!(
            "{{\"action\":{{\"name\":\"user.update\"}}, \"activity_id\":\"{id}\",\"actor\":{{\"name\":\"admin\"}},\"ts\":\"{iso}\"}}"
        ),
        "trust_monitor" => format!(
            "{{\"sekey\":\"{id}\", \"state\":\"new\",\"state_updated_timestamp\":null,\"surfaced_timestamp\":{time},\"type\":\"auth\"}}"
        ),
        _ => format!(
            "{{\"action\":\"user_update\", \"description\":\"{{\\\"id\\\": \\\"{id}\\\"}}\",\"object\":null,\"timestamp\":{seconds},\"username\":\"admin\"}}"
        ),
    }
}
