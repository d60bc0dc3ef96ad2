//! The loop: a connection that comes back, what is heard and said on it, and what happens meanwhile.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinError;
use tokio::time::{Instant, sleep_until, timeout};

use super::command::LONGEST;
use super::deed::Done;
use super::desk::Desk;
use super::identity::Identity;
use super::link::{Happened, Link};
use super::message::{Kind, OFFERS, body, command_topic};
use super::outbox::Outbox;
use super::replay::Replay;
use super::store::Store;
use super::trouble::Trouble;
use super::{Config, Context, Neighbours, picture};
use crate::event::Notice;
use crate::net::mqtt::{Broker, Event, MqttError, Reason, Will};
use crate::net::tls::{ClientConfig, Connector};
use crate::net::{Backoff, Dialer};
use crate::status::{Cause, Count, Gauge, Health};

/// How often the box is looked at, and how often at most it says that it is otherwise than before.
pub(super) const LOOK: Duration = Duration::from_secs(2);
/// How often the ledger is told, and looked at what the box consists of.
const MINUTE: Duration = Duration::from_secs(60);
/// Waits between two tries to reach the broker; a thousand boxes that lost it come back within a minute, out of step.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often it is looked whether there is a certificate by now.
const UNENROLLED: Duration = Duration::from_secs(10);
/// Messages sent before the first must be acknowledged: what waited for an hour is through in seconds.
const IN_FLIGHT: u16 = 10;
/// How long the last words may take; the program's thread for this has a second.
const GOODBYE: Duration = Duration::from_millis(600);
const CLOSE: Duration = Duration::from_millis(200);

/// The channel.
#[derive(Debug)]
pub(super) struct Channel<N> {
    pub(super) config: Config,
    pub(super) context: Context<N>,
    pub(super) outbox: Outbox,
    pub(super) desk: Desk,
    pub(super) tls: ClientConfig,
    connector: Option<Connector>,
    identity: Option<Identity>,
    link: Link,
    backoff: Backoff,
    /// Why it does not work; stays until it does.
    trouble: Option<Trouble>,
    /// The broker takes what we say and tells us what is for us.
    is_settled: bool,
    /// What was said last of how the box is, and when.
    pub(super) said: Option<(Map<String, Value>, Instant)>,
    /// What was said last of what it consists of.
    pub(super) inventory: Option<String>,
    pub(super) next_look: Instant,
    next_minute: Instant,
    /// Messages that had been dropped when it was counted last.
    dropped: u64,
}

enum Step {
    Stop,
    Told(Result<Notice, RecvError>),
    Link(Happened),
    Ended(Result<Result<Done, String>, JoinError>),
    Time,
}

impl<N: Neighbours> Channel<N> {
    /// Opens its files. Blocks on the disk.
    pub(super) fn open(config: Config, context: Context<N>, folder: &Path) -> io::Result<Self> {
        let (store, replay) = (Store::open(folder)?, Replay::open(folder)?);
        let (tls, now, dropped) = (config.client(&context.state_dir), Instant::now(), store.dropped());
        let outbox = Outbox::new(context.clock.clone(), store);
        let mut channel = Self {
            config,
            context,
            outbox,
            desk: Desk::new(replay),
            tls,
            connector: None,
            identity: None,
            link: Link::Down(now),
            backoff: Backoff::new(FIRST_WAIT, LONGEST_WAIT),
            trouble: None,
            is_settled: false,
            said: None,
            inventory: None,
            next_look: now,
            next_minute: now,
            dropped,
        };
        if let Ok(identity) = Identity::read(channel.tls.cert.as_deref(), channel.context.appliance) {
            channel.is_called(identity);
        }
        Ok(channel)
    }

    /// The box's id, once it has one.
    pub(super) fn id(&self) -> Option<&str> {
        self.identity.as_ref().map(|identity| identity.id.as_str())
    }

    /// Runs until told to stop.
    pub(super) async fn run(mut self, heard: &mut broadcast::Receiver<Notice>) {
        let stop = self.context.stop.clone();
        loop {
            if let Some(connection) = self.link.up() {
                self.outbox.pump(connection);
            }
            self.show();
            let (is_working, deadline) = (!self.desk.work.is_empty(), self.deadline());
            let step = tokio::select! {
                () = stop.cancelled() => Step::Stop,
                told = heard.recv() => Step::Told(told),
                Some(ended) = self.desk.work.join_next(), if is_working => Step::Ended(ended),
                happened = self.link.next() => Step::Link(happened),
                () = sleep_until(deadline) => Step::Time,
            };
            match step {
                Step::Stop => break,
                Step::Told(told) => self.told(told),
                Step::Link(happened) => self.happened(happened).await,
                Step::Ended(ended) => self.ended(ended),
                Step::Time => self.time_passed().await,
            }
        }
        while let Ok(notice) = heard.try_recv() {
            self.told(Ok(notice));
        }
        self.show();
        self.goodbye().await;
    }

