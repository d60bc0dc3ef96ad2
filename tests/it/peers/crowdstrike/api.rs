//! What is answered at once: tokens, discovery, refresh, and who may connect a stream.

use std::time::Duration;

use sapphire_edge::clock::monotonic;
use serde_json::json;

use super::super::https::{Request, Response};
use super::{CLIENT, GRACE, SECRET, Session, State};

/// A stream that may be sent.
pub struct Wanted {
    pub app_id: String,
    pub partition: String,
    /// The token of its session.
    pub session: String,
    /// From this offset on; `None` for what comes from now on.
    pub from: Option<u64>,
    pub types: Vec<String>,
}

pub enum Answer {
    Whole(Response),
    Stream(Wanted),
}

fn errors(code: u16, message: &str) -> Response {
    let meta = json!({ "query_time": 0.000_001, "powered_by": "double", "trace_id": "00000000-0000" });
    Response::json(code, &json!({ "meta": meta, "errors": [{ "code": code, "message": message }] }))
}

pub fn answer(state: &mut State, request: &Request) -> Answer {
    let offset = request.query("offset").map(|offset| format!(" {offset}")).unwrap_or_default();
    state.asked.push(format!("{} {}{offset}", request.method, request.path));
    if let Some(at) = state.faults.iter().position(|fault| fault.times > 0 && request.path.contains(&fault.path)) {
        state.faults[at].times -= 1;
        return Answer::Whole(state.faults[at].response.clone());
    }
    let path = request.path.as_str();
    let response = match (request.method.as_str(), path) {
        ("POST", "/oauth2/token") => token(state, request),
        ("GET", "/sensors/entities/datafeed/v2") => discover(state, request),
        ("GET", _) if path.starts_with("/sensors/entities/datafeed/v1/") => match connect(state, request) {
            Ok(wanted) => return Answer::Stream(wanted),
            Err(response) => response,
        },
        ("POST", _) if path.starts_with("/sensors/entities/datafeed-actions/v1/") => refresh(state, request),
        _ => {
            state.sins.push(format!("{} {path}", request.method));
            errors(404, "not found")
        }
    };
    let response = response.with("Content-Type", "application/json");
    // The vendor's client goes where this field says; it stays here without one.
    let is_moved = state.region != "us-1";
    Answer::Whole(if is_moved { response.with("X-Cs-Region", &state.region) } else { response })
}

fn token(state: &mut State, request: &Request) -> Response {
    let form = sapphire_edge::net::http::Url::parse(&format!("https://x/?{}", String::from_utf8_lossy(&request.body)));
    let form = form.unwrap();
    let get = |wanted: &str| form.query_pairs().find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned());
    if !request.field("content-type").unwrap_or_default().starts_with("application/x-www-form-urlencoded") {
        return errors(400, "invalid content type");
    }
    if get("client_id").as_deref() != Some(CLIENT) || get("client_secret").as_deref() != Some(SECRET) {
        return errors(403, "Failed to issue access token - Not Authorized");
    }
    let token = format!("bearer-{:032x}", rand::random::<u128>());
    state.tokens.insert(token.clone(), monotonic() + Duration::from_secs(state.lifetime));
    let body = json!({ "access_token": token, "token_type": "bearer", "expires_in": state.lifetime });
    Response::json(201, &body)
}

/// Refuses who has no token, or no right to streams.
fn check(state: &State, request: &Request) -> Result<(), Response> {
    let token = request.field("authorization").and_then(|field| field.strip_prefix("Bearer "));
    let until = token.and_then(|token| state.tokens.get(token));
    if until.is_none_or(|until| *until <= monotonic()) {
        return Err(errors(401, "access denied, invalid bearer token"));
    }
    if !state.has_scope {
        return Err(errors(403, "access denied, authorization failed"));
    }
    Ok(())
}

fn app_id(state: &mut State, request: &Request) -> Result<String, Response> {
    let app_id = request.query("appId").unwrap_or_default().to_owned();
    if app_id.is_empty() || app_id.len() > 32 || !app_id.chars().all(|c| c.is_ascii_alphanumeric()) {
        state.sins.push(format!("app id {app_id:?}"));
        return Err(errors(400, "invalid appId"));
    }
    Ok(app_id)
}

