//! The source on real sockets, with a queue and a reader behind it.

mod stream;
mod tls;
mod udp;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::event::{OutputId, Transport};
use crate::net::{SocketName, Sockets};
use crate::quantity::Size;
use crate::queue::{self, OutputRule, Queue, Reader};
use crate::source::{self, Config, Context, SourceError};
use crate::status::{Board, Component, Count, Counters, DropReason, Gauge, Handle, Health};

/// A source at work.
struct Running {
    config: Config,
    context: Context,
    board: Board,
    queue: Option<Queue>,
    _folder: tempfile::TempDir,
    reader: Reader,
    tasks: JoinSet<Result<(), SourceError>>,
}

/// An event as the queue gave it out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Event {
    bytes: Vec<u8>,
    transport: Transport,
    peer: SocketAddr,
    name: Option<String>,
    cut_from: Option<u64>,
}

impl Event {
    fn text(&self) -> String {
        String::from_utf8(self.bytes.clone()).unwrap()
    }
}

/// The settings of a source from the part of its table that matters to the test.
fn config(table: &str) -> Config {
    let config: Config = toml::from_str(&format!("id = \"fw\"\ntype = \"syslog\"\n{table}")).unwrap();
    assert_eq!(config.validate(), []);
    config
}

impl Running {
    async fn start(table: &str) -> Self {
        Self::start_with(config(table), queue::Config::default(), Sockets::default()).await
    }

    async fn start_with(config: Config, queue: queue::Config, sockets: Sockets) -> Self {
        let (board, output, folder) = (Board::new(Clock::System), OutputId::from("out"), tempfile::tempdir().unwrap());
        let rule = OutputRule { id: output.clone(), may_skip: false, acknowledges: true };
        let queue = Queue::open(folder.path(), &queue, &[rule], board.handle(Component::Queue, "queue")).unwrap();
        let status = board.handle(Component::Source, "fw");
        let (intake, stop, reader) = (queue.intake(), CancellationToken::new(), queue.reader(&output));
        let (state_dir, teller) = (std::path::PathBuf::new(), crate::event::Teller::new().0);
        let context = Context { intake, stop, status, clock: Clock::System, sockets, state_dir, teller };
        let mut running =
            Self { config, context, board, queue: Some(queue), _folder: folder, reader, tasks: JoinSet::new() };
        running.run();
        running.until("not starting", |status| status.health() != Health::Starting).await;
        running
    }

    /// Starts the source, or starts it again.
    fn run(&mut self) {
        self.context.stop = CancellationToken::new();
        self.tasks.spawn(source::run(self.config.clone(), self.context.clone()));
    }

    /// What the queue's ledger says the source received, and what of that it dropped.
    fn ledger(&self) -> (u64, u64) {
        let ledger = self.queue.as_ref().unwrap().ledger();
        let totals = ledger.get(&"fw".into()).cloned().unwrap_or_default();
        (totals.received, totals.dropped.values().sum())
    }

    /// Where the listener number `index` of the settings is bound.
    fn at(&self, index: usize) -> SocketAddr {
        let Config::Syslog(config) = &self.config else { panic!("not syslog") };
        self.context.sockets.bound(&SocketName::new("fw", config.listen[index], 0)).unwrap()
    }

    fn status(&self) -> &Handle {
        &self.context.status
    }

    fn counters(&self) -> &Counters {
        self.context.status.counters()
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        let snapshot = self.board.snapshot();
        snapshot.line(Component::Source, "fw").unwrap().dropped.get(&reason).copied().unwrap_or(0)
    }

