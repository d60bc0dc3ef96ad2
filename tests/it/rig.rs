//! A source or an output on its own, with a real queue behind or before it.

use std::net::SocketAddr;
use std::time::Duration;

use sapphire_edge::clock::{Clock, Timestamp};
use sapphire_edge::event::{Batch, BatchBuilder, BatchLimits, Kind, Origin, OutputId, Record, Teller, Transport};
use sapphire_edge::net::Sockets;
use sapphire_edge::output::{self, OutputError, Readings};
use sapphire_edge::quantity::{Size, Span};
use sapphire_edge::queue::{self, Delivery, Intake, OutputRule, Queue, Reader, Ticket};
use sapphire_edge::source::{self, SourceError};
use sapphire_edge::status::{Board, Component, Count, Gauge, Handle};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Long enough for a loaded machine; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it took too long")
}

/// Waits until it is so.
pub async fn until(mut is_so: impl FnMut() -> bool) -> bool {
    let look = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.is_ok()
}

/// A queue in a folder of its own. It flushes so late that only a delivery settles, unless a test waits for a minute.
fn open(max_size: Size) -> (TempDir, Queue) {
    let folder = tempfile::tempdir().unwrap();
    let config = queue::Config {
        max_size,
        reserve: None,
        memory: Size::mib(64),
        flush_bytes: Size::mib(64),
        flush_after: Span::secs(60),
        ..queue::Config::default()
    };
    let rule = OutputRule { id: OutputId::from("gw"), may_skip: false, acknowledges: true };
    let status = Board::new(Clock::System).handle(Component::Queue, "queue");
    let queue = Queue::open(folder.path(), &config, &[rule], status).unwrap();
    (folder, queue)
}

/// An output with a queue before it.
pub struct Output {
    folder: TempDir,
    queue: Queue,
    pub intake: Intake,
    pub status: Handle,
    pub stop: CancellationToken,
    pub task: JoinHandle<Result<(), OutputError>>,
}

impl Output {
    /// Starts an output with these settings besides the usual, and a queue before it.
    pub fn start(settings: &str) -> Self {
        let config: output::Config = toml::from_str(&format!("id = \"gw\"\n{settings}")).unwrap();
        assert_eq!(config.validate(), []);
        let (folder, queue) = open(Size::gib(8));
        let status = Board::new(Clock::System).handle(Component::Output, "gw");
        let stop = CancellationToken::new();
        let context = output::Context {
            reader: queue.reader(config.id()),
            stop: stop.clone(),
            status: status.clone(),
            clock: Clock::System,
            readings: Readings::default(),
            name: "edge-1".into(),
        };
        #[expect(clippy::disallowed_methods, reason = "the test is the parent and awaits it")]
        let task = tokio::spawn(output::run(config, context));
        Self { folder, intake: queue.intake(), queue, status, stop, task }
    }

    pub async fn submit(&self, texts: &[&str]) -> Ticket {
        self.intake.submit(batch(texts)).await.unwrap()
    }

    pub fn count(&self, count: Count) -> u64 {
        self.status.counters().count(count)
    }

    pub fn unacked(&self) -> u64 {
        self.status.counters().gauge(Gauge::UnackedEvents)
    }

    /// Waits until the health has this word and says this.
    pub async fn health(&self, word: &str, part: &str) {
        let as_said = || {
            let health = self.status.health();
            let what = health.fault().map(|fault| fault.what.clone()).unwrap_or_default();
            health.word() == word && what.contains(part)
        };
        assert!(until(as_said).await, "{word} {part:?} expected, but {:?}", self.status.health());
    }

    /// Waits until a counter has this value.
    pub async fn counted(&self, count: Count, value: u64) {
        let is_so = until(|| self.count(count) == value).await;
        assert!(is_so, "{} is {} and not {value}", count.as_str(), self.count(count));
    }

    /// Waits until a counter has at least this value.
    pub async fn counted_at_least(&self, count: Count, value: u64) {
        let is_so = until(|| self.count(count) >= value).await;
        assert!(is_so, "{} is {} and not {value} or more", count.as_str(), self.count(count));
    }

