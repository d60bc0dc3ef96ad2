//! A thread and a small runtime for what must answer when the data path does not: the page, the control socket, the channel to
//! the fleet, the watchdog.

mod factory;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::answers::Look;
use super::parts;
use super::power::Power;
use super::stick::Sticks;
use super::supervise::{Factory, Key, Supervisor};
use super::systemd::{self, Age, Pulse};
use super::{again, changes};
use crate::config::Config;
use crate::event::Teller;
use crate::fleet;
use crate::status::{Board, Component, NETWORK};
use crate::support::Ring;
use crate::update;
use crate::web;

/// Time for the page's and the socket's last answers, and for a goodbye to the fleet.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

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
    page: Option<Placed<web::page::Config>>,
    fleet: Option<Placed<fleet::Config>>,
    /// The box gets and renews its certificate for the fleet.
    certificate: Option<Placed<fleet::Config>>,
    /// The control socket's path.
    control: PathBuf,
}

/// The settings of a part that keeps files in the state folder.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Placed<T> {
    config: T,
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
        let page = config.page.clone().map(|page| Placed { config: page, state_dir: config.state_dir.clone() });
        let fleet = config.fleet.clone().map(|fleet| Placed { config: fleet, state_dir: config.state_dir.clone() });
        let certificate = fleet.clone().filter(|fleet| fleet::enrolment::is_wanted(&fleet.config));
        Self { web: config.web.clone(), page, fleet, certificate, control: config.control_socket() }
    }
}

impl Orders {
    /// Runs what the settings say now; what did not change is not touched.
    pub(super) fn follow(&self, config: &Config) {
        self.name.send_replace(parts::box_name(config));
        self.kinds.send_replace(factory::kinds(config));
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
        let (kinds, kinds_of) = watch::channel(factory::kinds(config));
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
    // A guest of another program is on a machine that is none of ours.
    if known.file.is_some() {
        start(components, board, NETWORK, factory::machine(board.clone(), known.config.clone()));
    }
    loop {
        let new = wanted.borrow_and_update().clone();
        let deadline = Instant::now() + LAST_ANSWERS;
        let old = running.as_ref();
        if old.is_none_or(|old| old.control != new.control) {
            components.stop(|key| *key == key_of("control"), deadline).await;
            start(components, board, "control", factory::control(board.clone(), new.control.clone(), known.clone()));
        }
        let mut change = async |id: &str, is_other: bool, factory: Option<Factory>| {
            if !is_other {
                return;
            }
            components.stop(|key| *key == key_of(id), deadline).await;
            match factory {
                Some(factory) => start(components, board, id, factory),
                None => board.remove(Component::Box, id),
            }
        };
        let web = new.web.clone().map(|config| factory::local(board.clone(), config));
        change("web", old.and_then(|old| old.web.as_ref()) != new.web.as_ref(), web).await;
        let page = new.page.clone().map(|wanted| factory::page(board.clone(), wanted, known.clone()));
        change("page", old.and_then(|old| old.page.as_ref()) != new.page.as_ref(), page).await;
        let fleet = new.fleet.clone().map(|wanted| factory::channel(board.clone(), wanted, known.clone()));
        change("fleet", old.and_then(|old| old.fleet.as_ref()) != new.fleet.as_ref(), fleet).await;
        let own = new.certificate.clone().map(|wanted| factory::certificate(board.clone(), wanted, known.clone()));
        let is_other = old.and_then(|old| old.certificate.as_ref()) != new.certificate.as_ref();
        change(factory::CERTIFICATE, is_other, own).await;
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
