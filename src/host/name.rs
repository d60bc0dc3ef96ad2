//! Names that end up in files of system services.

use std::fmt;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// IFNAMSIZ is 16 with its closing zero (netdevice(7)).
const LONGEST_CARD: usize = 15;
/// RFC 1035, 2.3.4: the longest name, and its longest part.
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// The name of a network card, such as `eth0` or `enp1s0`: never one of the patterns that systemd.network(5) knows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct CardName(String);

impl TryFrom<String> for CardName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !starts || !text.chars().all(plain) || text.len() > LONGEST_CARD {
            return Err(format!("{text:?} is no network card; write its name, such as \"eth0\" or \"enp1s0\""));
        }
        if text == "lo" {
            return Err("\"lo\" is no network card; the loopback needs no settings".to_owned());
        }
        Ok(Self(text))
    }
}

impl From<CardName> for String {
    fn from(name: CardName) -> Self {
        name.0
    }
}

impl fmt::Display for CardName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A time server: an address, or a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct TimeServer(String);

impl TryFrom<String> for TimeServer {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(address.to_string()));
        }
        // A name of digits and dots alone is an address that was mistyped.
        let is_numeric = text.chars().all(|c| c.is_ascii_digit() || c == '.');
        if is_numeric || !is_host_name(&text) {
            return Err(format!(
                "{text:?} is no time server; write a name or an address, such as \"time.example.net\" or \"192.0.2.123\""
            ));
        }
        Ok(Self(text))
    }
}

impl From<TimeServer> for String {
    fn from(server: TimeServer) -> Self {
        server.0
    }
}

impl fmt::Display for TimeServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// RFC 1123, 2.1: letters, digits and hyphens in parts between dots.
fn is_host_name(text: &str) -> bool {
    let part = |part: &str| {
        let ends = !part.starts_with('-') && !part.ends_with('-') && !part.is_empty();
        ends && part.len() <= LONGEST_LABEL && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    text.len() <= LONGEST_NAME && text.split('.').all(part)
}

/// The box's name as a host name: other characters become hyphens, and what is too long is cut. `None` where nothing is left.
pub(super) fn host_name(name: &str) -> Option<String> {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' };
    let text: String = name.chars().map(plain).collect();
    let parts = text.split('.').map(|part| part.trim_matches('-')).filter(|part| !part.is_empty());
    // HOST_NAME_MAX is 64 (gethostname(2)), here for the whole name; a part may have one less.
    let mut kept = String::new();
    for part in parts {
        let dot = usize::from(!kept.is_empty());
        let room = LONGEST_LABEL.saturating_sub(kept.len() + dot);
        let part = part.get(..part.len().min(room)).unwrap_or_default().trim_end_matches('-');
        if part.is_empty() {
            break;
        }
        if dot == 1 {
            kept.push('.');
        }
        kept.push_str(part);
    }
    Some(kept).filter(|kept| !kept.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_have_names_that_are_no_patterns() {
        for good in ["eth0", "enp1s0", "eno1.100", "en-x_y"] {
            assert_eq!(CardName::try_from(good.to_owned()).unwrap().to_string(), good);
        }
        for bad in ["", "*", "eth*", "eth0 eth1", "!eth0", "lo", "a\nb", "..", "../x", "sixteen-letters-", "e/0"] {
            let words = CardName::try_from(bad.to_owned()).unwrap_err();
            assert!(words.contains("; "), "{words}");
        }
    }

    #[test]
    fn time_servers_are_names_or_addresses() {
        for (text, kept) in [
            ("time.example.net", "time.example.net"),
            ("ntp1", "ntp1"),
            ("192.0.2.1", "192.0.2.1"),
            ("2001:DB8::1", "2001:db8::1"),
        ] {
            assert_eq!(TimeServer::try_from(text.to_owned()).unwrap().to_string(), kept);
        }
        for bad in ["", "192.0.2.300", "a b", "a\nNTP=b", "-a", "a..b", "a_b", "pool.ntp.org.", &"a".repeat(64)] {
            assert!(TimeServer::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn any_name_becomes_a_host_name_or_none() {
        for (name, host) in [
            ("edge-1", Some("edge-1")),
            ("Edge_1.Site.example", Some("edge-1.site.example")),
            ("-z\u{fc}rich-", Some("z-rich")),
            ("...", None),
            ("\u{fc}", None),
        ] {
            assert_eq!(host_name(name).as_deref(), host, "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_host_name_made_is_one(name in ".{0,300}", dotted in "[a-z.-]{0,100}") {
            for name in [name, dotted] {
                if let Some(host) = host_name(&name) {
                    proptest::prop_assert!(is_host_name(&host) && host.len() <= LONGEST_LABEL, "{host:?}");
                }
            }
        }
    }
}
