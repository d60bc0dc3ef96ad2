//! `run`.

use std::path::Path;
use std::process::ExitCode;

use super::log;
use crate::app::{App, Ended, Host};
use crate::config::Config;

pub(super) fn run(settings: &Path) -> anyhow::Result<ExitCode> {
    let config = Config::load(settings)?;
    let set_level = log::start(config.log.level);
    let app = App::build(config, Host::Process { settings: settings.to_owned(), set_level })?;
    match app.run()? {
        Ended::Stopped | Ended::CutShort { .. } => Ok(ExitCode::SUCCESS),
        Ended::Failed(reason) => Err(anyhow::anyhow!(reason)),
    }
}
