//! Composition and supervision: settings in, a running appliance out. The only room that sees all.
//!
//! Floor 6. Config → build → run, each consuming the last. Two runtimes: data on a multi-threaded one; the page, the control
//! socket and the watchdog on a thread of their own (`aside`), so that they answer when the data path does not. Components
//! are supervised one by one (`supervise`); only a lost queue ends the program, and systemd starts it again.
//!
//! Invariants: a component is told to stop before anything it uses goes away; a bad settings file changes nothing; whatever
//! cannot be done is on the status board, in words.

mod again;
mod answers;
mod aside;
mod changes;
mod code;
mod face;
mod fleet;
mod hearth;
mod life;
mod parts;
mod power;
mod reload;
mod shutdown;
mod stick;
mod supervise;
mod systemd;

use std::fmt;
use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{Config, ConfigError, Level};
use crate::event::Teller;
use crate::host;
use crate::net::Sockets;
use crate::status::{Board, Component, Health, SupportEnd};
use crate::support::Ring;
use crate::update;
pub use changes::undo as take_back_unconfirmed;
pub use parts::box_name;

use aside::{Aside, Doors};
use hearth::Hearth;
use life::Life;
use parts::Parts;
use power::Power;
use shutdown::Signals;
use stick::Sticks;
use systemd::Pulse;

/// Time for blocking calls (a file being opened, a name being looked up) after everything else has ended.
const LAST_CALLS: Duration = Duration::from_secs(1);
/// os-release(5); the image writes it.
const OS_RELEASE: &str = "/etc/os-release";
/// The state folder holds events and keys: for our user and its group.
const STATE_MODE: u32 = 0o750;

/// Who runs the appliance.
pub enum Host {
    /// A process of its own: it listens to signals and tells systemd how it is.
    Process {
        /// The settings file, read again on SIGHUP.
        settings: PathBuf,
        /// Who had changed the settings, if the start took them back ([`take_back_unconfirmed`]).
        undone: Option<String>,
        /// Set if the file could not be used.
        fallback: Option<Fallback>,
        /// Called when the settings change what is logged.
        set_level: Box<dyn Fn(Level) + Send>,
        /// The last lines of the log.
        log: Ring,
    },
    /// Another program in the same process, which ends it through [`App::stopper`].
    Embedded,
}

/// An older copy of the settings is in force.
#[derive(Debug)]
pub struct Fallback {
    /// The copy.
    pub kept: PathBuf,
    /// What is wrong with the settings file.
    pub error: ConfigError,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { settings, .. } => write!(f, "Process({})", settings.display()),
            Self::Embedded => f.write_str("Embedded"),
        }
    }
}

impl Host {
    /// How the settings are that the program began with.
    fn settings_health(&self) -> Health {
        let Self::Process { fallback: Some(Fallback { kept, error }), .. } = self else { return Health::Healthy };
        let copy = kept.display();
        let what = format!("the settings file is wrong, the kept copy {copy} is in force: {}", error.headline());
        Health::degraded(what, "mend the file and reload; `sapphire-edge check` shows all that is wrong")
    }
}

/// How the appliance ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Ended {
    /// It was told to stop, and everything was finished within the grace period.
    Stopped,
    /// It was told to stop, and these did not finish in time or were not waited for. What they had not delivered stays in
    /// the queue.
    CutShort {
        /// The components that were cut off.
        cut: Vec<String>,
    },
    /// It cannot go on; why. A service manager should start it again.
    Failed(String),
}

