//! Which gateway of a list is used, and when it changes.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::deliver::{BRIEF, Ended, FarEnd, Report, Trouble};
use super::super::feed::{ChunkLimits, Feed};
use super::Config;
use super::session::{Pace, Session, WindowSize};
use crate::net::{Dialer, Stream};

/// A list of gateways, of which the first that works is used.
pub(super) struct Gateways {
    dialers: Vec<Dialer>,
    /// Where the next try begins.
    first: usize,
    /// A connection to the first gateway, made while events went to another.
    ready: Option<Stream>,
    size: WindowSize,
    pace: Pace,
    failback: Duration,
}

impl Gateways {
    pub(super) fn new(config: &Config, dialers: Vec<Dialer>) -> Self {
        let most = ChunkLimits { events: config.window, bytes: config.window_size.len() };
        let pace = Pace {
            windows_in_flight: config.windows_in_flight,
            silence: config.ack_timeout.0,
            stall: config.stall_timeout.0,
        };
        Self { dialers, first: 0, ready: None, size: WindowSize::new(most), pace, failback: config.failback.0 }
    }

    /// How large a window is now.
    pub(super) fn limits(&self) -> ChunkLimits {
        self.size.limits()
    }
}

impl FarEnd for Gateways {
    type Link = (usize, Stream);

    fn place((at, _): &Self::Link) -> usize {
        *at
    }

    async fn open(&mut self, report: &Report) -> Result<Self::Link, Trouble> {
        if let Some(stream) = self.ready.take() {
            report.notice(None);
            return Ok((0, stream));
        }
        let mut failed: Option<Trouble> = None;
        let count = self.dialers.len();
        for at in (0..count).map(|step| (self.first + step) % count) {
            let Some(dialer) = self.dialers.get(at) else { continue };
            match dialer.dial().await {
                Ok(stream) => {
                    report.notice(self.elsewhere(at, failed));
                    return Ok((at, stream));
                }
                Err(error) => {
                    let trouble = Trouble::from(error);
                    tracing::debug!(what = trouble.what, "gateway cannot be used");
                    failed.get_or_insert(trouble);
                }
            }
        }
        self.first = 0;
        let first = failed.unwrap_or_else(|| Trouble::new("there is no gateway", "name one in endpoint"));
        match count {
            0 | 1 => Err(first),
            _ => {
                let what = format!("none of the {count} gateways can be used; the first: {}", first.what);
                Err(Trouble::new(what, first.todo).because(first.cause))
            }
        }
    }

    async fn deliver(
        &mut self,
        (at, stream): Self::Link,
        feed: &mut Feed,
        report: &Report,
        stop: &CancellationToken,
    ) -> Ended {
        let Some(dialer) = self.dialers.get(at) else { return Ended::Quiet };
        let (leave, since) = (stop.child_token(), Instant::now());
        let mut ended = {
            let session = Session::new(dialer, feed, report, self.pace, &mut self.size).run(stream, &leave);
            let better = better(&self.dialers, at, self.failback);
            tokio::pin!(session);
            tokio::select! {
                ended = &mut session => ended,
                stream = better => {
                    self.ready = Some(stream);
                    leave.cancel();
                    session.await
                }
            }
        };
        if ended == Ended::Stopped && !stop.is_cancelled() && self.ready.is_some() {
            ended = Ended::Moved;
        }
        self.first = 0;
        let is_useless = matches!(ended, Ended::Lost(_)) || (ended == Ended::Quiet && since.elapsed() < BRIEF);
        if is_useless && !feed.has_progressed() {
            self.first = (at + 1) % self.dialers.len().max(1);
            if feed.unacked() > 0 {
                self.size.shrink();
            }
        }
        ended
    }
}

impl Gateways {
    /// What a person should know when events go to the gateway at `at`.
    fn elsewhere(&self, at: usize, failed: Option<Trouble>) -> Option<Trouble> {
        let (here, first) = (self.dialers.get(at)?, self.dialers.first()?);
        let why = match failed {
            _ if at == 0 => return None,
            Some(trouble) => trouble,
            None => Trouble::new(
                format!("{} takes connections but acknowledges nothing", first.endpoint),
                "look at that gateway's log",
            ),
        };
        Some(Trouble::new(format!("events go to {} because {}", here.endpoint, why.what), why.todo))
    }
}

/// Waits until the first gateway can be dialled again, while the one at `at` is used.
async fn better(dialers: &[Dialer], at: usize, every: Duration) -> Stream {
    loop {
        tokio::time::sleep(every).await;
        if let Some(first) = dialers.first().filter(|_| at > 0)
            && let Ok(stream) = first.dial().await
        {
            return stream;
        }
    }
}
