//! A day on which nothing is wrong: no component says anything but that it is well, and no notice is made.
//!
//! What is real: sources, queue, output, notices, page, history, updates and the watch over the machine, all as the program runs
//! them, with real sockets between them and real senders. What is simulated: time. Tokio's clock is paused, a step moves it and the
//! wall clock, and between two steps everything comes to rest. The machine's cards and time service are files. What is left
//! out: the threads of the queue and of datagrams have real time, in which a day is some seconds (so the devices speak TCP);
//! pullers, whose day is beside them (`src/source/pull/tests.rs`); RAUC, which this machine does not have.
//!
//! The day: firewalls that say much by day and little by night, a device with a heartbeat, a switch that restarts, an agent that
//! connects anew every quarter of an hour, a gateway that closes idle connections every hour, a certificate with ninety days left, a
//! clock that is nudged, a time server that is found after a minute and a half, DHCP leases that are renewed, a link that is away
//! for a moment.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sapphire_edge::clock::{Clock, monotonic};
use sapphire_edge::config::Config;
use sapphire_edge::control::{Answer, Handler, Power, Settings, Stick, Update};
use sapphire_edge::event::{OutputId, Teller};
use sapphire_edge::net::Sockets;
use sapphire_edge::output::{self, Readings};
use sapphire_edge::queue::{OutputRule, Queue, Totals};
use sapphire_edge::source;
use sapphire_edge::status::{Board, Component, Health};
use sapphire_edge::support::Ring;
use sapphire_edge::web::page as web_page;
use sapphire_edge::wire::lumberjack::{AckDecoder, Encoder};
use sapphire_edge::{host, update};
use serde_json::value::RawValue;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::page;
use crate::peers::PATIENCE;
use crate::peers::certificates::Authority;
use crate::peers::service::{Manner, Service};

const MINUTE: Duration = Duration::from_secs(60);
const MINUTES: u64 = 24 * 60;
/// What is under way between two programs on this machine is over within this many looks, each of a real millisecond.
const LOOK: Duration = Duration::from_millis(1);

fn settings(folder: &Path, gateway: std::net::SocketAddr, authority: &Authority, silent_after: &str) -> String {
    let identity = authority.ending_in(90, "edge.example.net");
    format!(
        "name = \"edge-1\"\nstate_dir = {folder:?}\n[page]\nlisten = [\"127.0.0.1:0\"]\n\
         [[network.interface]]\nname = \"eth0\"\n\
         [[source]]\nid = \"firewalls\"\ntype = \"syslog\"\nbatch_after = \"1ms\"\nsilent_after = \"{silent_after}\"\n\
         listen = [\"udp://127.0.0.1:0\", \"tcp://127.0.0.1:0\", \"tls://127.0.0.1:0\"]\n\
         [source.tls]\ncert = {:?}\nkey = {:?}\n\
         [[source]]\nid = \"beats\"\ntype = \"lumberjack\"\nsilent_after = \"{silent_after}\"\nlisten = [\"tcp://127.0.0.1:0\"]\n\
         [[output]]\nid = \"gateway\"\ntype = \"lumberjack\"\ntransport = \"tcp\"\nendpoint = [\"{gateway}\"]\n",
        identity.cert, identity.key
    )
}

/// Nobody asks anything on this day.
struct Unasked;

impl Handler for Unasked {
    fn status(&self) -> Result<Box<RawValue>, String> {
        Err("unasked".to_owned())
    }

    fn ledger(&self) -> Result<Box<RawValue>, String> {
        Err("unasked".to_owned())
    }

    async fn tap(&self, _: Option<String>, _: Option<u32>, _: mpsc::Sender<Answer>) {}

    async fn update(&self, _: Update, _: mpsc::Sender<Answer>) {}

    fn log(&self) -> String {
        String::new()
    }

    async fn settings(&self, _: Settings) -> Answer {
        Answer::Refused("unasked".to_owned())
    }

    async fn face(&self) -> Answer {
        Answer::Refused("unasked".to_owned())
    }

    async fn power(&self, _: Power) -> Answer {
        Answer::Refused("unasked".to_owned())
    }

    async fn restart_source(&self, _: String, _: String) -> Answer {
        Answer::Refused("unasked".to_owned())
    }

    async fn stick(&self, _: Stick, _: mpsc::Sender<Answer>) {}
}

/// The machine below, as files.
struct Kernel(TempDir);

