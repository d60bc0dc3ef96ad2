//! From settings to components: what each source and output is given.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use super::answers::Look;
use super::hearth::Hearth;
use super::supervise::{Factory, Key, Supervisor};
use crate::clock::Clock;
use crate::config::Config;
use crate::event::{Notice, Teller};
use crate::net::Sockets;
use crate::output::{self, Readings};
use crate::source;
use crate::status::{Board, Component, Health};
use crate::update;

/// The line of what tells of drops and gaps.
const NOTICES: &str = "notices";

/// The line of updates.
const UPDATE: &str = "update";

/// Whether a component puts events into the queue, or tells what becomes one.
pub(super) fn takes_in(key: &Key) -> bool {
    key.component == Component::Source || key.id == NOTICES || key.id == UPDATE
}

/// The key of the component that sees to updates.
pub(super) fn update_key() -> Key {
    Key { component: Component::Box, id: UPDATE.to_owned() }
}

/// What all components share.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) board: Board,
    pub(super) sockets: Sockets,
    readings: Readings,
    teller: Teller,
    told: source::Told,
    desk: update::Desk,
    state_dir: PathBuf,
}

/// The key of a source's component.
pub(super) fn source_key(config: &source::Config) -> Key {
    Key { component: Component::Source, id: config.id().to_string() }
}

/// The key of an output's component.
pub(super) fn output_key(config: &output::Config) -> Key {
    Key { component: Component::Output, id: config.id().to_string() }
}

/// The box's name in events: as set, or the host name.
#[must_use]
pub fn box_name(config: &Config) -> Arc<str> {
    let host_name = || {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        if name.trim().is_empty() { "sapphire-edge".to_owned() } else { name.trim().to_owned() }
    };
    config.name.clone().unwrap_or_else(host_name).into()
}

impl Parts {
    pub(super) fn new(
        board: Board,
        sockets: Sockets,
        desk: update::Desk,
        state_dir: PathBuf,
        (teller, told): (Teller, mpsc::Receiver<Notice>),
    ) -> Self {
        Self {
            board,
            sockets,
            readings: Readings::default(),
            teller,
            told: Arc::new(Mutex::new(told)),
            desk,
            state_dir,
        }
    }

    /// Where something is told to the far ends.
    pub(super) fn teller(&self) -> &Teller {
        &self.teller
    }

    /// Tells the outputs how the events of each source are read.
    pub(super) fn set_readings(&self, config: &Config) {
        config.source.iter().for_each(|source| self.readings.set(source.id().clone(), source.reading()));
    }

    /// What a tap needs.
    pub(super) fn look(&self, hearth: &Hearth) -> Look {
        Look { window: hearth.window(), readings: self.readings.clone() }
    }

    pub(super) fn start_source(&self, supervisor: &mut Supervisor, config: &source::Config, hearth: &Hearth) {
        let key = source_key(config);
        let status = self.board.handle(key.component, &key.id);
        if !config.enabled() {
            status.set(Health::Paused);
            return;
        }
        let (config, intake, sockets) = (config.clone(), hearth.intake(), self.sockets.clone());
        let (state_dir, teller) = (self.state_dir.clone(), self.teller.clone());
        let handle = status.clone();
        let factory: Factory = Box::new(move |stop: CancellationToken| {
            let context = source::Context {
                intake: intake.clone(),
                stop,
                status: handle.clone(),
                clock: Clock::System,
                sockets: sockets.clone(),
                state_dir: state_dir.clone(),
                teller: teller.clone(),
            };
            let run = source::run(config.clone(), context);
            Box::pin(async move { run.await.map_err(|error| words(&error)) })
        });
        supervisor.start(key, status, factory);
    }

    /// Starts what tells of drops and gaps as events.
    pub(super) fn start_notices(&self, supervisor: &mut Supervisor, hearth: &Hearth) {
        let key = Key { component: Component::Box, id: NOTICES.to_owned() };
        let status = self.board.handle(key.component, &key.id);
        let (intake, sockets, handle) = (hearth.intake(), self.sockets.clone(), status.clone());
        // The gap is told once, however often this is started again.
        let gap_since = Cell::new(hearth.gap_since());
        let (told, state_dir, teller) = (Arc::clone(&self.told), self.state_dir.clone(), self.teller.clone());
        let factory: Factory = Box::new(move |stop: CancellationToken| {
            let (intake, sockets, status) = (intake.clone(), sockets.clone(), handle.clone());
            let (state_dir, teller, clock) = (state_dir.clone(), teller.clone(), Clock::System);
            let context = source::Context { intake, stop, status, clock, sockets, state_dir, teller };
            let run = source::run_notices(context, gap_since.take(), Arc::clone(&told));
            Box::pin(async move { run.await.map_err(|error| words(&error)) })
        });
        supervisor.start(key, status, factory);
    }

    /// Starts what sees to updates.
    pub(super) fn start_update(&self, supervisor: &mut Supervisor, config: &Config) {
        let key = update_key();
        let status = self.board.handle(key.component, &key.id);
        let context = update::Context {
            folder: config.state_dir.join(UPDATE),
            control: config.control_socket(),
            page: config.web.as_ref().map(|web| web.listen).filter(|listen| listen.port() > 0),
            board: self.board.clone(),
            status: status.clone(),
            clock: Clock::System,
            stop: CancellationToken::new(),
            teller: self.teller.clone(),
            desk: self.desk.clone(),
        };
        let config = config.update.clone();
        let factory: Factory = Box::new(move |stop: CancellationToken| {
            Box::pin(update::run(config.clone(), update::Context { stop, ..context.clone() }))
        });
        supervisor.start(key, status, factory);
    }

    pub(super) fn start_output(
        &self,
        supervisor: &mut Supervisor,
        config: &output::Config,
        hearth: &Hearth,
        name: &Arc<str>,
    ) {
        let key = output_key(config);
        let status = self.board.handle(key.component, &key.id);
        if !config.enabled() {
            status.set(Health::Paused);
            return;
        }
        let (config, reader, readings) = (config.clone(), hearth.reader(config.id()), self.readings.clone());
        let (handle, name) = (status.clone(), Arc::clone(name));
        let factory: Factory = Box::new(move |stop: CancellationToken| {
            let context = output::Context {
                reader: reader.clone(),
                stop,
                status: handle.clone(),
                clock: Clock::System,
                readings: readings.clone(),
                name: Arc::clone(&name),
            };
            let run = output::run(config.clone(), context);
            Box::pin(async move { run.await.map_err(|error| words(&error)) })
        });
        supervisor.start(key, status, factory);
    }

    /// Closes the sockets that no source of the settings uses.
    pub(super) fn close_unused_sockets(&self, config: &Config) {
        let names: BTreeSet<_> = config.source.iter().flat_map(source::Config::sockets).collect();
        self.sockets.keep_only(&names);
    }
}

/// An error and what caused it, in one line, without saying anything twice.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
