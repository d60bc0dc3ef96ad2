//! A thread and a small runtime for what must answer when the data path does not: the page, the control socket, the channel to
//! the fleet, the watchdog.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::answers::{Answers, Look};
use super::fleet::Neighbourhood;
use super::parts;
use super::power::Power;
use super::stick::Sticks;
use super::supervise::{Factory, Key, Supervisor};
use super::systemd::{self, Age, Pulse};
use super::{again, changes};
use crate::clock::Clock;
use crate::config::{Config, samples};
use crate::control::Server;
use crate::event::Teller;
use crate::fleet;
use crate::status::{Board, Component, Health};
use crate::support::Ring;
use crate::update;
use crate::web;

/// Time for the page's and the socket's last answers, and for a goodbye to the fleet.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// The line of the box's certificate for the fleet.
const CERTIFICATE: &str = "fleet_certificate";
/// How often is looked whether the queue is open.
const LOOK: Duration = Duration::from_millis(200);

/// The thread.
#[derive(Debug)]
pub(super) struct Aside {
    thread: JoinHandle<()>,
    stop: CancellationToken,
}

/// What the thread is told by the data path.
pub(super) struct Orders {
    wanted: watch::Sender<Wanted>,
    name: watch::Sender<Arc<str>>,
    kinds: watch::Sender<web::page::Kinds>,
    config: watch::Sender<Arc<Config>>,
    look: Arc<OnceLock<Look>>,
}

