//! What is written and loaded, for whatever the settings hold; and what is left after a failure at each step.

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::net::{Allow, Listen};

fn settings(text: &str) -> (Network, Time) {
    #[derive(serde::Deserialize)]
    struct Both {
        #[serde(default)]
        network: Network,
        #[serde(default)]
        time: Time,
    }
    let both: Both = toml::from_str(text).unwrap();
    assert_eq!(both.network.validate(), []);
    (both.network, both.time)
}

const STATIC: &str = "[[network.interface]]\nname = \"eth0\"\naddress = [\"192.0.2.10/24\", \"2001:db8::10/64\"]\ngateway = \
                      [\"192.0.2.1\", \"fe80::1\"]\ndns = [\"192.0.2.53\"]\n[time]\nntp = [\"time.example.net\", \
                      \"192.0.2.123\"]\n";

#[test]
fn a_card_with_an_address_asks_nobody() {
    let (network, time) = settings(STATIC);
    let files = Plan::new(&network, &time, None, &[]).files;
    let card = &files["run/systemd/network/60-sapphire-edge-eth0.network"];
    for line in
        ["Name=eth0", "DHCP=no", "IPv6AcceptRA=no", "Address=192.0.2.10/24", "Gateway=fe80::1", "DNS=192.0.2.53"]
    {
        assert!(card.lines().any(|found| found == line), "{line} is not in\n{card}");
    }
    assert!(!card.contains("[DHCP"), "{card}");
    let time = &files["run/systemd/timesyncd.conf.d/60-sapphire-edge.conf"];
    assert!(time.ends_with("[Time]\nNTP=\nNTP=time.example.net 192.0.2.123\n"), "{time}");
    assert!(files["run/systemd/network/90-sapphire-edge.network.d/60-sapphire-edge.conf"].contains("UseNTP=no"));
    assert_eq!(files.len(), 3);
}

#[test]
fn without_settings_nothing_is_written() {
    let plan = Plan::new(&Network::default(), &Time::default(), None, &[]);
    assert!(plan.files.is_empty() && plan.host_name.is_none());
}

/// The lines of a file of systemd, without comments and without what says which card is meant.
fn meaning(text: &str) -> Vec<&str> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.skip_while(|line| *line != "[Network]").collect()
}

#[test]
fn a_card_that_only_has_a_name_does_what_every_card_does() {
    let (network, time) = settings("[[network.interface]]\nname = \"eth1\"\n");
    let files = Plan::new(&network, &time, None, &[]).files;
    let every = include_str!("../../systemd/90-sapphire-edge.network");
    assert_eq!(meaning(&files["run/systemd/network/60-sapphire-edge-eth1.network"]), meaning(every));
}

#[test]
fn what_dhcp_gives_is_not_used_where_the_settings_say_otherwise() {
    let (network, time) =
        settings("[[network.interface]]\nname = \"a\"\ndns = [\"192.0.2.53\"]\n[time]\nntp = [\"a.example\"]\n");
    let files = Plan::new(&network, &time, None, &[]).files;
    let card = &files["run/systemd/network/60-sapphire-edge-a.network"];
    assert_eq!((card.matches("UseDNS=no").count(), card.matches("UseNTP=no").count()), (3, 2), "{card}");
}

#[test]
fn gateways_must_be_reached_and_cards_named_once() {
    let table = |lines: &str| format!("[[network.interface]]\nname = \"eth0\"\n{lines}\n");
    for (text, key, words) in [
        (table("gateway = [\"192.0.2.1\"]"), "interface[0].gateway[0]", "while DHCP"),
        (table("address = [\"192.0.2.10/24\"]\ngateway = [\"198.51.100.1\"]"), "interface[0].gateway[0]", "none of"),
        (table("address = [\"192.0.2.10/24\"]\ngateway = [\"192.0.2.10\"]"), "interface[0].gateway[0]", "own address"),
        (
            table("address = [\"192.0.2.10/24\"]\ngateway = [\"192.0.2.1\", \"192.0.2.2\"]"),
            "interface[0].gateway[1]",
            "second one",
        ),
        (table("") + &table(""), "interface[1].name", "already"),
        (table(&format!("dns = [{}]", "\"192.0.2.1\",".repeat(17))), "interface[0].dns", "more than 16"),
        ((0..33).map(|at| format!("[[network.interface]]\nname = \"e{at}\"\n")).collect(), "interface", "more than 32"),
    ] {
        #[derive(serde::Deserialize)]
        struct Table {
            network: Network,
        }
        let table: Table = toml::from_str(&text).unwrap();
        let problems = table.network.validate();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].0 == key && problems[0].1.contains(words) && problems[0].1.contains("; "), "{problems:?}");
    }
}

