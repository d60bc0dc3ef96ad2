//! Addresses in the settings, as types whose errors say what to write.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The address of a network card with the length of its network: `192.0.2.10/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct CardAddress(IpNet);

impl CardAddress {
    /// Whether an address is in this card's network.
    pub(super) fn reaches(self, other: IpAddr) -> bool {
        self.0.contains(&other)
    }

    /// The address itself.
    pub(super) fn ip(self) -> IpAddr {
        self.0.addr()
    }
}

impl TryFrom<String> for CardAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        const EXAMPLE: &str = "write the address with the length of its network, such as \"192.0.2.10/24\"";
        if text.parse::<IpAddr>().is_ok() {
            return Err(format!("{text:?} has no length of its network; {EXAMPLE}"));
        }
        let network =
            text.parse::<IpNet>().map_err(|_| format!("{text:?} is no address of a network card; {EXAMPLE}"))?;
        let ip = network.addr();
        if ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || network.prefix_len() == 0 {
            return Err(format!("{text:?} cannot be a card's own address; {EXAMPLE}"));
        }
        // RFC 3021: a network of two addresses has neither of them.
        let has_ends = network.addr().is_ipv4() && network.prefix_len() < 31;
        if has_ends && (ip == network.network() || ip == network.broadcast()) {
            return Err(format!(
                "{text:?} is its network as a whole; write one address of it, such as \"192.0.2.10/24\""
            ));
        }
        Ok(Self(network))
    }
}

impl From<CardAddress> for String {
    fn from(address: CardAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for CardAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A single address of another machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Ip(pub(super) IpAddr);

impl TryFrom<String> for Ip {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let good = |ip: &IpAddr| !ip.is_unspecified() && !ip.is_multicast() && !ip.is_loopback();
        let ip = text.parse::<IpAddr>().ok().filter(good);
        ip.map(Self).ok_or_else(|| {
            format!("{text:?} is no address of another machine; write one such as \"192.0.2.1\" or \"2001:db8::1\"")
        })
    }
}

impl From<Ip> for String {
    fn from(ip: Ip) -> Self {
        ip.to_string()
    }
}

impl fmt::Display for Ip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_has_one_address_of_a_network() {
        for good in ["192.0.2.10/24", "192.0.2.0/31", "192.0.2.1/32", "2001:db8::10/64"] {
            assert_eq!(CardAddress::try_from(good.to_owned()).unwrap().to_string(), good);
        }
        for (bad, words) in [
            ("192.0.2.10", "no length"),
            ("192.0.2.0/24", "as a whole"),
            ("192.0.2.255/24", "as a whole"),
            ("0.0.0.0/0", "own address"),
            ("127.0.0.1/8", "own address"),
            ("ff02::1/64", "own address"),
            ("192.0.2.10/33", "no address"),
            ("192.0.2.10/24\nDHCP=yes", "no address"),
        ] {
            let found = CardAddress::try_from(bad.to_owned()).unwrap_err();
            assert!(found.contains(words) && found.contains("; write"), "{found}");
        }
    }

    #[test]
    fn another_machine_has_a_plain_address() {
        assert_eq!(Ip::try_from("2001:DB8::1".to_owned()).unwrap().to_string(), "2001:db8::1");
        for bad in ["0.0.0.0", "::", "127.0.0.1", "224.0.0.1", "192.0.2.1/24", "gw", "192.0.2.1 "] {
            assert!(Ip::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
