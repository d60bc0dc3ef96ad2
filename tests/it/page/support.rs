//! The support bundle: a marked secret stands everywhere that the product can hold one, and no part of it is in the bundle.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{PASSWORD, SETTINGS, claimed, viewer};
use crate::peers::appliance::{Appliance, program, until};

/// The mark of every secret here: a word that stands nowhere else.
const MARK: &str = "Zq7XkW";

/// The parts of a bundle, by name.
fn parts(bundle: &[u8]) -> Vec<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bundle.tar.gz");
    fs::write(&file, bundle).unwrap();
    let output = Command::new("tar").arg("-xzf").arg(&file).arg("-C").arg(folder.path()).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let entries = fs::read_dir(folder.path().join("sapphire-edge-support")).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap())).collect()
}

/// What a secret with the mark may look like where it was written in another form.
fn forms(secret: &str) -> Vec<String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
    let hex = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    vec![secret.to_owned(), STANDARD_NO_PAD.encode(secret), URL_SAFE_NO_PAD.encode(secret), hex]
}

/// Every long line of a file that nobody else may read.
fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().filter(|line| line.len() > 20 && !line.starts_with("-----")).map(str::to_owned).collect()
}

fn secret(number: u32) -> String {
    format!("{MARK}-secret-{number}")
}

/// No secret is in the bundle, and what helps is.
fn is_clean_and_helps(bundle: &[u8], own: &[String], hash: &str) {
    let parts = parts(bundle);
    let names: Vec<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
    for name in [
        "about.txt",
        "audit.jsonl",
        "disk.txt",
        "ledger.json",
        "log.txt",
        "network.txt",
        "settings.toml",
        "status.json",
        "updates.json",
        "versions.txt",
    ] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    for (name, text) in &parts {
        assert!(!text.contains(MARK) && !text.to_lowercase().contains(&MARK.to_lowercase()), "{name}: {text}");
        for form in (1..=8).flat_map(|number| forms(&secret(number))) {
            assert!(!text.contains(&form), "{name}: {form}");
        }
        assert!(!text.contains(PASSWORD) && !text.contains(hash) && !text.contains("PRIVATE KEY"), "{name}: {text}");
        assert!(own.iter().all(|line| !text.contains(line)), "{name} holds a key");
    }
    let part = |name: &str| &parts.iter().find(|(known, _)| known == name).unwrap().1;
    // And it still helps.
    assert!(part("status.json").contains("\"firewalls\"") && part("ledger.json").contains('{'));
    assert!(part("settings.toml").contains("listen = [\"udp://127.0.0.1:0\"]"), "{}", part("settings.toml"));
    assert!(part("settings.toml").contains("secret_key = \"[removed]\""), "{}", part("settings.toml"));
    assert!(part("log.txt").contains("the page is served") && part("log.txt").contains("[secret] logs in"));
    assert!(part("audit.jsonl").contains("claims the box") && part("network.txt").contains("lo:"));
}

