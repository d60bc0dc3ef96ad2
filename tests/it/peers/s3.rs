//! S3 as a double: strict about signatures, times and rights as AWS is, with small pages, a clock that can be set, and faults
//! on demand.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;

use super::certificates::Authority;
use super::https::{Request, Response, Server};

pub const BUCKET: &str = "cisco-managed-eu-central-1";
pub const REGION: &str = "eu-central-1";
pub const PREFIX: &str = "1234567_0123abcd";
pub const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
/// Looks like a secret access key; a test looks for it where it must not be.
pub const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// An object.
#[derive(Clone, Debug)]
pub struct Object {
    pub body: Vec<u8>,
    pub tag: String,
    /// When it was written, in seconds since 1970.
    pub modified: i64,
}

/// An answer in place of the right one.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Part of the path with its query.
    pub part: String,
    pub response: Response,
    /// How often.
    pub times: usize,
}

/// What the vendor has.
#[derive(Debug, Default)]
pub struct State {
    /// Below the data path.
    pub objects: BTreeMap<String, Object>,
    /// Objects of a page.
    pub page: usize,
    /// Seconds by which its clock is ahead.
    pub ahead: i64,
    pub faults: VecDeque<Fault>,
    /// Half of the body of so many objects comes, then the connection ends.
    pub cuts: usize,
    /// What was read, in order.
    pub read: Vec<String>,
    /// What was listed: `start-after`.
    pub listed: Vec<Option<String>>,
    /// What a strict vendor would not have allowed.
    pub sins: BTreeSet<String>,
}

/// The running double.
pub struct S3 {
    pub server: Server,
    pub authority: Authority,
    state: Arc<Mutex<State>>,
}

pub fn error(code: u16, word: &str, more: &str) -> Response {
    Response::text(
        code,
        &format!("<?xml version=\"1.0\"?>\n<Error><Code>{word}</Code><Message>m</Message>{more}</Error>"),
    )
}

