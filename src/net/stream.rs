//! A connection, plain or inside TLS, with who is at the other end.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::unsent;
use crate::event::{Origin, Transport};

/// A quiet connection is asked for life after this long: half of the 2 minutes after which common firewalls and NAT
/// boxes may forget an idle flow.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
/// Time between the questions, and how many stay unanswered before the connection is dead.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
const KEEPALIVE_TRIES: u32 = 6;
/// Bytes that the other end does not acknowledge for this long break the connection: as long as the questions above take.
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// A connection. Reading and writing are those of the TCP or TLS stream inside.
#[derive(Debug)]
pub struct Stream {
    inner: Inner,
    peer: SocketAddr,
    name: Option<Box<str>>,
}

#[derive(Debug)]
enum Inner {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::TlsStream<TcpStream>>),
}

impl Stream {
    /// A plain connection.
    pub(super) fn plain(stream: TcpStream, peer: SocketAddr) -> Self {
        Self { inner: Inner::Plain(stream), peer, name: None }
    }

    /// A connection after its TLS handshake; `name` is the one in the peer's verified certificate.
    pub(super) fn tls(stream: tokio_rustls::TlsStream<TcpStream>, peer: SocketAddr, name: Option<Box<str>>) -> Self {
        Self { inner: Inner::Tls(Box::new(stream)), peer, name }
    }

    /// The address at the other end (of the proxy, where there is one); IPv4 mapped into IPv6 is shown as IPv4.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The name in the client certificate that was verified; none without TLS or without a certificate.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Bytes that were written and that the other end's kernel has not acknowledged. Zero means that it has them, not that its
    /// program does. Bytes in the TLS layer do not count: flush first.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn unacknowledged(&self) -> io::Result<usize> {
        unsent::unacknowledged(self.tcp().as_fd())
    }

    /// Keeps at most about `bytes` in the kernel that are not on their way, so that less is lost when the other end dies.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn keep_unsent_below(&self, bytes: u32) -> io::Result<()> {
        SockRef::from(self.tcp()).set_tcp_notsent_lowat(bytes)
    }

    fn tcp(&self) -> &TcpStream {
        match &self.inner {
            Inner::Plain(stream) => stream,
            Inner::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Where events that come over this connection came from.
    #[must_use]
    pub fn origin(&self) -> Origin {
        let transport = match self.inner {
            Inner::Plain(_) => Transport::Tcp,
            Inner::Tls(_) => Transport::Tls,
        };
        Origin { transport, peer: Some(self.peer), name: self.name.clone() }
    }
}

/// Sets what every connection of ours has: no delay for small writes, keep-alive, an end to unacknowledged bytes.
pub(super) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY).with_retries(KEEPALIVE_TRIES);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inner {
            Inner::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Inner::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().inner {
            Inner::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Inner::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().inner {
            Inner::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Inner::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.inner {
            Inner::Plain(stream) => stream.is_write_vectored(),
            Inner::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inner {
            Inner::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Inner::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inner {
            Inner::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Inner::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
