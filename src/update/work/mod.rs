//! The component: connects to RAUC, judges the boot, then looks, installs and restarts when it is time or somebody asks.

mod back;
mod install;
mod poll;
mod restart;
mod trial;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use rand::Rng as _;
use semver::Version;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::control::{self, Answer};
use crate::event::Teller;
use crate::net::Backoff;
use crate::status::{Board, Gauge, Handle, Health};
use crate::update::error::{RaucError, UpdateError};
use crate::update::offer::Schedule;
use crate::update::rauc::Rauc;
use crate::update::state::Store;
use crate::update::{Ask, Config, Desk, Phase, Status, to_answer};
use install::Source;
use restart::Restart;
use trial::Trial;

/// Waits between two tries to reach RAUC. At boot the bus may come after us; on a machine without RAUC a call a minute costs
/// nothing.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often a boot on trial is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often a RAUC that works for somebody else is looked at.
const BUSY_LOOK: Duration = Duration::from_secs(2);
/// What the component works with.
#[derive(Clone, Debug)]
pub struct Context {
    /// Its folder inside the state folder.
    pub folder: PathBuf,
    /// The control socket, which must answer before a boot is good.
    pub control: PathBuf,
    /// The page's address, where there is one.
    pub page: Option<SocketAddr>,
    /// Everything's health.
    pub board: Board,
    /// Its own line.
    pub status: Handle,
    /// Wall time.
    pub clock: Clock,
    /// Tells it to stop.
    pub stop: CancellationToken,
    /// Tells what happened.
    pub teller: Teller,
    /// Where wishes come from.
    pub desk: Desk,
}

/// Runs until told to stop.
///
/// # Errors
/// When its own files cannot be used; the words say what to do.
///
/// # Cancel safety
/// Dropping it loses nothing: a download goes on at the next start, RAUC ends its work by itself.
pub async fn run(config: Config, context: Context) -> Result<(), String> {
    let asks = context.desk.asks.clone();
    let mut asks = asks.lock().await;
    let store = Store::open(&context.folder).map_err(|error| error.to_string())?;
    let stop = context.stop.clone();
    let mut worker = Worker::new(config, context, store);
    worker.show();
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    loop {
        let lost = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            lost = worker.session(&mut asks, &mut backoff) => lost,
        };
        worker.lose(&lost);
        worker.give_up_without_rauc();
        let until = Instant::now() + backoff.next_delay();
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                asked = timeout_at(until, asks.recv()) => match asked {
                    Ok(Some(ask)) => drop(ask.to.send(Answer::Refused(lost.to_string())).await),
                    _ => break,
                },
            }
        }
        if asks.is_closed() {
            return Ok(());
        }
    }
}

/// The loop's own.
#[derive(Debug)]
struct Worker {
    config: Config,
    context: Context,
    store: Store,
    schedule: Schedule,
    /// The version that runs.
    version: Version,
    compatible: String,
    shown: Status,
    /// When the manifest is looked at next.
    next_poll: Instant,
    /// A restart was asked for, by us or by hand; until when it must have happened.
    restart: Restart,
    /// The version before, which somebody wants to go back to.
    goes_back_to: Option<String>,
    /// The manifest that the fleet's operator offers.
    offered: Option<String>,
    /// Looks at the manifest that failed one after the other.
    failed_polls: u32,
    /// Why what is offered could not be installed when the box tried to by itself.
    not_taken: Option<String>,
    /// When this run began.
    began: Instant,
    /// This start of the program was counted against the version on trial.
    is_counted: bool,
}

impl Worker {
    fn new(config: Config, context: Context, store: Store) -> Self {
        let schedule = config.schedule();
        let version = running_version();
        // A fleet that comes back after a power cut does not ask at one moment.
        let first = config.check_every.0.mul_f64(rand::rng().random_range(0.0..0.25));
        let largest = config.max_size.bytes();
        let shown = Status { version: version.to_string(), largest, ..Status::default() };
        Self {
            config,
            context,
            store,
            schedule,
            version,
            compatible: String::new(),
            shown,
            next_poll: Instant::now() + first,
            restart: Restart::None,
            goes_back_to: None,
            offered: None,
            failed_polls: 0,
            not_taken: None,
            began: Instant::now(),
            is_counted: false,
        }
    }

