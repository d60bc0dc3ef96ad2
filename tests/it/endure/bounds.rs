//! A backlog of gigabytes: resident memory while it fills and drains, the time to open it, and an idle box.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use sapphire_edge::clock::{Clock, Timestamp, monotonic};
use sapphire_edge::demo::generate::{Family, Generator};
use sapphire_edge::quantity::Size;
use sapphire_edge::queue::Inspection;
use sapphire_edge::status::{Component, Count, Gauge};
use sapphire_edge::wire::lumberjack::ack;

use super::link::Link;
use super::{alone, to_gateway, wish};
use crate::peers::appliance::{Appliance, until};
use crate::peers::process::{Process, thread_time};

/// The bounds of the product: resident memory with a backlog, and idle; time to open.
const LOADED: u64 = 96 << 20;
const IDLE: u64 = 25 << 20;
const OPENS_IN: Duration = Duration::from_secs(2);
/// What a waking costs is the machine's: on a virtual one inside another it was a millisecond, on others a fiftieth of that. So how often
/// an idle box may wake a second is what is held here, all threads together (a third of it the index's, which keeps eight threads),
/// and that nothing spins; two of them are the look at cards and clock each second. Its time is printed beside that of a thread which
/// only wakes.
const IDLE_WAKINGS: f64 = 30.0;
const SPINS: f64 = 0.05;

/// A gateway that counts plain frames and acknowledges each window: it costs so little that it is not what is measured.
struct Counter {
    address: SocketAddr,
    events: Arc<AtomicU64>,
}

impl Counter {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, events) = (listener.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
        let counted = Arc::clone(&events);
        // Ends with the test: nobody waits for a thread that only accepts.
        std::thread::spawn(move || listener.incoming().for_each(|stream| serve(stream.unwrap(), &counted)));
        Self { address, events }
    }
}

/// Takes one connection's windows until it ends.
fn serve(mut stream: TcpStream, events: &AtomicU64) {
    let mut buffer = vec![0; 1 << 20];
    let (mut filled, mut skip, mut missing) = (0, 0, 0u32);
    // The end of a window, to be acknowledged once its bytes are there.
    let mut last = None;
    while let Ok(count @ 1..) = stream.read(&mut buffer[filled..]) {
        filled += count;
        let mut at = 0;
        loop {
            let skipped = skip.min(filled - at);
            (at, skip) = (at + skipped, skip - skipped);
            if skip == 0
                && let Some(sequence) = last.take()
                && stream.write_all(&ack(sequence)).is_err()
            {
                return;
            }
            // A window frame alone is shorter, but events follow it.
            let Some(frame) = buffer[at..filled].get(..10).filter(|_| skip == 0) else { break };
            let number = |from: usize| u32::from_be_bytes(frame[from..from + 4].try_into().unwrap());
            match frame[1] {
                b'W' => (missing, at) = (number(2), at + 6),
                b'J' => {
                    (skip, at, missing) = (number(6) as usize, at + 10, missing - 1);
                    events.fetch_add(1, Ordering::Relaxed);
                    last = (missing == 0).then(|| number(2));
                }
                other => panic!("a frame of type {other}"),
            }
        }
        buffer.copy_within(at..filled, 0);
        filled -= at;
    }
}

/// Lines of all kinds of devices, ended by line feeds, and how many.
fn lines(bytes: usize) -> (Vec<u8>, u64) {
    let mut devices: Vec<_> = Family::ALL.into_iter().map(|family| Generator::new(family, 7, 1)).collect();
    let (mut text, mut count) = (String::new(), 0);
    while text.len() < bytes {
        for device in &mut devices {
            device.write(Timestamp(1_795_000_000_000_000 + count * 1_000), &mut text);
            text.push('\n');
            count += 1;
        }
    }
    (text.into_bytes(), count)
}

/// Sends at least so many bytes over one connection; returns how many events they were.
fn fill(to: SocketAddr, bytes: u64) -> JoinHandle<u64> {
    std::thread::spawn(move || {
        let (block, events) = lines(16 << 20);
        let mut stream = TcpStream::connect(to).unwrap();
        let times = bytes.div_ceil(block.len() as u64);
        (0..times).for_each(|_| stream.write_all(&block).unwrap());
        times * events
    })
}

/// Waits as long as it gets on; `probe` says how far it is, and that it is done.
fn progress(what: &str, mut probe: impl FnMut() -> (u64, bool)) {
    let (mut far, mut is_done) = probe();
    while !is_done {
        (far, is_done) = until(what, || Some(probe()).filter(|(now, is_done)| *now > far || *is_done));
    }
}

