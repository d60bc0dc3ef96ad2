//! Who may log in, from where, until when, and by which algorithms.

use std::process::Command;

use sapphire_edge::status::{Component, Count};
use serde_json::Value;

use crate::peers::program::{python_tool, run};
use crate::peers::ssh::{LISTEN, More, Site, good, key};
use crate::peers::until;

fn pushes(site: &Site, key: &str, words: &[&str]) -> bool {
    let file = site.file("probe", format!("probe {key} {words:?}\n"));
    let mut command = site.openssh_with("scp", key, words);
    command.arg("-O").arg(file).arg("127.0.0.1:").output().unwrap().status.success()
}

#[test]
fn a_stranger_is_refused_told_of_and_in_the_end_shut_out() {
    let Some(site) = Site::start(More { source: "ban_after = 3\nban_for = \"10m\"", ..More::default() }) else {
        return;
    };
    assert!(!pushes(&site, "stranger", &[]));
    until("the far end is told", || {
        site.gateway.notices().values().any(|n| n["kind"] == "ssh_key_unknown").then_some(())
    });
    assert!(!pushes(&site, "ed25519", &["-o", "User=somebody"]));
    assert!(pushes(&site, "ed25519", &[]), "a login forgives");
    for _ in 0..3 {
        assert!(!pushes(&site, "stranger", &[]));
    }
    assert!(!pushes(&site, "ed25519", &[]), "its address is refused");
    until("the far end is told", || {
        site.gateway.notices().values().any(|n| n["kind"] == "ssh_address_refused").then_some(())
    });
    let password = site.openssh("scp", &["-O", "-o", "PreferredAuthentications=password"]);
    assert!(!{ password }.arg(site.file("p", "p")).arg("127.0.0.1:").output().unwrap().status.success());
    site.edge.stop();
}

#[test]
fn a_key_is_taken_only_from_where_and_while_its_line_says() {
    for (before_keys, words) in
        [("from=\"192.0.2.0/24\"", "from="), ("restrict,expiry-time=\"20200101\"", "has expired")]
    {
        let Some(site) = Site::start(More { before_keys, ..More::default() }) else { return };
        assert!(!pushes(&site, "ed25519", &[]), "{before_keys}");
        let is_told = |text: &str| text.contains("esa1") && text.contains(words);
        site.edge.line(Component::Source, "ces", |line| line.health.fault().is_some_and(|fault| is_told(&fault.what)));
        site.edge.stop();
    }
    let more =
        More { before_keys: "from=\"127.0.0.0/8,!127.0.0.9\",expiry-time=\"20990101\",no-pty", ..More::default() };
    let Some(site) = Site::start(more) else { return };
    assert!(pushes(&site, "ed25519", &[]));
    site.edge.stop();
}

#[test]
fn a_key_file_counts_at_the_next_login_and_a_password_only_where_it_is_set() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, password) = (folder.path().join("more.keys"), folder.path().join("password"));
    std::fs::write(&keys, "").unwrap();
    std::fs::write(&password, "").unwrap();
    let device = format!("keys_file = {keys:?}\npassword_file = {password:?}");
    let Some(site) = Site::start(More { device: &device, ..More::default() }) else { return };
    let line = key(site.home.path(), "late", &["-t", "ecdsa"]).unwrap();
    assert!(!pushes(&site, "late", &[]));
    std::fs::write(&keys, format!("# the new appliance\n\nrestrict {line}\n")).unwrap();
    assert!(pushes(&site, "late", &[]));
    std::fs::write(&password, "not so secret\n").unwrap();
    for (password, expected) in [("not so secret", true), ("wrong", false), ("", false)] {
        let mut pscp = Command::new("pscp");
        let port = site.address().port().to_string();
        let print = fingerprint(&site);
        pscp.env("HOME", site.home.path())
            .args(["-batch", "-hostkey", &print, "-scp", "-P", &port, "-l", "esa1", "-pw", password]);
        if !crate::peers::program::have("pscp") {
            break;
        }
        let output = pscp.arg(site.file("pw", "pw\n")).arg("127.0.0.1:").output().unwrap();
        assert_eq!(output.status.success(), expected, "{password:?} {output:?}");
    }
    site.edge.stop();
}

