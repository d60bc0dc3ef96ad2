//! Keeps components running: a name, a factory, and a wait that grows.
//!
//! A component is started from nothing each time, so no stale state has to be reset. Its panic is contained in its task. It
//! ends only when it is told to stop or the supervisor is dropped; whatever else ends it is noted on the board and in the
//! log, and it is started again.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::net::Backoff;
use crate::status::{Component, Count, Handle, Health};

/// The wait before a component is started again: soon enough after a passing error...
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// ...and seldom enough to keep the log readable where the error stays.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// A component that ran this long was well; its next error is a new one.
const WELL_AFTER: Duration = Duration::from_secs(60);

/// One run of a component; an error says in words why it ended.
pub(super) type Run = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Makes a run that ends when the token is cancelled.
pub(super) type Factory = Box<dyn Fn(CancellationToken) -> Run + Send>;

/// Which component.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) component: Component,
    pub(super) id: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.component.as_str(), self.id)
    }
}

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    /// It came back without being told to.
    Finished,
    Failed(String),
    Panicked(String),
    /// Its task was cut off from outside.
    Cut,
}

/// The tasks of all components that it started. Dropping it cuts them off.
#[derive(Debug, Default)]
pub(super) struct Supervisor {
    tasks: JoinSet<Key>,
    running: BTreeMap<Key, Running>,
}

#[derive(Debug)]
struct Running {
    stop: CancellationToken,
    abort: AbortHandle,
}

impl Supervisor {
    /// Starts a component and keeps it running. One with the same key must have been stopped before.
    pub(super) fn start(&mut self, key: Key, status: Handle, factory: Factory) {
        let stop = CancellationToken::new();
        status.set(Health::Starting);
        let task = keep_running(key.clone(), status, factory, stop.clone());
        let abort = self.tasks.spawn(task);
        self.running.insert(key, Running { stop, abort });
    }

    /// Tells the components that `which` names to stop and waits until `deadline`; the rest are then cut off. Returns
    /// those that were.
    ///
    /// # Cancel safety
    /// When it is dropped, all were told to stop and some may still run; calling it again goes on.
    pub(super) async fn stop(&mut self, which: impl Fn(&Key) -> bool, deadline: Instant) -> Vec<Key> {
        self.running.iter().filter(|(key, _)| which(key)).for_each(|(_, running)| running.stop.cancel());
        let mut cut = Vec::new();
        while self.running.keys().any(&which) {
            match timeout_at(deadline, self.tasks.join_next()).await {
                Ok(Some(Ok(key))) => drop(self.running.remove(&key)),
                Ok(Some(Err(error))) => self.forget(&error),
                Ok(None) => break,
                Err(_) => {
                    cut = self.running.keys().filter(|key| which(key)).cloned().collect();
                    self.cut(&cut).await;
                    break;
                }
            }
        }
        cut
    }

    /// Cuts components off and waits until their tasks are gone, so that what they held is free.
    async fn cut(&mut self, keys: &[Key]) {
        let aborts = keys.iter().filter_map(|key| self.running.get(key));
        aborts.for_each(|running| running.abort.abort());
        while self.running.keys().any(|key| keys.contains(key)) {
            match self.tasks.join_next().await {
                Some(Ok(key)) => drop(self.running.remove(&key)),
                Some(Err(error)) => self.forget(&error),
                None => self.running.clear(),
            }
        }
    }

    /// A task that was cut off, or that panicked outside a run, no longer knows its key.
    fn forget(&mut self, error: &JoinError) {
        if error.is_panic() {
            tracing::error!(%error, "the supervision of a component panicked");
        }
        self.running.retain(|_, running| running.abort.id() != error.id());
    }
}

async fn keep_running(key: Key, status: Handle, factory: Factory, stop: CancellationToken) -> Key {
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    loop {
        let began = Instant::now();
        let ending = run_once(factory(stop.child_token())).await;
        if stop.is_cancelled() {
            break;
        }
        if began.elapsed() >= WELL_AFTER {
            backoff.reset();
        }
        let wait = backoff.next_delay();
        note(&key, &status, &ending, wait);
        tokio::select! {
            () = stop.cancelled() => break,
            () = sleep(wait) => status.counters().add(Count::Restarts, 1),
        }
    }
    status.set(Health::Stopped);
    key
}

/// Runs in a task of its own, so that a panic ends that task only.
async fn run_once(run: Run) -> Ending {
    let mut task = JoinSet::new();
    task.spawn(run);
    match task.join_next().await {
        Some(Ok(Ok(()))) => Ending::Finished,
        Some(Ok(Err(error))) => Ending::Failed(error),
        Some(Err(error)) => match error.try_into_panic() {
            Ok(panic) => Ending::Panicked(panic_words(&*panic)),
            Err(_) => Ending::Cut,
        },
        None => Ending::Cut,
    }
}

