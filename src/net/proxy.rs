//! The way out through an HTTP proxy: CONNECT (RFC 9110 section 9.3.6), with basic authentication (RFC 7617).

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use super::{DialError, Endpoint};

/// A proxy's answer to CONNECT is a few hundred bytes; beyond this it is something else.
const MAX_ANSWER: usize = 8 << 10;
/// A password, with room to spare.
const MAX_PASSWORD: u64 = 4 << 10;

/// An HTTP proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// The user it knows us as; none where it asks for none.
    pub user: Option<String>,
    /// The file that holds the password, read at every dial. One line feed at its end is not part of it.
    pub password_file: Option<PathBuf>,
}

impl Proxy {
    /// Asks the proxy for a connection to `target`; after that the stream is the target's.
    pub(super) async fn open(&self, stream: &mut TcpStream, target: &Endpoint) -> Result<(), DialError> {
        let request = self.request(target).await?;
        let broken = |source| DialError::Proxy { proxy: self.endpoint.clone(), source };
        stream.write_all(request.as_bytes()).await.map_err(broken)?;
        let answer = read_head(stream).await.map_err(broken)?;
        let status = answer.lines().next().unwrap_or_default();
        match status.split_ascii_whitespace().nth(1) {
            // RFC 9110 section 9.3.6: any 2xx.
            Some(code) if code.len() == 3 && code.starts_with('2') => Ok(()),
            _ => Err(DialError::ProxyRefused { proxy: self.endpoint.clone(), status: printable(status) }),
        }
    }

    async fn request(&self, target: &Endpoint) -> Result<Zeroizing<String>, DialError> {
        let mut request = Zeroizing::new(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"));
        if let Some(user) = &self.user {
            let password = self.password().await?;
            let plain = Zeroizing::new(format!("{user}:{}", *password));
            let encoded = Zeroizing::new(STANDARD.encode(plain.as_bytes()));
            request.push_str("Proxy-Authorization: Basic ");
            request.push_str(&encoded);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        Ok(request)
    }

    pub(super) async fn password(&self) -> Result<Zeroizing<String>, DialError> {
        let Some(path) = &self.password_file else { return Ok(Zeroizing::default()) };
        read_password(path).await.map_err(|source| DialError::ProxyPassword { path: path.clone(), source })
    }
}

/// A password from its file; line feeds at its end are not part of it.
pub(super) async fn read_password(path: &Path) -> io::Result<Zeroizing<String>> {
    let file = tokio::fs::File::open(path).await?;
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_PASSWORD).read_to_string(&mut text).await?;
    let end = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(end);
    Ok(text)
}

/// Reads up to and with the empty line, not a byte further: what follows belongs to the target.
async fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= MAX_ANSWER {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its answer is too long"));
        }
        // Byte by byte, once per connection: a larger read would take the target's first bytes away.
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// The status line for a person: at most 120 printable characters.
fn printable(status: &str) -> String {
    let shown: String = status.chars().filter(|c| !c.is_control()).take(120).collect();
    if shown.is_empty() { "an empty answer".to_owned() } else { shown }
}
