//! What Secure Endpoint answers when it refuses, in words.
//!
//! Facts: the body of an error is `{"errors":[{"error_code":…,"description":…,"details":[…]}]}`; 401 for an unknown id or key,
//! which a wrong region gives too; 400 names parameters; 429 where the hour's requests are used up (Cisco, "Secure Endpoint API
//! documentation" v1).

use std::time::Duration;

use serde::Deserialize;

use crate::source::pull::{Reply, Trouble};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    errors: Vec<Inner>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Inner {
    description: String,
    details: Vec<serde_json::Value>,
}

/// The vendor's own words, cut: nothing of ours is in them but the request.
pub(super) fn text(reply: &Reply) -> String {
    let body: Body = serde_json::from_slice(&reply.body).unwrap_or_default();
    let mut words = Vec::new();
    for error in body.errors {
        words.push(error.description);
        words.extend(
            error.details.iter().map(|detail| detail.as_str().map_or_else(|| detail.to_string(), str::to_owned)),
        );
    }
    words.join(": ").chars().filter(|c| !c.is_control()).take(160).collect()
}

/// The limit is for an hour; more is another unit.
pub(super) fn at_most_an_hour(seconds: u64) -> Duration {
    Duration::from_secs(seconds.min(3_600))
}

/// An answer that is not good, in words.
pub(super) fn refused(reply: &Reply, host: &str) -> Trouble {
    match reply.code {
        401 => Trouble::login(
            format!("{host} does not know this client ID or API key"),
            "compare client_id and api_key_file with API Credentials in the Secure Endpoint console; a wrong region looks the \
             same: the console's address names it (console.amp.cisco.com is \"north_america\", console.eu.amp.cisco.com \
             \"europe\", console.apjc.amp.cisco.com \"asia_pacific\")",
        ),
        403 => Trouble::login(
            format!("{host} refuses the API credential ({})", text(reply)),
            "in the Secure Endpoint console, look at API Credentials: the credential must be enabled, with the scope Read & Write \
             for event streams, and this box's address allowed",
        ),
        404 => Trouble::login(
            format!("{host} has no Secure Endpoint API"),
            "check region, and api where it is a private cloud",
        ),
        429 => {
            Trouble::passing(format!("{host} wants fewer requests: those of this hour are used up"), reply.retry_after)
        }
        408 | 500.. => {
            Trouble::passing(format!("{host} is not well and answered with {}", reply.code), reply.retry_after)
        }
        code => Trouble::protocol(
            format!("{host} refused a request with {code}: {}", text(reply)),
            "check event_types and groups of this source; if they are right, send the log to support",
        ),
    }
}

/// What is said where no stream can be had, and polling goes on.
pub(super) fn read_only() -> (String, String) {
    (
        "the API key may not make an event stream, so events are polled".into(),
        "in the Secure Endpoint console, API Credentials, make a credential with the scope Read & Write; or set delivery = \
         \"poll\""
            .into(),
    )
}

/// As [`read_only`].
pub(super) fn too_many(names: &[String]) -> (String, String) {
    (
        format!("the organization has all the event streams it may have ({}), so events are polled", names.join(", ")),
        "delete one that nobody reads (DELETE /v1/event_streams/ID of the API); or set delivery = \"poll\"".into(),
    )
}

/// As [`read_only`]: the stream is there, and cannot be read.
pub(super) fn meanwhile(trouble: Trouble) -> (String, String) {
    (format!("{}; until the stream can be read, events are polled", trouble.what), trouble.todo)
}

/// Somebody else takes a part of the events.
pub(super) fn shared(consumers: u32) -> (String, String) {
    (
        format!("{consumers} programs read the event stream of this box, and share its events"),
        "end the others: each needs an event stream of its own. What they took is asked for once a day".into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vendors_words_are_cut_and_clean() {
        let reply = |code, body: &str| Reply {
            code,
            body: body.as_bytes().to_vec().into(),
            retry_after: None,
            fields: Vec::new(),
        };
        let bad = reply(
            400,
            r#"{"errors":[{"error_code":400,"description":"Bad\nRequest","details":["unpermitted: x",{"a":1}]}]}"#,
        );
        assert_eq!(text(&bad), "BadRequest: unpermitted: x: {\"a\":1}");
        assert_eq!(text(&reply(400, "<html>")), "");
        for code in [302, 400, 401, 403, 404, 408, 429, 500, 503] {
            let trouble = refused(&reply(code, ""), "api.amp.cisco.com");
            assert!(trouble.what.contains("api.amp.cisco.com") && !trouble.todo.is_empty());
        }
    }
}
