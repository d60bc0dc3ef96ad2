//! What the settings say to listen on, and the name under which its socket is kept.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::Transport;

/// One address to listen on, written `"udp://0.0.0.0:514"`, `"tcp://[::]:514"` or `"tls://192.0.2.1:6514"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum Listen {
    /// Datagrams.
    Udp(SocketAddr),
    /// Plain connections.
    Tcp(SocketAddr),
    /// Connections inside TLS.
    Tls(SocketAddr),
}

impl Listen {
    /// The address as configured; port 0 means any free one.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Udp(address) | Self::Tcp(address) | Self::Tls(address) => *address,
        }
    }

    /// The transport of what arrives here.
    #[must_use]
    pub fn transport(&self) -> Transport {
        match self {
            Self::Udp(_) => Transport::Udp,
            Self::Tcp(_) => Transport::Tcp,
            Self::Tls(_) => Transport::Tls,
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.transport().as_str(), self.address())
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not an address to listen on; write udp://, tcp:// or tls:// with an IP address and a port, \
                 such as \"udp://0.0.0.0:514\" or \"tls://[::]:6514\""
            )
        };
        let (scheme, address) = text.split_once("://").ok_or_else(wrong)?;
        let address = address.parse::<SocketAddr>().map_err(|_| wrong())?;
        match scheme {
            "udp" => Ok(Self::Udp(address)),
            "tcp" => Ok(Self::Tcp(address)),
            "tls" => Ok(Self::Tls(address)),
            _ => Err(wrong()),
        }
    }
}

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Listen> for String {
    fn from(listen: Listen) -> Self {
        listen.to_string()
    }
}

/// The name of a bound socket, by which a later run finds it again.
///
/// A real port names its socket by itself: it stays when its source is renamed or goes from plain TCP to TLS. Port 0 is
/// a different socket for every owner.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketName {
    listen: Listen,
    owner: Option<Arc<str>>,
    index: u16,
}

impl SocketName {
    /// The socket of `listen` that belongs to `owner` (a source's id). `index` tells several UDP sockets of one address
    /// apart; it is 0 where there is one.
    #[must_use]
    pub fn new(owner: &str, listen: Listen, index: u16) -> Self {
        if listen.address().port() == 0 {
            return Self { listen, owner: Some(owner.into()), index };
        }
        let listen = match listen {
            Listen::Tls(address) => Listen::Tcp(address),
            other => other,
        };
        Self { listen, owner: None, index }
    }

    /// Whether the socket takes datagrams.
    #[must_use]
    pub fn is_udp(&self) -> bool {
        matches!(self.listen, Listen::Udp(_))
    }

    /// The address as configured.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listen.address()
    }
}

impl fmt::Display for SocketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(owner) = &self.owner {
            write!(f, "{owner} ")?;
        }
        write!(f, "{}", self.listen)?;
        if self.index > 0 {
            write!(f, " #{}", self.index)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_shown_the_same() {
        for text in ["udp://0.0.0.0:514", "tcp://[::]:514", "tls://192.0.2.1:6514"] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
        for text in
            ["", "514", "udp://514", "udp://example.net:514", "http://0.0.0.0:80", "tls://0.0.0.0", "UDP:0.0.0.0:1"]
        {
            assert!(text.parse::<Listen>().unwrap_err().contains("such as"), "{text}");
        }
    }

    #[test]
    fn a_real_port_is_one_socket_for_all_and_port_0_is_one_for_each_owner() {
        let name = |owner: &str, text: &str| SocketName::new(owner, text.parse().unwrap(), 0);
        assert_eq!(name("a", "tcp://0.0.0.0:514"), name("b", "tls://0.0.0.0:514"));
        assert_ne!(name("a", "tcp://0.0.0.0:514"), name("a", "udp://0.0.0.0:514"));
        assert_ne!(name("a", "tcp://127.0.0.1:0"), name("b", "tcp://127.0.0.1:0"));
        assert_ne!(name("a", "tcp://127.0.0.1:0"), name("a", "tls://127.0.0.1:0"));
        assert_ne!(SocketName::new("a", "udp://0.0.0.0:514".parse().unwrap(), 1), name("a", "udp://0.0.0.0:514"));
    }
}
