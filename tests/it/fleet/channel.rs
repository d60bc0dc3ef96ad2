use std::process::Command;

use sapphire_edge::status::Component;

use super::{ID, Operator, archived, status};
use crate::peers::appliance::{program, until};
use crate::peers::program::text;

#[test]
fn the_box_says_how_it_is_and_the_broker_says_when_it_is_lost() {
    let Some(operator) = Operator::start() else { return };
    let ear = operator.listen();
    let mut edge = operator.start_box();
    let first = ear.until("it is well", "status", |json| json["health"] == "healthy");
    assert_eq!((&first["box"], &first["form"], &first["name"]), (&ID.into(), &1.into(), &"edge".into()));
    let well = |json: &serde_json::Value| json["id"] == "firewalls" && json["state"] == "healthy";
    assert!(first["components"].as_array().unwrap().iter().any(well), "{first}");
    let inventory = ear.until("what it consists of", "inventory", |_| true);
    assert_eq!(inventory["sources"][0]["type"], "syslog");
    assert!(inventory["certificates"][0]["ends"].as_str().is_some_and(|ends| ends > "2026"), "{inventory}");
    ear.until("the ledger", "ledger", |json| json["sources"].is_object());
    let restarted =
        program().args(["source", "restart", "firewalls", "--config"]).arg(edge.settings()).output().unwrap();
    assert!(restarted.status.success(), "{}", text(&restarted.stderr));
    let event = ear.event("source_restarted");
    assert_eq!((&event["outcome"], &event["facts"]["source"]), (&"success".into(), &"firewalls".into()));
    archived(&edge, |json| json["event"]["action"] == "source_restarted");
    let (shown, is_seen) = status(&edge);
    assert!(is_seen && shown.contains("box      edge-7") && shown.contains("channel  healthy"), "{shown}");
    // Who comes later has the newest of both.
    let late = operator.listen();
    late.until("the status was kept", "status", |json| json["health"] == "healthy");
    late.until("the inventory was kept", "inventory", |_| true);
    assert!(late.all("event").is_empty());

    edge.kill();
    ear.until("it is lost", "status", |json| json["health"] == "lost");
    let before = ear.all("status").iter().filter_map(|json| json["sequence"].as_u64()).max();
    edge.restart();
    let again = |json: &serde_json::Value| json["health"] == "healthy" && json["sequence"].as_u64() > before;
    ear.until("it is back, with greater numbers", "status", again);
    edge.line(Component::Box, "fleet", |line| line.health.word() == "healthy");
    edge.stop();
    ear.until("it says goodbye", "status", |json| json["health"] == "stopped");
    let mut numbers: Vec<u64> = ["status", "inventory", "ledger", "event"]
        .iter()
        .flat_map(|kind| ear.all(kind))
        .map(|json| json["sequence"].as_u64().unwrap())
        .collect();
    let count = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), count, "no number comes twice");
    ear.is_as_described();
}

#[test]
fn a_box_may_write_its_own_topics_and_no_others() {
    let Some(operator) = Operator::start() else { return };
    let ear = operator.listen();
    let identity = operator.broker.authority.identity(ID);
    let write = |topic: &str| {
        let mut command = Command::new("mosquitto_pub");
        command.args(["-V", "5", "-d", "-q", "1", "-h", "127.0.0.1", "-m", "{}", "-t", topic, "-p"]);
        command.arg(operator.broker.address().port().to_string());
        command.arg("--cafile").arg(operator.broker.authority.ca());
        command.arg("--cert").arg(&identity.cert).arg("--key").arg(&identity.key);
        let output = command.output().unwrap();
        text(&output.stdout) + &text(&output.stderr)
    };
    for topic in ["sapphire/v1/edge-8/status", "sapphire/v1/edge-7/command", "sapphire/v1/all/offer/x"] {
        assert!(write(topic).contains("Not authorized"), "{topic}: {}", write(topic));
    }
    let said = write("sapphire/v1/edge-7/event");
    until("its own topic", || (!ear.all("event").is_empty()).then_some(()));
    assert!(!said.contains("Not authorized"), "{said}");
    assert_eq!(ear.0.messages().len(), 1, "{:?}", ear.0.messages());
}

#[test]
fn a_box_without_a_table_or_a_certificate_dials_nobody() {
    let Some(operator) = Operator::start() else { return };
    let edge = crate::peers::appliance::Appliance::start(&format!(
        "{}[fleet]\nbroker = \"{}\"\n[fleet.tls]\nca = {:?}\n",
        super::BOX,
        operator.broker.address(),
        operator.broker.authority.ca()
    ));
    let line = edge.line(Component::Box, "fleet", |line| line.health.fault().is_some());
    assert!(line.health.fault().unwrap().what.contains("no certificate for the fleet yet"));
    assert_eq!(line.health.word(), "degraded");
    assert!(!status(&edge).1);
    edge.reload(super::BOX);
    until("the channel is gone", || edge.status()?.line(Component::Box, "fleet").is_none().then_some(()));
    let (shown, is_seen) = status(&edge);
    assert!(!is_seen && shown.contains("not one of a fleet"), "{shown}");
    assert!(!operator.broker.log().contains("New connection"), "{}", operator.broker.log());
    edge.stop();
}