impl Kernel {
    fn new() -> Self {
        let kernel = Self(tempfile::tempdir().unwrap());
        kernel.write("sys/class/net/eth0/device/vendor", "0x8086");
        kernel.write("run/systemd/timesync/clock", "");
        kernel.link(true);
        kernel
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.0.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn link(&self, is_up: bool) {
        self.write("sys/class/net/eth0/carrier", if is_up { "1\n" } else { "0\n" });
    }

    fn clock_is_set(&self) {
        self.write("run/systemd/timesync/synchronized", "");
    }
}

/// The box, its far end and its machine.
struct Site {
    board: Board,
    sockets: Sockets,
    config: Config,
    queue: Queue,
    gateway: Service,
    kernel: Arc<Kernel>,
    micros: Arc<AtomicU64>,
    start: u64,
    begin: Instant,
    tasks: JoinSet<()>,
    sent: u64,
    alarms: BTreeSet<String>,
    _authority: Authority,
    _folder: TempDir,
}

impl Site {
    /// Starts everything. `people` is the page's folder of a box that was claimed.
    fn start(people: &Path, silent_after: &str) -> Self {
        let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        copy(people, &folder.path().join("page"));
        let gateway = Service::plain(Manner::Serve);
        let text = settings(folder.path(), gateway.address(), &authority, silent_after);
        let config = Config::parse(Path::new("settings.toml"), &text).unwrap();
        let start = Clock::System.now().micros();
        let micros = Arc::new(AtomicU64::new(start));
        let board = Board::new(Clock::Fixed(Arc::clone(&micros)));
        let rule = OutputRule { id: OutputId::from("gateway"), may_skip: false, acknowledges: true };
        let status = board.handle(Component::Queue, "queue");
        let queue = Queue::open(&config.queue_folder(), &config.queue, &[rule], status).unwrap();
        let mut site = Self {
            board,
            sockets: Sockets::default(),
            config,
            queue,
            gateway,
            kernel: Arc::new(Kernel::new()),
            micros,
            start,
            begin: Instant::now(),
            tasks: JoinSet::new(),
            sent: 0,
            alarms: BTreeSet::new(),
            _authority: authority,
            _folder: folder,
        };
        site.run();
        site
    }

    fn clock(&self) -> Clock {
        Clock::Fixed(Arc::clone(&self.micros))
    }

    fn run(&mut self) {
        let (teller, told) = Teller::new();
        for config in self.config.source.clone() {
            let context = self.source(Component::Source, config.id().as_str(), &teller);
            self.tasks.spawn(async move { source::run(config, context).await.unwrap() });
        }
        let (notices, told) = (self.source(Component::Box, "notices", &teller), Arc::new(Mutex::new(told)));
        self.tasks.spawn(async move { source::run_notices(notices, None, told).await.unwrap() });
        for config in self.config.output.clone() {
            let context = output::Context {
                reader: self.queue.reader(config.id()),
                stop: CancellationToken::new(),
                status: self.board.handle(Component::Output, config.id().as_str()),
                clock: self.clock(),
                readings: Readings::default(),
                name: "edge-1".into(),
            };
            self.tasks.spawn(async move { output::run(config, context).await.unwrap() });
        }
        self.page(&teller);
        self.updates(&teller);
        let (board, kernel, begin) = (self.board.clone(), Arc::clone(&self.kernel), self.begin);
        self.tasks.spawn(async move {
            let named = || vec!["eth0".to_owned()];
            host::watch(kernel.0.path(), &board, named, || begin.elapsed(), &CancellationToken::new()).await;
        });
    }

    fn source(&self, component: Component, id: &str, teller: &Teller) -> source::Context {
        source::Context {
            intake: self.queue.intake(),
            stop: CancellationToken::new(),
            status: self.board.handle(component, id),
            clock: self.clock(),
            sockets: self.sockets.clone(),
            state_dir: self.config.state_dir.clone(),
            teller: teller.clone(),
        }
    }

    fn page(&mut self, teller: &Teller) {
        let (name, kinds) = (watch::channel("edge-1".into()).1, watch::channel(web_page::Kinds::default()).1);
        let context = web_page::Context {
            name,
            state_dir: self.config.state_dir.clone(),
            kinds,
            samples: Vec::new(),
            board: self.board.clone(),
            questions: Arc::new(Unasked),
            status: self.board.handle(Component::Box, "page"),
            clock: self.clock(),
            teller: teller.clone(),
            log: Ring::default(),
            file: None,
            stop: CancellationToken::new(),
        };
        let config = self.config.page.clone().unwrap();
        self.tasks.spawn(async move { web_page::run(config, context, |_| {}).await.unwrap() });
    }

