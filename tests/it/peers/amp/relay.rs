//! A relay on the way to a broker: it counts bytes, and cuts where it is told to.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A running relay; it ends when it is dropped.
pub struct Relay {
    pub address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// After so many bytes from the broker each of the next connections is cut.
    cuts: VecDeque<usize>,
    connections: usize,
    /// Cancelled to cut all that are there.
    now: CancellationToken,
}

impl Relay {
    pub fn start(to: u16) -> Self {
        let (shared, stop) = (Arc::new(Mutex::new(Shared::default())), CancellationToken::new());
        let (inside, until_stopped) = (Arc::clone(&shared), stop.clone());
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                let mut tasks = JoinSet::new();
                loop {
                    tokio::select! {
                        () = until_stopped.cancelled() => break,
                        accepted = listener.accept() => {
                            let (most, now) = {
                                let mut shared = inside.lock().unwrap();
                                shared.connections += 1;
                                (shared.cuts.pop_front().unwrap_or(usize::MAX), shared.now.clone())
                            };
                            tasks.spawn(serve(accepted.unwrap().0, to, most, now));
                        }
                        Some(_) = tasks.join_next() => {}
                    }
                }
            });
        });
        Self { address: told.recv().unwrap(), shared, stop, thread: Some(thread) }
    }

    /// Cuts the next connections after so many bytes from the broker, one after the other.
    pub fn cut_after(&self, bytes: impl Iterator<Item = usize>) {
        self.shared.lock().unwrap().cuts.extend(bytes);
    }

    /// Cuts that are still to come.
    pub fn left(&self) -> usize {
        self.shared.lock().unwrap().cuts.len()
    }

    /// Cuts the connections that are there.
    pub fn cut(&self) {
        std::mem::take(&mut self.shared.lock().unwrap().now).cancel();
    }

    pub fn connections(&self) -> usize {
        self.shared.lock().unwrap().connections
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.cancel();
        self.thread.take().map(JoinHandle::join);
    }
}

async fn serve(mut client: TcpStream, to: u16, most: usize, now: CancellationToken) {
    let Ok(mut broker) = TcpStream::connect(("127.0.0.1", to)).await else { return };
    let (mut left, mut up, mut down) = (most, [0; 16 << 10], [0; 16 << 10]);
    loop {
        tokio::select! {
            () = now.cancelled() => break,
            read = client.read(&mut up) => match read {
                Ok(length @ 1..) if broker.write_all(&up[..length]).await.is_ok() => {}
                _ => break,
            },
            read = broker.read(&mut down) => match read {
                Ok(length @ 1..) => {
                    let length = length.min(left);
                    left -= length;
                    if client.write_all(&down[..length]).await.is_err() || left == 0 {
                        break;
                    }
                }
                _ => break,
            },
        }
    }
    // A reset, not an end in good order.
    let _ = socket2::SockRef::from(&client).set_linger(Some(std::time::Duration::ZERO));
}
