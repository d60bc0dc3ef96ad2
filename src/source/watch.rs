//! What the source shows of itself: one health out of its listeners, its losses, its limits and its certificate.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::SourceError;
use super::silence::Silence;
use crate::clock::{Clock, Timestamp};
use crate::net::SocketName;
use crate::net::tls::{Acceptor, ServerConfig, TlsError};
use crate::status::{Handle, Health};

/// How often the picture is drawn again.
const TICK: Duration = Duration::from_secs(1);
/// How long a loss is shown after the last one: long enough for a person to see it, and for a scraper to come by.
const SHOWN: Duration = Duration::from_secs(60);
/// How often the certificate files are looked at.
const LOOK_AT_FILES: Duration = Duration::from_secs(30);
/// How long before its end a certificate is a matter for a person.
const EXPIRES_SOON: Duration = Duration::from_secs(14 * 24 * 3_600);

#[derive(Debug)]
pub(super) struct Watch {
    status: Handle,
    clock: Clock,
    tls: Option<ServerConfig>,
    permits: Arc<Semaphore>,
    kernel_dropped: AtomicBool,
    queue_was_full: AtomicBool,
    /// What a source has to say of its own, beside its listeners.
    trouble: Mutex<Option<Words>>,
    silence: Silence,
    picture: Mutex<Picture>,
}

#[derive(Debug, Default)]
struct Picture {
    listeners: BTreeMap<SocketName, Listener>,
    kernel_dropped: Option<Instant>,
    queue_was_full: Option<Instant>,
    acceptor: Option<Acceptor>,
    looked_at_files: Option<Instant>,
    certificate: Option<Words>,
}

#[derive(Debug)]
enum Listener {
    Starting,
    Serving,
    Failed(Words),
}

/// What is wrong, and what to do.
type Words = (String, String);

impl Watch {
    pub(super) fn new(
        status: Handle,
        clock: Clock,
        tls: Option<ServerConfig>,
        permits: Arc<Semaphore>,
        listeners: impl Iterator<Item = SocketName>,
        silence: Silence,
    ) -> Self {
        let listeners = listeners.map(|name| (name, Listener::Starting)).collect();
        Self {
            status,
            clock,
            tls,
            permits,
            kernel_dropped: AtomicBool::new(false),
            queue_was_full: AtomicBool::new(false),
            trouble: Mutex::default(),
            silence,
            picture: Mutex::new(Picture { listeners, ..Picture::default() }),
        }
    }

    fn picture(&self) -> MutexGuard<'_, Picture> {
        self.picture.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A listener took up its work.
    pub(super) fn serving(&self, name: &SocketName, at: Option<SocketAddr>) {
        tracing::info!(listener = %name, at = at.map(tracing::field::display), "listening");
        self.picture().listeners.insert(name.clone(), Listener::Serving);
        self.show();
    }

    /// A listener does not work, and will be tried again.
    pub(super) fn failed(&self, name: &SocketName, error: &SourceError) {
        self.picture().listeners.insert(name.clone(), Listener::Failed((error.to_string(), error.todo())));
        self.show();
    }

    /// Events were dropped because the queue had no room.
    pub(super) fn queue_was_full(&self) {
        self.queue_was_full.store(true, Ordering::Relaxed);
    }

    /// What is wrong besides, and what to do; `None` once it is well again.
    pub(super) fn trouble(&self, words: Option<(String, String)>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = words;
    }

    /// The kernel dropped datagrams on a socket.
    pub(super) fn kernel_dropped(&self) {
        self.kernel_dropped.store(true, Ordering::Relaxed);
    }

    /// The TLS side of the listeners: made once, the same for all of them.
    pub(super) fn acceptor(&self) -> Result<Acceptor, TlsError> {
        let mut picture = self.picture();
        if let Some(acceptor) = &picture.acceptor {
            return Ok(acceptor.clone());
        }
        let missing = || TlsError::Settings("a tls:// address needs the table [source.tls] with cert and key".into());
        let acceptor = self.tls.as_ref().ok_or_else(missing)?.build()?;
        picture.acceptor = Some(acceptor.clone());
        Ok(acceptor)
    }

