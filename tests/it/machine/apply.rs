use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::symlink;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::{BOX, BOX_SIX, CARD, Machine, OUTSIDE, SETTINGS, outside, tool};
use crate::peers::gateway::Event;
use crate::peers::service::{Manner, Service};
use crate::peers::until;

/// A closed port swallows the attempt, so it is only known by patience.
const SWALLOWED: Duration = Duration::from_secs(2);

const SOURCES: &str = r#"
[[source]]
id = "firewalls"
type = "syslog"
listen = ["udp://0.0.0.0:514", "tcp://0.0.0.0:514", "tcp://[::]:514"]

[[source]]
id = "near"
type = "syslog"
listen = ["tcp://198.18.0.2:601"]
allow = ["198.18.0.0/24", "198.18.0.0/25"]

[[source]]
id = "far"
type = "syslog"
listen = ["tcp://0.0.0.0:602"]
allow = ["203.0.113.0/24"]

[[source]]
id = "local"
type = "syslog"
listen = ["tcp://127.0.0.1:603"]
"#;

fn gateway_output() -> String {
    format!(
        "[[output]]\nid = \"gateway\"\ntype = \"lumberjack\"\ntransport = \"tcp\"\nendpoint = [\"{OUTSIDE}:5044\"]\n\
         backoff_min = \"20ms\"\nbackoff_max = \"100ms\"\n"
    )
}

fn is_open(ip: IpAddr, port: u16) -> bool {
    match TcpStream::connect_timeout(&SocketAddr::new(ip, port), SWALLOWED) {
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::TimedOut => false,
        Err(error) => {
            panic!("{ip} {port} is neither open nor silent: {error}\n{}", tool("ip addr") + &tool("ip -6 route"))
        }
    }
}

/// Sends echo requests (RFC 792), and returns how many are answered.
fn pings(to: IpAddr, count: u16) -> usize {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    for number in 0..count {
        let [high, low] = number.to_be_bytes();
        let sum = !(0x0800_u16.wrapping_add(number));
        let [sum_high, sum_low] = sum.to_be_bytes();
        socket.send_to(&[8, 0, sum_high, sum_low, 0, 0, high, low], &SocketAddr::new(to, 0).into()).unwrap();
    }
    let mut answers = 0;
    let mut buffer = [MaybeUninit::<u8>::uninit(); 128];
    while socket.recv(&mut buffer).is_ok() {
        answers += 1;
    }
    answers
}

fn closed_in(rules: &str, port: u16) -> bool {
    !rules.contains(&format!("dport {port} "))
}

#[test]
fn what_is_configured_is_open_and_everything_else_is_closed() {
    outside(|| {
        let gateway = Service::plain_at("0.0.0.0:5044".parse().unwrap(), Manner::Serve);
        let machine = Machine::boot(&format!("{SOURCES}{}", gateway_output()));
        assert_eq!(machine.say("hostname").trim(), "edge-test");
        assert!(is_open(BOX, 514) && is_open(BOX, 601), "configured ports are open");
        until("in IPv6 too", || is_open(BOX_SIX, 514).then_some(()));
        let rules = machine.say("nft list ruleset");
        for (ip, port) in [(BOX, 602), (BOX, 603), (BOX, 22), (BOX, 9180), (BOX_SIX, 601)] {
            assert!(!is_open(ip, port), "{ip} {port} is open\n{rules}");
        }
        assert_eq!(pings(BOX, 3), 3, "it answers");
        let flooded = pings(BOX, 500);
        assert!((1..200).contains(&flooded), "it does not answer a flood: {flooded}");
        // In pieces: the cable takes 1,500 bytes.
        let large = format!("<13>Nov 24 10:15:30 fw1 kernel: {}", "x".repeat(8_000));
        UdpSocket::bind("0.0.0.0:0").unwrap().send_to(large.as_bytes(), Machine::at(514)).unwrap();
        let came: Vec<Event> = gateway.wait_acked(1);
        assert_eq!(came[0].message(), large, "and the answers of the gateway come back in");
    });
}

