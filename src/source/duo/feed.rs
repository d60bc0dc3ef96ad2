//! The feed of a log: windows, pages, how far it is.
//!
//! A log that comes in the order of time moves its position with every page, so that a restart goes on near where it was; the
//! others move it at the end of a window. A page that could not be had for a passing reason is asked for again by its cursor;
//! after any other error the window is cut anew. A record's id is the vendor's id with its time, or else of all its bytes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::answer::Listed;
use super::api::Api;
use super::log::{DuoLog, Marks, Paging};
use super::words;
use crate::clock::Timestamp;
use crate::source::pull::{Feed, Hole, Next, Page, Plan, Position, Pulled, RecordId, Trouble, Window};
use crate::status::Cause;

/// The mark of how far a feed is, as [`Plan`] names it.
const THROUGH: &str = "through";
/// Pages of one window; more are cursors in a circle.
const MOST_PAGES: u32 = 1_000_000;
/// A page of version 1 with fewer records than this is surely the last: no limit of the vendor's is lower.
const SURELY_LAST: usize = 100;
/// What version 1 gives at most, roughly.
const FULL: usize = 1_000;
/// Looking through what was seen takes some milliseconds: in a long window it is done after so many pages.
const FORGET_EVERY: u32 = 16;
/// If an answer says that our clock was ahead by more than this, the window was cut wrong.
const AHEAD: u64 = 5_000_000;
const SECOND: u64 = 1_000_000;

/// The feed of a log.
#[derive(Debug)]
pub(super) struct LogFeed {
    api: Arc<Api>,
    log: DuoLog,
    plan: Plan,
    name: String,
    open: Option<Open>,
}

/// A window that is being read.
#[derive(Debug)]
struct Open {
    window: Window,
    /// Where the next page is, by cursor...
    cursor: Option<String>,
    /// ...or by time.
    from: Timestamp,
    pages: u32,
    /// The time of the latest record.
    reached: Option<Timestamp>,
    is_ordered: bool,
}

/// A page's records with what the feed needs to know of them.
struct Read {
    records: Vec<Pulled>,
    first: Option<Timestamp>,
    /// The latest.
    last: Option<Timestamp>,
    is_ordered: bool,
}

impl LogFeed {
    pub(super) fn new(api: Arc<Api>, log: DuoLog, plan: Plan) -> Self {
        let name = format!("{}/{}", api.host, log.name());
        Self { api, log, plan, name, open: None }
    }

    /// One authenticated request, for a test: a minute that is old enough.
    pub(super) async fn probe(&self) -> Result<(), Trouble> {
        // A first answer may only tell the time.
        for _ in 0..2 {
            let to = self.api.way.now().0.saturating_sub(122 * SECOND);
            let (from, to) = (Timestamp(to.saturating_sub(60 * SECOND)), Timestamp(to));
            let mut parameters = self.parameters(from, to, None);
            parameters.iter_mut().filter(|(name, _)| *name == "limit").for_each(|(_, value)| *value = "1".to_owned());
            if self.api.page(self.log, &parameters).await?.is_some() {
                break;
            }
        }
        Ok(())
    }

    fn parameters(&self, from: Timestamp, to: Timestamp, cursor: Option<&str>) -> Vec<(&'static str, String)> {
        if self.log.paging() == Paging::Seconds {
            return vec![("mintime", (from.0 / SECOND).to_string())];
        }
        let millis = |time: Timestamp| (time.0 / 1_000).to_string();
        let mut parameters = vec![("mintime", millis(from)), ("maxtime", millis(to))];
        parameters.extend(self.log.limit().map(|limit| ("limit", limit.to_string())));
        let cursor = cursor.map(str::to_owned);
        if self.log.paging() == Paging::Ordered {
            // The default is newest first, with which paging loses and repeats.
            parameters.push(("sort", "ts:asc".to_owned()));
            parameters.extend(cursor.map(|cursor| ("next_offset", cursor)));
        } else {
            parameters.extend(cursor.map(|cursor| ("offset", cursor)));
        }
        parameters
    }

    async fn ask(&self, open: &Open) -> Result<Option<Listed>, Trouble> {
        let parameters = self.parameters(open.from, open.window.to, open.cursor.as_deref());
        self.api.page(self.log, &parameters).await
    }

    fn read(&self, records: Vec<Bytes>) -> Read {
        let mut read = Read { records: Vec::with_capacity(records.len()), first: None, last: None, is_ordered: true };
        for bytes in records {
            let (id, time) = self.mark(&bytes);
            read.is_ordered &= time.is_some_and(|time| read.last.is_none_or(|last| last <= time));
            read.first = read.first.or(time);
            read.last = read.last.max(time);
            read.records.push(Pulled { id, remember: Some(time.unwrap_or_else(|| self.api.way.now())), bytes });
        }
        read
    }

    fn mark(&self, bytes: &[u8]) -> (RecordId, Option<Timestamp>) {
        let marks = Marks::of(self.log, bytes);
        let (kind, host, log) = (b"duo".as_slice(), self.api.host.as_bytes(), self.log.name().as_bytes());
        let id = match marks.id {
            Some(id) => {
                RecordId::of(&[kind, host, log, id.as_bytes(), marks.written.as_bytes(), marks.version.as_bytes()])
            }
            None => RecordId::of(&[kind, host, log, bytes]),
        };
        (id, marks.time)
    }

