//! The site's devices: each generates its events and sends them over a real socket at an even pace.
//!
//! In: the addresses of the box, a rate, a seed. Out: counters while it goes on, and at the end the fingerprint of every event
//! that was handed to a socket. A sender of a stream counts an event as sent when the kernel took it, ends its connection
//! in an orderly way and waits until the box has read to the end.
//!
//! UDP: a real firewall does not care whether its datagrams are read. These devices do: they hold back while the box has
//! `MOST_UNREAD` datagrams to read, because a buffer on loopback without root rights (212,992 bytes by default, half a
//! thousand small datagrams at most) overflows whenever a busy machine keeps the box from the processor for 50 ms. What is lost
//! nevertheless shows as dropped, and the balance fails.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::DemoError;
use super::balance::{Fingerprint, fingerprint};
use super::generate::{Family, Generator};
use super::pace::Pace;
use super::push::{Key, Pusher};
use crate::clock::Clock;
use crate::net::{Dialer, Stream};

/// How often a device sends what is due.
const TICK: Duration = Duration::from_millis(5);
/// Events written at once to a stream: after a pause the backlog goes out in pieces of this size.
const BURST: u64 = 1_000;
/// Datagrams a device sends in one go. They fit many times into the smallest receive buffer.
const UDP_BURST: u64 = 16;
/// Datagrams of all devices together that the box may have to read; a third of the smallest receive buffer.
const MOST_UNREAD: u64 = 64;
/// A datagram that the box has not counted after this time was lost on the way and is no longer waited for.
const READ_WITHIN: Duration = Duration::from_secs(2);
/// Time for the box to read a stream to its end.
const FAREWELL: Duration = Duration::from_secs(30);

/// How events of a stream are told apart (RFC 6587 section 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// A line feed after each.
    Lines,
    /// Its length before each.
    Counted,
}

/// How a device reaches the box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Udp,
    Tcp(Framing),
    Tls(Framing),
    /// Files over SSH.
    Scp,
}

/// One device of the site.
#[derive(Clone, Copy, Debug)]
pub(super) struct Device {
    /// The source of the box that it sends to; see [`SOURCES`].
    pub(super) source: &'static str,
    pub(super) way: Way,
    family: Family,
    number: u8,
    /// Of 100 events, how many are its own.
    share: u32,
}

const fn device(source: &'static str, way: Way, family: Family, number: u8, share: u32) -> Device {
    Device { source, way, family, number, share }
}

/// The site: every family, every transport, both framings on TCP and on TLS. The shares add up to 100. The last one is there
/// where the machine has an `scp`.
pub(super) const SITE: [Device; 11] = [
    device("firewalls", Way::Udp, Family::Sophos, 0, 12),
    device("firewalls", Way::Udp, Family::Sophos, 1, 12),
    device("firewalls", Way::Udp, Family::Asa, 0, 8),
    device("firewalls", Way::Udp, Family::Asa, 1, 8),
    device("mail", Way::Tcp(Framing::Lines), Family::Esa, 0, 12),
    device("mail", Way::Tcp(Framing::Counted), Family::Esa, 1, 12),
    device("servers", Way::Tls(Framing::Lines), Family::Linux, 0, 8),
    device("servers", Way::Tls(Framing::Counted), Family::Linux, 1, 9),
    device("servers", Way::Tls(Framing::Counted), Family::Structured, 0, 8),
    device("servers", Way::Tls(Framing::Lines), Family::Structured, 1, 8),
    device("files", Way::Scp, Family::Esa, 2, 3),
];

/// The sources of the box in the demo, with the transport of their senders in words.
pub(super) const SOURCES: [(&str, &str); 4] =
    [("firewalls", "UDP"), ("mail", "TCP"), ("servers", "TLS"), ("files", "SCP")];

/// Counts datagrams that the box has read or reported as dropped.
pub(super) type Taken = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Where the devices find the box.
#[derive(Clone)]
pub(super) struct Targets {
    pub(super) udp: SocketAddr,
    pub(super) tcp: Dialer,
    pub(super) tls: Dialer,
    /// Where files go, and by which key; `None` where the machine has no `scp`.
    pub(super) scp: Option<(SocketAddr, Key)>,
    pub(super) taken: Taken,
}

impl Targets {
    /// The devices that can send.
    pub(super) fn devices(&self) -> impl Iterator<Item = Device> {
        SITE.into_iter().filter(|device| device.way != Way::Scp || self.scp.is_some())
    }
}

impl fmt::Debug for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Targets").field("udp", &self.udp).field("tcp", &self.tcp).field("tls", &self.tls).finish()
    }
}

/// All devices at work.
#[derive(Debug)]
pub(super) struct Senders {
    tasks: JoinSet<Result<(Device, Vec<Fingerprint>), DemoError>>,
    count: usize,
    stop: CancellationToken,
}

