//! A Beats agent that does what the test tells it, byte by byte.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use sapphire_edge::net::tls::ClientConfig;
use sapphire_edge::net::{Dialer, Stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::certificates::Identity;
use super::lumberjack::take_ack;
pub use super::lumberjack::{compressed, window};

/// A connection to a source.
pub struct Agent {
    stream: Stream,
    unread: Vec<u8>,
}

impl Agent {
    pub async fn plain(address: SocketAddr) -> Self {
        Self::dial(address, None).await.unwrap()
    }

    /// As [`Self::plain`], where nobody may listen.
    pub async fn try_plain(address: SocketAddr) -> Option<Self> {
        Self::dial(address, None).await.ok()
    }

    /// Inside TLS, with this CA and, where there is one, this certificate of ours.
    pub async fn tls(address: SocketAddr, ca: &Path, identity: Option<&Identity>) -> Result<Self, String> {
        let config = ClientConfig {
            ca: Some(ca.to_owned()),
            cert: identity.map(|identity| identity.cert.clone()),
            key: identity.map(|identity| identity.key.clone()),
            ..ClientConfig::default()
        };
        Self::dial(address, Some(config)).await
    }

    async fn dial(address: SocketAddr, tls: Option<ClientConfig>) -> Result<Self, String> {
        let tls = tls.map(|config| config.build().unwrap());
        let connect_timeout = Duration::from_secs(10);
        let dialer = Dialer { endpoint: address.into(), proxy: None, tls, connect_timeout };
        let stream = dialer.dial().await.map_err(|error| error.to_string())?;
        Ok(Self { stream, unread: Vec::new() })
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Sends unless the source has closed.
    pub async fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok() && self.stream.flush().await.is_ok()
    }

    /// Says that nothing more comes.
    pub async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// The next ack; `None` once the source has closed.
    pub async fn try_ack(&mut self) -> Option<u32> {
        loop {
            if let Some(ack) = take_ack(&mut self.unread) {
                return Some(ack);
            }
            match self.stream.read_buf(&mut self.unread).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The next ack.
    pub async fn ack(&mut self) -> u32 {
        self.try_ack().await.expect("the source closed")
    }

    /// The next ack that is no sign of life; `None` once the source has closed.
    pub async fn progress(&mut self) -> Option<u32> {
        loop {
            match self.try_ack().await {
                Some(0) => {}
                other => return other,
            }
        }
    }
}
