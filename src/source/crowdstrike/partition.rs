//! One partition: its connection, its lines, and how far it was read.
//!
//! Facts: offsets rise within a partition, with gaps; `offset=N` begins at N, and one event may come again, so the last offset and one more is
//! asked for, and what is not beyond the last is passed over (`place`; CrowdStrike/falcon-integration-gateway; elastic/beats). Empty lines are signs of
//! life. The server ends a stream with its session, without the last chunk; after about four hours its token is no longer taken: 401, 403
//! or 404 mean discovery. Events are kept for 7 days (some documents say 30; unconfirmed): a stream whose first event is later than what
//! was asked for, after a longer stop than that, has a hole.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::discovery::Session;
use super::event::Metadata;
use super::falcon::{Falcon, Stream};
use super::format::Mapper;
use super::place::{Place, Step, millis};
use super::settings::Begin;
use crate::event::Kind;
use crate::net::Backoff;
use crate::net::http::Answer;
use crate::source::pull::{Feed, Line, Lines, Next, Page, Position, Pulled, RecordId, Trouble, before};
use crate::status::{Count, Gauge, Handle};

/// A page holds what came at once, up to so many bytes and lines.
const PAGE: usize = 512 << 10;
const MOST_LINES: usize = 4_096;
/// A quiet stream says that it lives after this long.
const QUIET: Duration = Duration::from_secs(3);
/// A connection that lasts this long is no short one.
const STEADY: Duration = Duration::from_secs(30);

/// A connection.
struct Open {
    answer: Answer,
    lines: Lines,
    since: Instant,
    heard: Instant,
    has_spoken: bool,
    /// The offset that was asked for, until the first event came.
    asked: Option<u64>,
    status: Handle,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.status.counters().lower(Gauge::OpenFeeds, 1);
    }
}

/// What reading came to.
enum Heard {
    Lines,
    Nothing,
    End,
}

/// The feed of a partition, as long as its session lasts.
pub(super) struct Partition {
    falcon: Arc<Falcon>,
    mapper: Arc<Mapper>,
    stream: Arc<Stream>,
    session: Arc<Session>,
    status: Handle,
    _held: Option<TaskTrackerToken>,
    name: String,
    place: Option<Place>,
    open: Option<Open>,
    /// Before the next connection.
    pause: Option<Duration>,
    patience: Backoff,
}

impl Partition {
    pub(super) fn new(
        falcon: Arc<Falcon>,
        mapper: Arc<Mapper>,
        stream: Arc<Stream>,
        session: Arc<Session>,
        status: Handle,
    ) -> Self {
        let (min, max) = falcon.config.pace().backoff;
        let (name, patience) = (format!("partition-{}", stream.partition), Backoff::new(min, max));
        let (_held, place, open, pause) = (None, None, None, None);
        Self { falcon, mapper, stream, session, status, _held, name, place, open, pause, patience }
    }

    /// Gives `token` back when it is gone.
    pub(super) fn held_by(self, token: TaskTrackerToken) -> Self {
        Self { _held: Some(token), ..self }
    }

    /// Connects after what was had; false where the session is over.
    async fn connect(&mut self) -> Result<bool, Trouble> {
        if let Some(pause) = self.pause.take() {
            sleep(pause).await;
        }
        let asked = self.place.map(|place| place.offset.saturating_add(1));
        let from = asked.or((self.falcon.config.begin == Begin::Oldest).then_some(0));
        // A server that takes the connection and then says nothing.
        let limit = self.falcon.config.read_timeout.0;
        let connected = timeout(limit, self.falcon.connect(&self.stream, from)).await;
        let late = |_| Err((None, self.silent()));
        let answer = match connected.unwrap_or_else(late) {
            Ok(answer) => answer,
            Err((Some(401 | 403 | 404), trouble)) => {
                self.session.end(trouble);
                return Ok(false);
            }
            Err((_, trouble)) => return Err(trouble),
        };
        let now = Instant::now();
        tracing::info!(feed = self.name, offset = from, "a stream is connected");
        self.session.connected();
        self.status.counters().add(Count::Connections, 1);
        self.status.counters().raise(Gauge::OpenFeeds, 1);
        let lines = Lines::new(self.falcon.config.max_event.len());
        let status = self.status.clone();
        self.open = Some(Open { answer, lines, since: now, heard: now, has_spoken: false, asked, status });
        Ok(true)
    }

