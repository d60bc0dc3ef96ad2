//! `fleet`: the channel to whoever runs this box among many.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::{Where, small_runtime, status};
use crate::config::Config;
use crate::fleet::{self, SCHEMAS};
use crate::status::{Component, Health};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show how the channel is: the broker, the box's id, what waits, and what to do.
    ///
    /// Exits with 1 if the operator does not see this box.
    Status(Where),

    /// Print the JSON Schemas of what is said on the channel: one, or all as one object.
    Schema(Schema),
}

#[derive(Args, Debug)]
pub(super) struct Schema {
    /// The last level of the topic, such as `status`.
    name: Option<String>,
}

pub(super) fn fleet(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Status(at) => show(at),
        Command::Schema(schema) => print(schema.name.as_deref()),
    }
}

fn show(at: &Where) -> anyhow::Result<ExitCode> {
    let config = Config::load(&at.config)?;
    let Some(channel) = &config.fleet else {
        anyhow::bail!("the settings have no [fleet] table: this box is not one of a fleet");
    };
    let kept = fleet::kept(&fleet::folder(&config.state_dir));
    let certificate = channel.client(&config.state_dir).cert.unwrap_or_default();
    let id = fleet::id_of(&certificate).or_else(|| kept.as_ref()?.id.clone());
    let snapshot = small_runtime()?.block_on(status::ask(&at.socket()))?;
    let line = snapshot.line(Component::Box, "fleet").context("the running program has no channel yet")?;
    let mut out = io::stdout().lock();
    writeln!(out, "broker   {}", channel.broker)?;
    writeln!(out, "box      {}", id.as_deref().unwrap_or("not enrolled yet"))?;
    writeln!(out, "channel  {}", line.health.word())?;
    writeln!(out, "waiting  {}", line.gauge(crate::status::Gauge::KeptMessages))?;
    writeln!(out, "dropped  {}", kept.map_or(0, |kept| kept.dropped))?;
    if let Some(lines) = line.trouble() {
        lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    }
    Ok(if line.health == Health::Healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(name: Option<&str>) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    if let Some(name) = name {
        let names: Vec<&str> = SCHEMAS.iter().map(|(name, _)| *name).collect();
        let found = SCHEMAS.iter().find(|(other, _)| *other == name);
        let (_, text) = found.with_context(|| format!("there is no {name:?}; there are: {}", names.join(", ")))?;
        write!(out, "{text}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let parsed = SCHEMAS.iter().map(|(name, text)| Ok(((*name).to_owned(), serde_json::from_str(text)?)));
    let all: serde_json::Map<String, serde_json::Value> = parsed.collect::<Result<_, serde_json::Error>>()?;
    serde_json::to_writer_pretty(&mut out, &all).map_err(io::Error::from)?;
    writeln!(out)?;
    Ok(ExitCode::SUCCESS)
}
