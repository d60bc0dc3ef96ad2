//! The box itself on the page: name, time, network and certificate, each with its way back; the first steps; and updates on a
//! machine that has none.

use std::fs;

use serde_json::json;

use super::{Curl, PASSWORD, SETTINGS, address_after, claimed, said, viewer};
use crate::peers::appliance::{Appliance, program, until};
use crate::peers::certificates::Authority;

fn file(edge: &Appliance) -> String {
    fs::read_to_string(edge.settings()).unwrap()
}

#[test]
fn name_time_and_network_are_set_by_forms_and_gone_back_on() {
    let settings = format!("# for our people\n{}", SETTINGS.replace("name = \"edge-1\"", "name = \"edge-1\" # cellar"));
    let Some((edge, ada)) = claimed(&settings) else { return };
    let csrf = ada.csrf();
    let page = ada.get("/box").body;
    assert!(page.contains("value=\"edge-1\"") && page.contains("action=\"/box/time\""), "{page}");
    let wrong = ada.form("/box/name", &[("csrf", &csrf), ("name", "two words")]);
    assert!(wrong.status == 422 && wrong.body.contains("id=\"box-name-fault\""), "{}", wrong.body);
    let wrong = ada.form("/box/time", &[("csrf", &csrf), ("ntp", "192.0.2.1, no/server")]);
    assert!(wrong.status == 422 && wrong.body.contains("is no time server"), "{}", wrong.body);
    assert!(wrong.body.contains("value=\"192.0.2.1, no/server\"") && !file(&edge).contains("192.0.2.1"));
    let named = ada.form("/box/name", &[("csrf", &csrf), ("name", "edge-2")]);
    assert!(named.status == 200 && named.body.contains("The settings are in use"), "{}", named.body);
    until("the page has the new name", || ada.get("/box").body.contains("value=\"edge-2\"").then_some(()));
    let timed = ada.json("PUT", "/api/v1/box/time", &json!({ "ntp": ["192.0.2.1", "time.example.net"] }), &csrf);
    assert_eq!(timed.status, 200, "{}", timed.body);
    let now = file(&edge);
    assert!(now.contains("name = \"edge-2\" # cellar") && now.contains("# for our people"), "{now}");
    assert!(now.contains("ntp = [\"192.0.2.1\", \"time.example.net\"]"), "{now}");
    // The network waits to be confirmed, and is taken back.
    let card = json!({ "address": ["192.0.2.10/24"], "gateway": ["192.0.2.1"] });
    let no_card = json!({ "address": ["192.0.2.10"] });
    let wrong = ada.json("PUT", "/api/v1/box/network/eth9", &no_card, &csrf);
    assert!(wrong.status == 422 && wrong.body.contains("has no length of its network"), "{}", wrong.body);
    let set = ada.json("PUT", "/api/v1/box/network/eth9", &card, &csrf);
    assert_eq!((set.status, set.json()["confirm_within_seconds"].as_u64()), (200, Some(120)), "{}", set.body);
    let page = ada.get("/box").body;
    assert!(page.contains("Do you still reach the box?") && page.contains("there is no such card"), "{page}");
    let busy = ada.form("/box/name", &[("csrf", &csrf), ("name", "edge-3")]);
    assert!(busy.status == 422 && busy.body.contains("still waits to be confirmed"), "{}", busy.body);
    assert_eq!(ada.form("/settings/take-back", &[("csrf", &csrf)]).status, 200);
    assert!(!file(&edge).contains("eth9"));
    // Who only looks.
    let bob = viewer(&edge, &ada);
    assert_eq!(bob.form("/box/name", &[("csrf", &bob.csrf()), ("name", "edge-4")]).status, 403);
    let seen = bob.get("/api/v1/box").json();
    assert_eq!((&seen["set_name"], &seen["ntp"][0]), (&json!("edge-2"), &json!("192.0.2.1")), "{seen}");
    edge.stop();
}