    fn updates(&mut self, teller: &Teller) {
        // The other side is held as long as the component runs: without it nobody could ask any more.
        let (door, desk) = update::door();
        let context = update::Context {
            folder: self.config.state_dir.join("update"),
            control: self.config.control_socket(),
            page: None,
            board: self.board.clone(),
            status: self.board.handle(Component::Box, "update"),
            clock: self.clock(),
            stop: CancellationToken::new(),
            teller: teller.clone(),
            desk,
        };
        let config = self.config.update.clone();
        self.tasks.spawn(async move {
            update::run(config, context).await.unwrap();
            drop(door);
        });
    }

    /// Where the nth listener of a source is bound.
    fn address(&self, source: &str, listener: &str) -> std::net::SocketAddr {
        let config = self.config.source.iter().find(|config| config.id().as_str() == source).unwrap();
        let name = config.sockets().into_iter().find(|name| name.to_string().contains(listener)).unwrap();
        self.sockets.bound(&name).unwrap()
    }

    /// Time passes, by the machine's clock and by the one on the wall, which a time server nudges now and then.
    async fn pass(&mut self, time: Duration) {
        let elapsed = self.begin.elapsed() + time;
        let nudge = if (elapsed.as_secs() / 3_600).is_multiple_of(2) { 0 } else { 300_000 };
        self.micros.store(self.start + u64::try_from(elapsed.as_micros()).unwrap() - nudge, Ordering::Relaxed);
        tokio::time::advance(time).await;
        rest().await;
        self.look();
    }

    /// Notes everything that is not well.
    fn look(&mut self) {
        for line in self.board.snapshot().components {
            if line.health != Health::Healthy {
                let what = line.health.fault().map_or("", |fault| fault.what.as_str());
                let at = self.begin.elapsed().as_secs();
                let (kind, id) = (line.component.as_str(), &line.id);
                self.alarms.insert(format!("{kind} {id} is {} after {at} s: {what}", line.health.word()));
            }
        }
    }

    fn has_begun(&self) -> bool {
        self.board.snapshot().components.iter().all(|line| line.health != Health::Starting)
    }

    /// Waits until the box has taken what was sent, and the gateway has acknowledged all that the box has. Little time passes by
    /// that, and only where something waits for it.
    async fn settle(&mut self) {
        let begin = monotonic();
        for look in 1.. {
            let ledger = self.queue.ledger();
            let of =
                |source: &str| ledger.iter().find(|(id, _)| id.as_str() == source).map_or(0, |(_, all)| all.received);
            let waits: u64 = ledger.values().map(Totals::queued).sum();
            if of("firewalls") + of("beats") >= self.sent && waits == 0 {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "{} were sent, and {ledger:#?}", self.sent);
            if look % 20 == 1 {
                self.pass(Duration::from_millis(100)).await;
            } else {
                rest().await;
            }
        }
    }

    /// Waits until the box has noticed that the gateway cut it off, and is there again.
    async fn reconnected(&mut self, before: usize) {
        let begin = monotonic();
        while self.gateway.connections() == before {
            assert!(begin.elapsed() < PATIENCE, "the box did not come back");
            self.pass(Duration::from_millis(10)).await;
        }
    }

    async fn end(self, awake: std::sync::mpsc::SyncSender<()>) -> (BTreeSet<String>, Vec<String>) {
        let notices = self.gateway.notices().into_values().map(|notice| notice.to_string()).collect();
        drop(self.tasks);
        drop(awake);
        self.queue.close(PATIENCE).await;
        (self.alarms, notices)
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// What is under way goes on in real time.
async fn rest() {
    tokio::task::spawn_blocking(|| std::thread::park_timeout(LOOK)).await.unwrap();
}

/// A device with an address of its own, which connects, says what it has to say, and leaves.
struct Device(u8);

impl Device {
    async fn send(&self, site: &mut Site, count: u64) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, self.0], 0).into()).unwrap();
        let mut stream = socket.connect(site.address("firewalls", "tcp://")).await.unwrap();
        for number in 0..count {
            let line = format!("<13>Mar  5 10:15:30 fw app: message {number}\n");
            stream.write_all(line.as_bytes()).await.unwrap();
        }
        site.sent += count;
    }
}

