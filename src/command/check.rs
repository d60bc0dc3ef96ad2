//! `check` and `schema`.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use crate::config::Config;

pub(super) fn check(settings: &Path) -> anyhow::Result<ExitCode> {
    let config = Config::check(settings)?;
    let count = |number: usize, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
    let (sources, outputs) = (count(config.source.len(), "source"), count(config.output.len(), "output"));
    writeln!(io::stdout(), "{}: good, with {sources} and {outputs}", settings.display())?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn schema() -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &Config::schema()).map_err(io::Error::from)?;
    writeln!(out)?;
    Ok(ExitCode::SUCCESS)
}