    /// Works as long as RAUC can be reached; comes back with the reason why not.
    async fn session(&mut self, asks: &mut mpsc::Receiver<Ask>, backoff: &mut Backoff) -> RaucError {
        let (rauc, compatible) = match Rauc::connect().await {
            Ok(connected) => connected,
            Err(error) => return error,
        };
        backoff.reset();
        tracing::info!(compatible, version = %self.version, "updates are possible");
        self.compatible.clone_from(&compatible);
        self.shown.compatible = Some(compatible);
        self.shown.unavailable = None;
        match self.work(&rauc, asks).await {
            Ok(()) => RaucError::Vanished,
            Err(UpdateError::Rauc(error)) => error,
            Err(error) => RaucError::NotThere(error.to_string()),
        }
    }

    async fn work(&mut self, rauc: &Rauc, asks: &mut mpsc::Receiver<Ask>) -> Result<(), UpdateError> {
        while rauc.is_busy().await? {
            self.set_phase(Phase::Installing { percent: 0, step: "rauc is at work".to_owned() });
            sleep(BUSY_LOOK).await;
        }
        // Nothing may be wished for until it is known what kind of boot this is.
        self.set_phase(Phase::Trial { waits_for: "rauc's slot status".to_owned() });
        self.refresh(rauc).await?;
        self.catch_up()?;
        let mut trial = Trial::begin(self)?;
        if trial.is_none() {
            self.set_phase(Phase::Idle);
            self.show_restart();
        }
        loop {
            if let Some(on_trial) = trial.as_mut() {
                let is_over = on_trial.look(self, rauc).await?;
                if is_over {
                    trial = None;
                    self.refresh(rauc).await?;
                    self.set_phase(Phase::Idle);
                    self.show_restart();
                }
            }
            let look_at = Instant::now() + LOOK;
            let restart_at = self.restart_at();
            tokio::select! {
                asked = asks.recv() => {
                    let Some(ask) = asked else { return Ok(()) };
                    self.serve(ask, rauc, &mut trial).await?;
                }
                () = sleep_until(look_at), if trial.is_some() => {}
                () = wait_until(restart_at), if trial.is_none() => self.restart_due(),
                () = sleep_until(self.next_poll), if trial.is_none() => {
                    if self.is_time_to_poll() {
                        self.poll(rauc).await?;
                    }
                }
            }
        }
    }