impl S3 {
    pub fn start() -> Self {
        let authority = Authority::new();
        let state = Arc::new(Mutex::new(State { page: 3, ..State::default() }));
        let inside = Arc::clone(&state);
        let server = Server::start(&authority.identity("127.0.0.1"), move |request| {
            let mut state = inside.lock().unwrap();
            let response = answer(&mut state, request);
            response.with("Date", &stamp(state.now(), "%a, %d %b %Y %H:%M:%S GMT"))
        });
        std::fs::write(authority.folder().join("secret"), format!("{SECRET}\n")).unwrap();
        Self { server, authority, state }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The keys of a source that this double serves, besides id and type.
    pub fn settings(&self, more: &str) -> String {
        let (url, ca, secret) = (self.server.url(), self.authority.ca(), self.authority.folder().join("secret"));
        let mut text = format!(
            "bucket = \"{BUCKET}\"\nregion = \"{REGION}\"\nprefix = \"{PREFIX}/\"\nendpoint = \"{url}\"\n\
             access_key_id = \"{KEY_ID}\"\nsecret_access_key_file = {secret:?}\n"
        );
        for (key, value) in [("poll_interval", "1s"), ("backoff_min", "20ms"), ("backoff_max", "200ms")] {
            if !more.contains(key) {
                text.push_str(&format!("{key} = \"{value}\"\n"));
            }
        }
        format!("{text}{more}\n[source.tls]\nca = {ca:?}\n")
    }

    /// Writes an object now; its key as it is then.
    pub fn put(&self, path: &str, body: Vec<u8>) -> String {
        let key = format!("{PREFIX}/{path}");
        let mut state = self.state();
        let object = Object { body, tag: format!("{:032x}", rand::random::<u128>()), modified: state.now() };
        state.objects.insert(key.clone(), object);
        key
    }

    /// Answers so many requests whose path or query holds this with another answer.
    pub fn fault(&self, part: &str, times: usize, response: Response) {
        self.state().faults.push_back(Fault { part: part.to_owned(), response, times });
    }
}

impl State {
    pub fn now(&self) -> i64 {
        jiff::Timestamp::now().as_second() + self.ahead
    }
}

/// A time in words.
pub fn stamp(seconds: i64, format: &str) -> String {
    jiff::Timestamp::from_second(seconds).unwrap().in_tz("UTC").unwrap().strftime(format).to_string()
}

fn answer(state: &mut State, request: &Request) -> Response {
    let query = request.query.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
    let target = format!("{}?{query}", request.path);
    if let Some(fault) = state.faults.iter_mut().find(|fault| fault.times > 0 && target.contains(&fault.part)) {
        fault.times -= 1;
        return fault.response.clone();
    }
    if let Err(refusal) = check(state, request) {
        return refusal;
    }
    // A bucket is named with a slash behind it or without.
    let key = request.path.strip_prefix(&format!("/{BUCKET}")).and_then(|rest| match rest {
        "" => Some(rest),
        rest => rest.strip_prefix('/'),
    });
    let Some(key) = key else { return error(404, "NoSuchBucket", "") };
    if key.is_empty() { list(state, request) } else { get(state, &decoded(key)) }
}

fn get(state: &mut State, key: &str) -> Response {
    if !key.starts_with(&format!("{PREFIX}/")) {
        state.sins.insert(format!("GET {key}"));
        return error(403, "AccessDenied", "");
    }
    let Some(object) = state.objects.get(key).cloned() else { return error(404, "NoSuchKey", "") };
    state.read.push(key.to_owned());
    let is_cut = state.cuts > 0;
    state.cuts = state.cuts.saturating_sub(1);
    Response { code: 200, body: object.body, is_cut, ..Response::default() }
        .with("ETag", &format!("\"{}\"", object.tag))
}

fn list(state: &mut State, request: &Request) -> Response {
    let (prefix, after) = (request.query("prefix").unwrap_or_default(), request.query("start-after"));
    if request.query("list-type") != Some("2") || !prefix.starts_with(&format!("{PREFIX}/")) {
        state.sins.insert(format!("a list of {prefix:?}"));
        return error(403, "AccessDenied", "");
    }
    state.listed.push(after.map(str::to_owned));
    let most = request.query("max-keys").map_or(state.page, |most| most.parse::<usize>().unwrap().min(state.page));
    let after = request.query("continuation-token").or(after).unwrap_or_default().to_owned();
    let (mut objects, mut folders, mut last, mut more) = (String::new(), BTreeSet::new(), None, false);
    let mut count = 0;
    for (key, object) in state.objects.iter().filter(|(key, _)| key.starts_with(prefix) && **key > after) {
        let folder = request.query("delimiter").and_then(|_| key[prefix.len()..].split_once('/'));
        if folder
            .is_some_and(|(folder, _)| folders.contains(folder) || after.starts_with(&format!("{prefix}{folder}/")))
        {
            last = Some(key.clone());
            continue;
        }
        if count == most {
            more = true;
            break;
        }
        count += 1;
        last = Some(key.clone());
        match folder {
            Some((folder, _)) => drop(folders.insert(folder.to_owned())),
            None => objects.push_str(&format!(
                "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>&quot;{}&quot;</ETag><Size>{}</Size></Contents>",
                escaped(key),
                stamp(object.modified, "%Y-%m-%dT%H:%M:%S.000Z"),
                object.tag,
                object.body.len()
            )),
        }
    }
    let folders: String = folders
        .iter()
        .map(|name| format!("<CommonPrefixes><Prefix>{prefix}{name}/</Prefix></CommonPrefixes>"))
        .collect();
    let next =
        last.filter(|_| more).map(|last| format!("<NextContinuationToken>{}</NextContinuationToken>", escaped(&last)));
    Response::text(
        200,
        &format!(
            "<?xml version=\"1.0\"?>\n<ListBucketResult><IsTruncated>{more}</IsTruncated>{objects}{folders}{}</ListBucketResult>",
            next.unwrap_or_default()
        ),
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// Checks a signature the long way, from the vendor's description.
fn check(state: &mut State, request: &Request) -> Result<(), Response> {
    let now = state.now();
    let mut sin = |what: &str| {
        state.sins.insert(what.to_owned());
        error(403, "AccessDenied", "")
    };
    let field = |name: &str| request.field(name).unwrap_or_default().trim().to_owned();
    let authorization = field("authorization");
    let Some(parts) = authorization.strip_prefix("AWS4-HMAC-SHA256 ") else { return Err(sin("no signature")) };
    let part = |name: &str| {
        let mut all = parts.split(',').map(str::trim).filter_map(|part| part.split_once('='));
        all.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).unwrap_or_default()
    };
    let (credential, names, signature) = (part("Credential"), part("SignedHeaders"), part("Signature"));
    let scope: Vec<&str> = credential.split('/').collect();
    let [id, day, region, service, "aws4_request"] = scope[..] else { return Err(sin("no scope")) };
    if id != KEY_ID {
        return Err(error(403, "InvalidAccessKeyId", ""));
    }
    if region != REGION {
        return Err(error(400, "AuthorizationHeaderMalformed", &format!("<Region>{REGION}</Region>")));
    }
    let date = field("x-amz-date");
    let seconds = jiff::fmt::strtime::parse("%Y%m%dT%H%M%SZ", &date).unwrap().to_datetime().unwrap();
    let seconds = seconds.in_tz("UTC").unwrap().timestamp().as_second();
    if (seconds - now).abs() > 15 * 60 {
        return Err(error(403, "RequestTimeTooSkewed", ""));
    }
    let needed = ["host", "x-amz-content-sha256", "x-amz-date"];
    let signed: Vec<&str> = names.split(';').collect();
    if !date.starts_with(day)
        || service != "s3"
        || needed.iter().any(|name| !signed.contains(name))
        || !signed.is_sorted()
    {
        return Err(sin("a signature of the wrong things"));
    }
    if field("x-amz-content-sha256") != hex(digest(&SHA256, &request.body).as_ref()) {
        return Err(sin("a wrong hash of the body"));
    }
    let mut query: Vec<String> =
        request.query.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    query.sort();
    let fields: String = signed.iter().map(|name| format!("{name}:{}\n", field(name))).collect();
    let path = request.path.split('/').map(|part| encoded(&decoded(part))).collect::<Vec<_>>().join("/");
    let canonical = format!(
        "{}\n{path}\n{}\n{fields}\n{names}\n{}",
        request.method,
        query.join("&"),
        field("x-amz-content-sha256")
    );
    let text = format!(
        "AWS4-HMAC-SHA256\n{date}\n{day}/{region}/{service}/aws4_request\n{}",
        hex(digest(&SHA256, canonical.as_bytes()).as_ref())
    );
    let mut key = format!("AWS4{SECRET}").into_bytes();
    for part in [day, region, service, "aws4_request", &text] {
        key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes()).as_ref().to_vec();
    }
    if hex(&key) == signature { Ok(()) } else { Err(error(403, "SignatureDoesNotMatch", "")) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).unwrap()
}
