//! Backups of the settings: from one box to another, on the page and by command, with a way back.

use std::fs;

use sapphire_edge::status::Component;
use serde_json::json;

use super::{SETTINGS, claimed, viewer};
use crate::peers::appliance::{Appliance, program, until};

const WORDS: &str = "correct horse battery staple";

fn settings(edge: &Appliance, arguments: &[&str]) -> std::process::Output {
    program().arg("settings").args(arguments).arg("--config").arg(edge.settings()).output().unwrap()
}

#[test]
fn another_box_does_the_same_work_with_a_backup() {
    let Some((edge, ada)) = claimed(&format!("# our notes\n{SETTINGS}")) else { return };
    let csrf = ada.csrf();
    let put = ada.form("/files/put", &[("csrf", &csrf), ("name", "umbrella"), ("content", "the secret of umbrella")]);
    assert_eq!(put.status, 200, "{}", put.body);
    let path = ada.get("/api/v1/files").json()["files"][0]["path"].as_str().unwrap().to_owned();
    let source = format!(
        "\n[[source]]\nid = \"umbrella\"\ntype = \"umbrella\"\nbucket = \"logs\"\nregion = \"eu-central-1\"\nprefix = \"1\"\n\
         endpoint = \"https://127.0.0.1:1\"\naccess_key_id = \"AKIAIOSFODNN7EXAMPLE\"\nsecret_access_key_file = {path:?}\n"
    );
    let now = ada.get("/api/v1/settings").json();
    let text = format!("{}{source}", now["text"].as_str().unwrap());
    let applied = ada.json("PUT", "/api/v1/settings", &json!({ "text": text, "version": now["version"] }), &csrf);
    assert_eq!(applied.status, 200, "{}", applied.body);
    // Made on the page, with a passphrase that is typed twice and long enough.
    let fetch = |words: &str, again: &str| {
        ada.fetch("/support/backup", &[("csrf", &csrf), ("passphrase", words), ("again", again)])
    };
    let (status, page) = fetch("short", "short");
    assert!(status == 422 && String::from_utf8_lossy(&page).contains("too short"));
    let (status, page) = fetch(WORDS, "another one at last");
    assert!(status == 422 && String::from_utf8_lossy(&page).contains("not the same"));
    let (status, backup) = fetch(WORDS, WORDS);
    assert!(status == 200 && backup.starts_with(b"sapphire-edge sealed 1\n"));
    let found = |what: &[u8]| backup.windows(what.len()).any(|window| window == what);
    assert!(!found(b"umbrella") && !found(b"our notes"), "all of it is sealed");
    let file = edge.folder().join("edge.backup");
    fs::write(&file, &backup).unwrap();
    // Brought to another box that has a file of that name already.
    let Some((other, eve)) = claimed("[page]\nlisten = [\"127.0.0.1:0\"]\n") else { return };
    let secret = eve.csrf();
    let put = eve.form("/files/put", &[("csrf", &secret), ("name", "umbrella"), ("content", "another secret")]);
    assert_eq!(put.status, 200, "{}", put.body);
    let upload = format!("@{}", file.display());
    let wrong =
        eve.multipart("/support/restore", &[("csrf", &secret), ("words", "not the words"), ("backup", &upload)]);
    assert!(wrong.status == 422 && wrong.body.contains("restore-words-fault"), "{}", wrong.body);
    let stranger = eve.multipart("/support/restore", &[("csrf", "x"), ("words", WORDS), ("backup", &upload)]);
    assert_eq!(stranger.status, 403);
    let looked = eve.multipart("/support/restore", &[("csrf", &secret), ("words", WORDS), ("backup", &upload)]);
    assert!(looked.status == 200 && looked.body.contains("Take into use"), "{}", looked.body);
    assert!(looked.body.contains("made by edge-1") && looked.body.contains("# our notes"), "{}", looked.body);
    assert!(other.status().unwrap().line(Component::Source, "umbrella").is_none(), "it is not in use yet");
    let restored = other.folder().join("files/2-umbrella");
    assert_eq!(fs::read_to_string(&restored).unwrap(), "the secret of umbrella");
    assert_eq!(fs::read_to_string(other.folder().join("files/umbrella")).unwrap(), "another secret");
    // And the same by command, taken into use at once.
    let words = other.folder().join("words");
    fs::write(&words, format!("{WORDS}\n")).unwrap();
    let (file, words) = (file.to_str().unwrap(), words.to_str().unwrap());
    let applied = settings(&other, &["restore", file, "--passphrase-file", words]);
    let told = format!("{}{}", String::from_utf8_lossy(&applied.stdout), String::from_utf8_lossy(&applied.stderr));
    assert!(applied.status.success() && told.contains("made by edge-1") && told.contains("in use"), "{told}");
    other.line(Component::Source, "umbrella", |_| true);
    let text = fs::read_to_string(other.settings()).unwrap();
    assert!(text.contains("2-umbrella") && text.contains("# our notes"), "{text}");
    let again = other.folder().join("again.backup");
    let made = settings(&other, &["backup", again.to_str().unwrap(), "--passphrase-file", words]);
    assert!(made.status.success() && fs::read(&again).unwrap().starts_with(b"sapphire-edge sealed 1\n"), "{made:?}");
    let bad = settings(&other, &["restore", words, "--passphrase-file", words]);
    assert!(String::from_utf8_lossy(&bad.stderr).contains("no file that a box has sealed"), "{bad:?}");
    edge.stop();
    other.stop();
}

#[test]
fn a_viewer_gets_no_backup_and_each_is_told() {
    let Some((edge, ada)) = claimed(SETTINGS) else { return };
    let bob = viewer(&edge, &ada);
    let words = json!({ "passphrase": WORDS });
    assert_eq!(bob.json("POST", "/api/v1/backup", &words, &bob.csrf()).status, 403);
    assert_eq!(bob.multipart("/support/restore", &[("csrf", &bob.csrf()), ("words", WORDS)]).status, 403);
    let made = ada.json("POST", "/api/v1/backup", &words, &ada.csrf());
    assert!(made.status == 200 && made.headers.contains("attachment; filename="), "{}", made.headers);
    let none = json!({ "sealed": "AAAA", "passphrase": WORDS });
    assert_eq!(ada.json("POST", "/api/v1/backup/restore", &none, &ada.csrf()).status, 422);
    until("both are events", || {
        let events = fs::read_to_string(edge.folder().join("events.ndjson")).unwrap_or_default();
        let all = ["ada fetches a backup of the settings", "ada puts the files of a backup into the box"];
        all.iter().all(|words| events.contains(words)).then_some(())
    });
    assert!(!edge.stop().contains(WORDS));
}
