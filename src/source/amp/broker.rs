//! A connection to the broker of an event stream: TLS and proxy as everywhere, AMQP 0-9-1 on top.
//!
//! One task owns it: [`Broker::next`] reads, writes what is due, and gives signs of life. Bounded: a frame by what was agreed, a
//! message by `max_page`, the steps of the login by time, silence by the heartbeat.
//!
//! Facts: the broker is RabbitMQ; TLS on port 443; login PLAIN, virtual host `/` (not confirmed); the queue is there and is looked
//! at passively, durable; a client declares and binds nothing (CiscoSecurity, amp-04-create-event-stream).

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::time::{Instant, sleep_until, timeout};
use zeroize::Zeroize as _;

use super::kept::Credentials;
use super::settings::Config;
use crate::net::tls::{ClientConfig, TlsError};
use crate::net::{DialError, Dialer, Endpoint, Stream};
use crate::source::pull::{Trouble, Wait};
use crate::status::Cause;
use crate::wire::amqp091::{Event, HEARTBEAT, Malformed, PROTOCOL, Request, Tune, decode};

/// What RabbitMQ offers by default; also where a broker sets no limit.
const FRAME: u32 = 128 << 10;
/// Signs of life, in seconds: half of what firewalls allow an idle connection.
const HEARTBEAT_SECONDS: u16 = 30;

/// How much is read at once, at most.
const READ: usize = 16 << 10;

