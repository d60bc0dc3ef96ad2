use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};

use super::{BOX, BOX_SIX, Machine, OUTSIDE, outside};
use crate::peers::certificates::Authority;
use crate::peers::flood::Flood;
use crate::peers::sender::lines;
use crate::peers::service::{Manner, Service};
use crate::peers::until;

const UNIT: &str = "sapphire-edge.service";
/// A call that the sandbox denies is the end of the program, so that none goes unnoticed.
const DEADLY: (&str, &str) = (UNIT, "[Service]\nSystemCallErrorNumber=\n");

/// Everything that has a listener below port 1024 or uses TLS, and every output.
fn everything() -> String {
    let tls = "cert = \"/var/lib/sapphire-edge/secrets/cert.pem\"\nkey = \"/var/lib/sapphire-edge/secrets/key.pem\"\n";
    format!(
        "[web]\nlisten = \"0.0.0.0:80\"\n[queue]\nsettle = \"durable\"\n[[source]]\nid = \"firewalls\"\ntype = \"syslog\"\n\
         listen = [\"udp://0.0.0.0:514\", \"udp://[::]:514\", \"tcp://0.0.0.0:514\", \"tls://0.0.0.0:22\"]\nudp_sockets = 2\n\
         [source.tls]\n{tls}client_auth = \"optional\"\nclient_ca = \"/var/lib/sapphire-edge/secrets/ca.pem\"\n[[source]]\nid = \
         \"beats\"\ntype = \"lumberjack\"\nlisten = [\"tcp://0.0.0.0:443\"]\n[[output]]\nid = \"gateway\"\ntype = \
         \"lumberjack\"\nendpoint = [\"gateway.example.net:5044\"]\nbackoff_min = \"20ms\"\nbackoff_max = \"100ms\"\n[output.tls]\n\
         ca = \"/var/lib/sapphire-edge/secrets/ca.pem\"\n[[output]]\nid = \"archive\"\ntype = \"file\"\npath = \
         \"/var/lib/sapphire-edge/archive.ndjson\"\n"
    )
}

/// Gives the box its keys, and a name for the gateway.
fn equip(machine: &Machine, authority: &Authority) {
    let own = authority.identity("edge.example.net");
    for (from, to) in [(&own.cert, "cert.pem"), (&own.key, "key.pem"), (&authority.ca(), "ca.pem")] {
        fs::copy(from, machine.path(&format!("/var/lib/sapphire-edge/secrets/{to}"))).unwrap();
    }
    machine.say("chown -R sapphire-edge:sapphire-edge /var/lib/sapphire-edge/secrets");
    fs::write(machine.path("/etc/hosts"), format!("{OUTSIDE} gateway.example.net\n")).unwrap();
}

/// A line inside TLS on port 22, as openssl sends it.
fn tls_line(text: &str) {
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-quiet", "-no_ign_eof", "-connect", &SocketAddr::new(BOX, 22).to_string()]);
    let mut child = openssl.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{text}\n").as_bytes()).unwrap();
    child.wait().unwrap();
}

fn send_everywhere(round: &str, gateway: &Service) {
    let udp =
        |own: &str, to: SocketAddr, text: String| UdpSocket::bind(own).unwrap().send_to(text.as_bytes(), to).unwrap();
    let text = |way: &str| format!("<13>Nov 24 10:15:30 fw1 a: {round} by {way}");
    udp("0.0.0.0:0", Machine::at(514), text("udp"));
    udp("[::]:0", SocketAddr::new(BOX_SIX, 514), text("udp6"));
    lines(Machine::at(514), &[text("tcp")]);
    tls_line(&text("tls"));
    gateway.wait_for(&["udp", "udp6", "tcp", "tls"].map(text));
    let got = gateway.acked();
    for way in ["udp", "udp6", "tcp", "tls"] {
        assert!(got.iter().any(|event| event.message() == text(way)), "{round} by {way} did not come");
    }
}

#[test]
fn all_of_it_works_where_every_other_system_call_is_deadly() {
    outside(|| {
        let authority = Authority::new();
        let identity = authority.identity("gateway.example.net");
        let gateway = Service::tls_at("0.0.0.0:5044".parse().unwrap(), &identity, Manner::Serve);
        // It has no keys yet, so it says what is wrong, and is up.
        let machine = Machine::boot_with("", &[DEADLY]);
        equip(&machine, &authority);
        machine.change_settings(&everything());
        machine.say("systemctl reload sapphire-edge.service");
        until("the firewall is open", || machine.say("nft list ruleset").contains("dport 443 ").then_some(()));
        for listener in
            ["udp://0.0.0.0:514", "udp://[::]:514", "tcp://0.0.0.0:514", "tcp://0.0.0.0:22", "tcp://0.0.0.0:443"]
        {
            machine.log_line(&format!("listening listener={listener} at="));
        }
        send_everywhere("reloaded", &gateway);
        let flood = Flood::start(Machine::at(443), |number| format!("beat {number}"));
        flood.more(2_000);
        machine.say("systemctl restart sapphire-edge.service");
        flood.more(2_000);
        let acked = flood.end();
        gateway.wait_for(&acked);
        send_everywhere("restarted", &gateway);
        for command in ["status", "ledger", "queue verify"] {
            machine.run(&format!("sapphire-edge {command} --config /var/lib/sapphire-edge/settings.toml"));
        }
        let archive = fs::read_to_string(machine.path("/var/lib/sapphire-edge/archive.ndjson")).unwrap();
        assert!(archive.contains("restarted by tls"), "the file is written too");
        assert_eq!(machine.property(UNIT, "NRestarts"), "0", "it was never killed");
        machine.say("systemctl stop sapphire-edge.service");
        assert_eq!(machine.property(UNIT, "Result"), "success");
    });
}

