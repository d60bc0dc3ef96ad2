//! One connection to a broker: messages out, acknowledgements in, and what was subscribed to.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5 as wire;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep_until, timeout};

use super::packet::{self, Arrived, Incoming};
use super::{Broker, MAX_INCOMING, MqttError, Reason};
use crate::net::Stream;

/// Acknowledgements of four bytes each: this reads a thousand at once.
const READ: usize = 4 << 10;
/// Bytes that wait to be written before no more messages are taken. A gigabit line takes 8 ms for them, by when an
/// acknowledgement has come and more are asked for.
const FULL: usize = 1 << 20;
/// Bytes that may wait in our kernel and not be on their way: what it has counts as gone, and a slow line must not look
/// silent while it sends megabytes.
const UNSENT: u32 = 128 << 10;
/// How long the answer to a ping may take.
const ANSWER: Duration = Duration::from_secs(30);
/// How long a connection that can no longer be written may still bring what is on its way: acknowledgements, which spare
/// repeats, and why the broker left.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A message to publish.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Where: no wildcards, no NUL, not empty.
    pub topic: &'a str,
    /// What.
    pub payload: &'a [u8],
    /// The media type of the payload.
    pub content_type: &'a str,
    /// Whether the broker keeps it for those who come later, in place of the one before.
    pub retain: bool,
}

/// What a broker said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// What became of the oldest message that was not spoken of yet. Messages come in the order they were published.
    Acknowledged(Reason),
    /// What became of a subscription, filter by filter.
    Subscribed(Vec<Reason>),
    /// A message came; [`Connection::taken`] tells the broker that it need not come again.
    Message(Arrived),
}

/// What the broker allows us.
#[derive(Clone, Copy, Debug)]
pub(super) struct Granted {
    pub(super) in_flight: u16,
    /// Bytes of a whole packet.
    pub(super) packet: usize,
    /// `None` where the broker wants no signs of life.
    pub(super) keep_alive: Option<Duration>,
}

/// An open connection. Dropping it cuts it; [`Connection::close`] says goodbye.
#[derive(Debug)]
pub struct Connection {
    broker: Broker,
    granted: Granted,
    greeted: bool,
    read: ReadHalf<Stream>,
    write: WriteHalf<Stream>,
    inbox: BytesMut,
    outbox: BytesMut,
    is_flushed: bool,
    /// Messages that were published and not reported, oldest first.
    out: VecDeque<Published>,
    /// The subscription whose answer is awaited.
    subscribing: Option<u16>,
    /// Messages may come: an earlier connection has subscribed, or this one.
    is_listening: bool,
    last_id: u16,
    sent: u64,
    /// When a byte last came, and when one last left.
    heard: Instant,
    said: Instant,
    /// Since when the answer to a ping is awaited.
    pinged: Option<Instant>,
    /// Since when nothing can be written any more, and why.
    broken: Option<(Instant, io::Error)>,
}

#[derive(Clone, Copy, Debug)]
struct Published {
    id: u16,
    reason: Option<Reason>,
}

enum Step {
    Read(io::Result<usize>),
    Wrote(io::Result<usize>),
    Time,
}

impl Connection {
    pub(super) fn new(broker: Broker, stream: Stream, hello: BytesMut) -> Self {
        if let Err(error) = stream.keep_unsent_below(UNSENT) {
            tracing::debug!(%error, "a slow line may look silent");
        }
        let (read, write) = tokio::io::split(stream);
        let now = Instant::now();
        let granted = Granted { in_flight: 1, packet: usize::MAX, keep_alive: None };
        let is_listening = broker.session.is_some();
        Self {
            broker,
            granted,
            greeted: false,
            read,
            write,
            inbox: BytesMut::new(),
            outbox: hello,
            is_flushed: true,
            out: VecDeque::new(),
            subscribing: None,
            is_listening,
            last_id: 0,
            sent: 0,
            heard: now,
            said: now,
            pinged: None,
            broken: None,
        }
    }

    pub(super) fn grant(&mut self, granted: Granted) {
        self.granted = granted;
        self.greeted = true;
    }

    /// Bytes of the largest packet that the broker takes.
    #[must_use]
    pub fn max_packet(&self) -> usize {
        self.granted.packet
    }

