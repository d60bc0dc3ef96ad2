//! What goes wrong at the vendor → what the box says. And whatever goes wrong, no secret is said.

use std::collections::BTreeSet;

use sapphire_edge::status::{Component, Line};
use serde_json::json;

use super::{arrived, edge, settings};
use crate::peers::appliance::{Appliance, program_at};
use crate::peers::https::Response;
use crate::peers::microsoft::{Microsoft, SECRET, now, record};
use crate::peers::proxy::Proxy;

const ONE: &str = "content_types = [\"Audit.General\"]\nbackfill = \"1h\"";

fn entra(code: u64, error: &str) -> Response {
    Response::json(
        401,
        &json!({ "error": error, "error_description": format!("AADSTS{code}: x {SECRET}"), "error_codes": [code] }),
    )
}

fn management(status: u16, text: &str) -> Response {
    Response::text(status, text)
}

fn said(line: &Line) -> String {
    line.health.fault().map(|fault| format!("{}; {}", fault.what, fault.todo)).unwrap_or_default()
}

/// Looks for the secret, and for tokens, in everything that people can see.
fn no_secret_is_said(double: &Microsoft, edge: &Appliance) {
    let status = serde_json::to_string(&edge.status().unwrap()).unwrap();
    let file = std::fs::read_to_string(edge.folder().join("events.ndjson")).unwrap_or_default();
    let (log, tokens) = (edge.all_lines(), double.state().tokens.keys().cloned().collect::<Vec<_>>());
    for secret in tokens.iter().map(String::as_str).chain([SECRET]) {
        for (place, text) in [("status", &status), ("log", &log), ("file", &file)] {
            assert!(!text.contains(secret), "a secret is in the {place}");
        }
    }
}

/// The box says so while the fault lasts, and goes on by itself afterwards.
fn says(path: &str, response: Response, what: &str, todo: &str) {
    let double = Microsoft::start();
    let records = [record("one", now())];
    double.content("Audit.General", "a", now() - 300, &records);
    double.fault(path, usize::MAX, response);
    let edge = edge(&double, "office365", ONE);
    let line = edge.line(Component::Source, "office365", |line| said(line).contains(what));
    assert!(said(&line).contains(todo), "{}", said(&line));
    assert_eq!(line.health.word(), "failed");
    no_secret_is_said(&double, &edge);
    double.state().faults.clear();
    arrived(&edge, &BTreeSet::from(records));
    edge.line(Component::Source, "office365", |line| line.health.word() == "healthy");
    no_secret_is_said(&double, &edge);
    edge.stop();
}

#[test]
fn faults_of_entra() {
    for (code, what, todo) in [
        (7_000_215, "the client secret is wrong (AADSTS7000215)", "not its Secret ID"),
        (7_000_222, "the client secret has expired (AADSTS7000222)", "make a new one in Entra"),
        (700_016, "the tenant does not know this app", "check client_id"),
        (65_001, "the administrator has not consented", "Grant admin consent"),
        (90_002, "there is no such tenant in this cloud", "cloud or login"),
        (700_024, "finds the signature's time wrong", "time servers"),
        (7_000_112, "the app is disabled", "Enterprise applications"),
        (53_003, "a policy of the tenant blocks the app", "Conditional Access"),
        (123_456, "Entra refused the app: invalid_client (AADSTS123456)", "sign-in log"),
    ] {
        says("oauth2", entra(code, "invalid_client"), what, todo);
    }
    says("oauth2", Response::text(502, "<html>bad gateway</html>"), "Entra is busy and answered with 502", "by itself");
    says(
        "oauth2",
        Response::text(407, "<html>proxy</html>"),
        "the token endpoint answered with 407",
        "no proxy answers",
    );
}

