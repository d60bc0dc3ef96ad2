//! The channel to the fleet's operator: the program as it ships, and Mosquitto with TLS, client certificates and an access list.

/// What the box says, and what the broker says of it.
mod channel;
/// Commands, good and bad.
mod commands;
/// A thousand boxes.
mod crowd;
/// Versions that are offered, with the real RAUC.
mod offer;
/// The broker is away, or the box is; certificates that are renewed.
mod outage;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::peers::appliance::{Appliance, program, until};
use crate::peers::certificates::Identity;
use crate::peers::mosquitto::{Broker, Message, Subscriber};
use crate::peers::program::{have, python, run, run_with_input, text};

/// As the README says: a box writes its own topics, and reads what is for it.
const ACCESS: &str = "user siem\ntopic readwrite sapphire/v1/#\n\
    pattern write sapphire/v1/%u/status\npattern write sapphire/v1/%u/inventory\npattern write sapphire/v1/%u/ledger\n\
    pattern write sapphire/v1/%u/event\npattern write sapphire/v1/%u/answer\n\
    pattern read sapphire/v1/%u/command\npattern read sapphire/v1/all/offer/#\n";
const LISTENER: &str = "require_certificate true\nuse_identity_as_username true\n";
/// The box.
const ID: &str = "edge-7";

/// An operator with a broker and a key.
struct Operator {
    broker: Broker,
    keys: tempfile::TempDir,
}

impl Operator {
    /// `None` if that is to be skipped.
    fn start() -> Option<Self> {
        if !have("openssl") {
            return None;
        }
        let operator = Self { broker: Broker::start_with(LISTENER, ACCESS)?, keys: tempfile::tempdir().unwrap() };
        operator.make_key("fleet");
        operator.make_key("other");
        Some(operator)
    }

    fn key(&self, name: &str) -> PathBuf {
        self.keys.path().join(name)
    }

    fn make_key(&self, name: &str) {
        let (key, public) = (self.key(name), self.key(&format!("{name}.pem")));
        run(Command::new("openssl").args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(&key));
        run(Command::new("openssl").args(["pkey", "-pubout", "-in"]).arg(&key).arg("-out").arg(&public));
    }

    /// The `[fleet]` table of a box with this certificate.
    fn settings(&self, identity: &Identity) -> String {
        format!(
            "[fleet]\nbroker = \"{}\"\nkeys = {:?}\n[fleet.tls]\nca = {:?}\ncert = {:?}\nkey = {:?}\n",
            self.broker.address(),
            self.key("fleet.pem"),
            self.broker.authority.ca(),
            identity.cert,
            identity.key,
        )
    }

    /// A box with a source, and an output that keeps what it says of itself.
    fn start_box(&self) -> Appliance {
        let identity = self.broker.authority.identity(ID);
        Appliance::start(&format!("{BOX}{}", self.settings(&identity)))
    }

    /// What the README's commands make of a payload.
    fn sign(&self, payload: &Value, key: &str) -> Vec<u8> {
        let (file, signature) = (self.key("command.json"), self.key("command.sig"));
        fs::write(&file, payload.to_string()).unwrap();
        let script = "openssl pkeyutl -sign -rawin -inkey \"$1\" -in \"$2\" -out \"$3\" && \
                      printf '{\"form\": 1, \"payload\": \"%s\", \"signature\": \"%s\"}' \
                      \"$(sed 's/[\\\\\"]/\\\\&/g' \"$2\")\" \"$(base64 -w 0 \"$3\")\"";
        let arguments = [self.key(key), file, signature];
        let output = Command::new("sh").args(["-c", script, "sh"]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        output.stdout
    }

    /// A command to the box that is fresh.
    fn payload(deed: &Value) -> Value {
        let id = format!("{:032x}", rand::random::<u128>());
        json!({ "id": id, "to": ID, "issued": at(0), "expires": at(600), "do": deed })
    }

    /// Sends a command; its id.
    fn send(&self, deed: &Value) -> String {
        let payload = Self::payload(deed);
        self.send_signed(&self.sign(&payload, "fleet"));
        payload["id"].as_str().unwrap().to_owned()
    }

    fn send_signed(&self, bytes: &[u8]) {
        self.broker.publish(&format!("sapphire/v1/{ID}/command"), bytes, false);
    }

    /// Offers a manifest to all boxes of a kind.
    fn offer(&self, compatible: &str, version: &str, stage: f64, manifest: &[u8]) {
        let mut payload = Self::payload(&json!({ "offer": {
            "version": version, "compatible": compatible, "stage": stage, "manifest": text(manifest),
        }}));
        payload["to"] = "all".into();
        self.broker.publish(&format!("sapphire/v1/all/offer/{compatible}"), &self.sign(&payload, "fleet"), true);
    }

    /// Hears everything that the boxes say.
    fn listen(&self) -> Ear {
        Ear(self.broker.subscribe("sapphire/v1/#"))
    }
}

const BOX: &str = "name = \"edge\"\n[[source]]\nid = \"firewalls\"\ntype = \"syslog\"\nlisten = [\"udp://127.0.0.1:0\"]\n\
    [[output]]\nid = \"archive\"\ntype = \"file\"\npath = \"{dir}/events.ndjson\"\n";

/// So many seconds from now.
fn at(seconds: i64) -> String {
    (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds)).to_string()
}

