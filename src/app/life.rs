//! From start to stop: the loop that hears signals, follows the settings, and drains in the direction of the flow.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::again::Agains;
use super::aside::Orders;
use super::changes::Changes;
use super::hearth::Hearth;
use super::parts::{self, Parts};
use super::shutdown::{self, Signals, Wish};
use super::supervise::Supervisor;
use super::systemd::Pulse;
use super::{Ended, Host, code, reload, systemd};
use crate::config::{Config, Kept};
use crate::status::{Component, Health};

/// How often the loop goes around when nothing happens: often enough for a watchdog of a few seconds.
const TICK: Duration = Duration::from_secs(1);
/// How often it looks whether the listeners are bound while they are starting.
const STARTING_TICK: Duration = Duration::from_millis(20);
/// What starts beside the data path (the page, the watch over the machine, updates) has come up by then.
const ALL_UP_AFTER: Duration = Duration::from_secs(4);

/// Gives back the memory of code that only a start needs.
fn give_back() {
    if let Err(error) = code::give_back() {
        tracing::debug!(%error, "the memory of code that is not needed any more is kept");
    }
}

/// A running appliance.
pub(super) struct Life {
    pub(super) config: Config,
    pub(super) name: Arc<str>,
    pub(super) parts: Parts,
    pub(super) hearth: Hearth,
    pub(super) host: Host,
    pub(super) orders: Orders,
    pub(super) changes: Changes,
    agains: Agains,
    pub(super) pulse: Pulse,
    pub(super) supervisor: Supervisor,
    /// Sources were started and have not yet all said whether they are bound.
    pub(super) settling: bool,
    /// The last line that systemd was told.
    told: String,
}

impl Life {
    pub(super) fn new(
        config: Config,
        parts: Parts,
        hearth: Hearth,
        host: Host,
        (orders, changes, agains): (Orders, Changes, Agains),
        pulse: Pulse,
    ) -> Self {
        let name = parts::box_name(&config);
        let supervisor = Supervisor::default();
        Self {
            config,
            name,
            parts,
            hearth,
            host,
            orders,
            changes,
            agains,
            pulse,
            supervisor,
            settling: true,
            told: String::new(),
        }
    }

    /// Lives until it is told to stop or the queue is lost.
    pub(super) async fn run(mut self, stop: CancellationToken, mut signals: Signals) -> Ended {
        self.parts.board.handle(Component::Box, "settings").set(self.host.settings_health());
        self.start();
        let mut all_up = None;
        let lost = loop {
            let tick = if self.settling { STARTING_TICK } else { TICK };
            tokio::select! {
                wish = signals.next() => match wish {
                    Wish::Stop => break None,
                    Wish::Reload => reload::reload(&mut self).await,
                },
                () = stop.cancelled() => break None,
                reason = self.hearth.lost() => break Some(reason),
                ask = self.changes.next() => self.change(ask).await,
                ask = self.agains.next() => self.restart_source(ask).await,
                () = sleep(tick) => {}
            }
            let came_up = self.look_around();
            self.judge_changes().await;
            if came_up {
                self.keep_settings().await;
                give_back();
                all_up = Some(Instant::now() + ALL_UP_AFTER);
            }
            if all_up.take_if(|at| Instant::now() >= *at).is_some() {
                give_back();
            }
        };
        if let Some(reason) = &lost {
            tracing::error!(reason, "the queue is lost; the program ends");
        }
        let ended = shutdown::drain(self, signals).await;
        lost.map_or(ended, Ended::Failed)
    }

    fn start(&mut self) {
        self.parts.set_readings(&self.config);
        for output in &self.config.output {
            self.parts.start_output(&mut self.supervisor, output, &self.hearth, &self.name);
        }
        for source in &self.config.source {
            self.parts.start_source(&mut self.supervisor, source, &self.hearth);
        }
        self.parts.start_notices(&mut self.supervisor, &self.hearth);
        if matches!(self.host, Host::Process { .. }) {
            self.parts.start_update(&mut self.supervisor, &self.config);
        }
        let (sources, outputs) = (self.config.source.len(), self.config.output.len());
        tracing::info!(name = %self.name, sources, outputs, version = env!("CARGO_PKG_VERSION"), "started");
    }

    /// The settings work: a copy is kept for a day when the file does not.
    pub(super) async fn keep_settings(&self) {
        let Host::Process { settings, .. } = &self.host else { return };
        if self.changes.is_on_trial() {
            return;
        }
        let (file, config) = (settings.clone(), self.config.clone());
        let keep = tokio::task::spawn_blocking(move || Kept::of(&file).keep(&file, &config));
        match beating(&self.pulse, keep).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "no copy of the settings is kept"),
            Err(error) => tracing::error!(%error, "keeping a copy of the settings panicked"),
        }
    }

    /// Once around the loop: a sign of life, and what systemd should know. Whether all sources have just come
    /// up, and none failed.
    fn look_around(&mut self) -> bool {
        self.pulse.beat();
        let snapshot = self.parts.board.snapshot();
        let mut sources = snapshot.components.iter().filter(|line| line.component == Component::Source);
        let is_well = !sources.clone().any(|line| matches!(line.health, Health::Failed(_)));
        let settled = self.settling && !sources.any(|line| line.health == Health::Starting);
        if settled {
            self.settling = false;
            self.parts.close_unused_sockets(&self.config);
            systemd::ready();
        }
        let faults: Vec<_> = snapshot.components.iter().filter(|line| line.health.fault().is_some()).collect();
        let line = match faults.split_first() {
            None => "all is well".to_owned(),
            Some((first, rest)) => {
                let what = first.health.fault().map(|fault| fault.what.as_str()).unwrap_or_default();
                let more = if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
                format!("{} {} {}: {what}{more}", first.component.as_str(), first.id, first.health.word())
            }
        };
        if line != self.told {
            systemd::status(&line);
            self.told = line;
        }
        settled && is_well
    }
}

/// Waits for something long while giving signs of life.
pub(super) async fn beating<T>(pulse: &Pulse, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = sleep(TICK) => pulse.beat(),
        }
    }
}
