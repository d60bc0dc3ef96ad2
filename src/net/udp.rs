//! Datagrams in batches, and what the kernel dropped of them.
//!
//! Facts (measured on Linux 6.18, loopback, one core): `recvmmsg` with full batches takes 1.0 to 1.2 million datagrams per
//! CPU-second, one call per datagram 0.6. `SO_RCVBUF` is capped at `net.core.rmem_max`, `SO_RCVBUFFORCE` (CAP_NET_ADMIN) is
//! not; the kernel doubles either. A datagram of 200 bytes occupies about 1.3 kB of that buffer.
//!
//! Decision: drops are read by `SO_MEMINFO` (Linux 4.12; the ninth number is the socket's own drop counter, the same that
//! `/proc/net/udp` shows). `SO_RXQ_OVFL` tells it only with the next datagram that gets through, so a quiet sender would
//! hide its loss, and the table lists every socket of the machine to find one.
#![allow(
    unsafe_code,
    reason = "recvmmsg and SO_MEMINFO have no safe wrapper that takes buffers kept from call to call"
)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::SockRef;

/// A bound UDP socket together with how many of its drops were counted; clones share both.
#[derive(Debug)]
pub struct DatagramSocket {
    socket: UdpSocket,
    counted: Arc<AtomicU32>,
}

impl DatagramSocket {
    /// A socket whose drops up to `counted` belong to somebody else.
    pub(super) fn new(socket: UdpSocket, counted: Arc<AtomicU32>) -> Self {
        Self { socket, counted }
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The same socket once more.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { socket: self.socket.try_clone()?, counted: Arc::clone(&self.counted) })
    }

    /// Asks for a receive buffer of `bytes`, by force where we may; returns what the kernel gave.
    ///
    /// # Errors
    /// When the kernel refuses the option altogether.
    pub fn set_receive_buffer(&self, bytes: usize) -> io::Result<u64> {
        // The kernel takes an int.
        let bytes = bytes.min(i32::MAX as usize);
        if setsockopt(&self.socket, sockopt::RcvBufForce, &bytes).is_err() {
            SockRef::from(&self.socket).set_recv_buffer_size(bytes)?;
        }
        // The kernel reports twice what it was asked for: the other half is its own overhead.
        Ok(SockRef::from(&self.socket).recv_buffer_size()? as u64 / 2)
    }

    /// Datagrams that the kernel dropped on this socket since this was last asked, by whomever.
    #[must_use]
    pub fn new_drops(&self) -> u64 {
        let Ok(now) = drops(self.socket.as_fd()) else { return 0 };
        let before = self.counted.swap(now, Ordering::Relaxed);
        u64::from(now.wrapping_sub(before))
    }
}

/// The kernel's drop counter of a socket; it wraps at 2^32.
///
/// # Errors
/// When the kernel does not know `SO_MEMINFO`.
pub(super) fn drops(socket: BorrowedFd<'_>) -> io::Result<u32> {
    /// `SK_MEMINFO_VARS` and the place of `SK_MEMINFO_DROPS` (linux/sock_diag.h).
    const NUMBERS: usize = 9;
    const DROPS: usize = 8;
    let mut numbers = [0u32; NUMBERS];
    let mut length = libc::socklen_t::try_from(size_of_val(&numbers)).unwrap_or(0);
    // SAFETY: the kernel writes at most `length` bytes, the size of `numbers`, and `length` itself; both live through the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            numbers.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    numbers.get(DROPS).copied().ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// One datagram as it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Who sent it; IPv4 mapped into IPv6 is shown as IPv4.
    pub peer: SocketAddr,
    /// Its bytes, as far as they fit a slot.
    pub bytes: &'a [u8],
    /// Its length on the wire.
    pub length: usize,
}

/// Reads datagrams many at a time into slots that are used again and again. Made on the thread that reads.
pub struct Receiver {
    socket: DatagramSocket,
    slot: usize,
    storage: Box<[u8]>,
    peers: Box<[[u8; PEER]]>,
    lengths: Box<[usize]>,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
    count: usize,
}

/// The larger of the two address structures, `sockaddr_in6`.
const PEER: usize = size_of::<libc::sockaddr_in6>();
/// Slots begin a cache line off the page, so that the first lines of all slots do not fight for the same cache sets.
const STAGGER: usize = 64;

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver")
            .field("socket", &self.socket)
            .field("slots", &self.peers.len())
            .finish_non_exhaustive()
    }
}