/// What ends a connection, or keeps it from being made.
#[derive(Debug)]
pub(super) enum Fault {
    /// TLS settings.
    Tls(TlsError),
    /// The way there.
    Dial(DialError),
    /// Login or queue refused, or the queue is gone: code and text of the broker.
    Refused(u16, String),
    /// The broker ends the connection for another reason.
    Closed(u16, String),
    /// It breaks.
    Broken(io::Error),
    /// No sign of life.
    Silent,
    /// What comes is no AMQP.
    Malformed(Malformed),
    /// Something else than what was asked for.
    Unexpected(&'static str),
    /// A message of so many bytes.
    TooLarge(u64),
}

impl Fault {
    /// In words, of the broker at this host.
    pub(super) fn trouble(&self, host: &str) -> Trouble {
        let proxy = "let TLS to this host pass without looking inside, also through a proxy: it is no HTTP";
        let (what, todo, cause, wait) = match self {
            Self::Tls(error) => (error.to_string(), "mend the tls settings".to_owned(), Cause::Tls, Wait::Person),
            Self::Dial(error) => {
                let cause = if error.is_tls() { Cause::Tls } else { Cause::Unreachable };
                (error.what(), error.todo(), cause, Wait::Backoff)
            }
            Self::Refused(code, text) => {
                let what = format!("{host} refuses the event stream's login or queue ({code} {text})");
                (what, "it is looked into and made anew by itself".to_owned(), Cause::Login, Wait::Backoff)
            }
            Self::Closed(code, text) => {
                let what = format!("{host} ended the event stream ({code} {text})");
                (what, "it is tried again by itself".to_owned(), Cause::Unreachable, Wait::Backoff)
            }
            Self::Broken(error) => {
                let what = format!("the event stream of {host} broke ({error})");
                (what, format!("it is tried again by itself; if it stays, {proxy}"), Cause::Unreachable, Wait::Backoff)
            }
            Self::Silent => {
                let what = format!("{host} gives no sign of life");
                (what, format!("it is tried again by itself; if it stays, {proxy}"), Cause::Unreachable, Wait::Backoff)
            }
            Self::Malformed(error) => {
                (format!("{host} speaks no AMQP: {error}"), proxy.to_owned(), Cause::Protocol, Wait::Backoff)
            }
            Self::Unexpected(doing) => {
                let what = format!("{host} answers something else at {doing}");
                (what, "if it stays, send the log to support".to_owned(), Cause::Protocol, Wait::Backoff)
            }
            Self::TooLarge(bytes) => {
                let what = format!("a message of {host} has {bytes} bytes");
                (what, "raise max_page of this source".to_owned(), Cause::Protocol, Wait::Backoff)
            }
        };
        Trouble { what, todo, cause, wait }
    }
}

/// A whole message.
#[derive(Debug)]
pub(super) struct Message {
    /// What an acknowledgement names.
    pub(super) tag: u64,
    pub(super) bytes: Bytes,
}

/// What a broker says to its consumer.
#[derive(Debug)]
pub(super) enum Said {
    /// A message.
    Message(Message),
    /// How full the queue is, and how many consumers it has.
    Queue { messages: u32, consumers: u32 },
    /// A step of the login, by its name.
    Step(&'static str),
    /// The mechanisms of a login.
    Start(String),
    /// What may be agreed on.
    Tune(Tune),
}

/// A message that is not whole yet.
#[derive(Debug)]
struct Partial {
    tag: u64,
    length: Option<u64>,
    bytes: BytesMut,
}

/// A connection that consumes one queue.
#[derive(Debug)]
pub(super) struct Broker {
    reader: ReadHalf<Stream>,
    writer: WriteHalf<Stream>,
    input: BytesMut,
    /// What is not written yet.
    output: BytesMut,
    /// Something was written and not flushed.
    is_dirty: bool,
    frame: u32,
    heartbeat: Option<Duration>,
    heard: Instant,
    said: Instant,
    partial: Option<Partial>,
    most: u64,
}

/// What reaches a broker.
fn dialer(config: &Config, host: &str, port: u16) -> Result<Dialer, Fault> {
    let named = || format!("{host}:{port}").parse::<Endpoint>();
    let unusable = |_| Fault::Unexpected("the address of the stream");
    let endpoint = config.stream_endpoint.clone().map_or_else(named, Ok).map_err(unusable)?;
    // Whatever is dialled, the certificate must be the broker's.
    let tls = ClientConfig { server_name: Some(host.to_owned()), ..config.tls.clone() };
    let tls = Some(tls.build().map_err(Fault::Tls)?);
    Ok(Dialer { endpoint, proxy: config.proxy(), tls, connect_timeout: config.connect_timeout.0 })
}

/// Whether the broker is reached and speaks AMQP; no login.
///
/// # Errors
/// In words.
pub(super) async fn probe(config: &Config) -> Result<(), Trouble> {
    // A private cloud says only in a stream's own answer where it streams from.
    let Some(endpoint) = config.stream_endpoint.clone().or_else(|| config.region.broker().parse().ok()) else {
        return Ok(());
    };
    if config.api.is_some() && config.stream_endpoint.is_none() {
        return Ok(());
    }
    let begun = async {
        let mut broker = Broker::dial(&dialer(config, endpoint.host(), endpoint.port())?, config).await?;
        broker.step("start", config.connect_timeout.0).await
    };
    begun.await.map(drop).map_err(|fault: Fault| fault.trouble(endpoint.host()))
}

impl Broker {
    /// Connects, logs in and begins to consume.
    ///
    /// # Errors
    /// What keeps it from that.
    ///
    /// # Cancel safety
    /// Dropping it closes the connection.
    pub(super) async fn consume(config: &Config, stream: &Credentials) -> Result<Self, Fault> {
        let wait = config.connect_timeout.0;
        let mut broker = Self::dial(&dialer(config, &stream.host, stream.port)?, config).await?;
        match broker.step("start", wait).await? {
            Said::Start(mechanisms) if mechanisms.split(' ').any(|name| name == "PLAIN") => {}
            Said::Start(mechanisms) => return Err(Fault::Refused(403, format!("it offers {mechanisms}, not PLAIN"))),
            _ => return Err(Fault::Unexpected("start")),
        }
        broker.say(&Request::Login { user: &stream.user, password: stream.password.expose() });
        let Said::Tune(offer) = broker.step("login", wait).await? else { return Err(Fault::Unexpected("login")) };
        let tune = agree(offer);
        broker.say(&Request::Tune(tune));
        broker.say(&Request::Open("/"));
        broker.done("open", wait).await?;
        broker.frame = tune.frame;
        broker.heartbeat = (tune.heartbeat > 0).then(|| Duration::from_secs(tune.heartbeat.into()));
        broker.say(&Request::OpenChannel);
        broker.done("channel", wait).await?;
        broker.say(&Request::Prefetch(config.prefetch));
        broker.done("prefetch", wait).await?;
        broker.say(&Request::Look(&stream.queue));
        let Said::Queue { .. } = broker.step("queue", wait).await? else { return Err(Fault::Unexpected("queue")) };
        broker.say(&Request::Consume(&stream.queue));
        broker.done("consume", wait).await?;
        Ok(broker)
    }

