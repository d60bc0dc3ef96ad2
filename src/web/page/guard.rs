//! Who may ask what: the session in the cookie, the secret in forms, where a request comes from, what every answer forbids.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::timeout;

use super::account::{Role, Visitor};
use super::serve::Peer;
use super::view::{self, Frame};
use super::{Shared, account::AccountError};

/// With this prefix a browser takes it only over HTTPS, for this host alone, and from nobody but this host (RFC 6265bis,
/// 4.1.3.2).
const COOKIE: &str = "__Host-session";
/// What programs send in place of the hidden field of forms.
const CSRF: &str = "x-csrf-token";
/// Time for a request with its body, and its answer's beginning. The slowest answer is a refused login (5 s), behind others.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Time for a bundle to come; half of what a connection lives.
const UPLOAD_WITHIN: Duration = Duration::from_secs(1_800);
/// The largest body that we take: a password twice, and room.
pub(super) const LARGEST_BODY: usize = 64 << 10;

/// What is sent there begins a session.
const BEFORE: [&str; 4] = ["/claim", "/login", "/api/v1/claim", "/api/v1/session"];
/// What is sent there may take long.
const UPLOADS: [&str; 2] = ["/updates/upload", "/api/v1/updates/bundle"];
/// Nothing from elsewhere, nothing that is written into the page, no frames (Content Security Policy 3).
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Why a request gets no answer of its own: with the words that a person or a program is told.
#[derive(Debug)]
pub(super) struct Refusal {
    frame: Frame,
    is_api: bool,
    status: StatusCode,
    what: String,
    todo: String,
}

impl Refusal {
    pub(super) fn new(shared: &Shared, uri: &Uri, status: StatusCode, what: &str, todo: &str) -> Self {
        let (frame, is_api) = (shared.frame(None, view::Here::Elsewhere), is_api(uri));
        Self { frame, is_api, status, what: what.to_owned(), todo: todo.to_owned() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if self.is_api {
            return (self.status, Json(json!({ "error": { "what": self.what, "todo": self.todo } }))).into_response();
        }
        let page = view::error(&self.frame, self.status.as_u16(), &self.what, &self.todo);
        (self.status, Html(page)).into_response()
    }
}

/// Whether programs ask there.
fn is_api(uri: &Uri) -> bool {
    uri.path().starts_with("/api/")
}

/// The status for a program, where a form would come back.
pub(super) fn status_of(error: &AccountError) -> StatusCode {
    match error {
        AccountError::WrongLogin | AccountError::WrongCode | AccountError::WrongPassword => StatusCode::UNAUTHORIZED,
        AccountError::Locked(_) => StatusCode::TOO_MANY_REQUESTS,
        AccountError::BadPassword(_) | AccountError::NotTheSame | AccountError::BadName(_) => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        AccountError::NoAccount => StatusCode::NOT_FOUND,
        AccountError::NameTaken
        | AccountError::OwnAccount
        | AccountError::LastAdministrator
        | AccountError::TooMany
        | AccountError::Claimed => StatusCode::CONFLICT,
        AccountError::Busy => StatusCode::SERVICE_UNAVAILABLE,
        AccountError::Disk(_) | AccountError::Broken => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The name of the session in the cookie.
pub(super) fn token(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, token)| token)
}

/// The answer's field that begins a session, or ends it where there is none.
pub(super) fn cookie(token: Option<&str>) -> [(HeaderName, String); 1] {
    let attributes = "Path=/; Secure; HttpOnly; SameSite=Strict";
    let cookie = match token {
        Some(token) => format!("{COOKIE}={token}; {attributes}"),
        None => format!("{COOKIE}=; {attributes}; Max-Age=0"),
    };
    [(header::SET_COOKIE, cookie)]
}

/// Who asks: somebody with a session.
pub(super) struct Seen(pub(super) Visitor);

/// Who asks: an administrator.
pub(super) struct Administrator(pub(super) Visitor);

impl FromRequestParts<Arc<Shared>> for Seen {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Response> {
        // The streams that keep a page fresh come by themselves: nobody has to be there.
        let is_use = !parts.uri.path().ends_with("/events");
        let visitor = token(&parts.headers).and_then(|token| shared.accounts.visitor(token, is_use));
        if let Some(visitor) = visitor {
            return Ok(Self(visitor));
        }
        let is_claimed = shared.accounts.is_claimed();
        if is_api(&parts.uri) || parts.method != Method::GET {
            let todo = match (is_api(&parts.uri), is_claimed) {
                (true, true) => "POST name and password to /api/v1/session",
                (true, false) => "POST the claim code, a name and a password to /api/v1/claim",
                (false, true) => "log in at /login and do it again",
                (false, false) => "claim the box at /claim",
            };
            let what = if is_claimed { "you are not logged in" } else { "nobody has claimed this box" };
            return Err(Refusal::new(shared, &parts.uri, StatusCode::UNAUTHORIZED, what, todo).into_response());
        }
        Err(Redirect::to(if is_claimed { "/login" } else { "/claim" }).into_response())
    }
}

impl FromRequestParts<Arc<Shared>> for Administrator {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Response> {
        let Seen(visitor) = Seen::from_request_parts(parts, shared).await?;
        if visitor.role == Role::Administrator {
            return Ok(Self(visitor));
        }
        let (what, todo) = ("your account may look, and change nothing", "ask an administrator to do it");
        Err(Refusal::new(shared, &parts.uri, StatusCode::FORBIDDEN, what, todo).into_response())
    }
}

impl FromRequestParts<Arc<Shared>> for Peer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Response> {
        let peer = parts.extensions.get::<Self>().copied();
        peer.ok_or_else(|| {
            let (what, todo) = ("this request came over no connection of ours", "open the page at the box's address");
            Refusal::new(shared, &parts.uri, StatusCode::BAD_REQUEST, what, todo).into_response()
        })
    }
}

