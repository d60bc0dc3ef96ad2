//! Files that devices push over SSH, by the legacy SCP protocol or SFTP: Cisco CES and ESA, and others.
//!
//! In: connections. Out: batches of the files' records ([`Kind::Line`]). Floor 3 with `source/`. Only this room names russh.
//!
//! Invariants: a device is told that we have its file only when the whole file and its name are durable in the staging folder;
//! its events reach the queue at least once, under ids made of device, content and offset; memory does not depend on the size
//! of a file; no path that a device gives names a file of ours; nothing can be read, run or forwarded. What is staged must
//! fit beside the queue within its bound, or the upload is refused before it begins.
//!
//! Facts: RFC 4253 (transport), 4252 (login), 4254 (channels); `session/scp.rs` and `session/sftp.rs` for the rest. AsyncOS
//! pushes a saved file once at each rollover, and those that failed before with it; it forgets a file that was answered.
//!
//! Decisions: one reader makes events of all staged files, so that many small ones share a batch. russh runs each session in
//! a task that it starts itself; it ends with the stream below it, which is ours to cut.
//!
//! [`Kind::Line`]: crate::event::Kind::Line

mod devices;
mod form;
mod keys;
mod session;
mod settings;
mod staged;

pub use devices::Deeds;
pub(super) use form::FORM;
pub use keys::authorized::DeviceKey;
pub use keys::host::HostKey;
pub use settings::Config;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::keys::PrivateKey;
use russh::{MethodKind, MethodSet, SshId};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::listeners::{all_end, keep};
use super::silence::Silence;
use super::watch::Watch;
use super::{Context, SourceError};
use crate::clock::Clock;
use crate::event::{SourceId, Teller};
use crate::net::{self, Doorman, Listen, Seldom, SocketName};
use crate::status::Handle;
use devices::{Devices, asked};
use keys::algorithms::Age;
use keys::host;
use session::Listener;
use staged::{Reader, Staging};

/// How often what the devices did is written down, and their faults are shown.
const LOOK: Duration = Duration::from_secs(2);
/// How long it is shown that a peer speaks nothing that is offered.
const SPEECHLESS: Duration = Duration::from_secs(3_600);
/// Bytes of a channel that may be on their way: 1 MiB fills a line of 100 Mbit/s with a round trip of 80 ms.
const WINDOW: u32 = 1 << 20;

/// What all connections of a source share.
#[derive(Debug)]
struct Shared {
    config: Config,
    status: Handle,
    clock: Clock,
    teller: Teller,
    devices: Arc<Devices>,
    staging: Arc<Staging>,
    doorman: Doorman,
    /// For lines about broken protocol, and for events about keys that are refused.
    complaints: Seldom,
    refusals: Seldom,
    /// What a peer was told last that could not even begin to speak.
    speechless: Mutex<Option<(Instant, String, &'static str)>>,
}

impl Shared {
    fn speechless(&self, words: String, todo: &'static str) {
        *self.speechless.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), words, todo));
    }

    /// What a person should know of the devices.
    fn trouble(&self) -> Option<(String, String)> {
        let todo = "see what the device says and `sapphire-edge ssh`; this goes with its next whole upload";
        let of_device = self.devices.trouble(self.clock.now()).map(|what| (what, todo.to_owned()));
        of_device.or_else(|| {
            let speechless = self.speechless.lock().unwrap_or_else(PoisonError::into_inner);
            let shown = speechless.as_ref().filter(|(at, ..)| at.elapsed() < SPEECHLESS);
            shown.map(|(_, words, todo)| (words.clone(), (*todo).to_owned()))
        })
    }
}

/// The folder of a source's staged files and of what its devices did.
fn folder(state_dir: &Path, id: &SourceId) -> PathBuf {
    state_dir.join("ssh").join(id.as_str())
}

/// The box's public host keys, as far as they were made.
///
/// # Errors
/// When a key cannot be read.
pub fn host_keys(state_dir: &Path) -> io::Result<Vec<HostKey>> {
    host::public(state_dir)
}

/// What the devices of a source did, by their names; nothing before the first did anything.
///
/// # Errors
/// When the file cannot be read or is damaged.
pub fn deeds(state_dir: &Path, id: &SourceId) -> io::Result<BTreeMap<String, Deeds>> {
    match devices::deeds(&folder(state_dir, id).join("devices.json")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        result => result,
    }
}

/// What all listeners of a source share.
struct Listeners {
    context: Context,
    stop: CancellationToken,
    watch: Watch,
    permits: Arc<Semaphore>,
    keys: Vec<PrivateKey>,
    shared: Arc<Shared>,
}

