//! The store of bound sockets. A socket stays open here while its source restarts or its settings change, so the kernel
//! goes on queueing datagrams and connections for it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use socket2::{Domain, Protocol, Socket, Type};

use super::{DatagramSocket, SocketName, fdstore, inherited, udp};

/// Connections that may wait for accept; the kernel caps it at `net.core.somaxconn` (4,096 by default).
const BACKLOG: i32 = 1_024;

/// Bound sockets by name. Clones are the same store.
#[derive(Clone, Debug, Default)]
pub struct Sockets(Arc<Mutex<Store>>);

#[derive(Debug, Default)]
struct Store {
    bound: BTreeMap<SocketName, Bound>,
    /// Handed over at start and not yet asked for.
    waiting: Vec<Waiting>,
    /// Whether new sockets go to the service manager's descriptor store.
    keep: bool,
}

#[derive(Debug)]
struct Bound {
    socket: Socket,
    /// The kernel's drops that were counted; lives as long as the socket, so that those between two runs count too.
    drops: Arc<AtomicU32>,
}

#[derive(Debug)]
struct Waiting {
    /// Its name in the descriptor store, if it came from there.
    stored_as: Option<String>,
    address: SocketAddr,
    is_udp: bool,
    socket: Socket,
}

impl Sockets {
    /// A store with the sockets that the service manager handed over. New ones are given to its descriptor store.
    ///
    /// # Errors
    /// When what it says in the environment is garbled.
    pub fn from_service_manager() -> io::Result<Self> {
        let waiting = inherited::take()?.into_iter().filter_map(|(name, fd)| waiting(name, fd)).collect();
        Ok(Self(Arc::new(Mutex::new(Store { bound: BTreeMap::new(), waiting, keep: true }))))
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The UDP socket of that name, non-blocking: the one kept from before, or a new one. `shared` allows several sockets on
    /// its address (`SO_REUSEPORT`).
    ///
    /// # Errors
    /// When it cannot be bound; a later try may succeed.
    pub fn udp(&self, name: &SocketName, shared: bool) -> io::Result<DatagramSocket> {
        let bound = self.get(name, shared)?;
        Ok(DatagramSocket::new(bound.socket.into(), bound.drops))
    }

    /// The listening socket of that name: the one kept from before, or a new one. To be called inside the runtime.
    ///
    /// # Errors
    /// When it cannot be bound; a later try may succeed.
    pub fn tcp(&self, name: &SocketName) -> io::Result<tokio::net::TcpListener> {
        tokio::net::TcpListener::from_std(self.get(name, false)?.socket.into())
    }

    /// Where the socket of that name is bound, if it is open: tells the port that was chosen for port 0.
    #[must_use]
    pub fn bound(&self, name: &SocketName) -> Option<SocketAddr> {
        self.store().bound.get(name)?.socket.local_addr().ok()?.as_socket()
    }

    /// Closes every socket that is not in `names`, also those handed over at start that nobody asked for: to be called once
    /// the settings' sources have started, and after each change of the settings.
    pub fn keep_only(&self, names: &BTreeSet<SocketName>) {
        let mut store = self.store();
        let keep = store.keep;
        for (name, _) in store.bound.extract_if(.., |name, _| !names.contains(name)) {
            if keep {
                told(fdstore::forget(&fdstore::store_name(&name)));
            }
        }
        for waiting in std::mem::take(&mut store.waiting) {
            if let Some(name) = waiting.stored_as {
                told(fdstore::forget(&name));
            }
        }
    }

    /// A copy of the socket of that name.
    fn get(&self, name: &SocketName, shared: bool) -> io::Result<Bound> {
        let mut store = self.store();
        if let Some(bound) = store.bound.get(name) {
            // A socket that was alone takes others beside it from now on; the kernel looks at the option when they bind.
            if name.is_udp() {
                bound.socket.set_reuse_port(shared)?;
            }
            return bound.try_clone();
        }
        let (socket, stored) = match store.take_waiting(name) {
            Some(waiting) => {
                let stored = waiting.stored_as == Some(fdstore::store_name(name));
                if let Some(old) = waiting.stored_as.filter(|_| !stored) {
                    told(fdstore::forget(&old));
                }
                (waiting.socket, stored)
            }
            None => (bind(name, shared)?, false),
        };
        socket.set_nonblocking(true)?;
        if store.keep && !stored {
            told(fdstore::keep(&fdstore::store_name(name), socket.as_fd()));
        }
        // Drops of a socket that was handed over were counted by the run before.
        let drops = if name.is_udp() { udp::drops(socket.as_fd()).unwrap_or(0) } else { 0 };
        let bound = Bound { socket, drops: Arc::new(AtomicU32::new(drops)) };
        let copy = bound.try_clone()?;
        store.bound.insert(name.clone(), bound);
        Ok(copy)
    }
}

impl Bound {
    fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { socket: self.socket.try_clone()?, drops: Arc::clone(&self.drops) })
    }
}

impl Store {
    fn take_waiting(&mut self, name: &SocketName) -> Option<Waiting> {
        let ours = fdstore::store_name(name);
        let same_kind = |w: &Waiting| w.is_udp == name.is_udp();
        let by_name = |w: &Waiting| same_kind(w) && w.stored_as.as_deref() == Some(&ours);
        let by_address = |w: &Waiting| same_kind(w) && w.address == name.address();
        let at = self.waiting.iter().position(by_name).or_else(|| self.waiting.iter().position(by_address))?;
        Some(self.waiting.swap_remove(at))
    }
}

/// The store is a convenience for the next start: without it the socket still works, so a failure is only told.
fn told(result: io::Result<()>) {
    if let Err(error) = result {
        tracing::warn!(%error, "the service manager's descriptor store could not be changed");
    }
}

