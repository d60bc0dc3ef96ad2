//! `demo`.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::log;
use crate::config::Level;
use crate::demo::{self, Screen, Verdict};
use crate::quantity::Span;
use crate::support::Ring;

#[derive(Args, Debug)]
pub(super) struct Options {
    /// End by itself after a play of about this length, such as 20s; without, it stays up after the play.
    #[arg(long = "for", value_name = "SPAN")]
    length: Option<Span>,
    /// The same seed gives the same events.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Events a second.
    #[arg(long, value_name = "N", default_value_t = 9_000)]
    rate: u32,
    /// A new or empty folder for all state and the gateway's file, which stays; without, a temporary one.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Keep the temporary folder.
    #[arg(long)]
    keep: bool,
}

pub(super) fn demo(options: Options) -> anyhow::Result<ExitCode> {
    let Options { length, seed, rate, dir, keep } = options;
    // What the box and the gateway have to say of the cut is on the screen; their log would only tear it.
    let _set_level = log::start(Level::Error, &Ring::default());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut out = io::stdout();
    let terminal = out.is_terminal();
    let mut screen = Screen::new(&mut out, terminal);
    let options = demo::Options { length, seed, rate, dir, keep };
    match runtime.block_on(demo::run(&options, &mut screen))? {
        Verdict::Balanced => Ok(ExitCode::SUCCESS),
        Verdict::Unbalanced | Verdict::Interrupted => Ok(ExitCode::FAILURE),
    }
}