#[test]
fn faults_of_the_management_api() {
    for (response, what, todo) in [
        (
            management(401, r#"{"error":{"code":"AF10001","message":"x"}}"#),
            "lacks the permission ActivityFeed.Read",
            "Grant admin consent",
        ),
        (management(403, "{'error':{'code':'AF429','message':'Too many requests'}}"), "(AF429)", "by itself"),
        (
            management(400, r#"{"error":{"code":"AF20011","message":"x"}}"#),
            "does not know the tenant",
            "Purview portal",
        ),
        (
            management(400, r#"{"error":{"code":"","message":"Tenant x does not exist."}}"#),
            "auditing is not switched on",
            "60",
        ),
        (
            management(400, r#"{"error":{"code":"AF20023","message":"x"}}"#),
            "disabled the subscription",
            "administrator",
        ),
        (management(503, "<html>front door</html>"), "answered with 503", "by itself"),
        (management(200, "<html>a proxy's page</html>"), "is no list", "check api"),
        (management(401, ""), "does not take the token", "cloud and tenants"),
        (management(302, "").with("Location", "https://evil.example.net/"), "refused a request with 302", "support"),
    ] {
        says("/activity/feed/subscriptions", response, what, todo);
    }
}

#[test]
fn faults_of_graph_and_defender() {
    let double = Microsoft::start();
    let license =
        json!({ "error": { "code": "Authentication_RequestFromNonPremiumTenantOrB2CTenant", "message": "x" } });
    double.fault("signIns", usize::MAX, Response::json(403, &license));
    double.fault(
        "advancedqueries",
        usize::MAX,
        Response::json(400, &json!({ "error": { "code": "BadRequest", "message": "Syntax" } })),
    );
    double.fault("api/alerts", usize::MAX, Response::text(429, "{}").with("Retry-After", "1"));
    double.state().roles.retain(|role| role != "Machine.Read.All");
    let query = "queries = { odd = \"X | where {window}\" }";
    let edge = Appliance::start(&settings(&[
        ("graph", double.settings("feeds = [\"sign_ins\", \"alerts\"]\nbackfill = \"1h\"")),
        ("defender", double.settings(&format!("{query}\nbackfill = \"1h\""))),
    ]));
    let line = edge.line(Component::Source, "graph", |line| said(line).contains("no licence"));
    assert_eq!(line.health.word(), "degraded", "alerts go on");
    edge.line(Component::Source, "defender", |line| {
        said(line).contains("wants fewer requests") || said(line).contains("Machine")
    });
    let lines = [
        "lacks the permission Machine.Read.All",
        "Advanced hunting, and mend it",
        "wants fewer requests (too many requests)",
    ];
    for part in lines {
        edge.log_line(&[part]);
    }
    no_secret_is_said(&double, &edge);
    edge.stop();
}

#[test]
fn a_link_to_another_host_gets_no_token_and_a_broken_content_holds_up_nobody() {
    let double = Microsoft::start();
    let (good, bad) = (record("good", now()), record("bad", now()));
    double.content("Audit.General", "a-bad", now() - 400, std::slice::from_ref(&bad));
    double.content("Audit.General", "b-good", now() - 300, std::slice::from_ref(&good));
    double.fault("audit/a-bad", 4, Response::text(404, r#"{"error":{"code":"AF20050","message":"x"}}"#));
    let edge = edge(&double, "office365", ONE);
    arrived(&edge, &BTreeSet::from([good.clone(), bad.clone()]));
    edge.log_line(&["passed over for now"]);
    double.state().contents.clear();
    let elsewhere = json!([{
        "contentType": "Audit.General", "contentId": "x", "contentUri": "https://evil.example.net/x",
        "contentCreated": "2026-01-05T10:15:00.123Z", "contentExpiration": "2036-01-12T10:15:00.123Z",
    }]);
    double.fault("subscriptions/content", 1, Response::json(200, &elsewhere));
    edge.log_line(&["another host, evil.example.net, which gets no token"]);
    edge.stop();
}

#[test]
fn a_clock_that_is_wrong_is_said_and_loses_nothing() {
    let double = Microsoft::start();
    let records = [record("one", now())];
    double.content("Audit.General", "a", now() - 300, &records);
    let Some(command) = program_at("-2d") else { return };
    let text = settings(&[(
        "office365",
        double.settings(&format!("{ONE}\npoll_interval = \"1s\"").replace("\npoll_interval = \"1s\"", "")),
    )]);
    let edge = Appliance::start_with(&text, command, |_| {});
    arrived(&edge, &BTreeSet::from(records));
    let line = edge.line(Component::Source, "office365", |line| said(line).contains("clock"));
    assert!(said(&line).contains("behind the vendor's"), "{}", said(&line));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_is_used_and_what_stands_in_the_way_is_said() {
    let double = Microsoft::start();
    let records = [record("one", now())];
    double.content("Audit.General", "a", now() - 300, &records);
    let proxy = Proxy::start("proxy-authorization: Basic dXNlcjpwYXNzd29yZA==").await;
    let password = double.authority.folder().join("password");
    std::fs::write(&password, "wrong").unwrap();
    let more =
        format!("{ONE}\nproxy = \"{}\"\nproxy_user = \"user\"\nproxy_password_file = {password:?}", proxy.address());
    let through = edge(&double, "office365", &more);
    let line = through.line(Component::Source, "office365", |line| line.health.word() == "failed");
    assert!(said(&line).contains("check the proxy, its user and its password"), "{}", said(&line));
    std::fs::write(&password, "password").unwrap();
    arrived(&through, &BTreeSet::from(records));
    no_secret_is_said(&double, &through);
    through.stop();

    let unknown = double.settings(ONE).replace(&double.server.url(), "https://127.0.0.1:1");
    let unreachable = Appliance::start(&settings(&[("office365", unknown)]));
    let line = unreachable.line(Component::Source, "office365", |line| line.health.word() == "failed");
    assert!(said(&line).contains("127.0.0.1:1"), "{}", said(&line));
    let ca = format!("ca = {:?}", double.authority.ca());
    let intercepted = double.settings(ONE).replace(&ca, "");
    let intercepted = Appliance::start(&settings(&[("office365", intercepted)]));
    let line = intercepted.line(Component::Source, "office365", |line| line.health.word() == "failed");
    assert!(said(&line).contains("tls.ca"), "{}", said(&line));
}
