//! One connection to the broker: messages out, acknowledgements in, side by side on one task.
//!
//! A message that the broker refuses ends the connection: it goes again after a wait, and with it, under the same ids, what
//! was sent behind it. So that a refusal that lasts does not bring the same events again and again, the first message after
//! one goes alone.
//!
//! Two signs of trouble besides: no acknowledgement and no byte that leaves for `ack_timeout`, while messages are in flight;
//! and a message that is larger than the broker takes, which is not sent but held.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Config;
use super::messages::Part;
use crate::net::Endpoint;
use crate::net::mqtt::{Connection, Event, Message, MqttError, Reason};
use crate::output::deliver::{BRIEF, Ended, Report, Trouble};
use crate::output::feed::{Chunk, Feed};
use crate::status::{Cause, Count};

/// How long outstanding acknowledgements are waited for when we leave: well within the default grace of 10 s.
const DRAIN: Duration = Duration::from_secs(3);
/// How long a goodbye may take.
const CLOSE: Duration = Duration::from_secs(1);
/// No progress for this long shows in the health, before anything is done about it.
const SLOW: Duration = Duration::from_secs(20);

/// The state of a connection, beside the connection itself.
pub(super) struct Session<'a> {
    config: &'a Config,
    broker: &'a Endpoint,
    feed: &'a mut Feed,
    report: &'a Report,
    connection: Connection,
    /// The last message was refused: one goes alone until it is taken.
    is_careful: &'a mut bool,
    /// The chunk whose messages are being published, and how far it came.
    sending: Option<(Chunk, usize)>,
    /// Messages in flight: their topics and events.
    out: VecDeque<(Arc<str>, u32)>,
    opened: Instant,
    /// When something was last acknowledged, or the first message in flight left.
    progressed: Instant,
    is_slow: bool,
    /// Why nothing more is sent. What is in flight is waited for.
    held: Option<Trouble>,
    /// We are leaving, and wait for acknowledgements no longer than this.
    end_by: Option<Instant>,
}