    /// Draws the picture again and again until `done`.
    pub(super) async fn run(&self, done: &CancellationToken) {
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                () = done.cancelled() => return,
                _ = tick.tick() => self.show(),
            }
        }
    }

    fn show(&self) {
        let now = Instant::now();
        let mut picture = self.picture();
        if self.kernel_dropped.swap(false, Ordering::Relaxed) {
            picture.kernel_dropped = Some(now);
        }
        if self.queue_was_full.swap(false, Ordering::Relaxed) {
            picture.queue_was_full = Some(now);
        }
        if picture.looked_at_files.is_none_or(|at| now.duration_since(at) >= LOOK_AT_FILES) {
            picture.looked_at_files = Some(now);
            picture.certificate = picture.acceptor.as_ref().and_then(|acceptor| look_at(acceptor, self.clock.now()));
        }
        let can_hear = picture.listeners.values().all(|listener| matches!(listener, Listener::Serving));
        let silence = self.silence.look(can_hear);
        if let Some(health) = picture.health(now, self.permits.available_permits() == 0) {
            let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let own = || trouble.or(silence).map(|(what, todo)| Health::degraded(what, todo));
            let own = if health == Health::Healthy { own() } else { None };
            self.status.set(own.unwrap_or(health));
        }
    }
}

impl Picture {
    /// The worst of it; `None` while the source is still starting.
    fn health(&self, now: Instant, is_full: bool) -> Option<Health> {
        let failed =
            || self.listeners.values().filter_map(|l| if let Listener::Failed(words) = l { Some(words) } else { None });
        if self.listeners.values().any(|listener| matches!(listener, Listener::Starting)) {
            return None;
        }
        if let Some((what, todo)) = failed().next() {
            let all = failed().count() == self.listeners.len();
            return Some(if all { Health::failed(what, todo) } else { Health::degraded(what, todo) });
        }
        let is_shown = |at: Option<Instant>| at.is_some_and(|at| now.duration_since(at) < SHOWN);
        if is_shown(self.kernel_dropped) {
            return Some(Health::degraded(
                "datagrams come faster than they are read, and the kernel drops some",
                "raise receive_buffer (and net.core.rmem_max) or udp_sockets, or let the senders use TCP",
            ));
        }
        if is_shown(self.queue_was_full) {
            return Some(Health::degraded(
                "the queue has no room, and datagrams are dropped",
                "see why the outputs do not deliver, or raise queue.max_size; TCP senders are held back instead",
            ));
        }
        if is_full {
            return Some(Health::degraded(
                "all connections are in use, and new ones wait",
                "raise max_connections, or lower idle_timeout if senders leave connections open",
            ));
        }
        Some(self.certificate.as_ref().map_or(Health::Healthy, |(what, todo)| Health::degraded(what, todo)))
    }
}

/// Takes changed certificate files into use; what a person should know of them.
fn look_at(acceptor: &Acceptor, now: Timestamp) -> Option<Words> {
    match acceptor.reload() {
        Ok(true) => tracing::info!("changed certificate files are in use"),
        Ok(false) => {}
        Err(error) => {
            let what = format!("the changed certificate files cannot be used: {error}");
            return Some((what, "mend the files; the earlier certificate stays in use until then".to_owned()));
        }
    }
    let until = acceptor.valid_until();
    let todo = "put a new certificate in place of the file; it is taken into use by itself".to_owned();
    if until < now {
        return Some((format!("the listener's certificate expired on {until}"), todo));
    }
    (until.since(now) < EXPIRES_SOON).then(|| (format!("the listener's certificate expires on {until}"), todo))
}
