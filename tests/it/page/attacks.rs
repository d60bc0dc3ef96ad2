//! What somebody who means harm gets to see.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use sapphire_edge::status::Component;
use serde_json::json;

use super::{Curl, PASSWORD, SETTINGS, address, claimed, said};
use crate::peers::appliance::Appliance;

/// Everything but the claim, the log-in and what holds no secret.
const BEHIND: [&str; 20] = [
    "/",
    "/events",
    "/sources",
    "/source/firewalls",
    "/live",
    "/live/events",
    "/ledger",
    "/audit",
    "/accounts",
    "/api/v1/overview",
    "/api/v1/sources",
    "/api/v1/ledger",
    "/api/v1/audit",
    "/api/v1/accounts",
    "/outputs",
    "/add/source",
    "/source/firewalls/edit",
    "/consent/take?state=x",
    "/api/v1/outputs",
    "/api/v1/sources/firewalls/form",
];

#[test]
fn without_a_session_nothing_is_shown_and_nothing_done() {
    let Some((edge, _)) = claimed(SETTINGS) else { return };
    let stranger = Curl::to(address(&edge)).unwrap();
    for path in BEHIND {
        let answer = stranger.get(path);
        assert!(answer.status == 303 || answer.status == 401, "{path}: {answer:?}");
        assert!(!answer.body.contains("firewalls") && !answer.body.contains("ada"), "{path}: {}", answer.body);
    }
    for path in ["/accounts/add", "/accounts/remove", "/accounts/password"] {
        assert_eq!(stranger.form(path, &[("name", "ada"), ("csrf", "x")]).status, 401, "{path}");
    }
    for path in [
        "/../../etc/passwd",
        "/assets/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/source/..%2f..%2fetc",
        "/nothing",
        "/api/v1/nothing",
        "/assets/nothing.css",
    ] {
        let answer = stranger.get(path);
        assert!(matches!(answer.status, 303 | 401 | 404), "{path}: {answer:?}");
        assert!(!answer.body.contains("root:"), "{path}");
    }
    let answer = stranger.get("/login");
    for header in [
        "content-security-policy: default-src 'none'",
        "x-frame-options: deny",
        "x-content-type-options: nosniff",
        "cache-control: no-store",
        "referrer-policy: same-origin",
    ] {
        assert!(answer.headers.contains(header), "{header} is missing: {}", answer.headers);
    }
    assert!(!answer.headers.contains("strict-transport-security"), "its own certificate must stay passable");
    let claim_again =
        stranger.form("/claim", &[("code", "x"), ("name", "eve"), ("password", PASSWORD), ("again", PASSWORD)]);
    assert!(claim_again.headers.contains("location: /login"), "{claim_again:?}");
    edge.stop();
}

#[test]
fn a_form_of_another_site_or_without_the_secret_changes_nothing() {
    let Some((edge, ada)) = claimed(SETTINGS) else { return };
    let csrf = ada.csrf();
    let fields = |csrf: &'static str| {
        [("name", "eve"), ("role", "administrator"), ("password", PASSWORD), ("again", PASSWORD), ("csrf", csrf)]
    };
    for wrong in ["", "x", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        assert_eq!(ada.form("/accounts/add", &fields(wrong)).status, 403, "{wrong:?}");
    }
    let body =
        format!("name=eve&role=administrator&password=four+words+make+one&again=four+words+make+one&csrf={csrf}");
    for header in ["Origin: https://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site"] {
        let answer = ada.ask("/accounts/add", &["--header", header, "--data-binary", &body]);
        assert_eq!(answer.status, 403, "{header}: {}", answer.body);
    }
    let plain = ["--header", "Content-Type: text/plain", "--data-binary", &body];
    assert_eq!(ada.ask("/accounts/add", &plain).status, 415);
    let new = json!({ "name": "eve", "role": "viewer", "password": PASSWORD });
    assert_eq!(ada.json("POST", "/api/v1/accounts", &new, "x").status, 403);
    assert_eq!(ada.get("/api/v1/accounts").json()["accounts"].as_array().unwrap().len(), 1);
    assert_eq!(ada.json("POST", "/api/v1/accounts", &new, &csrf).status, 201);
    assert_eq!(ada.get("/api/v1/accounts").json()["accounts"].as_array().unwrap().len(), 2);
    edge.stop();
}

