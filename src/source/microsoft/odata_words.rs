//! What Graph and Defender answer when they refuse, in words.
//!
//! Facts: the error body is `{"error":{"code":…,"message":…}}`; 403 names the missing roles in its message on both; a tenant
//! without a premium licence gets 403 with a code about it from Graph's sign-ins; 429 says in the body which quota ran out
//! (defender-docs, advanced hunting).

use serde::Deserialize;

use super::session::{Api, permission};
use crate::source::pull::{Reply, Trouble};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    error: Inner,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Inner {
    code: String,
    message: String,
}

/// Permissions that a message may name; the first found is the one that is missing.
const PERMISSIONS: [&str; 10] = [
    "AdvancedQuery.Read.All",
    "Alert.Read.All",
    "Machine.Read.All",
    "AuditLog.Read.All",
    "Directory.Read.All",
    "SecurityAlert.Read.All",
    "SecurityIncident.Read.All",
    "ServiceHealth.Read.All",
    "ServiceMessage.Read.All",
    "ThreatHunting.Read.All",
];

pub(super) fn trouble(reply: &Reply, api: &Api) -> Trouble {
    let Body { error: Inner { code, message } } = serde_json::from_slice(&reply.body).unwrap_or_default();
    let host = api.root.host_str().unwrap_or_default();
    let lower = message.to_ascii_lowercase();
    match reply.code {
        429 => Trouble::passing(format!("{host} wants fewer requests ({})", quota(&lower)), reply.retry_after),
        408 | 500.. => {
            Trouble::passing(format!("{host} is not well and answered with {}", reply.code), reply.retry_after)
        }
        401 => Trouble::login(
            format!("{host} does not take the token"),
            "check api, cloud and tenants of this source: the token is for another API or cloud",
        ),
        403 if code.contains("NonPremium") || lower.contains("premium license") => Trouble::login(
            "the tenant has no licence for this feed".to_owned(),
            "sign-ins need Entra ID P1 or P2; take the feed out of feeds otherwise",
        ),
        403 if lower.contains("no active licen") || lower.contains("license") => Trouble::login(
            format!("the tenant has no active licence at {host}"),
            "check cloud and api (government tenants have their own hosts), and the tenant's licences",
        ),
        403 => match PERMISSIONS.iter().find(|name| message.contains(*name)) {
            Some(name) => permission(name),
            None => Trouble::login(
                format!("{host} refuses the app ({code})"),
                "check the app's application permissions in Entra, and that Grant admin consent was pressed",
            ),
        },
        code => Trouble::protocol(
            format!("{host} refused a request with {code}: {}", short(&message)),
            "if it stays, send the log to support",
        ),
    }
}

fn quota(message: &str) -> &'static str {
    if message.contains("cpu") { "the tenant's CPU quota is used up" } else { "too many requests" }
}

/// The beginning of a vendor's message; nothing of ours is in it but the request.
pub(super) fn short(message: &str) -> String {
    message.chars().filter(|c| !c.is_control()).take(160).collect()
}
