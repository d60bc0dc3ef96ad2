//! One connection of a device, from its first byte to its last.
//!
//! russh speaks the protocol in a task of its own; this one keeps watch over it: time to log in, a least rate of uploads, the
//! stop of the source. It ends the session by cutting the stream below it (`guard`), and returns when it has ended.

mod command;
mod frames;
mod guard;
mod handler;
mod inbox;
mod packet;
mod scp;
mod sftp;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use russh::AlgorithmKind;
use russh::server::{Config, run_stream};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::keys::algorithms::Age;
use crate::event::Notice;
use crate::net::Stream;
use crate::status::Count;
use guard::{Guarded, Meter};
use handler::Door;

/// How often the keeper looks.
const LOOK: Duration = Duration::from_millis(250);
/// The rate of an upload is taken over this time.
const RATE_OVER: Duration = Duration::from_secs(60);
/// How long an upload may go on at a stop: what is cut off is sent again.
const LAST: Duration = Duration::from_secs(2);
/// How long a session may take to end once its stream was cut.
const END: Duration = Duration::from_secs(5);

/// What the connections of one listener share.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    pub(super) shared: Arc<Shared>,
    pub(super) config: Arc<Config>,
    pub(super) age: Age,
}

/// Serves a connection until either side ends it.
pub(super) async fn serve(stream: Stream, listener: Listener, stop: CancellationToken) {
    let Listener { shared, config, age } = listener;
    let peer = stream.peer();
    if shared.doorman.refuses(&peer.ip()) {
        shared.status.counters().add(Count::RefusedConnections, 1);
        return;
    }
    let (meter, cut) = (Arc::new(Meter::default()), CancellationToken::new());
    let _cut_at_end = cut.clone().drop_guard();
    let stream = Guarded::new(stream, cut.clone(), Arc::clone(&meter));
    let door = Door {
        shared: Arc::clone(&shared),
        age,
        peer,
        meter: Arc::clone(&meter),
        account: None,
        channels: HashMap::new(),
    };
    let keeper = Keeper { shared, peer, age, meter, began: Instant::now(), rate: Rate::default() };
    // The peer's own first line is waited for in here.
    let Ok(started) = timeout(keeper.shared.config.login_grace.0, run_stream(config, stream, door)).await else {
        return;
    };
    let ended = match started {
        Ok(session) => keeper.keep(session, &cut, &stop).await,
        Err(error) => (keeper, Err(error)),
    };
    let (keeper, result) = ended;
    keeper.tell(result);
}

/// Watches over one session.
struct Keeper {
    shared: Arc<Shared>,
    peer: SocketAddr,
    age: Age,
    meter: Arc<Meter>,
    began: Instant,
    rate: Rate,
}

/// How fast an upload is.
#[derive(Debug, Default)]
struct Rate {
    /// When it was last taken, and the bytes until then; `None` while there is no upload.
    mark: Option<(Instant, u64)>,
}

impl Rate {
    /// Whether an upload brought less than `least` bytes a second, once a time is over.
    fn is_below(&mut self, least: u64, received: u64, uploading: bool) -> bool {
        let now = Instant::now();
        let Some((since, before)) = self.mark.filter(|_| uploading) else {
            self.mark = uploading.then_some((now, received));
            return false;
        };
        if now.duration_since(since) < RATE_OVER {
            return false;
        }
        self.mark = Some((now, received));
        received - before < least.saturating_mul(RATE_OVER.as_secs())
    }
}

