//! How the program begins and ends: signals, the service manager, sockets that were handed over.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::peers::appliance::{Appliance, until};

const SYSLOG: &str = r#"
[[source]]
id = "firewalls"
type = "syslog"
listen = ["udp://127.0.0.1:0", "tcp://127.0.0.1:0"]
"#;

#[test]
fn a_stop_takes_what_arrived_and_does_not_wait_for_idle_peers() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut appliance = Appliance::start(SYSLOG);
        let _idle = TcpStream::connect(appliance.address("tcp://127.0.0.1:0", 0)).unwrap();
        let begin = sapphire_edge::clock::monotonic();
        appliance.signal(signal);
        let status = appliance.wait();
        assert_eq!(status.code(), Some(0), "{}", appliance.all_lines());
        assert!(begin.elapsed() < Duration::from_secs(5), "{}", appliance.all_lines());
        assert!(appliance.all_lines().contains("stopped took_secs="), "{}", appliance.all_lines());
        assert!(!appliance.folder().join("control.sock").exists());
    }
}

/// The service manager's end of the notification socket.
struct Manager(UnixDatagram);

impl Manager {
    fn new(command: &mut Command, folder: &std::path::Path) -> Self {
        let path = folder.join("notify.sock");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        command.env("NOTIFY_SOCKET", path);
        Self(socket)
    }

    /// Reads messages until one holds `text`; returns all.
    fn until(&self, text: &str) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let mut buffer = [0u8; 4_096];
            let length = self.0.recv(&mut buffer).unwrap_or_else(|error| panic!("no {text}: {error} in {all:#?}"));
            all.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            if all.last().unwrap().contains(text) {
                return all;
            }
        }
    }
}

#[test]
fn the_service_manager_is_told_ready_alive_reloading_and_stopping() {
    let folder = tempfile::tempdir().unwrap();
    let mut manager = None;
    let appliance = Appliance::start_with(SYSLOG, crate::peers::appliance::program(), |command| {
        manager = Some(Manager::new(command, folder.path()));
        command.env("WATCHDOG_USEC", "200000");
    });
    let manager = manager.unwrap();
    let before = manager.until("READY=1");
    let stored = before.iter().filter(|message| message.contains("FDSTORE=1")).count();
    assert_eq!(stored, 2, "ready comes after both listeners were bound and kept: {before:#?}");
    TcpStream::connect(appliance.address("tcp://127.0.0.1:0", 0)).unwrap();
    for _ in 0..3 {
        manager.until("WATCHDOG=1");
    }
    appliance.signal(Signal::SIGHUP);
    let reloading = manager.until("RELOADING=1").pop().unwrap();
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    manager.until("READY=1");
    appliance.signal(Signal::SIGTERM);
    manager.until("STOPPING=1");
    appliance.stop();
}

#[test]
fn a_bad_gateway_is_in_the_status_line_of_the_service_manager() {
    let folder = tempfile::tempdir().unwrap();
    let mut manager = None;
    let settings = "[[output]]\nid = \"gateway\"\ntype = \"lumberjack\"\nendpoint = [\"127.0.0.1:1\"]\n";
    let appliance = Appliance::start_with(settings, crate::peers::appliance::program(), |command| {
        manager = Some(Manager::new(command, folder.path()));
    });
    let manager = manager.unwrap();
    manager.until("STATUS=output gateway failed: ");
    appliance.stop();
}

#[test]
fn datagrams_that_came_before_the_program_are_not_lost() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for at in 0..50 {
        sender.send_to(format!("<13>early {at}").as_bytes(), address).unwrap();
    }
    // As systemd does it: descriptor 3, and the number of the process that it is meant for.
    let mut shell = Command::new("sh");
    let script = "exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_FDNAMES=syslog LISTEN_PID=$$ exec \"$0\" \"$@\"";
    shell.arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_sapphire-edge"));
    shell.stdin(Stdio::from(OwnedFd::from(socket)));
    let settings = format!("[[source]]\nid = \"firewalls\"\ntype = \"syslog\"\nlisten = [\"udp://{address}\"]\n");
    let appliance = Appliance::start_with(&settings, shell, |_| {});
    appliance.received("firewalls", 50);
    sender.send_to(b"<13>late", address).unwrap();
    appliance.received("firewalls", 51);
    appliance.stop();
}

#[test]
fn a_second_signal_is_heard_at_once_while_stopping() {
    let mut appliance = Appliance::start(SYSLOG);
    appliance.address("tcp://127.0.0.1:0", 0);
    appliance.signal(Signal::SIGTERM);
    appliance.signal(Signal::SIGTERM);
    let status = appliance.wait();
    assert_eq!(status.code(), Some(0), "{}", appliance.all_lines());
}

#[test]
fn a_program_that_cannot_begin_says_why_and_fails() {
    let mut appliance = Appliance::start("state_dir = \"/proc/nowhere\"\n");
    let status = until("it ends", || Some(appliance.wait()));
    assert_eq!(status.code(), Some(1));
    assert!(
        appliance.all_lines().contains("the state folder /proc/nowhere cannot be used"),
        "{}",
        appliance.all_lines()
    );
}

#[test]
fn two_programs_do_not_share_a_state_folder() {
    let first = Appliance::start(SYSLOG);
    first.log_line(&["started"]);
    let mut second = Appliance::start(&format!("state_dir = {:?}\n", first.folder()));
    assert_eq!(second.wait().code(), Some(1));
    assert!(second.all_lines().contains("another sapphire-edge already works in the state folder"));
    first.stop();
}

#[test]
fn a_gateway_that_answers_nothing_does_not_hold_up_the_stop() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = silent.local_addr().unwrap();
    for transport in ["tls", "tcp"] {
        let mut appliance = Appliance::start(&format!(
            "grace = \"5s\"\n{SYSLOG}\n[[output]]\nid = \"gateway\"\ntype = \"lumberjack\"\ntransport = \
             \"{transport}\"\nendpoint = [\"{gateway}\"]\n"
        ));
        let (_held, _) = silent.accept().unwrap();
        let mut sender = TcpStream::connect(appliance.address("tcp://127.0.0.1:0", 0)).unwrap();
        sender.write_all(b"<13>hello\n").unwrap();
        appliance.received("firewalls", 1);
        let begin = sapphire_edge::clock::monotonic();
        appliance.signal(Signal::SIGTERM);
        assert_eq!(appliance.wait().code(), Some(0), "{}", appliance.all_lines());
        assert!(begin.elapsed() < Duration::from_secs(9), "{}", appliance.all_lines());
    }
}
