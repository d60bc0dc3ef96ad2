//! What the generators and receivers can do by themselves: how far they are from being the limit.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, setsockopt, sockopt};
use rustls::{ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;

use super::beats::{WINDOW, Windows};
use super::certs::HOST;
use super::measure::{thread_cpu, wait_until};
use super::paths::Plan;
use super::receiver::{Buffered, Marks, Protocol, Receiver};
use super::send;

/// The kernel's buffer of the bare loop: what our source asks for by default.
const BUFFER: usize = 32 << 20;
/// Datagrams of one call, and bytes of a slot.
const SLOTS: usize = 256;
const SLOT: usize = 2_048;

/// The table of limits.
pub fn limits(plan: &Plan) -> Result<String> {
    let mut text = String::from(
        "### How far generator and receiver are from being the limit\n\nEach against a bare counterpart of ours, per CPU-second of its own thread.\n\n| | events per CPU-second |\n| --- | ---: |\n",
    );
    let mut row = |name: &str, value: f64| text += &format!("| {name} | {value:.0} |\n");
    row("TCP generator", tcp_generator(plan)?);
    row("TLS syslog receiver, octet-counted", syslog_receiver(plan, true)?);
    row("TLS syslog receiver, lines", syslog_receiver(plan, false)?);
    let windows = Windows::make(&plan.lines, 32);
    let (generator, receiver) = lumberjack(plan, &windows)?;
    row("Lumberjack generator", generator);
    row("Lumberjack receiver", receiver);
    let rate = 400_000;
    let (lost, generator, receiver) = bare(plan, rate, rate * 2)?;
    row("UDP generator (the kernel's receiving side included)", generator);
    row("bare recvmmsg loop", receiver);
    text += &format!("\nThe bare loop lost {lost} datagrams at {rate} a second.\n");
    Ok(text)
}

fn tcp_generator(plan: &Plan) -> Result<f64> {
    let listener = TcpListener::bind((HOST, 0))?;
    let address = listener.local_addr()?;
    let reader = std::thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return };
        let mut buffer = vec![0; 1 << 20];
        while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
    });
    let sent = send::tcp(address, &plan.lines, plan.events)?;
    let _ = reader.join();
    Ok(sent.events as f64 / sent.cpu)
}

fn syslog_receiver(plan: &Plan, counted: bool) -> Result<f64> {
    let receiver = Receiver::start(Protocol::Syslog, &plan.bench.certs.server, Marks::None, 0)?;
    let count = plan.lines.count();
    let mut bytes = Vec::new();
    for number in 0..count {
        let line = plan.lines.line(number);
        if counted {
            write!(bytes, "{} ", line.len())?;
        }
        bytes.extend_from_slice(line);
        if !counted {
            bytes.push(b'\n');
        }
    }
    let mut stream = connect(plan, receiver.address)?;
    let rounds = (plan.events / count).max(1);
    for _ in 0..rounds {
        stream.write_all(&bytes)?;
    }
    stream.flush()?;
    wait_until(Duration::from_secs(60), || receiver.counters.events() >= rounds * count);
    Ok(receiver.counters.events() as f64 / (receiver.counters.cpu.load(Ordering::Relaxed) as f64 / 1e9))
}

fn connect(plan: &Plan, to: SocketAddr) -> Result<StreamOwned<ClientConnection, Buffered>> {
    let socket = BufReader::new(TcpStream::connect(to)?);
    let client = ClientConnection::new(Arc::clone(&plan.bench.certs.client), ServerName::try_from(HOST)?)?;
    Ok(StreamOwned::new(client, Buffered(socket)))
}

fn lumberjack(plan: &Plan, windows: &Windows) -> Result<(f64, f64)> {
    let receiver = Receiver::start(Protocol::Lumberjack, &plan.bench.certs.server, Marks::None, 0)?;
    let sent = windows.send(receiver.address, &plan.bench.certs, (plan.events / WINDOW).max(1))?;
    let cpu = receiver.counters.cpu.load(Ordering::Relaxed) as f64 / 1e9;
    Ok((sent.events as f64 / sent.cpu, sent.events as f64 / cpu))
}

/// The highest rate at which a bare recvmmsg loop loses nothing, to a twentieth; at most what the generator can send.
pub fn datagrams(plan: &Plan) -> Result<u64> {
    let (mut fine, mut lossy) = (50_000, 2_000_000);
    while lossy - fine > fine / 20 {
        let rate = u64::midpoint(fine, lossy);
        let (lost, generator, _) = bare(plan, rate, rate)?;
        // A rate that the generator alone cannot keep up says nothing.
        if lost == 0 && generator > rate as f64 { fine = rate } else { lossy = rate }
    }
    Ok(fine / 1_000 * 1_000)
}

/// Sends to a loop that only counts: datagrams lost, and events per CPU-second of the generator and of the loop.
fn bare(plan: &Plan, rate: u64, count: u64) -> Result<(u64, f64, f64)> {
    let socket = UdpSocket::bind((HOST, 0))?;
    if setsockopt(&socket, sockopt::RcvBufForce, &BUFFER).is_err() {
        setsockopt(&socket, sockopt::RcvBuf, &BUFFER)?;
    }
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    let address = socket.local_addr()?;
    let (seen, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| read_bare(&socket, &seen, &stop));
        let sent = send::udp(address, &plan.marked, rate, count);
        wait_until(Duration::from_secs(1), || seen.load(Ordering::Relaxed) >= count);
        stop.store(true, Ordering::Relaxed);
        let cpu = reader.join().ok().context("the bare loop panicked")?;
        let (sent, seen) = (sent?, seen.load(Ordering::Relaxed));
        Ok((count.saturating_sub(seen), count as f64 / sent.cpu, seen as f64 / cpu))
    })
}

fn read_bare(socket: &UdpSocket, seen: &AtomicU64, stop: &AtomicBool) -> f64 {
    let start = thread_cpu();
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(SLOTS, None);
    let mut storage = vec![[0u8; SLOT]; SLOTS];
    while !stop.load(Ordering::Relaxed) {
        let mut slots: Vec<_> = storage.iter_mut().map(|slot| [std::io::IoSliceMut::new(slot)]).collect();
        let flags = MsgFlags::MSG_WAITFORONE;
        if let Ok(messages) = recvmmsg(socket.as_raw_fd(), &mut headers, slots.iter_mut(), flags, None) {
            seen.fetch_add(messages.count() as u64, Ordering::Relaxed);
        }
    }
    (thread_cpu() - start) as f64 / 1e9
}
