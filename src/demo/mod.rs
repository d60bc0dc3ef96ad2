//! The whole box and a gateway on loopback, with a play that proves the promise: what was sent is what the gateway holds.
//!
//! In: a rate, a seed, a length. Out: a live line, a table, a verdict. Floor 7. The box takes a site's events (`senders`,
//! made by `generate`) over UDP, TCP, TLS and SSH and sends them to a second instance, the gateway, over Lumberjack inside TLS
//! (`stage` sets both up). The line between them is cut until 50,000 events wait on the disk (`play`). In the end the
//! gateway's file is read event by event (`balance`) and the account is shown (`report`).
//!
//! Needs no root and no settings: everything listens on free ports of 127.0.0.1 and lives in one fresh folder.

mod balance;
pub mod generate;
mod pace;
mod play;
mod push;
mod report;
mod screen;
mod senders;
mod stage;

pub use screen::Screen;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::quantity::{Span, thousands};
use play::{Plan, Play};
use senders::Senders;
use stage::{Folder, Stage};

/// The length of a play where none is given.
const LENGTH: Span = Span::secs(20);
/// A shorter play has no time for its acts.
const SHORTEST: Duration = Duration::from_secs(15);
/// The account holds about 80 bytes for each event: this is 800 MB.
const MOST_EVENTS: u64 = 10_000_000;

/// What to play.
#[derive(Clone, Debug)]
pub struct Options {
    /// End after a play of about this length; without, play 20 seconds and stay up.
    pub length: Option<Span>,
    /// The same seed gives the same events, apart from their times.
    pub seed: u64,
    /// Events a second, from 1,000 to 200,000.
    pub rate: u32,
    /// A new or empty folder for all state, which is kept; without, a temporary one.
    pub dir: Option<PathBuf>,
    /// Keep the temporary folder.
    pub keep: bool,
}

/// How the demo ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every event that was sent is in the gateway's file, and nothing else.
    Balanced,
    /// Something was lost, invented or renamed, or the play did not go as it should; what, has been printed.
    Unbalanced,
    /// It was ended before that could be said.
    Interrupted,
}

/// Why the demo could not be played.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The options contradict what can be played.
    #[error("{0}")]
    Options(String),
    /// The folder that was given holds something.
    #[error("{} is not empty; give --dir a new or empty folder", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The state folder.
    #[error("cannot use {}; choose another folder with --dir", path.display())]
    Folder {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A certificate could not be made or used.
    #[error("the demo's certificates cannot be used: {0}")]
    Certificate(String),
    /// The box or the gateway did not start, or ended by itself.
    #[error("the {name} does not run: {words}")]
    Instance {
        /// Which.
        name: &'static str,
        /// Why.
        words: String,
    },
    /// A device of the play could not send.
    #[error("the {device} of the play cannot send to the box")]
    Sender {
        /// Family and number.
        device: String,
        /// Why.
        source: io::Error,
    },
    /// A socket of the play's own, or the terminal.
    #[error("the demo itself cannot go on")]
    Io(#[from] io::Error),
}

impl Options {
    fn plan(&self) -> Result<Plan, DemoError> {
        let length = self.length.unwrap_or(LENGTH).0;
        if length < SHORTEST {
            return Err(DemoError::Options("a play takes at least 15 seconds; write --for 15s or more".into()));
        }
        if !(1_000..=200_000).contains(&self.rate) {
            return Err(DemoError::Options("the rate goes from 1000 to 200000 events a second".into()));
        }
        let plan = Plan::new(length);
        if plan.stop.as_secs().saturating_mul(self.rate.into()) > MOST_EVENTS {
            let words = "the balance can hold 10 million events; choose a shorter --for or a lower --rate";
            return Err(DemoError::Options(words.into()));
        }
        Ok(plan)
    }
}

/// Plays the demo. SIGINT or SIGTERM end it cleanly at any time; after the play they are the way to end it.
///
/// # Errors
/// When it could not be played at all. That something was lost is no error but a [`Verdict`].
///
/// # Cancel safety
/// When it is dropped the two appliances are told to stop and end on their own.
pub async fn run(options: &Options, screen: &mut Screen<'_>) -> Result<Verdict, DemoError> {
    let plan = options.plan()?;
    let interrupted = CancellationToken::new();
    let mut signals = JoinSet::new();
    signals.spawn(watch(signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, interrupted.clone()));

    let folder = Folder::make(options.dir.as_deref(), options.keep)?;
    let stays = if folder.is_kept() { "and is kept" } else { "until the demo ends" };
    screen.line(&format!("state in {} {stays}; seed {}", folder.path().display(), options.seed))?;
    let mut stage = Stage::start(&folder).await?;
    let verdict = perform(options, plan, &mut stage, screen, &interrupted).await;
    if interrupted.is_cancelled() {
        screen.line("stopping")?;
    }
    let stopped = stage.stop().await;
    let verdict = verdict?;
    stopped?;
    Ok(verdict)
}

async fn watch(mut interrupt: Signal, mut terminate: Signal, interrupted: CancellationToken) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    interrupted.cancel();
}

async fn perform(
    options: &Options,
    plan: Plan,
    stage: &mut Stage,
    screen: &mut Screen<'_>,
    interrupted: &CancellationToken,
) -> Result<Verdict, DemoError> {
    let targets = stage.targets()?;
    let rate = thousands(options.rate.into());
    let devices = targets.devices().count();
    screen.line(&format!("box and gateway are up; {devices} devices send {rate} events a second"))?;
    if targets.scp.is_none() {
        screen.line("this machine has no scp: no files are pushed")?;
    }
    let senders = Senders::start(&targets, options.rate, options.seed);
    let Stage { edge, gateway, relay, .. } = stage;
    let play = Play { plan, edge: &edge.board, gateway: &gateway.board, relay, screen, interrupted };
    let outcome = play.run(senders).await?;
    if outcome.interrupted {
        screen.line("interrupted before the end of the play: nothing can be said of the balance")?;
        return Ok(Verdict::Interrupted);
    }
    let verdict = report::settle(outcome, &stage.events, &stage.edge.board, screen).await?;
    if options.length.is_none() {
        for line in stage.invitation()? {
            screen.line(&line)?;
        }
        interrupted.cancelled().await;
    }
    Ok(verdict)
}