impl Receiver {
    /// A reader with `slots` places for datagrams of up to `slot` bytes. Memory is taken from the system only as datagrams
    /// touch it.
    #[must_use]
    pub fn new(socket: DatagramSocket, slots: usize, slot: usize) -> Self {
        let empty_vector = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        // SAFETY: `mmsghdr` is numbers and pointers, for which zero is a value (null, no length).
        let empty_header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        Self {
            socket,
            slot,
            storage: vec![0; slots * (slot + STAGGER)].into_boxed_slice(),
            peers: vec![[0; PEER]; slots].into_boxed_slice(),
            lengths: vec![0; slots].into_boxed_slice(),
            vectors: vec![empty_vector; slots].into_boxed_slice(),
            headers: vec![empty_header; slots].into_boxed_slice(),
            count: 0,
        }
    }

    /// Waits until a datagram is there, `wake` is closed, or `timeout` is over; true if `wake` was closed.
    ///
    /// # Errors
    /// When the kernel cannot wait.
    pub fn wait(&self, wake: BorrowedFd<'_>, timeout: Duration) -> io::Result<bool> {
        let socket = PollFd::new(self.socket.socket.as_fd(), PollFlags::POLLIN);
        wait(&mut [PollFd::new(wake, PollFlags::POLLIN), socket], timeout)
    }

    /// Takes what is there, without waiting; the number of datagrams, 0 if there is none.
    ///
    /// # Errors
    /// When the socket is broken.
    pub fn receive(&mut self) -> io::Result<usize> {
        self.point_headers();
        let slots = libc::c_uint::try_from(self.headers.len()).unwrap_or(libc::c_uint::MAX);
        // SAFETY: each of the `slots` headers points to its own slot, vector and peer, set just above with their sizes; all
        // of them are owned by `self` and untouched during the call.
        let result = unsafe {
            libc::recvmmsg(
                self.socket.socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                slots,
                // MSG_TRUNC: a length is that of the datagram, also where the slot is shorter (recv(2)).
                libc::MSG_DONTWAIT | libc::MSG_TRUNC,
                std::ptr::null_mut(),
            )
        };
        self.count = usize::try_from(result).unwrap_or(0);
        for (length, header) in self.lengths.iter_mut().zip(&self.headers).take(self.count) {
            *length = header.msg_len as usize;
        }
        if result >= 0 {
            return Ok(self.count);
        }
        match io::Error::last_os_error() {
            error if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
            error => Err(error),
        }
    }

    /// How many datagrams one call can take.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.peers.len()
    }

    /// What the last [`Receiver::receive`] took, in order.
    pub fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        let slots = self.storage.chunks(self.slot + STAGGER);
        slots.zip(&self.peers).zip(&self.lengths).take(self.count).filter_map(|((slot, peer), length)| {
            let bytes = slot.get(..self.slot.min(*length))?;
            Some(Datagram { peer: peer_address(peer)?, bytes, length: *length })
        })
    }

    fn point_headers(&mut self) {
        let slots = self.storage.chunks_mut(self.slot + STAGGER).zip(&mut self.peers);
        for ((header, vector), (slot, peer)) in self.headers.iter_mut().zip(&mut self.vectors).zip(slots) {
            *vector = libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: self.slot };
            header.msg_hdr.msg_name = peer.as_mut_ptr().cast();
            header.msg_hdr.msg_namelen = libc::socklen_t::try_from(PEER).unwrap_or(0);
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
        }
    }
}

/// Waits until `wake` is closed or `timeout` is over; true if it was closed. A pause that a stop can end.
///
/// # Errors
/// When the kernel cannot wait.
pub fn pause(wake: BorrowedFd<'_>, timeout: Duration) -> io::Result<bool> {
    wait(&mut [PollFd::new(wake, PollFlags::POLLIN)], timeout)
}

