use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sapphire_edge::status::Component;
use serde_json::{Value, json};

use super::{Ear, ID, Operator, archived, at};
use crate::peers::appliance::Appliance;

fn start(operator: &Operator) -> (Ear, Appliance) {
    let (ear, edge) = (operator.listen(), operator.start_box());
    edge.line(Component::Box, "fleet", |line| line.health.word() == "healthy");
    edge.line(Component::Source, "firewalls", |line| line.health.word() == "healthy");
    (ear, edge)
}

#[test]
fn a_source_is_restarted_and_settings_are_changed_with_a_way_back() {
    let Some(operator) = Operator::start() else { return };
    let (ear, edge) = start(&operator);
    let file = || std::fs::read_to_string(edge.settings()).unwrap();
    let ask = |deed: Value| ear.answer(&operator.send(&deed));
    let answer = ask(json!({"restart_source": {"source": "firewalls"}}));
    assert_eq!((&answer["outcome"], &answer["deed"]), (&"done".into(), &"restart_source".into()), "{answer}");
    let event = archived(&edge, |json| json["event"]["action"] == "source_restarted");
    assert!(event["message"].as_str().unwrap().starts_with("the fleet's operator (command "), "{event}");
    let answer = ask(json!({"restart_source": {"source": "nobody"}}));
    assert_eq!(answer["outcome"], "failed");
    assert!(answer["words"].as_str().unwrap().contains("the sources are: firewalls"), "{answer}");

    let level = |level: &str| json!({"settings": {"set": {"table": "log", "values": {"level": level}}}});
    let answer = ask(level("debug"));
    assert_eq!(answer["outcome"], "done", "{answer}");
    assert!(file().contains("level = \"debug\""), "{}", file());
    let answer = ask(level("loud"));
    assert!(answer["outcome"] == "failed" && answer["words"].as_str().unwrap().contains("log.level"), "{answer}");
    assert!(file().contains("level = \"debug\""));
    let answer = ask(json!({"settings": {"set": {"table": "fleet", "values": {"keys": null}}}}));
    assert!(answer["words"].as_str().unwrap().contains("is not changed over its own channel"), "{answer}");
    // What might lock people out goes back, unless the operator still reaches the box.
    let answer = ask(json!({"settings": {"set": {"table": "page", "values": {"listen": ["127.0.0.1:0"]}}}}));
    assert!(answer["words"].as_str().unwrap().contains("unless confirm_settings comes"), "{answer}");
    assert_eq!(ask(json!("confirm_settings"))["outcome"], "done");
    assert!(file().contains("[page]"));
    assert_eq!(ask(json!("confirm_settings"))["outcome"], "failed");
    ear.event("settings_changed");
    ear.event("fleet_command");
    ear.is_as_described();
    edge.stop();
}

#[test]
fn a_support_bundle_comes_in_pieces() {
    let Some(operator) = Operator::start() else { return };
    let (ear, edge) = start(&operator);
    let command = operator.send(&json!("support_bundle"));
    let answer = ear.answer(&command);
    assert_eq!(answer["outcome"], "done", "{answer}");
    let pieces = ear.all("answer").into_iter().filter(|json| json["outcome"] == "piece");
    let pieces: Vec<Value> = pieces.map(|json| json["piece"].clone()).collect();
    assert_eq!(answer["bundle"]["pieces"], pieces.len());
    let bytes: Vec<u8> = pieces
        .iter()
        .zip(1..)
        .flat_map(|(piece, number)| {
            assert_eq!(piece["number"], number, "in their order");
            STANDARD.decode(piece["data"].as_str().unwrap()).unwrap()
        })
        .collect();
    assert_eq!(answer["bundle"]["bytes"], bytes.len());
    let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
    let sum: String = sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(answer["bundle"]["sha256"], sum);
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(bytes.as_slice()).read_to_end(&mut tar).unwrap();
    let tar = String::from_utf8_lossy(&tar);
    for part in ["sapphire-edge-support/status.json", "sapphire-edge-support/settings.toml", "firewalls"] {
        assert!(tar.contains(part), "{part}");
    }
    ear.is_as_described();
    edge.stop();
}

#[test]
fn what_is_forged_replayed_expired_foreign_or_garbled_is_refused_and_becomes_a_security_event() {
    let Some(operator) = Operator::start() else { return };
    let (ear, mut edge) = start(&operator);
    let deed = json!({"restart_source": {"source": "firewalls"}});
    let payload = Operator::payload(&deed);
    let good = operator.sign(&payload, "fleet");
    operator.send_signed(&good);
    assert_eq!(ear.answer(payload["id"].as_str().unwrap())["outcome"], "done");
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut payload = Operator::payload(&deed);
        change(&mut payload);
        payload
    };
    // By another key; by the right key, and changed since.
    operator.send_signed(&operator.sign(&Operator::payload(&deed), "other"));
    let event = ear.refused("forged");
    assert_eq!(event["outcome"], "failure");
    archived(&edge, |json| json["notice"]["wrong"] == "forged");
    let tampered = String::from_utf8(operator.sign(&Operator::payload(&deed), "fleet")).unwrap();
    operator.send_signed(tampered.replace("firewalls", "firewall5").as_bytes());
    operator.send_signed(&good);
    ear.refused("replayed");
    let old = changed(&|json| (json["issued"], json["expires"]) = (at(-7_200).into(), at(-3_900).into()));
    operator.send_signed(&operator.sign(&old, "fleet"));
    ear.refused("expired");
    let answer = ear.answer(old["id"].as_str().unwrap());
    assert_eq!(
        (&answer["outcome"], &answer["wrong"]),
        (&"refused".into(), &"expired".into()),
        "who may command is told"
    );
    let foreign = changed(&|json| json["to"] = "edge-8".into());
    operator.send_signed(&operator.sign(&foreign, "fleet"));
    ear.refused("foreign");
    operator.send_signed(b"{");
    ear.refused("garbled");
    for wrong in ["replayed", "expired", "foreign", "garbled"] {
        archived(&edge, |json| json["notice"]["wrong"] == wrong);
    }
    // Nor does a restart make it forget.
    edge.kill();
    edge.restart();
    edge.line(Component::Box, "fleet", |line| line.health.word() == "healthy");
    let before = ear.all("event").len();
    operator.send_signed(&good);
    let is_new = |json: &Value| json["facts"]["wrong"] == "replayed";
    crate::peers::until("it is still known", || ear.all("event").into_iter().skip(before).find(is_new));
    let done = ear.all("event").into_iter().filter(|json| json["action"] == "source_restarted").count();
    assert_eq!(done, 1, "of all these one was a command");
    assert!(ear.all("answer").iter().all(|json| json["box"] == ID));
    ear.is_as_described();
    edge.stop();
}

#[test]
fn a_flood_of_messages_is_bounded_and_counted() {
    let Some(operator) = Operator::start() else { return };
    let (ear, edge) = start(&operator);
    let forged = operator.sign(&Operator::payload(&json!("support_bundle")), "other");
    operator.broker.publish_with(&format!("sapphire/v1/{ID}/command"), &forged, &["--repeat", "100"]);
    ear.refused("too_many");
    let refused = ear.all("event").into_iter().filter(|json| json["action"] == "fleet_refused").count();
    assert!(refused <= 3, "{refused} events of 100 messages");
    edge.line(Component::Box, "fleet", |line| line.health.word() == "healthy");
    ear.is_as_described();
    edge.stop();
}
