//! A Beats agent that does what the test tells it, byte by byte.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use sapphire_edge::net::tls::ClientConfig;
use sapphire_edge::net::{Dialer, Stream};
use sapphire_edge::wire::lumberjack::{AckDecoder, Encoder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::certificates::Identity;

/// A connection to a source.
pub struct Agent {
    stream: Stream,
    acks: AckDecoder,
    unread: Vec<u8>,
}

/// The frames of a window whose events are numbered from `first`.
pub fn window(first: u32, events: &[&str]) -> Vec<u8> {
    let mut bytes = b"2W".to_vec();
    bytes.extend_from_slice(&(events.len() as u32).to_be_bytes());
    for (at, event) in events.iter().enumerate() {
        bytes.extend_from_slice(b"2J");
        bytes.extend_from_slice(&(first + at as u32).to_be_bytes());
        bytes.extend_from_slice(&(event.len() as u32).to_be_bytes());
        bytes.extend_from_slice(event.as_bytes());
    }
    bytes
}

/// The same as one compressed frame, numbered from 1.
pub fn compressed(events: &[&str]) -> Vec<u8> {
    let (mut encoder, mut bytes) = (Encoder::new(3), Vec::new());
    events.iter().for_each(|event| encoder.event(|to| to.extend_from_slice(event.as_bytes())));
    encoder.finish(&mut bytes);
    bytes
}

impl Agent {
    pub async fn plain(address: SocketAddr) -> Self {
        Self::dial(address, None).await.unwrap()
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
        Ok(Self { stream, acks: AckDecoder::default(), unread: Vec::new() })
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
            let mut bytes = &self.unread[..];
            let ack = self.acks.next_ack(&mut bytes).unwrap();
            self.unread = bytes.to_vec();
            if ack.is_some() {
                return ack;
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