/// See [`super::run`].
pub(super) async fn run(config: Config, context: Context) -> Result<(), SourceError> {
    let (shared, keys) = prepare(config, &context).await?;
    let shared = Arc::new(shared);
    // A task that panics stops the others without stopping what the app runs beside us.
    let stop = context.stop.child_token();
    let permits = Arc::new(Semaphore::new(shared.config.max_connections as usize));
    let names = shared.config.listeners().map(|(_, name)| name);
    let silence = Silence::new(shared.config.id.clone(), shared.config.silent_after, &context);
    let watch = Watch::new(context.status.clone(), context.clock.clone(), None, Arc::clone(&permits), names, silence);
    let reader = Reader {
        id: shared.config.id.clone(),
        staging: Arc::clone(&shared.staging),
        devices: Arc::clone(&shared.devices),
        intake: context.intake.clone(),
        status: context.status.clone(),
        clock: context.clock.clone(),
        teller: context.teller.clone(),
        max_record: shared.config.max_record.len(),
        max_inflated: shared.config.max_inflated.bytes(),
    };
    let listeners = Arc::new(Listeners { context, stop, watch, permits, keys, shared });
    let mut tasks = JoinSet::new();
    for (listen, name) in listeners.shared.config.listeners() {
        tasks.spawn(listener(listen, name, Arc::clone(&listeners)));
    }
    let stop = listeners.stop.clone();
    tasks.spawn(async move { reader.run(&stop).await });
    let done = CancellationToken::new();
    let work = all_end(tasks, &listeners.stop, &done);
    let (result, (), ()) = tokio::join!(work, listeners.watch.run(&done), look_after(&listeners, &done));
    result
}

/// Opens what lies in the state folder.
async fn prepare(config: Config, context: &Context) -> Result<(Shared, Vec<PrivateKey>), SourceError> {
    let (state_dir, intake, dss) = (context.state_dir.clone(), context.intake.clone(), config.ssh_dss);
    let (id, list) = (config.id.clone(), config.device.clone());
    let opened = asked(move || -> io::Result<_> {
        let folder = folder(&state_dir, &id);
        let staging = Staging::open(folder.join("staged"), &id, intake)?;
        Ok((staging, Devices::open(&list, &folder), host::load(&state_dir, dss)?))
    });
    let opened = opened.await.unwrap_or_else(|| Err(io::Error::other("it panicked")));
    let (staging, devices, keys) = opened.map_err(SourceError::StateFolder)?;
    let shared = Shared {
        doorman: Doorman::new(config.ban_after, config.ban_for.0),
        config,
        status: context.status.clone(),
        clock: context.clock.clone(),
        teller: context.teller.clone(),
        devices: Arc::new(devices),
        staging: Arc::new(staging),
        complaints: Seldom::default(),
        refusals: Seldom::default(),
        speechless: Mutex::new(None),
    };
    Ok((shared, keys))
}

/// Writes down what the devices did, and shows what is wrong with them.
async fn look_after(listeners: &Listeners, done: &CancellationToken) {
    let mut tick = interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_done = tokio::select! {
            () = done.cancelled() => true,
            _ = tick.tick() => false,
        };
        listeners.watch.trouble(listeners.shared.trouble());
        let devices = Arc::clone(&listeners.shared.devices);
        if let Some(Err(error)) = asked(move || devices.save()).await {
            tracing::warn!(%error, "what the devices did cannot be written down");
        }
        if is_done {
            return;
        }
    }
}

/// Serves one address, and tries again where that fails.
async fn listener(listen: Listen, name: SocketName, listeners: Arc<Listeners>) {
    keep(&listeners.watch, listen, &name, &listeners.stop, || serve(listen, &name, &listeners)).await;
}

async fn serve(listen: Listen, name: &SocketName, listeners: &Arc<Listeners>) -> Result<(), SourceError> {
    let config = &listeners.shared.config;
    let sockets = &listeners.context.sockets;
    let listener = sockets.tcp(name).map_err(|source| SourceError::Bind { listen, source })?;
    listeners.watch.serving(name, sockets.bound(name));
    let age = if config.legacy.contains(&listen) { Age::Legacy { dss: config.ssh_dss } } else { Age::Modern };
    let limits = net::Limits { permits: Arc::clone(&listeners.permits), allow: config.allow.clone(), tls: None };
    let shared = Arc::clone(&listeners.shared);
    let own = Listener { config: Arc::new(protocol(&shared, &listeners.keys, age)), shared, age };
    let stop = listeners.stop.clone();
    let handler = move |stream| session::serve(stream, own.clone(), stop.clone());
    let served = net::serve(listener, limits, listeners.stop.clone(), listeners.context.status.clone(), handler).await;
    served.map_err(|source| SourceError::Socket { listen, source })
}

/// What russh is told for a listener.
fn protocol(shared: &Shared, keys: &[PrivateKey], age: Age) -> russh::server::Config {
    let mut methods = MethodSet::empty();
    methods.push(MethodKind::PublicKey);
    if shared.devices.takes_passwords() {
        methods.push(MethodKind::Password);
    }
    russh::server::Config {
        // The version tells an attacker more than it helps anyone.
        server_id: SshId::Standard("SSH-2.0-sapphire-edge".into()),
        methods,
        // Also the time that a wrong key costs; the first question, without any key, is free.
        auth_rejection_time: Duration::from_millis(500),
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: keys.to_vec(),
        window_size: WINDOW,
        preferred: age.preferred(),
        max_auth_attempts: shared.config.max_auth_tries as usize,
        inactivity_timeout: Some(shared.config.idle_timeout.0),
        ..russh::server::Config::default()
    }
}
