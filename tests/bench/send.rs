//! The load generators for streams and datagrams.

use std::io::{IoSlice, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg};

use super::lines::{Lines, put_mark};
use super::measure::{now, thread_cpu};

/// Bytes given to the kernel at a time.
const WRITE: usize = 256 << 10;
/// How long a collector may take no byte before the run is given up.
const STUCK: Duration = Duration::from_secs(60);
/// Datagrams for one system call.
const BURST: usize = 256;
/// How often a paced sender wakes: short beside every buffer, long beside a wake-up.
const TICK: Duration = Duration::from_millis(1);

/// What sending took.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub events: u64,
    /// Seconds until the collector had read everything.
    pub wall: f64,
    /// CPU seconds of the generator.
    pub cpu: f64,
}

/// Sends the first `count` lines of the endless round over one connection, then waits until the other end has read them and
/// closed.
pub fn tcp(to: SocketAddr, lines: &Lines, count: u64) -> Result<Sent> {
    let (start, cpu) = (Instant::now(), thread_cpu());
    let mut stream = connect(to)?;
    let mut left = count;
    while left > 0 {
        let some = left.min(lines.count());
        for piece in lines.range(0, some).chunks(WRITE) {
            stream.write_all(piece).context("the collector does not read")?;
        }
        left -= some;
    }
    finish(&mut stream)?;
    Ok(Sent { events: count, wall: start.elapsed().as_secs_f64(), cpu: seconds(thread_cpu() - cpu) })
}

/// Sends `count` marked lines a piece at a time, `rate` a second; marks are the time of sending.
pub fn tcp_paced(to: SocketAddr, lines: &Lines, rate: u64, count: u64) -> Result<Sent> {
    let (start, cpu) = (Instant::now(), thread_cpu());
    let mut stream = connect(to)?;
    let (mut sent, mut piece) = (0, Vec::new());
    while sent < count {
        let due = (start.elapsed().as_secs_f64() * rate as f64) as u64;
        piece.clear();
        while sent < due.min(count) {
            let from = piece.len();
            piece.extend_from_slice(lines.line(sent));
            put_mark(&mut piece[from..], now());
            piece.push(b'\n');
            sent += 1;
        }
        stream.write_all(&piece).context("the collector does not read")?;
        std::thread::sleep(TICK);
    }
    finish(&mut stream)?;
    Ok(Sent { events: count, wall: start.elapsed().as_secs_f64(), cpu: seconds(thread_cpu() - cpu) })
}

fn connect(to: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(STUCK))?;
    stream.set_read_timeout(Some(STUCK))?;
    Ok(stream)
}

/// Tells the end, and waits until the other side has seen it.
fn finish(stream: &mut TcpStream) -> Result<()> {
    stream.shutdown(Shutdown::Write)?;
    let read = stream.read(&mut [0; 64]).context("the collector does not close its end")?;
    if read > 0 {
        bail!("the collector answers on a connection of plain syslog");
    }
    Ok(())
}

/// Sends `count` datagrams with numbers as marks, `rate` a second, from one socket. On a thread that goes before all others
/// where that is allowed: a fixed rate must not give way to the collector it is to load.
pub fn udp(to: SocketAddr, lines: &Lines, rate: u64, count: u64) -> Result<Sent> {
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            go_first();
            udp_here(to, lines, rate, count)
        });
        sender.join().unwrap_or_else(|_| bail!("the generator panicked"))
    })
}

/// Gives this thread alone the highest priority.
#[allow(unsafe_code, reason = "setpriority (2) has no safe wrapper")]
fn go_first() {
    // SAFETY: takes and gives numbers only; on Linux 0 means the calling thread.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) };
}

fn udp_here(to: SocketAddr, lines: &Lines, rate: u64, count: u64) -> Result<Sent> {
    let socket = UdpSocket::bind((to.ip(), 0))?;
    socket.connect(to)?;
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(BURST, None);
    let addresses = [None::<SockaddrStorage>; BURST];
    let mut buffers = vec![Vec::new(); BURST];
    let (start, cpu) = (Instant::now(), thread_cpu());
    let mut sent = 0;
    while sent < count {
        let due = ((start.elapsed().as_secs_f64() * rate as f64) as u64).min(count);
        while sent < due {
            let burst = (due - sent).min(BURST as u64) as usize;
            for (buffer, number) in buffers[..burst].iter_mut().zip(sent..) {
                buffer.clear();
                buffer.extend_from_slice(lines.line(number));
                put_mark(buffer, number);
            }
            let slices: Vec<_> = buffers[..burst].iter().map(|buffer| [IoSlice::new(buffer)]).collect();
            let descriptor = socket.as_raw_fd();
            // A refused datagram is a loss like any other.
            let _ = sendmmsg(descriptor, &mut headers, &slices, &addresses[..burst], [], MsgFlags::empty());
            sent += burst as u64;
        }
        let next = Duration::from_secs_f64((due + rate / 1_000) as f64 / rate as f64);
        std::thread::sleep(next.saturating_sub(start.elapsed()).min(TICK));
    }
    Ok(Sent { events: count, wall: start.elapsed().as_secs_f64(), cpu: seconds(thread_cpu() - cpu) })
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}
