//! A gateway that serves by itself, on a thread of its own, while the test does other things.
//!
//! How it treats its connections may change at any time. A writer that breaks the protocol makes the connection's task
//! panic, which fails the test at its next look at the service.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::certificates::Identity;
use super::gateway::{Connection, Event, Gateway, server};
use super::lumberjack::ack;
use super::try_until;

/// How a gateway treats those who connect.
#[derive(Clone, Copy, Debug, Default)]
pub enum Manner {
    /// Every window is acknowledged.
    #[default]
    Serve,
    /// Windows are taken and never acknowledged.
    Silent,
    /// Windows are taken and answered with signs of life alone.
    SignsOfLife,
    /// One event more is acknowledged than the window held.
    AckBeyond,
    /// Half of the first window is acknowledged, then the connection is closed in good order.
    AckHalf,
    /// The connection is closed after so many bytes, most likely in the middle of a frame.
    CutShort(usize),
    /// The first window is taken whole, then the connection is reset.
    Reset,
    /// The first window is answered with bytes that are no Lumberjack.
    Garbage,
    /// Every window is acknowledged, but bytes are read in small portions with pauses.
    Slow,
    /// The connection is closed as soon as it is open.
    Down,
}

/// An event as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub event: Event,
    /// Whether it was acknowledged.
    pub acked: bool,
}

/// A running gateway; it ends when it is dropped.
#[derive(Debug)]
pub struct Service {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    manner: Mutex<Manner>,
    /// Ends the connections that are open.
    cut: Mutex<CancellationToken>,
    seen: Mutex<Vec<Seen>>,
    notices: Mutex<BTreeMap<String, Value>>,
    /// Ids and texts of what was acknowledged.
    acked: Mutex<(HashSet<String>, HashSet<String>)>,
    connections: Mutex<usize>,
    /// Handshakes that failed, and why.
    refused: Mutex<Vec<String>>,
    /// A writer broke the protocol.
    is_broken: AtomicBool,
}

impl Service {
    /// On plain TCP.
    pub fn plain(manner: Manner) -> Self {
        Self::start(None, None, manner)
    }

    /// On plain TCP at this address.
    pub fn plain_at(address: SocketAddr, manner: Manner) -> Self {
        Self::start(Some(address), None, manner)
    }

    /// Inside TLS, with this certificate.
    pub fn tls(identity: &Identity, manner: Manner) -> Self {
        Self::start(None, Some(identity.clone()), manner)
    }

    /// Inside TLS at this address, with this certificate.
    pub fn tls_at(address: SocketAddr, identity: &Identity, manner: Manner) -> Self {
        Self::start(Some(address), Some(identity.clone()), manner)
    }

    fn start(address: Option<SocketAddr>, identity: Option<Identity>, manner: Manner) -> Self {
        let shared = Arc::new(Shared { manner: Mutex::new(manner), ..Shared::default() });
        let stop = CancellationToken::new();
        let (inside, until_stopped) = (Arc::clone(&shared), stop.clone());
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let plain = match address {
                    None => Gateway::plain().await,
                    Some(address) => Gateway::plain_at(address).await,
                };
                let gateway = match &identity {
                    None => plain,
                    Some(identity) => plain.inside_tls(&server(identity)),
                };
                tell.send(gateway.address()).unwrap();
                tokio::select! {
                    () = until_stopped.cancelled() => {}
                    () = accept(&gateway, &inside) => {}
                }
            });
        });
        Self { address: told.recv().unwrap(), shared, stop, thread: Some(thread) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts what is open; all connections from now on are treated like this.
    pub fn change(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap() = manner;
        std::mem::take(&mut *self.shared.cut.lock().unwrap()).cancel();
    }

    /// Everything that came so far, repeats too.
    pub fn seen(&self) -> Vec<Seen> {
        self.check();
        self.shared.seen.lock().unwrap().clone()
    }

    fn check(&self) {
        assert!(!self.shared.is_broken.load(Ordering::Relaxed), "the writer broke the protocol, see above");
    }

    /// What the box told of itself (drops, gaps): the `notice` of each such event, by its id. They count nowhere else.
    pub fn notices(&self) -> BTreeMap<String, Value> {
        self.shared.notices.lock().unwrap().clone()
    }

    /// How many events came so far, repeats too.
    pub fn count(&self) -> usize {
        self.shared.seen.lock().unwrap().len()
    }

    /// The events that were acknowledged, in the order they came.
    pub fn acked(&self) -> Vec<Event> {
        self.seen().into_iter().filter(|seen| seen.acked).map(|seen| seen.event).collect()
    }

    /// Waits until so many different events were acknowledged, and returns all that were, repeats too.
    pub fn wait_acked(&self, count: usize) -> Vec<Event> {
        let came = self.wait(|ids, _| ids.len() >= count);
        let ids: HashSet<&str> = came.iter().map(Event::id).collect();
        assert!(ids.len() >= count, "{} events came, and not {count}", ids.len());
        came
    }

    /// Waits until an event with each of these texts was acknowledged, or for too long, and returns all that were,
    /// repeats and others too; `balance` tells which are missing.
    pub fn wait_for(&self, texts: &[String]) -> Vec<Event> {
        self.wait(|_, acked| texts.iter().all(|text| acked.contains(text)))
    }

    fn wait(&self, is_enough: impl Fn(&HashSet<String>, &HashSet<String>) -> bool) -> Vec<Event> {
        try_until(|| {
            self.check();
            let acked = self.shared.acked.lock().unwrap();
            is_enough(&acked.0, &acked.1).then_some(())
        });
        self.acked()
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        *self.shared.connections.lock().unwrap()
    }

    /// Why handshakes failed.
    pub fn refused(&self) -> Vec<String> {
        self.shared.refused.lock().unwrap().clone()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.cancel();
        self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            self.check();
        }
    }
}

