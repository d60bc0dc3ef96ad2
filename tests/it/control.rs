//! `status` and `tap` against the running program.

use std::io::{BufRead as _, BufReader};
use std::net::UdpSocket;
use std::process::{Output, Stdio};

use sapphire_edge::status::{Component, Health};

use crate::peers::appliance::{Appliance, program, until};

const SYSLOG: &str = r#"
name = "edge-1"
[web]
listen = "127.0.0.1:0"
[[source]]
id = "firewalls"
type = "syslog"
listen = ["udp://127.0.0.1:0"]
"#;

fn status(appliance: &Appliance, more: &[&str]) -> Output {
    program().arg("status").arg("--config").arg(appliance.settings()).args(more).output().unwrap()
}

#[test]
fn status_shows_a_table_and_json_and_the_page_says_the_same() {
    let appliance = Appliance::start(SYSLOG);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(b"<13>hello", appliance.address("udp://127.0.0.1:0", 0)).unwrap();
    appliance.received("firewalls", 1);
    appliance.line(Component::Box, "web", |line| line.health == Health::Healthy);
    let output = status(&appliance, &[]);
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{table}");
    let line = table.lines().find(|line| line.starts_with("source")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["source", "firewalls", "healthy", "1", "0"], "{table}");
    let json: serde_json::Value = serde_json::from_slice(&status(&appliance, &["--json"]).stdout).unwrap();
    let source = &json["components"][0];
    assert_eq!((&source["id"], &source["counts"]["received_events"]), (&"firewalls".into(), &1.into()));
    let (code, health) = appliance.get("/healthz");
    assert_eq!(code, 200, "{health}");
    let (_, metrics) = appliance.get("/metrics");
    assert!(
        metrics.contains("sapphire_edge_received_events_total{component=\"source\",id=\"firewalls\"} 1\n"),
        "{metrics}"
    );
    appliance.stop();
}

#[test]
fn the_socket_may_be_named_and_its_absence_is_told() {
    let appliance = Appliance::start("[control]\nsocket = \"{dir}/elsewhere.sock\"\n");
    appliance.log_line(&["requests are answered"]);
    assert!(status(&appliance, &[]).status.success());
    let socket = appliance.folder().join("elsewhere.sock");
    let named = program().arg("status").arg("--socket").arg(&socket).output().unwrap();
    assert!(named.status.success());
    // A file that became wrong since the start still names the socket.
    std::fs::write(appliance.settings(), format!("nane = 1\n[control]\nsocket = {socket:?}\n")).unwrap();
    assert!(status(&appliance, &[]).status.success());
    let settings = appliance.settings();
    appliance.stop();
    let output = program().arg("status").arg("--config").arg(settings).output().unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(words.starts_with("no sapphire-edge answers at"), "{words}");
}

#[test]
fn two_programs_do_not_fight_over_one_control_socket() {
    let first = Appliance::start("[control]\nsocket = \"{dir}/control.sock\"\n");
    first.log_line(&["requests are answered"]);
    let socket = first.folder().join("control.sock");
    let second = Appliance::start(&format!("[control]\nsocket = {socket:?}\n"));
    second.log_line(&["another sapphire-edge already listens"]);
    assert!(first.status().is_some(), "the first still answers");
    second.stop();
    assert!(first.status().is_some(), "and has kept its socket");
    first.stop();
}

#[test]
fn a_tap_shows_events_as_they_are_forwarded_and_ends_with_the_program() {
    let appliance = Appliance::start(SYSLOG);
    let address = appliance.address("udp://127.0.0.1:0", 0);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let tap = |arguments: &[&str]| {
        let mut command = program();
        command.arg("tap").arg("--config").arg(appliance.settings()).args(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut child = tap(&["--source", "firewalls"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The tap begins somewhere between these messages.
    let (stop, stopped) = std::sync::mpsc::sync_channel::<()>(1);
    let sending = std::thread::spawn(move || {
        while stopped.recv_timeout(std::time::Duration::from_millis(20)).is_err() {
            sender.send_to(b"<134>1 2026-11-24T08:00:00Z fw1 app 7 - - look", address).unwrap();
        }
    });
    let event: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(event["message"], "<134>1 2026-11-24T08:00:00Z fw1 app 7 - - look");
    assert_eq!((&event["host"]["name"], &event["agent"]["name"]), (&"fw1".into(), &"edge-1".into()));
    stop.send(()).unwrap();
    sending.join().unwrap();

    let unknown = tap(&["--source", "nix"]).wait_with_output().unwrap();
    let words = String::from_utf8(unknown.stderr).unwrap();
    assert_eq!(words, "there is no source \"nix\"; the sources are: firewalls\n");
    assert_eq!(unknown.status.code(), Some(1));

    appliance.stop();
    let status = until("the tap ends", || child.try_wait().unwrap());
    assert!(status.success());
}

#[test]
fn status_fails_when_something_has_failed_and_says_what_to_do() {
    let appliance = Appliance::start(&format!(
        "{SYSLOG}\n[[output]]\nid = \"gateway\"\ntype = \"lumberjack\"\nendpoint = [\"127.0.0.1:1\"]\n"
    ));
    appliance.line(Component::Output, "gateway", |line| matches!(line.health, Health::Failed(_)));
    let output = status(&appliance, &[]);
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{table}");
    assert!(table.contains("output gateway is failed since 20") && table.contains("\n  to do: "), "{table}");
    appliance.line(Component::Box, "web", |line| line.health == Health::Healthy);
    assert_eq!(appliance.get("/healthz").0, 503);
    appliance.stop();
}
