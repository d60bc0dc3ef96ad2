//! Syslog over TLS to one collector (RFC 5425, octet counting).
//!
//! **No acknowledgement exists in this protocol.** Events count as delivered when the kernel at the other end has taken
//! their bytes; when the collector dies before it reads them they are lost, and nobody can know which. What is done about
//! it: little is kept unsent in our kernel, the read side is watched (a collector sends nothing, so its end of file is the
//! only sign that it left), a chunk counts only once the other end's kernel has confirmed its bytes (`SIOCOUTQ`), and chunks
//! that were on their way when the connection broke are sent again as a whole. `rfc5424` carries the event id, by which repeats can be told.
//!
//! - `original`: the bytes as they came, header and all. What did not come as syslog (Beats, notices) goes as `rfc5424`.
//! - `rfc5424`: a header made of what was understood; see `frame`.
//!
//! Facts: RFC 5425 section 4.3 (MSG-LEN SP SYSLOG-MSG; any byte may be inside), section 4.4.1 (the port).
//!
//! Not supported: plain TCP with line feeds (a line feed inside a message would cut it in two), UDP, RELP.

mod frame;
mod way;

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf};
use tokio::time::{sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use self::frame::Frames;
use self::way::Way;
use super::deliver::{self, Ended, FarEnd, Report, Trouble};
use super::feed::{Chunk, ChunkLimits, Feed};
use super::reach::{self, Reach, Transport};
use super::{Context, OutputError};
use crate::event::OutputId;
use crate::form::Finding;
use crate::net::tls::ClientConfig;
use crate::net::{Dialer, Endpoint, Stream};
use crate::quantity::Span;
use crate::status::Count;

/// What is encoded at once. Every chunk costs some wake-ups of other threads: of 256 KiB they were a tenth of all work.
const CHUNK: ChunkLimits = ChunkLimits { events: 4_096, bytes: 1 << 20 };
/// Bytes on their way before the first of them must be there: what comes twice at most when the connection breaks. Carries
/// 28 MB a second over 150 ms; Linux gives a socket no more by default (`tcp_wmem`).
const ON_THE_WAY: u64 = 4 << 20;
/// Bytes that may wait in our kernel and not be on their way. It wakes us for more when there are less.
const UNSENT: u32 = 512 << 10;
/// A collector that takes no byte for this long is left.
const STUCK: Duration = Duration::from_secs(30);
/// How long what is on its way may still take when we stop, and closing after it.
const DRAIN: Duration = Duration::from_secs(3);

/// An `[[output]]` of type `syslog`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name of this output: lower_snake_case.
    #[schemars(with = "String")]
    pub id: OutputId,
    /// Whether it runs; while it does not, events wait for it in the queue.
    #[serde(default = "crate::output::enabled")]
    pub enabled: bool,
    /// The collector: a host and a port.
    pub endpoint: Endpoint,
    /// What is sent.
    #[serde(default)]
    pub format: Format,
    /// Whether the connection is inside TLS.
    #[serde(default)]
    pub transport: Transport,
    /// Time to look up the name, to connect to each of its addresses, and for the proxy to answer.
    #[serde(default = "reach::connect_timeout")]
    pub connect_timeout: Span,
    /// Shortest wait between tries to connect.
    #[serde(default = "reach::backoff_min")]
    pub backoff_min: Span,
    /// Longest wait between tries to connect.
    #[serde(default = "reach::backoff_max")]
    pub backoff_max: Span,
    /// HTTP proxy (CONNECT) on the way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Endpoint>,
    /// User at the proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_user: Option<String>,
    /// File with the password at the proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_password_file: Option<PathBuf>,
    /// Whether the queue may let events go that only this output lacks, when space runs out.
    #[serde(default)]
    pub may_skip: bool,
    /// Whom we trust, and our own certificate.
    #[serde(default)]
    pub tls: ClientConfig,
}

/// What is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// The bytes as they came.
    #[default]
    Original,
    /// A header of RFC 5424 made of what was understood, with the event id in its structured data.
    Rfc5424,
}

impl Config {
    /// See [`super::Config::validate`].
    pub(super) fn validate(&self) -> Vec<(String, String)> {
        self.reach().validate()
    }

    /// See [`super::Config::open_files`].
    pub(super) fn open_files(&self) -> Vec<(String, String)> {
        self.reach().open_files()
    }

    /// See [`super::test`].
    pub(super) async fn test(&self) -> Vec<Finding> {
        self.reach().test(std::slice::from_ref(&self.endpoint)).await
    }

    fn reach(&self) -> Reach<'_> {
        Reach {
            transport: self.transport,
            tls: &self.tls,
            proxy: self.proxy.as_ref(),
            proxy_user: self.proxy_user.as_ref(),
            proxy_password_file: self.proxy_password_file.as_ref(),
            connect_timeout: self.connect_timeout,
            backoff_min: self.backoff_min,
            backoff_max: self.backoff_max,
        }
    }
}

/// See [`super::run`].
pub(super) async fn run(config: &Config, context: Context) -> Result<(), OutputError> {
    let reach = config.reach();
    let tls = reach.connector()?;
    let collector = Collector { dialer: reach.dialer(&config.endpoint, tls.as_ref()) };
    let format = Box::new(Frames::new(config.format, &context));
    let feed = Feed::new(context.reader, context.status.clone(), format, CHUNK);
    let Some(report) = Report::lines(&context.status, 1).next() else { return Ok(()) };
    deliver::run(collector, feed, reach.backoff(), report, context.stop).await
}

