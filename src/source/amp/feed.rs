//! The one feed: reads the event stream, and asks where there is none or where it may have missed something.
//!
//! Asked for is: everything back to `backfill` when a stream is new to the position (the mark `stream` names the one that it
//! was read up to now), what lies further back than a stream keeps (10 days; CiscoSecurity, amp-00-integration-workflows), and
//! once a day the last day. A stream is made before it is asked, so nothing lies between the two.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::api::Api;
use super::broker::{Broker, Fault, Message, Said};
use super::events::{self, Poll};
use super::settings::{Config, Delivery};
use super::streams::{Ready, Streams};
use super::{types, words};
use crate::clock::Timestamp;
use crate::source::pull::{Feed, Next, Page, Position, Trouble, Window};
use crate::status::{Gauge, Handle};

/// A stream keeps messages for 10 days: a day less, so that none is missed at the edge.
const KEPT: Duration = Duration::from_secs(9 * 86_400);
/// A quiet stream gives an empty page this often.
const QUIET: Duration = Duration::from_secs(3);
/// After a message the others that are there are waited for a little.
const LINGER: Duration = Duration::from_millis(50);
/// The most bytes of a page: what the queue's batches hold.
const MOST_BYTES: usize = 1 << 20;
/// How often the queue is looked at, and whether somebody else reads it...
const LOOK: Duration = Duration::from_secs(60);
/// ...and when first: by then the broker has forgotten our connection before.
const FIRST_LOOK: Duration = Duration::from_secs(5);
/// Where no stream can be had, one is asked for again after this.
const AGAIN: Duration = Duration::from_secs(3_600);
/// Refusals in a row after which a stream that the vendor still lists is made anew.
const MOST_REFUSALS: u32 = 3;
/// A stream that fails for so many poll intervals is no reason to have no events: they are asked for, and it is tried on.
const STUCK: u32 = 10;
/// What is remembered is looked through this often.
const TIDY: Duration = Duration::from_secs(3_600);
/// The mark that says which stream the position belongs to.
const STREAM: &str = "stream";

/// The events of an organization.
pub(super) struct AmpFeed {
    config: Config,
    api: Arc<Api>,
    status: Handle,
    poll: Poll,
    streams: Streams,
    live: Option<Live>,
    /// Why there is no stream, and when to ask for one again.
    refused: Option<(Instant, (String, String))>,
    refusals: u32,
    /// Since when the stream cannot be read.
    failing: Option<Instant>,
    tidied: Option<Instant>,
}

/// A stream that is read.
struct Live {
    broker: Broker,
    queue: String,
    /// Pages that are not settled, each with the tag of its last message.
    unsettled: VecDeque<(oneshot::Receiver<()>, u64)>,
    look: Instant,
    consumers: u32,
}

impl AmpFeed {
    pub(super) fn new(config: &Config, api: Arc<Api>, streams: Streams, status: &Handle) -> Self {
        Self {
            poll: Poll::new(config.plan()),
            config: config.clone(),
            api,
            status: status.clone(),
            streams,
            live: None,
            refused: None,
            refusals: 0,
            failing: None,
            tidied: None,
        }
    }

    /// The number of the stream to read; `None` where events are asked for instead.
    async fn stream(&mut self) -> Result<Option<String>, Trouble> {
        if self.config.delivery == Delivery::Poll {
            self.leave().await;
            return Ok(None);
        }
        if self.refused.as_ref().is_some_and(|(until, _)| Instant::now() < *until) {
            return Ok(None);
        }
        let filter = types::filter(&self.api).await?;
        match self.streams.ensure(&filter).await? {
            Ready::Yes(id) => {
                self.refused = None;
                Ok(Some(id))
            }
            Ready::No(words) => {
                self.refused = Some((Instant::now() + AGAIN, words));
                Ok(None)
            }
        }
    }