    fn deadline(&self) -> Instant {
        let others = [self.outbox.store.due(), self.outbox.again_at()];
        others.into_iter().flatten().fold(self.next_look, Instant::min)
    }

    async fn time_passed(&mut self) {
        let now = Instant::now();
        if self.outbox.store.due().is_some_and(|due| due <= now) {
            self.outbox.store.save().await;
        }
        if now >= self.next_look {
            self.next_look = now + LOOK;
            self.look().await;
        }
    }

    /// Looks at everything that changes by itself.
    async fn look(&mut self) {
        for notice in self.desk.refusals.due() {
            self.context.teller.tell(notice);
        }
        self.follow_certificate().await;
        self.see_to_offer();
        let now = Instant::now();
        let is_minute = now >= self.next_minute && self.identity.is_some();
        if is_minute {
            self.next_minute = now + MINUTE;
            match self.context.neighbours.ledger() {
                Ok(ledger) => {
                    if let Some(ledger) = picture::ledger(&ledger) {
                        self.outbox.keep(Kind::Ledger, body(&ledger));
                    }
                }
                Err(why) => tracing::debug!(why, "there is no ledger to be told"),
            }
        }
        if matches!(self.link, Link::Up(_)) && self.outbox.is_stuck() {
            let todo = "check the broker and the network to it; what was said is sent again";
            self.lose_because(Trouble::new("the broker acknowledges nothing", todo).because(Cause::Unreachable));
        }
        if matches!(self.link, Link::Up(_)) {
            let is_other = self.say_status();
            if is_minute || is_other || self.inventory.is_none() {
                self.say_inventory().await;
            }
        }
    }

    /// A certificate that was renewed is shown at once: the old one may end, or be taken back, at any time.
    async fn follow_certificate(&mut self) {
        let Some(identity) = &self.identity else { return };
        let is_other = |new: &Identity| new.fingerprint != identity.fingerprint;
        let Some(new) = self.certificate().await.ok().filter(is_other) else { return };
        // The key may come a moment after it.
        let Ok(connector) = self.tls.build() else { return };
        self.connector = Some(connector);
        tracing::info!(id = new.id, "the certificate for the fleet is another one; connecting anew with it");
        self.is_called(new);
        if matches!(self.link, Link::Up(_)) {
            self.outbox.lost();
            let link = std::mem::replace(&mut self.link, Link::Down(Instant::now()));
            if let Link::Up(connection) = link {
                connection.close(CLOSE).await;
            }
        }
    }

    /// Who the box is by now. A disk that hangs must not hold up what else this thread does: the page, the watchdog.
    fn certificate(&self) -> impl Future<Output = Result<Identity, Trouble>> + Send + use<N> {
        let (path, appliance) = (self.tls.cert.clone(), self.context.appliance);
        let read = tokio::task::spawn_blocking(move || Identity::read(path.as_deref(), appliance));
        async { read.await.unwrap_or_else(|error| Err(Trouble::said(&error, "it is tried again by itself"))) }
    }

    fn is_called(&mut self, identity: Identity) {
        if self.id() != Some(identity.id.as_str()) {
            tracing::info!(id = identity.id, broker = %self.config.broker, "this box is one of a fleet");
        }
        self.outbox.is_called(&identity.id);
        self.identity = Some(identity);
    }

    async fn happened(&mut self, happened: Happened) {
        match happened {
            Happened::TryNow => {
                if let Err(trouble) = self.dial().await {
                    self.trouble = Some(trouble);
                    self.link = Link::Down(Instant::now() + UNENROLLED);
                }
            }
            Happened::Dialled(Ok(mut connection)) => {
                let command = self.id().map(command_topic).unwrap_or_default();
                connection.subscribe(&[&command, OFFERS]);
                self.link = Link::Up(connection);
                (self.said, self.inventory) = (None, None);
            }
            Happened::Dialled(Err(error)) | Happened::Heard(Err(error)) => self.lose(&error),
            Happened::Heard(Ok(Event::Subscribed(reasons))) => {
                self.subscribed(&reasons);
                self.show();
                self.look().await;
            }
            Happened::Heard(Ok(Event::Acknowledged(reason))) => {
                if let Err(reason) = self.outbox.acknowledged(reason) {
                    self.lose_because(refused("write", reason));
                }
                self.go_on();
            }
            Happened::Heard(Ok(Event::Message(arrived))) => {
                self.arrived(&arrived).await;
                if let Some(connection) = self.link.up() {
                    connection.taken(&arrived);
                }
            }
        }
    }

