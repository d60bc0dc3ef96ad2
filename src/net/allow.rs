//! The networks whose peers may send to us.

use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The `allow` list of a source: networks (`"10.0.0.0/8"`) or single addresses; empty means everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
#[schemars(with = "Vec<String>")]
pub struct Allow(Vec<IpNet>);

impl Allow {
    /// Whether a peer at `address` may send. An IPv4 address mapped into IPv6 counts as the IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.is_empty() || self.0.iter().any(|network| network.contains(&address.to_canonical()))
    }

    /// The networks; none means everybody.
    #[must_use]
    pub fn networks(&self) -> &[IpNet] {
        &self.0
    }
}

impl TryFrom<Vec<String>> for Allow {
    type Error = String;

    fn try_from(texts: Vec<String>) -> Result<Self, String> {
        let parse = |text: String| {
            let single = text.parse::<IpAddr>().map(IpNet::from);
            single.or_else(|_| text.parse::<IpNet>()).map(|network| network.trunc()).map_err(|_| {
                format!("{text:?} is not a network; write it as \"10.0.0.0/8\", \"2001:db8::/32\" or a single address")
            })
        };
        texts.into_iter().map(parse).collect::<Result<_, _>>().map(Self)
    }
}

impl From<Allow> for Vec<String> {
    fn from(allow: Allow) -> Self {
        allow.0.iter().map(ToString::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(texts: &[&str]) -> Result<Allow, String> {
        Allow::try_from(texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn an_empty_list_is_everybody_and_a_list_is_only_its_networks() {
        assert!(allow(&[]).unwrap().contains("203.0.113.9".parse().unwrap()));
        let some = allow(&["10.1.2.3/8", "192.0.2.7", "2001:db8::/32"]).unwrap();
        for (address, allowed) in [
            ("10.200.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("2001:db8:5::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(some.contains(address.parse().unwrap()), allowed, "{address}");
        }
        assert_eq!(Vec::<String>::from(some), ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"]);
    }

    #[test]
    fn what_is_no_network_is_refused_with_an_example() {
        let words = allow(&["10.0.0.0/8", "10.0.0.0/33"]).unwrap_err();
        assert!(words.contains("10.0.0.0/33") && words.contains("write it as"), "{words}");
    }
}
