//! What goes wrong at the vendor → what the box says. And whatever goes wrong, no secret is said.

use std::collections::BTreeSet;

use sapphire_edge::clock::monotonic;
use sapphire_edge::status::{Component, Line};
use serde_json::json;

use super::{all, arrived, edge, settings};
use crate::peers::appliance::{Appliance, program_at};
use crate::peers::crowdstrike::{Falcon, SECRET};
use crate::peers::https::Response;
use crate::peers::proxy::Proxy;

const AUDIT: &str = "AuthActivityAuditEvent";

fn said(line: &Line) -> String {
    line.health.fault().map(|fault| format!("{}; {}", fault.what, fault.todo)).unwrap_or_default()
}

/// Looks for the secret and for all tokens in everything that people can see.
fn no_secret_is_said(double: &Falcon, edge: &Appliance) {
    let status = serde_json::to_string(&edge.status().unwrap()).unwrap();
    let file = std::fs::read_to_string(edge.folder().join("events.ndjson")).unwrap_or_default();
    let log = edge.all_lines();
    let secrets: Vec<String> = {
        let state = double.state();
        let tokens = state.tokens.keys().chain(state.sessions.keys()).cloned();
        tokens.chain([SECRET.to_owned()]).collect()
    };
    for secret in secrets {
        for (place, text) in [("status", &status), ("log", &log), ("file", &file)] {
            assert!(!text.contains(&secret), "a secret is in the {place}");
        }
    }
}

#[test]
fn faults_are_said_in_words_and_pass() {
    let error = |code: u16, text: &str| {
        Response::json(code, &json!({ "errors": [{ "code": code, "message": format!("{text} {SECRET}") }] }))
    };
    let double = Falcon::start(&["0"]);
    double.event("0", AUDIT);
    let edge = edge(&double, "");
    arrived(&edge, &all(&double));
    for (path, response, words) in [
        (
            "datafeed/v2",
            error(503, "unavailable"),
            "Falcon is not well and answered with 503; it is tried again by itself",
        ),
        ("datafeed/v2", error(429, "slow").with("Retry-After", "1"), "Falcon wants fewer requests (429)"),
        ("datafeed/v2", error(418, "tea"), "Falcon refused a request with 418"),
        ("datafeed/v2", Response::text(200, ""), "came empty, which happens"),
        (
            "datafeed/v2",
            Response::text(200, "{\"meta\":{}}"),
            "set cloud to the one in the address of your Falcon console",
        ),
        ("datafeed/v2", error(403, "denied"), "lacks the scope Event streams: Read"),
        ("datafeed/v2", error(401, "denied"), "does not take the token that it gave"),
        (
            "datafeed/v2",
            Response::text(302, "").with("Location", "https://evil.example.net/"),
            "refused a request with 302",
        ),
    ] {
        double.fault(path, usize::MAX, response);
        // The session ends, and the next one meets the fault.
        for session in double.state().sessions.values_mut() {
            session.until = monotonic();
        }
        edge.line(Component::Source, "crowdstrike", |line| said(line).contains(words));
        no_secret_is_said(&double, &edge);
        double.no_faults();
        double.event("0", AUDIT);
        arrived(&edge, &all(&double));
        edge.line(Component::Source, "crowdstrike", |line| line.health.word() == "healthy");
    }
    no_secret_is_said(&double, &edge);
    edge.stop();
}

#[test]
fn a_login_that_is_refused_is_not_tried_for_ever() {
    let double = Falcon::start(&["0"]);
    double.event("0", AUDIT);
    let secret = double.authority.folder().join("secret");
    std::fs::write(&secret, "wrong").unwrap();
    let edge = edge(&double, "");
    let line = edge.line(Component::Source, "crowdstrike", |line| said(line).contains("no more logins are tried"));
    assert!(said(&line).contains("refuses the API client (403)"), "{}", said(&line));
    let logins = |double: &Falcon| double.state().asked.iter().filter(|asked| asked.contains("/oauth2/token")).count();
    assert_eq!(logins(&double), 3);
    std::fs::write(&secret, SECRET).unwrap();
    arrived(&edge, &all(&double));
    assert_eq!(logins(&double), 4, "a new secret is tried at once");
    no_secret_is_said(&double, &edge);
    edge.stop();
}

#[test]
fn a_stream_elsewhere_gets_no_token_unless_it_is_allowed() {
    let double = Falcon::start(&["0"]);
    double.event("0", AUDIT);
    double.state().streams = double.url().replace("127.0.0.1", "localhost");
    let edge = edge(&double, "");
    let words = "names a stream on another host, https://localhost, which gets no token";
    edge.line(Component::Source, "crowdstrike", |line| said(line).contains(words));
    // Allowed, it is asked, and its certificate is of another name.
    let allowed = settings(&double, "stream_hosts = [\"localhost\"]").replace("{dir}", edge.folder().to_str().unwrap());
    edge.reload(&allowed);
    edge.line(Component::Source, "crowdstrike", |line| {
        said(line).contains("partition-0: ") || said(line).contains("localhost:")
    });
    double.state().streams = double.url().replace("https:", "http:");
    edge.reload(&settings(&double, ""));
    edge.line(Component::Source, "crowdstrike", |line| said(line).contains("http://127.0.0.1, which gets no token"));
    assert!(!double.state().asked.iter().any(|asked| asked.contains("/datafeed/v1/")));
    edge.stop();
}

#[test]
fn a_clock_that_is_wrong_by_an_hour_is_said_and_loses_nothing() {
    let double = Falcon::start(&["0"]);
    double.event("0", AUDIT);
    let Some(command) = program_at("-1h") else { return };
    let edge = Appliance::start_with(&settings(&double, ""), command, |_| {});
    arrived(&edge, &all(&double));
    let line = edge.line(Component::Source, "crowdstrike", |line| said(line).contains("behind the vendor's"));
    assert!(said(&line).contains("the box's clock is 3"), "{}", said(&line));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_is_used_and_what_stands_in_the_way_is_said() {
    let double = Falcon::start(&["0"]);
    let line = double.event("0", AUDIT);
    let proxy = Proxy::start("proxy-authorization: Basic dXNlcjpwYXNzd29yZA==").await;
    let password = double.authority.folder().join("password");
    std::fs::write(&password, "wrong").unwrap();
    let more = format!("proxy = \"{}\"\nproxy_user = \"user\"\nproxy_password_file = {password:?}", proxy.address());
    let through = edge(&double, &more);
    let shown = through.line(Component::Source, "crowdstrike", |line| line.health.word() == "failed");
    assert!(said(&shown).contains("check the proxy, its user and its password"), "{}", said(&shown));
    std::fs::write(&password, "password").unwrap();
    arrived(&through, &BTreeSet::from([line]));
    no_secret_is_said(&double, &through);
    through.stop();
}
