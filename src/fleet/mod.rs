//! The channel to whoever runs this box among many: how it is, and commands that are signed, over MQTT 5 at the fleet's broker.
//!
//! In: the status board, the ledger, updates, settings and notices, asked of the box's other rooms ([`Neighbours`]); signed
//! commands and offers from the broker. Out: messages under `sapphire/v1/BOX/` (`message`), whose JSON Schemas are in `schema`;
//! wishes to the other rooms. Floor 4. Without a `[fleet]` table nothing of this runs. The box dials out, through the site's
//! proxy where there is one; nothing listens.
//!
//! Invariants: TLS with a certificate of our own, whose name is the box's id; a command is carried out only if a fleet key has
//! signed exactly its bytes, it is addressed to this box, fresh, and was never seen before, over restarts too (`command`,
//! `replay`); it is remembered before it is begun, so it is done once or not at all, and answered; what is refused is a security
//! event; one command at a time. What a command can do is a closed list (`deed`), of which the worst is a change of settings
//! that is checked and goes back by itself. A broker that is away costs nothing but words: events, ledgers and answers wait on
//! the disk (`store`), the oldest go first and are counted.
//! Bounded: packets, messages a minute, commands that wait, what is kept, the size of a support bundle, time for a command.
//!
//! Decisions: the session at the broker lasts as long as a command may be valid, so that one that was sent while the box was
//! away arrives; what is older would be refused anyway. Messages carry a number that grows and never repeats, also over
//! restarts, so that a repeat is told by it. The offer of a version to all is a retained message, so that a box that comes
//! later has it too: it is signed like a command, and its date keeps an older one from being put back in its place.
//!
//! Not supported: a list of brokers (clusters have one name), commands to groups of boxes other than offers.

mod channel;
mod command;
mod deed;
mod desk;
pub mod enrolment;
mod identity;
mod link;
mod message;
mod outbox;
mod picture;
mod refusal;
mod replay;
mod say;
mod schema;
mod settings;
mod stage;
mod store;
#[cfg(test)]
mod tests;
mod trouble;

pub use identity::id_of;
pub use schema::SCHEMAS;
pub use settings::Config;
pub use stage::Stage;
pub use store::{Kept, kept};

use std::fs::DirBuilder;
use std::future::Future;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::value::RawValue;
use tokio::sync::{Mutex, broadcast};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::control::{self, Answer};
use crate::event::{ApplianceId, Notice, Teller};
use crate::status::{Handle, Snapshot};
use crate::update;
use channel::Channel;

/// What the channel asks of the box.
pub trait Neighbours: Send + Sync + 'static {
    /// The box's name.
    fn name(&self) -> String;
    /// The state of everything now.
    fn snapshot(&self) -> Snapshot;
    /// What each source's events came to (`queue::Totals` by id); an error says why that is not known.
    fn ledger(&self) -> Result<Box<RawValue>, String>;
    /// How updates are.
    fn updates(&self) -> update::Status;
    /// The settings in use.
    fn settings(&self) -> serde_json::Value;
    /// Hands a wish about updates over; the first answer.
    fn update(&self, wish: control::Update) -> impl Future<Output = Answer> + Send;
    /// Sees to a wish about the settings.
    fn change(&self, wish: control::Settings) -> impl Future<Output = Answer> + Send;
    /// Stops a source and starts it again.
    fn restart_source(&self, source: String, by: String) -> impl Future<Output = Answer> + Send;
    /// Makes a support bundle of at most so many bytes.
    fn support_bundle(&self, most: usize) -> impl Future<Output = Result<Vec<u8>, String>> + Send;
}

/// What is told in this program, for the channel; its runs hear it one after the other.
#[derive(Clone, Debug)]
pub struct Heard(Arc<Mutex<broadcast::Receiver<Notice>>>);

/// Hears what is told from now on.
#[must_use]
pub fn heard(teller: &Teller) -> Heard {
    Heard(Arc::new(Mutex::new(teller.listen())))
}

/// What the channel works with.
#[derive(Debug)]
pub struct Context<N> {
    /// The folder of all state; the channel keeps its own in `fleet` there.
    pub state_dir: PathBuf,
    /// The box, in the ids of its events.
    pub appliance: ApplianceId,
    /// The box's other rooms.
    pub neighbours: Arc<N>,
    /// Its own line.
    pub status: Handle,
    /// Wall time.
    pub clock: Clock,
    /// Tells what happened.
    pub teller: Teller,
    /// What others tell.
    pub heard: Heard,
    /// Tells it to stop.
    pub stop: CancellationToken,
}

/// The channel's folder in the folder of all state.
#[must_use]
pub fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("fleet")
}

/// Runs until told to stop.
///
/// # Errors
/// When its own files cannot be used; the words say what to do.
///
/// # Cancel safety
/// Dropping it loses what was told within the last second at most; the broker says then that the box was lost.
pub async fn run<N: Neighbours>(config: Config, context: Context<N>) -> Result<(), String> {
    let folder = folder(&context.state_dir);
    let made = DirBuilder::new().recursive(true).mode(0o750).create(&folder);
    let words = |error| format!("{} cannot be used ({error}); check the disk and its rights", folder.display());
    made.map_err(words)?;
    let heard = context.heard.clone();
    let mut heard = heard.0.lock().await;
    Channel::open(config, context, &folder).map_err(words)?.run(&mut heard).await;
    Ok(())
}
