//! Where an event came from: the last hop that handed it to us, not what the message says of itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// The way an event reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// A UDP datagram.
    Udp,
    /// A plain TCP connection.
    Tcp,
    /// A TCP connection inside TLS.
    Tls,
    /// Made by this box.
    Internal,
    /// A file pushed over SSH.
    Ssh,
    /// An answer over HTTPS to what this box asked for.
    Https,
}

impl Transport {
    const ALL: [Self; 6] = [Self::Udp, Self::Tcp, Self::Tls, Self::Internal, Self::Ssh, Self::Https];

    /// The word used in settings, on the page and in forwarded events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Internal => "internal",
            Self::Ssh => "ssh",
            Self::Https => "https",
        }
    }
}

/// The peer and the transport of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// How it came.
    pub transport: Transport,
    /// The address at the other end; none for what the box made itself.
    pub peer: Option<SocketAddr>,
    /// The name in the client certificate that was verified, or of the device whose SSH key was; of a pulled record, its
    /// feed. At most 255 bytes.
    pub name: Option<Box<str>>,
}

impl Origin {
    /// An origin without a verified name.
    #[must_use]
    pub fn new(transport: Transport, peer: Option<SocketAddr>) -> Self {
        Self { transport, peer, name: None }
    }

    /// Appends the stored form: transport, address family (0, 4, 6), address, port, length of name, name.
    pub(super) fn write(&self, to: &mut Vec<u8>) {
        to.push(
            Transport::ALL.iter().position(|t| *t == self.transport).and_then(|at| u8::try_from(at).ok()).unwrap_or(0),
        );
        match self.peer {
            None => to.push(0),
            Some(SocketAddr::V4(peer)) => {
                to.push(4);
                to.extend_from_slice(&peer.ip().octets());
                to.extend_from_slice(&peer.port().to_be_bytes());
            }
            Some(SocketAddr::V6(peer)) => {
                to.push(6);
                to.extend_from_slice(&peer.ip().octets());
                to.extend_from_slice(&peer.port().to_be_bytes());
            }
        }
        let name = self.name.as_deref().unwrap_or_default().as_bytes();
        let name = name.get(..name.len().min(255)).unwrap_or_default();
        to.push(u8::try_from(name.len()).unwrap_or(0));
        to.extend_from_slice(name);
    }

    /// Reads what [`Origin::write`] wrote and returns the rest; `None` if it is not that.
    pub(super) fn read(from: &[u8]) -> Option<(Self, &[u8])> {
        let ([transport, family], rest) = from.split_first_chunk::<2>()?;
        let transport = *Transport::ALL.get(usize::from(*transport))?;
        let (ip, rest): (Option<IpAddr>, _) = match family {
            0 => (None, rest),
            4 => rest.split_first_chunk::<4>().map(|(ip, rest)| (Some(Ipv4Addr::from(*ip).into()), rest))?,
            6 => rest.split_first_chunk::<16>().map(|(ip, rest)| (Some(Ipv6Addr::from(*ip).into()), rest))?,
            _ => return None,
        };
        let (peer, rest) = match ip {
            None => (None, rest),
            Some(ip) => {
                let (port, rest) = rest.split_first_chunk::<2>()?;
                (Some(SocketAddr::new(ip, u16::from_be_bytes(*port))), rest)
            }
        };
        let (length, rest) = rest.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(*length))?;
        let name = (!name.is_empty()).then(|| String::from_utf8_lossy(name).into());
        Some((Self { transport, peer, name }, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_origin_comes_back_as_it_was() {
        for peer in [None, Some("192.0.2.1:514"), Some("[2001:db8::1]:6514")] {
            for name in [None, Some("fw1.example.net")] {
                let peer = peer.map(|text| text.parse().unwrap());
                let origin = Origin { transport: Transport::Tls, peer, name: name.map(Into::into) };
                let mut bytes = Vec::new();
                origin.write(&mut bytes);
                bytes.push(9);
                assert_eq!(Origin::read(&bytes), Some((origin, &[9u8][..])));
                for cut in 0..bytes.len() - 1 {
                    assert_eq!(Origin::read(&bytes[..cut]), None);
                }
            }
        }
    }
}
