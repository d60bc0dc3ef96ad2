//! The `[network]` and `[time]` tables.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CardAddress, CardName, Ip, TimeServer};

/// No box has more cards; what is bounded cannot fill a folder.
const MOST_CARDS: usize = 32;
/// For each list of addresses. systemd-resolved and systemd-timesyncd ask one after the other.
const MOST_ADDRESSES: usize = 16;

/// The `[network]` table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// The network cards that are not to do what every card does by itself: ask DHCP and listen to IPv6 routers.
    pub interface: Vec<Interface>,
}

/// One `[[network.interface]]` table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// The card.
    pub name: CardName,
    /// Its own addresses, with the length of their networks; empty means DHCP and IPv6 routers.
    #[serde(default)]
    pub address: Vec<CardAddress>,
    /// The way out of its networks: one for IPv4, one for IPv6.
    #[serde(default)]
    pub gateway: Vec<Ip>,
    /// The servers asked for names, in place of those that DHCP gives.
    #[serde(default)]
    pub dns: Vec<Ip>,
}

/// The `[time]` table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Time {
    /// Time servers; empty means those that DHCP gives, or else the public pool.
    pub ntp: Vec<TimeServer>,
}

impl Network {
    /// What is wrong with the values, by key.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        if self.interface.len() > MOST_CARDS {
            let words = format!("there are more than {MOST_CARDS} cards here; take some out");
            problems.push(("interface".to_owned(), words));
        }
        let mut seen = BTreeSet::new();
        for (at, interface) in self.interface.iter().enumerate() {
            if !seen.insert(&interface.name) {
                let words = format!("{:?} has a table already; write both into one", interface.name.to_string());
                problems.push((format!("interface[{at}].name"), words));
            }
            let inner = interface.validate().into_iter();
            problems.extend(inner.map(|(key, words)| (format!("interface[{at}].{key}"), words)));
        }
        problems
    }
}

impl Interface {
    fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        for (key, length) in [("address", self.address.len()), ("gateway", self.gateway.len()), ("dns", self.dns.len())]
        {
            if length > MOST_ADDRESSES {
                let words = format!("this list has more than {MOST_ADDRESSES} entries; take some out");
                problems.push((key.to_owned(), words));
            }
        }
        for (at, gateway) in self.gateway.iter().enumerate() {
            if let Some(words) = self.wrong_gateway(at, *gateway) {
                problems.push((format!("gateway[{at}]"), words));
            }
        }
        problems
    }

    fn wrong_gateway(&self, at: usize, gateway: Ip) -> Option<String> {
        let same_family = |other: &&Ip| other.0.is_ipv4() == gateway.0.is_ipv4();
        if self.address.is_empty() {
            return Some(format!("{gateway} has no effect while DHCP gives the address; add address, or take it out"));
        }
        if self.address.iter().any(|address| address.ip() == gateway.0) {
            return Some(format!("{gateway} is this card's own address; write the router's"));
        }
        if self.gateway.iter().take(at).any(|other| same_family(&other)) {
            return Some(format!("{gateway} is the second one of its kind; write one for IPv4 and one for IPv6"));
        }
        // RFC 4861, 4.2: routers speak from their link-local address, which every card reaches.
        let is_link_local = matches!(gateway.0, std::net::IpAddr::V6(ip) if ip.is_unicast_link_local());
        let reached = is_link_local || self.address.iter().any(|address| address.reaches(gateway.0));
        let words = || format!("{gateway} is in none of this card's networks; write an address that address reaches");
        (!reached).then(words)
    }
}

impl Time {
    /// What is wrong with the values, by key.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let words = || format!("this list has more than {MOST_ADDRESSES} entries; take some out");
        (self.ntp.len() > MOST_ADDRESSES).then(|| ("ntp".to_owned(), words())).into_iter().collect()
    }
}