struct Collector {
    dialer: Dialer,
}

impl FarEnd for Collector {
    type Link = Stream;

    async fn open(&mut self, _report: &Report) -> Result<Stream, Trouble> {
        let stream = self.dialer.dial().await?;
        if let Err(error) = stream.keep_unsent_below(UNSENT) {
            tracing::debug!(%error, "the kernel keeps more unsent than it should");
        }
        Ok(stream)
    }

    async fn deliver(&mut self, link: Stream, feed: &mut Feed, report: &Report, stop: &CancellationToken) -> Ended {
        let mut stream = link;
        let mut way = Way::new();
        loop {
            let look = way.next_look();
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    let _ = timeout(DRAIN, arrive(&mut stream, &mut way, feed)).await;
                    let _ = timeout(DRAIN, stream.shutdown()).await;
                    return Ended::Stopped;
                }
                error = hung_up(&mut stream) => return self.left(error, feed.unacked(), report),
                () = feed.prepare(), if way.has_room() => {}
                () = sleep_until(look), if !way.is_empty() => {}
            }
            if way.has_room()
                && let Some(chunk) = feed.take()
            {
                let chunk = match chunk {
                    Ok(chunk) => chunk,
                    Err(halt) => return halt.into(),
                };
                let sent = tokio::select! {
                    sent = feed.beside(send(&mut stream, &chunk)) => sent,
                    () = stopped(stop) => return Ended::Stopped,
                };
                if let Err(error) = sent {
                    return self.left(error, feed.unacked(), report);
                }
                report.status().counters().add(Count::SentBytes, chunk.bytes.len() as u64);
                way.add(&chunk);
                feed.recycle(chunk);
            }
            match way.look(&stream) {
                Err(error) => return self.left(error, feed.unacked(), report),
                Ok(0) => {}
                Ok(events) => {
                    if !feed.has_progressed() {
                        report.up();
                    }
                    feed.acked(events);
                }
            }
        }
    }
}

impl Collector {
    /// How a connection ended on which this many events were on their way.
    fn left(&self, error: io::Error, events: u64, report: &Report) -> Ended {
        if events == 0 && error.kind() == io::ErrorKind::UnexpectedEof {
            return Ended::Quiet;
        }
        report.count(Count::BrokenConnections);
        let endpoint = &self.dialer.endpoint;
        Ended::Lost(match error.kind() {
            io::ErrorKind::UnexpectedEof => Trouble::new(
                format!("{endpoint} closed the connection while {events} events were on their way"),
                "look at the collector's log; the events are sent again",
            ),
            io::ErrorKind::TimedOut => Trouble::new(
                format!("{endpoint} takes no more bytes; {events} events are on their way"),
                "the collector is overloaded or the network is down; the events are sent again",
            ),
            _ => self.dialer.explain(error).into(),
        })
    }
}

/// Waits until we are told to stop and the time for the rest is over.
async fn stopped(stop: &CancellationToken) {
    stop.cancelled().await;
    sleep(DRAIN).await;
}

/// Hands a chunk to the kernel.
async fn send(stream: &mut Stream, chunk: &Chunk) -> io::Result<()> {
    let mut rest = chunk.bytes.as_slice();
    while !rest.is_empty() {
        let count = timeout(STUCK, write_some(stream, rest)).await.map_err(|_| io::ErrorKind::TimedOut)??;
        rest = rest.get(count..).unwrap_or_default();
    }
    timeout(STUCK, stream.flush()).await.map_err(|_| io::ErrorKind::TimedOut)?
}

/// Waits until all that was sent has arrived, or the other end has left.
async fn arrive(stream: &mut Stream, way: &mut Way, feed: &mut Feed) {
    while let Ok(events) = way.look(stream) {
        feed.acked(events);
        let hung_up = timeout_at(way.next_look(), hung_up(stream)).await.is_ok();
        if hung_up || way.is_empty() {
            return;
        }
    }
}

/// Waits until the other end closes or fails. What it says meanwhile is read and forgotten: collectors say nothing.
async fn hung_up(stream: &mut Stream) -> io::Error {
    std::future::poll_fn(|context| {
        let mut waste = [0; 512];
        loop {
            let mut buffer = ReadBuf::new(&mut waste);
            match ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer)) {
                Ok(()) if buffer.filled().is_empty() => return Poll::Ready(io::ErrorKind::UnexpectedEof.into()),
                Ok(()) => {}
                Err(error) => return Poll::Ready(error),
            }
        }
    })
    .await
}

/// Writes what goes, but not to one that has left.
async fn write_some(stream: &mut Stream, bytes: &[u8]) -> io::Result<usize> {
    tokio::select! {
        biased;
        error = hung_up(stream) => return Err(error),
        () = std::future::ready(()) => {}
    }
    std::future::poll_fn(|context| {
        let mut waste = [0; 512];
        let mut buffer = ReadBuf::new(&mut waste);
        match Pin::new(&mut *stream).poll_write(context, bytes) {
            Poll::Pending => {}
            ready => return ready,
        }
        // Woken by either: a collector that leaves while we wait for room must be noticed.
        match ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer)) {
            Ok(()) if buffer.filled().is_empty() => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            Ok(()) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    })
    .await
}