fn opening(listen: &str, allow: &[&str]) -> Option<Opening> {
    let allow = Allow::try_from(allow.iter().map(|&text| text.to_owned()).collect::<Vec<_>>()).unwrap();
    Opening::of(listen.parse::<Listen>().unwrap(), &allow)
}

#[test]
fn a_listener_opens_its_port_to_those_it_allows_and_no_more() {
    for (listen, allow, rule) in [
        ("udp://0.0.0.0:514", &[][..], Some("meta nfproto ipv4 udp dport 514")),
        ("tls://[::]:6514", &[], Some("meta nfproto ipv6 tcp dport 6514")),
        ("tcp://192.0.2.1:601", &[], Some("ip daddr 192.0.2.1 tcp dport 601")),
        (
            "udp://0.0.0.0:514",
            &["10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32"],
            Some("meta nfproto ipv4 udp dport 514 ip saddr { 10.0.0.0/8 }"),
        ),
        ("udp://[::]:514", &["10.0.0.0/8"], None),
        ("udp://0.0.0.0:514", &["0.0.0.0/0"], Some("meta nfproto ipv4 udp dport 514")),
        ("udp://127.0.0.1:514", &[], None),
        ("udp://[::1]:514", &[], None),
        ("udp://0.0.0.0:0", &[], None),
    ] {
        let opening = opening(listen, allow);
        let rules = firewall::rules(&opening.into_iter().collect::<Vec<_>>());
        let closed = firewall::rules(&[]);
        let added: Vec<&str> = rules.lines().filter(|line| !closed.contains(line)).map(str::trim).collect();
        let udp = |rule: &&str| rule.contains(" udp ");
        let untracked = rule.filter(udp).map(|rule| format!("{rule} notrack"));
        let expected: Vec<String> =
            untracked.into_iter().chain(rule.map(|rule| format!("{rule} counter accept"))).collect();
        assert_eq!(added, expected, "{listen} {allow:?}");
    }
}

#[test]
fn the_rules_of_boot_are_those_of_a_box_that_listens_on_nothing() {
    let boot = include_str!("../../systemd/firewall.nft");
    let code = |text: &str| -> Vec<String> {
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    };
    let rules = firewall::rules(&[]);
    assert_eq!(code(boot), code(&rules));
    assert_eq!((boot.matches("# @").count(), rules.matches("# @").count()), (2, 0));
}