    /// Reads what is there, or waits a while for the first of it.
    async fn read(&mut self, lines: &mut Vec<Line>) -> Result<Heard, Trouble> {
        let Some(open) = &mut self.open else { return Ok(Heard::End) };
        let (limit, mut bytes) = (self.falcon.config.read_timeout.0, 0);
        while bytes < PAGE && lines.len() < MOST_LINES {
            let wait =
                if lines.is_empty() { QUIET.min(limit.saturating_sub(open.heard.elapsed())) } else { Duration::ZERO };
            match timeout(wait, open.answer.chunk()).await {
                Ok(Ok(Some(chunk))) => {
                    (open.heard, open.has_spoken) = (Instant::now(), true);
                    bytes += chunk.len();
                    open.lines.push(&chunk, lines);
                    // Signs of life make no page, but they are told.
                    if lines.is_empty() && bytes > 0 {
                        return Ok(Heard::Nothing);
                    }
                }
                Ok(Ok(None)) => return Ok(Heard::End),
                Ok(Err(error)) => {
                    tracing::debug!(feed = self.name, %error, "a stream ended");
                    return Ok(Heard::End);
                }
                Err(_) if !lines.is_empty() => break,
                Err(_) if open.heard.elapsed() >= limit => return Err(self.silent()),
                Err(_) => return Ok(Heard::Nothing),
            }
        }
        Ok(Heard::Lines)
    }

    fn silent(&self) -> Trouble {
        let (partition, limit) = (&self.stream.partition, self.falcon.config.read_timeout);
        Trouble::passing(format!("the stream of partition {partition} sent nothing for {limit}"), None)
    }

    /// The connection has ended; whether it had not said a word.
    fn ended(&mut self) -> bool {
        let Some(open) = self.open.take() else { return true };
        self.pause = (open.since.elapsed() < STEADY).then(|| self.patience.next_delay());
        if self.pause.is_none() {
            self.patience.reset();
        }
        !open.has_spoken
    }

    /// A page of these lines.
    fn page(&mut self, lines: &[Line]) -> Page {
        let mut page = Page { through: Some(self.falcon.way.now()), ..Page::default() };
        for line in lines {
            self.take(line, &mut page);
        }
        page.marks.extend(self.place.into_iter().flat_map(Place::marks));
        page
    }

    fn take(&mut self, line: &Line, page: &mut Page) {
        let metadata = Metadata::of(&line.bytes);
        let found = metadata.clone().unwrap_or_default();
        let stream = Arc::clone(&self.stream);
        let partition = stream.partition.as_bytes();
        let id = if let Some(offset) = found.offset {
            let asked = self.open.as_mut().and_then(|open| open.asked.take());
            let kept = before(self.falcon.way.now(), self.falcon.config.retention.0);
            match Place::step(&mut self.place, offset, found.created.unwrap_or(0), asked, kept) {
                Step::Had => return,
                Step::On => {}
                Step::Hole(hole) => page.holes.push(hole),
            }
            let (offset, era) = (offset.to_string(), self.place.unwrap_or_default().era.to_string());
            let mut parts: Vec<&[u8]> = vec![b"crowdstrike", found.customer.as_bytes(), partition, offset.as_bytes()];
            if era != "0" {
                parts.push(era.as_bytes());
            }
            RecordId::of(&parts)
        } else {
            // It has no place of its own: named by its text and what it stands behind.
            let after = self.place.unwrap_or_default().offset.to_string();
            RecordId::of(&[b"crowdstrike", b"unplaced", partition, after.as_bytes(), &line.bytes])
        };
        let config = &self.falcon.config;
        let wanted = &config.event_types;
        let is_wanted = found.event_type.is_empty() || wanted.is_empty() || wanted.contains(&found.event_type);
        if !is_wanted || config.skip_event_types.contains(&found.event_type) {
            return;
        }
        let bytes = self.mapper.form(&line.bytes, metadata.as_ref(), self.falcon.way.now());
        page.cut.extend(line.cut_from.map(|length| (id, length)));
        page.through = found.created.map(millis).or(page.through);
        page.records.push(Pulled { id, remember: None, bytes });
    }
}

impl Feed for Partition {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> Kind {
        self.mapper.kind()
    }

    async fn pull(&mut self, position: &Position) -> Result<Page, Trouble> {
        let over = || Ok(Page { next: Next::Over, ..Page::default() });
        let session = Arc::clone(&self.session);
        if session.is_over() {
            return over();
        }
        self.place = self.place.or_else(|| Place::of(position));
        if self.open.is_none() {
            let is_connected = tokio::select! {
                () = session.over() => return over(),
                connected = self.connect() => connected?,
            };
            if !is_connected {
                return over();
            }
        }
        let mut lines = Vec::new();
        let heard = tokio::select! {
            () = session.over() => return over(),
            heard = self.read(&mut lines) => heard,
        };
        let is_end = !matches!(heard, Ok(Heard::Lines | Heard::Nothing));
        let page = self.page(&lines);
        if is_end && self.ended() && page.records.is_empty() {
            let pause = self.pause;
            let what = format!("the stream of partition {} ended without a word", self.stream.partition);
            heard?;
            return Err(Trouble::passing(what, pause));
        }
        heard?;
        Ok(page)
    }
}
