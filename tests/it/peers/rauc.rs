//! The real RAUC service on a bus of its own, with slots that are files and a boot loader that is a script.
//!
//! `tests/run` installs Debian's, 1.8. Another one is tried by putting it first in PATH: with 1.13, built from its sources, all
//! of `update` passed too (2026-11-24). Bundles are of plain format, because verity needs a device mapper.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use super::appliance::{Appliance, program};
use super::program::{Running, have, run};
use super::until;

/// What the box is.
pub const COMPATIBLE: &str = "sapphire-edge-x86_64";
/// Bytes of an image: several of RAUC's copy steps.
const IMAGE: usize = 3 << 20;

/// Everybody may do everything on this bus.
const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>custom</type><listen>unix:path=DIR/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/><allow eavesdrop="true"/></policy>
</busconfig>
"#;

/// The boot loader's environment is a file for each value; `hold` makes it hang.
const BOOT: &str = r#"#!/bin/sh
cd DIR || exit 1
while [ -e hold ]; do sleep 0.05; done
case "$1" in
  get-primary) cat primary ;;
  set-primary) echo "$2" > primary; echo good > "state-$2" ;;
  get-state) cat "state-$2" ;;
  set-state) echo "$3" > "state-$2"; echo "$2 $3" >> marks ;;
  *) exit 1 ;;
esac
"#;

const CONFIG: &str = "[system]\ncompatible=COMPATIBLE\nbootloader=custom\nstatusfile=DIR/status\nmountprefix=DIR/mnt\n\
    [handlers]\nbootloader-custom-backend=DIR/boot.sh\n[keyring]\npath=DIR/keyring.pem\n\
    [slot.rootfs.0]\ndevice=DIR/slot-A\ntype=raw\nbootname=A\n[slot.rootfs.1]\ndevice=DIR/slot-B\ntype=raw\nbootname=B\n";

/// A machine with two slots. What it started ends with it.
pub struct Machine {
    folder: TempDir,
    _bus: Running,
    rauc: Option<Running>,
    signer: Signer,
}

/// Who signs bundles.
pub struct Signer {
    pub ca: String,
    cert: String,
    key: String,
}

impl Signer {
    /// With a CA of this name.
    pub fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let ca_key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&ca_key).unwrap().pem();
        let issuer = Issuer::new(params, ca_key);
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "release");
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &issuer).unwrap().pem();
        Self { ca, cert, key: key.serialize_pem() }
    }
}

impl Machine {
    /// Boots it into slot A; `None` if RAUC is not there and that may be passed over.
    pub fn boot() -> Option<Self> {
        if !["rauc", "dbus-daemon", "mksquashfs"].into_iter().all(have) {
            return None;
        }
        assert!(nix::unistd::geteuid().is_root(), "rauc mounts the bundle: run as root");
        let mut machine = Self::without_rauc();
        machine.start_rauc("A");
        Some(machine)
    }

