//! What goes wrong at the vendor, what the box says, and that it goes on by itself.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::{all_arrived, edge, health, reads_a_stream};
use crate::peers::amp::{Amp, KEY, event, now};
use crate::peers::appliance::until;
use crate::peers::https::Response;

#[test]
fn a_read_only_key_falls_back_to_polling_and_says_so() {
    let Some(double) = Amp::start() else { return };
    double.state().read_only = true;
    double.happen([event(1, now() - 50)]);
    let edge = edge(&double, "");
    all_arrived(&double, &edge);
    health(&edge, "degraded", "may not make an event stream, so events are polled");
    double.happen([event(2, now())]);
    assert_eq!(all_arrived(&double, &edge), 2);
    edge.stop();
}

#[test]
fn where_there_are_too_many_streams_they_are_named_and_events_are_polled() {
    let Some(double) = Amp::start() else { return };
    double.state().others = 5;
    double.happen([event(1, now() - 50)]);
    let edge = edge(&double, "");
    all_arrived(&double, &edge);
    health(&edge, "degraded", "all the event streams it may have (other 0, other 1");
    edge.stop();
    assert!(!double.state().asked.iter().any(|asked| asked.starts_with("DELETE")), "those of others are left alone");
}

#[test]
fn a_wrong_key_names_the_places_to_look_at_and_a_new_one_is_taken_into_use() {
    let Some(double) = Amp::start() else { return };
    let other = "another-key-0123456789";
    double.state().key = other.to_owned();
    double.happen([event(1, now() - 50)]);
    let edge = edge(&double, "");
    let line = health(&edge, "failed", "does not know this client ID or API key");
    let todo = line.health.fault().unwrap().todo.clone();
    assert!(todo.contains("API Credentials") && todo.contains("console.eu.amp.cisco.com"), "{todo}");
    std::fs::write(double.key_file(), other).unwrap();
    all_arrived(&double, &edge);
    reads_a_stream(&edge);
    health(&edge, "healthy", "");
    edge.stop();
}

#[test]
fn the_limit_of_requests_and_odd_answers_are_waited_out() {
    let Some(double) = Amp::start() else { return };
    let says = |response: Response, what: &str| {
        double.fault("/v1/events", 1_000, response);
        let edge = edge(&double, "delivery = \"poll\"");
        health(&edge, "failed", what);
        double.state().faults.clear();
        health(&edge, "healthy", "");
        edge.stop();
    };
    let limit = Response::json(429, &json!({ "errors": [] })).with("X-RateLimit-Reset", "1");
    says(limit, "wants fewer requests");
    says(Response::text(503, "<html>"), "answered with 503");
    says(Response::text(200, "<html>"), "is no list of events");
    says(
        Response::json(403, &json!({ "errors": [{ "description": "Forbidden", "details": [] }] })),
        "refuses the API credential",
    );
    says(Response::text(404, ""), "has no Secure Endpoint API");
    let link = json!({ "data": [], "metadata": { "links": { "next": "https://evil.example.net/v1/events" } } });
    says(Response::json(200, &link), "links to another host");
    // The last request of the hour is noticed before one is refused.
    double.state().remaining = 1;
    double.happen([event(7, now() - 50)]);
    let edge = edge(&double, "delivery = \"poll\"");
    all_arrived(&double, &edge);
    until("the next question", || (double.state().remaining > 1_000).then_some(()));
    edge.stop();
}

#[test]
fn a_stream_that_was_deleted_is_made_anew_and_what_it_missed_is_asked_for() {
    let Some(double) = Amp::start() else { return };
    let edge = edge(&double, "");
    reads_a_stream(&edge);
    double.happen([event(1, now())]);
    all_arrived(&double, &edge);
    // Somebody deletes it in the console; what happens before it is noticed is in no stream.
    let before = edge.logged();
    let gone = double.state().streams.remove(0);
    double.broker.delete(&gone.stream.queue);
    double.happen([event(2, now())]);
    edge.log_line_after(before, &["the event stream is read"]);
    double.happen([event(3, now())]);
    assert_eq!(all_arrived(&double, &edge), 3);
    health(&edge, "healthy", "");
    edge.stop();
    assert_eq!(double.state().sins, Vec::<String>::new());
}

#[test]
fn while_the_stream_cannot_be_reached_events_are_polled_and_it_is_told() {
    let Some(double) = Amp::start() else { return };
    // A firewall that lets the API through and not the broker.
    let nobody = crate::peers::free_address();
    let edge = edge(&double, &format!("stream_endpoint = \"{nobody}\""));
    health(&edge, "failed", "refused the connection");
    double.happen([event(1, now())]);
    all_arrived(&double, &edge);
    health(&edge, "degraded", "refused the connection; until the stream can be read, events are polled");
    let before = edge.logged();
    edge.reload(&super::whole(&double, ""));
    edge.log_line_after(before, &["the event stream is read"]);
    double.happen([event(2, now())]);
    all_arrived(&double, &edge);
    health(&edge, "healthy", "");
    edge.stop();
}

#[test]
fn credentials_that_are_refused_are_made_anew() {
    let Some(double) = Amp::start() else { return };
    double.state().wrong_password = true;
    let edge = edge(&double, "");
    health(&edge, "failed", "refuses the event stream's login or queue (403 ACCESS_REFUSED");
    double.state().wrong_password = false;
    reads_a_stream(&edge);
    double.happen([event(1, now())]);
    all_arrived(&double, &edge);
    assert_eq!(double.state().streams.len(), 1);
    edge.stop();
}

#[test]
fn another_reader_of_the_stream_is_told() {
    let Some(double) = Amp::start() else { return };
    let edge = edge(&double, "");
    reads_a_stream(&edge);
    // A second box with our state: a copy of a virtual machine.
    let other = crate::peers::appliance::Appliance::start_with(
        &super::whole(&double, ""),
        crate::peers::appliance::program(),
        |command| {
            let folder = std::path::Path::new(command.get_args().last().unwrap()).parent().unwrap().join("amp");
            std::fs::create_dir(&folder).unwrap();
            std::fs::copy(edge.folder().join("amp/amp.json"), folder.join("amp.json")).unwrap();
        },
    );
    health(&other, "degraded", "2 programs read the event stream of this box");
    other.stop();
    edge.stop();
}

#[test]
fn secrets_are_kept_and_told_to_nobody() {
    let Some(double) = Amp::start() else { return };
    let edge = edge(&double, "");
    reads_a_stream(&edge);
    double.happen([event(1, now())]);
    all_arrived(&double, &edge);
    let password = double.state().streams[0].stream.password.clone();
    let file = edge.folder().join("amp/amp.json");
    assert!(std::fs::read_to_string(&file).unwrap().contains(&password), "sealed in the state folder");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let status = serde_json::to_string(&edge.status().unwrap()).unwrap();
    let delivered = std::fs::read_to_string(edge.folder().join("events.ndjson")).unwrap();
    // Also where it goes wrong.
    double.relay.cut();
    double.fault("/v1/", 3, Response::text(401, ""));
    double.happen([event(2, now())]);
    all_arrived(&double, &edge);
    let log = edge.stop();
    for secret in [KEY, password.as_str(), "Basic "] {
        for text in [&status, &delivered, &log] {
            assert!(!text.contains(secret), "{secret} is shown");
        }
    }
}
