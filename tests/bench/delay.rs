//! A way to the far end that takes time: what goes in comes out half a round trip later, in both directions.
//!
//! On loopback an acknowledgement takes no time, which flatters whoever waits for one. This kernel may lack netem, so the
//! delay is made here: a reader stamps what it read, a writer holds it until its time. The buffer holds more than the
//! bandwidth-delay product of 1 Gbit/s and 150 ms (19 MB), and is bounded. What it does not imitate is TCP's own window over
//! the long way: the collector's kernel sees acknowledgements at once.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::certs::HOST;

/// Bytes read at once.
const PIECE: usize = 64 << 10;
/// Pieces on their way in one direction: up to 64 MiB.
const PIECES: usize = 1_024;

/// A listening proxy; stops taking connections when dropped. Connections end with their ends.
#[derive(Debug)]
pub struct Delay {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Delay {
    pub fn start(onward: SocketAddr, round_trip: Duration) -> Result<Self> {
        let listener = TcpListener::bind((HOST, 0))?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("delay".into()).spawn(move || {
            std::thread::scope(|scope| {
                for stream in listener.incoming().flatten() {
                    if stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    let Ok(far) = TcpStream::connect(onward) else { continue };
                    let (Ok(near_again), Ok(far_again)) = (stream.try_clone(), far.try_clone()) else { continue };
                    let _ = stream.set_nodelay(true).and_then(|()| far.set_nodelay(true));
                    direction(scope, stream, far, round_trip / 2);
                    direction(scope, far_again, near_again, round_trip / 2);
                }
            });
        })?;
        Ok(Self { address, stop, thread: Some(thread) })
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn direction<'scope>(scope: &'scope std::thread::Scope<'scope, '_>, from: TcpStream, to: TcpStream, time: Duration) {
    let (sender, receiver) = sync_channel(PIECES);
    scope.spawn(move || take(from, &sender, time));
    scope.spawn(move || give(to, &receiver));
}

fn take(mut from: TcpStream, to: &SyncSender<(Instant, Vec<u8>)>, time: Duration) {
    loop {
        let mut piece = vec![0; PIECE];
        let count = from.read(&mut piece).unwrap_or(0);
        piece.truncate(count);
        piece.shrink_to_fit();
        // The end takes its time as well.
        if to.send((Instant::now() + time, piece)).is_err() || count == 0 {
            let _ = from.shutdown(Shutdown::Read);
            return;
        }
    }
}

fn give(mut to: TcpStream, from: &Receiver<(Instant, Vec<u8>)>) {
    while let Ok((due, piece)) = from.recv() {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if piece.is_empty() || to.write_all(&piece).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