/// Why the appliance could not be built. Trying again helps after the cause is gone.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The state folder is not there and could not be made, or cannot be written to.
    #[error("the state folder {} cannot be used: {source}; make it writable, or set another state_dir", path.display())]
    StateFolder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another program works in the state folder; two would write over each other's queue.
    #[error(
        "another sapphire-edge already works in the state folder {}; stop it, or set another state_dir", path.display()
    )]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The sockets that the service manager handed over could not be taken.
    #[error("the sockets of the service manager could not be taken: {0}")]
    Sockets(#[source] io::Error),
    /// A runtime could not be made.
    #[error("the threads could not be started: {0}")]
    Threads(#[source] io::Error),
    /// Signals cannot be heard.
    #[error("signals cannot be heard: {0}")]
    Signals(#[source] io::Error),
}

/// Each connection is an open file; the usual soft limit of 1,024 would refuse them before `max_connections` does.
fn raise_file_limit() {
    let limit = getrlimit(Resource::RLIMIT_NOFILE);
    if let Some((soft, hard)) = limit.ok().filter(|(soft, hard)| soft < hard)
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::warn!(%error, soft, "the limit on open files could not be raised; it also limits connections");
    }
}

/// The appliance, ready to run.
#[derive(Debug)]
pub struct App {
    config: Config,
    host: Host,
    board: Board,
    sockets: Sockets,
    signals: Signals,
    stop: CancellationToken,
    /// The multi-threaded one, for data.
    runtime: tokio::runtime::Runtime,
    /// Held as long as the program works in its state folder; the kernel lets go of it however the program ends.
    lock: File,
}

impl App {
    /// Prepares everything that has to be there before anything runs: the state folder, the sockets that systemd handed
    /// over, the threads.
    ///
    /// # Errors
    /// When one of those cannot be had.
    pub fn build(config: Config, host: Host) -> Result<Self, AppError> {
        raise_file_limit();
        let lock = own_state_folder(&config.state_dir)?;
        let sockets = match host {
            Host::Process { .. } => Sockets::from_service_manager().map_err(AppError::Sockets)?,
            Host::Embedded => Sockets::default(),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("data").build();
        let runtime = runtime.map_err(AppError::Threads)?;
        let entered = runtime.enter();
        let signals = match host {
            Host::Process { .. } => Signals::of_process().map_err(AppError::Signals)?,
            Host::Embedded => Signals::none(),
        };
        drop(entered);
        let board = Board::new(Clock::System).supported_until(SupportEnd::read(Path::new(OS_RELEASE)));
        let stop = CancellationToken::new();
        Ok(Self { config, host, board, sockets, signals, stop, runtime, lock })
    }

    /// The board that all components write to.
    #[must_use]
    pub fn board(&self) -> Board {
        self.board.clone()
    }

    /// The sockets, which know where they are bound.
    #[must_use]
    pub fn sockets(&self) -> Sockets {
        self.sockets.clone()
    }

    /// Ends the appliance when cancelled, as SIGTERM does.
    #[must_use]
    pub fn stopper(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs until it is told to stop or the queue is lost. Blocks this thread.
    ///
    /// # Errors
    /// When it could not begin at all.
    pub fn run(self) -> Result<Ended, AppError> {
        let Self { config, host, board, sockets, signals, stop, runtime, lock } = self;
        let pulse = Pulse::new();
        let (door, desk) = update::door();
        let (teller, told) = Teller::new();
        if let Host::Process { undone: Some(by), .. } = &host {
            teller.tell(changes::undone_notice(by));
        }
        let (settings, changes) = changes::door();
        let (sources, agains) = again::door();
        let (log, file) = match &host {
            Host::Process { log, settings, .. } => (log.clone(), Some(settings.clone())),
            Host::Embedded => (Ring::default(), None),
        };
        let power = Power::new(teller.clone(), file.is_some().then(|| stop.clone()));
        mark_of_reset(&config, &board);
        let sticks = Sticks::new(settings.clone(), board.clone(), teller.clone());
        let doors = Doors { updates: door, settings, sources, teller: teller.clone(), power, sticks, log };
        let aside = Aside::start(&config, board.clone(), pulse.clone(), doors, file);
        let (aside, orders) = aside.map_err(AppError::Threads)?;
        let ended = runtime.block_on(async {
            let hearth = match Hearth::open(&config, &board).await {
                Ok(hearth) => hearth,
                Err(error) => return Ended::Failed(error),
            };
            let parts = Parts::new(board, sockets, desk, config.state_dir.clone(), (teller, told));
            orders.look_at(parts.look(&hearth));
            Life::new(config, parts, hearth, host, (orders, changes, agains), pulse).run(stop, signals).await
        });
        runtime.shutdown_timeout(LAST_CALLS);
        aside.stop();
        drop(lock);
        Ok(ended)
    }
}

/// Says so where somebody asked for a factory reset that the start of the box did not do.
fn mark_of_reset(config: &Config, board: &Board) {
    if host::Reset::of(&config.state_dir).is_asked() {
        let todo = "restart the box; if this is said again, its disk is failing: replace the box, and keep the disk";
        board.handle(Component::Box, "reset").set(Health::failed("the factory reset was asked for and not done", todo));
    }
}

/// Makes the state folder if it is not there, and takes it for this program alone.
fn own_state_folder(path: &Path) -> Result<File, AppError> {
    let failed = |source| AppError::StateFolder { path: path.to_owned(), source };
    DirBuilder::new().recursive(true).mode(STATE_MODE).create(path).map_err(failed)?;
    let lock = File::create(path.join("lock")).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(AppError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}