#[test]
fn no_secret_is_in_the_bundle_wherever_one_was_put() {
    let settings = format!(
        "# {}\n{}",
        secret(1),
        SETTINGS.replace("name = \"edge-1\"", &format!("name = \"edge-1\" # {}", secret(2)))
    );
    let ssh = "\n[[source]]\nid = \"ces\"\ntype = \"ssh\"\nlisten = [\"tcp://127.0.0.1:0\"]\n[[source.device]]\nname = \"esa1\"\n\
               password_file = \"{dir}/esa-password\"\n";
    // Known before the box starts: files that the settings name, in its own folder and elsewhere.
    let edge = Appliance::start_with(&format!("{settings}{ssh}"), program(), |command| {
        let folder = Path::new(command.get_args().last().unwrap()).parent().unwrap().to_owned();
        fs::write(folder.join("esa-password"), secret(3)).unwrap();
        fs::create_dir(folder.join("secrets")).unwrap();
        fs::write(folder.join("secrets/umbrella"), secret(4)).unwrap();
    });
    let Some(ada) = super::claim(&edge) else { return };
    let csrf = ada.csrf();
    let put = ada.form("/files/put", &[("csrf", &csrf), ("name", "duo"), ("content", &secret(5))]);
    assert_eq!(put.status, 200, "{}", put.body);
    // A password in the place of the name: it is in the audit log, in the log, and on its way to the gateway.
    assert_eq!(ada.log_in(&secret(6), "whatever it was").status, 401);
    // A password of an account, and one that was wrong.
    assert_eq!(ada.log_in("ada", &secret(7)).status, 401);
    assert_eq!(ada.log_in("ada", PASSWORD).status, 303);
    let csrf = ada.csrf();
    // Settings that the loader refuses, with a secret where none belongs: the program goes on with those before.
    let broken = format!(
        "{}\n[[source]]\nid = \"duo\"\ntype = \"duo\"\nsecret_key = \"{}\"\n",
        fs::read_to_string(edge.settings()).unwrap(),
        secret(8)
    );
    fs::write(edge.settings(), broken).unwrap();
    edge.signal(nix::sys::signal::Signal::SIGHUP);
    edge.log_line(&["the settings are wrong"]);
    let log = edge.log_line(&[&secret(6)]);
    assert!(log.contains("logs in"), "the test would prove nothing");
    until("the audit log holds it", || {
        fs::read_to_string(edge.folder().join("page/audit.jsonl")).unwrap().contains(MARK).then_some(())
    });
    let (status, bundle) = ada.fetch("/support/bundle", &[("csrf", &csrf)]);
    assert_eq!(status, 200);
    let (api, of_api) = (ada.get("/api/v1/support"), edge.folder().join("by-hand.tar.gz"));
    assert!(api.status == 200 && api.headers.contains("content-type: application/gzip"), "{}", api.headers);
    let by_hand = program().arg("support").arg(&of_api).arg("--config").arg(edge.settings()).output().unwrap();
    assert!(by_hand.status.success(), "{by_hand:?}");
    // Without a good copy the file that is wrong says by itself where the secrets are.
    let _ = fs::remove_dir_all(edge.folder().join("settings.kept"));
    let alone = edge.folder().join("alone.tar.gz");
    let by_hand = program().arg("support").arg(&alone).arg("--config").arg(edge.settings()).output().unwrap();
    assert!(by_hand.status.success(), "{by_hand:?}");
    // The RSA key is made while the others are in use already.
    edge.log_line(&["host key made", "rsa"]);
    let own: Vec<String> = ["page/certificate.key", "ssh/host_keys/ed25519", "ssh/host_keys/rsa"]
        .iter()
        .flat_map(|file| lines(&edge.folder().join(file)))
        .collect();
    let hash = fs::read_to_string(edge.folder().join("page/accounts.json")).unwrap();
    let hash = hash.split('"').find(|part| part.starts_with("$argon2id$")).unwrap().to_owned();
    for bundle in [bundle, fs::read(&of_api).unwrap(), fs::read(&alone).unwrap()] {
        is_clean_and_helps(&bundle, &own, &hash);
    }
    // A viewer gets none, and who fetched one is told.
    fs::write(edge.settings(), settings.replace("{dir}", edge.folder().to_str().unwrap())).unwrap();
    let bob = viewer(&edge, &ada);
    assert_eq!(bob.fetch("/support/bundle", &[("csrf", &bob.csrf())]).0, 403);
    assert_eq!(bob.get("/api/v1/support").status, 403);
    assert_eq!(bob.get("/support").status, 403);
    assert!(ada.get("/api/v1/audit").body.contains("ada fetches a support bundle"));
    edge.stop();
}

#[test]
fn a_box_that_does_not_run_has_a_bundle_too_and_one_whose_secrets_are_not_known_has_none() {
    let Some((mut edge, _ada)) = claimed(SETTINGS) else { return };
    edge.kill();
    let file = edge.folder().join("bundle.tar.gz");
    let support = || program().arg("support").arg(&file).arg("--config").arg(edge.settings()).output().unwrap();
    assert!(support().status.success());
    let parts = parts(&fs::read(&file).unwrap());
    let status = &parts.iter().find(|(name, _)| name == "status.json").unwrap().1;
    assert!(status.contains("no sapphire-edge answers"), "{status}");
    fs::create_dir_all(edge.folder().join("files")).unwrap();
    fs::write(edge.folder().join("files/large"), vec![b'x'; 2 << 20]).unwrap();
    let refused = support();
    assert!(!refused.status.success() && !file.exists(), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("larger than a secret"), "{refused:?}");
}