    /// A stream of ours that is no longer wanted is deleted: it would fill at the vendor, and is one of few.
    async fn leave(&mut self) {
        let is_due = self.refused.as_ref().is_none_or(|(until, _)| Instant::now() >= *until);
        if self.streams.credentials().is_none() || !is_due {
            return;
        }
        self.refused = None;
        if let Err(trouble) = self.streams.remove().await {
            tracing::warn!(error = trouble.what, "the event stream that is no longer read cannot be deleted yet");
            let words =
                (format!("the event stream that is no longer read is still there: {}", trouble.what), trouble.todo);
            self.refused = Some((Instant::now() + AGAIN, words));
        }
    }

    /// Whether something has to be asked for before the stream is read.
    fn is_due(&self, position: &Position, stream: &str) -> bool {
        let now = self.api.way.now();
        let next = self.poll.plan.next(position, now);
        self.poll.is_open()
            || position.mark(STREAM) != Some(stream.as_bytes())
            || next.is_some_and(|window| window.is_sweep || window.hole.is_some())
            || position.time("through").is_none_or(|through| now.since(through) > KEPT)
    }

    /// A page of the stream, which is connected where it is not yet.
    async fn read(&mut self, position: &Position) -> Result<Page, Trouble> {
        let Some(credentials) = self.streams.credentials() else { return Ok(Page::default()) };
        let host = credentials.host.clone();
        if self.live.is_none() {
            match Broker::consume(&self.config, credentials).await {
                Ok(broker) => {
                    self.refusals = 0;
                    self.live = Some(Live::new(broker, &credentials.queue, &host));
                }
                Err(fault) => return Err(self.broken(fault, &host).await),
            }
        }
        let Some(live) = &mut self.live else { return Ok(Page::default()) };
        match live.gather(usize::from(self.config.prefetch / 2).max(1), &self.status).await {
            Ok(messages) => {
                self.failing = None;
                Ok(self.page(messages, position))
            }
            Err(fault) => {
                self.live = None;
                Err(self.broken(fault, &host).await)
            }
        }
    }

    /// As [`AmpFeed::read`]; where that has failed for long, what is asked for.
    async fn read_or_ask(&mut self, position: &Position) -> Result<Page, Trouble> {
        let trouble = match self.read(position).await {
            Ok(page) => return Ok(page),
            Err(trouble) => trouble,
        };
        let since = *self.failing.get_or_insert_with(Instant::now);
        if since.elapsed() < self.config.poll_interval.0 * STUCK {
            return Err(trouble);
        }
        let mut page = self.poll.page(&self.api, position).await?;
        page.remark = Some(words::meanwhile(trouble));
        Ok(page)
    }

    /// The words of a fault. What the vendor no longer has, or refuses again and again, is made anew.
    async fn broken(&mut self, fault: Fault, host: &str) -> Trouble {
        let trouble = fault.trouble(host);
        if !matches!(fault, Fault::Refused(..)) {
            return trouble;
        }
        self.refusals += 1;
        match self.streams.is_listed().await {
            Ok(true) if self.refusals < MOST_REFUSALS => trouble,
            Ok(_) => {
                tracing::warn!(error = trouble.what, "the event stream is made anew");
                self.refusals = 0;
                self.streams.forget().err().unwrap_or(trouble)
            }
            Err(other) => other,
        }
    }

    /// A page of what came.
    fn page(&mut self, messages: Vec<Message>, position: &Position) -> Page {
        let now = self.api.way.now();
        let Some(live) = &mut self.live else { return Page::default() };
        let mut page = Page::default();
        if let Some(last) = messages.last() {
            let (settle, settled) = oneshot::channel();
            live.unsettled.push_back((settled, last.tag));
            page.settled = Some(settle);
        }
        let mut newest = None;
        let host = self.api.host();
        for message in messages {
            // Remembered by now: what was not acknowledged comes again soon or late, however old it is.
            page.records.push(events::record(host, message.bytes, |time| {
                newest = newest.max(time);
                now
            }));
        }
        // Where nothing waits everything was had; else as far as the newest event, as events come about in order.
        let through = if page.records.is_empty() { Some(now) } else { newest.map(|time| time.min(now)) };
        if let Some(through) = through.filter(|time| position.time("through").is_none_or(|before| *time > before)) {
            page.marks = self.poll.plan.done(&up_to(through));
            page.through = Some(through);
        }
        if self.tidied.is_none_or(|at| at.elapsed() > TIDY) {
            self.tidied = Some(Instant::now());
            page.forget = Some(self.poll.plan.forget(&up_to(now)));
        }
        page.remark = (live.consumers > 1).then(|| words::shared(live.consumers));
        page
    }
}