/// What should run there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    web: Option<web::Config>,
    page: Option<Page>,
    fleet: Option<Fleet>,
    /// The box gets and renews its certificate for the fleet.
    certificate: Option<Certificate>,
    /// The control socket's path.
    control: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Page {
    config: web::page::Config,
    state_dir: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Fleet {
    config: fleet::Config,
    state_dir: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Certificate {
    config: fleet::Config,
    state_dir: PathBuf,
}

/// Where the control socket has its answers from.
#[derive(Clone, Debug)]
struct Known {
    look: Arc<OnceLock<Look>>,
    doors: Doors,
    /// The settings file; none where the program is another one's guest.
    file: Option<PathBuf>,
    /// The box's name: whoever is being answered stays so when it changes.
    name: watch::Receiver<Arc<str>>,
    kinds: watch::Receiver<web::page::Kinds>,
    config: watch::Receiver<Arc<Config>>,
}

/// Where the data path and whoever asks meet.
#[derive(Clone, Debug)]
pub(super) struct Doors {
    pub(super) updates: update::Door,
    pub(super) settings: changes::Door,
    pub(super) sources: again::Door,
    pub(super) teller: Teller,
    pub(super) power: Power,
    pub(super) sticks: Sticks,
    pub(super) log: Ring,
}

impl Wanted {
    fn of(config: &Config) -> Self {
        let state_dir = config.state_dir.clone();
        let page = config.page.clone().map(|config| Page { config, state_dir: state_dir.clone() });
        let fleet = config.fleet.clone().map(|config| Fleet { config, state_dir: state_dir.clone() });
        let certificate = config.fleet.clone().filter(fleet::enrolment::is_wanted);
        let certificate = certificate.map(|config| Certificate { config, state_dir });
        Self { web: config.web.clone(), page, fleet, certificate, control: config.control_socket() }
    }
}

impl Orders {
    /// Runs what the settings say now; what did not change is not touched.
    pub(super) fn follow(&self, config: &Config) {
        self.name.send_replace(parts::box_name(config));
        self.kinds.send_replace(kinds(config));
        self.config.send_replace(Arc::new(config.clone()));
        self.wanted.send_if_modified(|wanted| {
            let new = Wanted::of(config);
            let changed = *wanted != new;
            *wanted = new;
            changed
        });
    }

    /// From now on the watchdog watches the queue's writer as well, and events can be looked at.
    pub(super) fn look_at(&self, look: Look) {
        // Set once: the program has one queue.
        let _ = self.look.set(look);
    }
}

impl Aside {
    /// Starts the thread.
    pub(super) fn start(
        config: &Config,
        board: Board,
        supervisor: Pulse,
        doors: Doors,
        file: Option<PathBuf>,
    ) -> io::Result<(Self, Orders)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stop = CancellationToken::new();
        let (wanted, follow) = watch::channel(Wanted::of(config));
        let (name, name_of) = watch::channel(parts::box_name(config));
        let (kinds, kinds_of) = watch::channel(kinds(config));
        let (config, config_of) = watch::channel(Arc::new(config.clone()));
        let look: Arc<OnceLock<Look>> = Arc::default();
        let (queue, look_at) = (Arc::clone(&look), Arc::clone(&look));
        let known = Known { look: look_at, doors, file, name: name_of, kinds: kinds_of, config: config_of };
        let parts: Vec<(&'static str, Age)> = vec![
            ("supervisor", Box::new(move || supervisor.age())),
            ("queue writer", Box::new(move || queue.get().map_or(Duration::ZERO, |look| look.window.age()))),
        ];
        let told = stop.clone();
        let work = move || {
            runtime.block_on(async {
                let mut components = Supervisor::default();
                tokio::select! {
                    () = told.cancelled() => {}
                    () = systemd::feed_watchdog(parts) => {}
                    () = run(follow, &board, &known, &mut components) => {}
                }
                components.stop(|_| true, Instant::now() + LAST_ANSWERS).await;
            });
            runtime.shutdown_timeout(LAST_ANSWERS);
        };
        let thread = thread::Builder::new().name("aside".to_owned()).spawn(work)?;
        Ok((Self { thread, stop }, Orders { wanted, name, kinds, config, look }))
    }

    /// Ends it and waits for it; it takes two seconds at most.
    pub(super) fn stop(self) {
        self.stop.cancel();
        if self.thread.join().is_err() {
            tracing::error!("the thread of the page and the control socket panicked");
        }
    }
}

/// Keeps running what is wanted. Does not come back.
async fn run(mut wanted: watch::Receiver<Wanted>, board: &Board, known: &Known, components: &mut Supervisor) {
    let mut running: Option<Wanted> = None;
    loop {
        let new = wanted.borrow_and_update().clone();
        let deadline = Instant::now() + LAST_ANSWERS;
        if running.as_ref().is_none_or(|old| old.control != new.control) {
            components.stop(|key| *key == key_of("control"), deadline).await;
            start(components, board, "control", control(board.clone(), new.control.clone(), known.clone()));
        }
        if running.as_ref().and_then(|old| old.web.as_ref()) != new.web.as_ref() {
            components.stop(|key| *key == key_of("web"), deadline).await;
            match &new.web {
                Some(config) => start(components, board, "web", local(board.clone(), config.clone())),
                None => board.remove(Component::Box, "web"),
            }
        }
        if running.as_ref().and_then(|old| old.page.as_ref()) != new.page.as_ref() {
            components.stop(|key| *key == key_of("page"), deadline).await;
            match &new.page {
                Some(wanted) => start(components, board, "page", page(board.clone(), wanted.clone(), known.clone())),
                None => board.remove(Component::Box, "page"),
            }
        }
        if running.as_ref().and_then(|old| old.fleet.as_ref()) != new.fleet.as_ref() {
            components.stop(|key| *key == key_of("fleet"), deadline).await;
            match &new.fleet {
                Some(wanted) => {
                    start(components, board, "fleet", channel(board.clone(), wanted.clone(), known.clone()))
                }
                None => board.remove(Component::Box, "fleet"),
            }
        }
        if running.as_ref().and_then(|old| old.certificate.as_ref()) != new.certificate.as_ref() {
            components.stop(|key| *key == key_of(CERTIFICATE), deadline).await;
            match &new.certificate {
                Some(wanted) => {
                    start(components, board, CERTIFICATE, certificate(board.clone(), wanted.clone(), known.clone()))
                }
                None => board.remove(Component::Box, CERTIFICATE),
            }
        }
        running = Some(new);
        if wanted.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn key_of(id: &str) -> Key {
    Key { component: Component::Box, id: id.to_owned() }
}

fn start(components: &mut Supervisor, board: &Board, id: &str, factory: Factory) {
    components.start(key_of(id), board.handle(Component::Box, id), factory);
}

fn local(board: Board, config: web::Config) -> Factory {
    Box::new(move |stop| {
        let status = board.handle(Component::Box, "web");
        let run = web::run(config.clone(), board.clone(), status, stop, |_| {});
        Box::pin(async move { run.await.map_err(|error| error.to_string()) })
    })
}

fn page(board: Board, wanted: Page, known: Known) -> Factory {
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

fn channel(board: Board, wanted: Fleet, known: Known) -> Factory {
    // What is told between two runs is told by the next.
    let heard = fleet::heard(&known.doors.teller);
    Box::new(move |stop| {
        let context = fleet::Context {
            state_dir: wanted.state_dir.clone(),
            neighbours: Arc::new(Neighbourhood {
                answers: answers(&board, &known),
                file: known.file.clone(),
                state_dir: wanted.state_dir.clone(),
            }),
            status: board.handle(Component::Box, "fleet"),
            clock: Clock::System,
            teller: known.doors.teller.clone(),
            heard: heard.clone(),
            stop,
        };
        Box::pin(fleet::run(wanted.config.clone(), context))
    })
}

fn certificate(board: Board, wanted: Certificate, known: Known) -> Factory {
    Box::new(move |stop| {
        let (wanted, known, status) = (wanted.clone(), known.clone(), board.handle(Component::Box, CERTIFICATE));
        Box::pin(async move {
            // The queue knows the box's id, and opens at its own time.
            let id = loop {
                if let Some(id) = known.look.get().and_then(|look| look.window.appliance()) {
                    break id.to_string();
                }
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = sleep(LOOK) => {}
                }
            };
            let (state_dir, teller) = (wanted.state_dir, known.doors.teller);
            let context = fleet::enrolment::Context { state_dir, id, status, clock: Clock::System, teller, stop };
            fleet::enrolment::run(wanted.config, context).await
        })
    })
}

/// The types of all sources and outputs, by their ids.
fn kinds(config: &Config) -> web::page::Kinds {
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

fn control(board: Board, path: PathBuf, known: Known) -> Factory {
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