enum Step {
    Heard(Result<Event, MqttError>),
    Worked,
    Leave,
    Time,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        config: &'a Config,
        connection: Connection,
        feed: &'a mut Feed,
        report: &'a Report,
        is_careful: &'a mut bool,
    ) -> Self {
        Self {
            config,
            broker: &config.endpoint,
            feed,
            report,
            connection,
            is_careful,
            sending: None,
            out: VecDeque::new(),
            opened: Instant::now(),
            progressed: Instant::now(),
            is_slow: false,
            held: None,
            end_by: None,
        }
    }

    /// Sends until the connection ends, or until `stop` and what is outstanding then is acknowledged.
    pub(super) async fn run(mut self, stop: &CancellationToken) -> Ended {
        let ended = loop {
            if let Some(ended) = self.fill() {
                break ended;
            }
            if self.out.is_empty() && (self.end_by.is_some() || self.held.is_some()) {
                break self.held.take().map_or(Ended::Stopped, Ended::Lost);
            }
            let (has_work, deadline) = (self.feed.has_work(), self.deadline());
            let step = tokio::select! {
                heard = self.connection.next() => Step::Heard(heard),
                () = self.feed.work(), if has_work => Step::Worked,
                () = stop.cancelled(), if self.end_by.is_none() => Step::Leave,
                () = sleep_until(deadline) => Step::Time,
            };
            let ended = match step {
                Step::Heard(Ok(Event::Acknowledged(reason))) => self.acknowledged(reason),
                // Nothing was subscribed to.
                Step::Heard(Ok(Event::Message(_) | Event::Subscribed(_))) => None,
                Step::Heard(Err(error)) => Some(self.lost(&error)),
                Step::Worked => None,
                Step::Leave => {
                    self.end_by = Some(Instant::now() + DRAIN);
                    None
                }
                Step::Time => self.time_passed(),
            };
            self.report.status().counters().add(Count::SentBytes, self.connection.take_sent());
            if let Some(ended) = ended {
                break ended;
            }
        };
        self.connection.close(CLOSE).await;
        ended
    }

    /// Publishes what there is, as far as there is room.
    fn fill(&mut self) -> Option<Ended> {
        while self.may_send() {
            let (chunk, at) = match self.sending.take() {
                Some(sending) => sending,
                None => match self.feed.take()? {
                    Ok(chunk) => (chunk, 0),
                    Err(halt) => return Some(halt.into()),
                },
            };
            let Some(part) = chunk.bytes.get(at..).and_then(Part::first) else {
                self.feed.recycle(chunk);
                continue;
            };
            let message = Message {
                topic: part.topic,
                payload: part.payload,
                content_type: self.config.payload.media_type(),
                retain: false,
            };
            if let Err(size) = self.connection.publish(&message) {
                self.held = Some(self.too_large(size));
                return None;
            }
            if self.out.is_empty() {
                self.progressed = Instant::now();
            }
            let topic = match self.out.back() {
                Some((topic, _)) if **topic == *part.topic => Arc::clone(topic),
                _ => part.topic.into(),
            };
            self.out.push_back((topic, part.events));
            let end = at + part.length;
            self.sending = Some((chunk, end));
        }
        None
    }

    fn may_send(&self) -> bool {
        self.end_by.is_none()
            && self.held.is_none()
            && self.connection.has_room()
            && (!*self.is_careful || self.out.is_empty())
    }

    fn acknowledged(&mut self, reason: Reason) -> Option<Ended> {
        let (topic, events) = self.out.pop_front()?;
        let is_lost = reason == Reason::NO_SUBSCRIBERS && self.config.require_subscriber;
        if reason.is_refusal() || is_lost {
            *self.is_careful = true;
            return Some(Ended::Lost(if is_lost { self.unheard(&topic) } else { self.refused(&topic, reason) }));
        }
        let is_first = !self.feed.has_progressed();
        self.feed.acked(events);
        self.progressed = Instant::now();
        *self.is_careful = false;
        if is_first || std::mem::take(&mut self.is_slow) {
            self.report.up();
        }
        None
    }

    fn unheard(&self, topic: &str) -> Trouble {
        let what = format!("{} threw messages to {topic:?} away because nobody has subscribed to it", self.broker);
        let todo =
            "subscribe to this topic at QoS 1; or set require_subscriber = false, if something else takes them there";
        // May pass by itself, as nobody's answer may.
        Trouble::new(what, todo).because(Cause::Unreachable)
    }

    fn refused(&self, topic: &str, reason: Reason) -> Trouble {
        let broker = self.broker;
        let client = self.connection.client_id();
        if reason == Reason::NOT_AUTHORIZED {
            let who = match &self.config.user {
                Some(user) => format!("user {user:?}"),
                None => format!("client {client:?}"),
            };
            let what = format!("{broker} does not let {who} write to {topic:?}");
            let todo = format!("let {who} write to this topic in the broker's access list; no event is lost meanwhile");
            return Trouble::new(what, todo).because(Cause::Login);
        }
        let what = format!("{broker} refused a message to {topic:?} because {}", reason.words());
        Trouble::new(what, reason.todo(self.config.user.as_deref(), client)).because(Cause::Protocol)
    }

    fn too_large(&self, size: usize) -> Trouble {
        let what = format!(
            "an event makes a packet of {size} bytes, and {} takes at most {}",
            self.broker,
            self.connection.max_packet()
        );
        Trouble::new(what, "raise the broker's max_packet_size; no event is lost meanwhile").because(Cause::Protocol)
    }

    fn lost(&self, error: &MqttError) -> Ended {
        if self.out.is_empty() && matches!(error, MqttError::Closed { .. }) {
            return if self.opened.elapsed() < BRIEF && !self.feed.has_progressed() {
                self.report.count(Count::BrokenConnections);
                Ended::Lost(self.sent_away())
            } else {
                Ended::Quiet
            };
        }
        self.report.count(if error.is_protocol() { Count::ProtocolErrors } else { Count::BrokenConnections });
        let mut trouble = super::trouble(error);
        let unacked = self.feed.unacked();
        if unacked > 0 {
            trouble.what = format!("{}, before it had acknowledged {unacked} events", trouble.what);
        }
        Ended::Lost(trouble)
    }

    /// Brokers owe a word to a client whose place another one takes; Mosquitto 2.0 has none (observed).
    fn sent_away(&self) -> Trouble {
        let (broker, client) = (self.broker, self.connection.client_id());
        let what = format!("{broker} closed the connection without a word, soon after it had let us in");
        let todo = format!(
            "check that no other client has the client id {client:?} (give every box its own name, or set client_id), and \
             look at the broker's log"
        );
        Trouble::new(what, todo).because(Cause::Unreachable)
    }

    /// When something was last seen to move.
    fn moved(&self) -> Instant {
        self.progressed.max(self.connection.said())
    }

    fn deadline(&self) -> Instant {
        // A day stands for never.
        let mut deadline = self.end_by.unwrap_or_else(|| Instant::now() + Duration::from_secs(86_400));
        if !self.out.is_empty() {
            deadline = deadline.min(self.moved() + self.config.ack_timeout.0);
            if !self.is_slow {
                deadline = deadline.min(self.moved() + SLOW);
            }
        }
        deadline
    }

    fn time_passed(&mut self) -> Option<Ended> {
        let now = Instant::now();
        if self.end_by.is_some_and(|end| now >= end) {
            return Some(Ended::Stopped);
        }
        if self.out.is_empty() {
            return None;
        }
        let (broker, unacked, since) = (self.broker, self.feed.unacked(), now - self.moved());
        if since >= self.config.ack_timeout.0 {
            self.report.count(Count::BrokenConnections);
            let what =
                format!("{broker} has acknowledged none of {unacked} events for {:?}", self.config.ack_timeout.0);
            let todo = "check the broker and the network to it; the events are sent again";
            return Some(Ended::Lost(Trouble::new(what, todo)));
        }
        if !self.is_slow && since >= SLOW {
            self.is_slow = true;
            let what = format!("{broker} has acknowledged none of {unacked} events for {SLOW:?}");
            self.report.slow(Trouble::new(what, "if this lasts, the broker is overloaded: look at its log"));
        }
        None
    }
}
