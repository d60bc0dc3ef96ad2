//! What the process is told from outside, and how it ends.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use super::life::{Life, beating};
use super::parts;
use super::supervise::Key;
use super::{Ended, systemd};
use crate::status::Component;

/// The part of the grace period that sources may use; the rest is for outputs and the queue.
const SOURCES_SHARE: f64 = 0.5;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// SIGTERM, SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}

/// The signals of a process of its own; a guest in another process hears none.
#[derive(Debug)]
pub(super) struct Signals(Option<[(Signal, Wish); 3]>);

impl Signals {
    /// From now on these signals no longer end the process. To be called inside the runtime.
    pub(super) fn of_process() -> io::Result<Self> {
        let listen = |kind, wish| signal(kind).map(|signal| (signal, wish));
        Ok(Self(Some([
            listen(SignalKind::terminate(), Wish::Stop)?,
            listen(SignalKind::interrupt(), Wish::Stop)?,
            listen(SignalKind::hangup(), Wish::Reload)?,
        ])))
    }

    pub(super) fn none() -> Self {
        Self(None)
    }

    /// The next one.
    ///
    /// # Cancel safety
    /// Safe: none is lost.
    pub(super) async fn next(&mut self) -> Wish {
        let Some([term, int, hup]) = &mut self.0 else { return std::future::pending().await };
        tokio::select! {
            Some(()) = term.0.recv() => term.1,
            Some(()) = int.0.recv() => int.1,
            Some(()) = hup.0.recv() => hup.1,
            else => std::future::pending().await,
        }
    }

    /// The next one that asks to stop.
    pub(super) async fn stop(&mut self) {
        while self.next().await != Wish::Stop {}
    }
}

/// Stops in the direction of the flow: sources, then outputs, then the queue. A second wish to stop cuts it short.
pub(super) async fn drain(mut life: Life, mut signals: Signals) -> Ended {
    let grace = life.config.grace.0;
    tracing::info!(grace_secs = grace.as_secs_f32(), "stopping");
    systemd::stopping();
    let begin = Instant::now();
    let deadline = begin + grace;
    let is_output = |key: &Key| key.component == Component::Output;
    let mut cut = Vec::new();
    let pulse = life.pulse.clone();
    let orderly = async {
        let sources_until = begin + grace.mul_f64(SOURCES_SHARE);
        cut.extend(life.supervisor.stop(parts::takes_in, sources_until).await);
        cut.extend(life.supervisor.stop(is_output, deadline).await);
    };
    let in_order = tokio::select! {
        () = beating(&pulse, orderly) => true,
        () = signals.stop() => false,
    };
    if !in_order {
        tracing::warn!("told to stop a second time; not waiting any longer");
        cut.extend(life.supervisor.stop(|_| true, Instant::now()).await);
    }
    let mut cut: Vec<String> = cut.iter().map(ToString::to_string).collect();
    let deadline = if in_order { deadline } else { Instant::now() };
    if !beating(&pulse, life.hearth.close(deadline)).await {
        cut.push("queue".to_owned());
    }
    let took_secs = begin.elapsed().as_secs_f32();
    if cut.is_empty() && in_order {
        tracing::info!(took_secs, "stopped");
        return Ended::Stopped;
    }
    tracing::warn!(took_secs, cut = cut.join(", "), "stopped, but not everything was finished");
    Ended::CutShort { cut }
}
