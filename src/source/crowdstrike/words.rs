//! What Falcon refuses, in words, as its console names things.
//!
//! Facts: refusals are `{"meta":…,"errors":[{"code":…,"message":…}]}`; a wrong client, and a right one in a wrong cloud, get 403 "Failed to
//! issue access token" (elastic/kibana, pull request 235139); `X-Ratelimit-Retryafter` is in seconds since 1970 (unconfirmed); without it
//! 60 s are kept (elastic/beats). A vendor's text is not repeated: it may hold what was sent.

use std::path::Path;
use std::time::Duration;

use super::cloud::FalconCloud;
use crate::net::http::Url;
use crate::net::http::header::{HeaderName, LOCATION};
use crate::source::pull::{Reply, Trouble, Way};

/// How long nobody asks after a 429 that names no time.
const BUSY: Duration = Duration::from_secs(60);
/// Longest wait that we let a server prescribe.
const LONGEST: Duration = Duration::from_secs(3_600);

const CONSOLE: &str = "in the Falcon console, Support and resources > API clients and keys";

/// Who asked.
pub(super) struct Place<'a> {
    pub(super) cloud: FalconCloud,
    pub(super) file: &'a Path,
    pub(super) way: &'a Way,
}

/// The fields of an answer's head that are needed, in the order that is expected here.
pub(super) fn fields() -> [HeaderName; 3] {
    [HeaderName::from_static("x-cs-region"), LOCATION, HeaderName::from_static("x-ratelimit-retryafter")]
}

fn field(reply: &Reply, at: usize) -> Option<&str> {
    reply.fields.get(at)?.as_deref()
}

/// The client is at home in another cloud than the settings say.
pub(super) fn other_cloud(reply: &Reply, place: &Place<'_>) -> Option<Trouble> {
    let named = field(reply, 0).and_then(FalconCloud::of_region);
    let moved = || Url::parse(field(reply, 1)?).ok()?.host_str().and_then(FalconCloud::of_host);
    let is_moved = (300..400).contains(&reply.code);
    let cloud = named.or_else(|| moved().filter(|_| is_moved)).filter(|cloud| *cloud != place.cloud)?.as_str();
    let ours = place.cloud.as_str();
    Some(Trouble::login(
        format!("the API client belongs to the cloud {cloud}, not {ours}"),
        format!("set cloud = \"{cloud}\" in this source, and take api out"),
    ))
}

/// The answer of the token endpoint that is no token.
pub(super) fn no_token(reply: &Reply, place: &Place<'_>) -> Trouble {
    if let Some(trouble) = passing(reply, place.way) {
        return trouble;
    }
    let (code, cloud, file) = (reply.code, place.cloud.as_str(), place.file.display());
    match code {
        400 | 401 | 403 => Trouble::login(
            format!(
                "Falcon refuses the API client ({code}): wrong id or secret, or a client of another cloud than {cloud}"
            ),
            format!(
                "{CONSOLE}, check the client's id, reset its secret and write it into {file}; check that cloud fits the \
                 console's address, and that the client's allowed addresses include this site's"
            ),
        ),
        _ => Trouble::protocol(
            format!("the token endpoint answered with {code}"),
            "check cloud and api of this source, and that no proxy answers in Falcon's place",
        ),
    }
}

/// The same secret was refused several times.
pub(super) fn stopped(trouble: &Trouble) -> Trouble {
    let what = format!("{}; no more logins are tried, so that the client is not locked out", trouble.what);
    let todo = format!("{}; a new secret is tried at once, the same one after an hour", trouble.todo);
    Trouble { what, todo, ..trouble.clone() }
}

/// Any other refusal of the API.
pub(super) fn refused(reply: &Reply, place: &Place<'_>) -> Trouble {
    if let Some(trouble) = other_cloud(reply, place).or_else(|| passing(reply, place.way)) {
        return trouble;
    }
    match reply.code {
        401 => Trouble::login(
            "Falcon does not take the token that it gave",
            format!("{CONSOLE}, check that the client is still there and enabled; check cloud and api of this source"),
        ),
        403 => Trouble::login(
            "the API client lacks the scope Event streams: Read",
            format!("{CONSOLE}, edit the client and tick Read at Event streams; it takes effect with the next token"),
        ),
        code => Trouble::protocol(
            format!("Falcon refused a request with {code}"),
            "check cloud and api of this source; if they are right, send the log to support",
        ),
    }
}

