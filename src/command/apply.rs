//! `apply`: the one command that root runs.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::SETTINGS;
use crate::config::{Config, Kept, Version};
use crate::host::{Applied, Machine, Opening, Paper, Plan, System};
use crate::net::Listen;

/// The file may change while it is applied, and nobody else would notice. Whoever changes it faster than this goes on being
/// told of by the path unit.
const MOST_ROUNDS: usize = 5;

#[derive(Args, Debug)]
pub(super) struct Options {
    /// The settings file.
    #[arg(long, short, value_name = "FILE", default_value = SETTINGS)]
    config: PathBuf,
    /// Write what would be applied below this folder, and change nothing else.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

pub(super) fn apply(options: &Options) -> anyhow::Result<ExitCode> {
    let (root, system): (&Path, Box<dyn System>) = match &options.root {
        Some(root) => (root, Box::new(Paper::new(root.join("run/systemd/sapphire-edge")))),
        None => (Path::new("/"), Box::new(Machine)),
    };
    for _ in 0..MOST_ROUNDS {
        let (config, version) = settings(&options.config)?;
        let openings = openings(&config);
        let plan = Plan::new(&config.network, &config.time, config.name.as_deref(), &openings);
        let applied = plan.apply(root, system.as_ref())?;
        tell(&applied, &openings)?;
        if Version::of(&options.config) == version {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The settings that the program uses too: of the file, or else of the newest copy that can be used. They belong to the
/// program's user.
pub(super) fn settings(file: &Path) -> anyhow::Result<(Config, Option<Version>)> {
    let version = Version::of(file);
    let error = match Config::load_foreign(file) {
        Ok((config, version)) => return Ok((config, Some(version))),
        Err(error) => error,
    };
    let Some((kept, (config, _))) = Kept::of(file).newest(Config::load_foreign) else { return Err(error.into()) };
    writeln!(io::stderr(), "{error}\n\nthe kept copy {} is applied", kept.display())?;
    Ok((config, version))
}

/// The ports that the settings need open.
fn openings(config: &Config) -> Vec<Opening> {
    let web = config.web.as_ref().and_then(|web| Opening::tcp(web.listen));
    let page = config.page.iter().flat_map(|page| {
        page.listen.iter().filter_map(|address| Opening::of(Listen::Tls(*address), &page.allow)).collect::<Vec<_>>()
    });
    let sources = config.source.iter().flat_map(|source| {
        source.listen().iter().filter_map(|listen| Opening::of(*listen, source.allow())).collect::<Vec<_>>()
    });
    web.into_iter().chain(page).chain(sources).collect()
}

fn tell(applied: &Applied, openings: &[Opening]) -> io::Result<()> {
    let word = |changed| if changed { "changed" } else { "as it was" };
    let name = applied.host_name.as_deref().map(|name| format!(", host name now {name}")).unwrap_or_default();
    let (network, time) = (word(applied.network), word(applied.time));
    let mut out = io::stdout().lock();
    writeln!(out, "network {network}, time {time}{name}, firewall loaded; open ports: {}", openings.len())?;
    openings.iter().try_for_each(|opening| writeln!(out, "open: {opening}"))
}