    async fn serve(&mut self, ask: Ask, rauc: &Rauc, trial: &mut Option<Trial>) -> Result<(), UpdateError> {
        let Ask { wish, to } = ask;
        let done = match wish {
            control::Update::Status => Ok(()),
            control::Update::RollBack { by } => self.roll_back(rauc, trial, &by).await,
            _ if trial.is_some() => Err(UpdateError::Refused(format!("not now: {}", self.shown.phase.words()))),
            control::Update::Check => self.check().await.map(drop),
            control::Update::Restart => self.restart_now(),
            control::Update::Offer { manifest } => self.take_offer(manifest).await,
            control::Update::Install { from, allow_downgrade, reboot } => match Source::of(from, self).await {
                Ok(source) => self.install(rauc, source, allow_downgrade, Some(&to)).await.map(|()| {
                    if reboot {
                        self.request_restart();
                    }
                }),
                Err(error) => Err(error),
            },
        };
        if trial.is_none() {
            self.set_phase(Phase::Idle);
            self.show_restart();
        }
        let answer = match &done {
            Ok(()) => to_answer(&self.shown),
            Err(error) => Answer::Refused(error.to_string()),
        };
        // Whoever asked may be gone.
        let _ = to.send(answer).await;
        match done {
            Err(UpdateError::Rauc(error)) if error.is_lost() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Reads the slots anew.
    async fn refresh(&mut self, rauc: &Rauc) -> Result<(), UpdateError> {
        self.shown.slots = rauc.slots().await?;
        self.show();
        Ok(())
    }

    /// Whether the window is open, in which the manifest is looked at; sets the time of the next look.
    fn is_time_to_poll(&mut self) -> bool {
        let (now, mut random) = (self.context.clock.now(), rand::rng());
        let opens = self.schedule.opens_in(now);
        let wait = if opens.is_zero() {
            self.config.check_every.0.mul_f64(random.random_range(0.75..1.25))
        } else {
            // Somewhere in the first half of the window, so that there is time to install.
            opens + self.schedule.open_for(now).unwrap_or_default().mul_f64(random.random_range(0.0..0.5))
        };
        self.next_poll = Instant::now() + wait;
        let may = self.condemned().is_none() && self.goes_back_to.is_none();
        opens.is_zero() && (self.config.manifest.is_some() || self.offered.is_some()) && may
    }

    fn set_phase(&mut self, phase: Phase) {
        if self.shown.phase != phase {
            self.shown.phase = phase;
            self.show();
        }
    }

    /// Puts everything where others see it.
    fn show(&mut self) {
        self.shown.fell_back.clone_from(&self.store.state.fell_back);
        self.shown.back_to = self.back_to().map(|(_, version)| version);
        self.context.desk.shown.send_replace(self.shown.clone());
        self.context.status.set(self.health());
        let installs = matches!(self.shown.phase, Phase::Installing { .. });
        self.context.status.counters().set(Gauge::Installing, installs.into());
    }

    fn health(&self) -> Health {
        if let Some(why) = self.shown.unavailable.as_ref().filter(|_| self.config.manifest.is_some()) {
            return Health::degraded(format!("updates are not available: {why}"), "take the [update] table out");
        }
        let fell_back = self.store.state.fell_back.last().filter(|entry| entry.by.is_none());
        if let Some(entry) = fell_back.filter(|_| !self.is_newer_than_fallen()) {
            let what = format!("version {} did not work, and the box went back: {}", entry.version, entry.why);
            return Health::degraded(what, "it is not tried again by itself; send the log to support");
        }
        if self.restart == Restart::Missed {
            let what = format!("{}, and did not restart when asked", self.shown.phase.words());
            return Health::degraded(what, "restart the box by hand");
        }
        let problem = self.shown.checked.as_ref().and_then(|checked| checked.problem.as_ref());
        let split = |why: &str| {
            let (what, todo) = why.split_once("; ").unwrap_or((why, "see the log"));
            (what.to_owned(), todo.to_owned())
        };
        // Where the settings name no manifest, a person who looks for news is told so, and nothing is wrong.
        let is_wrong = self.config.manifest.is_some() && self.failed_polls >= poll::WORRYING;
        if let Some((what, todo)) = problem.filter(|_| is_wrong).map(|why| split(why)) {
            return Health::degraded(format!("no news of updates: {what}"), todo);
        }
        if let Some((what, todo)) = self.not_taken.as_deref().map(split) {
            return Health::degraded(format!("an update was not installed: {what}"), todo);
        }
        Health::Healthy
    }

    /// Whether the version that runs has left those behind that did not work.
    fn is_newer_than_fallen(&self) -> bool {
        let fallen = self.store.state.fell_back.last().and_then(|entry| entry.version.parse::<Version>().ok());
        fallen.is_some_and(|fallen| self.version >= fallen)
    }

    /// RAUC cannot be reached.
    fn lose(&mut self, error: &RaucError) {
        let words = error.to_string();
        if self.shown.unavailable.as_ref() != Some(&words) {
            tracing::info!("updates are not available: {words}");
        }
        self.shown.unavailable = Some(words);
        self.shown.phase = Phase::Idle;
        self.show();
    }
}

async fn wait_until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// os-release(5): `IMAGE_VERSION` is the image's own; a plain machine has none.
fn running_version() -> Version {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("IMAGE_VERSION="));
    let version = line.and_then(|value| value.trim_matches(['"', '\'']).parse().ok());
    version.or_else(|| env!("CARGO_PKG_VERSION").parse().ok()).unwrap_or(Version::new(0, 0, 0))
}
