//! The door where data comes in. A source owns its listeners, makes batches of what arrives, and hands them to the queue.
//!
//! In: sockets. Out: batches for [`Intake`], with the counters and the health of the source. Floor 3. A source answers its
//! sender only for what is settled; one that answers nobody (syslog) drops the ticket. No source knows another.
//!
//! To add one: a room beside `syslog/`, an arm in [`Config`] and in [`run`], a sample, a form.

mod amp;
mod crowdstrike;
mod duo;
mod error;
mod finding;
mod hubs;
mod listeners;
mod lumberjack;
mod microsoft;
mod notice;
mod pull;
mod replicator;
mod s3;
mod sign;
mod silence;
mod ssh;
mod syslog;
mod umbrella;
mod watch;

pub use amp::{Config as AmpConfig, Delivery as AmpDelivery, Region as AmpRegion};
pub use crowdstrike::{Begin, Config as CrowdstrikeConfig, FalconCloud, FalconFormat, ImportedFalcon, import_falcon};
pub use duo::{Config as DuoConfig, DuoLog, DuoSignature};
pub use error::SourceError;
pub use finding::Finding;
pub use hubs::Config as EventHubsConfig;
pub use lumberjack::Config as LumberjackConfig;
pub use microsoft::{
    Cloud, Consent, ConsentError, ContentType, DefenderConfig, DefenderFeed, GraphConfig, GraphFeed, Imported,
    Office365Config, TokenVersion, import_filebeat,
};
pub use notice::{NOTICES, Told, run_notices};
pub use replicator::Config as ReplicatorConfig;
pub use silence::SilentAfter;
pub use ssh::{Config as SshConfig, Deeds, DeviceKey, HostKey, deeds, host_keys};
pub use syslog::Config as SyslogConfig;
pub use umbrella::Config as UmbrellaConfig;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::event::{SourceId, Teller};
use crate::form::Form;
use crate::net::{self, Allow, Listen, SocketName, Sockets};
use crate::queue::Intake;
use crate::status::{Count, Gauge, Handle, Health};
use crate::wire::syslog::Reading;

/// One `[[source]]` table of the settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Config {
    /// Syslog over UDP, TCP and TLS.
    Syslog(syslog::Config),
    /// Lumberjack v2, as Beats agents speak it, over TCP and TLS.
    Lumberjack(lumberjack::Config),
    /// Files that devices push over SSH: SCP and SFTP.
    Ssh(ssh::Config),
    /// The Office 365 Management Activity API.
    Office365(Box<Office365Config>),
    /// Microsoft Graph.
    Graph(Box<GraphConfig>),
    /// Defender for Endpoint.
    Defender(Box<DefenderConfig>),
    /// Azure Event Hubs over AMQP 1.0.
    EventHubs(Box<EventHubsConfig>),
    /// Cisco Umbrella's logs in S3.
    Umbrella(Box<UmbrellaConfig>),
    /// Duo's Admin API.
    Duo(Box<DuoConfig>),
    /// Cisco Secure Endpoint (AMP).
    Amp(Box<AmpConfig>),
    /// CrowdStrike Falcon, Event Streams.
    Crowdstrike(Box<CrowdstrikeConfig>),
    /// CrowdStrike Falcon Data Replicator.
    FalconReplicator(Box<ReplicatorConfig>),
}

/// What is asked for each type, in the order people should read them.
pub const FORMS: [&Form; 12] = [
    &syslog::FORM,
    &ssh::FORM,
    &lumberjack::FORM,
    &microsoft::OFFICE365_FORM,
    &microsoft::GRAPH_FORM,
    &microsoft::DEFENDER_FORM,
    &hubs::FORM,
    &umbrella::FORM,
    &duo::FORM,
    &amp::FORM,
    &crowdstrike::FORM,
    &replicator::FORM,
];

/// The same of whichever source it is.
macro_rules! whichever {
    ($it:expr, $config:ident => $same:expr) => {
        match $it {
            Self::Syslog($config) => $same,
            Self::Lumberjack($config) => $same,
            Self::Ssh($config) => $same,
            Self::Office365($config) => $same,
            Self::Graph($config) => $same,
            Self::Defender($config) => $same,
            Self::EventHubs($config) => $same,
            Self::Umbrella($config) => $same,
            Self::Duo($config) => $same,
            Self::Amp($config) => $same,
            Self::Crowdstrike($config) => $same,
            Self::FalconReplicator($config) => $same,
        }
    };
}

impl Config {
    /// Its name, unique among the sources.
    #[must_use]
    pub fn id(&self) -> &SourceId {
        whichever!(self, config => &config.id)
    }

    /// Whether it runs: else somebody paused it.
    #[must_use]
    pub fn enabled(&self) -> bool {
        whichever!(self, config => config.enabled)
    }