fn wait(descriptors: &mut [PollFd<'_>], timeout: Duration) -> io::Result<bool> {
    // A wait of under a millisecond must not become a spin.
    let millis = u16::try_from(timeout.as_millis().max(1)).unwrap_or(u16::MAX);
    match poll(descriptors, PollTimeout::from(millis)) {
        Ok(_) | Err(nix::Error::EINTR) => {}
        Err(error) => return Err(error.into()),
    }
    let woken = descriptors.first().and_then(PollFd::revents);
    Ok(woken.is_some_and(|events| events.intersects(PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLIN)))
}

/// Reads a `sockaddr_in` or `sockaddr_in6` (ip(7), ipv6(7)): family, port, then the address, after 4 bytes of flow for IPv6.
fn peer_address(bytes: &[u8; PEER]) -> Option<SocketAddr> {
    let (family, rest) = bytes.split_first_chunk::<2>()?;
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let ip: IpAddr = match i32::from(u16::from_ne_bytes(*family)) {
        libc::AF_INET => Ipv4Addr::from(*rest.first_chunk::<4>()?).into(),
        libc::AF_INET6 => Ipv6Addr::from(*rest.get(4..)?.first_chunk::<16>()?).to_canonical(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes(*port)))
}

#[cfg(test)]
mod tests {
    use std::io::pipe;

    use super::*;

    fn socket(address: &str) -> (DatagramSocket, UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind(address).unwrap();
        let to = socket.local_addr().unwrap();
        let sender = UdpSocket::bind(address).unwrap();
        (DatagramSocket::new(socket, Arc::default()), sender, to)
    }

    /// Reads until nothing is there.
    fn drain(receiver: &mut Receiver) -> Vec<(SocketAddr, Vec<u8>, usize)> {
        let mut got = Vec::new();
        while receiver.receive().unwrap() > 0 {
            got.extend(receiver.datagrams().map(|d| (d.peer, d.bytes.to_vec(), d.length)));
        }
        got
    }

    #[test]
    fn datagrams_come_whole_with_their_peer_over_both_protocols() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (socket, sender, to) = socket(address);
            let mut receiver = Receiver::new(socket, 4, 1_000);
            assert_eq!(receiver.receive().unwrap(), 0);
            for at in 0..10u8 {
                sender.send_to(&vec![at; 100 + usize::from(at)], to).unwrap();
            }
            let from = sender.local_addr().unwrap();
            let wanted: Vec<_> =
                (0..10u8).map(|at| (from, vec![at; 100 + usize::from(at)], 100 + usize::from(at))).collect();
            assert_eq!(drain(&mut receiver), wanted);
        }
    }

    #[test]
    fn a_datagram_longer_than_its_slot_is_cut_and_its_length_known() {
        let (socket, sender, to) = socket("127.0.0.1:0");
        let mut receiver = Receiver::new(socket, 4, 10);
        sender.send_to(&[7; 60_000], to).unwrap();
        sender.send_to(b"", to).unwrap();
        sender.send_to(&[8; 10], to).unwrap();
        let from = sender.local_addr().unwrap();
        assert_eq!(drain(&mut receiver), [(from, vec![7; 10], 60_000), (from, vec![], 0), (from, vec![8; 10], 10)]);
    }

    #[test]
    fn what_the_kernel_dropped_is_known_at_once_and_told_once() {
        let (socket, sender, to) = socket("127.0.0.1:0");
        SockRef::from(&socket.socket).set_recv_buffer_size(8_192).unwrap();
        let again = socket.try_clone().unwrap();
        assert_eq!(socket.new_drops(), 0);
        for _ in 0..500 {
            sender.send_to(&[1; 200], to).unwrap();
        }
        let dropped = socket.new_drops();
        assert_eq!(again.new_drops(), 0, "told to one of the two");
        let table = std::fs::read_to_string("/proc/self/net/udp").unwrap();
        let port = format!(":{:04X} ", to.port());
        let line = table.lines().find(|line| line.contains(&port)).unwrap();
        assert_eq!(line.split_ascii_whitespace().last().unwrap().parse::<u64>().unwrap(), dropped);
        let received = drain(&mut Receiver::new(socket, 64, 1_000)).len() as u64;
        assert!(dropped > 0 && received > 0);
        assert_eq!(received + dropped, 500);
    }

    #[test]
    fn a_wait_ends_by_a_datagram_by_the_wake_and_by_time() {
        let (socket, sender, to) = socket("127.0.0.1:0");
        let (wake, stop) = pipe().unwrap();
        let mut receiver = Receiver::new(socket, 4, 100);
        assert!(!receiver.wait(wake.as_fd(), Duration::from_millis(5)).unwrap());
        sender.send_to(b"x", to).unwrap();
        assert!(!receiver.wait(wake.as_fd(), Duration::from_secs(60)).unwrap());
        assert_eq!(drain(&mut receiver).len(), 1);
        assert!(!pause(wake.as_fd(), Duration::from_millis(1)).unwrap());
        drop(stop);
        assert!(receiver.wait(wake.as_fd(), Duration::from_secs(60)).unwrap());
        assert!(pause(wake.as_fd(), Duration::from_secs(60)).unwrap());
    }

    #[test]
    fn the_receive_buffer_is_what_was_asked_for_or_what_the_system_allows() {
        let (socket, _, _) = socket("127.0.0.1:0");
        let given = socket.set_receive_buffer(64 << 10).unwrap();
        assert_eq!(given, 64 << 10);
        assert!(socket.set_receive_buffer(usize::MAX).unwrap() > 64 << 10);
    }
}
