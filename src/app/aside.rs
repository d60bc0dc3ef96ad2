//! A thread and a small runtime for what must answer when the data path does not: the page, the control socket,
//! the watchdog.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::answers::{Answers, Look};
use super::parts;
use super::supervise::{Factory, Key, Supervisor};
use super::systemd::{self, Age, Pulse};
use crate::config::Config;
use crate::control::Server;
use crate::status::{Board, Component, Health};
use crate::update;
use crate::web;

/// Time for the page's and the socket's last answers.
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
    look: Arc<OnceLock<Look>>,
}

/// What should run there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    web: Option<web::Config>,
    control: Control,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Control {
    socket: PathBuf,
    /// The box's name in the events of a tap.
    name: Arc<str>,
}

/// Where the control socket has its answers from.
#[derive(Clone, Debug)]
struct Known {
    look: Arc<OnceLock<Look>>,
    updates: update::Door,
}

impl Wanted {
    fn of(config: &Config) -> Self {
        let control = Control { socket: config.control_socket(), name: parts::box_name(config) };
        Self { web: config.web.clone(), control }
    }
}

impl Orders {
    /// Runs what the settings say now; what did not change is not touched.
    pub(super) fn follow(&self, config: &Config) {
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
        updates: update::Door,
    ) -> io::Result<(Self, Orders)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stop = CancellationToken::new();
        let (wanted, follow) = watch::channel(Wanted::of(config));
        let look: Arc<OnceLock<Look>> = Arc::default();
        let (queue, known) = (Arc::clone(&look), Known { look: Arc::clone(&look), updates });
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
        Ok((Self { thread, stop }, Orders { wanted, look }))
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
                Some(config) => start(components, board, "web", page(board.clone(), config.clone())),
                None => board.remove(Component::Box, "web"),
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

fn page(board: Board, config: web::Config) -> Factory {
    Box::new(move |stop| {
        let status = board.handle(Component::Box, "web");
        let run = web::run(config.clone(), board.clone(), status, stop, |_| {});
        Box::pin(async move { run.await.map_err(|error| error.to_string()) })
    })
}

fn control(board: Board, config: Control, known: Known) -> Factory {
    Box::new(move |stop| {
        let status = board.handle(Component::Box, "control");
        let answers = Answers {
            board: board.clone(),
            name: Arc::clone(&config.name),
            look: Arc::clone(&known.look),
            updates: known.updates.clone(),
        };
        let path = config.socket.clone();
        Box::pin(async move {
            let server = Server::bind(&path).await.map_err(|error| error.to_string())?;
            tracing::info!(socket = %path.display(), "requests are answered");
            status.set(Health::Healthy);
            server.serve(Arc::new(answers), stop).await;
            Ok(())
        })
    })
}
