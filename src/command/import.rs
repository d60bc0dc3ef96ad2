//! `import`: settings of other programs as ours.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use crate::source;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a source of Filebeat's settings for Office 365 (modules.d/o365.yml).
    ///
    /// Prints the table for the settings file. The client secret goes to a file of its own, readable for its owner alone.
    Filebeat(Filebeat),
}

#[derive(Args, Debug)]
pub(super) struct Filebeat {
    /// Filebeat's file.
    file: PathBuf,
    /// Where the client secret goes; it must not be there yet.
    #[arg(long, value_name = "FILE", default_value = "/etc/sapphire-edge/secrets/office365")]
    secret: PathBuf,
}

pub(super) fn import(command: &Command) -> anyhow::Result<ExitCode> {
    let Command::Filebeat(options) = command;
    let file = &options.file;
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let imported = source::import_filebeat(&text, &options.secret);
    let imported = imported.map_err(|words| anyhow::anyhow!("{}: {words}", file.display()))?;
    if let Some(secret) = &imported.secret {
        keep(&options.secret, secret.expose())
            .with_context(|| format!("cannot write the client secret to {}", options.secret.display()))?;
        writeln!(io::stderr(), "the client secret is in {}", options.secret.display())?;
    }
    for note in &imported.notes {
        writeln!(io::stderr(), "see to this: {note}")?;
    }
    write!(io::stdout(), "{}", imported.table)?;
    Ok(ExitCode::SUCCESS)
}

fn keep(file: &Path, secret: &str) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(file)?.write_all(secret.as_bytes())
}
