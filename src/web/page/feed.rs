//! What keeps open pages fresh: the overview as it is now, and events as they come in, as server-sent events.
//!
//! However many look at the overview, it is made once every two seconds for each span that somebody looks at, and not at all
//! while nobody does. Whoever looks is sent all of it once, and then the pieces that changed. Events are passed over rather than waited for: a tail shows what a person can read, and says how much
//! it left out.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::history::Span;
use super::view::Pieces;
use crate::control::Answer;

/// Fresh enough to see that something goes on.
const EVERY: Duration = Duration::from_secs(2);
/// A part that few look at, and that is quickly made.
const PART_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether who looks is still logged in.
const CHECK: Duration = Duration::from_secs(10);
/// Below the time after which common proxies and firewalls forget a quiet connection.
const ALIVE: Duration = Duration::from_secs(20);
/// Tails at once: each makes JSON of events for itself.
const TAILS: usize = 8;
/// Events that a tail shows within a second: more than anybody reads.
const SHOWN: u32 = 50;
/// Events that a tail looks through within a second for its text; what comes in faster is passed over.
const LOOKED_AT: u32 = 5_000;
/// Events between the tap and us.
const AHEAD: usize = 64;

type Body = Pin<Box<dyn Stream<Item = Result<Event, Infallible>> + Send>>;

/// The overview for whoever looks at it.
#[derive(Debug)]
pub(super) struct Feed {
    parts: [(Span, watch::Sender<Arc<Pieces>>); 3],
    somebody: Notify,
    tails: Arc<Semaphore>,
}

impl Default for Feed {
    fn default() -> Self {
        let parts = Span::ALL.map(|span| (span, watch::Sender::new(Arc::default())));
        Self { parts, somebody: Notify::new(), tails: Arc::new(Semaphore::new(TAILS)) }
    }
}

impl Feed {
    /// Makes the overview as long as somebody looks at it. Comes back when told to stop.
    pub(super) async fn run(&self, shared: &Shared, stop: &CancellationToken) {
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.parts.iter().all(|(_, part)| part.receiver_count() == 0) {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.somebody.notified() => {}
                }
            }
            for (span, part) in self.parts.iter().filter(|(_, part)| part.receiver_count() > 0) {
                part.send_replace(Arc::new(Pieces::of(&shared.overview(*span))));
            }
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
            }
        }
    }

    /// The overview from now on, for somebody with this session.
    pub(super) fn overview(
        shared: &Arc<Shared>,
        span: Span,
        token: String,
    ) -> Sse<impl Stream<Item = Result<Event, Infallible>> + use<>> {
        let feed = &shared.feed;
        let part = feed.parts.iter().find(|(of, _)| *of == span).or(feed.parts.first());
        let receiver = part.map(|(_, part)| part.subscribe());
        feed.somebody.notify_one();
        let state = (receiver, Arc::clone(shared), token, None::<Arc<Pieces>>, Instant::now() + CHECK);
        let stream = unfold(state, |(receiver, shared, token, before, mut check)| async move {
            let mut receiver = receiver?;
            loop {
                let changed = tokio::select! {
                    () = shared.context.stop.cancelled() => return None,
                    changed = receiver.changed() => changed,
                    () = sleep_until(check) => {
                        shared.accounts.visitor(&token, false)?;
                        check = Instant::now() + CHECK;
                        continue;
                    }
                };
                changed.ok()?;
                let now = Arc::clone(&receiver.borrow_and_update());
                if let Some(json) = now.since(before.as_deref()) {
                    let event = Event::default().event("overview").data(json);
                    return Some((Ok(event), (Some(receiver), shared, token, Some(now), check)));
                }
            }
        });
        Sse::new(stream).keep_alive(KeepAlive::new().interval(ALIVE))
    }

    /// A place among those who look at events; none where all are taken.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.tails).try_acquire_owned().ok()
    }

    /// Why there is none.
    pub(super) fn full() -> String {
        format!("{TAILS} people look at events already; close one of those pages")
    }

    /// A part of a page that changes, as long as somebody with this session looks at it: pushed when it is another one.
    pub(super) fn part<M, F>(
        shared: &Arc<Shared>,
        name: &'static str,
        token: String,
        make: M,
    ) -> Sse<impl Stream<Item = Result<Event, Infallible>> + use<M, F>>
    where
        M: Fn(Arc<Shared>) -> F + Send + 'static,
        F: Future<Output = Option<String>> + Send,
    {
        let state = (Arc::clone(shared), make, token, String::new(), Instant::now() + CHECK);
        let stream = unfold(state, move |(shared, make, token, last, mut check)| async move {
            loop {
                tokio::select! {
                    () = shared.context.stop.cancelled() => return None,
                    () = sleep_until(Instant::now() + PART_EVERY) => {}
                }
                if Instant::now() >= check {
                    shared.accounts.visitor(&token, false)?;
                    check = Instant::now() + CHECK;
                }
                let html = make(Arc::clone(&shared)).await.filter(|html| *html != last);
                if let Some(html) = html {
                    let event = Event::default().event(name).data(html.replace('\r', ""));
                    return Some((Ok(event), (shared, make, token, html, check)));
                }
            }
        });
        Sse::new(stream).keep_alive(KeepAlive::new().interval(ALIVE))
    }

    /// Events from now on, those of `source` that hold `text`, for somebody with this session.
    pub(super) fn tail(
        shared: &Arc<Shared>,
        source: Option<String>,
        text: &str,
        token: String,
    ) -> Sse<impl Stream<Item = Result<Event, Infallible>> + use<>> {
        let body: Body = match shared.feed.place() {
            Some(place) => {
                let (to, from) = mpsc::channel(AHEAD);
                let tap = Arc::clone(&shared.context.questions).tap(source, None, to);
                let text = text.to_lowercase();
                let now = Instant::now();
                let tail = Tail {
                    shared: Arc::clone(shared),
                    token,
                    text,
                    tap: Some(tap),
                    from,
                    pace: Pace { until: now + Duration::from_secs(1), shown: 0, looked_at: 0 },
                    missed: 0,
                    told: now,
                    check: now + CHECK,
                    _place: place,
                };
                Box::pin(unfold(tail, Tail::next))
            }
            None => {
                let event = Event::default().event("refused").data(Self::full());
                Box::pin(unfold(Some(event), |event| async move { event.map(|event| (Ok(event), None)) }))
            }
        };
        Sse::new(body).keep_alive(KeepAlive::new().interval(ALIVE))
    }
}

