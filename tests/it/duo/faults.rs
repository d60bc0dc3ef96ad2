//! What goes wrong at Duo → what the box says. And whatever goes wrong, no secret is said.

use std::collections::BTreeSet;

use sapphire_edge::status::{Component, Line};

use super::edge;
use crate::microsoft::{arrived, settings};
use crate::peers::appliance::Appliance;
use crate::peers::duo::{Duo, SECRET_KEY, ago, refusal};
use crate::peers::https::Response;
use crate::peers::proxy::Proxy;

const ONE: &str = "logs = [\"authentication\"]\nbackfill = \"1h\"";

fn said(line: &Line) -> String {
    line.health.fault().map(|fault| format!("{}; {}", fault.what, fault.todo)).unwrap_or_default()
}

/// Looks for the secret key, and for signatures, in everything that people can see.
fn no_secret_is_said(edge: &Appliance) {
    let status = serde_json::to_string(&edge.status().unwrap()).unwrap();
    let file = std::fs::read_to_string(edge.folder().join("events.ndjson")).unwrap_or_default();
    for (place, text) in [("status", &status), ("log", &edge.all_lines()), ("file", &file)] {
        for secret in [SECRET_KEY, "Basic "] {
            assert!(!text.contains(secret), "{secret} is in the {place}");
        }
    }
}

/// The box says so while the fault lasts, and goes on by itself afterwards.
fn says(response: &Response, what: &str, todo: &str) {
    let double = Duo::start();
    let record = double.add("authentication", "one", ago(300));
    double.fault("/admin/", usize::MAX, response.clone());
    let edge = edge(&double, ONE);
    let line = edge.line(Component::Source, "duo", |line| said(line).contains(what));
    assert!(said(&line).contains(todo), "{}", said(&line));
    assert_eq!(line.health.word(), "failed");
    no_secret_is_said(&edge);
    double.state().faults.clear();
    arrived(&edge, &BTreeSet::from([record]));
    edge.line(Component::Source, "duo", |line| line.health.word() == "healthy");
    no_secret_is_said(&edge);
    edge.stop();
}

#[test]
fn faults_of_the_admin_api() {
    for (response, what, todo) in [
        (
            refusal(1, 401, "Missing request credentials", None),
            "came to Duo without its credentials (40101)",
            "a proxy takes the field Authorization out",
        ),
        (
            refusal(2, 401, "Invalid integration key in request credentials", None),
            "does not know the integration key at api-test0001.duosecurity.com (40102)",
            "copy Integration key and API hostname anew",
        ),
        (
            refusal(3, 401, "Invalid signature in request credentials", None),
            "the secret key is not the one of this integration key (40103)",
            "copy Secret key into the file of secret_key_file",
        ),
        (refusal(5, 401, "Bad request timestamp", None), "finds the time of the request wrong (40105)", "time servers"),
        (refusal(9, 401, "Something new", None), "refuses the credentials (40109): Something new", "copy"),
        (
            refusal(1, 403, "Access forbidden", None),
            "may not read the authentication log (40301)",
            "Duo Admin Panel, Applications, your Admin API application, tick Grant read log",
        ),
        (refusal(1, 404, "Resource not found", None), "has no authentication log (40401)", "check host"),
        (refusal(1, 429, "Too many requests", None), "Duo wants fewer requests (42901)", "by itself"),
        (refusal(1, 500, "Unknown internal server error", None), "not well and answered with 50001", "by itself"),
        (
            refusal(2, 400, "Invalid request parameters", Some("maxtime must be greater")),
            "with 40002: Invalid request parameters maxtime must be greater",
            "asked anew",
        ),
        (Response::text(503, "<html>front door</html>"), "is not well and answered with 503", "by itself"),
        (Response::text(200, "<html>a proxy's page</html>"), "is no page of it", "no proxy answers"),
        (Response::text(404, "<html>not found</html>"), "is not the Admin API (404)", "check host"),
        (
            Response::text(302, "").with("Location", "https://evil.example.net/"),
            "is not the Admin API (302)",
            "no proxy answers",
        ),
    ] {
        says(&response, what, todo);
    }
}

