//! What Duo answers when it refuses, in words.
//!
//! Facts: a refusal is `{"stat":"FAIL","code":…,"message":…,"message_detail":…}`; the first three digits of the code are the
//! HTTP status. Codes and messages: "Duo Admin API", Response Format, and Duo's help article 1338 ("error responses"). What
//! 40104 and 40105 mean is not confirmed: the message decides where it speaks of the time.

use serde::Deserialize;

use super::log::DuoLog;
use crate::source::pull::{Reply, Trouble};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    code: u32,
    message: String,
    message_detail: String,
}

/// Where the keys are.
const KEYS: &str = "in the Duo Admin Panel, Applications, your Admin API application";

/// Why there is no page. `skew`: by how many seconds the vendor's clock is ahead of ours, if that is much.
pub(super) fn trouble(reply: &Reply, log: DuoLog, host: &str, skew: Option<i64>) -> Trouble {
    let Some(body) = serde_json::from_slice::<Body>(&reply.body).ok().filter(|body| body.code != 0) else {
        return not_duo(reply, host);
    };
    let (code, name) = (body.code, log.name());
    match reply.code {
        429 => Trouble::passing(format!("Duo wants fewer requests ({code})"), reply.retry_after),
        408 | 500.. => Trouble::passing(format!("Duo is not well and answered with {code}"), reply.retry_after),
        401 => credentials(&body, host, skew),
        403 => Trouble::login(
            format!("the application may not read the {name} log ({code})"),
            format!(
                "{KEYS}, tick Grant read log and let the box's public address into Networks for API Access, then Save Changes{}",
                edition(log)
            ),
        ),
        404 => Trouble::login(
            format!("the account has no {name} log ({code})"),
            format!("check host; if it is right, take \"{name}\" out of logs{}", edition(log)),
        ),
        _ => Trouble::protocol(
            format!("Duo refused the question for the {name} log with {code}: {}", said(&body)),
            "it is asked anew from the last record that was had; if it stays, send the log to support",
        ),
    }
}

fn edition(log: DuoLog) -> &'static str {
    if log == DuoLog::TrustMonitor { "; Trust Monitor comes with the editions Advantage and Premier only" } else { "" }
}

fn credentials(body: &Body, host: &str, skew: Option<i64>) -> Trouble {
    let code = body.code;
    let said_lower = said(body).to_ascii_lowercase();
    let is_time = said_lower.contains("timestamp") || said_lower.contains(" date");
    match code {
        40_104 | 40_105 => clock(code, skew),
        _ if is_time => clock(code, skew),
        40_101 => Trouble::login(
            format!("the request came to Duo without its credentials ({code})"),
            "a proxy takes the field Authorization out; let it pass requests to host untouched",
        ),
        40_102 => Trouble::login(
            format!("Duo does not know the integration key at {host} ({code})"),
            format!(
                "{KEYS}, copy Integration key and API hostname anew: both belong to one application, of type Admin API"
            ),
        ),
        40_103 => Trouble::login(
            format!("the secret key is not the one of this integration key ({code})"),
            format!(
                "{KEYS}, copy Secret key into the file of secret_key_file; if it is right, check host, or write \
                 signature = \"v2\""
            ),
        ),
        _ => Trouble::login(
            format!("Duo refuses the credentials ({code}): {}", said(body)),
            format!("{KEYS}, copy Integration key, Secret key and API hostname anew"),
        ),
    }
}

/// The box's clock, by the refusal or by the vendor's.
fn clock(code: u32, skew: Option<i64>) -> Trouble {
    let by = skew.map(|ahead| format!(": {}", skewed(ahead))).unwrap_or_default();
    Trouble::login(format!("Duo finds the time of the request wrong ({code}){by}"), CLOCK)
}

/// What to do about the clock.
pub(super) const CLOCK: &str = "check the table [time] and that the box reaches its time servers";

/// A clock that is wrong.
pub(super) fn skewed(ahead: i64) -> String {
    let side = if ahead > 0 { "behind" } else { "ahead of" };
    format!("the box's clock is {} s {side} Duo's", ahead.unsigned_abs())
}

/// Somebody else answers, such as a proxy or the page of a network.
fn not_duo(reply: &Reply, host: &str) -> Trouble {
    match reply.code {
        408 | 429 | 500.. => {
            Trouble::passing(format!("{host} is not well and answered with {}", reply.code), reply.retry_after)
        }
        code => Trouble::protocol(
            format!("what answers at {host} is not the Admin API ({code})"),
            "check host, which is the API hostname of the application, and that no proxy answers in Duo's place",
        ),
    }
}

/// An answer that should be a page.
pub(super) fn odd(log: DuoLog, host: &str) -> Trouble {
    Trouble::protocol(
        format!("the answer of {host} for the {} log is no page of it", log.name()),
        "check host, and that no proxy answers in Duo's place; if it stays, send the log to support",
    )
}

/// The beginning of the vendor's own words; nothing of ours is in it but the request.
fn said(body: &Body) -> String {
    let all = format!("{} {}", body.message, body.message_detail);
    all.trim().chars().filter(|c| !c.is_control()).take(160).collect()
}
