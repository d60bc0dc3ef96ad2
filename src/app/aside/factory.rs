//! How each part of the thread beside the data path is made, and made again after it has failed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Known, Placed};
use crate::app::answers::Answers;
use crate::app::fleet::Neighbourhood;
use crate::app::supervise::Factory;
use crate::clock::{self, Clock};
use crate::config::{Config, samples};
use crate::control::Server;
use crate::event::ApplianceId;
use crate::fleet;
use crate::host;
use crate::status::{Board, Component, Health};
use crate::web;

/// The line of the box's certificate for the fleet.
pub(super) const CERTIFICATE: &str = "fleet_certificate";
/// How often is looked whether the queue is open.
const LOOK: Duration = Duration::from_millis(200);

/// Watches the machine: its cards and its clock.
pub(super) fn machine(board: Board, config: watch::Receiver<Arc<Config>>) -> Factory {
    Box::new(move |stop| {
        let (board, config) = (board.clone(), config.clone());
        Box::pin(async move {
            let named = || config.borrow().network.interface.iter().map(|card| card.name.to_string()).collect();
            host::watch(Path::new("/"), &board, named, clock::since_boot, &stop).await;
            Ok(())
        })
    })
}

pub(super) fn local(board: Board, config: web::Config) -> Factory {
    Box::new(move |stop| {
        let status = board.handle(Component::Box, "web");
        let run = web::run(config.clone(), board.clone(), status, stop, |_| {});
        Box::pin(async move { run.await.map_err(|error| error.to_string()) })
    })
}

pub(super) fn page(board: Board, wanted: Placed<web::page::Config>, known: Known) -> Factory {
    Box::new(move |stop| {
        let context = web::page::Context {
            name: known.name.clone(),
            state_dir: wanted.state_dir.clone(),
            kinds: known.kinds.clone(),
            samples: samples().map(|(list, kind, text)| web::page::Sample { list, kind, text }).collect(),
            board: board.clone(),
            questions: Arc::new(answers(&board, &known)),
            status: board.handle(Component::Box, "page"),
            clock: Clock::System,
            teller: known.doors.teller.clone(),
            log: known.doors.log.clone(),
            file: known.file.clone(),
            stop,
        };
        let run = web::page::run(wanted.config.clone(), context, |_| {});
        Box::pin(async move { run.await.map_err(|error| error.to_string()) })
    })
}

pub(super) fn channel(board: Board, wanted: Placed<fleet::Config>, known: Known) -> Factory {
    // What is told between two runs is told by the next.
    let heard = fleet::heard(&known.doors.teller);
    Box::new(move |stop| {
        let (board, wanted, known, heard) = (board.clone(), wanted.clone(), known.clone(), heard.clone());
        Box::pin(async move {
            let Some(appliance) = appliance(&known, &stop).await else { return Ok(()) };
            let (answers, file) = (answers(&board, &known), known.file);
            let neighbours = Arc::new(Neighbourhood { answers, file, state_dir: wanted.state_dir.clone() });
            let (status, teller) = (board.handle(Component::Box, "fleet"), known.doors.teller);
            let (state_dir, clock) = (wanted.state_dir, Clock::System);
            let context = fleet::Context { state_dir, appliance, neighbours, status, clock, teller, heard, stop };
            fleet::run(wanted.config, context).await
        })
    })
}

pub(super) fn certificate(board: Board, wanted: Placed<fleet::Config>, known: Known) -> Factory {
    Box::new(move |stop| {
        let (wanted, known, status) = (wanted.clone(), known.clone(), board.handle(Component::Box, CERTIFICATE));
        Box::pin(async move {
            let Some(appliance) = appliance(&known, &stop).await else { return Ok(()) };
            let (state_dir, id, teller) = (wanted.state_dir, appliance.to_string(), known.doors.teller);
            let context = fleet::enrolment::Context { state_dir, id, status, clock: Clock::System, teller, stop };
            fleet::enrolment::run(wanted.config, context).await
        })
    })
}

/// The box in the ids of its events, once the queue is open, which knows it; nothing if the program stops before.
async fn appliance(known: &Known, stop: &CancellationToken) -> Option<ApplianceId> {
    loop {
        if let Some(appliance) = known.look.get().and_then(|look| look.window.appliance()) {
            return Some(appliance);
        }
        stop.run_until_cancelled(sleep(LOOK)).await?;
    }
}

/// The types of all sources and outputs, by their ids.
pub(super) fn kinds(config: &Config) -> web::page::Kinds {
    // Each table's type is the word that the settings file has for it.
    fn kind(table: &impl Serialize) -> String {
        let table = serde_json::to_value(table).unwrap_or_default();
        table.get("type").and_then(|kind| kind.as_str()).unwrap_or_default().to_owned()
    }
    let sources = config.source.iter().map(|source| (source.id().to_string(), kind(source)));
    let outputs = config.output.iter().map(|output| (output.id().to_string(), kind(output)));
    web::page::Kinds { sources: sources.collect(), outputs: outputs.collect() }
}

fn answers(board: &Board, known: &Known) -> Answers {
    Answers {
        board: board.clone(),
        name: known.name.clone(),
        look: Arc::clone(&known.look),
        updates: known.doors.updates.clone(),
        settings: known.doors.settings.clone(),
        sources: known.doors.sources.clone(),
        log: known.doors.log.clone(),
        config: known.config.clone(),
        power: known.doors.power.clone(),
        sticks: known.doors.sticks.clone(),
    }
}

pub(super) fn control(board: Board, path: PathBuf, known: Known) -> Factory {
    Box::new(move |stop| {
        let status = board.handle(Component::Box, "control");
        let answers = answers(&board, &known);
        let path = path.clone();
        Box::pin(async move {
            let server = Server::bind(&path).await.map_err(|error| error.to_string())?;
            tracing::info!(socket = %path.display(), "requests are answered");
            status.set(Health::Healthy);
            server.serve(Arc::new(answers), stop).await;
            Ok(())
        })
    })
}
