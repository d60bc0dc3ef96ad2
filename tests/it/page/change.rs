//! The settings, changed on the page: looked at, taken into use, confirmed, gone back on.

use sapphire_edge::status::Component;
use serde_json::json;

use super::{Answer, Curl, PASSWORD, SETTINGS, claimed};
use crate::peers::appliance::until;

const SERVERS: &str = "[[source]]\nid = \"servers\"\ntype = \"syslog\"\nlisten = [\"tcp://127.0.0.1:0\"]\n[[output]]";

/// What stands in a form's field.
fn field(answer: &Answer, name: &str) -> String {
    let from = answer.body.split(&format!("name=\"{name}\" value=\"")).nth(1);
    from.unwrap_or_else(|| panic!("{name}: {}", answer.body)).split('"').next().unwrap().to_owned()
}

/// Sends a settings form.
fn send(curl: &Curl, path: &str, text: &str, version: &str) -> Answer {
    curl.form(path, &[("csrf", &curl.csrf()), ("version", version), ("text", text)])
}

#[test]
fn settings_are_looked_at_taken_into_use_and_gone_back_on() {
    let Some((edge, ada)) = claimed(&format!("# for our people\n{SETTINGS}")) else { return };
    let now = ada.get("/api/v1/settings").json();
    let (text, version) = (now["text"].as_str().unwrap().to_owned(), now["version"].as_str().unwrap().to_owned());
    assert_eq!(field(&ada.get("/settings"), "version"), version);
    // What is wrong is shown with its place, and changes nothing.
    let wrong = send(&ada, "/settings/review", &text.replace("udp://127.0.0.1:0", "udp://nowhere"), &version);
    assert_eq!(wrong.status, 422);
    assert!(
        wrong.body.contains("source[firewalls].listen[0]") && !wrong.body.contains("Take into use"),
        "{}",
        wrong.body
    );
    let new = text.replace("[[output]]", SERVERS);
    // As browsers send it.
    let review = send(&ada, "/settings/review", &new.replace('\n', "\r\n"), &version);
    assert!(review.status == 200 && review.body.contains("Take into use"), "{}", review.body);
    assert!(review.body.contains("+id = &#34;servers&#34;") && !review.body.contains("-name"), "{}", review.body);
    let applied = send(&ada, "/settings/apply", &new.replace('\n', "\r\n"), &version);
    assert!(applied.status == 200 && applied.body.contains("The settings are in use"), "{}", applied.body);
    edge.line(Component::Source, "servers", |line| line.health.word() == "healthy");
    let written = std::fs::read_to_string(edge.settings()).unwrap();
    assert!(written.contains("# for our people") && !written.contains('\r'), "{written}");
    // Made from a version that is not there any more.
    let late = send(&ada, "/settings/apply", &text, &version);
    assert!(late.status == 422 && late.body.contains("somebody changed the settings in the meantime"), "{}", late.body);
    // Back to the first copy.
    let copies = until("both are kept", || {
        let now = ada.get("/api/v1/settings").json();
        now["copies"].as_array().filter(|copies| copies.len() == 2).cloned()
    });
    let first = copies[1]["number"].as_u64().unwrap();
    let back = ada.get(&format!("/settings/copy/{first}"));
    assert!(back.body.contains("-id = &#34;servers&#34;"), "{}", back.body);
    let old = ada.get(&format!("/api/v1/settings/copies/{first}")).json();
    let body = json!({ "text": old["text"], "version": field(&back, "version") });
    let answer = ada.json("PUT", "/api/v1/settings", &body, &ada.csrf());
    assert_eq!((answer.status, answer.json()["confirm_within_seconds"].is_null()), (200, true), "{answer:?}");
    until("the source is gone", || edge.status()?.line(Component::Source, "servers").is_none().then_some(()));
    assert_eq!(ada.get("/settings/copy/77").status, 422);
    let audit = ada.get("/api/v1/audit").json();
    let applies = audit["entries"].as_array().unwrap().iter().filter(|entry| entry["action"] == "settings_apply");
    assert_eq!(applies.map(|entry| entry["outcome"].clone()).collect::<Vec<_>>(), ["success", "failure", "success"]);
    edge.stop();
}

