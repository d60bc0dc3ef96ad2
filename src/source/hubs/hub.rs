//! One event hub: a connection, and on it a reader for every partition and consumer group.
//!
//! A hub connects, logs in, asks for its partitions, and attaches one feed after the other; then it watches: feeds that end
//! are attached again as their fault asks for, tokens are renewed before their end, and now and then the partitions are
//! counted and compared with what was read. A feed that stands still while its partition grows is attached anew. Whatever
//! breaks the connection ends all feeds; they come back with their position.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::amqp::{Attach, HubFacts, Wire};
use super::face::Face;
use super::fault::{Cure, Fault, Where};
use super::feed::{Account, Ended, Feed, Progress};
use super::login::{Login, Token};
use super::{DRAIN, socket};
use crate::event::Origin;
use crate::net::tls::Connector;
use crate::net::{Backoff, Seldom};
use crate::status::{Count, Gauge};

/// A source's partitions and groups together; beyond this another box should share the work.
const MOST_FEEDS: usize = 1_024;

/// What held for this long failed for another reason than the one before.
const LONG: Duration = Duration::from_secs(60);

/// One event hub of a source.
pub(super) struct Hub {
    account: Arc<Account>,
    tls: Connector,
    face: Arc<Face>,
    /// Bytes that may be on their way for this hub.
    share: usize,
    /// Feeds that are not attached, and when they are due.
    waiting: VecDeque<(Instant, Feed)>,
    /// How each feed waits between tries.
    backoffs: BTreeMap<String, Backoff>,
    /// For lines of the log: with many partitions one fault comes many times.
    complaints: Seldom,
}

/// A connection that is logged in, and what runs on it.
struct Link {
    wire: Wire,
    login: Login,
    token: Token,
    origin: Origin,
    facts: HubFacts,
    running: JoinSet<Ended>,
    watched: BTreeMap<String, Watched>,
}

/// A feed that runs, as its hub sees it.
struct Watched {
    partition: String,
    progress: Arc<Progress>,
    stop: CancellationToken,
    /// Events that it had read when it was last looked at.
    seen: u64,
    begun: Instant,
}

impl Hub {
    pub(super) fn new(account: Arc<Account>, tls: Connector, face: Arc<Face>, share: usize) -> Self {
        face.starting(&name_of(&account));
        Self {
            account,
            tls,
            face,
            share,
            waiting: VecDeque::new(),
            backoffs: BTreeMap::new(),
            complaints: Seldom::default(),
        }
    }

