//! An Azure Event Hubs namespace that does what the test tells it: the double of `event_hubs/`, a program of its own, so that
//! Microsoft's client can speak to it too.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::certificates::Identity;
use super::program::{Running, python};

/// The namespace's host name.
pub const NAMESPACE: &str = "contoso.servicebus.windows.net";
/// The policy that may listen, and its key.
pub const POLICY: &str = "listen";
pub const KEY: &str = "c2VjcmV0LWtleS1vZi1hLXRlc3Q=";

/// A running namespace; it ends when it is dropped.
pub struct EventHub {
    _program: Running,
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    /// Where it speaks AMQP inside TLS, and inside a WebSocket.
    pub amqps: u16,
    pub wss: u16,
    /// The token endpoint of Entra.
    pub entra: u16,
}

impl EventHub {
    /// Starts one with these hubs: names, partitions, consumer groups. `None` if peers are to be skipped.
    pub fn start(identity: &Identity, hubs: &[(&str, usize, &[&str])]) -> Option<Self> {
        let mut command = python("event_hubs/main.py")?;
        let mut program = Running::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let (mut input, output) = (program.0.stdin.take().unwrap(), program.0.stdout.take().unwrap());
        let hubs: serde_json::Map<_, _> = hubs
            .iter()
            .map(|(name, partitions, groups)| {
                ((*name).to_owned(), json!({ "partitions": partitions, "groups": groups }))
            })
            .collect();
        let settings = json!({
            "cert": identity.cert, "key": identity.key, "namespace": NAMESPACE, "hubs": hubs,
            "policies": { POLICY: KEY }, "jwt": "header.claims.signature",
        });
        writeln!(input, "{settings}").unwrap();
        let mut output = BufReader::new(output);
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let [amqps, wss, entra]: [u16; 3] = serde_json::from_str(&line).unwrap();
        Some(Self { _program: program, pipes: Mutex::new((input, output)), amqps, wss, entra })
    }

    /// Tells it something; it answers with what it has seen.
    pub fn tell(&self, command: &Value) -> Value {
        let mut pipes = self.pipes.lock().unwrap();
        writeln!(pipes.0, "{command}").unwrap();
        let mut line = String::new();
        pipes.1.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|err| panic!("{command}: {err}: {line}"))
    }

    /// What it has seen.
    pub fn state(&self) -> Value {
        self.tell(&json!({ "do": "state" }))
    }

    /// Puts events into a partition.
    pub fn send(&self, hub: &str, partition: usize, bodies: impl IntoIterator<Item = impl AsRef<[u8]>>) {
        let bodies: Vec<String> = bodies.into_iter().map(|body| STANDARD.encode(body)).collect();
        self.tell(&json!({ "do": "send", "hub": hub, "partition": partition.to_string(), "bodies": bodies }));
    }

    /// The next `times` that something is done (`attach`, `token`, `read`), it is refused so.
    pub fn fault(&self, on: &str, at: &str, condition: &str, times: u32) {
        self.tell(&json!({ "do": "fault", "on": on, "at": at, "condition": condition, "times": times }));
    }

    /// Its client did nothing that the protocol forbids.
    pub fn is_content(&self) {
        assert_eq!(self.state()["wrong"], json!([]));
    }
}

/// The connection string as the portal shows it.
pub fn connection_string() -> String {
    format!("Endpoint=sb://{NAMESPACE}/;SharedAccessKeyName={POLICY};SharedAccessKey={KEY}")
}