    async fn dial(dialer: &Dialer, config: &Config) -> Result<Self, Fault> {
        let (reader, writer) = split(dialer.dial().await.map_err(Fault::Dial)?);
        let now = Instant::now();
        Ok(Self {
            reader,
            writer,
            input: BytesMut::new(),
            output: BytesMut::from(&PROTOCOL[..]),
            is_dirty: false,
            frame: FRAME,
            heartbeat: None,
            heard: now,
            said: now,
            partial: None,
            most: config.max_page.len() as u64,
        })
    }

    /// The answer to a step of the login.
    async fn step(&mut self, doing: &'static str, wait: Duration) -> Result<Said, Fault> {
        let answer = timeout(wait, self.next()).await.map_err(|_| Fault::Silent)?;
        match answer {
            // A broker may close without a word where it refuses a login.
            Err(Fault::Broken(_)) if doing == "login" => Err(Fault::Refused(403, "it closed the connection".into())),
            answer => answer,
        }
    }

    async fn done(&mut self, doing: &'static str, wait: Duration) -> Result<(), Fault> {
        match self.step(doing, wait).await? {
            Said::Step(done) if done == doing => Ok(()),
            _ => Err(Fault::Unexpected(doing)),
        }
    }

    fn say(&mut self, request: &Request<'_>) {
        let mut bytes = request.encode();
        self.output.extend_from_slice(&bytes);
        // It may hold the password.
        bytes.zeroize();
    }

    /// Acknowledges every message up to this one.
    pub(super) fn acknowledge(&mut self, tag: u64) {
        self.say(&Request::AckAll(tag));
    }

    /// Asks how full the queue is; the answer is among what is said next.
    pub(super) fn look(&mut self, queue: &str) {
        self.say(&Request::Look(queue));
    }

    /// Writes what is due and waits for what is said.
    ///
    /// # Errors
    /// When the connection is of no use any more.
    ///
    /// # Cancel safety
    /// Safe: what was read and what is to be written stays.
    pub(super) async fn next(&mut self) -> Result<Said, Fault> {
        loop {
            if let Some(said) = self.take()? {
                return Ok(said);
            }
            self.progress().await?;
        }
    }

    /// Reads, writes, or gives a sign of life: whichever is first.
    async fn progress(&mut self) -> Result<(), Fault> {
        let now = Instant::now();
        let (beat, dead) = match self.heartbeat {
            Some(every) => (self.said + every / 2, self.heard + every * 2),
            None => (now, now),
        };
        let has_output = !self.output.is_empty() || self.is_dirty;
        self.input.reserve(READ);
        tokio::select! {
            // What is there is read before anything is called silent.
            biased;
            read = self.reader.read_buf(&mut self.input) => {
                if read.map_err(Fault::Broken)? == 0 {
                    return Err(Fault::Broken(io::ErrorKind::UnexpectedEof.into()));
                }
                self.heard = Instant::now();
            }
            written = write(&mut self.writer, &mut self.output, &mut self.is_dirty), if has_output => {
                written.map_err(Fault::Broken)?;
                self.said = Instant::now();
            }
            () = sleep_until(beat), if self.heartbeat.is_some() && !has_output => {
                self.output.extend_from_slice(&HEARTBEAT);
            }
            () = sleep_until(dead), if self.heartbeat.is_some() => return Err(Fault::Silent),
        }
        Ok(())
    }