    pub async fn stop(self) {
        self.stop.cancel();
        soon(self.task).await.unwrap().unwrap();
        self.queue.close(PATIENCE).await;
        drop(self.folder);
    }
}

pub fn batch(texts: &[&str]) -> Batch {
    let mut builder = BatchBuilder::new("fw".into(), Kind::Syslog, BatchLimits { bytes: 1 << 30, count: u32::MAX });
    let origin = Origin::new(Transport::Udp, Some("192.0.2.1:514".parse().unwrap()));
    for text in texts {
        let bytes = text.as_bytes();
        builder.push(&Record { received: Timestamp(1), origin: &origin, id: None, cut_from: None, bytes });
    }
    builder.seal().unwrap()
}

pub fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| format!("<13>Mar  5 10:15:30 host app: event {number}")).collect()
}

pub fn many(count: usize) -> Batch {
    let texts = numbered(0..count);
    batch(&texts.iter().map(String::as_str).collect::<Vec<_>>())
}

/// A source with a queue behind it.
pub struct Source {
    folder: TempDir,
    pub queue: Queue,
    pub reader: Reader,
    pub status: Handle,
    pub address: SocketAddr,
    pub stop: CancellationToken,
    pub task: JoinHandle<Result<(), SourceError>>,
}

impl Source {
    /// Starts a source on plain TCP with these settings besides the usual, and a queue behind it.
    pub async fn plain(settings: &str) -> Self {
        Self::start(&format!("listen = [\"tcp://127.0.0.1:0\"]\n{settings}"), Size::gib(8)).await
    }

    pub async fn start(settings: &str, max_size: Size) -> Self {
        let config: source::Config =
            toml::from_str(&format!("type = \"lumberjack\"\nid = \"beats\"\n{settings}")).unwrap();
        assert_eq!(config.validate(), []);
        let (folder, queue) = open(max_size);
        let status = Board::new(Clock::System).handle(Component::Source, "beats");
        let (stop, sockets) = (CancellationToken::new(), Sockets::default());
        let name = config.sockets().into_iter().next().unwrap();
        let context = source::Context {
            intake: queue.intake(),
            stop: stop.clone(),
            status: status.clone(),
            clock: Clock::System,
            sockets: sockets.clone(),
            state_dir: folder.path().to_owned(),
            teller: Teller::new().0,
        };
        #[expect(clippy::disallowed_methods, reason = "the test is the parent and awaits it")]
        let task = tokio::spawn(source::run(config, context));
        let bound = || sockets.bound(&name).filter(|_| status.health().word() == "healthy");
        assert!(until(|| bound().is_some()).await, "not bound: {:?}", status.health());
        let (address, reader) = (bound().unwrap(), queue.reader(&OutputId::from("gw")));
        Self { folder, queue, reader, status, address, stop, task }
    }

    pub fn count(&self, count: Count) -> u64 {
        self.status.counters().count(count)
    }

    /// Waits until a counter has this value.
    pub async fn counted(&self, count: Count, value: u64) {
        let is_so = until(|| self.count(count) == value).await;
        assert!(is_so, "{} is {} and not {value}", count.as_str(), self.count(count));
    }

    pub async fn next(&self) -> Delivery {
        soon(self.reader.next()).await.unwrap()
    }

    pub async fn stop(self) {
        self.stop.cancel();
        soon(self.task).await.unwrap().unwrap();
        self.queue.close(PATIENCE).await;
        drop(self.folder);
    }
}

/// The texts of a delivery, each with the id it brought.
pub fn texts(delivery: &Delivery) -> Vec<(Option<String>, String)> {
    let mut records = delivery.batch().records();
    let mut all = Vec::new();
    while let Some(record) = records.next() {
        let text = String::from_utf8(record.bytes.to_vec()).unwrap();
        all.push((record.id.map(ToOwned::to_owned), text));
    }
    all
}