    /// Moves on to the next page of a window; whether there is one.
    fn follow(&self, open: &mut Open, next: Option<String>, read: &Read) -> Result<Follow, Trouble> {
        open.pages += 1;
        let goes_on = open.reached.zip(read.first).is_none_or(|(reached, first)| reached <= first);
        open.is_ordered &= read.is_ordered && goes_on;
        open.reached = open.reached.max(read.last);
        if self.log.paging() == Paging::Seconds {
            return self.follow_seconds(open, read);
        }
        let Some(next) = next else { return Ok(Follow::End) };
        if open.cursor.as_ref() == Some(&next) || open.pages >= MOST_PAGES {
            return Err(words::odd(self.log, &self.api.host));
        }
        open.cursor = Some(next);
        Ok(Follow::More)
    }

    /// A log of version 1 has no end and no cursor: the next page begins with the second of the last record.
    fn follow_seconds(&self, open: &mut Open, read: &Read) -> Result<Follow, Trouble> {
        let count = read.records.len();
        let Some(last) = read.last else {
            return if count < SURELY_LAST { Ok(Follow::End) } else { Err(words::odd(self.log, &self.api.host)) };
        };
        if count < SURELY_LAST || last >= open.window.to || open.pages >= MOST_PAGES {
            return Ok(Follow::End);
        }
        let last = whole(last);
        if last > open.from {
            open.from = last;
            return Ok(Follow::More);
        }
        if count < FULL {
            return Ok(Follow::End);
        }
        let what = format!("Duo gives no more than {count} records of one second in this log");
        open.from = Timestamp(last.0 + SECOND);
        Ok(Follow::MoreWithout(Hole { what, from: last, to: open.from }))
    }

    /// The part of a window that was had after a page in its middle, as a window.
    fn progress(&self, open: &Open, position: &Position) -> Option<Window> {
        let to = match self.log.paging() {
            Paging::Ordered => whole(open.reached.filter(|_| open.is_ordered)?),
            Paging::Seconds => open.from,
            Paging::Unordered => return None,
        };
        let before = position.time(THROUGH).unwrap_or(open.window.from);
        let is_further = to > before && to <= open.window.to;
        is_further.then(|| Window { to, is_sweep: false, hole: None, ..open.window.clone() })
    }

    /// Whether a window was cut by a clock that turned out to be ahead of the vendor's.
    fn is_ahead(&self, window: &Window) -> bool {
        let settle = u64::try_from(self.plan.settle.as_micros()).unwrap_or(u64::MAX);
        let end = self.api.way.now().0.saturating_sub(settle);
        window.to.0 > end.saturating_add(AHEAD)
    }
}

/// What follows a page.
enum Follow {
    More,
    /// There is more, but something cannot be had.
    MoreWithout(Hole),
    End,
}

fn whole(time: Timestamp) -> Timestamp {
    Timestamp(time.0 - time.0 % SECOND)
}

impl Feed for LogFeed {
    fn name(&self) -> &str {
        &self.name
    }

    async fn pull(&mut self, position: &Position) -> Result<Page, Trouble> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => match self.plan.next(position, self.api.way.now()) {
                Some(window) => {
                    let from = window.from;
                    Open { window, cursor: None, from, pages: 0, reached: None, is_ordered: true }
                }
                None => return Ok(Page { next: Next::Later, ..Page::default() }),
            },
        };
        let permit = self.api.place().await;
        if self.is_ahead(&open.window) {
            // Another log's answer has told the time meanwhile.
            return Ok(Page::default());
        }
        let listed = match self.ask(&open).await {
            Ok(Some(listed)) => listed,
            Ok(None) => {
                self.open = Some(open).filter(|open| !self.is_ahead(&open.window));
                return Ok(Page::default());
            }
            Err(trouble) => {
                if trouble.cause == Cause::Unreachable && !self.is_ahead(&open.window) {
                    self.open = Some(open);
                }
                return Err(trouble);
            }
        };
        if self.is_ahead(&open.window) {
            // The answer told the time: the window ends in the future, and what is written until then would be passed over.
            return Ok(Page::default());
        }
        let read = self.read(listed.records);
        let mut page = Page { permit, holes: open.window.hole.take().into_iter().collect(), ..Page::default() };
        let follow = self.follow(&mut open, listed.next, &read)?;
        page.records = read.records;
        if let Follow::End = follow {
            page.marks = self.plan.done(&open.window);
            page.forget = Some(self.plan.forget(&open.window));
            page.through = Some(open.window.to);
            page.next = if open.window.is_last { Next::Later } else { Next::Now };
            return Ok(page);
        }
        if let Some(window) = self.progress(&open, position) {
            page.marks = self.plan.done(&window);
            page.through = Some(window.to);
            page.forget = Some(self.plan.forget(&window)).filter(|_| open.pages.is_multiple_of(FORGET_EVERY));
        }
        if let Follow::MoreWithout(hole) = follow {
            page.holes.push(hole);
        }
        self.open = Some(open);
        Ok(page)
    }
}

/// How a log's time is cut.
pub(super) fn plan(backfill: Duration, overlap: Duration) -> Plan {
    const DAY: Duration = Duration::from_secs(86_400);
    Plan {
        backfill,
        // The last 180 days can be asked for; less an hour, so that a question on its way does not become too old.
        retention: 180 * DAY - Duration::from_secs(3_600),
        // Records come in order with a cursor, so a long window costs no more than a short one.
        span: 30 * DAY,
        overlap,
        sweep: DAY,
        longest: 32 * DAY,
        // Duo withholds what is younger than two minutes (Authentication Logs); where our clock is wrong we know Duo's to a second.
        settle: Duration::from_secs(122),
    }
}