    /// A machine whose bus nobody but us uses.
    pub fn without_rauc() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().display().to_string();
        let fill = |text: &str| text.replace("DIR", &dir).replace("COMPATIBLE", COMPATIBLE);
        let signer = Signer::named("bundle ca");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("bus.conf", &fill(BUS));
        write("boot.sh", &fill(BOOT));
        write("system.conf", &fill(CONFIG));
        write("keyring.pem", &signer.ca);
        write("primary", "A\n");
        write("state-A", "good\n");
        write("state-B", "good\n");
        write("slot-A", "the first system");
        write("slot-B", "nothing");
        fs::set_permissions(folder.path().join("boot.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(folder.path().join("mnt")).unwrap();
        fs::create_dir(folder.path().join("run")).unwrap();
        let config = folder.path().join("bus.conf");
        let mut bus = Command::new("dbus-daemon");
        let bus =
            Running::start(bus.arg("--nofork").arg("--nopidfile").arg(format!("--config-file={}", config.display())));
        let socket = folder.path().join("bus");
        until("the bus is there", || socket.exists().then_some(()));
        Self { folder, _bus: bus, rauc: None, signer }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the bus is, for `DBUS_SYSTEM_BUS_ADDRESS`.
    pub fn bus(&self) -> String {
        format!("unix:path={}", self.path("bus").display())
    }

    /// Starts RAUC, which takes this slot for the booted one.
    pub fn start_rauc(&mut self, slot: &str) {
        let mut rauc = Command::new("rauc");
        rauc.arg("service").arg("--conf").arg(self.path("system.conf")).arg(format!("--override-boot-slot={slot}"));
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("rauc.log")).unwrap();
        rauc.env("DBUS_SYSTEM_BUS_ADDRESS", self.bus()).stdout(log.try_clone().unwrap()).stderr(log);
        self.rauc = Some(Running::start(&mut rauc));
        until("rauc has its name", || self.has_rauc().then_some(()));
    }

    fn has_rauc(&self) -> bool {
        let mut send = Command::new("dbus-send");
        send.arg(format!("--bus={}", self.bus())).args([
            "--print-reply",
            "--dest=org.freedesktop.DBus",
            "/",
            "org.freedesktop.DBus.NameHasOwner",
            "string:de.pengutronix.rauc",
        ]);
        let output = send.output().unwrap();
        String::from_utf8_lossy(&output.stdout).contains("true")
    }

    pub fn stop_rauc(&mut self) {
        self.rauc = None;
        until("rauc has let go of its name", || (!self.has_rauc()).then_some(()));
    }

    pub fn signal_rauc(&self, signal: Signal) {
        let id = self.rauc.as_ref().unwrap().0.id();
        kill(Pid::from_raw(i32::try_from(id).unwrap()), signal).unwrap();
    }

    /// Restarts the machine into this slot, as far as RAUC and the program can tell. The program must have ended.
    pub fn reboot(&mut self, slot: &str) {
        self.stop_rauc();
        // What is on a tmpfs is gone.
        fs::remove_dir_all(self.path("run")).unwrap();
        fs::create_dir(self.path("run")).unwrap();
        // RAUC marks a slot bad while it writes it; that is not what the new boot is judged by.
        let _ = fs::remove_file(self.path("marks"));
        self.start_rauc(slot);
    }

    /// From now on nobody may call RAUC.
    pub fn deny(&self) {
        let file = self.path("bus.conf");
        let denied =
            "<policy context=\"mandatory\"><deny send_destination=\"de.pengutronix.rauc\"/></policy></busconfig>";
        fs::write(&file, fs::read_to_string(&file).unwrap().replace("</busconfig>", denied)).unwrap();
        let mut reload = Command::new("dbus-send");
        run(reload.arg(format!("--bus={}", self.bus())).args([
            "--print-reply",
            "--dest=org.freedesktop.DBus",
            "/",
            "org.freedesktop.DBus.ReloadConfig",
        ]));
    }

    /// Makes the boot loader hang, or lets it go on.
    pub fn hold(&self, held: bool) {
        if held {
            fs::write(self.path("hold"), "").unwrap();
        } else {
            fs::remove_file(self.path("hold")).unwrap();
        }
    }

    /// What was marked in this boot, in order: `A good`.
    pub fn marks(&self) -> Vec<String> {
        fs::read_to_string(self.path("marks")).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    pub fn primary(&self) -> String {
        fs::read_to_string(self.path("primary")).unwrap().trim().to_owned()
    }

    /// Whom this machine trusts.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// A bundle of this version for this box, by the signer it trusts.
    pub fn bundle(&self, version: &str) -> Bundle {
        self.bundle_of(version, COMPATIBLE, &self.signer)
    }

    pub fn bundle_of(&self, version: &str, compatible: &str, signer: &Signer) -> Bundle {
        let name = format!("{version}-{:x}", rand::random::<u32>());
        let content = self.path(&format!("content-{name}"));
        fs::create_dir(&content).unwrap();
        let mut image = vec![0; IMAGE];
        rand::fill(image.as_mut_slice());
        fs::write(content.join("rootfs.img"), &image).unwrap();
        let manifest = format!(
            "[update]\ncompatible={compatible}\nversion={version}\n[bundle]\nformat=plain\n[image.rootfs]\nfilename=rootfs.img\n"
        );
        fs::write(content.join("manifest.raucm"), manifest).unwrap();
        let (cert, key) = (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
        fs::write(&cert, &signer.cert).unwrap();
        fs::write(&key, &signer.key).unwrap();
        let path = self.path(&format!("{name}.raucb"));
        // It checks what it signed, against a keyring that trusts the signer.
        let keyring = self.path(&format!("{name}.ca"));
        fs::write(&keyring, &signer.ca).unwrap();
        run(Command::new("rauc")
            .arg("bundle")
            .arg(format!("--cert={}", cert.display()))
            .arg(format!("--key={}", key.display()))
            .arg(format!("--keyring={}", keyring.display()))
            .args([&content, &path]));
        Bundle { path, image }
    }

    /// Starts the program as the machine's boot does.
    pub fn appliance(&self, settings: &str) -> Appliance {
        self.appliance_with(settings, "")
    }

    /// As [`Machine::appliance`], with more keys of `[update]`.
    pub fn appliance_with(&self, settings: &str, update: &str) -> Appliance {
        let settings = format!("{settings}\n[update]\n{}{update}", self.settings());
        Appliance::start_with(&settings, self.program(), |_| {})
    }

    /// The keys of `[update]` that each test needs.
    pub fn settings(&self) -> String {
        format!("runtime_dir = {:?}\nsettle = \"1s\"\n", self.path("run"))
    }

    /// The command line of the program on this machine.
    pub fn program(&self) -> Command {
        let mut command = program();
        command.env("DBUS_SYSTEM_BUS_ADDRESS", self.bus()).stdin(Stdio::null());
        command
    }

    /// Whether the program asked for a restart; the request is taken.
    pub fn takes_restart(&self) -> bool {
        fs::remove_file(self.path("run/reboot")).is_ok()
    }

    /// Whether the slot begins with the bundle's image.
    pub fn has(&self, slot: &str, bundle: &Bundle) -> bool {
        fs::read(self.path(&format!("slot-{slot}"))).unwrap().starts_with(&bundle.image)
    }
}

/// A bundle on the disk.
#[derive(Clone)]
pub struct Bundle {
    pub path: PathBuf,
    pub image: Vec<u8>,
}

impl Bundle {
    /// A copy of it with other bytes.
    pub fn changed(&self, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
        let mut bytes = fs::read(&self.path).unwrap();
        change(&mut bytes);
        let path = self.path.with_extension(format!("{:x}", rand::random::<u32>()));
        fs::write(&path, bytes).unwrap();
        path
    }
}

/// As a path on a command line.
pub fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}
