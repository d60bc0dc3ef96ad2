use sapphire_edge::status::Component;

use super::{ID, Operator};
use crate::peers::appliance::{Appliance, until};
use crate::peers::rauc::{COMPATIBLE, Machine};
use crate::update::manifest::{BUNDLE, Publisher};

/// A box that is told of versions by its operator alone.
fn start(operator: &Operator, machine: &Machine, publisher: &Publisher) -> Appliance {
    let identity = operator.broker.authority.identity(ID);
    let update = format!(
        "[update]\n{}keys = {:?}\ncheck_every = \"1m\"\n[update.tls]\nca = {:?}\n",
        machine.settings(),
        publisher.path("key.pub"),
        publisher.authority.ca()
    );
    let settings = format!("{}{update}{}", super::BOX, operator.settings(&identity));
    Appliance::start_with(&settings, machine.program(), |_| {})
}

#[test]
fn a_version_is_offered_in_stages_installed_and_reported_when_it_falls_back() {
    let Some(operator) = Operator::start() else { return };
    let Some(mut machine) = Machine::boot() else { return };
    let (publisher, bundle) = (Publisher::new(), machine.bundle("7.0.0"));
    publisher.site.put(BUNDLE, std::fs::read(&bundle.path).unwrap());
    let mut manifest = publisher.manifest(1, "7.0.0", &bundle);
    manifest["url"] = publisher.site.url(BUNDLE).into();
    let manifest = publisher.sign(&manifest, "key");
    let ear = operator.listen();
    let mut edge = start(&operator, &machine, &publisher);
    edge.line(Component::Box, "fleet", |line| line.health.word() == "healthy");
    ear.until("updates are possible", "inventory", |json| json["compatible"] == COMPATIBLE);

    operator.offer(COMPATIBLE, "7.0.0", 0.0, &manifest);
    let joined = |joined: bool| move |json: &serde_json::Value| json["update"]["offer"]["joined"] == joined;
    ear.until("it is known and not taken", "status", joined(false));
    assert!(publisher.site.asked(BUNDLE).is_empty());
    // For another kind of board.
    operator.offer("sapphire-edge-aarch64", "7.0.0", 100.0, &manifest);
    operator.offer(COMPATIBLE, "7.0.0", 100.0, &manifest);
    ear.until("it takes part", "status", joined(true));
    until("it asks for a restart", || machine.takes_restart().then_some(()));
    assert!(machine.has("B", &bundle));
    ear.event("update_installed");
    let fetched = publisher.site.asked(BUNDLE).len();

    edge.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(edge.wait().success());
    machine.reboot("A");
    edge.restart_with(machine.program());
    let event = ear.event("update_fell_back");
    assert_eq!(event["facts"]["version"], "7.0.0");
    let status =
        ear.until("the status has it too", "status", |json| json["update"]["fell_back"][0]["version"] == "7.0.0");
    assert_ne!(status["version"], "7.0.0");
    // The offer is still there, and what fell back is not tried again.
    ear.until("it was offered again", "status", |json| {
        joined(true)(json) && json["update"]["fell_back"][0]["version"] == "7.0.0" && json["update"]["phase"] == "idle"
    });
    assert_eq!(publisher.site.asked(BUNDLE).len(), fetched);
    ear.is_as_described();
    edge.stop();
}

#[test]
fn an_offer_whose_manifest_is_not_right_is_refused_in_words() {
    let Some(operator) = Operator::start() else { return };
    let Some(machine) = Machine::boot() else { return };
    let (publisher, bundle) = (Publisher::new(), machine.bundle("7.0.0"));
    publisher.make_key("stranger");
    let manifest = publisher.sign(&publisher.manifest(1, "7.0.0", &bundle), "stranger");
    let ear = operator.listen();
    let edge = start(&operator, &machine, &publisher);
    ear.until("updates are possible", "inventory", |json| json["compatible"] == COMPATIBLE);
    // A key of the fleet does not make firmware good.
    operator.offer(COMPATIBLE, "7.0.0", 100.0, &manifest);
    ear.until("it says why", "status", |json| {
        let words = json["update"]["offer"]["words"].as_str().unwrap_or_default();
        words.contains("not signed by a key that this box trusts")
    });
    ear.event("update_refused");
    // An offer from before is not taken for a newer one.
    let mut payload = Operator::payload(&serde_json::json!({ "offer": {
        "version": "6.0.0", "compatible": COMPATIBLE, "manifest": "x",
    }}));
    (payload["to"], payload["issued"]) = ("all".into(), super::at(-60).into());
    operator.broker.publish(&format!("sapphire/v1/all/offer/{COMPATIBLE}"), &operator.sign(&payload, "fleet"), false);
    ear.refused("replayed");
    ear.is_as_described();
    edge.stop();
}
