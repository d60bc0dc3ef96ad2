//! The accept loop: connection tasks are born here, bounded, and end with it.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::tls::Acceptor;
use super::{Allow, Backoff, Seldom, Stream, stream};

/// Bounds of a listener.
#[derive(Clone, Debug)]
pub struct Limits {
    /// A connection holds one of these while it is open; listeners that share a limit share this. When none is left, each
    /// listener accepts one connection more and lets it wait; the others wait in the kernel's backlog.
    pub permits: Arc<Semaphore>,
    /// Peers that may connect; others are closed at once and counted.
    pub allow: Allow,
    /// The TLS side of a `tls://` listener.
    pub tls: Option<Acceptor>,
}

/// What becomes of the connections of a listener; the source counts it.
pub trait Tally: Clone + Send + Sync + 'static {
    /// A connection was accepted.
    fn opened(&self);
    /// It is over, however it ended.
    fn closed(&self);
    /// A peer was refused: not in the allow list, or no valid certificate.
    fn refused(&self);
    /// A connection ended by an error: a failed handshake, or a panic of its task.
    fn broken(&self);
}

/// Accepts connections until `stop`, and gives each to `handler` in a task of its own, after the TLS handshake where there
/// is one. Returns when all those tasks have ended; a handler must therefore watch `stop` too. If this future is dropped,
/// the tasks are cut off with it.
///
/// # Errors
/// When the socket itself no longer works. Running out of descriptors or memory is waited out.
pub async fn serve<T, H, F>(
    listener: TcpListener,
    limits: Limits,
    stop: CancellationToken,
    tally: T,
    handler: H,
) -> io::Result<()>
where
    T: Tally,
    H: Fn(Stream) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    // Short enough to use a freed descriptor soon, long enough not to spin.
    let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(1));
    let shared = Arc::new(Shared { tls: limits.tls, tally: tally.clone(), handshakes: Seldom::default() });
    let mut tasks = JoinSet::new();
    // Accepted, and waiting for a permit. One at most: the rest waits in the kernel. (A permit taken before accept would be
    // held by a quiet listener while its busy neighbour starves.)
    let mut waiting = None;
    let result = loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break Ok(()),
            Some(ended) = tasks.join_next() => note_panic(ended, &tally),
            permit = Arc::clone(&limits.permits).acquire_owned(), if waiting.is_some() => {
                if let (Some((stream, peer)), Ok(permit)) = (waiting.take(), permit) {
                    let open = Open::new(&tally, permit);
                    tasks.spawn(connection(stream, peer, Arc::clone(&shared), handler.clone(), open));
                }
            }
            accepted = listener.accept(), if waiting.is_none() => match accepted {
                Ok((stream, peer)) => {
                    backoff.reset();
                    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                    waiting = is_allowed(peer, &limits.allow, &tally).then_some((stream, peer));
                }
                Err(error) if is_passing(&error) => {
                    tracing::warn!(%error, "cannot accept a connection now");
                    let _ = stop.run_until_cancelled(tokio::time::sleep(backoff.next_delay())).await;
                }
                Err(error) => break Err(error),
            },
        }
    };
    drop(listener);
    while let Some(ended) = tasks.join_next().await {
        note_panic(ended, &tally);
    }
    result
}

fn is_allowed(peer: SocketAddr, allow: &Allow, tally: &impl Tally) -> bool {
    let is_allowed = allow.contains(peer.ip());
    if !is_allowed {
        tally.refused();
        tracing::debug!(%peer, "connection refused: the address is not in the allow list");
    }
    is_allowed
}

/// What accept(2) may fail with while the socket is well: the limits of the process or system, and errors that were
/// already pending on the new connection.
fn is_passing(error: &io::Error) -> bool {
    !matches!(error.raw_os_error(), Some(libc::EBADF | libc::EINVAL | libc::ENOTSOCK | libc::EOPNOTSUPP | libc::EFAULT))
}