    /// Waits until something is so; the limit only ends a test that failed.
    async fn until(&self, what: &str, is_so: impl Fn(&Handle) -> bool) {
        let wait = async {
            while !is_so(self.status()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let result = tokio::time::timeout(Duration::from_secs(60), wait).await;
        let snapshot = self.board.snapshot();
        assert!(result.is_ok(), "{what}: {:?}", snapshot.line(Component::Source, "fw"));
    }

    /// Takes `count` events out of the queue.
    async fn events(&self, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        let wait = async {
            while events.len() < count {
                events.extend(self.next_events().await);
            }
        };
        let result = tokio::time::timeout(Duration::from_secs(60), wait).await;
        let snapshot = self.board.snapshot();
        assert!(result.is_ok(), "{} of {count}: {:?}", events.len(), snapshot.line(Component::Source, "fw"));
        assert_eq!(events.len(), count);
        events
    }

    /// Takes one batch out of the queue.
    async fn next_events(&self) -> Vec<Event> {
        let delivery = self.reader.next().await.unwrap();
        let mut events = Vec::new();
        let mut records = delivery.batch().records();
        while let Some(record) = records.next() {
            events.push(Event {
                bytes: record.bytes.to_vec(),
                transport: record.origin.transport,
                peer: record.origin.peer.unwrap(),
                name: record.origin.name.as_deref().map(str::to_owned),
                cut_from: record.cut_from,
            });
        }
        delivery.ack();
        events
    }

    /// How many events the queue holds that nobody took yet.
    async fn rest(&self) -> usize {
        let mut count = 0;
        while let Ok(events) = tokio::time::timeout(Duration::from_millis(50), self.next_events()).await {
            count += events.len();
        }
        count
    }

    /// Stops the source and waits for its end.
    async fn stop(&mut self) {
        self.context.stop.cancel();
        self.tasks.join_next().await.unwrap().unwrap().unwrap();
        assert_eq!(self.status().health(), Health::Stopped);
        assert_eq!(self.counters().gauge(Gauge::OpenConnections), 0);
        assert_eq!(self.counters().gauge(Gauge::ReceiveBufferBytes), 0);
    }
}

/// A queue that takes nothing, because its disk space is used up before it begins.
fn full_queue() -> queue::Config {
    queue::Config { max_size: Size(1), reserve: None, ..queue::Config::default() }
}

fn received(status: &Handle) -> u64 {
    status.counters().count(Count::ReceivedEvents)
}

/// Sends `text` over a connection of its own and closes it.
async fn send(to: SocketAddr, text: &[u8]) {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(text).await.unwrap();
    stream.shutdown().await.unwrap();
}

/// Whether the other end closes the connection.
async fn is_closed(stream: &mut TcpStream) -> bool {
    tokio::time::timeout(Duration::from_secs(30), stream.read_u8()).await.unwrap().is_err()
}

#[tokio::test]
async fn a_listener_that_cannot_be_bound_takes_no_other_down_and_is_tried_again() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = taken.local_addr().unwrap();
    let mut source = Running::start(&format!("listen = [\"tcp://{busy}\", \"tcp://127.0.0.1:0\"]")).await;
    source.until("degraded", |status| status.health().word() == "degraded").await;
    let fault = source.status().health().fault().cloned().unwrap();
    assert!(fault.what.contains(&format!("cannot listen on tcp://{busy}")), "{fault:?}");
    assert!(fault.todo.contains("ss -ltnp"), "{fault:?}");
    send(source.at(1), b"<13>over the good one\n").await;
    assert_eq!(source.events(1).await[0].text(), "<13>over the good one");
    drop(taken);
    source.until("healthy", |status| status.health() == Health::Healthy).await;
    send(busy, b"<13>over the other\n").await;
    assert_eq!(source.events(1).await[0].text(), "<13>over the other");
    source.stop().await;
}

#[tokio::test]
async fn a_source_that_cannot_bind_anything_has_failed() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let listen = format!("listen = [\"udp://{}\"]", taken.local_addr().unwrap());
    let mut source = Running::start(&listen).await;
    source.until("failed", |status| status.health().word() == "failed").await;
    assert!(source.status().health().fault().unwrap().todo.contains("ss -lunp"));
    source.stop().await;
}

