//! Beats agents that keep several windows on their way and remember what was acknowledged to them.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sapphire_edge::wire::lumberjack::{AckDecoder, Encoder};

/// Windows that an agent sends before the first is acknowledged.
const WINDOWS: usize = 4;
/// Filebeat takes a connection for dead when it hears nothing for so long.
const SILENCE: Duration = Duration::from_secs(30);

/// What an agent does with what was not acknowledged when its connection broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// Sends it again, under the ids that it gave: Filebeat with ids of its own.
    Repeats,
    /// Forgets it: what arrived of it has an id of the box.
    Forgets,
}

/// An agent on a thread of its own.
#[derive(Debug)]
pub struct Agent {
    name: String,
    habit: Habit,
    shared: Arc<Shared>,
    thread: JoinHandle<Vec<Range<u64>>>,
}

#[derive(Debug)]
struct Shared {
    to: Mutex<SocketAddr>,
    is_done: AtomicBool,
    acked: AtomicU64,
}

/// What an agent knows at its end.
#[derive(Debug)]
pub struct Report {
    pub name: String,
    pub habit: Habit,
    /// The numbers of the events that were acknowledged, in the order it came to know.
    pub acked: Vec<Range<u64>>,
}

impl Agent {
    /// Sends events that begin with its name and a number, until it is told to end.
    pub fn start(name: &str, habit: Habit, to: SocketAddr, seed: u64) -> Self {
        let to = Mutex::new(to);
        let shared = Arc::new(Shared { to, is_done: AtomicBool::new(false), acked: AtomicU64::new(0) });
        let session = Session {
            name: name.to_owned(),
            habit,
            dice: StdRng::seed_from_u64(seed),
            shared: Arc::clone(&shared),
            next: 0,
            sent: VecDeque::new(),
            acked: Vec::new(),
        };
        let thread = std::thread::spawn(move || session.run());
        Self { name: name.to_owned(), habit, shared, thread }
    }

    /// Where it connects the next time.
    pub fn turn_to(&self, to: SocketAddr) {
        *self.shared.to.lock().unwrap() = to;
    }

    /// Events acknowledged so far.
    pub fn acked(&self) -> u64 {
        self.shared.acked.load(Ordering::Relaxed)
    }

    /// Ends it once what it has sent is acknowledged.
    pub fn end(self) -> Report {
        self.shared.is_done.store(true, Ordering::Relaxed);
        Report { name: self.name, habit: self.habit, acked: self.thread.join().unwrap() }
    }
}

struct Session {
    name: String,
    habit: Habit,
    dice: StdRng,
    shared: Arc<Shared>,
    next: u64,
    /// Windows that are not acknowledged.
    sent: VecDeque<Range<u64>>,
    acked: Vec<Range<u64>>,
}

impl Session {
    fn run(mut self) -> Vec<Range<u64>> {
        loop {
            let to = *self.shared.to.lock().unwrap();
            if TcpStream::connect(to).and_then(|stream| self.talk(stream)).is_ok() {
                return self.acked;
            }
            if self.habit == Habit::Forgets {
                self.sent.clear();
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Sends and takes acks; comes back in good order once it is told to end and everything is acknowledged.
    fn talk(&mut self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(SILENCE))?;
        let (mut acks, mut from) = (AckDecoder::default(), [0; 64]);
        for window in self.sent.clone() {
            stream.write_all(&self.window(window))?;
        }
        loop {
            while self.sent.len() < WINDOWS && !self.shared.is_done.load(Ordering::Relaxed) {
                let window = self.next..self.next + self.dice.random_range(1..=100);
                self.next = window.end;
                self.sent.push_back(window.clone());
                stream.write_all(&self.window(window))?;
            }
            if self.sent.is_empty() {
                return Ok(());
            }
            let count = stream.read(&mut from)?;
            let mut bytes = &from[..count];
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            while let Some(ack) = acks.next_ack(&mut bytes).map_err(io::Error::other)? {
                self.acknowledged(ack);
            }
        }
    }

    fn acknowledged(&mut self, ack: u32) {
        if ack == 0 {
            return;
        }
        let window = self.sent.pop_front().expect("an ack without a window");
        assert_eq!(u64::from(ack), window.end - window.start, "an ack that fits no window");
        self.shared.acked.fetch_add(u64::from(ack), Ordering::Relaxed);
        self.acked.push(window);
    }

    fn window(&self, numbers: Range<u64>) -> Vec<u8> {
        let (mut encoder, mut bytes) = (Encoder::new(1), Vec::new());
        for number in numbers {
            let mut event = format!("{{\"message\":\"{} {number} ", self.name);
            // The same at every repeat.
            let filling = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (0..filling % 20).for_each(|_| write!(event, "{filling:x} ").unwrap());
            event.push('"');
            if self.habit == Habit::Repeats {
                write!(event, ",\"@metadata\":{{\"_id\":\"{}-{number}\"}}", self.name).unwrap();
            }
            event.push('}');
            encoder.event(|to| to.extend_from_slice(event.as_bytes()));
        }
        encoder.finish(&mut bytes);
        bytes
    }
}