/// What a tail has done within this second.
#[derive(Debug)]
struct Pace {
    until: Instant,
    shown: u32,
    looked_at: u32,
}

/// One who looks at events.
struct Tail {
    shared: Arc<Shared>,
    token: String,
    text: String,
    /// Gone when it has ended.
    tap: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    from: mpsc::Receiver<Answer>,
    pace: Pace,
    /// Passed over since it was told last.
    missed: u64,
    told: Instant,
    check: Instant,
    _place: OwnedSemaphorePermit,
}

impl Tail {
    /// The next thing to tell, and the tail for what comes after it.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            let now = Instant::now();
            if now >= self.pace.until {
                self.pace = Pace { until: now + Duration::from_secs(1), shown: 0, looked_at: 0 };
            }
            if self.missed > 0 && now.duration_since(self.told) >= Duration::from_secs(1) {
                let event = Event::default().event("missed").data(self.missed.to_string());
                (self.missed, self.told) = (0, now);
                return Some((Ok(event), self));
            }
            // Who has looked through enough waits, and the tap passes over what comes meanwhile.
            let may_look = self.pace.looked_at < LOOKED_AT;
            let wake = if may_look && self.missed == 0 { self.check } else { self.pace.until.min(self.check) };
            let (has_tap, tap) = (self.tap.is_some(), self.tap.as_mut());
            let answer = tokio::select! {
                biased;
                () = self.shared.context.stop.cancelled() => return None,
                answer = self.from.recv(), if may_look => answer?,
                () = async { if let Some(tap) = tap { tap.await } }, if has_tap => {
                    self.tap = None;
                    continue;
                }
                () = sleep_until(wake) => {
                    if Instant::now() >= self.check {
                        self.shared.accounts.visitor(&self.token, false)?;
                        self.check = Instant::now() + CHECK;
                    }
                    continue;
                }
            };
            if let Some(event) = self.take(answer) {
                return Some((Ok(event), self));
            }
        }
    }

    fn take(&mut self, answer: Answer) -> Option<Event> {
        match answer {
            Answer::Event(json) => {
                self.pace.looked_at += 1;
                let is_wanted = self.text.is_empty() || json.get().to_lowercase().contains(&self.text);
                if !is_wanted {
                    return None;
                }
                if self.pace.shown >= SHOWN {
                    self.missed += 1;
                    return None;
                }
                self.pace.shown += 1;
                Some(Event::default().event("event").data(json.get()))
            }
            // Batches; how many events they held is not known here.
            Answer::Missed(batches) => {
                self.missed += batches;
                None
            }
            Answer::Refused(why) => Some(Event::default().event("refused").data(why)),
            _ => None,
        }
    }
}
