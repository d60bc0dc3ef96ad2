//! The door out: takes batches from the queue and delivers them until the far end has acknowledged them.
//!
//! In: a [`queue::Reader`](crate::queue::Reader) of its own per output. Out: bytes on a socket or in a file, and the
//! reader's position moved. Floor 3. Nothing is lost between the two: a batch that is not acknowledged goes back, with how
//! far it came, and is sent again, every event under the id it always had (at least once).
//!
//! Encoding and compression run on blocking threads, on buffers that are used again; see `feed`. What all outputs do when
//! the far end cannot be reached is in `deliver`.

mod deliver;
mod encode;
mod feed;
mod file;
mod form;
mod json;
mod lumberjack;
mod mqtt;
mod reach;
mod syslog;

pub use encode::{Encoded, Encoder, Readings};
pub use file::Config as FileConfig;
pub use form::FORMS;
pub use lumberjack::{Config as LumberjackConfig, Mode};
pub use mqtt::{Config as MqttConfig, Payload as MqttPayload};
pub use reach::Transport;
pub use syslog::{Config as SyslogConfig, Format as SyslogFormat};

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::event::OutputId;
use crate::form::Finding;
use crate::net::tls::TlsError;
use crate::queue::Reader;
use crate::status::{Handle, Health};

/// What an output is given.
#[derive(Debug)]
pub struct Context {
    /// Its end of the queue.
    pub reader: Reader,
    /// Cancelled when it has to stop.
    pub stop: CancellationToken,
    /// Its line on the board.
    pub status: Handle,
    /// Wall time.
    pub clock: Clock,
    /// How the events of each source are read.
    pub readings: Readings,
    /// The box's name, as events show it.
    pub name: Arc<str>,
}

/// One `[[output]]` table of the settings, by its `type`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Config {
    /// Lumberjack v2 to one or several gateways, acknowledged.
    Lumberjack(lumberjack::Config),
    /// Syslog to a collector: not acknowledged.
    Syslog(syslog::Config),
    /// MQTT 5 to a broker, acknowledged.
    Mqtt(mqtt::Config),
    /// NDJSON in a file.
    File(file::Config),
}

impl Config {
    /// The name of the output.
    #[must_use]
    pub fn id(&self) -> &OutputId {
        match self {
            Self::Lumberjack(config) => &config.id,
            Self::Syslog(config) => &config.id,
            Self::Mqtt(config) => &config.id,
            Self::File(config) => &config.id,
        }
    }

    /// Whether it runs: else somebody paused it.
    #[must_use]
    pub fn enabled(&self) -> bool {
        match self {
            Self::Lumberjack(config) => config.enabled,
            Self::Syslog(config) => config.enabled,
            Self::Mqtt(config) => config.enabled,
            Self::File(config) => config.enabled,
        }
    }

    /// Whether the queue may let events go that only this output still lacks.
    #[must_use]
    pub fn may_skip(&self) -> bool {
        match self {
            Self::Lumberjack(config) => config.may_skip,
            Self::Syslog(config) => config.may_skip,
            Self::Mqtt(config) => config.may_skip,
            Self::File(config) => config.may_skip,
        }
    }

    /// Whether its far end acknowledges in its protocol; only then may a delivery spare the queue a write.
    #[must_use]
    pub fn acknowledges(&self) -> bool {
        matches!(self, Self::Lumberjack(_) | Self::Mqtt(_))
    }

    /// What contradicts itself or is out of range: the key inside the table, and what is wrong and what to write instead.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        match self {
            Self::Lumberjack(config) => config.validate(),
            Self::Syslog(config) => config.validate(),
            Self::Mqtt(config) => config.validate(),
            Self::File(config) => config.validate(),
        }
    }

    /// Opens and checks the files that the table names.
    #[must_use]
    pub fn open_files(&self) -> Vec<(String, String)> {
        match self {
            Self::Lumberjack(config) => config.open_files(),
            Self::Syslog(config) => config.open_files(),
            Self::Mqtt(config) => config.open_files(),
            Self::File(config) => config.open_files(),
        }
    }
}

/// An output runs unless its settings say otherwise.
fn enabled() -> bool {
    true
}

/// Why an output ended. A new run may succeed.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// Its certificates or keys cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A fault of ours while encoding; the batch is still in the queue.
    #[error("encoding events ended in a panic")]
    Panicked,
}

impl OutputError {
    /// What a person should do.
    #[must_use]
    pub fn todo(&self) -> &'static str {
        match self {
            Self::Tls(_) => "mend the files or the tls settings of this output; it tries again by itself",
            Self::Panicked => "if it stays, restart the box and send its log to support",
        }
    }
}

/// Connects to the far ends of an output once, and says what is right and what is wrong. Sends no event. Nothing comes for a file.
///
/// # Cancel safety
/// Safe.
pub async fn test(config: &Config) -> Vec<Finding> {
    match config {
        Config::Lumberjack(config) => config.test().await,
        Config::Syslog(config) => config.test().await,
        Config::Mqtt(config) => config.test().await,
        Config::File(_) => Vec::new(),
    }
}

/// Delivers until it is told to stop or the queue is closed; shows in its health what keeps it from it.
///
/// # Errors
/// When it cannot begin (certificates), or after a fault of ours. To be started again after a backoff.
///
/// # Cancel safety
/// Dropping it cuts the connection; what was not acknowledged goes back to the queue.
pub async fn run(config: Config, context: Context) -> Result<(), OutputError> {
    let status = context.status.clone();
    status.set(Health::Starting);
    let result = match config {
        Config::Lumberjack(config) => lumberjack::run(&config, context).await,
        Config::Syslog(config) => syslog::run(&config, context).await,
        Config::Mqtt(config) => mqtt::run(&config, context).await,
        Config::File(config) => file::run(config, context).await,
    };
    match &result {
        Ok(()) => status.set(Health::Stopped),
        Err(error) => status.set(Health::failed(error.to_string(), error.todo())),
    }
    result
}
