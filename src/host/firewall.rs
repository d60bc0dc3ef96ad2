//! The rules: everything is closed but what the settings listen on.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::net::{Allow, Listen};

/// The rules of a box that listens on nothing, as they are loaded at boot: the one text of what every box lets in.
const CLOSED: &str = include_str!("../../systemd/firewall.nft");
/// Where the listeners' lines go.
const UNTRACKED: &str = "        # @untracked\n";
const OPEN: &str = "        # @open\n";

/// A port that is open to some or to all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Opening {
    is_udp: bool,
    address: SocketAddr,
    /// Sorted, none inside another; empty means everybody.
    from: Vec<IpNet>,
}

impl Opening {
    /// What a listener needs. Nothing for one that only this machine reaches, for one on any free port, and for one that
    /// allows no network of its own family.
    #[must_use]
    pub fn of(listen: Listen, allow: &Allow) -> Option<Self> {
        let is_udp = matches!(listen, Listen::Udp(_));
        Self::new(is_udp, listen.address(), allow.networks())
    }

    /// A TCP port that is open to everybody.
    #[must_use]
    pub fn tcp(address: SocketAddr) -> Option<Self> {
        Self::new(false, address, &[])
    }

    fn new(is_udp: bool, address: SocketAddr, networks: &[IpNet]) -> Option<Self> {
        if address.ip().to_canonical().is_loopback() || address.port() == 0 {
            return None;
        }
        let own = networks.iter().filter(|network| network.addr().is_ipv4() == address.is_ipv4());
        // nft refuses networks of one set that overlap.
        let mut from = IpNet::aggregate(&own.copied().collect());
        if from.is_empty() && !networks.is_empty() {
            return None;
        }
        if from.iter().any(|network| network.prefix_len() == 0) {
            from.clear();
        }
        from.sort();
        Some(Self { is_udp, address, from })
    }

    /// Which packets are meant.
    fn packets(&self) -> String {
        let family = if self.address.is_ipv4() { "ip" } else { "ip6" };
        let mut text = match self.address.ip() {
            // The kernel's dual-stack sockets are not used (see `net`): [::] is IPv6 alone.
            ip if ip.is_unspecified() => format!("meta nfproto {}", if ip.is_ipv4() { "ipv4" } else { "ipv6" }),
            IpAddr::V4(ip) => format!("ip daddr {ip}"),
            IpAddr::V6(ip) => format!("ip6 daddr {ip}"),
        };
        let _ = write!(text, " {} dport {}", if self.is_udp { "udp" } else { "tcp" }, self.address.port());
        if !self.from.is_empty() {
            let networks: Vec<String> = self.from.iter().map(ToString::to_string).collect();
            let _ = write!(text, " {family} saddr {{ {} }}", networks.join(", "));
        }
        text
    }
}

impl fmt::Display for Opening {
    /// As people say it: `udp 0.0.0.0:514 from 10.0.0.0/8, 192.0.2.7/32`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} from ", if self.is_udp { "udp" } else { "tcp" }, self.address)?;
        if self.from.is_empty() {
            return f.write_str("everybody");
        }
        for (at, network) in self.from.iter().enumerate() {
            write!(f, "{}{network}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// The rules that open these ports and no others.
pub(super) fn rules(openings: &[Opening]) -> String {
    let openings: BTreeSet<&Opening> = openings.iter().collect();
    let (mut untracked, mut open) = (String::new(), String::new());
    for opening in openings {
        let packets = opening.packets();
        if opening.is_udp {
            let _ = writeln!(untracked, "        {packets} notrack");
        }
        let _ = writeln!(open, "        {packets} counter accept");
    }
    CLOSED.replacen(UNTRACKED, &untracked, 1).replacen(OPEN, &open, 1)
}