/// As if it had been asked for everything up to this time.
fn up_to(time: Timestamp) -> Window {
    Window { from: time, to: time, asked: time, is_last: true, is_sweep: false, hole: None }
}

impl Feed for AmpFeed {
    fn name(&self) -> &'static str {
        "events"
    }

    async fn pull(&mut self, position: &Position) -> Result<Page, Trouble> {
        let Some(stream) = self.stream().await? else {
            self.live = None;
            let mut page = match self.poll.page(&self.api, position).await {
                Ok(page) => page,
                Err(trouble) => {
                    // It may not be streams alone that are refused: asked again as soon as this is over.
                    self.refused = None;
                    return Err(trouble);
                }
            };
            page.remark = self.refused.as_ref().map(|(_, words)| words.clone());
            return Ok(page);
        };
        if !self.is_due(position, &stream) {
            return self.read_or_ask(position).await;
        }
        let mut page = self.poll.page(&self.api, position).await?;
        if !self.poll.is_open() {
            page.marks.push((STREAM.to_owned(), Some(stream.into_bytes())));
        }
        page.next = Next::Now;
        Ok(page)
    }
}

impl Live {
    fn new(broker: Broker, queue: &str, host: &str) -> Self {
        tracing::info!(host, queue, "the event stream is read");
        Self {
            broker,
            queue: queue.to_owned(),
            unsettled: VecDeque::new(),
            look: Instant::now() + FIRST_LOOK,
            consumers: 1,
        }
    }

    /// What comes next, some at once; nothing after a quiet while. Acknowledges meanwhile what is settled.
    async fn gather(&mut self, most: usize, status: &Handle) -> Result<Vec<Message>, Fault> {
        let mut messages: Vec<Message> = Vec::new();
        let (mut bytes, mut until) = (0, Instant::now() + QUIET);
        while messages.len() < most && bytes < MOST_BYTES {
            if Instant::now() > self.look {
                self.look = Instant::now() + LOOK;
                self.broker.look(&self.queue);
            }
            tokio::select! {
                settled = first(&mut self.unsettled), if !self.unsettled.is_empty() => self.settled(settled.is_ok()),
                said = self.broker.next() => match said? {
                    Said::Message(message) => {
                        if messages.is_empty() {
                            until = Instant::now() + LINGER;
                        }
                        bytes += message.bytes.len();
                        messages.push(message);
                    }
                    Said::Queue { messages, consumers } => {
                        status.counters().set(Gauge::BehindEvents, messages.into());
                        self.consumers = consumers;
                    }
                    Said::Step(_) | Said::Start(_) | Said::Tune(_) => return Err(Fault::Unexpected("a message")),
                },
                () = sleep_until(until) => break,
            }
        }
        Ok(messages)
    }

    /// The oldest page is settled, or never will be, where the source ends.
    fn settled(&mut self, is_settled: bool) {
        if let Some((_, tag)) = self.unsettled.pop_front().filter(|_| is_settled) {
            self.broker.acknowledge(tag);
        }
    }
}

/// Waits for the first of those that wait.
async fn first(unsettled: &mut VecDeque<(oneshot::Receiver<()>, u64)>) -> Result<(), oneshot::error::RecvError> {
    match unsettled.front_mut() {
        Some((settled, _)) => settled.await,
        None => std::future::pending().await,
    }
}