    /// Who we are at the broker.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.broker.client_id
    }

    /// Whether another message may be published now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.out.len() < usize::from(self.granted.in_flight) && self.outbox.len() < FULL
    }

    /// When a byte last left for the broker.
    #[must_use]
    pub fn said(&self) -> Instant {
        self.said
    }

    /// Bytes that were written since the last call.
    pub fn take_sent(&mut self) -> u64 {
        std::mem::take(&mut self.sent)
    }

    /// Takes a message to publish at QoS 1. It leaves with the next [`Connection::next`].
    ///
    /// # Errors
    /// The bytes of its packet, if that is more than the broker takes (section 3.2.2.3.6) or a packet can be.
    pub fn publish(&mut self, message: &Message<'_>) -> Result<(), usize> {
        let mut publish = wire::Publish {
            qos: QoS::AtLeastOnce,
            retain: message.retain,
            topic: Bytes::copy_from_slice(message.topic.as_bytes()),
            payload: Bytes::copy_from_slice(message.payload),
            properties: Some(wire::PublishProperties {
                content_type: Some(message.content_type.to_owned()),
                ..wire::PublishProperties::default()
            }),
            ..wire::Publish::default()
        };
        publish.pkid = self.next_id();
        let (size, start) = (publish.size(), self.outbox.len());
        if size > self.granted.packet {
            return Err(size);
        }
        if publish.write(&mut self.outbox).is_err() {
            self.outbox.truncate(start);
            return Err(size);
        }
        self.last_id = publish.pkid;
        self.out.push_back(Published { id: publish.pkid, reason: None });
        Ok(())
    }

    /// Subscribes to these filters at QoS 1; one subscription at a time.
    pub fn subscribe(&mut self, filters: &[&str]) {
        let filters = filters.iter().map(|filter| wire::Filter::new(*filter, QoS::AtLeastOnce));
        let mut subscribe = wire::Subscribe::new_many(filters, None);
        subscribe.pkid = self.next_id();
        let start = self.outbox.len();
        // It fails only where it is longer than any packet can be.
        if subscribe.write(&mut self.outbox).is_err() {
            self.outbox.truncate(start);
        }
        (self.last_id, self.subscribing, self.is_listening) = (subscribe.pkid, Some(subscribe.pkid), true);
    }

    /// Tells the broker that a message was taken (section 4.3.2).
    pub fn taken(&mut self, arrived: &Arrived) {
        let Some(id) = arrived.id else { return };
        let start = self.outbox.len();
        if wire::PubAck::new(id, None).write(&mut self.outbox).is_err() {
            self.outbox.truncate(start);
        }
    }

    /// Never zero (section 2.2.1). Far fewer are in flight than there are numbers, so none is taken twice.
    fn next_id(&self) -> u16 {
        self.last_id.checked_add(1).unwrap_or(1)
    }

    /// Writes what was published and waits until the broker says something.
    ///
    /// # Errors
    /// When the connection has ended: what was published and not reported may have been taken or not.
    ///
    /// # Cancel safety
    /// Safe: whatever was begun is gone on with by the next call.
    pub async fn next(&mut self) -> Result<Event, MqttError> {
        loop {
            if let Some(Published { reason: Some(reason), .. }) =
                self.out.pop_front_if(|published| published.reason.is_some())
            {
                return Ok(Event::Acknowledged(reason));
            }
            match self.incoming().await? {
                Incoming::PubAck { id, reason } => self.acknowledged(id, reason)?,
                Incoming::Publish(arrived) if self.is_listening => return Ok(Event::Message(arrived)),
                Incoming::Publish(_) => return Err(self.misunderstood("it sent a message that nobody asked for")),
                Incoming::SubAck { id, reasons } if self.subscribing == Some(id) => {
                    self.subscribing = None;
                    return Ok(Event::Subscribed(reasons));
                }
                Incoming::SubAck { .. } => {
                    return Err(self.misunderstood("it answered a subscription that nobody wanted"));
                }
                Incoming::PingResp => {}
                Incoming::Disconnect { reason } => {
                    return Err(MqttError::Left { broker: Box::new(self.broker.clone()), reason });
                }
                Incoming::ConnAck { .. } => return Err(self.misunderstood("it greeted us twice")),
            }
        }
    }

    /// Says goodbye, so that the broker does not take it for a failure (section 3.14), and closes. Messages that have not left
    /// stay here, and the goodbye with them: half a message may be on its way.
    pub async fn close(mut self, patience: Duration) {
        let is_quiet = self.outbox.is_empty();
        let goodbye = async {
            if is_quiet {
                let _ = wire::Disconnect::new(wire::DisconnectReasonCode::NormalDisconnection).write(&mut self.outbox);
                self.write.write_all(&self.outbox).await?;
            }
            self.write.shutdown().await
        };
        if !matches!(timeout(patience, goodbye).await, Ok(Ok(()))) {
            tracing::debug!(broker = %self.broker.dialer.endpoint, "closed without a goodbye");
        }
    }

    /// The next packet from the broker; writes meanwhile, and asks for signs of life.
    ///
    /// # Cancel safety
    /// Safe.
    pub(super) async fn incoming(&mut self) -> Result<Incoming, MqttError> {
        loop {
            match packet::next(&mut self.inbox, MAX_INCOMING) {
                Ok(Some(incoming)) => return Ok(incoming),
                Ok(None) => {}
                Err(what) => return Err(self.misunderstood(what)),
            }
            let deadline = self.deadline();
            let may_write = self.broken.is_none() && !(self.outbox.is_empty() && self.is_flushed);
            self.inbox.reserve(READ);
            let step = tokio::select! {
                read = self.read.read_buf(&mut self.inbox) => Step::Read(read),
                wrote = write_some(&mut self.write, &self.outbox), if may_write => Step::Wrote(wrote),
                () = sleep_until(deadline) => Step::Time,
            };
            match step {
                Step::Read(Ok(0)) => return Err(self.closed()),
                Step::Read(Ok(_)) => {
                    self.heard = Instant::now();
                    self.pinged = None;
                }
                Step::Wrote(Ok(count)) => self.wrote(count),
                Step::Read(Err(error)) => return Err(self.failed(error)),
                Step::Wrote(Err(error)) => self.broken = Some((Instant::now(), error)),
                Step::Time => self.time_passed()?,
            }
        }
    }

    pub(super) fn misunderstood(&self, what: impl Into<String>) -> MqttError {
        MqttError::misunderstood(&self.broker.dialer.endpoint, what)
    }

    fn acknowledged(&mut self, id: u16, reason: Reason) -> Result<(), MqttError> {
        // They come in order (section 4.6), so the first is nearly always the one.
        let published = self.out.iter_mut().find(|published| published.id == id && published.reason.is_none());
        let Some(published) = published else {
            return Err(self.misunderstood(format!("it acknowledged message {id}, which was not in flight")));
        };
        published.reason = Some(reason);
        Ok(())
    }

    fn wrote(&mut self, count: usize) {
        if count == 0 {
            self.is_flushed = true;
            return;
        }
        self.outbox.advance(count);
        self.is_flushed = false;
        self.said = Instant::now();
        self.sent += count as u64;
    }

    fn closed(&mut self) -> MqttError {
        match self.broken.take() {
            Some((_, error)) => self.failed(error),
            None => MqttError::Closed { broker: self.broker.dialer.endpoint.clone(), greeted: self.greeted },
        }
    }

    fn failed(&self, error: io::Error) -> MqttError {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        if self.greeted && matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof) {
            return MqttError::Closed { broker: self.broker.dialer.endpoint.clone(), greeted: true };
        }
        MqttError::Dial(self.broker.dialer.explain(error))
    }

    /// When to ask for a sign of life, or to stop waiting.
    fn deadline(&self) -> Instant {
        match (&self.broken, self.pinged, self.granted.keep_alive) {
            (Some((since, _)), _, _) => *since + LAST_WORDS,
            (None, Some(pinged), _) => pinged + ANSWER,
            (None, None, Some(every)) => self.said + every,
            // A day stands for never.
            (None, None, None) => self.said + Duration::from_secs(86_400),
        }
    }

    fn time_passed(&mut self) -> Result<(), MqttError> {
        if self.broken.is_some() {
            return Err(self.closed());
        }
        if self.pinged.is_some() {
            let broker = self.broker.dialer.endpoint.clone();
            return Err(MqttError::Silent { broker, after: self.heard.elapsed() });
        }
        if self.granted.keep_alive.is_some() {
            let _ = wire::PingReq::write(&mut self.outbox);
            self.pinged = Some(Instant::now());
        } else {
            self.said = Instant::now();
        }
        Ok(())
    }
}

/// Writes the next piece, or flushes at the end, which counts as 0. Losing the race changes nothing.
async fn write_some(write: &mut WriteHalf<Stream>, bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        return write.flush().await.map(|()| 0);
    }
    match write.write(bytes).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        count => Ok(count),
    }
}
