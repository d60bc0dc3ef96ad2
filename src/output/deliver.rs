//! The one loop all outputs share: reach the far end, deliver until it is lost, say in words what is wrong, wait, again.
//!
//! The wait doubles from try to try and starts again from the least once anything was acknowledged. What the health says
//! stays until something is acknowledged again: a far end that takes connections but no events is not healthy.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::OutputError;
use super::feed::{Feed, Halt};
use crate::net::{Backoff, DialError};
use crate::queue::Reader;
use crate::status::{Cause, Count, Gauge, Handle, Health};

/// A connection that the far end closes within this time, with nothing acknowledged, did not do its work: load balancers
/// without a machine behind them do so. Readers of Lumberjack close idle connections after 60 s.
pub(super) const BRIEF: Duration = Duration::from_secs(5);

/// What keeps an output from sending, in words: what it is, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) what: String,
    pub(super) todo: String,
    pub(super) cause: Option<Cause>,
}

impl Trouble {
    pub(super) fn new(what: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { what: what.into(), todo: todo.into(), cause: None }
    }

    pub(super) fn because(self, cause: impl Into<Option<Cause>>) -> Self {
        Self { cause: cause.into(), ..self }
    }
}

impl From<DialError> for Trouble {
    fn from(error: DialError) -> Self {
        let cause = match &error {
            error if error.is_tls() => Cause::Tls,
            error if error.is_login() => Cause::Login,
            _ => Cause::Unreachable,
        };
        Self::new(error.what(), error.todo()).because(cause)
    }
}

/// How a link ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// We were told to stop, or the queue is closed.
    Stopped,
    /// The far end closed it while nothing was outstanding, as servers do with idle connections.
    Quiet,
    /// We left it for a better one, which is open already.
    Moved,
    /// Something is wrong.
    Lost(Trouble),
    /// The encoder panicked.
    Panicked,
}

impl From<Halt> for Ended {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Closed(_) => Self::Stopped,
            Halt::Panicked => Self::Panicked,
        }
    }
}

/// Where an output sends to: a gateway, a list of them, a file.
pub(super) trait FarEnd: Send {
    /// An open connection or file.
    type Link: Send;

    /// Which far end of a list a link leads to.
    fn place(_link: &Self::Link) -> usize {
        0
    }

    /// Reaches it. May be cancelled at any time.
    fn open(&mut self, report: &Report) -> impl Future<Output = Result<Self::Link, Trouble>> + Send;

    /// Delivers what the feed gives until it ends. Once `stop` is cancelled it sends nothing new, waits briefly for what
    /// is outstanding, and closes.
    fn deliver(
        &mut self,
        link: Self::Link,
        feed: &mut Feed,
        report: &Report,
        stop: &CancellationToken,
    ) -> impl Future<Output = Ended> + Send;
}

/// Runs the loop until `stop`.
///
/// # Errors
/// When the encoder panicked: the output has to be built again.
pub(super) async fn run(
    far: impl FarEnd,
    feed: Feed,
    backoff: Backoff,
    report: Report,
    stop: CancellationToken,
) -> Result<(), OutputError> {
    let (reader, status) = (feed.reader().clone(), report.status().clone());
    tokio::select! {
        ended = deliver(far, feed, backoff, report, stop) => ended,
        () = show_waiting(&reader, &status) => Ok(()),
    }
}

/// Shows for ever how many events wait for this output, and for how long.
async fn show_waiting(reader: &Reader, status: &Handle) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        status.counters().set(Gauge::QueuedEvents, reader.waiting());
        let age = reader.oldest().await.map_or(Duration::ZERO, |came| status.now().since(came));
        status.counters().set(Gauge::OldestSeconds, age.as_secs());
    }
}

async fn deliver<F: FarEnd>(
    mut far: F,
    mut feed: Feed,
    mut backoff: Backoff,
    report: Report,
    stop: CancellationToken,
) -> Result<(), OutputError> {
    // Where the last link led, if it was lost without a single acknowledgement.
    let mut useless = None;
    let mut was_away = false;
    loop {
        let opened = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            opened = far.open(&report) => opened,
        };
        let since = Instant::now();
        let (place, ended) = match opened {
            Ok(link) => {
                let place = F::place(&link);
                if std::mem::take(&mut was_away) {
                    feed.resume();
                }
                report.count(Count::Connections);
                if useless != Some(place) {
                    report.up();
                }
                (place, far.deliver(link, &mut feed, &report, &stop).await)
            }
            Err(trouble) => {
                was_away = true;
                useless = None;
                report.down(trouble);
                if wait(&mut backoff, &stop).await { continue } else { return Ok(()) }
            }
        };
        let progressed = feed.has_progressed();
        feed.reset();
        if progressed {
            backoff.reset();
        }
        match ended {
            Ended::Stopped => return Ok(()),
            Ended::Panicked => return Err(OutputError::Panicked),
            Ended::Moved => continue,
            Ended::Quiet if progressed || since.elapsed() >= BRIEF => {
                useless = None;
                backoff.reset();
            }
            Ended::Quiet => {
                was_away = true;
                useless = Some(place);
                let what = "the far end closes each connection right after it was opened";
                report.down(Trouble::new(what, "check that the gateway behind this address is running"));
            }
            Ended::Lost(trouble) => {
                was_away = true;
                useless = (!progressed).then_some(place);
                report.down(trouble);
            }
        }
        if !wait(&mut backoff, &stop).await {
            return Ok(());
        }
    }
}

