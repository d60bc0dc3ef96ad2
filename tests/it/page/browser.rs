//! Every page in Chromium through playwright-core, with axe-core; the pictures stay in `target/page`.

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::{SETTINGS, address, said};
use crate::peers::appliance::Appliance;
use crate::peers::program::{have, node};

/// Somebody at the page: the command line.
fn person(edge: &Appliance, code: &str, device: &str) -> Option<Command> {
    if !have("chromium") {
        return None;
    }
    let mut command = node("page.js")?;
    command.arg(format!("https://{}", address(edge))).arg(code).arg(pictures()).arg(device);
    Some(command)
}

/// Where the pictures stay.
pub fn pictures() -> PathBuf {
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/page");
    std::fs::create_dir_all(&pictures).unwrap();
    pictures
}

/// What a person told.
pub fn told(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = text.lines().last().and_then(|line| serde_json::from_str(line).ok());
    told.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// All was well with what a person saw.
pub fn is_well(told: &Value, device: &str) {
    assert_eq!(told["error"], Value::Null, "{device}: {told:#}");
    for (list, why) in [
        ("violations", "axe-core finds nothing"),
        ("console", "no errors"),
        ("requests", "nothing comes from elsewhere"),
        ("sideways", "nothing is cut off"),
    ] {
        assert_eq!(told[list].as_array().unwrap().len(), 0, "{why}; {device}: {told:#}");
    }
}

/// Brings a bundle to a box of the administrator ada that has updates; whether there was a browser to do it.
pub fn updates(edge: &Appliance, bundle: &Path) -> bool {
    let Some(mut command) = person(edge, "-", "desktop") else { return false };
    is_well(&told(&command.arg(bundle).output().unwrap()), "desktop");
    true
}

/// Goes through all pages; returns what the script told.
fn visit(edge: &Appliance, code: &str, device: &str) -> Option<Value> {
    let mut command = person(edge, code, device)?;
    let (to, done) = (edge.address("udp://127.0.0.1:0", 0), AtomicBool::new(false));
    let output = std::thread::scope(|scope| {
        // A device that sends a little, for as long as somebody looks.
        scope.spawn(|| {
            let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
            while !done.load(Ordering::Relaxed) {
                sender.send_to(b"<13>Mar  5 10:15:30 fw1 app: hello from the test <b>&amp;", to).unwrap();
                std::thread::park_timeout(Duration::from_millis(200));
            }
        });
        let output = command.output();
        done.store(true, Ordering::Relaxed);
        output.unwrap()
    });
    Some(told(&output))
}

#[test]
fn a_person_finds_every_page_in_order_on_a_desktop_and_a_phone() {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAiRfu02Oj4BPFuYII67hMWPpbNUv4EvrIvRKI4nb67a esa1";
    let more = format!(
        "[[source]]\nid = \"ces\"\ntype = \"ssh\"\nlisten = [\"tcp://127.0.0.1:0\"]\n\
         [[source.device]]\nname = \"esa1\"\nkeys = [\"{key}\"]\n\
         [[source]]\nid = \"o365\"\ntype = \"office365\"\nenabled = false\ntenants = [\"11111111-2222-3333-4444-555555555555\"]\n\
         client_id = \"66666666-7777-8888-9999-000000000000\"\nclient_secret_file = \"{{dir}}/settings.toml\"\n[[output]]"
    );
    let edge = Appliance::start(&SETTINGS.replace("[[output]]", &more));
    address(&edge);
    for (device, code) in [("desktop", said(&edge, "claim code").as_str()), ("phone", "-")] {
        let Some(told) = visit(&edge, code, device) else { return };
        is_well(&told, device);
        assert!(told["pages"].as_array().unwrap().len() >= 15, "{device}: {told:#}");
    }
    edge.stop();
}