#[test]
fn a_viewer_sees_and_changes_nothing_but_the_own_password() {
    let Some((edge, ada)) = claimed(SETTINGS) else { return };
    let csrf = ada.csrf();
    let fields =
        [("name", "bob"), ("role", "viewer"), ("password", PASSWORD), ("again", PASSWORD), ("csrf", csrf.as_str())];
    assert_eq!(ada.form("/accounts/add", &fields).status, 200);
    let bob = Curl::to(address(&edge)).unwrap();
    assert_eq!(bob.log_in("bob", PASSWORD).status, 303);
    for path in ["/", "/sources", "/live", "/ledger", "/audit", "/accounts"] {
        assert_eq!(bob.get(path).status, 200, "{path}");
    }
    assert!(!bob.get("/accounts").body.contains("value=\"ada\""), "other accounts are not his to see");
    let csrf = bob.csrf();
    let add = [
        ("name", "eve"),
        ("role", "administrator"),
        ("password", PASSWORD),
        ("again", PASSWORD),
        ("csrf", csrf.as_str()),
    ];
    assert_eq!(bob.form("/accounts/add", &add).status, 403);
    assert_eq!(bob.form("/accounts/remove", &[("name", "ada"), ("csrf", &csrf)]).status, 403);
    assert_eq!(bob.get("/api/v1/accounts").status, 403);
    assert_eq!(bob.json("DELETE", "/api/v1/accounts/ada", &json!({}), &csrf).status, 403);
    let steal = json!({ "current": PASSWORD, "password": "another long password" });
    assert_eq!(bob.json("PUT", "/api/v1/accounts/ada/password", &steal, &csrf).status, 403);
    let own = [
        ("current", PASSWORD),
        ("password", "another long password"),
        ("again", "another long password"),
        ("csrf", &csrf),
    ];
    let changed = bob.form("/accounts/password", &own);
    assert_eq!(changed.status, 200, "{}", changed.body);
    assert_eq!(bob.get("/").status, 200, "the new session goes on");
    // The administrator takes the account away, and the session with it.
    assert_eq!(ada.form("/accounts/remove", &[("name", "bob"), ("csrf", &ada.csrf())]).status, 200);
    assert!(bob.get("/").headers.contains("location: /login"));
    assert_eq!(bob.log_in("bob", "another long password").status, 401);
    let own = ada.form("/accounts/remove", &[("name", "ada"), ("csrf", &ada.csrf())]);
    assert!(own.status == 409 && own.body.contains("your own account"), "{}", own.body);
    edge.stop();
}

#[test]
fn guessing_is_slowed_then_refused_and_told() {
    let settings = SETTINGS.replace("[[source]]", "ban_after = 4\n[[source]]");
    let Some((edge, ada)) = claimed(&settings) else { return };
    let guesser = Curl::to(address(&edge)).unwrap();
    let mut statuses = Vec::new();
    for number in 0..8 {
        statuses.push(guesser.log_in("ada", &format!("guess number {number}")).status);
    }
    assert_eq!(statuses, [401, 401, 401, 401, 429, 429, 429, 429]);
    let refused = guesser.log_in("ada", PASSWORD);
    assert!(refused.status == 429 && refused.body.contains("too many failed tries"), "{}", refused.body);
    // Who is logged in already stays so, and sees it.
    let audit = ada.get("/api/v1/audit").json();
    let failed = audit["entries"].as_array().unwrap().iter().filter(|entry| entry["outcome"] == "failure").count();
    assert_eq!(failed, 9, "{audit}");
    let accounts = ada.get("/api/v1/accounts").json();
    assert!(accounts["accounts"][0]["locked_until"].is_string(), "{accounts}");
    assert!(!edge.stop().contains("guess number"), "passwords are not logged, also wrong ones");
}

#[test]
fn a_session_ends_when_nobody_uses_it() {
    let settings = SETTINGS.replace("[[source]]", "idle_logout = \"1m\"\n[[source]]");
    let edge = Appliance::start(&settings);
    let Some(curl) = Curl::to(address(&edge)) else { return };
    let code = said(&edge, "claim code");
    let claim = json!({ "code": code, "name": "ada", "password": PASSWORD });
    let session = curl.json("POST", "/api/v1/claim", &claim, "");
    assert_eq!((session.status, session.json()["role"].as_str()), (200, Some("administrator")));
    assert_eq!(curl.get("/api/v1/session").json()["csrf"], session.json()["csrf"]);
    let too_short = settings.replace("\"1m\"", "\"1s\"");
    let file = edge.folder().join("other.toml");
    std::fs::write(&file, too_short.replace("{dir}", "/tmp")).unwrap();
    let checked = crate::peers::appliance::program().arg("check").arg("--config").arg(&file).output().unwrap();
    let words = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(words.contains("page.idle_logout") && words.contains("write 1m to 1d"), "{words}");
    edge.stop();
}

/// Connections that send nothing, and requests without an end, do not keep others out.
#[test]
fn those_who_hold_connections_do_not_keep_others_out() {
    let settings = SETTINGS.replace("[[source]]", "max_connections = 16\n[[source]]");
    let Some((edge, ada)) = claimed(&settings) else { return };
    let at = address(&edge);
    // They never begin TLS: the handshake's time ends them, and eight places are all that one address has.
    let held: Vec<TcpStream> = (0..12).map(|_| TcpStream::connect(at).unwrap()).collect();
    let answer = ada.ask("/", &["--max-time", "60"]);
    assert_eq!(answer.status, 200);
    for mut stream in held {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let _ = stream.write_all(b"no tls");
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }
    // A little more than is taken: all of it is here before the answer is, so that nothing is sent into a closed connection.
    let large = "x".repeat(66_000);
    let answer = ada.form("/login", &[("name", "ada"), ("password", &large)]);
    assert!(matches!(answer.status, 400 | 413), "{}", answer.status);
    assert!(edge.line(Component::Box, "page", |_| true).health.fault().is_none());
    edge.stop();
}
