//! The far end: takes syslog or Lumberjack inside TLS and counts. The same one for every collector.
//!
//! Cheap on purpose, so that it is not the limit: it reads up to 256 KiB at a time, finds where messages end, and looks into
//! one only where marks are asked for. Lumberjack windows are counted by their header and acknowledged when their last byte
//! is there; a compressed block is inflated only for its marks.

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::Result;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::certs::HOST;
use super::measure::{now, thread_cpu};
use super::parse::{Beats, Parser, Syslog};

/// Bytes read from the socket, and from TLS, at a time.
const READ: usize = 256 << 10;

/// What collectors speak to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Octet-counted or ended by line feeds: seen at the first byte.
    Syslog,
    /// Version 2, acknowledged window by window.
    Lumberjack,
}

/// What marks in the messages mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    /// There are none.
    None,
    /// Numbers from 0: repeats do not count.
    Sequence,
    /// When the message was sent, by [`now`]: how long it took is noted.
    Time,
}

/// What it has counted.
#[derive(Debug, Default)]
pub struct Counters {
    /// Messages; with [`Marks::Sequence`] without repeats.
    pub events: AtomicU64,
    /// Repeats, where there are sequence marks.
    pub repeats: AtomicU64,
    /// Bytes inside TLS.
    pub bytes: AtomicU64,
    /// When the first and the last message came, by [`now`].
    pub first: AtomicU64,
    pub last: AtomicU64,
    /// CPU time of the receiving threads, in nanoseconds.
    pub cpu: AtomicU64,
    /// How long each message took, in microseconds.
    pub latencies: Mutex<Vec<u32>>,
    seen: Mutex<Vec<u64>>,
}

impl Counters {
    /// Notes one marked message.
    pub fn mark(&self, marks: Marks, mark: u64) {
        match marks {
            Marks::None => {}
            Marks::Sequence => {
                let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                let (word, bit) = ((mark / 64) as usize, 1 << (mark % 64));
                if seen.len() <= word {
                    seen.resize(word + 1, 0);
                }
                let is_new = seen[word] & bit == 0;
                seen[word] |= bit;
                let count = if is_new { &self.events } else { &self.repeats };
                count.fetch_add(1, Ordering::Relaxed);
            }
            Marks::Time => {
                let micros = u32::try_from(now().saturating_sub(mark) / 1_000).unwrap_or(u32::MAX);
                self.latencies.lock().unwrap_or_else(PoisonError::into_inner).push(micros);
                self.events.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }
}

/// A listening far end; gone, with its connections, when dropped.
#[derive(Debug)]
pub struct Receiver {
    pub address: SocketAddr,
    pub counters: Arc<Counters>,
    stop: Arc<AtomicBool>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Listens on a port (0: any).
    pub fn start(protocol: Protocol, tls: &Arc<ServerConfig>, marks: Marks, port: u16) -> Result<Self> {
        let listener = TcpListener::bind((HOST, port))?;
        let address = listener.local_addr()?;
        let counters = Arc::new(Counters::default());
        let stop = Arc::new(AtomicBool::new(false));
        let connections = Arc::new(Mutex::new(Vec::new()));
        let accept = Accept {
            protocol,
            tls: Arc::clone(tls),
            marks,
            counters: Arc::clone(&counters),
            connections: Arc::clone(&connections),
        };
        let stopped = Arc::clone(&stop);
        let thread =
            std::thread::Builder::new().name("receiver".into()).spawn(move || accept.run(&listener, &stopped))?;
        Ok(Self { address, counters, stop, connections, thread: Some(thread) })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the accept loop.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            for stream in self.connections.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
            let _ = thread.join();
        }
    }
}

struct Accept {
    protocol: Protocol,
    tls: Arc<ServerConfig>,
    marks: Marks,
    counters: Arc<Counters>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

impl Accept {
    fn run(&self, listener: &TcpListener, stop: &AtomicBool) {
        std::thread::scope(|scope| {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                if stop.load(Ordering::Relaxed) {
                    // What was accepted after the last look at the list.
                    self.connections.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|stream| {
                        let _ = stream.shutdown(Shutdown::Both);
                    });
                    return;
                }
                if let Ok(clone) = stream.try_clone() {
                    self.connections.lock().unwrap_or_else(PoisonError::into_inner).push(clone);
                }
                scope.spawn(move || self.serve(stream));
            }
        });
    }

    /// Reads a connection to its end. A broken one is no error here: the counts tell.
    fn serve(&self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let Ok(connection) = ServerConnection::new(Arc::clone(&self.tls)) else { return };
        // rustls asks for 4 KiB at a time; the buffer makes large reads of that.
        let mut stream = StreamOwned::new(connection, Buffered(BufReader::with_capacity(READ, stream)));
        let mut parser: Box<dyn Parser> = match self.protocol {
            Protocol::Syslog => Box::new(Syslog::new(self.marks)),
            Protocol::Lumberjack => Box::new(Beats::new(self.marks)),
        };
        let mut buffer = vec![0; READ];
        let (mut filled, mut cpu) = (0, thread_cpu());
        let mut acks = Vec::new();
        loop {
            let count = match stream.read(&mut buffer[filled..]) {
                Ok(0) | Err(_) => break,
                Ok(count) => count,
            };
            let counters = &self.counters;
            counters.bytes.fetch_add(count as u64, Ordering::Relaxed);
            filled += count;
            let used = parser.take(&buffer[..filled], counters, &mut acks);
            buffer.copy_within(used..filled, 0);
            filled -= used;
            if filled == buffer.len() {
                buffer.resize(filled * 2, 0);
            }
            if !acks.is_empty() && stream.write_all(&acks).and_then(|()| stream.flush()).is_err() {
                break;
            }
            acks.clear();
            let time = now();
            let _ = counters.first.compare_exchange(0, time, Ordering::Relaxed, Ordering::Relaxed);
            counters.last.store(time, Ordering::Relaxed);
            let before = std::mem::replace(&mut cpu, thread_cpu());
            counters.cpu.fetch_add(cpu - before, Ordering::Relaxed);
        }
    }
}

/// A socket that is read through a buffer and written directly.
#[derive(Debug)]
pub struct Buffered(pub BufReader<TcpStream>);

impl Read for Buffered {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.0.read(to)
    }
}

impl Write for Buffered {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write(from)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.get_mut().flush()
    }
}
