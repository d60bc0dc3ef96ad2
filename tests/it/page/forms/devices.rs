//! Keys of devices that push files, and the keys of the box.

use std::process::Command;

use sapphire_edge::status::Component;
use serde_json::{Value, json};

use super::{send, settings};
use crate::page::{SETTINGS, claimed};
use crate::peers::program::{have, text};
use crate::peers::ssh::key;

/// What ssh-keygen says of a public key.
fn fingerprint(folder: &std::path::Path, line: &str, hash: &str) -> String {
    let file = folder.join("shown.pub");
    std::fs::write(&file, format!("{line}\n")).unwrap();
    let output = Command::new("ssh-keygen").args(["-E", hash, "-l", "-f"]).arg(&file).output().unwrap();
    text(&output.stdout).split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn keys_are_added_and_taken_out_and_fingerprints_are_those_that_openssh_shows() {
    if !have("ssh-keygen") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let public = |name: &str, kind: &[&str]| key(folder.path(), name, kind).unwrap().trim().to_owned();
    let (first, second) = (public("first", &["-t", "ed25519"]), public("second", &["-t", "ecdsa"]));
    let Some((edge, ada)) = claimed(SETTINGS) else { return };
    // The source comes with its first device.
    let fields =
        [("id", "ces"), ("listen", "tcp://127.0.0.1:0"), ("device.name", "esa1"), ("device.keys", first.as_str())];
    let bad = [("id", "ces"), ("listen", "tcp://127.0.0.1:0"), ("device.name", "esa1"), ("device.keys", "no key")];
    let refused = send(&ada, "/add/source/ssh", &bad);
    assert!(refused.status == 422 && refused.body.contains("id=\"f-device-keys-fault\""), "{}", refused.body);
    let added = send(&ada, "/add/source/ssh", &fields);
    assert_eq!(added.status, 303, "{}", added.body);
    edge.line(Component::Source, "ces", |line| line.health.word() == "healthy");
    let prints = |name: &str| -> Vec<Value> {
        let devices = ada.get("/api/v1/sources/ces/devices").json();
        let all = devices["devices"].as_array().unwrap().iter().find(|device| device["name"] == name).cloned();
        all.map(|device| device["keys"].as_array().unwrap().iter().map(|key| key["fingerprint"].clone()).collect())
            .unwrap_or_default()
    };
    let shown = |line: &str| json!(fingerprint(folder.path(), line, "sha256"));
    assert_eq!(prints("esa1"), [shown(&first)]);
    // One more key for it, and another device; what is no key is told at its field.
    let wrong = send(&ada, "/source/ces/device/add", &[("name", "esa1"), ("keys", "ssh-rsa AAAA")]);
    assert!(wrong.status == 422 && wrong.body.contains("device-keys-fault"), "{}", wrong.body);
    assert_eq!(send(&ada, "/source/ces/device/add", &[("name", "esa1"), ("keys", &second)]).status, 303);
    assert_eq!(prints("esa1"), [shown(&first), shown(&second)]);
    let csrf = ada.csrf();
    let keys = json!({ "keys": [second] });
    assert_eq!(ada.json("PUT", "/api/v1/sources/ces/devices/esa.2", &keys, &csrf).status, 204);
    let print = shown(&first);
    assert_eq!(
        send(&ada, "/source/ces/device/remove", &[("name", "esa1"), ("key", print.as_str().unwrap())]).status,
        303
    );
    assert_eq!((prints("esa1"), prints("esa.2")), (vec![shown(&second)], vec![shown(&second)]));
    assert_eq!(ada.json("DELETE", "/api/v1/sources/ces/devices/esa1", &json!({}), &csrf).status, 204);
    assert!(!settings(&ada).contains("esa1") && settings(&ada).contains("esa.2"));
    let last = ada.json("DELETE", "/api/v1/sources/ces/devices/esa.2", &json!({}), &csrf);
    assert!(last.status == 422 && settings(&ada).contains("esa.2"), "without a device it is no source: {last:?}");
    // The box's own keys, in every form that a device may show.
    let page = ada.get("/source/ces/edit").body;
    let devices = ada.get("/api/v1/sources/ces/devices").json();
    for host_key in devices["host_keys"].as_array().unwrap() {
        let line = host_key["line"].as_str().unwrap();
        let public = line.strip_prefix("127.0.0.1 ").unwrap();
        assert_eq!(host_key["sha256"], fingerprint(folder.path(), public, "sha256"));
        assert_eq!(format!("MD5:{}", host_key["md5"].as_str().unwrap()), fingerprint(folder.path(), public, "md5"));
        assert!(page.contains(host_key["md5"].as_str().unwrap()) && page.contains(line), "{page}");
    }
    assert_eq!(devices["host_keys"].as_array().unwrap().len(), 3);
    assert!(page.contains("<bdi>esa.2</bdi>") && page.contains("<bdi>mail_esa.2: a name"), "{page}");
    edge.stop();
}