#[test]
fn it_has_one_right_and_only_its_folders() {
    outside(|| {
        let machine =
            Machine::boot("[[source]]\nid = \"firewalls\"\ntype = \"syslog\"\nlisten = [\"udp://0.0.0.0:514\"]\n");
        let pid = machine.property(UNIT, "MainPID");
        let status = machine.say(&format!("cat /proc/{pid}/status"));
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().to_owned()
        };
        // CAP_NET_BIND_SERVICE is number 10 (capability.h).
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
            assert_eq!(u64::from_str_radix(&field(set), 16).unwrap(), 1 << 10, "{set}\n{status}");
        }
        assert_eq!((field("NoNewPrivs:").as_str(), field("Seccomp:").as_str()), ("1", "2"));
        assert_eq!(field("Uid:"), machine.say("id --user sapphire-edge").trim());
        // As root, but with the program's view of the disk, where only the program itself can be executed.
        let create = |path: &str| {
            let seen = machine.path(&format!("/proc/{pid}/root{path}"));
            fs::File::create_new(&seen).map(|_| fs::remove_file(seen).unwrap()).map_err(|error| error.kind())
        };
        for path in [
            "/etc/mine",
            "/usr/mine",
            "/run/systemd/mine",
            "/run/mine",
            "/boot/mine",
            "/var/lib/mine",
            "/dev/mine",
            "/dev/shm/mine",
            "/tmp/mine",
            "/var/tmp/mine",
        ] {
            assert!(create(path).is_err(), "{path} can be written");
        }
        for path in ["/var/lib/sapphire-edge/mine", "/run/sapphire-edge/mine"] {
            assert_eq!(create(path), Ok(()), "{path} cannot be written");
        }
        // Of what is mounted, what is neither read-only nor closed to execution is the program's own files.
        let mounts = machine.say(&format!("cat /proc/{pid}/mountinfo"));
        let fields = mounts.lines().map(|line| line.split(' ').skip(4).take(2).collect::<Vec<_>>());
        let both = fields.filter(|fields| fields[1].starts_with("rw") && !fields[1].contains("noexec"));
        let both: Vec<&str> = both.map(|fields| fields[0]).filter(|path| !path.starts_with("/usr/")).collect();
        assert_eq!(both, ["/dev/pts"], "{mounts}");
        let inside = |command: &str| machine.run(&format!("nsenter --target {pid} --mount --root --wd {command}"));
        assert!(!inside("/usr/bin/true").status.success(), "another program can be executed");
        let system = machine.path(&format!("/proc/{pid}/root/var/lib/sapphire-edge/system"));
        assert_eq!(fs::read_dir(system).unwrap().count(), 0, "root's folder can be seen");
        assert!(machine.path("/var/lib/sapphire-edge/system/services").is_dir());
    });
}

#[test]
fn a_program_that_hangs_is_started_again_with_its_sockets() {
    outside(|| {
        let gateway = Service::plain_at("0.0.0.0:5044".parse().unwrap(), Manner::Serve);
        let settings = format!(
            "[[source]]\nid = \"firewalls\"\ntype = \"syslog\"\nlisten = [\"udp://0.0.0.0:514\"]\n[[output]]\nid = \"gateway\"\n\
             type = \"lumberjack\"\ntransport = \"tcp\"\nendpoint = [\"{OUTSIDE}:5044\"]\n"
        );
        let machine = Machine::boot_with(&settings, &[(UNIT, "[Service]\nWatchdogSec=2s\n")]);
        let pid = machine.property(UNIT, "MainPID");
        machine.say(&format!("kill -STOP {pid}"));
        // From here on no thread of it gets to the next instruction.
        let stopped = || machine.say(&format!("cat /proc/{pid}/stat")).contains(") T ");
        until("it is stopped", || stopped().then_some(()));
        let text = "<13>Nov 24 10:15:30 fw1 a: sent to a program that hangs".to_owned();
        UdpSocket::bind("0.0.0.0:0").unwrap().send_to(text.as_bytes(), Machine::at(514)).unwrap();
        until("it is started again", || (machine.property(UNIT, "NRestarts") == "1").then_some(()));
        gateway.wait_for(std::slice::from_ref(&text));
        assert!(gateway.acked().iter().any(|event| event.message() == text), "the datagram waited in the socket");
        assert!(machine.journal().contains("Watchdog timeout"));
    });
}
