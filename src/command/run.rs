//! `run`.

use std::path::Path;
use std::process::ExitCode;

use super::log;
use crate::app::{self, App, Ended, Fallback, Host};
use crate::config::{Config, ConfigError, Kept};
use crate::support::Ring;

pub(super) fn run(settings: &Path) -> anyhow::Result<ExitCode> {
    let undone = app::take_back_unconfirmed(settings);
    let (config, fallback) = load(settings)?;
    let ring = Ring::default();
    let set_level = log::start(config.log.level, &ring);
    let undone = undone.unwrap_or_else(|error| {
        tracing::error!(%error, "settings that nobody confirmed cannot be taken back");
        None
    });
    if let Some(fallback) = &fallback {
        tracing::error!(error = %fallback.error, kept = %fallback.kept.display(), "the settings file is wrong; a kept copy is used");
    }
    let host = Host::Process { settings: settings.to_owned(), undone, fallback, set_level, log: ring };
    let app = App::build(config, host)?;
    match app.run()? {
        Ended::Stopped | Ended::CutShort { .. } => Ok(ExitCode::SUCCESS),
        Ended::Failed(reason) => Err(anyhow::anyhow!(reason)),
    }
}

/// The settings of the file, or else of the newest copy that can be used.
fn load(settings: &Path) -> Result<(Config, Option<Fallback>), ConfigError> {
    let error = match Config::load(settings) {
        Ok(config) => return Ok((config, None)),
        Err(error) => error,
    };
    match Kept::of(settings).newest(Config::load) {
        Some((kept, config)) => Ok((config, Some(Fallback { kept, error }))),
        None => Err(error),
    }
}