#[test]
fn a_backlog_of_gigabytes_stays_within_the_bounds() {
    let _alone = alone();
    let backlog = wish("ENDURE_BACKLOG", Size::gib(1)).bytes();
    let gateway = Counter::start();
    let link = Link::new(gateway.address, false);
    let source = "[[source]]\nid = \"firewalls\"\ntype = \"syslog\"\nlisten = [\"tcp://127.0.0.1:0\"]\n";
    let settings = format!("[queue]\nmax_size = \"16GiB\"\n{source}{}compression = 0\n", to_gateway(link.address()));
    let mut edge = Appliance::start(&settings);
    let process = Process(edge.id());
    let begin = monotonic();
    let sending = fill(edge.address("tcp://127.0.0.1:0", 0), backlog);
    let count = |edge: &Appliance, component, id, wanted: fn(&sapphire_edge::status::Line) -> u64| {
        edge.status().and_then(|status| status.line(component, id).map(wanted)).unwrap_or(0)
    };
    let received = || count(&edge, Component::Source, "firewalls", |line| line.count(Count::ReceivedEvents));
    progress("the backlog grows", || (received(), sending.is_finished()));
    let events = sending.join().unwrap();
    edge.received("firewalls", events);
    edge.line(Component::Queue, "queue", |line| line.gauge(Gauge::QueuedEvents) == events);
    // What waits may not be written yet, and goes with a kill: nobody was promised anything.
    until("all of it lies on the disk", || {
        let inspection = Inspection::read(&edge.folder().join("queue"), &Clock::System).ok()?;
        (inspection.ledger.values().map(|balance| balance.queued).sum::<u64>() == events).then_some(())
    });
    let filled = process.peak();
    println!("bounds: {} filled in {:.1?}, {} MiB at most", Size(backlog), begin.elapsed(), filled >> 20);
    assert!(filled < LOADED, "{filled} bytes resident while filling");

    edge.kill();
    let opening = monotonic();
    edge.restart();
    edge.log_line(&["started"]);
    let opened = opening.elapsed();
    println!("bounds: opened in {opened:.1?}");
    assert!(opened < OPENS_IN, "opened in {opened:?}");

    let process = Process(edge.id());
    let begin = monotonic();
    link.mend();
    let came = || gateway.events.load(Ordering::Relaxed);
    progress("the backlog shrinks", || (came(), came() > events));
    edge.line(Component::Queue, "queue", |line| line.gauge(Gauge::QueuedEvents) == 0);
    let drained = process.peak();
    println!("bounds: drained in {:.1?}, {} MiB at most, {} came", begin.elapsed(), drained >> 20, came());
    assert!(drained < LOADED, "{drained} bytes resident while draining");
    // Killed right after it had stored everything, with nothing delivered: nothing may be gone, and nothing repeated.
    // And what the killed box says about that.
    assert_eq!(came(), events + 1);
    edge.stop();
}

#[test]
fn an_idle_box_is_small_and_sleeps() {
    let _alone = alone();
    let gateway = Counter::start();
    let source = "[[source]]\nid = \"firewalls\"\ntype = \"syslog\"\nlisten = [\"udp://127.0.0.1:0\", \
                  \"tcp://127.0.0.1:0\"]\n";
    let edge = Appliance::start(&format!("{source}{}", to_gateway(gateway.address)));
    edge.line(Component::Output, "gateway", |line| line.health.word() == "healthy");
    let process = Process(edge.id());
    let (begin, used, woken, own) = (monotonic(), process.cpu(), process.wakings(), thread_time());
    // What both use over this time is what is measured: this thread wakes as often as the box may, and does nothing.
    while begin.elapsed() < Duration::from_secs(10) {
        std::thread::park_timeout(Duration::from_secs_f64(1.0 / IDLE_WAKINGS));
    }
    let of_core = |used: Duration| used.div_duration_f64(begin.elapsed());
    let (share, machine) = (of_core(process.cpu() - used), of_core(thread_time() - own));
    let since = |(thread, count): (&PathBuf, &u64)| count - woken.get(thread).unwrap_or(&0);
    let wakings = process.wakings().iter().map(since).sum::<u64>() as f64 / begin.elapsed().as_secs_f64();
    let resident = process.resident();
    println!(
        "bounds: idle {:.2} % of a core with {wakings:.1} wakings a second, {} KiB; {:.2} % for {IDLE_WAKINGS} wakings alone",
        share * 100.0,
        resident >> 10,
        machine * 100.0
    );
    assert!(wakings <= IDLE_WAKINGS, "{wakings} wakings a second");
    assert!(share < SPINS, "{:.2} % of a core", share * 100.0);
    assert!(resident < IDLE, "{resident} bytes resident");
    edge.stop();
}