/// An agent that sends a window and waits until it is acknowledged.
struct Agent(TcpStream);

impl Agent {
    async fn connect(site: &Site) -> Self {
        Self(TcpStream::connect(site.address("beats", "tcp://")).await.unwrap())
    }

    async fn send(&mut self, site: &mut Site) {
        let (mut encoder, mut bytes) = (Encoder::new(1), Vec::new());
        encoder.event(|to| to.extend_from_slice(b"{\"message\":\"a line of a file\"}"));
        encoder.finish(&mut bytes);
        self.0.write_all(&bytes).await.unwrap();
        site.sent += 1;
        site.settle().await;
        let (mut acks, mut buffer) = (AckDecoder::default(), [0; 64]);
        loop {
            let count = self.0.read(&mut buffer).await.unwrap();
            assert!(count > 0, "the box closed the connection of an agent");
            let mut bytes = &buffer[..count];
            while let Some(ack) = acks.next_ack(&mut bytes).unwrap() {
                if ack == 1 {
                    return;
                }
            }
        }
    }
}

/// A day; what was said that is no "healthy", and how many notices were made. Ends with the first alarm where that is enough.
async fn day(people: &Path, silent_after: &str, is_first_enough: bool) -> (BTreeSet<String>, Vec<String>) {
    // While something blocks, time does not run by itself.
    let (awake, sleeper) = std::sync::mpsc::sync_channel::<()>(1);
    let sleeping = tokio::task::spawn_blocking(move || sleeper.recv());
    let mut site = Site::start(people, silent_after);
    let begin = monotonic();
    while !site.has_begun() {
        assert!(begin.elapsed() < PATIENCE, "{:#?}", site.board.snapshot());
        site.pass(Duration::from_millis(100)).await;
    }
    site.alarms.clear();
    let firewalls = [Device(2), Device(3)];
    let heartbeat = Device(4);
    let mut switch = TcpStream::connect(site.address("firewalls", "tcp://")).await.unwrap();
    for minute in 0..MINUTES {
        let (hour, of_hour) = (minute / 60, minute % 60);
        let is_day = (7..19).contains(&hour);
        for device in &firewalls {
            let count = if is_day { 5 } else { u64::from(minute % 25 == 0) };
            if count > 0 {
                device.send(&mut site, count).await;
            }
        }
        if of_hour == 30 {
            // It cuts what is idle.
            site.settle().await;
            let before = site.gateway.connections();
            site.gateway.change(Manner::Serve);
            site.reconnected(before).await;
        }
        if minute % 45 == 0 {
            heartbeat.send(&mut site, 1).await;
        }
        if of_hour % 10 == 5 {
            switch.write_all(b"<13>Mar  5 10:15:30 sw1 link: up\n").await.unwrap();
            site.sent += 1;
        }
        if of_hour % 15 == 0 {
            // The box closes what is idle for five minutes, and an agent that has something to send connects anew.
            Agent::connect(&site).await.send(&mut site).await;
        }
        if minute == 2 * 60 + 7 {
            switch = TcpStream::connect(site.address("firewalls", "tcp://")).await.unwrap();
        }
        site.settle().await;
        if minute == 3 * 60 {
            site.kernel.link(false);
            site.pass(Duration::from_secs(1)).await;
            site.pass(Duration::from_secs(1)).await;
        }
        if minute == 1 {
            site.kernel.clock_is_set();
        }
        // A lease that is renewed leaves the link as it is.
        site.kernel.link(true);
        site.pass(MINUTE).await;
        if is_first_enough && !site.alarms.is_empty() {
            break;
        }
    }
    let found = site.end(awake).await;
    let _ = sleeping.await;
    found
}

#[tokio::test(start_paused = true)]
async fn a_day_on_which_nothing_is_wrong_raises_no_alarm() {
    let Some((edge, _)) = page::claimed(page::SETTINGS) else { return };
    let people = edge.folder().join("page");
    let (alarms, notices) = day(&people, "1h", false).await;
    assert!(alarms.is_empty() && notices.is_empty(), "{notices:#?}, {alarms:#?}");
    // The same day with a threshold that is too short for a device whose heart beats every three quarters of an hour.
    let (alarms, _) = day(&people, "40m", true).await;
    assert!(alarms.iter().any(|alarm| alarm.contains("127.0.0.4 sends nothing any more")), "{alarms:#?}");
    edge.stop();
}