    /// What is wrong without looking at the machine: the key inside the table, and what to write instead.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        whichever!(self, config => config.validate())
    }

    /// Opens the files it names (certificates, keys): the key, and what is wrong.
    #[must_use]
    pub fn open_files(&self) -> Vec<(String, String)> {
        whichever!(self, config => config.open_files())
    }

    /// How its events are to be read on their way out.
    #[must_use]
    pub fn reading(&self) -> Reading {
        match self {
            Self::Syslog(config) => config.reading(),
            Self::Ssh(config) => config.reading(),
            _ => Reading::default(),
        }
    }

    /// Where it listens, in the order of its settings; nowhere while it is paused.
    #[must_use]
    pub fn listen(&self) -> &[Listen] {
        match self {
            _ if !self.enabled() => &[],
            Self::Syslog(config) => &config.listen,
            Self::Lumberjack(config) => &config.listen,
            Self::Ssh(config) => &config.listen,
            _ => &[],
        }
    }

    /// The networks that may send to it.
    #[must_use]
    pub fn allow(&self) -> &Allow {
        static NOBODY_COMES: LazyLock<Allow> = LazyLock::new(Allow::default);
        match self {
            Self::Syslog(config) => &config.allow,
            Self::Lumberjack(config) => &config.allow,
            Self::Ssh(config) => &config.allow,
            _ => &NOBODY_COMES,
        }
    }

    /// The sockets it listens on, for [`Sockets::keep_only`].
    #[must_use]
    pub fn sockets(&self) -> BTreeSet<SocketName> {
        match self {
            _ if !self.enabled() => BTreeSet::new(),
            Self::Syslog(config) => config.sockets(),
            Self::Lumberjack(config) => config.sockets(),
            Self::Ssh(config) => config.sockets(),
            _ => BTreeSet::new(),
        }
    }
}

/// A source runs unless its settings say otherwise.
fn enabled() -> bool {
    true
}

/// What a source works with.
#[derive(Clone, Debug)]
pub struct Context {
    /// Where its batches go.
    pub intake: Intake,
    /// Tells it to stop; the app holds the other end.
    pub stop: CancellationToken,
    /// Its line on the status board.
    pub status: Handle,
    /// Wall time.
    pub clock: Clock,
    /// The bound sockets, which outlive it.
    pub sockets: Sockets,
    /// The folder of all state; a source keeps what is its own below it.
    pub state_dir: PathBuf,
    /// Where it tells what the far end should know.
    pub teller: Teller,
}

/// Runs a source until it is told to stop, and shows its health from start to end.
///
/// # Errors
/// When it cannot go on; it may be started again after a backoff. Its health says what to do.
///
/// # Cancel safety
/// Dropping it cuts its connections off; what was taken and not yet handed to the queue is counted as dropped.
pub async fn run(config: Config, context: Context) -> Result<(), SourceError> {
    let status = context.status.clone();
    status.set(Health::Starting);
    let result = match config {
        Config::Syslog(config) => syslog::run(config, context).await,
        Config::Lumberjack(config) => lumberjack::run(config, context).await,
        Config::Ssh(config) => ssh::run(config, context).await,
        Config::Office365(config) => microsoft::run_office365(*config, context).await,
        Config::Graph(config) => microsoft::run_graph(*config, context).await,
        Config::Defender(config) => microsoft::run_defender(*config, context).await,
        Config::EventHubs(config) => hubs::run(*config, context).await,
        Config::Amp(config) => amp::run(*config, context).await,
        Config::Duo(config) => duo::run(*config, context).await,
        Config::Crowdstrike(config) => crowdstrike::run(*config, context).await,
        Config::FalconReplicator(config) => replicator::run(*config, context).await,
        Config::Umbrella(config) => umbrella::run(*config, context).await,
    };
    match &result {
        Ok(()) => status.set(Health::Stopped),
        Err(error) => status.set(Health::failed(error.to_string(), error.todo())),
    }
    result
}

/// The consent of a tenant's administrator to the app of a source; `None` for sources that need none. `redirect` is one of
/// the app's redirect addresses.
#[must_use]
pub fn consent<'a>(config: &'a Config, redirect: &str) -> Option<Consent<'a>> {
    let account = match config {
        Config::Office365(config) => config.account(),
        Config::Graph(config) => config.account(),
        Config::Defender(config) => config.account(),
        _ => return None,
    };
    Some(Consent::new(account, redirect))
}

/// Asks each feed of a source once, with the credentials of its settings, and says what is right and what is wrong. Changes
/// nothing at the vendor. Nothing comes for sources that listen: their health says how it is.
///
/// # Cancel safety
/// Safe.
pub async fn test(config: &Config, clock: Clock) -> Vec<Finding> {
    match config {
        Config::Syslog(_) | Config::Lumberjack(_) | Config::Ssh(_) => Vec::new(),
        Config::Office365(config) => microsoft::test_office365(config, clock).await,
        Config::Graph(config) => microsoft::test_graph(config, clock).await,
        Config::Defender(config) => microsoft::test_defender(config, clock).await,
        Config::Duo(config) => duo::test(config, clock).await,
        Config::EventHubs(config) => hubs::test(config, &clock).await,
        Config::Amp(config) => amp::test(config, clock).await,
        Config::Crowdstrike(config) => crowdstrike::test(config, clock).await,
        Config::FalconReplicator(config) => replicator::test(config, clock).await,
        Config::Umbrella(config) => umbrella::test(config, clock).await,
    }
}

impl net::Tally for Handle {
    fn opened(&self) {
        self.counters().add(Count::Connections, 1);
        self.counters().raise(Gauge::OpenConnections, 1);
    }

    fn closed(&self) {
        self.counters().lower(Gauge::OpenConnections, 1);
    }

    fn refused(&self) {
        self.counters().add(Count::RefusedConnections, 1);
    }

    fn broken(&self) {
        self.counters().add(Count::BrokenConnections, 1);
    }
}