impl Keeper {
    /// Waits for the session's end, and brings it about where it is due.
    async fn keep(
        mut self,
        session: russh::server::RunningSession<Door>,
        cut: &CancellationToken,
        stop: &CancellationToken,
    ) -> (Self, Result<(), russh::Error>) {
        let mut session = std::pin::pin!(session);
        let mut tick = interval(LOOK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopping: Option<Instant> = None;
        loop {
            tokio::select! {
                result = &mut session => return (self, result),
                () = stop.cancelled(), if stopping.is_none() => stopping = Some(Instant::now() + LAST),
                _ = tick.tick() => {}
            }
            let is_last =
                stopping.is_some_and(|until| Instant::now() >= until || !self.meter.uploading.load(Ordering::Relaxed));
            if is_last || self.is_too_slow() {
                cut.cancel();
                let result = timeout(END, &mut session).await.unwrap_or(Ok(()));
                return (self, result);
            }
        }
    }

    fn is_too_slow(&mut self) -> bool {
        let config = &self.shared.config;
        if !self.meter.logged_in.load(Ordering::Relaxed) {
            return self.began.elapsed() >= config.login_grace.0;
        }
        let received = self.meter.received.load(Ordering::Relaxed);
        self.rate.is_below(config.min_rate.bytes(), received, self.meter.uploading.load(Ordering::Relaxed))
    }

    /// Counts and tells how it ended.
    fn tell(&self, result: Result<(), russh::Error>) {
        let counters = self.shared.status.counters();
        let logged_in = self.meter.logged_in.load(Ordering::Relaxed);
        if !logged_in && self.meter.refused.load(Ordering::Relaxed) {
            counters.add(Count::RefusedConnections, 1);
            self.failed();
        }
        let Err(error) = result else { return };
        match &error {
            russh::Error::NoCommonAlgo { kind, theirs, .. } => {
                counters.add(Count::BrokenConnections, 1);
                self.no_common(kind, theirs);
            }
            error if logged_in || !matches!(error, russh::Error::HUP | russh::Error::Disconnect) => {
                counters.add(Count::BrokenConnections, 1);
                tracing::debug!(peer = %self.peer, %error, "session ended");
            }
            _ => {}
        }
    }

    /// A login did not come about.
    fn failed(&self) {
        let (shared, peer) = (&self.shared, self.peer);
        if shared.doorman.failed(&peer.ip()) {
            let message = format!(
                "{} connections from {} failed to log in: it is refused for {}",
                shared.config.ban_after,
                peer.ip(),
                shared.config.ban_for
            );
            let facts = [("source", shared.config.id.to_string()), ("peer", peer.ip().to_string())];
            shared.teller.tell(Notice::new("ssh_address_refused", false, message, &facts));
        }
    }

    /// The peer speaks nothing that is offered here.
    fn no_common(&self, kind: &AlgorithmKind, theirs: &[String]) {
        let what = match kind {
            AlgorithmKind::Kex => "key exchange",
            AlgorithmKind::Key => "host keys",
            AlgorithmKind::Cipher => "ciphers",
            AlgorithmKind::Mac => "MACs",
            _ => "algorithms",
        };
        let offered: Vec<String> = theirs.iter().take(8).map(|name| inbox::one_line(name)).collect();
        let todo = match self.age {
            Age::Modern => "let it connect to an address that is listed under legacy, or update AsyncOS",
            Age::Legacy { dss: false } => "set ssh_dss if it has only DSA keys, or update the device",
            Age::Legacy { dss: true } => "update the device",
        };
        let words = format!("{} offered only {what} that are not taken here ({})", self.peer.ip(), offered.join(", "));
        if let Some(left_out) = self.shared.complaints.due() {
            tracing::warn!(peer = %self.peer, todo, left_out, "{words}");
        }
        self.shared.speechless(words, todo);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_upload_that_trickles_is_seen_after_a_minute_and_one_that_is_idle_in_between_is_not() {
        let (mut rate, mut received) = (Rate::default(), 0);
        let mut pass = async |seconds: u64, bytes: u64, uploading: bool| {
            let mut found = None;
            for second in 1..=seconds {
                tokio::time::advance(Duration::from_secs(1)).await;
                received += bytes;
                if rate.is_below(1_024, received, uploading) {
                    found.get_or_insert(second);
                }
            }
            found
        };
        assert_eq!(pass(300, 1_024, true).await, None);
        assert_eq!(pass(300, 0, false).await, None);
        // The first look at an upload begins its minute.
        assert_eq!(pass(120, 1_000, true).await, Some(1 + RATE_OVER.as_secs()));
        assert_eq!(pass(1, 0, false).await, None);
        assert_eq!(pass(59, 0, true).await, None);
    }
}