fn panic_words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// Puts the end of a run on the board and in the log.
fn note(key: &Key, status: &Handle, ending: &Ending, wait: Duration) {
    let wait_secs = wait.as_secs_f32();
    let (what, todo) = match ending {
        Ending::Failed(error) => {
            tracing::warn!(component = %key, %error, wait_secs, "ended with an error; started again after a wait");
            // The component's own words are better than an error's, if it found any.
            if matches!(status.health(), Health::Failed(_)) {
                return;
            }
            (error.clone(), "it is tried again by itself; see the log if this stays")
        }
        Ending::Panicked(words) => {
            tracing::error!(component = %key, panic = words, wait_secs, "panicked; started again after a wait");
            let todo = "it was started again by itself; please report this with the log";
            (format!("an error in this program stopped it ({words})"), todo)
        }
        Ending::Finished | Ending::Cut => {
            tracing::error!(component = %key, wait_secs, "ended without being told to; started again after a wait");
            ("it ended without being told to".to_owned(), "it is started again by itself; please report this")
        }
    };
    status.set(Health::failed(what, todo));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::clock::Clock;
    use crate::status::Board;

    fn key(id: &str) -> Key {
        Key { component: Component::Source, id: id.to_owned() }
    }

    fn counted(runs: &Arc<AtomicU32>, run: fn(u32, CancellationToken) -> Run) -> Factory {
        let runs = Arc::clone(runs);
        Box::new(move |stop| run(runs.fetch_add(1, Ordering::Relaxed), stop))
    }

    async fn until(mut what: impl FnMut() -> bool) {
        while !what() {
            sleep(Duration::from_millis(100)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_or_panics_is_started_again_and_says_why() {
        let board = Board::new(Clock::System);
        let runs = Arc::new(AtomicU32::new(0));
        let status = board.handle(Component::Source, "fw");
        let mut supervisor = Supervisor::default();
        let factory = counted(&runs, |at, stop| {
            Box::pin(async move {
                match at {
                    0 => Err("the address is taken".to_owned()),
                    1 => panic!("an index was wrong"),
                    2 => Ok(()),
                    _ => {
                        stop.cancelled().await;
                        Ok(())
                    }
                }
            })
        });
        supervisor.start(key("fw"), status.clone(), factory);
        let what = |status: &Handle| status.health().fault().map(|fault| fault.what.clone()).unwrap_or_default();
        until(|| what(&status) == "the address is taken").await;
        until(|| what(&status).contains("an index was wrong")).await;
        until(|| what(&status) == "it ended without being told to").await;
        until(|| runs.load(Ordering::Relaxed) == 4).await;
        assert_eq!(status.counters().count(Count::Restarts), 3);
        let cut = supervisor.stop(|_| true, Instant::now() + Duration::from_secs(1)).await;
        assert!(cut.is_empty());
        assert_eq!(status.health(), Health::Stopped);
        assert_eq!(runs.load(Ordering::Relaxed), 4, "it was not started again after the stop");
    }

    #[tokio::test(start_paused = true)]
    async fn waits_grow_up_to_a_minute_and_shrink_after_a_good_run() {
        let board = Board::new(Clock::System);
        let status = board.handle(Component::Source, "fw");
        let runs = Arc::new(AtomicU32::new(0));
        let mut supervisor = Supervisor::default();
        supervisor.start(
            key("fw"),
            status,
            counted(&runs, |at, _| {
                Box::pin(async move {
                    if at == 10 {
                        sleep(WELL_AFTER).await;
                    }
                    Err("no".to_owned())
                })
            }),
        );
        let begin = Instant::now();
        until(|| runs.load(Ordering::Relaxed) == 11).await;
        // 1 + 2 + 4 + 8 + 16 + 32 + 4 × 60 seconds, each shortened by up to half.
        let took = begin.elapsed().as_secs();
        assert!((150..=304).contains(&took), "{took}");
        let begin = Instant::now();
        until(|| runs.load(Ordering::Relaxed) == 12).await;
        assert!(begin.elapsed() < WELL_AFTER + Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_stop_in_time_is_cut_off_and_the_others_go_on() {
        struct Held(Arc<AtomicU32>);
        impl Drop for Held {
            fn drop(&mut self) {
                self.0.fetch_add(100, Ordering::Relaxed);
            }
        }
        let board = Board::new(Clock::System);
        let runs = Arc::new(AtomicU32::new(0));
        let mut supervisor = Supervisor::default();
        for id in ["deaf", "other"] {
            let held = Arc::clone(&runs);
            let factory: Factory = Box::new(move |_| {
                let held = Held(Arc::clone(&held));
                Box::pin(async move {
                    let _held = held;
                    std::future::pending().await
                })
            });
            supervisor.start(key(id), board.handle(Component::Source, id), factory);
        }
        let cut = supervisor.stop(|key| key.id == "deaf", Instant::now() + Duration::from_secs(3)).await;
        assert_eq!(cut, [key("deaf")]);
        assert_eq!(runs.load(Ordering::Relaxed), 100, "what it held is free, what the other holds is not");
        drop(supervisor);
        until(|| runs.load(Ordering::Relaxed) == 200).await;
    }
}