async fn connection<T, H, F>(tcp: TcpStream, peer: SocketAddr, shared: Arc<Shared<T>>, handler: H, open: Open<T>)
where
    T: Tally,
    H: Fn(Stream) -> F,
    F: Future<Output = ()>,
{
    let _open = open;
    if let Err(error) = stream::tune(&tcp) {
        tracing::debug!(%peer, %error, "connection was gone before it began");
        return shared.tally.broken();
    }
    let Some(acceptor) = &shared.tls else { return handler(Stream::plain(tcp, peer)).await };
    match acceptor.accept(tcp, peer).await {
        Ok(stream) => handler(stream).await,
        Err(reason) => {
            if let Some(left_out) = shared.handshakes.due() {
                tracing::info!(%peer, %reason, left_out, "tls handshake failed");
            }
            if reason.is_refused() { shared.tally.refused() } else { shared.tally.broken() }
        }
    }
}

/// What the connections of one listener share.
struct Shared<T> {
    tls: Option<Acceptor>,
    tally: T,
    handshakes: Seldom,
}

/// Counts a connection as open for as long as it lives, however it ends.
struct Open<T: Tally> {
    tally: T,
    _permit: OwnedSemaphorePermit,
}

impl<T: Tally> Open<T> {
    fn new(tally: &T, permit: OwnedSemaphorePermit) -> Self {
        tally.opened();
        Self { tally: tally.clone(), _permit: permit }
    }
}

impl<T: Tally> Drop for Open<T> {
    fn drop(&mut self) {
        self.tally.closed();
    }
}