/// Too many requests, or not well.
fn passing(reply: &Reply, way: &Way) -> Option<Trouble> {
    if reply.code == 429 {
        let what = "Falcon wants fewer requests (429)".to_owned();
        let at = field(reply, 2).and_then(|text| text.trim().parse::<u64>().ok());
        let now = way.now().micros() / 1_000_000;
        let wait = at.map(|at| Duration::from_secs(at.saturating_sub(now).max(1))).or(reply.retry_after);
        return Some(Trouble::passing(what, Some(wait.unwrap_or(BUSY).min(LONGEST))));
    }
    let is_passing = reply.code >= 500 || reply.code == 408;
    is_passing
        .then(|| Trouble::passing(format!("Falcon is not well and answered with {}", reply.code), reply.retry_after))
}

/// The discovery gives no streams for now. `is_long`: for longer than a connection that nobody closed is kept.
pub(super) fn in_use(app_id: &str, is_long: bool, wait: Duration) -> Trouble {
    let (what, todo) = if is_long {
        (
            format!("Falcon gives no streams to the app id {app_id}: another program has them"),
            "give this box an app_id of its own; if no other program uses it, and the tenant has Event Streams, ask CrowdStrike's support",
        )
    } else {
        (
            format!("Falcon gives no streams to the app id {app_id} yet: its last connection is not seen as closed"),
            "wait up to ten minutes; if another program uses this app id, give this box one of its own (app_id)",
        )
    };
    Trouble { todo: todo.to_owned(), ..Trouble::passing(what, Some(wait)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::source::pull::{Route, Wait};
    use crate::status::Cause;

    fn reply(code: u16, fields: [Option<&str>; 3]) -> Reply {
        let fields = fields.into_iter().map(|field| field.map(str::to_owned)).collect();
        Reply { code, body: "s3cret".into(), retry_after: None, fields }
    }

    #[test]
    fn refusals_say_what_to_do() {
        let tls = crate::net::tls::ClientConfig::default();
        let span = crate::quantity::Span::secs(1);
        let (backoff, none) = ((span, span), None);
        let route = Route {
            connect_timeout: span,
            backoff,
            proxy: none,
            proxy_user: None,
            proxy_password_file: None,
            tls: &tls,
        };
        let clock = Clock::Fixed(std::sync::Arc::new(1_700_000_000_000_000.into()));
        let way = Way::new(&route, clock);
        let place = Place { cloud: FalconCloud::Us1, file: Path::new("/secret"), way: &way };
        let none = [None; 3];
        assert!(no_token(&reply(403, none), &place).todo.contains("/secret"));
        assert!(refused(&reply(403, none), &place).what.contains("Event streams: Read"));
        let moved = reply(308, [None, Some("https://api.eu-1.crowdstrike.com/oauth2/token"), None]);
        assert!(other_cloud(&moved, &place).unwrap().todo.contains("cloud = \"eu-1\""));
        assert!(refused(&reply(200, [Some("us-2"), None, None]), &place).what.contains("us-2"));
        assert_eq!(other_cloud(&reply(201, [Some("us-1"), None, None]), &place), None);
        let wait = |fields| no_token(&reply(429, fields), &place).wait;
        assert_eq!(wait(none), Wait::For(BUSY));
        assert_eq!(wait([None, None, Some("1700000090")]), Wait::For(Duration::from_secs(90)));
        assert_eq!(refused(&reply(503, none), &place).wait, Wait::Backoff);
        assert_eq!(refused(&reply(418, none), &place).cause, Cause::Protocol);
        assert_ne!(in_use("A", true, BUSY).what, in_use("A", false, BUSY).what);
    }
}
