//! `reset`: the second half of a factory reset, which root does.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::host::Reset;

#[derive(Args, Debug)]
pub(super) struct Options {
    /// The state folder. Not the one of the settings: those are among what goes.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/sapphire-edge")]
    folder: PathBuf,
}

pub(super) fn reset(options: &Options) -> anyhow::Result<ExitCode> {
    let words = if Reset::of(&options.folder).heed()? {
        "the box is as new"
    } else {
        "nobody asked for it; nothing was changed"
    };
    writeln!(io::stdout().lock(), "{words}")?;
    Ok(ExitCode::SUCCESS)
}