/// A subscriber that knows what the messages are.
struct Ear(Subscriber);

impl Ear {
    /// What the box said under this topic so far, the oldest first.
    fn all(&self, kind: &str) -> Vec<Value> {
        let topic = format!("sapphire/v1/{ID}/{kind}");
        let messages = self.0.messages().into_iter().filter(|message| message.topic == topic);
        messages.map(|message| serde_json::from_str(&message.payload).unwrap()).collect()
    }

    /// Waits for a message as wanted.
    fn until(&self, what: &str, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        crate::peers::try_until(|| self.all(kind).into_iter().rev().find(&wanted))
            .unwrap_or_else(|| panic!("waited in vain for {what}: {:#?}", self.all(kind).last()))
    }

    /// Waits for the answer to a command that is no piece.
    fn answer(&self, command: &str) -> Value {
        self.until("an answer", "answer", |json| json["command"] == command && json["outcome"] != "piece")
    }

    fn event(&self, action: &str) -> Value {
        self.until(action, "event", |json| json["action"] == action)
    }

    /// Waits for the security event of a refused message.
    fn refused(&self, wrong: &str) -> Value {
        let is_it = |json: &Value| json["action"] == "fleet_refused" && json["facts"]["wrong"] == wrong;
        self.until(wrong, "event", is_it)
    }

    /// Holds everything that was said against its schema.
    fn is_as_described(&self) {
        is_as_described(&self.0.messages());
    }
}

/// Holds messages against their schemas.
fn is_as_described(messages: &[Message]) {
    let Some(mut check) = python("schemas.py") else { return };
    let schemas = program().args(["fleet", "schema"]).output().unwrap();
    assert!(schemas.status.success());
    let schemas: Value = serde_json::from_slice(&schemas.stdout).unwrap();
    let mut lines = format!("{schemas}\n");
    for message in messages.iter().filter(|message| !message.payload.is_empty()) {
        let level = message.topic.rsplit('/').next().unwrap();
        let name = if message.topic.starts_with("sapphire/v1/all/offer") { "command" } else { level };
        let payload = message.payload.replace('\n', "\\n");
        // What a test sends that is no command is none of ours.
        if name == "command" && serde_json::from_str::<Value>(&payload).is_err() {
            continue;
        }
        lines += &format!("{name}\t{payload}\n");
    }
    let output = run_with_input(&mut check, lines.as_bytes());
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    assert!(lines.lines().count() > 3, "something was said");
}

/// What the box wrote of itself for the SIEM.
fn archived(edge: &Appliance, wanted: impl Fn(&Value) -> bool) -> Value {
    until("an event in the archive", || {
        let file = fs::read_to_string(edge.folder().join("events.ndjson")).unwrap_or_default();
        let mut events = file.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.find(&wanted)
    })
}

/// `fleet status` of this box: what it printed, and whether the operator sees it.
fn status(edge: &Appliance) -> (String, bool) {
    let output = program().args(["fleet", "status", "--config"]).arg(edge.settings()).output().unwrap();
    (text(&output.stdout) + &text(&output.stderr), output.status.success())
}