/// Waits before the next try; false if we were told to stop.
async fn wait(backoff: &mut Backoff, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(backoff.next_delay()) => true,
    }
}

/// One far end's line in the health of its output. An output that balances has several, which make one health together.
#[derive(Clone, Debug)]
pub(super) struct Report {
    status: Handle,
    lines: Arc<Mutex<Vec<Line>>>,
    index: usize,
}

#[derive(Clone, Debug, Default)]
struct Line {
    state: State,
    /// Holds while it works: events go elsewhere than they should.
    notice: Option<Trouble>,
}

#[derive(Clone, Debug, Default)]
enum State {
    #[default]
    Starting,
    Up,
    Slow(Trouble),
    Down(Trouble),
}

impl Report {
    /// A line each for `count` far ends.
    pub(super) fn lines(status: &Handle, count: usize) -> impl Iterator<Item = Self> {
        let lines = Arc::new(Mutex::new(vec![Line::default(); count]));
        let status = status.clone();
        (0..count).map(move |index| Self { status: status.clone(), lines: Arc::clone(&lines), index })
    }

    /// The output's numbers.
    pub(super) fn status(&self) -> &Handle {
        &self.status
    }

    pub(super) fn count(&self, count: Count) {
        self.status.counters().add(count, 1);
    }

    /// It works.
    pub(super) fn up(&self) {
        self.set(|line| line.state = State::Up);
    }

    /// It works, but does not get on.
    pub(super) fn slow(&self, trouble: Trouble) {
        self.set(|line| line.state = State::Slow(trouble));
    }

    /// It does not work.
    pub(super) fn down(&self, trouble: Trouble) {
        self.set(|line| {
            // Each try fails with the same words; one line in the log says it.
            if !matches!(&line.state, State::Down(before) if *before == trouble) {
                tracing::warn!(what = trouble.what, todo = trouble.todo, "cannot deliver");
            }
            line.state = State::Down(trouble);
        });
    }

    /// What a person should know even while it works.
    pub(super) fn notice(&self, notice: Option<Trouble>) {
        self.set(|line| line.notice = notice);
    }

    fn set(&self, change: impl FnOnce(&mut Line)) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get_mut(self.index) {
            change(line);
        }
        // Set under the lock, so that two far ends cannot leave the older picture on the board.
        self.status.set(health(&lines));
    }
}

fn health(lines: &[Line]) -> Health {
    let down =
        || lines.iter().filter_map(|line| if let State::Down(trouble) = &line.state { Some(trouble) } else { None });
    let slow =
        || lines.iter().find_map(|line| if let State::Slow(trouble) = &line.state { Some(trouble) } else { None });
    let (all, count) = (lines.len(), down().count());
    if let Some(first) = down().next() {
        if count == all {
            return Health::failed(&first.what, &first.todo).because(first.cause);
        }
        let what = format!("{count} of {all} gateways cannot be used: {}", first.what);
        return Health::degraded(what, &first.todo).because(first.cause);
    }
    if lines.iter().any(|line| matches!(line.state, State::Starting)) {
        return Health::Starting;
    }
    match slow().or_else(|| lines.iter().find_map(|line| line.notice.as_ref())) {
        Some(trouble) => Health::degraded(&trouble.what, &trouble.todo).because(trouble.cause),
        None => Health::Healthy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_far_ends_make_one_health() {
        let trouble = || Trouble::new("gw1 refused the connection", "start it");
        let check = |lines: &[Line], word: &str, what: Option<&str>| {
            let health = health(lines);
            assert_eq!(health.word(), word, "{lines:?}");
            assert_eq!(health.fault().map(|fault| fault.what.as_str()), what);
        };
        let line = |state| Line { state, notice: None };
        let down = || line(State::Down(trouble()));
        let words = Some("gw1 refused the connection");
        check(&[line(State::Starting)], "starting", None);
        check(&[line(State::Up)], "healthy", None);
        check(&[down()], "failed", words);
        check(&[line(State::Slow(trouble())), line(State::Up)], "degraded", words);
        check(&[Line { state: State::Up, notice: Some(trouble()) }], "degraded", words);
        check(&[Line { state: State::Starting, notice: Some(trouble()) }], "starting", None);
        let part = Some("1 of 2 gateways cannot be used: gw1 refused the connection");
        check(&[line(State::Up), down()], "degraded", part);
        check(&[line(State::Starting), down()], "degraded", part);
        check(&[down(), down()], "failed", words);
    }
}
