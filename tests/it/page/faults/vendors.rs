//! Cloud vendors that refuse, are busy, or are something else.

use super::super::SETTINGS;
use super::{Faces, SOURCE, Table};
use crate::peers::duo::{Duo, refusal};
use crate::peers::https::Response;
use crate::peers::s3::error;
use serde_json::json;

fn entra(code: u64) -> Response {
    let body =
        json!({ "error": "invalid_client", "error_description": format!("AADSTS{code}: x"), "error_codes": [code] });
    Response::json(401, &body)
}

/// Vendors that refuse, are busy, or are something else.
fn vendors(table: &mut Table) {
    table.duo(refusal(2, 401, "x", None), "does not know the integration key", "copy Integration key");
    table.duo(refusal(3, 401, "x", None), "the secret key is not the one", "copy Secret key");
    table.duo(refusal(5, 401, "x", None), "finds the time of the request wrong", "time servers");
    table.duo(refusal(1, 403, "x", None), "may not read the authentication log", "tick Grant read log");
    table.duo(refusal(1, 429, "x", None), "wants fewer requests", "by itself");
    table.duo(Response::text(404, "<html>"), "is not the Admin API", "check host");
    table.duo(Response::text(503, "<html>"), "is not well and answered with 503", "by itself");
    table.duo(Response::text(200, "<html>"), "is no page of it", "no proxy answers");
    table.office365("oauth2", entra(7_000_215), "the client secret is wrong", "not its Secret ID");
    table.office365("oauth2", entra(7_000_222), "the client secret has expired", "make a new one in Entra");
    table.office365("oauth2", entra(65_001), "the administrator has not consented", "Grant admin consent");
    table.office365("oauth2", entra(90_002), "there is no such tenant", "cloud or login");
    table.office365("oauth2", entra(53_003), "a policy of the tenant blocks the app", "Conditional Access");
    let subscriptions = "/activity/feed/subscriptions";
    let missing = Response::text(401, r#"{"error":{"code":"AF10001","message":"x"}}"#);
    table.office365(subscriptions, missing, "lacks the permission ActivityFeed.Read", "Grant admin consent");
    let off = Response::text(400, r#"{"error":{"code":"","message":"Tenant x does not exist."}}"#);
    table.office365(subscriptions, off, "auditing is not switched on", "60");
    table.umbrella(error(403, "InvalidAccessKeyId", ""), "does not know this access key", "Log Management");
    table.umbrella(
        error(403, "SignatureDoesNotMatch", ""),
        "the secret access key does not belong",
        "secret_access_key_file",
    );
    table.umbrella(error(403, "AccessDenied", ""), "refuses the access key for this prefix", "check prefix");
    table.umbrella(error(404, "NoSuchBucket", ""), "there is no bucket", "region and endpoint");
    table.umbrella(error(301, "PermanentRedirect", ""), "is in another region", "region of this source");
    table.umbrella(error(503, "SlowDown", ""), "wants fewer requests", "by itself");
    table.umbrella(Response::text(407, "<html>"), "refused a request with 407", "the proxy");
    table.crowdstrike(429, "wants fewer requests", "");
    table.crowdstrike(403, "lacks the scope", "Event streams");
    table.crowdstrike(401, "does not take the token", "");
    table.crowdstrike(503, "is not well and answered with 503", "by itself");
    // A vendor whose clock is an hour ahead, which is the box's being behind.
    let ahead = Duo::start();
    ahead.state().ahead = 3_600;
    let keys = ahead.settings("logs = [\"authentication\"]\nbackfill = \"1h\"");
    table.source("duo", &keys, "s behind the vendor's", "time servers");
    table.duos.push(ahead);
}

#[test]
fn what_vendors_refuse_is_told_on_every_face() {
    let mut table = Table::default();
    vendors(&mut table);
    let Some(faces) = Faces::of(&format!("{SETTINGS}{}", table.settings)) else { return };
    faces.tell(Some(faces.started()), &table.rows, SOURCE);
    faces.edge.stop();
}
