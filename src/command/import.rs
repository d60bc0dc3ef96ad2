//! `import`: settings of other programs as ours.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use crate::secret::Secret;
use crate::source;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a source of Filebeat's settings for Office 365 (modules.d/o365.yml).
    ///
    /// Prints the table for the settings file. The client secret goes to a file of its own, readable for its owner alone.
    Filebeat(Filebeat),

    /// Make a source of the settings of CrowdStrike's SIEM connector (cs.falconhoseclient.cfg).
    ///
    /// Prints the table for the settings file. The client secret goes to a file of its own, readable for its owner alone, and
    /// so do the mapping rules where the connector forms CEF or LEEF.
    Falcon(Falcon),
}

#[derive(Args, Debug)]
pub(super) struct Filebeat {
    /// Filebeat's file.
    file: PathBuf,
    /// Where the client secret goes; it must not be there yet.
    #[arg(long, value_name = "FILE", default_value = "/etc/sapphire-edge/secrets/office365")]
    secret: PathBuf,
}

#[derive(Args, Debug)]
pub(super) struct Falcon {
    /// The connector's file.
    file: PathBuf,
    /// Where the client secret goes; it must not be there yet.
    #[arg(long, value_name = "FILE", default_value = "/etc/sapphire-edge/secrets/crowdstrike")]
    secret: PathBuf,
    /// Where mapping rules go; it must not be there yet.
    #[arg(long, value_name = "FILE", default_value = "/etc/sapphire-edge/falcon-mapping.cfg")]
    mapping: PathBuf,
}

pub(super) fn import(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Filebeat(options) => filebeat(options),
        Command::Falcon(options) => falcon(options),
    }
}

fn filebeat(options: &Filebeat) -> anyhow::Result<ExitCode> {
    let file = &options.file;
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let imported = source::import_filebeat(&text, &options.secret);
    let imported = imported.map_err(|words| anyhow::anyhow!("{}: {words}", file.display()))?;
    keep_secret(imported.secret.as_ref(), &options.secret)?;
    say(&imported.notes, &imported.table)
}

fn falcon(options: &Falcon) -> anyhow::Result<ExitCode> {
    let file = &options.file;
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let imported = source::import_falcon(&text, &options.secret, &options.mapping);
    let imported = imported.map_err(|words| anyhow::anyhow!("{}: {words}", file.display()))?;
    keep_secret(imported.secret.as_ref(), &options.secret)?;
    if let Some(rules) = &imported.mapping {
        let mapping = &options.mapping;
        keep(mapping, rules).with_context(|| format!("cannot write the mapping rules to {}", mapping.display()))?;
        writeln!(io::stderr(), "the mapping rules are in {}", mapping.display())?;
    }
    say(&imported.notes, &imported.table)
}

fn keep_secret(secret: Option<&Secret<String>>, file: &Path) -> anyhow::Result<()> {
    if let Some(secret) = secret {
        keep(file, secret.expose()).with_context(|| format!("cannot write the client secret to {}", file.display()))?;
        writeln!(io::stderr(), "the client secret is in {}", file.display())?;
    }
    Ok(())
}

fn say(notes: &[String], table: &str) -> anyhow::Result<ExitCode> {
    for note in notes {
        writeln!(io::stderr(), "see to this: {note}")?;
    }
    write!(io::stdout(), "{table}")?;
    Ok(ExitCode::SUCCESS)
}

fn keep(file: &Path, secret: &str) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(file)?.write_all(secret.as_bytes())
}
