//! `console`: the screen on the HDMI port.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{Where, small_runtime};
use crate::console;

#[derive(Args, Debug)]
pub(super) struct Options {
    /// Print what it shows, once, and end; with 1 when no appliance answers.
    #[arg(long, conflicts_with = "stay")]
    once: bool,
    /// Never end by a key.
    #[arg(long)]
    stay: bool,
    #[command(flatten)]
    at: Where,
}

pub(super) fn console(options: &Options) -> anyhow::Result<ExitCode> {
    let socket = || -> PathBuf { options.at.socket() };
    small_runtime()?.block_on(async {
        if !options.once {
            console::run(&socket, options.stay).await?;
            return Ok(ExitCode::SUCCESS);
        }
        let (picture, has_answered) = console::print(&socket).await;
        write!(io::stdout().lock(), "{picture}")?;
        Ok(if has_answered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}
