//! CrowdStrike Falcon as a double: tokens, discovery, event streams and their refresh, strict as its public clients show it, with
//! faults on demand.

mod api;
mod stream;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::BufReader;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::certificates::Authority;
use super::https::{self, Response};

pub const CLIENT: &str = "0123456789abcdef0123456789abcdef";
/// Looks like a secret; a test looks for it where it must not be.
pub const SECRET: &str = "s3cretOfTheApiClient0123456789abcdefghij";
/// The tenant.
pub const CID: &str = "00000000000000000000000000000001";

/// So that a machine under load refreshes in time.
const GRACE: Duration = Duration::from_secs(2);

/// A line of a stream.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its offset, or that of the event before it where it has none.
    pub at: u64,
    pub has_offset: bool,
    pub text: String,
}

/// A session of one partition.
#[derive(Clone, Debug)]
pub struct Session {
    pub partition: String,
    pub app_id: String,
    /// It ends then unless it is refreshed.
    pub until: Instant,
    /// From then on its token connects nobody.
    pub token_until: Instant,
}

/// An answer in place of the right one.
#[derive(Clone, Debug)]
struct Fault {
    path: String,
    response: Response,
    times: usize,
}

/// How streams are sent.
#[derive(Clone, Debug)]
pub struct Manner {
    /// An empty line comes after this long.
    pub blank_every: Duration,
    /// Each line is sent in pieces of at most so many bytes.
    pub pieces: usize,
    /// Each connection ends after so many bytes of its body, without the last chunk.
    pub cut_after: Option<usize>,
    /// The event before the first that was asked for comes once more.
    pub repeats: bool,
    /// Nothing at all is sent.
    pub is_mute: bool,
}

/// What the vendor has.
pub struct State {
    pub root: String,
    /// Where streams are said to be.
    pub streams: String,
    /// The tenant's cloud.
    pub region: String,
    pub has_scope: bool,
    /// Seconds that tokens live.
    pub lifetime: u64,
    pub tokens: BTreeMap<String, Instant>,
    pub partitions: BTreeMap<String, Vec<Entry>>,
    /// Seconds after which a session wants to be refreshed; it lives `GRACE` longer.
    pub interval: u64,
    /// How long a session's token may connect.
    pub token_life: Duration,
    pub sessions: BTreeMap<String, Session>,
    /// Connections by app id and partition: how many are open.
    pub open: BTreeMap<(String, String), usize>,
    /// A connection is held so long after its end...
    pub linger: Duration,
    /// ...until then.
    pub held: BTreeMap<String, Instant>,
    pub manner: Manner,
    faults: VecDeque<Fault>,
    /// What was asked: method, path and offset.
    pub asked: Vec<String>,
    pub refreshes: usize,
    /// What a strict vendor would not have allowed.
    pub sins: Vec<String>,
}

/// The running double.
pub struct Falcon {
    address: SocketAddr,
    pub authority: Authority,
    state: Arc<Mutex<State>>,
    changed: watch::Sender<()>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

pub fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap()
}

/// An event as the vendor writes it, with numbers that a parser would round and a space that it would drop.
pub fn event(offset: u64, event_type: &str, created: u64, more: &str) -> String {
    format!(
        "{{\"metadata\":{{\"customerIDString\":\"{CID}\",\"offset\":{offset},\"eventType\":\"{event_type}\",\"eventCreationTime\":{created},\
         \"version\":\"1.0\"}}, \"event\":{{\"UserId\":\"jané@example.com\",\"ProcessId\":18446744073709551615,\"UTCTimestamp\":{},\
         \"Success\":true{more}}}}}",
        created / 1_000
    )
}

