//! Dialling out: the name is asked for every time, every address is tried, through the site's proxy where it has one, and
//! TLS on top.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::tls::{Connector, HANDSHAKE_TIMEOUT};
use super::{DialError, Proxy, Stream, stream};

/// Addresses of one name that are tried: round-robin names have a handful, and the timeout of each adds up.
const MAX_ADDRESSES: usize = 8;

/// A host and a port to dial, written `"gw1.example.net:5044"`, `"192.0.2.1:5044"` or `"[2001:db8::1]:5044"`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Endpoint {
    host: String,
    port: u16,
}

impl Endpoint {
    /// The host name, or the IP address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; never 0.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port() }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is not an endpoint; write a host and a port, such as \"gw1.example.net:5044\"");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_good = match bare {
            Some(address) => address.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6()),
            // RFC 1123 section 2.1 with the underscore that names in the field have; an empty label is a typing slip.
            None => {
                host.len() <= 253
                    && host.trim_end_matches('.').split('.').all(|label| {
                        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                    })
            }
        };
        if is_good { Ok(Self { host: bare.unwrap_or(host).to_owned(), port }) } else { Err(wrong()) }
    }
}

impl TryFrom<String> for Endpoint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.to_string()
    }
}

/// How to reach one endpoint.
#[derive(Clone, Debug)]
pub struct Dialer {
    /// What to reach.
    pub endpoint: Endpoint,
    /// The HTTP proxy that the site demands.
    pub proxy: Option<Proxy>,
    /// TLS on the connection.
    pub tls: Option<Connector>,
    /// Time for the name, for each address, and for the proxy's answer. The TLS handshake has 10 s of its own.
    pub connect_timeout: Duration,
}

impl Dialer {
    /// Makes a connection.
    ///
    /// # Errors
    /// What failed, in words, and what to do. Every failure may pass; try again after a backoff.
    ///
    /// # Cancel safety
    /// Dropping it closes what was opened.
    pub async fn dial(&self) -> Result<Stream, DialError> {
        let target = self.proxy.as_ref().map_or(&self.endpoint, |proxy| &proxy.endpoint);
        let (mut tcp, peer) = self.connect(target).await?;
        if let Some(proxy) = &self.proxy {
            let deadline = Instant::now() + self.connect_timeout;
            let timed_out = || DialError::TimedOut { what: format!("the proxy {}", proxy.endpoint) };
            timeout_at(deadline, proxy.open(&mut tcp, &self.endpoint)).await.map_err(|_| timed_out())??;
        }
        let Some(tls) = &self.tls else { return Ok(Stream::plain(tcp, peer)) };
        let handshake = tls.connect(tcp, &self.endpoint.host, peer);
        let timed_out = || DialError::TimedOut { what: format!("the tls handshake with {}", self.endpoint) };
        let stream = timeout_at(Instant::now() + HANDSHAKE_TIMEOUT, handshake).await.map_err(|_| timed_out())?;
        stream.map_err(|error| DialError::tls(&self.endpoint, error))
    }

    /// Words for an error that a connection of this dialer gave later. A far end that refuses our certificate says so only
    /// at the first read (RFC 8446 section 4.4.2.4: the client is done before the server has looked).
    #[must_use]
    pub fn explain(&self, error: io::Error) -> DialError {
        DialError::tls(&self.endpoint, error)
    }

    async fn connect(&self, target: &Endpoint) -> Result<(TcpStream, SocketAddr), DialError> {
        let mut last = None;
        for address in self.look_up(target).await? {
            let attempt = timeout_at(Instant::now() + self.connect_timeout, TcpStream::connect(address)).await;
            last = Some(match attempt {
                Ok(Ok(tcp)) => match stream::tune(&tcp) {
                    Ok(()) => return Ok((tcp, address)),
                    Err(source) => DialError::Connect { address, source },
                },
                Ok(Err(source)) => DialError::Connect { address, source },
                Err(_) => DialError::TimedOut { what: address.to_string() },
            });
        }
        Err(last.unwrap_or_else(|| DialError::NoAddress { host: target.host.clone() }))
    }

    async fn look_up(&self, target: &Endpoint) -> Result<Vec<SocketAddr>, DialError> {
        let query = tokio::net::lookup_host((target.host.as_str(), target.port));
        let host = || target.host.clone();
        match timeout_at(Instant::now() + self.connect_timeout, query).await {
            Ok(Ok(found)) => Ok(found.take(MAX_ADDRESSES).collect()),
            Ok(Err(source)) => Err(DialError::Name { host: host(), source }),
            Err(_) => Err(DialError::TimedOut { what: format!("the name server's answer for {}", target.host) }),
        }
    }
}
