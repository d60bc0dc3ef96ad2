use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Machine, OUTSIDE, outside, tool};
use crate::peers::certificates::Authority;
use crate::peers::service::{Manner, Service};
use crate::peers::until;

const UNIT: &str = "sapphire-edge-stick-test.service";
const PAGE: &str = "[page]\nlisten = [\"0.0.0.0:443\"]\n";

/// A file system as it is on a stick, on a device of this machine.
struct Stick {
    folder: tempfile::TempDir,
    device: PathBuf,
}

impl Stick {
    /// With these files on it. ext4, because every kernel has it.
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let content = folder.path().join("content");
        fs::create_dir(&content).unwrap();
        for (name, text) in files {
            fs::write(content.join(name), text).unwrap();
        }
        let image = folder.path().join("stick");
        tool(&format!("mke2fs -q -t ext4 -d {} {} 8M", content.display(), image.display()));
        let device = tool(&format!("losetup --find --show {}", image.display())).trim().into();
        Self { folder, device }
    }

    /// A file of it, as it is now.
    fn read(&self, name: &str) -> String {
        let mut debugfs = Command::new("debugfs");
        debugfs.args(["-R", &format!("cat /{name}")]).arg(self.folder.path().join("stick"));
        String::from_utf8(debugfs.output().unwrap().stdout).unwrap()
    }

    /// What everything on it comes to.
    fn sum(&self) -> String {
        let image = self.folder.path().join("stick");
        tool(&format!("sha256sum {}", image.display()))
    }

    /// Plugs it in: no udev runs in these namespaces, so the unit that it would start is started by hand, without what binds it to a
    /// device that udev tells of.
    fn plug(&self, machine: &Machine) {
        let name = self.device.file_name().unwrap().to_str().unwrap();
        let number = fs::metadata(&self.device).unwrap().rdev();
        let node = machine.path(&format!("/dev/{name}"));
        if !node.exists() {
            let (major, minor) = (libc::major(number), libc::minor(number));
            tool(&format!("mknod {} b {major} {minor}", node.display()));
        }
        let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/sapphire-edge-stick@.service");
        let unit = fs::read_to_string(unit).unwrap();
        let lines = unit.lines().filter(|line| !line.starts_with("BindsTo=") && !line.starts_with("After="));
        let text: String = lines.map(|line| format!("{}\n", line.replace("%I", name))).collect();
        fs::write(machine.path(&format!("/run/systemd/system/{UNIT}")), text).unwrap();
        machine.say("systemctl daemon-reload");
        machine.say(&format!("systemctl restart {UNIT}"));
    }

    /// Plugs it in, and waits for what the box writes on it.
    fn result(&self, machine: &Machine) -> String {
        self.plug(machine);
        until("the result is on the stick", || {
            let text = self.read("sapphire-edge-result.txt");
            (!text.is_empty()).then_some(text)
        })
    }
}

impl Drop for Stick {
    fn drop(&mut self) {
        tool(&format!("losetup --detach {}", self.device.display()));
    }
}

#[test]
fn a_stick_makes_a_new_box_one_of_a_sites_and_a_second_one_changes_nothing() {
    outside(|| {
        let authority = Authority::new();
        let identity = authority.identity("gateway.example.net");
        let gateway = Service::tls_at("0.0.0.0:5044".parse().unwrap(), &identity, Manner::Serve);
        let machine = Machine::boot(PAGE);
        fs::write(machine.path("/etc/hosts"), format!("{OUTSIDE} gateway.example.net\n")).unwrap();

        let empty = Stick::with(&[("holiday.txt", "beach")]);
        let before = empty.sum();
        empty.plug(&machine);
        machine.log_line("there is no sapphire-edge.toml on");
        assert_eq!(empty.sum(), before, "a stick without the file is not written to");

        let ca = fs::read_to_string(authority.ca()).unwrap();
        let source = "[[source]]\nid = \"firewalls\"\ntype = \"syslog\"\nlisten = [\"udp://0.0.0.0:514\"]\n";
        let file = format!(
            "form = 1\nname = \"edge-berlin\"\ngateway = [\"gateway.example.net:5044\"]\nca = \"\"\"\n{ca}\"\"\"\nsettings = \
             '''\n{source}'''\n"
        );
        let stick = Stick::with(&[("sapphire-edge.toml", &file)]);
        let said = stick.result(&machine);
        for part in [
            "was taken: it is in use; a gateway answers",
            "edge-berlin",
            "https://198.18.0.2/",
            "claim code   ",
            "certificate  ",
        ] {
            assert!(said.contains(part), "{part}: {said}\n{}", machine.told());
        }
        let status = || {
            let output = machine.run("sapphire-edge status --json --config /var/lib/sapphire-edge/settings.toml");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        until("the lights are told", || status().contains("\"stick\": 2").then_some(()));
        let text = "<13>Nov 24 10:15:30 fw1 a: after the stick".to_owned();
        until("its port is open", || machine.say("nft list ruleset").contains("dport 514 ").then_some(()));
        machine.log_line("listening listener=udp://0.0.0.0:514 at=");
        UdpSocket::bind("0.0.0.0:0").unwrap().send_to(text.as_bytes(), Machine::at(514)).unwrap();
        gateway.wait_for(std::slice::from_ref(&text));

        let other =
            Stick::with(&[("sapphire-edge.toml", &file.replace("gateway.example.net:5044", "evil.example.net:5044"))]);
        let said = other.result(&machine);
        assert!(said.contains("was not taken: this box is set up already"), "{said}");
        until("the lights are told", || status().contains("\"stick\": 3").then_some(()));
        let settings = fs::read_to_string(machine.path(super::SETTINGS)).unwrap();
        assert!(!settings.contains("evil"), "{settings}");
        let is_it = |notice: &serde_json::Value| notice["kind"] == "enrolment_refused";
        let told = || gateway.notices().values().any(is_it);
        until("the far end hears of it", || told().then_some(()));

        let same = Stick::with(&[("sapphire-edge.toml", &file)]);
        assert!(same.result(&machine).contains("Nothing was changed: this box is set up already as the file says"));
        machine.say(&format!("systemctl stop {UNIT}"));
        until("the lights are as before", || (!status().contains("\"stick\": ")).then_some(()));
        assert_eq!(machine.property(UNIT, "Result"), "success");
        assert!(!machine.say("cat /proc/mounts").contains("/tmp/stick"), "nobody else sees the stick");
    });
}