/// The Ed25519 host key's fingerprint, as `sapphire-edge ssh` shows it.
fn fingerprint(site: &Site) -> String {
    let mut program = crate::peers::appliance::program();
    let said = run(program.args(["ssh", "--config"]).arg(site.edge.settings()));
    let line = said.lines().find(|line| line.starts_with("ssh-ed25519")).unwrap_or_else(|| panic!("{said}"));
    line.split_whitespace().nth(1).unwrap().to_owned()
}

#[test]
fn host_keys_are_shown_and_a_device_that_checks_them_is_content_also_after_a_restart() {
    let address = crate::peers::free_address();
    let listen = format!("\"tcp://{address}\"");
    let more = More { listen: &listen, top: "name = \"127.0.0.1\"\n", ..More::default() };
    let Some(mut site) = Site::start(more) else { return };
    site.edge.address(&format!("tcp://{address}"), 0);
    let known = site.home.path().join("known");
    for _ in 0..2 {
        let mut program = crate::peers::appliance::program();
        let said = run(program.args(["ssh", "--config"]).arg(site.edge.settings()));
        let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("[127.0.0.1]")).collect();
        assert_eq!(lines.len(), 3, "{said}");
        if !known.exists() {
            std::fs::write(&known, lines.join("\n") + "\n").unwrap();
        }
        for algorithm in ["ssh-ed25519", "rsa-sha2-512"] {
            let mut scp = Command::new("scp");
            scp.args(["-O", "-q", "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]);
            scp.arg("-o").arg(format!("UserKnownHostsFile={}", known.display()));
            scp.arg("-o").arg(format!("HostKeyAlgorithms={algorithm}"));
            scp.args(["-P", &address.port().to_string(), "-i"]).arg(site.key("ed25519"));
            good(&scp.arg(site.file("known-file", algorithm)).arg("esa1@127.0.0.1:").output().unwrap());
        }
        site.edge.kill();
        site.edge.restart();
        site.edge.address(&format!("tcp://{address}"), 0);
    }
    site.edge.stop();
}

/// What an old AsyncOS speaks, one weakness at a time, and all together.
const OLD: [&[&str]; 6] = [
    &["-o", "KexAlgorithms=diffie-hellman-group14-sha1"],
    &["-o", "KexAlgorithms=diffie-hellman-group1-sha1"],
    &["-o", "KexAlgorithms=diffie-hellman-group-exchange-sha1"],
    &["-o", "Ciphers=aes128-cbc", "-o", "MACs=hmac-sha1"],
    &["-o", "HostKeyAlgorithms=ssh-rsa"],
    &[
        "-o",
        "KexAlgorithms=diffie-hellman-group1-sha1",
        "-o",
        "Ciphers=3des-cbc",
        "-o",
        "MACs=hmac-sha1",
        "-o",
        "HostKeyAlgorithms=ssh-rsa",
        "-o",
        "PubkeyAcceptedAlgorithms=ssh-rsa",
    ],
];

#[test]
fn old_algorithms_are_taken_on_a_legacy_address_and_nowhere_else() {
    let Some(site) = Site::start(More { source: &format!("legacy = [{LISTEN:?}]"), ..More::default() }) else { return };
    for words in OLD {
        assert!(pushes(&site, "rsa", words), "{words:?}");
    }
    site.edge.stop();
    let Some(site) = Site::start(More::default()) else { return };
    for words in OLD {
        assert!(!pushes(&site, "rsa", words), "{words:?}");
    }
    site.edge.line(Component::Source, "ces", |line| {
        line.health.fault().is_some_and(|fault| fault.todo.contains("listed under legacy"))
    });
    // The key is right, its signature is not. (OpenSSH is told beforehand and does not even offer it.)
    assert!(!old_device_logs_in(&site));
    let says = |text: &str| text.contains("esa1: the device offered only ssh-rsa with SHA-1");
    site.edge.line(Component::Source, "ces", |line| line.health.fault().is_some_and(|fault| says(&fault.what)));
    site.edge.line(Component::Source, "ces", |line| line.count(Count::BrokenConnections) >= 5);
    site.edge.stop();
}

#[test]
fn dsa_keys_are_taken_on_a_legacy_address_behind_their_own_switch() {
    let folder = tempfile::tempdir().unwrap();
    let Some(line) = key(folder.path(), "dsa", &["-t", "dsa"]) else { return };
    let keys = folder.path().join("more.keys");
    std::fs::write(&keys, line).unwrap();
    let device = format!("keys_file = {keys:?}");
    let dss = ["-o", "HostKeyAlgorithms=+ssh-dss,ssh-rsa", "-o", "PubkeyAcceptedAlgorithms=+ssh-dss"];
    let only = ["-o", "HostKeyAlgorithms=ssh-dss", "-o", "PubkeyAcceptedAlgorithms=+ssh-dss"];
    for (source, taken) in [
        (format!("legacy = [{LISTEN:?}]\nssh_dss = true"), true),
        (format!("legacy = [{LISTEN:?}]"), false),
        (String::new(), false),
    ] {
        let Some(site) = Site::start(More { source: &source, device: &device, ..More::default() }) else { return };
        let identity = folder.path().join("dsa").display().to_string();
        for words in [&dss, &only] {
            let words = [&words[..], &["-i", &identity]].concat();
            assert_eq!(pushes(&site, "dsa", &words), taken, "{source:?} {words:?}");
        }
        site.edge.stop();
    }
}

/// A device that does not know RFC 8308 and signs with SHA-1, as AsyncOS before 12.
#[derive(Debug)]
struct OldDevice;

impl russh::client::Handler for OldDevice {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _key: &russh::keys::PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

fn old_device_logs_in(site: &Site) -> bool {
    let key = russh::keys::load_secret_key(site.key("rsa"), None).unwrap();
    let key = russh::keys::PrivateKeyWithHashAlg::new(std::sync::Arc::new(key), None);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let config = std::sync::Arc::new(russh::client::Config::default());
        let mut session = russh::client::connect(config, site.address(), OldDevice).await.unwrap();
        session.authenticate_publickey("esa1", key).await.unwrap().success()
    })
}