/// Every line of our files is a section, a comment, or a known key with a value in which nothing else can hide.
fn is_sound(line: &str) -> bool {
    const KEYS: [&str; 14] = [
        "Name",
        "DHCP",
        "LinkLocalAddressing",
        "IPv6AcceptRA",
        "LLMNR",
        "MulticastDNS",
        "IPv6PrivacyExtensions",
        "Address",
        "Gateway",
        "DNS",
        "ClientIdentifier",
        "UseHostname",
        "UseTimezone",
        "NTP",
    ];
    const SECTIONS: [&str; 6] = ["[Match]", "[Network]", "[DHCPv4]", "[DHCPv6]", "[IPv6AcceptRA]", "[Time]"];
    let Some((key, value)) = line.split_once('=') else {
        return line.is_empty() || line.starts_with('#') || SECTIONS.contains(&line);
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || ".:/-_ ".contains(c);
    (KEYS.contains(&key) || matches!(key, "UseDNS" | "UseNTP")) && value.chars().all(plain)
}

proptest! {
    /// Whatever a hostile writer of the settings tries: either the types refuse it, or the files hold only what they should.
    #[test]
    fn nothing_can_be_smuggled_into_a_file(
        name in "[a-z0-9]{1,5}[*!\n =\\[\\]./-]{0,2}[A-Za-z=]{0,4}",
        address in "10[.]1[.]2[.][1-9]/24[\n =A-Z]{0,2}",
        server in "[a-z0-9]{1,5}[.:\n =\\[-]{0,2}[a-z0-9]{1,4}",
        host in ".{0,80}",
    ) {
        let text = |name: &str| serde_json::to_string(name).unwrap();
        let table = format!(
            "[[network.interface]]\nname = {}\naddress = [{}]\n[time]\nntp = [{}]\n", text(&name), text(&address), text(&server)
        );
        #[derive(serde::Deserialize)]
        struct Both { network: Network, time: Time }
        if let Ok(both) = toml::from_str::<Both>(&table) {
            let plan = Plan::new(&both.network, &both.time, Some(&host), &[]);
            for (path, text) in &plan.files {
                prop_assert!(path.split('/').all(|part| part != "..") && path.matches('/').count() <= 4, "{path}");
                prop_assert!(text.lines().all(is_sound), "{text}");
            }
        }
    }

    /// One accepting line for each listener, with its port; sets of networks never overlap, which nft would refuse.
    #[test]
    fn every_listener_has_its_line(
        ports in proptest::collection::btree_set((1_u16.., any::<bool>(), any::<bool>()), 0..20),
        networks in proptest::collection::vec((any::<u32>(), 0..=32_u8), 0..6),
    ) {
        let allow: Vec<String> =
            networks.iter().map(|(ip, length)| format!("{}/{length}", std::net::Ipv4Addr::from(*ip))).collect();
        let allow = Allow::try_from(allow).unwrap();
        let listen = |(port, udp, six): &(u16, bool, bool)| -> Listen {
            let scheme = if *udp { "udp" } else { "tcp" };
            format!("{scheme}://{}:{port}", if *six { "[::]" } else { "0.0.0.0" }).parse().unwrap()
        };
        let openings: Vec<Opening> = ports.iter().filter_map(|port| Opening::of(listen(port), &allow)).collect();
        let expected = ports.iter().filter(|(_, _, six)| networks.is_empty() || !six).count();
        let rules = firewall::rules(&openings);
        prop_assert_eq!(rules.matches(" counter accept\n").count(), expected);
        for line in rules.lines().filter(|line| line.contains("saddr {") && line.contains("dport")) {
            let set = line.split_once('{').unwrap().1.split_once('}').unwrap().0;
            let nets: Vec<ipnet::IpNet> = set.split(',').map(|net| net.trim().parse().unwrap()).collect();
            for (at, one) in nets.iter().enumerate() {
                prop_assert!(!nets.iter().skip(at + 1).any(|other| one.contains(other) || other.contains(one)), "{line}");
            }
        }
    }
}

/// A machine that notes what it is told, and refuses one kind of it.
#[derive(Debug, Default)]
struct Noted {
    refuses: &'static str,
    host_name: RefCell<String>,
    told: RefCell<Vec<String>>,
}

impl Noted {
    fn refusing(refuses: &'static str) -> Self {
        Self { refuses, host_name: RefCell::new("old".to_owned()), ..Self::default() }
    }

    /// Refuses once, so that what is undone afterwards can be told apart.
    fn tell(&self, what: &str) -> Result<(), HostError> {
        let before = self.told.borrow().iter().any(|told| told.starts_with(what));
        self.told.borrow_mut().push(what.to_owned());
        match what == self.refuses && !before {
            true => Err(HostError::Refused { tool: "tool", words: what.to_owned() }),
            false => Ok(()),
        }
    }
}

impl System for Noted {
    fn host_name(&self) -> Result<String, HostError> {
        Ok(self.host_name.borrow().clone())
    }

    fn set_host_name(&self, name: &str) -> Result<(), HostError> {
        self.tell("name")?;
        *self.host_name.borrow_mut() = name.to_owned();
        Ok(())
    }

    fn reread_network(&self) -> Result<(), HostError> {
        self.tell("network")
    }

    fn reread_time(&self) -> Result<(), HostError> {
        self.tell("time")
    }

    fn check_rules(&self, _: &str) -> Result<(), HostError> {
        self.tell("check")
    }

    fn load_rules(&self, _: &str) -> Result<(), HostError> {
        self.tell("rules")
    }
}

/// Every file below a folder, with its content.
fn all_files(root: &Path) -> BTreeMap<String, String> {
    let mut open = vec![root.to_owned()];
    let mut files = BTreeMap::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            } else if !entry.path().ends_with("sapphire-edge-apply.lock") {
                files.insert(entry.path().display().to_string(), fs::read_to_string(entry.path()).unwrap());
            }
        }
    }
    files
}