impl Senders {
    /// Starts the whole site at `rate` events a second.
    pub(super) fn start(targets: &Targets, rate: u32, seed: u64) -> Self {
        let stop = CancellationToken::new();
        let window =
            Arc::new(Window { sent: AtomicU64::new(0), lost: AtomicU64::new(0), taken: targets.taken.clone() });
        let mut tasks = JoinSet::new();
        for device in targets.devices() {
            let sender = Sender {
                device,
                generator: Generator::new(device.family, seed, device.number),
                pace: Pace::new(f64::from(rate) * f64::from(device.share) / 100.0),
                stop: stop.clone(),
                fingerprints: Vec::new(),
                event: String::new(),
            };
            let (targets, window) = (targets.clone(), Arc::clone(&window));
            tasks.spawn(async move {
                match device.way {
                    Way::Udp => sender.datagrams(targets.udp, &window).await,
                    Way::Tcp(framing) => sender.stream(&targets.tcp, framing).await,
                    Way::Tls(framing) => sender.stream(&targets.tls, framing).await,
                    Way::Scp => sender.files(targets.scp).await,
                }
            });
        }
        Self { count: tasks.len(), tasks, stop }
    }

    /// Ends all devices and gives what each has sent, in no order.
    ///
    /// # Errors
    /// The first of those that a device met: no connection, or one that broke.
    pub(super) async fn finish(mut self) -> Result<Vec<(Device, Vec<Fingerprint>)>, DemoError> {
        self.stop.cancel();
        let mut all = Vec::new();
        while let Some(joined) = self.tasks.join_next().await {
            all.push(
                joined
                    .map_err(|err| DemoError::Sender { device: "device".into(), source: io::Error::other(err) })??,
            );
        }
        Ok(all)
    }

    /// Whether a device has given up, which none does by itself while all is well.
    pub(super) fn has_failed(&self) -> bool {
        !self.stop.is_cancelled() && self.tasks.len() < self.count
    }
}

/// What all senders of datagrams share.
struct Window {
    sent: AtomicU64,
    lost: AtomicU64,
    taken: Taken,
}

impl Window {
    fn unread(&self) -> u64 {
        let gone = (self.taken)() + self.lost.load(Ordering::Relaxed);
        self.sent.load(Ordering::Relaxed).saturating_sub(gone)
    }

