//! A line between two programs on loopback that can be cut and mended.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// The line; cut when it goes out of scope.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    to: SocketAddr,
    is_up: AtomicBool,
    has_ended: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Link {
    /// A line to this address, that is up or down at first.
    pub fn new(to: SocketAddr, is_up: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (is_up, has_ended) = (AtomicBool::new(is_up), AtomicBool::new(false));
        let shared = Arc::new(Shared { to, is_up, has_ended, open: Mutex::default() });
        let inside = Arc::clone(&shared);
        let thread = std::thread::spawn(move || inside.serve(&listener));
        Self { address, shared, thread: Some(thread) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn mend(&self) {
        self.shared.is_up.store(true, Ordering::SeqCst);
    }

    /// From now on connections are closed as soon as they are made.
    pub fn cut(&self) {
        self.shared.is_up.store(false, Ordering::SeqCst);
        self.shared.close();
    }
}

impl Shared {
    fn serve(&self, listener: &TcpListener) {
        let mut copying = Vec::new();
        for near in listener.incoming().map_while(Result::ok) {
            if self.has_ended.load(Ordering::SeqCst) {
                break;
            }
            let mut open = self.open.lock().unwrap();
            if let Some(far) = self.is_up.load(Ordering::SeqCst).then(|| TcpStream::connect(self.to).ok()).flatten() {
                // One direction each; the end of one is the end of both.
                copying.push(copy(&near, &far));
                copying.push(copy(&far, &near));
                open.extend([near, far]);
            }
        }
        self.close();
        copying.into_iter().for_each(|thread| thread.join().unwrap());
    }

    fn close(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn copy(from: &TcpStream, to: &TcpStream) -> JoinHandle<()> {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    })
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.has_ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        self.thread.take().map(JoinHandle::join);
    }
}
