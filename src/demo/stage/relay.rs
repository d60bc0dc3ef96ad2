//! The line between the box and the gateway, which the play cuts.
//!
//! In: connections of the box. Out: the same bytes to the gateway and back. A cut is what a pulled cable looks like from the
//! box, without the wait: every connection is reset in the middle of whatever it carried, and new ones are refused. So windows
//! stay without their acknowledgement although the gateway may have taken them, and the box has to repeat them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Where ports are taken from: below those that Linux gives to sockets that ask for any (32768 to 60999, ip_local_port_range in
/// its ip-sysctl documentation). A port from there could be given to another program while the line is cut, because a socket
/// that may share its address and does not listen keeps nobody away; the box would then send its events there.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// Ports tried before giving up.
const TRIES: usize = 64;
/// A box holds one connection at a time; some more may linger while it tries.
const MOST_CONNECTIONS: usize = 16;

#[derive(Debug)]
pub(in crate::demo) struct Relay {
    to: SocketAddr,
    address: SocketAddr,
    /// Bound but never listening: keeps the port ours while the line is cut.
    _place: Socket,
    /// The accept loop; the connections are its children.
    line: JoinSet<()>,
}

impl Relay {
    /// Opens a line to `to` on a free loopback port.
    pub(in crate::demo) fn open(to: SocketAddr) -> io::Result<Self> {
        let mut result = Err(io::ErrorKind::AddrInUse.into());
        for _ in 0..TRIES {
            result = Self::open_at((Ipv4Addr::LOCALHOST, rand::random_range(PORTS)).into(), to);
            if result.is_ok() {
                break;
            }
        }
        result
    }

    fn open_at(address: SocketAddr, to: SocketAddr) -> io::Result<Self> {
        let mut relay = Self { to, address, _place: bind(address)?, line: JoinSet::new() };
        relay.restore()?;
        Ok(relay)
    }

    /// Where the box finds the gateway.
    pub(in crate::demo) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resets all connections and refuses new ones, until [`Relay::restore`].
    pub(in crate::demo) async fn cut(&mut self) {
        self.line.shutdown().await;
    }

    /// Takes connections again.
    pub(in crate::demo) fn restore(&mut self) -> io::Result<()> {
        let socket = bind(self.address)?;
        socket.listen(16)?;
        socket.set_nonblocking(true)?;
        let listener = TcpListener::from_std(socket.into())?;
        self.line.spawn(accept(listener, self.to));
        Ok(())
    }
}

fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    // Both sockets of the port need it: the one that keeps it and the one that listens.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

async fn accept(listener: TcpListener, to: SocketAddr) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= MOST_CONNECTIONS {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, _)) => drop(connections.spawn(carry(stream, to))),
            // Out of descriptors, most likely: the next try may find some.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn carry(mut near: TcpStream, to: SocketAddr) {
    let Ok(mut far) = TcpStream::connect(to).await else { return };
    for stream in [&near, &far] {
        let _ = stream.set_nodelay(true);
        // Dropped in the middle, the connections are reset: what a cut line looks like.
        let _ = stream.set_zero_linger();
    }
    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    // Both sides ended by themselves: what is still on its way arrives.
    for stream in [&near, &far] {
        let _ = SockRef::from(stream).set_linger(None);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_cut_breaks_connections_and_refuses_new_ones_until_it_is_mended() {
        let gateway = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut relay = Relay::open(gateway.local_addr().unwrap()).unwrap();
        for _ in 0..2 {
            let mut near = TcpStream::connect(relay.address()).await.unwrap();
            let (mut far, _) = gateway.accept().await.unwrap();
            near.write_all(b"there").await.unwrap();
            let mut five = [0; 5];
            far.read_exact(&mut five).await.unwrap();
            far.write_all(b"again").await.unwrap();
            near.read_exact(&mut five).await.unwrap();
            assert_eq!(&five, b"again");

            relay.cut().await;
            assert_eq!(near.read(&mut five).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
            assert_eq!(far.read(&mut five).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
            let refused = TcpStream::connect(relay.address()).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            relay.restore().unwrap();
        }
    }

    #[tokio::test]
    async fn a_side_that_ends_by_itself_is_passed_on() {
        let gateway = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Relay::open(gateway.local_addr().unwrap()).unwrap();
        let mut near = TcpStream::connect(relay.address()).await.unwrap();
        let (mut far, _) = gateway.accept().await.unwrap();
        near.write_all(b"last").await.unwrap();
        near.shutdown().await.unwrap();
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"last");
    }
}