#[test]
fn the_pages_certificate_is_shown_made_anew_replaced_and_gone_back_from() {
    let Some((edge, ada)) = claimed(SETTINGS) else { return };
    let (csrf, own) = (ada.csrf(), said(&edge, "certificate"));
    assert!(ada.get("/certificate").body.contains(&own));
    let renewed = ada.form("/certificate/new", &[("csrf", &csrf)]);
    assert!(renewed.status == 200 && !renewed.body.contains(&own), "{}", renewed.body);
    let second = said(&edge, "certificate");
    assert_ne!(own, second);
    // A pair that is none is refused at its field, and what is in use stays.
    let authority = Authority::new();
    let (pair, other) = (authority.identity("127.0.0.1"), authority.identity("127.0.0.1"));
    let read = |path: &std::path::Path| fs::read_to_string(path).unwrap();
    let (cert, key, wrong) = (read(&pair.cert), read(&pair.key), read(&other.key));
    let send = |curl: &Curl, cert: &str, key: &str| {
        curl.form("/certificate/replace", &[("csrf", &curl.csrf()), ("cert", cert), ("key", key)])
    };
    let refused = send(&ada, &cert, &wrong);
    assert!(refused.status == 422 && refused.body.contains("id=\"key-fault\""), "{}", refused.body);
    assert!(
        !refused.body.contains("PRIVATE KEY-----\nM") && refused.body.contains("BEGIN CERTIFICATE"),
        "{}",
        refused.body
    );
    let refused = send(&ada, "no certificate", &key);
    assert!(refused.status == 422 && refused.body.contains("id=\"cert-fault\""), "{}", refused.body);
    assert_eq!(ada.get("/api/v1/files").json()["files"].as_array().unwrap().len(), 0, "nothing is left of them");
    // The page starts anew with the good one, and says so before it does.
    let logged = edge.logged();
    let applied = send(&ada, &cert, &key);
    assert!(applied.status == 200 && applied.body.contains("The page starts anew"), "{}", applied.body);
    let fresh = Curl::to(address_after(&edge, logged)).unwrap();
    assert_eq!(fresh.log_in("ada", PASSWORD).status, 303);
    let shown = until("it waits to be confirmed", || {
        let page = fresh.get("/certificate").body;
        page.contains("Do you still reach the box?").then_some(page)
    });
    assert!(shown.contains("It is one of your own") && shown.contains(&said(&edge, "certificate")), "{shown}");
    assert_eq!(fresh.form("/settings/confirm", &[("csrf", &fresh.csrf())]).status, 200);
    assert_eq!(fresh.form("/certificate/new", &[("csrf", &fresh.csrf())]).status, 422, "it is not the box's own");
    // And back to the box's own.
    let logged = edge.logged();
    let back = fresh.form("/certificate/own", &[("csrf", &fresh.csrf())]);
    assert!(back.status == 200 && back.body.contains("The page starts anew"), "{}", back.body);
    let last = Curl::to(address_after(&edge, logged)).unwrap();
    assert_eq!(last.log_in("ada", PASSWORD).status, 303);
    until("the own one is shown again", || (said(&edge, "certificate") == second).then_some(()));
    let log = edge.stop();
    assert!(!log.contains("PRIVATE KEY"), "{log}");
}

#[test]
fn a_new_box_shows_its_first_steps_until_they_are_done_or_ended() {
    let settings = "[page]\nlisten = [\"127.0.0.1:0\"]\n";
    let edge = Appliance::start(settings);
    let Some(curl) = Curl::to(super::address(&edge)) else { return };
    let code = said(&edge, "claim code");
    let fields = [("code", code.as_str()), ("name", "ada"), ("password", PASSWORD), ("again", PASSWORD)];
    let answer = curl.form("/claim", &fields);
    assert!(answer.headers.contains("location: /start\r\n"), "{}", answer.headers);
    assert!(curl.get("/").body.contains("This box is new."));
    let start = curl.get("/api/v1/start").json();
    let state = |id: &str| {
        let step = start["steps"].as_array().unwrap().iter().find(|step| step["id"] == id).unwrap();
        (step["is_done"].as_bool().unwrap(), step["is_optional"].as_bool().unwrap())
    };
    assert_eq!((state("gateway"), state("source"), state("network")), ((false, false), (false, false), (false, true)));
    let page = curl.get("/start").body;
    assert!(
        page.contains("2 to do") && page.contains("href=\"/add/source\"") && page.contains("href=\"/box#name-head\"")
    );
    // An enrolment file does the most of it at once.
    let enrolment = "form = 1\nname = \"edge-berlin\"\ngateway = [\"127.0.0.1:1\"]\nsettings = '''\n[[source]]\nid = \"fw\"\n\
                     type = \"syslog\"\nlisten = [\"udp://127.0.0.1:0\"]\n'''\n";
    let looked = curl.form("/settings/enrol", &[("csrf", &curl.csrf()), ("enrolment", enrolment)]);
    assert!(looked.status == 200 && looked.body.contains("Take into use"), "{}", looked.body);
    let end = curl.form("/start/end", &[("csrf", &curl.csrf())]);
    assert!(end.status == 303 && end.headers.contains("location: /\r\n"), "{}", end.headers);
    assert!(!curl.get("/").body.contains("This box is new."));
    edge.reload(
        &format!("{settings}{}", SETTINGS.split_once("[[source]]").map_or("", |(_, rest)| rest))
            .replace("\nid = \"firewalls\"", "[[source]]\nid = \"firewalls\""),
    );
    until("all is done", || (curl.get("/api/v1/start").json()["is_done"] == true).then_some(()));
    edge.stop();
}

#[test]
fn a_machine_without_rauc_says_why_it_has_no_updates() {
    let Some((edge, ada)) = claimed(SETTINGS) else { return };
    let page = until("it is known that there is no rauc", || {
        let page = ada.get("/updates").body;
        page.contains("there are no updates from here").then_some(page)
    });
    assert!(page.contains("only the firmware image can be updated") && !page.contains("action=\"/updates/"), "{page}");
    let csrf = ada.csrf();
    let refused = ada.form("/updates/check", &[("csrf", &csrf)]);
    assert!(refused.status == 422 && refused.body.contains("rauc"), "{}", refused.body);
    let secret = format!("csrf={csrf}");
    let bundle = format!("bundle=@{}", edge.settings().display());
    let upload = ada.ask("/updates/upload", &["--form", &secret, "--form", &bundle]);
    assert_eq!(upload.status, 422, "{}", upload.body);
    assert!(!edge.folder().join("update/upload.part").exists());
    let rolled = program().args(["update", "roll-back", "--config"]).arg(edge.settings()).output().unwrap();
    assert!(!rolled.status.success());
    edge.stop();
}