fn waiting(name: String, fd: OwnedFd) -> Option<Waiting> {
    let socket = Socket::from(fd);
    let address = socket.local_addr().ok()?.as_socket()?;
    let is_udp = socket.r#type().ok()? == Type::DGRAM;
    Some(Waiting { stored_as: Some(name).filter(|name| fdstore::is_ours(name)), address, is_udp, socket })
}

fn bind(name: &SocketName, shared: bool) -> io::Result<Socket> {
    let address = name.address();
    let (kind, protocol) = if name.is_udp() { (Type::DGRAM, Protocol::UDP) } else { (Type::STREAM, Protocol::TCP) };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if name.is_udp() {
        socket.set_reuse_port(shared)?;
        socket.bind(&address.into())?;
    } else {
        // Connections of an earlier run in TIME_WAIT must not keep the listener from binding.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Listen;

    fn name(owner: &str, text: &str) -> SocketName {
        SocketName::new(owner, text.parse().unwrap(), 0)
    }

    fn named(owner: &str, address: SocketAddr) -> SocketName {
        SocketName::new(owner, Listen::Udp(address), 0)
    }

    #[test]
    fn a_socket_outlives_its_reader_and_keeps_what_arrives() {
        let sockets = Sockets::default();
        let free = name("fw", "udp://127.0.0.1:0");
        let first = sockets.udp(&free, false).unwrap();
        let address = first.local_addr().unwrap();
        drop(first);
        assert_eq!(sockets.bound(&free), Some(address));
        std::net::UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"meanwhile", address).unwrap();
        let mut receiver = udp::Receiver::new(sockets.udp(&free, false).unwrap(), 4, 100);
        assert_eq!(receiver.receive().unwrap(), 1);
        assert_eq!(receiver.datagrams().next().unwrap().bytes, b"meanwhile");
    }

    #[test]
    fn port_0_is_another_socket_for_another_owner() {
        let sockets = Sockets::default();
        let (a, b) = (name("a", "udp://127.0.0.1:0"), name("b", "udp://127.0.0.1:0"));
        sockets.udp(&a, false).unwrap();
        sockets.udp(&b, false).unwrap();
        assert_ne!(sockets.bound(&a), sockets.bound(&b));
    }

    #[test]
    fn what_is_no_longer_named_is_closed() {
        let sockets = Sockets::default();
        let (keep, go) = (name("a", "udp://127.0.0.1:0"), name("b", "udp://127.0.0.1:0"));
        sockets.udp(&keep, false).unwrap();
        sockets.udp(&go, false).unwrap();
        let address = sockets.bound(&go).unwrap();
        sockets.keep_only(&BTreeSet::from([keep.clone()]));
        assert!(sockets.bound(&keep).is_some() && sockets.bound(&go).is_none());
        std::net::UdpSocket::bind(address).unwrap();
    }

    #[test]
    fn several_sockets_share_an_address_only_where_asked() {
        let sockets = Sockets::default();
        let first = sockets.udp(&name("a", "udp://127.0.0.1:0"), false).unwrap();
        let listen = Listen::Udp(first.local_addr().unwrap());
        let (alone, second) = (SocketName::new("a", listen, 0), SocketName::new("a", listen, 1));
        assert_eq!(sockets.udp(&alone, false).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        sockets.keep_only(&BTreeSet::new());
        drop(first);
        sockets.udp(&alone, false).unwrap();
        assert!(sockets.udp(&second, true).is_err());
        sockets.udp(&alone, true).unwrap();
        sockets.udp(&second, true).unwrap();
    }

    #[tokio::test]
    async fn the_two_families_stand_side_by_side_on_one_port() {
        let sockets = Sockets::default();
        let four = sockets.tcp(&name("a", "tcp://0.0.0.0:0")).unwrap();
        let port = four.local_addr().unwrap().port();
        let six = sockets.tcp(&name("a", &format!("tcp://[::]:{port}"))).unwrap();
        assert_eq!(six.local_addr().unwrap().port(), port);
        let connected = tokio::net::TcpStream::connect(("::1", port)).await.unwrap();
        assert_eq!(six.accept().await.unwrap().1, connected.local_addr().unwrap());
    }

    /// As the service manager hands them over: by name from its store, or by their address from a unit.
    #[test]
    fn sockets_handed_over_are_found_by_name_and_by_address() {
        let sockets = Sockets::default();
        let bind = || std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let (unit, stored, unwanted) = (bind(), bind(), bind());
        let (unit_at, stored_at) = (unit.local_addr().unwrap(), stored.local_addr().unwrap());
        let unwanted_at = unwanted.local_addr().unwrap();
        let free = name("fw", "udp://127.0.0.1:0");
        sockets.store().waiting = [
            ("unit.socket".to_owned(), unit.into()),
            (fdstore::store_name(&free), stored.into()),
            ("edge-old".to_owned(), OwnedFd::from(unwanted)),
        ]
        .into_iter()
        .filter_map(|(name, fd)| waiting(name, fd))
        .collect();
        assert_eq!(sockets.udp(&free, false).unwrap().local_addr().unwrap(), stored_at);
        assert_eq!(sockets.udp(&named("fw", unit_at), false).unwrap().local_addr().unwrap(), unit_at);
        // A TCP name never gets a UDP socket.
        assert!(sockets.store().take_waiting(&SocketName::new("fw", Listen::Tcp(unwanted_at), 0)).is_none());
        sockets.keep_only(&BTreeSet::from([free]));
        std::net::UdpSocket::bind(unwanted_at).unwrap();
        std::net::UdpSocket::bind(unit_at).unwrap();
    }
}
