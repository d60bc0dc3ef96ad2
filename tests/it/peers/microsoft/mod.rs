//! Microsoft's clouds as a double: Entra's tokens, the Management Activity API, Graph and Defender, strict as the vendor's
//! pages say, with faults on demand.

mod odata;
pub mod office365;
mod token;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::json;

use super::certificates::Authority;
use super::https::{Request, Response, Server};

pub const TENANT: &str = "11111111-2222-3333-4444-555555555555";
pub const CLIENT: &str = "66666666-7777-8888-9999-000000000000";
/// Looks like a secret's value; a test looks for it where it must not be.
pub const SECRET: &str = "s3c~Value.of+the/secret_0123456789abcdef";
/// What a token is for.
pub const GRAPH: &str = "https://graph.microsoft.com";
pub const DEFENDER: &str = "https://api.securitycenter.microsoft.com";

/// A content of the Management Activity API.
#[derive(Clone, Debug)]
pub struct Content {
    pub content_type: String,
    pub id: String,
    /// When it became available, in seconds since 1970.
    pub created: i64,
    /// From when on it is listed.
    pub listed: i64,
    /// Nothing stands for many records.
    pub body: String,
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
    /// The address of this double, which is also what O365's tokens are for.
    pub root: String,
    /// Permissions that were granted.
    pub roles: Vec<String>,
    /// Seconds that tokens live.
    pub lifetime: i64,
    /// The certificate's public key, for assertions.
    pub public_key: Option<Vec<u8>>,
    /// Thumbprints of the certificate: SHA-1 and SHA-256, as an assertion writes them.
    pub thumbprints: (String, String),
    pub tokens: BTreeMap<String, token::Issued>,
    pub assertions: Vec<String>,
    pub subscriptions: BTreeMap<String, String>,
    /// When each was started.
    pub starts: Vec<(String, i64)>,
    pub contents: Vec<Content>,
    /// Collections by path: the field that is filtered by, and the objects.
    pub collections: BTreeMap<String, (String, Vec<serde_json::Value>)>,
    /// Objects of a page.
    pub page: usize,
    pub faults: VecDeque<Fault>,
    /// What was asked: method and path.
    pub asked: Vec<String>,
    /// What a strict vendor would not have allowed.
    pub sins: Vec<String>,
    /// Codes for the consent, each good once.
    pub codes: Vec<String>,
}

/// The running double.
pub struct Microsoft {
    pub server: Server,
    pub authority: Authority,
    state: Arc<Mutex<State>>,
}

pub fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// RFC 3339 with milliseconds.
pub fn rfc3339(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap().strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}

impl Microsoft {
    pub fn start() -> Self {
        let authority = Authority::new();
        let all = [
            "ActivityFeed.Read",
            "ActivityFeed.ReadDlp",
            "AuditLog.Read.All",
            "SecurityAlert.Read.All",
            "SecurityIncident.Read.All",
            "ServiceHealth.Read.All",
            "ServiceMessage.Read.All",
            "Alert.Read.All",
            "Machine.Read.All",
            "AdvancedQuery.Read.All",
        ];
        let state = State {
            root: String::new(),
            roles: all.iter().map(ToString::to_string).collect(),
            lifetime: 3_600,
            public_key: None,
            thumbprints: Default::default(),
            tokens: BTreeMap::new(),
            assertions: Vec::new(),
            subscriptions: BTreeMap::new(),
            starts: Vec::new(),
            contents: Vec::new(),
            collections: odata::collections(),
            page: 2,
            faults: VecDeque::new(),
            asked: Vec::new(),
            sins: Vec::new(),
            codes: Vec::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let inside = Arc::clone(&state);
        let server = Server::start(&authority.identity("127.0.0.1"), move |request| {
            answer(&mut inside.lock().unwrap(), request)
        });
        std::fs::write(authority.folder().join("secret"), format!("{SECRET}\n")).unwrap();
        state.lock().unwrap().root = server.url();
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
        self.settings_of(&format!("client_secret_file = {:?}", self.authority.folder().join("secret")), more)
    }

    pub fn settings_of(&self, credential: &str, more: &str) -> String {
        let (url, ca) = (self.server.url(), self.authority.ca());
        format!(
            "tenants = [\"{TENANT}\"]\nclient_id = \"{CLIENT}\"\n{credential}\nlogin = \"{url}\"\napi = \"{url}\"\n\
             poll_interval = \"1s\"\nbackoff_min = \"20ms\"\nbackoff_max = \"200ms\"\n{more}\n[source.tls]\nca = {ca:?}\n"
        )
    }

    /// Makes a content available.
    pub fn content(&self, content_type: &str, id: &str, created: i64, records: &[String]) {
        let body = format!("[{}]", records.join(", "));
        self.state().contents.push(Content {
            content_type: content_type.to_owned(),
            id: format!("{id}${content_type}$emea"),
            created,
            listed: 0,
            body,
        });
    }

    /// Adds an object to a collection.
    pub fn object(&self, path: &str, object: serde_json::Value) {
        self.state().collections.get_mut(path).unwrap().1.push(object);
    }
}

fn answer(state: &mut State, request: &Request) -> Response {
    state.asked.push(format!("{} {}", request.method, request.path));
    if let Some(at) = state.faults.iter().position(|fault| fault.times > 0 && request.path.contains(&fault.path)) {
        state.faults[at].times -= 1;
        return state.faults[at].response.clone();
    }
    if request.path.ends_with("/oauth2/token") || request.path.ends_with("/oauth2/v2.0/token") {
        return token::answer(state, request);
    }
    if request.path.contains("/.well-known/openid-configuration") {
        return token::discovery(state, request);
    }
    let resource = match () {
        () if request.path.contains("/activity/feed/") => state.root.clone(),
        () if request.path.starts_with("/v1.0/") => GRAPH.to_owned(),
        () => DEFENDER.to_owned(),
    };
    if !token::is_good(state, request, &resource) {
        return Response::json(401, &json!({ "error": { "code": "InvalidAuthenticationToken", "message": "token" } }));
    }
    match () {
        () if request.path.contains("/activity/feed/") => office365::answer(state, request),
        () => odata::answer(state, request),
    }
}

/// A record of the audit log.
pub fn record(id: &str, time: i64) -> String {
    // As the vendor writes it, with a number that a parser would round and a space that it would drop.
    format!(
        "{{\"CreationTime\":\"{}\",\"Id\":\"{id}\", \"Big\":639199803770463703,\"Operation\":\"UserLoggedIn\",\"Workload\":\"é\"}}",
        &rfc3339(time)[..19]
    )
}