fn note_panic(ended: Result<(), JoinError>, tally: &impl Tally) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection task panicked; only that connection is lost");
        tally.broken();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::net::tls::certs::Ca;

    #[derive(Clone, Debug, Default)]
    struct Counts(Arc<[AtomicUsize; 4]>);

    impl Counts {
        fn all(&self) -> [usize; 4] {
            std::array::from_fn(|at| self.0[at].load(Ordering::Relaxed))
        }
        fn open(&self) -> usize {
            self.all()[0] - self.all()[1]
        }
        fn refused(&self) -> usize {
            self.all()[2]
        }
        fn broken(&self) -> usize {
            self.all()[3]
        }
    }

    impl Tally for Counts {
        fn opened(&self) {
            self.0[0].fetch_add(1, Ordering::Relaxed);
        }
        fn closed(&self) {
            self.0[1].fetch_add(1, Ordering::Relaxed);
        }
        fn refused(&self) {
            self.0[2].fetch_add(1, Ordering::Relaxed);
        }
        fn broken(&self) {
            self.0[3].fetch_add(1, Ordering::Relaxed);
        }
    }

    struct Served {
        address: SocketAddr,
        stop: CancellationToken,
        counts: Counts,
        tasks: JoinSet<io::Result<()>>,
    }

    /// Serves on a free port with a handler that sends every byte back; a `!` makes it panic.
    async fn echo(connections: usize, allow: Allow, tls: Option<Acceptor>) -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, counts) = (CancellationToken::new(), Counts::default());
        let limits = Limits { permits: Arc::new(Semaphore::new(connections)), allow, tls };
        let ends = stop.clone();
        let handler = move |mut stream: Stream| {
            let stop = ends.clone();
            async move {
                while let Some(Ok(byte)) = stop.run_until_cancelled(stream.read_u8()).await {
                    assert_ne!(byte, b'!', "a byte that this handler cannot stand");
                    stream.write_all(&[byte]).await.unwrap();
                    stream.flush().await.unwrap();
                }
            }
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, limits, stop.clone(), counts.clone(), handler));
        Served { address, stop, counts, tasks }
    }

    impl Served {
        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.unwrap()
        }

        /// Waits until a number is reached; fails by the test's own time limit.
        async fn until(&self, name: &str, number: impl Fn(&Counts) -> usize, wanted: usize) {
            let reached = async {
                while number(&self.counts) != wanted {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            let result = tokio::time::timeout(Duration::from_secs(30), reached).await;
            assert!(result.is_ok(), "{name} is {} and not {wanted}", number(&self.counts));
        }

        async fn stop(mut self) {
            self.stop.cancel();
            self.tasks.join_next().await.unwrap().unwrap().unwrap();
            assert_eq!(self.counts.open(), 0);
        }
    }

    async fn ask(stream: &mut TcpStream, byte: u8) -> io::Result<u8> {
        stream.write_all(&[byte]).await?;
        stream.read_u8().await
    }

    #[tokio::test]
    async fn connections_over_the_limit_wait_until_one_ends() {
        let served = echo(2, Allow::default(), None).await;
        let (mut first, mut second, mut third) =
            (served.connect().await, served.connect().await, served.connect().await);
        assert_eq!(ask(&mut first, b'a').await.unwrap(), b'a');
        assert_eq!(ask(&mut second, b'b').await.unwrap(), b'b');
        third.write_all(b"c").await.unwrap();
        let early = tokio::time::timeout(Duration::from_millis(50), third.read_u8()).await;
        assert!(early.is_err(), "the third was served over the limit");
        assert_eq!(served.counts.open(), 2);
        drop(first);
        assert_eq!(third.read_u8().await.unwrap(), b'c');
        served.stop().await;
    }

    #[tokio::test]
    async fn a_panic_costs_one_connection() {
        let served = echo(8, Allow::default(), None).await;
        let (mut good, mut bad) = (served.connect().await, served.connect().await);
        assert_eq!(ask(&mut good, b'a').await.unwrap(), b'a');
        assert!(ask(&mut bad, b'!').await.is_err());
        served.until("broken", Counts::broken, 1).await;
        assert_eq!(ask(&mut good, b'b').await.unwrap(), b'b');
        assert_eq!(ask(&mut served.connect().await, b'c').await.unwrap(), b'c');
        drop(good);
        served.until("open", Counts::open, 0).await;
        served.stop().await;
    }

    #[tokio::test]
    async fn who_is_not_allowed_is_closed_at_once_and_counted() {
        let allow = Allow::try_from(vec!["192.0.2.0/24".to_owned()]).unwrap();
        let served = echo(8, allow, None).await;
        assert!(served.connect().await.read_u8().await.is_err());
        served.until("refused", Counts::refused, 1).await;
        assert_eq!(served.counts.all()[0], 0);
        served.stop().await;
    }

    #[tokio::test]
    async fn a_handshake_that_never_comes_holds_nobody_else_up() {
        let ca = Ca::new();
        let tls = ca.pair("server", &["127.0.0.1"]).server().build().unwrap();
        let served = echo(8, Allow::default(), Some(tls)).await;
        let _silent = served.connect().await;
        let mut plain = served.connect().await;
        plain.write_all(b"no tls\n").await.unwrap();
        served.until("broken", Counts::broken, 1).await;
        served.until("open", Counts::open, 1).await;
    }

    #[tokio::test]
    async fn dropping_the_loop_cuts_its_connections_off() {
        let mut served = echo(8, Allow::default(), None).await;
        let mut stream = served.connect().await;
        assert_eq!(ask(&mut stream, b'a').await.unwrap(), b'a');
        served.tasks.abort_all();
        assert!(served.tasks.join_next().await.unwrap().unwrap_err().is_cancelled());
        assert!(stream.read_u8().await.is_err());
        served.until("open", Counts::open, 0).await;
    }

    #[tokio::test]
    async fn every_connection_runs_while_many_are_open() {
        let served = echo(300, Allow::default(), None).await;
        let answered = Arc::new(AtomicUsize::new(0));
        let mut peers = JoinSet::new();
        for at in 0..300u32 {
            let (mut stream, answered) = (served.connect().await, Arc::clone(&answered));
            peers.spawn(async move {
                let byte = b'a' + (at % 26) as u8;
                assert_eq!(ask(&mut stream, byte).await.unwrap(), byte);
                answered.fetch_add(1, Ordering::Relaxed);
                stream
            });
        }
        let streams = peers.join_all().await;
        assert_eq!((answered.load(Ordering::Relaxed), streams.len()), (300, 300));
        assert_eq!(served.counts.open(), 300);
        served.stop().await;
    }
}
