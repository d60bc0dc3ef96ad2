use std::fs;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;
use sapphire_edge::status::{Component, Health};
use sapphire_edge::update::{Phase, Status};
use serde_json::{Value, json};

use super::{ARCHIVE, notices, ready, refused, shows, told, update, worked};
use crate::peers::appliance::{Appliance, until};
use crate::peers::certificates::Authority;
use crate::peers::program::{have, run, text};
use crate::peers::rauc::{Bundle, COMPATIBLE, Machine};
use crate::peers::site::{Manner, Site};

pub const PATH: &str = "/edge/sapphire-edge-x86_64.manifest";
pub const BUNDLE: &str = "/edge/bundles/next.raucb";

/// A publisher with a server and a key made by openssl, as the README says.
pub struct Publisher {
    pub authority: Authority,
    pub site: Site,
    folder: tempfile::TempDir,
}

impl Publisher {
    pub fn new() -> Self {
        let authority = Authority::new();
        let site = Site::start(&authority.identity("127.0.0.1"));
        let folder = tempfile::tempdir().unwrap();
        let publisher = Self { authority, site, folder };
        publisher.make_key("key");
        publisher
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn make_key(&self, name: &str) {
        let (key, public) = (self.path(name), self.path(&format!("{name}.pub")));
        run(Command::new("openssl").args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(&key));
        run(Command::new("openssl").args(["pkey", "-pubout", "-in"]).arg(&key).arg("-out").arg(&public));
    }

    /// What the README's commands make of a JSON file.
    pub fn sign(&self, manifest: &Value, key: &str) -> Vec<u8> {
        let (json, key, signature) = (self.path("manifest.json"), self.path(key), self.path("signature"));
        fs::write(&json, manifest.to_string()).unwrap();
        let script = "openssl pkeyutl -sign -rawin -inkey \"$1\" -in \"$2\" -out \"$3\" && \
                      { printf 'sapphire-update-1 '; base64 -w 0 \"$3\"; echo; cat \"$2\"; }";
        let output = Command::new("sh").args(["-c", script, "sh"]).args([&key, &json, &signature]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        output.stdout
    }

    /// A manifest for this bundle.
    pub fn manifest(&self, serial: u64, version: &str, bundle: &Bundle) -> Value {
        let sum = run(Command::new("sha256sum").arg(&bundle.path));
        let size = fs::metadata(&bundle.path).unwrap().len();
        json!({
            "serial": serial, "compatible": COMPATIBLE, "version": version, "url": "bundles/next.raucb", "size": size,
            "sha256": sum.split(' ').next().unwrap(), "not_after": "2099-01-01T00:00:00Z",
            "changelog": "- it is better",
        })
    }

    pub fn publish(&self, manifest: &Value) {
        self.site.put(PATH, self.sign(manifest, "key"));
    }

    /// Puts a bundle and its manifest there.
    pub fn release(&self, serial: u64, version: &str, bundle: &Bundle) {
        self.site.put(BUNDLE, fs::read(&bundle.path).unwrap());
        self.publish(&self.manifest(serial, version, bundle));
    }

    /// The box's settings, without `[update]`'s own keys and its tls table.
    pub fn settings(&self, more: &str) -> String {
        let manifest = self.site.url("/edge/{compatible}.manifest");
        format!(
            "manifest = {manifest:?}\nkeys = {:?}\n{more}\n[update.tls]\nca = {:?}\n",
            self.path("key.pub"),
            self.authority.ca()
        )
    }
}

/// A machine whose program reads the publisher's manifest.
fn start(machine: &Machine, settings: &str) -> Appliance {
    let edge = begin(machine, settings);
    ready(&edge);
    edge
}

/// As [`start`], without waiting until this boot is judged: it may act by itself right after.
fn begin(machine: &Machine, settings: &str) -> Appliance {
    let settings = format!("{ARCHIVE}[update]\n{}{settings}", machine.settings());
    Appliance::start_with(&settings, machine.program(), |_| {})
}

#[test]
fn a_newer_version_is_offered_and_installed_by_hand() {
    let Some(machine) = Machine::boot().filter(|_| have("openssl")) else { return };
    let (publisher, bundle) = (Publisher::new(), machine.bundle("7.0.0"));
    publisher.release(1, "7.0.0", &bundle);
    let edge =
        start(&machine, &publisher.settings("check_every = \"7d\"\nreboot = \"by_hand\"\ninstall = \"by_hand\""));
    let shown = worked(&update(&edge, &["check"]));
    assert!(shown.contains("version 7.0.0 is offered\n  - it is better\n"), "{shown}");
    assert!(publisher.site.asked(BUNDLE).is_empty(), "a look installs nothing");
    let output = update(&edge, &["install", "--reboot"]);
    worked(&output);
    let progress = text(&output.stderr);
    assert!(progress.contains("downloading, ") && progress.contains("installing, "), "{progress}");
    assert!(machine.has("B", &bundle) && machine.primary() == "B");
    assert!(machine.takes_restart(), "--reboot is stronger than the settings");
    assert!(!edge.folder().join("update/bundle.raucb").exists(), "the download is gone");
    // What runs is what is offered: nothing to do.
    publisher.publish(&publisher.manifest(2, env!("CARGO_PKG_VERSION"), &bundle));
    let words = refused(&update(&edge, &["install"]));
    assert!(words.contains("this box is up to date"), "{words}");
    let shown = worked(&update(&edge, &["check"]));
    assert!(shown.contains("nothing newer is offered"), "{shown}");
    edge.stop();
}

#[test]
fn a_manifest_that_is_not_right_is_refused_in_words() {
    let Some(machine) = Machine::boot().filter(|_| have("openssl")) else { return };
    let (publisher, bundle) = (Publisher::new(), machine.bundle("7.0.0"));
    publisher.release(5, "7.0.0", &bundle);
    let edge = start(&machine, &publisher.settings("check_every = \"7d\""));
    worked(&update(&edge, &["check"]));
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut manifest = publisher.manifest(6, "7.0.0", &bundle);
        change(&mut manifest);
        manifest
    };
    let check = |bytes: Vec<u8>, part: &str| {
        publisher.site.put(PATH, bytes);
        for command in [&["check"][..], &["install"]] {
            let words = refused(&update(&edge, command));
            assert!(words.contains(part), "{part}: {words}");
        }
    };
    publisher.make_key("other");
    let good = publisher.sign(&publisher.manifest(6, "7.0.0", &bundle), "key");
    let place = good.len() - 10;
    check(
        publisher.sign(&publisher.manifest(6, "7.0.0", &bundle), "other"),
        "not signed by a key that this box trusts",
    );
    check([&good[..place], b"x", &good[place + 1..]].concat(), "not signed by a key that this box trusts");
    check(good[..place].to_vec(), "not signed by a key that this box trusts");
    check(b"<html>not found</html>\n".to_vec(), "not signed by a key that this box trusts");
    check(vec![b'x'; 300 << 10], "is larger than 262144 bytes");
    let expired = changed(&|json| json["not_after"] = "2020-01-01T00:00:00Z".into());
    check(publisher.sign(&expired, "key"), "was valid until 2020-01-01T00:00:00Z");
    check(publisher.sign(&publisher.manifest(4, "7.0.0", &bundle), "key"), "an old one (serial 4, and 5 was seen)");
    let other = changed(&|json| json["compatible"] = "sapphire-edge-aarch64".into());
    check(publisher.sign(&other, "key"), "is for sapphire-edge-aarch64");
    // What it says of the bundle is not so.
    let install = |manifest: &Value, part: &str| {
        publisher.publish(manifest);
        let words = refused(&update(&edge, &["install"]));
        assert!(words.contains(part), "{part}: {words}");
        assert_eq!(machine.primary(), "A");
    };
    install(&changed(&|json| json["sha256"] = "ab".repeat(32).into()), "its sha256 differs");
    install(&changed(&|json| json["size"] = 1_000.into()), "and the manifest says 1000");
    install(
        &changed(&|json| json["version"] = "7.0.1".into()),
        "the bundle is version 7.0.0, and the manifest says 7.0.1",
    );
    install(&changed(&|json| json["url"] = "gone.raucb".into()), "gone.raucb is not there (404)");
    install(&changed(&|json| json["url"] = "http://127.0.0.1/x".into()), "is no https address");
    install(&changed(&|json| json["min_version"] = "6.0.0".into()), "version 6.0.0 has to be installed first");
    install(&changed(&|json| json["size"] = (2u64 << 30).into()), "more than update.max_size");
    // A new key is taken beside the old one.
    let keys = [fs::read(publisher.path("key.pub")).unwrap(), fs::read(publisher.path("other.pub")).unwrap()].concat();
    fs::write(publisher.path("key.pub"), keys).unwrap();
    publisher.site.put(PATH, publisher.sign(&publisher.manifest(7, "7.0.0", &bundle), "other"));
    worked(&update(&edge, &["check"]));
    edge.line(Component::Box, "update", |line| line.health == Health::Healthy);
    told(&edge, "update_refused");
    edge.stop();
}

#[test]
fn a_server_that_is_not_the_right_one_is_not_believed() {
    let Some(machine) = Machine::boot().filter(|_| have("openssl")) else { return };
    let (publisher, bundle) = (Publisher::new(), machine.bundle("7.0.0"));
    publisher.release(1, "7.0.0", &bundle);
    let stranger = Authority::new();
    let settings = publisher.settings("check_every = \"7d\"");
    let foreign = settings.replace(publisher.authority.ca().to_str().unwrap(), stranger.ca().to_str().unwrap());
    let edge = start(&machine, &foreign);
    let words = refused(&update(&edge, &["check"]));
    assert!(words.contains("was refused: it is signed by another CA"), "{words}");
    assert!(publisher.site.asked(PATH).is_empty());
    edge.stop();
}

#[test]
fn a_download_that_breaks_off_again_and_again_goes_on_where_it_stopped() {
    let Some(machine) = Machine::boot().filter(|_| have("openssl")) else { return };
    let (publisher, bundle) = (Publisher::new(), machine.bundle("7.0.0"));
    publisher.release(1, "7.0.0", &bundle);
    let edge = start(&machine, &publisher.settings("check_every = \"7d\"\nreboot = \"by_hand\""));
    worked(&update(&edge, &["check"]));
    publisher.site.change(Manner { cut_after: Some(300_000), ..Manner::default() });
    worked(&update(&edge, &["install"]));
    assert!(machine.has("B", &bundle));
    let asked = publisher.site.asked(BUNDLE);
    assert!(asked.len() >= 10, "3 MiB in pieces of 300 kB: {asked:?}");
    let ranges: Vec<u64> = asked.iter().map(|asked| asked.range.unwrap_or(0)).collect();
    assert!(ranges.windows(2).all(|pair| pair[0] < pair[1]), "each goes on behind the one before: {ranges:?}");
    assert!(asked[1..].iter().all(|asked| asked.code == 206 && asked.if_range.is_some()), "{asked:?}");
    edge.stop();
}

#[test]
fn a_download_survives_the_program_and_a_server_that_changes_its_mind() {
    let Some(machine) = Machine::boot().filter(|_| have("openssl")) else { return };
    let (publisher, bundle) = (Publisher::new(), machine.bundle("7.0.0"));
    publisher.release(1, "7.0.0", &bundle);
    let mut edge = start(&machine, &publisher.settings("check_every = \"7d\"\nreboot = \"by_hand\""));
    let install = |edge: &Appliance| {
        let mut command = crate::peers::appliance::program();
        command.args(["update", "install", "--config"]).arg(edge.settings());
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap()
    };
    publisher.site.change(Manner { stall_after: Some(1_000_000), ..Manner::default() });
    let mut child = install(&edge);
    let is_halfway = |status: &Status| matches!(status.phase, Phase::Downloading { bytes, .. } if bytes > 900_000);
    shows(&edge, "halfway", is_halfway);
    edge.signal(Signal::SIGTERM);
    assert!(edge.wait().success());
    child.wait().unwrap();
    publisher.site.change(Manner { busy: 2, ..Manner::default() });
    edge.restart_with(machine.program());
    ready(&edge);
    publisher.site.change(Manner::default());
    worked(&update(&edge, &["check"]));
    // The server is busy for a while, then the file has another tag (but the same bytes), then the tag is gone.
    publisher.site.put(BUNDLE, fs::read(&bundle.path).unwrap());
    publisher.site.change(Manner { no_tags: true, cut_after: Some(2_000_000), ..Manner::default() });
    worked(&update(&edge, &["install"]));
    assert!(machine.has("B", &bundle));
    let asked = publisher.site.asked(BUNDLE);
    let resumed = &asked[1];
    assert!(resumed.range.is_some_and(|from| from > 0) && resumed.code == 200, "another tag, so the whole: {asked:?}");
    assert_eq!(asked[2].code, 206, "the sha256 tells whether the parts fit: {asked:?}");
    edge.stop();
}

#[test]
fn parts_that_do_not_fit_are_thrown_away_and_a_busy_server_is_waited_for() {
    let Some(machine) = Machine::boot().filter(|_| have("openssl")) else { return };
    let (publisher, bundle) = (Publisher::new(), machine.bundle("7.0.0"));
    publisher.release(1, "7.0.0", &bundle);
    let edge = start(&machine, &publisher.settings("check_every = \"7d\"\nreboot = \"by_hand\""));
    // The first part comes from another file of the same length, and no tag tells.
    let good = fs::read(&bundle.path).unwrap();
    let mut other = good.clone();
    other[5_000] ^= 1;
    publisher.site.put(BUNDLE, other);
    publisher.site.change(Manner { no_tags: true, stall_after: Some(500_000), ..Manner::default() });
    let mut command = crate::peers::appliance::program();
    command.args(["update", "install", "--config"]).arg(edge.settings());
    let child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let has_part = |status: &Status| matches!(status.phase, Phase::Downloading { bytes, .. } if bytes > 400_000);
    shows(&edge, "a part", has_part);
    publisher.site.put(BUNDLE, good);
    // The stalled answer is cut, and the next request is told to wait.
    publisher.site.change(Manner { no_tags: true, cut_after: Some(0), busy: 1, ..Manner::default() });
    until("the server was busy", || publisher.site.asked(BUNDLE).iter().any(|asked| asked.code == 503).then_some(()));
    publisher.site.change(Manner { no_tags: true, ..Manner::default() });
    let output = child.wait_with_output().unwrap();
    worked(&output);
    assert!(machine.has("B", &bundle));
    edge.log_line(&["the parts of the download do not make the bundle"]);
    edge.stop();
}

#[test]
fn the_box_looks_installs_and_restarts_by_itself_but_never_tries_again_what_fell_back() {
    let Some(mut machine) = Machine::boot().filter(|_| have("openssl")) else { return };
    let (publisher, bundle) = (Publisher::new(), machine.bundle("7.0.0"));
    publisher.release(1, "7.0.0", &bundle);
    // The first look comes within a quarter of this.
    let mut edge = begin(&machine, &publisher.settings("check_every = \"1m\""));
    until("it asks for a restart", || machine.takes_restart().then_some(()));
    assert!(machine.has("B", &bundle));
    told(&edge, "update_installed");
    let fetched = publisher.site.asked(BUNDLE).len();

    edge.signal(Signal::SIGTERM);
    assert!(edge.wait().success());
    machine.reboot("A");
    edge.restart_with(machine.program());
    let status = shows(&edge, "it looked again", |status| status.checked.is_some() && status.phase == Phase::Idle);
    let offer = status.offer.unwrap();
    assert!(offer.held_back.as_ref().is_some_and(|why| why.contains("did not work on this box")), "{offer:?}");
    assert_eq!(publisher.site.asked(BUNDLE).len(), fetched, "it was not fetched again");
    let installed = |event: &&Value| event["event"]["action"] == "update_installed";
    assert_eq!(notices(&edge).iter().filter(installed).count(), 1);
    assert!(!machine.takes_restart());
    // A newer one is taken, and a person may insist on the old one.
    worked(&update(&edge, &["install"]));
    assert!(publisher.site.asked(BUNDLE).len() > fetched);
    edge.stop();
}
