//! Chromium through playwright-core, with axe-core on every page; the pictures stay in `target/page`.

use std::net::UdpSocket;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::{SETTINGS, address, said};
use crate::peers::appliance::Appliance;
use crate::peers::program::{have, node};

/// Goes through all pages; returns what the script told.
fn visit(edge: &Appliance, code: &str, device: &str) -> Option<Value> {
    if !have("chromium") {
        return None;
    }
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/page");
    std::fs::create_dir_all(&pictures).unwrap();
    let mut command = node("page.js")?;
    command.arg(format!("https://{}", address(edge))).arg(code).arg(&pictures).arg(device);
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
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = text.lines().last().and_then(|line| serde_json::from_str(line).ok());
    Some(told.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr))))
}

#[test]
fn a_person_gets_from_the_first_boot_to_the_first_event_on_a_desktop_and_a_phone() {
    let edge = Appliance::start(SETTINGS);
    address(&edge);
    for (device, code) in [("desktop", said(&edge, "claim code").as_str()), ("phone", "-")] {
        let Some(told) = visit(&edge, code, device) else { return };
        assert_eq!(told["error"], Value::Null, "{device}: {told:#}");
        assert_eq!(told["violations"].as_array().unwrap().len(), 0, "{device}: {told:#}");
        assert_eq!(told["console"].as_array().unwrap().len(), 0, "{device}: {told:#}");
        assert_eq!(told["requests"].as_array().unwrap().len(), 0, "nothing comes from elsewhere; {device}: {told:#}");
        assert_eq!(told["sideways"].as_array().unwrap().len(), 0, "nothing is cut off; {device}: {told:#}");
        assert!(told["pages"].as_array().unwrap().len() >= 9, "{device}: {told:#}");
    }
    edge.stop();
}