    /// Reads until it is told to stop.
    ///
    /// # Errors
    /// When the queue is closed, or a part panicked.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<(), Broken> {
        let mut backoff = self.account.config.backoff();
        let name = name_of(&self.account);
        loop {
            let begun = Instant::now();
            let fault = match self.serve(&stop).await {
                Ok(()) => return Ok(()),
                Err(Fault::Closed) => return Err(Broken),
                Err(fault) => fault,
            };
            // What held for a while is no reason to wait long.
            if begun.elapsed() > LONG {
                backoff.reset();
            }
            let delay = match fault.cure() {
                Cure::AttachAfter(least) | Cure::Yield(least) => least.max(backoff.next_delay()),
                _ => backoff.next_delay(),
            };
            let words = fault.words(&self.at("", ""));
            if let Some(left_out) = self.complaints.due() {
                tracing::warn!(hub = name, what = words.0, todo = words.1, left_out, "event hub is not read");
            }
            self.account.status.counters().add(Count::BrokenConnections, 1);
            self.face.trouble(&name, words, fault.cause());
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = sleep_until(Instant::now() + delay) => {}
            }
        }
    }

    /// One connection, from its dial to its end.
    async fn serve(&mut self, stop: &CancellationToken) -> Result<(), Fault> {
        let connected = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            connected = self.connect() => connected?,
        };
        let mut link = connected;
        let counters = self.account.status.counters();
        counters.add(Count::Connections, 1);
        counters.raise(Gauge::OpenConnections, 1);
        let end = match self.gather(&link.facts) {
            Ok(()) => self.watch(&mut link, stop).await,
            Err(fault) => Err(fault),
        };
        link.watched.values().for_each(|watched| watched.stop.cancel());
        let mut broken = false;
        while let Some(ended) = link.running.join_next().await {
            match ended {
                Ok(Ended { feed, .. }) => {
                    self.face.gone(&feed.name);
                    self.waiting.push_back((Instant::now(), feed));
                }
                Err(_) => broken = true,
            }
        }
        self.account.status.counters().lower(Gauge::OpenConnections, 1);
        if stop.is_cancelled() {
            link.wire.close().await;
            let drained = async {
                for (_, feed) in &mut self.waiting {
                    feed.drain().await;
                }
            };
            let _ = timeout(DRAIN, drained).await;
        }
        if broken { Err(Fault::Closed) } else { end }
    }

    async fn connect(&mut self) -> Result<Link, Fault> {
        let Account { config, clock, .. } = &*self.account;
        let (login, ..) = Login::read(config, clock).await?;
        // Before the dial: the service waits 20 s for a token.
        let token = login.token(&self.resource()).await?;
        let (stream, origin) = socket::dial(config, &self.account.namespace, &self.tls).await?;
        let mut wire = Wire::open(stream, &self.account.namespace).await?;
        self.show(&token, &mut wire).await?;
        let facts = wire.hub(&self.account.hub, &token).await?;
        tracing::info!(hub = name_of(&self.account), partitions = facts.partitions.len(), "event hub is connected");
        Ok(Link { wire, login, token, origin, facts, running: JoinSet::new(), watched: BTreeMap::new() })
    }

    /// Shows a token for every consumer group; it is good for the whole hub, so that questions are answered too.
    async fn show(&self, token: &Token, wire: &mut Wire) -> Result<(), Fault> {
        for group in &self.account.config.consumer_group {
            wire.login(&audience(&self.resource(), group), token).await?;
        }
        Ok(())
    }

    fn resource(&self) -> String {
        resource(&self.account.namespace, &self.account.hub)
    }

    /// Makes feeds for partitions that have none yet.
    fn gather(&mut self, facts: &HubFacts) -> Result<(), Fault> {
        let groups = &self.account.config.consumer_group;
        let count = facts.partitions.len() * groups.len();
        if count > MOST_FEEDS {
            let what = format!("event hub {} has {count} partitions and groups together", self.account.hub);
            return Err(Fault::Secret(what, format!("name fewer consumer groups; a box reads {MOST_FEEDS} at most")));
        }
        for group in groups {
            for partition in &facts.partitions {
                let feed = Feed::new(Arc::clone(&self.account), group, partition, self.share / count.max(1));
                if !self.backoffs.contains_key(&feed.name) {
                    self.backoffs.insert(feed.name.clone(), self.account.config.backoff());
                    self.face.starting(&feed.name);
                    self.waiting.push_back((Instant::now(), feed));
                }
            }
        }
        Ok(())
    }

    /// Attaches what is due and sees to what runs, until the connection breaks or it is told to stop.
    async fn watch(&mut self, link: &mut Link, stop: &CancellationToken) -> Result<(), Fault> {
        self.face.gone(&name_of(&self.account));
        let now = Instant::now();
        let (mut renew, mut probe) = (now + link.token.renew_after, now + self.account.config.probe_every.0);
        loop {
            let due = self.waiting.iter().map(|(due, _)| *due).min();
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                Some(ended) = link.running.join_next() => self.ended(ended.map_err(|_| Fault::Closed)?, link)?,
                fault = link.wire.ended() => return Err(fault),
                () = sleep_until(renew) => {
                    link.token = link.login.token(&self.resource()).await?;
                    self.show(&link.token, &mut link.wire).await?;
                    renew = Instant::now() + link.token.renew_after;
                }
                () = sleep_until(due.unwrap_or(now)), if due.is_some() => {
                    if let Some(feed) = self.take_due() {
                        self.attach(feed, link, stop).await?;
                    }
                }
                () = sleep_until(probe) => {
                    self.probe(link).await?;
                    probe = Instant::now() + self.account.config.probe_every.0;
                }
            }
        }
    }

    fn take_due(&mut self) -> Option<Feed> {
        let now = Instant::now();
        let place = self.waiting.iter().position(|(due, _)| *due <= now)?;
        self.waiting.remove(place).map(|(_, feed)| feed)
    }

    /// Attaches a feed and lets it run. What is wrong with the feed alone makes it wait.
    async fn attach(&mut self, mut feed: Feed, link: &mut Link, stop: &CancellationToken) -> Result<(), Fault> {
        match self.open(&mut feed, link).await {
            Ok(reader) => {
                let stop = stop.child_token();
                let watched = Watched {
                    partition: feed.partition.clone(),
                    progress: Arc::clone(&feed.progress),
                    stop: stop.clone(),
                    seen: feed.progress.events.load(Ordering::Relaxed),
                    begun: Instant::now(),
                };
                self.face.reading(&feed.name);
                link.watched.insert(feed.name.clone(), watched);
                link.running.spawn(feed.run(reader, link.origin.clone(), link.facts.created, stop));
                Ok(())
            }
            Err(fault) => {
                if fault.cure() == Cure::StartOver {
                    feed.start_over("the event hub does not know the position any more").await?;
                }
                self.put_back(feed, &fault);
                if fault.cure() == Cure::Connect { Err(fault) } else { Ok(()) }
            }
        }
    }

    async fn open(&self, feed: &mut Feed, link: &mut Link) -> Result<super::amqp::Reader, Fault> {
        let Account { config, hub, .. } = &*self.account;
        let facts = link.wire.partition(hub, &feed.partition, &link.token).await?;
        feed.prepare(&facts, link.facts.created).await?;
        let owner_level = config.exclusive.then_some(config.owner_level);
        let mut attach = Attach { hub, group: &feed.group, partition: &feed.partition, from: feed.from(), owner_level };
        if feed.yields && owner_level.is_some() {
            // Without an owner level nobody is pushed out; it is refused while the other reader is there.
            attach.owner_level = None;
            drop(link.wire.attach(&attach).await?);
            attach.owner_level = owner_level;
        }
        let reader = link.wire.attach(&attach).await?;
        feed.yields = false;
        Ok(reader)
    }

    /// A feed has ended: by its fault it waits, or the connection goes down with it.
    fn ended(&mut self, ended: Ended, link: &mut Link) -> Result<(), Fault> {
        let Ended { feed, fault } = ended;
        let ran = link.watched.remove(&feed.name);
        let has_read = |ran: Watched| ran.progress.events.load(Ordering::Relaxed) > ran.seen;
        if ran.is_some_and(|ran| ran.begun.elapsed() > LONG || has_read(ran))
            && let Some(backoff) = self.backoffs.get_mut(&feed.name)
        {
            backoff.reset();
        }
        let Some(fault) = fault else {
            self.waiting.push_back((Instant::now(), feed));
            return Ok(());
        };
        self.put_back(feed, &fault);
        if fault.cure() == Cure::Connect { Err(fault) } else { Ok(()) }
    }

    /// Lets a feed wait as its fault asks for, and says so.
    fn put_back(&mut self, mut feed: Feed, fault: &Fault) {
        let least = match fault.cure() {
            Cure::Yield(least) => {
                feed.yields = true;
                least
            }
            Cure::AttachAfter(least) => least,
            Cure::Attach | Cure::StartOver | Cure::Connect => Duration::ZERO,
        };
        let next = self.backoffs.get_mut(&feed.name).map(Backoff::next_delay).unwrap_or_default();
        let delay = if least.is_zero() { next } else { least + next };
        let words = fault.words(&self.at(&feed.group, &feed.partition));
        if fault.is_routine() {
            tracing::debug!(feed = feed.name, what = words.0, wait = ?delay, "partition is attached again");
            self.face.starting(&feed.name);
        } else {
            if let Some(left_out) = self.complaints.due() {
                tracing::warn!(feed = feed.name, what = words.0, todo = words.1, left_out, "partition is not read");
            }
            self.face.trouble(&feed.name, words, fault.cause());
        }
        self.waiting.push_back((Instant::now() + delay, feed));
    }

    /// Counts partitions, compares what they hold with what was read, and wakes feeds that stand still.
    async fn probe(&mut self, link: &mut Link) -> Result<(), Fault> {
        let hub = self.account.hub.clone();
        let facts = link.wire.hub(&hub, &link.token).await?;
        if facts.created != link.facts.created {
            return Err(Fault::Broken("the event hub was made anew".into()));
        }
        self.gather(&facts)?;
        link.facts = facts;
        let mut behind = 0;
        for (name, watched) in &mut link.watched {
            let facts = link.wire.partition(&hub, &watched.partition, &link.token).await?;
            let read = watched.progress.sequence.load(Ordering::Relaxed);
            let events = watched.progress.events.load(Ordering::Relaxed);
            let waits = u64::try_from(facts.last - read.max(facts.begin - 1)).unwrap_or(0);
            let waits = if facts.is_empty { 0 } else { waits };
            behind += waits;
            let stands = waits > 0 && events == watched.seen && !watched.progress.is_held.load(Ordering::Relaxed);
            watched.seen = events;
            if stands {
                tracing::warn!(
                    feed = name,
                    events = waits,
                    "nothing comes though events wait: the reader is attached anew"
                );
                watched.stop.cancel();
            }
        }
        self.account.status.counters().set(Gauge::BehindEvents, behind);
        Ok(())
    }

    fn at<'a>(&'a self, group: &'a str, partition: &'a str) -> Where<'a> {
        let Account { namespace, hub, config, .. } = &*self.account;
        Where { namespace, hub, group, partition, login: config.login_name() }
    }
}

/// The queue is closed, or a part panicked.
#[derive(Debug)]
pub(super) struct Broken;

/// What a token of a hub is for...
pub(super) fn resource(namespace: &str, hub: &str) -> String {
    format!("sb://{namespace}/{hub}")
}

/// ...and what of it is shown for a consumer group.
pub(super) fn audience(resource: &str, group: &str) -> String {
    format!("{resource}/consumergroups/{group}")
}

fn name_of(account: &Account) -> String {
    format!("{}/{}", account.namespace, account.hub)
}