/// A part of the path, as text. What is no text names nothing.
pub(super) struct Named(pub(super) String);

impl FromRequestParts<Arc<Shared>> for Named {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Response> {
        let named = Path::<String>::from_request_parts(parts, shared).await;
        named.map(|Path(name)| Self(name)).map_err(|_| {
            let (what, todo) = ("there is nothing of this name", "begin at the overview");
            Refusal::new(shared, &parts.uri, StatusCode::NOT_FOUND, what, todo).into_response()
        })
    }
}

/// The query's pairs, the first of each name; what is no query is none.
pub(super) struct Asked(Vec<(String, String)>);

impl Asked {
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    }
}

impl FromRequestParts<Arc<Shared>> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Shared>) -> Result<Self, Infallible> {
        Ok(Self(serde_urlencoded::from_str(parts.uri.query().unwrap_or_default()).unwrap_or_default()))
    }
}

/// A request without a body that carries the session's secret in its header.
pub(super) struct Vouched;

impl FromRequestParts<Arc<Shared>> for Vouched {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Response> {
        vouch(shared, &parts.uri, &parts.headers, header_text(&parts.headers, CSRF))
            .map_err(|why| why.into_response())?;
        Ok(Self)
    }
}

/// A form with a file carries the session's secret in its first part.
///
/// # Errors
/// When it is another one.
pub(super) fn vouched(shared: &Shared, uri: &Uri, visitor: &Visitor, sent: &str) -> Result<(), Box<Refusal>> {
    if visitor.vouches(sent) { Ok(()) } else { Err(Box::new(stranger(shared, uri))) }
}

/// Where there is a session, a request must carry what only our pages know.
fn vouch(shared: &Shared, uri: &Uri, headers: &HeaderMap, sent: Option<&str>) -> Result<(), Box<Refusal>> {
    let visitor = token(headers).and_then(|token| shared.accounts.visitor(token, true));
    if visitor.is_none_or(|visitor| sent.is_some_and(|sent| visitor.vouches(sent))) {
        return Ok(());
    }
    Err(Box::new(stranger(shared, uri)))
}

fn stranger(shared: &Shared, uri: &Uri) -> Refusal {
    let todo = if is_api(uri) {
        "send what GET /api/v1/session gives as X-CSRF-Token"
    } else {
        "open the page anew and do it again"
    };
    let what = "this request does not come from a page of this box";
    Refusal::new(shared, uri, StatusCode::FORBIDDEN, what, todo)
}