fn discover(state: &mut State, request: &Request) -> Response {
    let checked = check(state, request).and_then(|()| app_id(state, request));
    let app_id = match checked {
        Ok(app_id) => app_id,
        Err(response) => return response,
    };
    let is_open = state.open.iter().any(|((other, _), count)| *other == app_id && *count > 0);
    let is_held = state.held.get(&app_id).is_some_and(|until| *until > monotonic());
    let names: Vec<String> = state.partitions.keys().filter(|_| !is_open && !is_held).cloned().collect();
    let mut resources = Vec::new();
    for partition in names {
        let token = format!("session-{:032x}", rand::random::<u128>());
        let (now, life) = (monotonic(), Duration::from_secs(state.interval) + GRACE);
        let (until, token_until) = (now + life, now + state.token_life);
        let session = Session { partition: partition.clone(), app_id: app_id.clone(), until, token_until };
        state.sessions.insert(token.clone(), session);
        let (streams, root) = (&state.streams, &state.root);
        resources.push(json!({
            "dataFeedURL": format!("{streams}/sensors/entities/datafeed/v1/{partition}?appId={app_id}"),
            "sessionToken": { "token": token, "expiration": "2036-01-05T10:15:00.123456789Z" },
            "refreshActiveSessionURL": format!(
                "{root}/sensors/entities/datafeed-actions/v1/{partition}?action_name=refresh_active_stream_session&appId={app_id}"
            ),
            "refreshActiveSessionInterval": state.interval,
        }));
    }
    Response::json(
        200,
        &json!({ "meta": { "pagination": { "total": resources.len() } }, "errors": [], "resources": resources }),
    )
}

fn refresh(state: &mut State, request: &Request) -> Response {
    let checked = check(state, request).and_then(|()| app_id(state, request));
    let app_id = match checked {
        Ok(app_id) => app_id,
        Err(response) => return response,
    };
    let is_json = request.field("content-type").is_some_and(|field| field.starts_with("application/json"));
    if !is_json || request.query("action_name") != Some("refresh_active_stream_session") {
        state.sins.push("a refresh that is none".to_owned());
        return errors(400, "invalid action");
    }
    let partition = request.path.rsplit('/').next().unwrap().to_owned();
    let (now, life) = (monotonic(), Duration::from_secs(state.interval) + GRACE);
    let mut found = false;
    for session in state.sessions.values_mut() {
        if session.app_id == app_id && session.partition == partition && session.until > now {
            session.until = now + life;
            found = true;
        }
    }
    if !found {
        return errors(404, "no active session");
    }
    state.refreshes += 1;
    Response::json(200, &json!({ "meta": {}, "errors": [], "resources": [] }))
}

fn connect(state: &mut State, request: &Request) -> Result<Wanted, Response> {
    let app_id = app_id(state, request)?;
    let partition = request.path.rsplit('/').next().unwrap().to_owned();
    let token = request.field("authorization").and_then(|field| field.strip_prefix("Token ")).unwrap_or_default();
    let now = monotonic();
    let is_good = state.sessions.get(token).is_some_and(|session| {
        session.app_id == app_id && session.partition == partition && session.until > now && session.token_until > now
    });
    if !is_good {
        return Err(errors(401, "access denied, invalid session token"));
    }
    if state.open.get(&(app_id.clone(), partition.clone())).is_some_and(|count| *count > 0) {
        state.sins.push(format!("a second connection to partition {partition}"));
    }
    let from = match (request.query("offset"), request.query("whence")) {
        (Some(offset), None) => Some(offset.parse().map_err(|_| errors(400, "invalid offset"))?),
        (None, Some("2")) => None,
        (None, None) => Some(0),
        other => {
            state.sins.push(format!("offset and whence {other:?}"));
            return Err(errors(400, "invalid offset"));
        }
    };
    if request.field("accept") != Some("application/json") {
        state.sins.push("a stream of something else than JSON".to_owned());
    }
    let types = request.query("eventType").map(|list| list.split(',').map(str::to_owned).collect()).unwrap_or_default();
    Ok(Wanted { app_id, partition, session: token.to_owned(), from, types })
}