#[tokio::test]
async fn everything_listens_at_once_and_every_event_knows_where_it_came_from() {
    let ca = crate::net::tls::certs::Ca::new();
    let pair = ca.pair("server", &["127.0.0.1"]);
    let table = format!(
        "listen = [\"udp://127.0.0.1:0\", \"udp://[::1]:0\", \"tcp://127.0.0.1:0\", \"tcp://[::1]:0\", \"tls://127.0.0.1:0\"]\n\
         [tls]\ncert = {:?}\nkey = {:?}",
        pair.cert, pair.key
    );
    let mut source = Running::start(&table).await;
    assert_eq!(source.status().health(), Health::Healthy);
    let mut wanted = Vec::new();
    for (index, address) in [(0, "127.0.0.1:0"), (1, "[::1]:0")] {
        let socket = std::net::UdpSocket::bind(address).unwrap();
        socket.send_to(format!("<13>{index}\n").as_bytes(), source.at(index)).unwrap();
        wanted.push((format!("<13>{index}"), Transport::Udp, socket.local_addr().unwrap()));
    }
    for index in [2, 3] {
        let mut stream = TcpStream::connect(source.at(index)).await.unwrap();
        wanted.push((format!("<13>{index}"), Transport::Tcp, stream.local_addr().unwrap()));
        stream.write_all(format!("<13>{index}\r\n").as_bytes()).await.unwrap();
    }
    let mut stream = tls::connect(source.at(4), &ca, None).await.unwrap();
    stream.write_all(b"5 <13>4").await.unwrap();
    let mut got: Vec<_> =
        source.events(5).await.iter().map(|event| (event.text(), event.transport, event.peer)).collect();
    got.sort_by_key(|(text, ..)| text.clone());
    assert_eq!(got[..4], wanted);
    assert_eq!((&*got[4].0, got[4].1), ("<13>4", Transport::Tls));
    assert_eq!(source.counters().count(Count::ReceivedEvents), 5);
    assert_eq!(source.counters().count(Count::ReceivedBytes), 25);
    source.stop().await;
}

#[test]
fn tables_that_make_no_sense_are_refused_by_their_key() {
    let ca = crate::net::tls::certs::Ca::new();
    let pair = ca.pair("server", &["127.0.0.1"]);
    let tls = format!("[tls]\ncert = {:?}\nkey = {:?}", pair.cert, pair.key);
    let listen = "listen = [\"tcp://0.0.0.0:514\"]";
    let cases = [
        ("listen = []".to_owned(), "listen"),
        ("listen = [\"tcp://0.0.0.0:514\", \"udp://0.0.0.0:514\", \"tcp://0.0.0.0:514\"]".to_owned(), "listen[2]"),
        (format!("listen = [\"tcp://0.0.0.0:514\", \"tls://0.0.0.0:514\"]\n{tls}"), "listen[1]"),
        ("listen = [\"tls://0.0.0.0:6514\"]".to_owned(), "tls"),
        (format!("{listen}\n{tls}"), "tls"),
        (format!("listen = [\"tls://0.0.0.0:6514\"]\n{tls}\nclient_auth = \"required\""), "tls.client_ca"),
        (format!("{listen}\ntime_zone = \"Mars/Olympus\""), "time_zone"),
        (format!("{listen}\nmax_message = \"479B\""), "max_message"),
        (format!("{listen}\nmax_message = \"2MiB\""), "max_message"),
        (format!("{listen}\nmax_connections = 0"), "max_connections"),
        (format!("{listen}\nidle_timeout = \"0s\""), "idle_timeout"),
        (format!("{listen}\nreceive_buffer = \"1KiB\""), "receive_buffer"),
        (format!("{listen}\nudp_sockets = 0"), "udp_sockets"),
        (format!("{listen}\nbatch_after = \"1m\""), "batch_after"),
    ];
    for (table, key) in cases {
        let config: Config = toml::from_str(&format!("id = \"fw\"\ntype = \"syslog\"\n{table}")).unwrap();
        let problems = config.validate();
        assert_eq!(problems.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), [key], "{table}: {problems:?}");
    }
}

#[test]
fn the_sample_loads_and_its_comments_show_the_defaults() {
    let sample = include_str!("../sample.toml");
    #[derive(serde::Deserialize)]
    struct File {
        source: Vec<Config>,
    }
    let bare: File = toml::from_str(sample).unwrap();
    assert_eq!(bare.source[0].validate(), []);
    // A commented option is "# name = value", with a blank and a comment behind it at most.
    let is_option = |line: &str| {
        let name = line.split(" = ").next().unwrap_or_default();
        line.contains(" = ") && !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    };
    let mut options = 0;
    let all: Vec<String> = sample
        .lines()
        .map(|line| match line.strip_prefix("# ").filter(|line| is_option(line) && !line.starts_with("client_ca")) {
            Some(option) => {
                options += 1;
                option.to_owned()
            }
            None => line.to_owned(),
        })
        .collect();
    let full: File = toml::from_str(&all.join("\n")).unwrap();
    assert_eq!(full.source, bare.source);
    assert_eq!(options, 16, "an option was added or lost; keep the sample complete");
}
