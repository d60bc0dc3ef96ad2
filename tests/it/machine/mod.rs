//! The units on a real service manager: systemd as the first process of namespaces of its own, with a network cable to the
//! test, which lives in another network namespace as the site outside.
//!
//! What is real: systemd, its sandbox, its descriptor store, networkd, nftables, the program as it ships. What is not: the
//! disk (the data partition is memory), the clock and the kernel's own settings, which belong to the machine of the test.
//! Needs root. Where that cannot be had, `SKIP_MACHINE=1` passes these tests over, and each says so.

/// Network, firewall and host name as the settings say, also when they change.
mod apply;
/// A program that fails again and again.
mod crash;
/// The board's lights, from a process of their own.
mod lights;
/// No datagram is lost over restarts.
mod restart;
/// What the program may and may not.
mod sandbox;
/// The screen, and the half of a factory reset that is done at boot.
mod screen;
/// An enrolment file on a stick.
mod stick;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::peers::appliance::program;
use crate::peers::{try_until, until};

/// The box, and who is at the other end of its cable (RFC 2544: networks for tests).
pub const BOX: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 2));
pub const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 1));
/// The same in IPv6 (RFC 3849).
pub const BOX_SIX: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x18, 0, 0, 0, 0, 2));

/// The card of every box here.
const CARD: &str = "name = \"edge-test\"\n[control]\nsocket = \"/run/sapphire-edge/control.sock\"\n[[network.interface]]\nname = \
                    \"eth0\"\naddress = [\"198.18.0.2/24\", \"2001:db8:18::2/64\"]\ngateway = [\"198.18.0.1\"]\n";
/// Where the settings are in the box.
const SETTINGS: &str = "/var/lib/sapphire-edge/settings.toml";

/// Each takes a core while it boots.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs a test on a thread whose network is a place of its own, where one box can stand.
fn outside(test: impl FnOnce() + Send) {
    if std::env::var_os("SKIP_MACHINE").is_some() {
        eprintln!("SKIPPED: no namespaces for a machine of its own");
        return;
    }
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("this needs root; SKIP_MACHINE=1 passes it over");
            tool("ip link set lo up");
            test();
        });
        if let Err(panic) = inside.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Runs a tool of this machine, in the thread's network.