    /// Begins to make a connection.
    async fn dial(&mut self) -> Result<(), Trouble> {
        let identity = self.certificate().await?;
        self.is_called(identity);
        let connector = match &self.connector {
            Some(connector) => connector.clone(),
            None => {
                let todo = "put a good one in its place; it is tried again by itself";
                let built = self.tls.build().map_err(|error| Trouble::new(error.to_string(), todo))?;
                self.connector.insert(built).clone()
            }
        };
        let lost = json!({ "health": "lost", "words": "The connection to the box broke off." });
        let will = self.outbox.message(&body(&lost));
        let Some((id, payload)) = self.id().map(str::to_owned).zip(will) else { return Ok(()) };
        let broker = Broker {
            dialer: Dialer {
                endpoint: self.config.broker.clone(),
                proxy: self.config.proxy(),
                tls: Some(connector),
                connect_timeout: self.config.time_to_connect(),
            },
            will: Some(Will { topic: Kind::Status.topic(&id), payload }),
            client_id: id,
            user: None,
            password_file: None,
            keep_alive: self.config.keep_alive.0,
            in_flight: IN_FLIGHT,
            session: Some(LONGEST),
        };
        self.link = Link::Dialling(Box::pin(async move { broker.connect().await }));
        Ok(())
    }

    fn subscribed(&mut self, reasons: &[Reason]) {
        self.backoff.reset();
        match reasons.iter().find(|reason| reason.is_refusal()) {
            Some(reason) => self.trouble = Some(refused("read", *reason)),
            None => {
                tracing::info!(broker = %self.config.broker, "the fleet's broker is there");
                (self.trouble, self.is_settled) = (None, true);
            }
        }
    }

    fn lose(&mut self, error: &MqttError) {
        self.lose_because(Trouble::of(error));
    }

    fn lose_because(&mut self, trouble: Trouble) {
        if self.trouble.as_ref() != Some(&trouble) {
            tracing::info!(what = trouble.what, todo = trouble.todo, "the fleet's broker is away");
        }
        self.outbox.lost();
        (self.trouble, self.is_settled) = (Some(trouble), false);
        self.link = Link::Down(Instant::now() + self.backoff.next_delay());
    }

    /// Puts everything where others see it.
    fn show(&mut self) {
        let health = match &self.trouble {
            Some(trouble) => trouble.health(),
            None if !self.outbox.is_heard() => Trouble::new(
                "the broker throws its events or answers away, because nobody has subscribed to them",
                "subscribe to sapphire/v1/+/event and answer at the broker, at QoS 1; they wait on the box",
            )
            .health(),
            None if self.is_settled => Health::Healthy,
            None => Health::Starting,
        };
        let status = &self.context.status;
        if status.health() != health {
            status.set(health);
        }
        let store = &self.outbox.store;
        status.counters().set(Gauge::KeptMessages, store.waiting() as u64);
        status.counters().add(Count::DroppedMessages, store.dropped() - self.dropped);
        self.dropped = store.dropped();
    }

    /// Says that the box stops, so that nobody takes it for lost, and keeps what is left.
    async fn goodbye(self) {
        let Self { mut outbox, mut link, .. } = self;
        outbox.store.save().await;
        let Some(connection) = link.up() else { return };
        let stopped = json!({ "health": "stopped", "words": "The program was told to stop." });
        outbox.say(Kind::Status, body(&stopped));
        let last_words = async {
            loop {
                outbox.pump(connection);
                if outbox.is_quiet() {
                    break;
                }
                match connection.next().await {
                    Ok(Event::Acknowledged(reason)) if outbox.acknowledged(reason).is_ok() => {}
                    Ok(Event::Subscribed(_) | Event::Message(_)) => {}
                    _ => break,
                }
            }
        };
        // What has not left by then waits for the next start.
        let _ = timeout(GOODBYE, last_words).await;
        outbox.store.save().await;
        if let Link::Up(connection) = link {
            connection.close(CLOSE).await;
        }
    }
}

fn refused(what: &str, reason: Reason) -> Trouble {
    let todo = "let the box write and read its own topics in the broker's access list";
    Trouble::new(format!("the broker does not let it {what} there because {}", reason.words()), todo)
}