    /// What is said by the bytes that are there.
    fn take(&mut self) -> Result<Option<Said>, Fault> {
        loop {
            let Some((event, length)) = decode(&self.input, self.frame).map_err(Fault::Malformed)? else {
                return Ok(None);
            };
            let mut answer = None;
            let said = match event {
                Event::Start { mechanisms } => Some(Said::Start(mechanisms)),
                Event::Tune(tune) => Some(Said::Tune(tune)),
                Event::Secure => return Err(Fault::Refused(403, "it wants more than a password".into())),
                Event::Opened => Some(Said::Step("open")),
                Event::ChannelOpened => Some(Said::Step("channel")),
                Event::Limited => Some(Said::Step("prefetch")),
                Event::Consuming => Some(Said::Step("consume")),
                Event::Declared { messages, consumers } => Some(Said::Queue { messages, consumers }),
                Event::Deliver { tag, .. } => {
                    self.partial = Some(Partial { tag, length: None, bytes: BytesMut::new() });
                    None
                }
                Event::Length(length) => {
                    let partial = self.partial.as_mut().ok_or(Fault::Unexpected("a message"))?;
                    if length > self.most {
                        return Err(Fault::TooLarge(length));
                    }
                    partial.length = Some(length);
                    None
                }
                Event::Body(bytes) => {
                    let partial = self.partial.as_mut().ok_or(Fault::Unexpected("a message"))?;
                    if (partial.bytes.len() + bytes.len()) as u64 > partial.length.unwrap_or(0) {
                        return Err(Fault::Unexpected("a message"));
                    }
                    partial.bytes.extend_from_slice(bytes);
                    None
                }
                Event::Cancelled => return Err(Fault::Refused(404, "the queue is gone".into())),
                Event::Close { code, text, .. } => return Err(closed(code, text)),
                Event::Flow(active) => {
                    answer = Some(Request::Flow(active));
                    None
                }
                Event::Heartbeat | Event::Other => None,
            };
            if let Some(answer) = answer {
                self.output.extend_from_slice(&answer.encode());
            }
            bytes::Buf::advance(&mut self.input, length);
            if let Some(said) = said.or_else(|| self.whole()) {
                return Ok(Some(said));
            }
        }
    }

    /// The message, once it is whole.
    fn whole(&mut self) -> Option<Said> {
        let partial = self.partial.take_if(|partial| partial.length == Some(partial.bytes.len() as u64))?;
        Some(Said::Message(Message { tag: partial.tag, bytes: partial.bytes.freeze() }))
    }
}

/// 403 and 404 are about us (specification 1.3, reply codes); 530 is a virtual host that is not there or not ours.
fn closed(code: u16, text: String) -> Fault {
    match code {
        403 | 404 | 405 | 530 => Fault::Refused(code, text),
        _ => Fault::Closed(code, text),
    }
}

/// One channel, frames and silences of a bounded length.
fn agree(offer: Tune) -> Tune {
    let least = |offered: u32, ours: u32| if offered == 0 { ours } else { offered.min(ours) };
    let heartbeat = least(offer.heartbeat.into(), HEARTBEAT_SECONDS.into());
    Tune {
        channels: 1,
        frame: least(offer.frame, FRAME),
        heartbeat: u16::try_from(heartbeat).unwrap_or(HEARTBEAT_SECONDS),
    }
}

/// Writes some of what waits, and flushes it. Dropping it loses nothing.
async fn write(writer: &mut WriteHalf<Stream>, output: &mut BytesMut, is_dirty: &mut bool) -> io::Result<()> {
    while !output.is_empty() {
        if writer.write_buf(output).await? == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        *is_dirty = true;
    }
    writer.flush().await?;
    *is_dirty = false;
    Ok(())
}