fn plan(text: &str, name: &str) -> Plan {
    let (network, time) = settings(text);
    Plan::new(&network, &time, Some(name), &[])
}

#[test]
fn applying_twice_changes_nothing_and_what_is_no_longer_set_goes_away() {
    let root = tempfile::tempdir().unwrap();
    let system = Noted::refusing("");
    let foreign = root.path().join("run/systemd/network/70-other.network");
    fs::create_dir_all(foreign.parent().unwrap()).unwrap();
    fs::write(&foreign, "").unwrap();
    let first = plan(STATIC, "edge-1").apply(root.path(), &system).unwrap();
    assert_eq!(first, Applied { network: true, time: true, host_name: Some("edge-1".to_owned()) });
    assert_eq!(*system.told.borrow(), ["check", "name", "network", "time", "rules"]);
    system.told.borrow_mut().clear();
    assert_eq!(plan(STATIC, "edge-1").apply(root.path(), &system).unwrap(), Applied::default());
    assert_eq!(*system.told.borrow(), ["check", "rules"], "the rules are loaded whatever became of them meanwhile");
    let gone = plan("", "edge-1").apply(root.path(), &system).unwrap();
    assert!(gone.network && gone.time);
    assert_eq!(all_files(root.path()).into_keys().collect::<Vec<_>>(), [foreign.display().to_string()]);
}

#[test]
fn whatever_refuses_the_machine_is_as_it_was() {
    for refuses in ["check", "name", "network", "time", "rules"] {
        let root = tempfile::tempdir().unwrap();
        let before = plan("[[network.interface]]\nname = \"eth9\"\n", "old");
        before.apply(root.path(), &Noted::refusing("")).unwrap();
        let (files, system) = (all_files(root.path()), Noted::refusing(refuses));
        let error = plan(STATIC, "edge-1").apply(root.path(), &system).unwrap_err();
        assert!(matches!(&error, HostError::Refused { words, .. } if words == refuses), "{error}");
        assert_eq!(all_files(root.path()), files, "{refuses}");
        assert_eq!(*system.host_name.borrow(), "old", "{refuses}");
        let told = system.told.borrow();
        if matches!(refuses, "network" | "time" | "rules") {
            assert_eq!(told.iter().filter(|told| *told == "network").count(), 2, "taken, and taken back: {told:?}");
        }
        assert_eq!(told.iter().filter(|told| *told == "rules").count(), usize::from(refuses == "rules"), "{told:?}");
    }
}

#[test]
fn what_cannot_be_undone_is_said() {
    /// Refuses always.
    struct Never;
    impl System for Never {
        fn host_name(&self) -> Result<String, HostError> {
            Ok("old".to_owned())
        }
        fn set_host_name(&self, _: &str) -> Result<(), HostError> {
            Ok(())
        }
        fn reread_network(&self) -> Result<(), HostError> {
            Err(HostError::Refused { tool: "networkctl", words: "no".to_owned() })
        }
        fn reread_time(&self) -> Result<(), HostError> {
            Ok(())
        }
        fn check_rules(&self, _: &str) -> Result<(), HostError> {
            Ok(())
        }
        fn load_rules(&self, _: &str) -> Result<(), HostError> {
            panic!("the rules come last")
        }
    }
    let root = tempfile::tempdir().unwrap();
    let error = plan(STATIC, "edge-1").apply(root.path(), &Never).unwrap_err();
    assert!(error.to_string().contains("could not be undone"), "{error}");
}