#[test]
fn a_flood_of_datagrams_does_not_fill_the_table_of_connections() {
    outside(|| {
        let machine = Machine::boot(SOURCES);
        for number in 0..3_000 {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.send_to(format!("<13>flood {number}").as_bytes(), Machine::at(514)).unwrap();
        }
        let tracked = machine.say("cat /proc/sys/net/netfilter/nf_conntrack_count");
        let tracked: u32 = tracked.trim().parse().unwrap();
        assert!(tracked < 100, "{tracked} connections are tracked");
    });
}

#[test]
fn changes_are_applied_by_themselves_and_mistakes_change_nothing() {
    outside(|| {
        let machine = Machine::boot(SOURCES);
        let rules = || machine.say("nft list ruleset");
        let another = SOURCES.replace("602", "6514").replace("203.0.113.0/24", "198.18.0.1");
        machine.change_settings(&another);
        until("the other port is open", || rules().contains("dport 6514 ").then_some(()));
        assert!(closed_in(&rules(), 602));
        machine.say("systemctl reload sapphire-edge.service");
        // Not connected to before: until it is bound, the open port refuses.
        machine.log_line("listening listener=tcp://0.0.0.0:6514 at=");
        assert!(is_open(BOX, 6514), "and can be reached");
        let kept = machine.path("/var/lib/sapphire-edge/settings.kept/000002.toml");
        until("settings that work are kept, to fall back to", || kept.exists().then_some(()));

        machine.change_settings(&another.replace("198.18.0.1", "198.18.0.1/33"));
        machine.log_line("\"198.18.0.1/33\" is not a network");
        assert!(!closed_in(&rules(), 6514) && is_open(BOX, 6514), "a mistake changes nothing");

        let moved = format!("{CARD}{SOURCES}")
            .replace("198.18.0.2/24", "198.18.0.7/24")
            .replace("tcp://198.18.0.2:601", "tcp://0.0.0.0:601");
        machine.change_all_settings(&moved.replace("edge-test", "Edge_7"));
        let addresses = || machine.say("ip -o addr show dev eth0");
        until("it has another address", || addresses().contains("198.18.0.7/").then_some(()));
        assert!(is_open("198.18.0.7".parse().unwrap(), 514), "and is there");
        assert_eq!(machine.say("hostname").trim(), "edge-7");
        assert!(!machine.say("ip addr show eth0").contains("198.18.0.2/"));
        assert_eq!(machine.property("sapphire-edge-apply.path", "ActiveState"), "active");
    });
}

#[test]
fn the_programs_user_cannot_have_root_read_or_write_what_is_not_its_own() {
    outside(|| {
        let machine = Machine::boot(SOURCES);
        let before = machine.say("nft list ruleset");
        fs::remove_file(machine.path(SETTINGS)).unwrap();
        symlink("/etc/shadow", machine.path(SETTINGS)).unwrap();
        let output = machine.run("sapphire-edge apply --config /var/lib/sapphire-edge/settings.toml");
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        // Where a copy was kept by now, that is applied in its place.
        assert!(words.contains("symbolic link") && !words.contains("root:"), "{words}");
        let without_counts = |rules: &str| rules.split_whitespace().filter(|word| word.parse::<u64>().is_err()).count();
        assert_eq!(without_counts(&before), without_counts(&machine.say("nft list ruleset")));

        let as_user = "setpriv --reuid sapphire-edge --regid sapphire-edge --clear-groups";
        for attempt in [
            "mv /var/lib/sapphire-edge/system /var/lib/sapphire-edge/mine",
            "ls /var/lib/sapphire-edge/system",
            "touch /var/lib/sapphire-edge/system/mine",
            "touch /run/systemd/network/mine.network",
        ] {
            assert!(!machine.run(&format!("{as_user} {attempt}")).status.success(), "{attempt}");
        }
        assert!(machine.run(&format!("{as_user} touch /var/lib/sapphire-edge/mine")).status.success());
    });
}

#[test]
fn before_anything_is_applied_every_port_is_closed() {
    outside(|| {
        let machine =
            Machine::begin("this is no TOML\n", &[("sapphire-edge.service", "[Unit]\nConditionPathExists=!/\n")], "");
        assert_eq!(machine.wait_up(), "degraded", "apply has failed");
        assert_eq!(machine.property("sapphire-edge-apply.service", "Result"), "exit-code");
        let rules = machine.say("nft list ruleset");
        assert!(rules.contains("policy drop") && closed_in(&rules, 514), "{rules}");
    });
}