#[test]
fn ssh_audit_finds_nothing_to_say_about_the_usual_listener() {
    let Some(site) = Site::start(More::default()) else { return };
    let Some(mut audit) = python_tool("ssh-audit") else { return };
    let output = audit.args(["-j", "-p", &site.address().port().to_string(), "127.0.0.1"]).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|err| panic!("{err}: {output:?}"));
    let mut found = Vec::new();
    for list in ["kex", "key", "enc", "mac"] {
        let algorithms = report[list].as_array().unwrap();
        assert!(!algorithms.is_empty(), "{list}");
        for algorithm in algorithms {
            for level in ["fail", "warn"] {
                let notes = algorithm["notes"].get(level).and_then(Value::as_array).into_iter().flatten();
                // A key exchange that is safe from quantum computers comes first; those without it are for the many that
                // do not know one yet.
                let notes = notes.filter(|note| !note.as_str().unwrap().contains("post-quantum"));
                found.extend(notes.map(|note| format!("{list} {}: {level} {note}", algorithm["algorithm"])));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert_eq!(report["kex"][0]["algorithm"], "mlkem768x25519-sha256");
    assert_eq!(report["cves"].as_array().map_or(0, Vec::len), 0, "{:#}", report["cves"]);
    site.edge.stop();
}