/// What was sent: a form of our pages, or JSON where programs ask. Where there is a session, it carries the secret that only our
/// pages know.
pub(super) struct Sent<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<Shared>> for Sent<T> {
    type Rejection = Response;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Response> {
        let (uri, headers) = (request.uri().clone(), request.headers().clone());
        let refuse = |status, what: &str, todo: &str| Refusal::new(shared, &uri, status, what, todo).into_response();
        let api = is_api(&uri);
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let wanted = if api { "application/json" } else { "application/x-www-form-urlencoded" };
        if kind.split(';').next().is_none_or(|kind| !kind.trim().eq_ignore_ascii_case(wanted)) {
            let what = format!("the body of this request is not {wanted}");
            return Err(refuse(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                &what,
                "send it as that, and say so in Content-Type",
            ));
        }
        let body = Bytes::from_request(request, shared).await.map_err(|error| {
            refuse(error.into_response().status(), "the body of this request cannot be read", "send at most 64 KiB")
        })?;
        let sent = if api { header_text(&headers, CSRF).map(str::to_owned) } else { field(&body, "csrf") };
        // Who logs in or claims has no secret yet, and what comes from elsewhere was refused before.
        if !BEFORE.contains(&uri.path()) {
            vouch(shared, &uri, &headers, sent.as_deref()).map_err(|why| why.into_response())?;
        }
        let read = if api {
            serde_json::from_slice(&body).map_err(|error| error.to_string())
        } else {
            serde_urlencoded::from_bytes(&body).map_err(|error| error.to_string())
        };
        read.map(Self).map_err(|error| {
            let what = format!("the body of this request is not what is asked for here: {error}");
            refuse(StatusCode::BAD_REQUEST, &what, "see /api/v1/openapi.json")
        })
    }
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// One field of a form.
fn field(body: &[u8], name: &str) -> Option<String> {
    let fields: Vec<(String, String)> = serde_urlencoded::from_bytes(body).ok()?;
    fields.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// Around every request: what changes something must come from our own pages; what takes too long ends; every answer says what
/// a browser must not do with it.
pub(super) async fn watch(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let uri = request.uri().clone();
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    let mut answer = if changes && !is_from_here(request.headers()) {
        let what = "this request comes from a page of somebody else";
        Refusal::new(&shared, &uri, StatusCode::FORBIDDEN, what, "open this box's own page").into_response()
    } else {
        let within = if UPLOADS.contains(&uri.path()) { UPLOAD_WITHIN } else { ANSWER_WITHIN };
        timeout(within, next.run(request)).await.unwrap_or_else(|_| {
            let what = "the request took too long";
            Refusal::new(&shared, &uri, StatusCode::REQUEST_TIMEOUT, what, "try again").into_response()
        })
    };
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // With a certificate that a browser does not know, this would take the way around its warning away.
    if shared.config.cert.is_some() {
        let value = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, value);
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    answer
}

/// Whether the browser says that one of our own pages asks; what is no browser says nothing (Fetch, sections 3.1 and 3.4 of
/// Fetch Metadata).
fn is_from_here(headers: &HeaderMap) -> bool {
    let site = header_text(headers, "sec-fetch-site").is_none_or(|site| matches!(site, "same-origin" | "none"));
    let origin = headers.get(header::ORIGIN).is_none_or(|origin| {
        let host = header_text(headers, "host");
        let origin = origin.to_str().ok().and_then(|origin| origin.strip_prefix("https://"));
        origin.is_some() && origin == host
    });
    site && origin
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        pairs.collect()
    }

    #[test]
    fn only_our_own_pages_and_programs_may_change_something() {
        for good in [
            headers(&[]),
            headers(&[("host", "edge:8443"), ("origin", "https://edge:8443"), ("sec-fetch-site", "same-origin")]),
            headers(&[("host", "edge"), ("sec-fetch-site", "none")]),
        ] {
            assert!(is_from_here(&good), "{good:?}");
        }
        for bad in [
            headers(&[("host", "edge"), ("origin", "https://evil.example")]),
            headers(&[("host", "edge"), ("origin", "http://edge")]),
            headers(&[("host", "edge"), ("origin", "null")]),
            headers(&[("host", "edge"), ("origin", "https://edge:444")]),
            headers(&[("origin", "https://edge")]),
            headers(&[("host", "edge"), ("sec-fetch-site", "cross-site")]),
            headers(&[("host", "edge"), ("sec-fetch-site", "same-site")]),
        ] {
            assert!(!is_from_here(&bad), "{bad:?}");
        }
    }

    #[test]
    fn the_session_is_found_among_other_cookies_and_by_its_whole_name() {
        assert_eq!(token(&headers(&[("cookie", "a=b; __Host-session=xyz; c=d")])), Some("xyz"));
        for other in ["session=xyz", "x__Host-session=xyz", "__Host-sessions=xyz", "", "__Host-session"] {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_str(other).unwrap());
            assert_eq!(token(&headers), None, "{other}");
        }
    }
}