async fn accept(gateway: &Gateway, shared: &Arc<Shared>) {
    let mut tasks: JoinSet<()> = JoinSet::new();
    loop {
        let accepted = gateway.try_accept().await;
        while tasks.try_join_next().is_some() {}
        match accepted {
            Err(words) => shared.refused.lock().unwrap().push(words),
            Ok(connection) => {
                *shared.connections.lock().unwrap() += 1;
                let (cut, inside) = (shared.cut.lock().unwrap().clone(), Arc::clone(shared));
                let manner = *shared.manner.lock().unwrap();
                tasks.spawn(async move {
                    let _watch = Watch(&inside);
                    tokio::select! {
                        () = cut.cancelled() => {}
                        () = play(manner, connection, &inside) => {}
                    }
                });
            }
        }
    }
}

/// Notes that a connection's task panicked: its writer did what no reader takes.
struct Watch<'a>(&'a Shared);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.is_broken.store(true, Ordering::Relaxed);
        }
    }
}

impl Shared {
    /// Writes a window down, of which the first `acked` are about to be acknowledged.
    fn keep(&self, events: Vec<Event>, acked: usize) {
        let rows = events.into_iter().enumerate().map(|(at, event)| Seen { event, acked: at < acked });
        let (notices, rows): (Vec<Seen>, Vec<Seen>) = rows.partition(|row| row.event.json["notice"].is_object());
        let notices = notices.into_iter().map(|row| (row.event.id().to_owned(), row.event.json["notice"].clone()));
        self.notices.lock().unwrap().extend(notices);
        let acked = rows.iter().filter(|row| row.acked).map(|row| &row.event);
        let acked: Vec<_> = acked.map(|event| (event.id().to_owned(), event.message().to_owned())).collect();
        self.seen.lock().unwrap().extend(rows);
        self.acked.lock().unwrap().extend(acked);
    }
}

async fn play(manner: Manner, mut connection: Connection, shared: &Shared) {
    match manner {
        Manner::Down => return,
        Manner::CutShort(bytes) => {
            let mut left = bytes;
            while left > 0 {
                match connection.read(left).await {
                    0 => return,
                    count => left -= count,
                }
            }
            return;
        }
        Manner::Slow => connection.pace(8 << 10, Duration::from_millis(20)),
        _ => {}
    }
    while let Some(events) = connection.try_window().await {
        let count = events.len();
        let acked = match manner {
            Manner::Serve | Manner::Slow => count,
            Manner::AckHalf => count / 2,
            _ => 0,
        };
        shared.keep(events, acked);
        let answer = match manner {
            Manner::Serve | Manner::Slow => ack(count as u32).to_vec(),
            Manner::AckBeyond => ack(count as u32 + 1).to_vec(),
            Manner::Garbage => b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            Manner::SignsOfLife => return signs_of_life(&mut connection).await,
            Manner::Reset => return connection.reset(),
            Manner::AckHalf => {
                connection.ack(acked as u32).await;
                return connection.finish().await;
            }
            Manner::Silent | Manner::Down | Manner::CutShort(_) => continue,
        };
        // The writer may be gone by now.
        if !connection.try_send(&answer).await {
            return;
        }
    }
}

async fn signs_of_life(connection: &mut Connection) {
    while connection.try_send(&ack(0)).await {
        if tokio::time::timeout(Duration::from_millis(50), connection.closed()).await.is_ok() {
            return;
        }
    }
}