fn tool(line: &str) -> String {
    let mut words = line.split(' ');
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A booted box. Switched off when it goes out of scope.
#[derive(Debug)]
struct Machine {
    /// Holds the namespaces; its child is systemd.
    holder: Child,
    pid: i32,
    folder: tempfile::TempDir,
    cgroup: PathBuf,
}

impl Machine {
    /// Boots it with these sources and outputs, and waits until it is up.
    fn boot(settings: &str) -> Self {
        Self::boot_with(settings, &[])
    }

    /// The same, with lines for some units besides: unit, lines.
    fn boot_with(settings: &str, drop_ins: &[(&str, &str)]) -> Self {
        let machine = Self::begin(&format!("{CARD}{settings}"), drop_ins, "");
        assert_eq!(
            machine.wait_up(),
            "running",
            "{}\n{}",
            machine.say("systemctl --failed --no-legend"),
            machine.told()
        );
        machine
    }

    /// Begins to boot it with these settings as they are, and this on its kernel's command line.
    fn begin(settings: &str, drop_ins: &[(&str, &str)], command_line: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("settings.toml"), settings).unwrap();
        for (unit, lines) in drop_ins {
            let folder = folder.path().join(format!("drop-ins/{unit}.d"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("90-test.conf"), lines).unwrap();
        }
        let cgroup = cgroups().join(format!("sapphire-edge-test-{}", std::process::id()));
        fs::create_dir_all(&cgroup).unwrap();
        let boot = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/machine/boot");
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new("sh");
        let script = "echo $$ > \"$0/cgroup.procs\"; exec unshare --pid --fork --mount --net --uts --ipc --cgroup \
                      --kill-child \"$@\"";
        command.args(["-c", script]).arg(&cgroup).arg(boot).arg(folder.path()).arg(program().get_program());
        command.args(command_line.split_terminator(' '));
        let holder = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let children = format!("/proc/{0}/task/{0}/children", holder.id());
        let pid = until("the box has a first process", || fs::read_to_string(&children).ok()?.trim().parse().ok());
        let machine = Self { holder, pid, folder, cgroup };
        tool(&format!("ip link add cable type veth peer name eth0 netns {pid}"));
        tool(&format!("ip addr add {OUTSIDE}/24 dev cable"));
        tool("ip addr add 2001:db8:18::1/64 dev cable nodad");
        tool("ip link set cable up");
        machine
    }

    /// Waits until nothing is left to start; `running` if everything that was started is well, else `degraded`.
    fn wait_up(&self) -> String {
        let state = || {
            let output = self.run("systemctl is-system-running");
            let word = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            matches!(word.as_str(), "running" | "degraded").then_some(word)
        };
        try_until(state).unwrap_or_else(|| panic!("it does not come up"))
    }

    /// Runs a command in the box, as root and outside every sandbox.
    fn run(&self, line: &str) -> Output {
        let pid = self.pid.to_string();
        let mut command = Command::new("nsenter");
        command.args(["--target", &pid, "--all"]).args(line.split(' '));
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// What a command in the box says; it must work.
    fn say(&self, line: &str) -> String {
        let output = self.run(line);
        let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{line}: {out}{errors}\n{}", self.told());
        out.into_owned()
    }

    /// What was logged since it began; nothing while it has no journal yet.
    fn journal(&self) -> String {
        String::from_utf8_lossy(&self.run("journalctl --no-pager --boot --output cat").stdout).into_owned()
    }

    /// The value of a unit's property.
    fn property(&self, unit: &str, property: &str) -> String {
        self.say(&format!("systemctl show --value --property {property} {unit}")).trim().to_owned()
    }

    /// A path of the box as this machine sees it.
    fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.pid))
    }

    /// Puts other settings in the place of those that are there, as the program does: whole, under their name, its own.
    fn change_settings(&self, settings: &str) {
        self.change_all_settings(&format!("{CARD}{settings}"));
    }

    /// The same, without the card that every box has here.
    fn change_all_settings(&self, settings: &str) {
        let new = self.path(&format!("{SETTINGS}.new"));
        fs::write(&new, settings).unwrap();
        self.say(&format!("chown sapphire-edge:sapphire-edge {SETTINGS}.new"));
        fs::rename(new, self.path(SETTINGS)).unwrap();
    }

    /// Waits for a line of the log that holds this.
    fn log_line(&self, part: &str) {
        let found = || self.journal().contains(part).then_some(());
        until(part, found);
    }

    /// Everything that was logged, for when a test fails.
    fn told(&self) -> String {
        let journal = self.run("journalctl --no-pager --boot --lines 200");
        let boot = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        format!("{}\n{boot}", String::from_utf8_lossy(&journal.stdout))
    }

    /// Where a listener of the box is.
    fn at(port: u16) -> SocketAddr {
        SocketAddr::new(BOX, port)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the log of the box:\n{}", self.told());
        }
        // The first process takes everything in its namespaces along. It may have ended by itself.
        let _ = kill(Pid::from_raw(self.pid), Signal::SIGKILL);
        let _ = self.holder.wait();
        let gone = || fs::read_dir(&self.cgroup).map_or(Some(()), |_| remove_groups(&self.cgroup).ok());
        let _ = try_until(gone);
    }
}

/// Removes a group and those inside it, which must be empty of processes.
fn remove_groups(group: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(group)?.flatten() {
        if entry.file_type()?.is_dir() {
            remove_groups(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

/// Where this machine has its version 2 control groups, which is all that systemd needs here.
fn cgroups() -> PathBuf {
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"));
    let mount = mount.expect("no cgroup2 is mounted; SKIP_MACHINE=1 passes this over");
    PathBuf::from(mount.split(' ').nth(1).unwrap())
}