impl Falcon {
    /// Starts it, with these partitions.
    pub fn start(partitions: &[&str]) -> Self {
        let authority = Authority::new();
        let state = State {
            root: String::new(),
            streams: String::new(),
            region: "us-1".to_owned(),
            has_scope: true,
            lifetime: 1_799,
            tokens: BTreeMap::new(),
            partitions: partitions.iter().map(|name| ((*name).to_owned(), Vec::new())).collect(),
            interval: 1_800,
            token_life: Duration::from_secs(4 * 3_600),
            sessions: BTreeMap::new(),
            open: BTreeMap::new(),
            linger: Duration::ZERO,
            held: BTreeMap::new(),
            manner: Manner {
                blank_every: Duration::from_millis(200),
                pieces: usize::MAX,
                cut_after: None,
                repeats: false,
                is_mute: false,
            },
            faults: VecDeque::new(),
            asked: Vec::new(),
            refreshes: 0,
            sins: Vec::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let (changed, stop) = (watch::Sender::new(()), CancellationToken::new());
        let shared = Shared { state: Arc::clone(&state), changed: changed.clone() };
        let (address, thread) = serve(&authority, shared, stop.clone());
        std::fs::write(authority.folder().join("secret"), format!("{SECRET}\n")).unwrap();
        let url = format!("https://{address}");
        state.lock().unwrap().root = url.clone();
        state.lock().unwrap().streams = url;
        Self { address, authority, state, changed, stop, thread: Some(thread) }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Answers so many requests whose path holds this with another answer.
    pub fn fault(&self, path: &str, times: usize, response: Response) {
        self.state().faults.push_back(Fault { path: path.to_owned(), response, times });
    }

    pub fn no_faults(&self) {
        self.state().faults.clear();
    }

    /// The keys of a source that this double serves, besides id and type.
    pub fn settings(&self, more: &str) -> String {
        let (url, ca, secret) = (self.url(), self.authority.ca(), self.authority.folder().join("secret"));
        let (poll, pace) = ("poll_interval = \"1s\"", "backoff_min = \"20ms\"\nbackoff_max = \"200ms\"");
        let keys: Vec<&str> = [poll].into_iter().filter(|key| !more.contains(key.split(' ').next().unwrap())).collect();
        format!(
            "client_id = \"{CLIENT}\"\nclient_secret_file = {secret:?}\napi = \"{url}\"\n{}\n{pace}\n{more}\n\
             [source.tls]\nca = {ca:?}\n",
            keys.join("\n")
        )
    }

    /// Adds a line; its offset is that of the event before where it has none.
    pub fn line(&self, partition: &str, offset: Option<u64>, text: &str) -> String {
        let mut state = self.state();
        let entries = state.partitions.get_mut(partition).unwrap();
        let at = offset.unwrap_or_else(|| entries.last().map_or(0, |entry| entry.at));
        entries.push(Entry { at, has_offset: offset.is_some(), text: text.to_owned() });
        drop(state);
        self.changed.send_replace(());
        text.to_owned()
    }

    /// Adds an event of now behind the last one.
    pub fn event(&self, partition: &str, event_type: &str) -> String {
        let next = self.state().partitions[partition].last().map_or(0, |entry| entry.at + 1);
        self.line(partition, Some(next), &event(next, event_type, now_ms(), ""))
    }

    /// How many streams are connected.
    pub fn connected(&self) -> usize {
        self.state().open.values().sum()
    }
}

impl Drop for Falcon {
    fn drop(&mut self) {
        self.stop.cancel();
        self.thread.take().map(JoinHandle::join);
    }
}

#[derive(Clone)]
struct Shared {
    state: Arc<Mutex<State>>,
    changed: watch::Sender<()>,
}

fn serve(authority: &Authority, shared: Shared, stop: CancellationToken) -> (SocketAddr, JoinHandle<()>) {
    let identity = authority.identity("127.0.0.1");
    let certs = CertificateDer::pem_file_iter(&identity.cert).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(&identity.key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(certs, key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            let mut tasks = JoinSet::new();
            loop {
                tokio::select! {
                    () = stop.cancelled() => break,
                    accepted = listener.accept() => {
                        tasks.spawn(connection(acceptor.clone(), accepted.unwrap().0, shared.clone()));
                    }
                    Some(_) = tasks.join_next() => {}
                }
            }
        });
    });
    (told.recv().unwrap(), thread)
}

async fn connection(acceptor: TlsAcceptor, tcp: TcpStream, shared: Shared) {
    let Ok(tls) = acceptor.accept(tcp).await else { return };
    let mut tls = BufReader::new(tls);
    while let Some(request) = https::read(&mut tls).await {
        let answer = api::answer(&mut shared.state.lock().unwrap(), &request);
        match answer {
            api::Answer::Whole(response) => {
                if !https::write(&mut tls, &response).await {
                    return;
                }
            }
            api::Answer::Stream(wanted) => return stream::send(tls, wanted, &shared).await,
        }
    }
}