#[test]
fn a_change_of_the_page_itself_waits_to_be_confirmed_and_a_viewer_changes_nothing() {
    let Some((edge, ada)) = claimed(SETTINGS) else { return };
    let bob = super::viewer(&edge, &ada);
    let now = bob.get("/api/v1/settings").json();
    let (text, version) = (now["text"].as_str().unwrap(), now["version"].as_str().unwrap());
    let new = text.replace("[page]", "[page]\nidle_logout = \"20m\"");
    for path in ["/settings/review", "/settings/apply", "/settings/confirm", "/settings/take-back"] {
        assert_eq!(send(&bob, path, &new, version).status, 403, "{path}");
    }
    let page = bob.get("/settings").body;
    assert!(page.contains("readonly") && !page.contains("Look at the change"), "{page}");
    // The page itself is started anew with it: whoever is there logs in again, and says so.
    let logged = edge.logged();
    ada.send_and_leave("/settings/apply", &[("csrf", &ada.csrf()), ("version", version), ("text", &new)]);
    let fresh = Curl::to(super::address_after(&edge, logged)).unwrap();
    assert_eq!(fresh.log_in("ada", PASSWORD).status, 303);
    let waiting = until("it waits to be confirmed", || {
        let answer = fresh.get("/settings");
        answer.body.contains("Do you still reach the box?").then_some(answer)
    });
    assert!(waiting.body.contains("Confirm: keep them"));
    assert_eq!(fresh.form("/settings/confirm", &[("csrf", &fresh.csrf())]).status, 200);
    assert!(!fresh.get("/settings").body.contains("Do you still reach the box?"));
    assert!(std::fs::read_to_string(edge.settings()).unwrap().contains("20m"));
    edge.stop();
}

#[test]
fn a_secret_is_brought_here_named_and_never_shown_again() {
    let Some((edge, ada)) = claimed(SETTINGS) else { return };
    let secret = "s3cr3t-of-the-vendor";
    for (name, content, words) in [("../x", secret, "no name for a file"), ("umbrella", " ", "nothing in it")] {
        let answer = ada.form("/files/put", &[("csrf", &ada.csrf()), ("name", name), ("content", content)]);
        assert!(answer.status == 422 && answer.body.contains(words), "{}", answer.body);
        assert!(!answer.body.contains(secret));
    }
    let put = ada.form("/files/put", &[("csrf", &ada.csrf()), ("name", "umbrella"), ("content", secret)]);
    assert_eq!(put.status, 200, "{}", put.body);
    let path = ada.get("/api/v1/files").json()["files"][0]["path"].as_str().unwrap().to_owned();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), secret);
    // A source to begin with: the vendor's own words beside each key.
    let page = ada.get("/settings/add/source/umbrella");
    assert!(
        page.body.contains("Cisco-managed Amazon S3 bucket") && page.body.contains("+type = &#34;umbrella&#34;"),
        "{}",
        page.body
    );
    assert_eq!(ada.get("/settings/add/source/nothing").status, 404);
    let now = ada.get("/api/v1/settings").json();
    let source = format!(
        "[[source]]\nid = \"umbrella\"\ntype = \"umbrella\"\nbucket = \"logs\"\nregion = \"eu-central-1\"\nprefix = \"1\"\n\
         endpoint = \"https://127.0.0.1:1\"\naccess_key_id = \"AKIAIOSFODNN7EXAMPLE\"\nsecret_access_key_file = {path:?}\n"
    );
    let text = format!("{}\n{source}", now["text"].as_str().unwrap());
    let applied = send(&ada, "/settings/apply", &text, now["version"].as_str().unwrap());
    assert!(applied.status == 200, "{}", applied.body);
    edge.line(Component::Source, "umbrella", |_| true);
    let named = ada.form("/files/remove", &[("csrf", &ada.csrf()), ("name", "umbrella")]);
    assert!(named.status == 422 && named.body.contains("the settings name this file"), "{}", named.body);
    for path in ["/files", "/settings", "/audit", "/api/v1/files", "/api/v1/audit", "/api/v1/overview"] {
        assert!(!ada.get(path).body.contains(secret), "{path}");
    }
    assert!(!edge.stop().contains(secret));
}
