//! The feed that has no records: finds the streams, sends for their partitions, keeps them, and begins anew when they end.
//!
//! Facts: while an app id is connected, discovery lists nothing, so all streams end before it is asked again; then all addresses and
//! tokens are taken fresh (CrowdStrike/ansible_collection_falcon, pull request 693). A stream is kept by a refresh at 90 % of its interval
//! (CrowdStrike/falcon-integration-gateway; elastic/beats), on a timer of its own, because a quiet stream gives no occasion (Ansible
//! collection, pull request 692).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::falcon::{Falcon, Stream};
use super::format::Mapper;
use super::partition::Partition;
use super::words;
use crate::net::Backoff;
use crate::source::pull::{Feed, Page, Position, Trouble};
use crate::status::Handle;

/// The name of this feed.
pub(super) const NAME: &str = "discovery";
/// How often it says that all is well.
const TICK: Duration = Duration::from_secs(5);
/// How long an app id is held by a connection that nobody closed, at most.
const HELD: Duration = Duration::from_secs(600);
/// A session that lasts this long is no short one.
const STEADY: Duration = Duration::from_secs(30);
/// How long after a refresh that failed it is tried once more.
const RETRY: Duration = Duration::from_secs(5);

/// What the feeds of one session share.
#[derive(Debug, Default)]
pub(super) struct Session {
    over: CancellationToken,
    /// A stream is connected.
    connected: Notify,
    why: Mutex<Option<Trouble>>,
}

impl Session {
    /// It is over for all of its streams.
    pub(super) fn end(&self, why: Trouble) {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        self.over.cancel();
    }

    /// Waits until it is over.
    pub(super) async fn over(&self) {
        self.over.cancelled().await;
    }

    /// Whether it is over.
    pub(super) fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// One of its streams is connected.
    pub(super) fn connected(&self) {
        self.connected.notify_one();
    }
}

/// A session with all that belongs to it.
struct Open {
    session: Arc<Session>,
    since: Instant,
    /// A stream of it has been connected.
    has_worked: bool,
    keepers: JoinSet<()>,
    /// Each partition holds a token of it.
    partitions: TaskTracker,
}

/// The feed.
pub(super) struct Discovery {
    falcon: Arc<Falcon>,
    mapper: Arc<Mapper>,
    status: Handle,
    partitions: mpsc::Sender<Partition>,
    open: Option<Open>,
    /// Since when nothing is listed.
    waiting: Option<Instant>,
    patience: Backoff,
}

impl Discovery {
    pub(super) fn new(
        falcon: Arc<Falcon>,
        mapper: Arc<Mapper>,
        status: Handle,
        partitions: mpsc::Sender<Partition>,
    ) -> Self {
        let (min, max) = falcon.config.pace().backoff;
        let patience = Backoff::new(min, max);
        Self { falcon, mapper, status, partitions, open: None, waiting: None, patience }
    }

    async fn find(&mut self) -> Result<Vec<Stream>, Trouble> {
        let streams = self.falcon.discover().await?;
        if streams.is_empty() {
            let since = *self.waiting.get_or_insert_with(Instant::now);
            let config = &self.falcon.config;
            return Err(words::in_use(&config.app_id, since.elapsed() >= HELD, config.poll_interval.0));
        }
        self.waiting = None;
        Ok(streams)
    }

    /// Sends for a partition of each stream.
    async fn open(&mut self, streams: Vec<Stream>) -> Result<(), Trouble> {
        let (session, partitions) = (Arc::new(Session::default()), TaskTracker::new());
        let mut keepers = JoinSet::new();
        for stream in streams {
            let stream = Arc::new(stream);
            keepers.spawn(keep(Arc::clone(&self.falcon), Arc::clone(&stream), Arc::clone(&session)));
            let (falcon, mapper) = (Arc::clone(&self.falcon), Arc::clone(&self.mapper));
            let partition = Partition::new(falcon, mapper, stream, Arc::clone(&session), self.status.clone());
            let sent = self.partitions.send(partition.held_by(partitions.token())).await;
            sent.map_err(|_| Trouble::passing("the source is being stopped", None))?;
        }
        self.open = Some(Open { session, since: Instant::now(), has_worked: false, keepers, partitions });
        Ok(())
    }

    /// Waits until all streams have ended; why they did.
    async fn close(&mut self) -> Option<Trouble> {
        let open = self.open.take()?;
        drop(open.keepers);
        open.partitions.close();
        open.partitions.wait().await;
        let why = open.session.why.lock().unwrap_or_else(PoisonError::into_inner).take();
        if open.since.elapsed() >= STEADY {
            self.patience.reset();
        } else if open.has_worked {
            sleep(self.patience.next_delay()).await;
        }
        why.filter(|_| !open.has_worked)
    }
}

impl Feed for Discovery {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn pull(&mut self, _: &Position) -> Result<Page, Trouble> {
        if self.open.is_none() {
            let streams = self.find().await?;
            self.open(streams).await?;
        }
        let Some(open) = &mut self.open else { return Ok(Page::default()) };
        // What a keeper gives up, ends the session itself.
        tokio::select! {
            biased;
            () = open.session.connected.notified() => {
                open.has_worked = true;
                return Ok(Page::default());
            }
            () = open.session.over() => {}
            () = sleep(TICK) => return Ok(Page::default()),
        }
        match self.close().await {
            Some(why) => Err(why),
            None => Ok(Page::default()),
        }
    }
}

/// Keeps one stream until that fails, which ends the session.
async fn keep(falcon: Arc<Falcon>, stream: Arc<Stream>, session: Arc<Session>) {
    let limit = (stream.interval / 20).clamp(Duration::from_secs(2), Duration::from_secs(30));
    let refresh = async || {
        let late = |_| Trouble::passing("Falcon did not answer a refresh in time", None);
        timeout(limit, falcon.refresh(&stream)).await.map_err(late).flatten()
    };
    loop {
        sleep(stream.interval.mul_f64(0.9)).await;
        let Err(first) = refresh().await else { continue };
        tracing::debug!(partition = stream.partition, error = first.what, "the refresh of a stream failed once");
        sleep(RETRY.min(stream.interval / 20)).await;
        if let Err(trouble) = refresh().await {
            let (partition, error) = (&stream.partition, &trouble.what);
            tracing::warn!(partition, error, "a stream could not be refreshed; all are opened anew");
            session.end(trouble);
            return;
        }
    }
}