#[test]
fn a_log_that_may_not_be_read_does_not_stop_the_others() {
    let double = Duo::start();
    double.state().forbidden.extend(["trust_monitor", "telephony"]);
    let record = double.add("authentication", "one", ago(300));
    double.add("telephony", "two", ago(300));
    let more = "logs = [\"authentication\", \"telephony\", \"trust_monitor\"]\nbackfill = \"1h\"";
    let edge = edge(&double, more);
    arrived(&edge, &BTreeSet::from([record]));
    let line = edge.line(Component::Source, "duo", |line| said(line).contains("may not read the telephony log"));
    assert_eq!(line.health.word(), "degraded");
    edge.log_line(&["may not read the trust_monitor log", "Advantage and Premier only"]);
    edge.stop();
}

#[test]
fn limits_and_broken_answers_in_the_middle_of_a_window_lose_nothing() {
    let double = Duo::start();
    double.state().page = 2;
    let mut expected = BTreeSet::new();
    for log in ["authentication", "administrator", "trust_monitor"] {
        expected.extend((0..9).map(|number| double.add(log, &format!("{log}-{number}"), ago(200 + number))));
    }
    let cut = Response { is_cut: true, ..Response::text(200, "{\"response\": {\"authlogs\": []}, \"stat\": \"OK\"}") };
    for _ in 0..3 {
        double.fault("logs/authentication", 2, refusal(1, 429, "Too many requests", None));
        double.fault("trust_monitor", 1, refusal(1, 429, "Too many requests", None).with("Retry-After", "1"));
        double.fault("logs/authentication", 1, cut.clone());
        double.fault("logs/authentication", 1, refusal(2, 400, "Invalid request parameters", Some("next_offset")));
        double.fault("logs/administrator", 2, Response::text(502, "bad gateway"));
    }
    let edge = edge(&double, "backfill = \"1h\"");
    assert_eq!(arrived(&edge, &expected).len(), expected.len());
    edge.line(Component::Source, "duo", |line| line.health.word() == "healthy");
    edge.stop();
}

#[test]
fn a_key_that_is_replaced_is_taken_into_use_by_itself() {
    let double = Duo::start();
    "anotherKeyOfTheApplication0123456789abcd".clone_into(&mut double.state().secret_key);
    let record = double.add("authentication", "one", ago(300));
    let edge = edge(&double, ONE);
    edge.line(Component::Source, "duo", |line| said(line).contains("the secret key is not the one"));
    std::fs::write(double.authority.folder().join("secret"), "anotherKeyOfTheApplication0123456789abcd").unwrap();
    arrived(&edge, &BTreeSet::from([record]));
    std::fs::remove_file(double.authority.folder().join("secret")).unwrap();
    let line = edge.line(Component::Source, "duo", |line| said(line).contains("the file of the secret key"));
    assert!(said(&line).contains("readable for the program"), "{}", said(&line));
    edge.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_is_used_and_what_stands_in_the_way_is_said() {
    let double = Duo::start();
    let record = double.add("authentication", "one", ago(300));
    let proxy = Proxy::start("proxy-authorization: Basic dXNlcjpwYXNzd29yZA==").await;
    let password = double.authority.folder().join("password");
    std::fs::write(&password, "wrong").unwrap();
    let more =
        format!("{ONE}\nproxy = \"{}\"\nproxy_user = \"user\"\nproxy_password_file = {password:?}", proxy.address());
    let through = edge(&double, &more);
    let line = through.line(Component::Source, "duo", |line| line.health.word() == "failed");
    assert!(said(&line).contains("check the proxy, its user and its password"), "{}", said(&line));
    std::fs::write(&password, "password").unwrap();
    arrived(&through, &BTreeSet::from([record]));
    no_secret_is_said(&through);
    through.stop();

    let unknown = double.settings(ONE).replace(&double.server.url(), "https://127.0.0.1:1");
    let unreachable = Appliance::start(&settings(&[("duo", unknown)]));
    let line = unreachable.line(Component::Source, "duo", |line| line.health.word() == "failed");
    assert!(said(&line).contains("127.0.0.1:1"), "{}", said(&line));
    let intercepted = double.settings(ONE).replace(&format!("ca = {:?}", double.authority.ca()), "");
    let intercepted = Appliance::start(&settings(&[("duo", intercepted)]));
    let line = intercepted.line(Component::Source, "duo", |line| line.health.word() == "failed");
    assert!(said(&line).contains("tls.ca"), "{}", said(&line));
}
