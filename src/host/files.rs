//! The files of systemd-networkd and systemd-timesyncd.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Interface, Network, Time};

/// Folders in which every file that begins with [`OURS`] belongs to this room.
pub(super) const FOLDERS: [&str; 3] =
    ["run/systemd/network", "run/systemd/network/90-sapphire-edge.network.d", "run/systemd/timesyncd.conf.d"];
/// How our files begin. Before the 90 of the image's own `90-sapphire-edge.network`: the first file that matches a card counts.
pub(super) const OURS: &str = "60-sapphire-edge";

const HEADER: &str = "# Written by `sapphire-edge apply` from the settings; what is changed here is lost.\n";

/// The files, by path below the root.
pub(super) fn all(network: &Network, time: &Time) -> BTreeMap<String, String> {
    let has_own_time = !time.ntp.is_empty();
    let mut files = BTreeMap::new();
    for interface in &network.interface {
        let path = format!("{}/{OURS}-{}.network", FOLDERS[0], interface.name);
        files.insert(path, format!("{HEADER}{}", card(interface, has_own_time)));
    }
    if has_own_time {
        // What DHCP says would otherwise be asked first.
        let all_others = format!("{HEADER}[DHCPv4]\nUseNTP=no\n\n[DHCPv6]\nUseNTP=no\n");
        files.insert(format!("{}/{OURS}.conf", FOLDERS[1]), all_others);
        let servers: Vec<String> = time.ntp.iter().map(ToString::to_string).collect();
        let servers = format!("{HEADER}[Time]\nNTP=\nNTP={}\n", servers.join(" "));
        files.insert(format!("{}/{OURS}.conf", FOLDERS[2]), servers);
    }
    files
}

fn card(interface: &Interface, has_own_time: bool) -> String {
    let mut text = format!("[Match]\nName={}\n\n[Network]\n", interface.name);
    let yes = |it: bool| if it { "yes" } else { "no" };
    let asks = interface.address.is_empty();
    let _ = writeln!(text, "DHCP={0}\nLinkLocalAddressing=ipv6\nIPv6AcceptRA={0}", yes(asks));
    text.push_str("LLMNR=no\nMulticastDNS=no\nIPv6PrivacyExtensions=no\n");
    for (key, values) in [
        ("Address", interface.address.iter().map(ToString::to_string).collect::<Vec<_>>()),
        ("Gateway", interface.gateway.iter().map(ToString::to_string).collect()),
        ("DNS", interface.dns.iter().map(ToString::to_string).collect()),
    ] {
        for value in values {
            let _ = writeln!(text, "{key}={value}");
        }
    }
    if asks {
        let mut given = String::new();
        if !interface.dns.is_empty() {
            given.push_str("UseDNS=no\n");
        }
        let time = if has_own_time { "UseNTP=no\n" } else { "" };
        let _ = write!(text, "\n[DHCPv4]\nClientIdentifier=mac\nUseHostname=no\nUseTimezone=no\n{given}{time}");
        let _ = write!(text, "\n[DHCPv6]\nUseHostname=no\n{given}{time}");
        if !given.is_empty() {
            let _ = write!(text, "\n[IPv6AcceptRA]\n{given}");
        }
    }
    text
}