    /// Waits until the box has read enough.
    async fn room(&self) {
        let start = Instant::now();
        while self.unread() > MOST_UNREAD {
            if start.elapsed() > READ_WITHIN {
                self.lost.fetch_add(self.unread(), Ordering::Relaxed);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

struct Sender {
    device: Device,
    generator: Generator,
    pace: Pace,
    stop: CancellationToken,
    fingerprints: Vec<Fingerprint>,
    event: String,
}

type Done = Result<(Device, Vec<Fingerprint>), DemoError>;

impl Sender {
    fn next(&mut self) -> &str {
        self.event.clear();
        self.generator.write(Clock::System.now(), &mut self.event);
        self.fingerprints.push(fingerprint(self.event.as_bytes()));
        &self.event
    }

    /// Waits for the next tick; false when it is time to end.
    async fn tick(&self) -> bool {
        tokio::select! {
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(TICK) => true,
        }
    }

    fn failed(&self, source: io::Error) -> DemoError {
        DemoError::Sender { device: format!("{:?} {}", self.device.family, self.device.number), source }
    }

    async fn datagrams(mut self, target: SocketAddr, window: &Window) -> Done {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|err| self.failed(err))?;
        socket.connect(target).await.map_err(|err| self.failed(err))?;
        while self.tick().await {
            for _ in 0..self.pace.due().min(UDP_BURST) {
                window.room().await;
                let event = self.next();
                let sent = socket.send(event.as_bytes()).await;
                sent.map_err(|err| self.failed(err))?;
                window.sent.fetch_add(1, Ordering::Relaxed);
                self.pace.sent += 1;
            }
        }
        Ok((self.device, self.fingerprints))
    }

    async fn files(self, target: Option<(SocketAddr, Key)>) -> Done {
        let Some((to, key)) = target else { return Ok((self.device, self.fingerprints)) };
        let Self { device, generator, pace, stop, .. } = self;
        let failed = |source| DemoError::Sender { device: "mail gateway that pushes files".into(), source };
        let sent = Pusher { key, to, generator, pace, stop }.run().await.map_err(failed)?;
        Ok((device, sent))
    }

    async fn stream(mut self, dialer: &Dialer, framing: Framing) -> Done {
        let mut stream = dialer.dial().await.map_err(|err| self.failed(io::Error::other(err)))?;
        let mut bytes = Vec::new();
        while self.tick().await {
            loop {
                let due = self.pace.due().min(BURST);
                bytes.clear();
                for _ in 0..due {
                    frame(self.next(), framing, &mut bytes);
                }
                stream.write_all(&bytes).await.map_err(|err| self.failed(err))?;
                self.pace.sent += due;
                if due < BURST || self.stop.is_cancelled() {
                    break;
                }
            }
        }
        farewell(stream).await.map_err(|err| self.failed(err))?;
        Ok((self.device, self.fingerprints))
    }
}

fn frame(event: &str, framing: Framing, to: &mut Vec<u8>) {
    match framing {
        Framing::Lines => {
            to.extend_from_slice(event.as_bytes());
            to.push(b'\n');
        }
        Framing::Counted => {
            to.extend_from_slice(event.len().to_string().as_bytes());
            to.push(b' ');
            to.extend_from_slice(event.as_bytes());
        }
    }
}

/// Ends our half and waits for the other. Closing with something unread (a TLS session ticket, say) would reset the
/// connection and take from the box what it has not read yet.
async fn farewell(mut stream: Stream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut rest = [0; 1024];
    let ended = async { while matches!(stream.read(&mut rest).await, Ok(read) if read > 0) {} };
    tokio::time::timeout(FAREWELL, ended).await.map_err(|_| io::ErrorKind::TimedOut.into())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// Reads a stream to its end and takes it apart.
    async fn events(mut stream: TcpStream) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        if all.starts_with(b"<") {
            assert_eq!(all.pop(), Some(b'\n'));
            return all.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        }
        let (mut rest, mut found) = (&all[..], Vec::new());
        while !rest.is_empty() {
            let blank = rest.iter().position(|byte| *byte == b' ').unwrap();
            let length: usize = std::str::from_utf8(&rest[..blank]).unwrap().parse().unwrap();
            found.push(rest[blank + 1..blank + 1 + length].to_vec());
            rest = &rest[blank + 1 + length..];
        }
        found
    }

    #[tokio::test]
    async fn what_the_devices_say_they_sent_is_what_comes_out_of_the_sockets() {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dialer = Dialer {
            endpoint: tcp.local_addr().unwrap().into(),
            proxy: None,
            tls: None,
            connect_timeout: Duration::from_secs(5),
        };
        let taken = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&taken);
        let targets = Targets {
            udp: udp.local_addr().unwrap(),
            tcp: dialer.clone(),
            tls: dialer,
            scp: None,
            taken: Arc::new(move || counter.load(Ordering::Relaxed)),
        };
        let senders = Senders::start(&targets, 5_000, 11);
        let mut streams = JoinSet::new();
        for _ in targets.devices().filter(|device| device.way != Way::Udp) {
            let (stream, _) = tcp.accept().await.unwrap();
            streams.spawn(events(stream));
        }
        let (mut received, mut buffer) = (Vec::new(), vec![0; 65_536]);
        while received.len() < 400 {
            let length = udp.recv(&mut buffer).await.unwrap();
            received.push(buffer[..length].to_vec());
            taken.fetch_add(1, Ordering::Relaxed);
        }
        assert!(!senders.has_failed());
        let sent = senders.finish().await.unwrap();
        while let Ok(length) = udp.try_recv(&mut buffer) {
            received.push(buffer[..length].to_vec());
        }
        while let Some(events) = streams.join_next().await {
            received.extend(events.unwrap());
        }
        let sent: Vec<Fingerprint> = sent.into_iter().flat_map(|(_, fingerprints)| fingerprints).collect();
        assert_eq!(sent.len(), received.len());
        let received: HashSet<Fingerprint> = received.iter().map(|event| fingerprint(event)).collect();
        assert_eq!(sent.into_iter().collect::<HashSet<_>>(), received);
    }

    #[tokio::test]
    async fn datagrams_wait_for_a_reader_but_not_for_ever() {
        tokio::time::pause();
        let window = Window { sent: AtomicU64::new(500), lost: AtomicU64::new(0), taken: Arc::new(|| 400) };
        let start = Instant::now();
        window.room().await;
        assert!(start.elapsed() > READ_WITHIN);
        assert_eq!(window.unread(), 0);
    }

    #[test]
    fn the_shares_of_the_site_add_up_and_every_device_has_its_source() {
        assert_eq!(SITE.iter().map(|device| device.share).sum::<u32>(), 100);
        for device in SITE {
            assert!(SOURCES.iter().any(|(source, _)| *source == device.source));
        }
        let names: HashSet<_> = SITE.iter().map(|device| (device.family, device.number)).collect();
        assert_eq!(names.len(), SITE.len(), "two devices would send the same events");
    }
}
