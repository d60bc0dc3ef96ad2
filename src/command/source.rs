//! `source`: asks a vendor with the settings as they are, or has a source restarted.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};

use super::{BY, SETTINGS, Where, small_runtime};
use crate::clock::Clock;
use crate::config::Config;
use crate::control::{Answer, Client, Request};
use crate::source;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Ask each feed of a source once, and say what is right and what is wrong.
    ///
    /// Uses the credentials, proxy and certificates of the settings; changes nothing at the vendor. Exits with 1 if anything
    /// is wrong.
    Test(Test),

    /// Get the consent of a tenant's administrator to the app of a source.
    ///
    /// Without --answer it prints the link for the administrator. Whoever follows it is sent on to the redirect address: give
    /// that whole address line with --answer, and the state that was printed with --state; it prints the tenant's id.
    Consent(Consent),

    /// Stop a source of the running appliance and start it again.
    ///
    /// Nothing is lost: its listeners stay open meanwhile, and what it pulls goes on where it was.
    Restart(Restart),
}

#[derive(Args, Debug)]
pub(super) struct Restart {
    /// The source's id in the settings.
    id: String,
    #[command(flatten)]
    at: Where,
}

#[derive(Args, Debug)]
pub(super) struct Test {
    /// The source's id in the settings.
    id: String,
    /// The settings file.
    #[arg(long, short, value_name = "FILE", default_value = SETTINGS)]
    config: PathBuf,
}

#[derive(Args, Debug)]
pub(super) struct Consent {
    /// The source's id in the settings.
    id: String,
    /// The settings file.
    #[arg(long, short, value_name = "FILE", default_value = SETTINGS)]
    config: PathBuf,
    /// A redirect address of the app, as Entra knows it.
    #[arg(long, value_name = "URL")]
    redirect: String,
    /// The address that the administrator's browser ended at.
    #[arg(long, value_name = "URL", requires = "state")]
    answer: Option<String>,
    /// The state that was printed with the link.
    #[arg(long, requires = "answer")]
    state: Option<String>,
}

pub(super) fn source(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Test(options) => test(options),
        Command::Consent(options) => consent(options),
        Command::Restart(options) => small_runtime()?.block_on(restart(options)),
    }
}

async fn restart(options: &Restart) -> anyhow::Result<ExitCode> {
    let request = Request::RestartSource { source: options.id.clone(), by: BY.to_owned() };
    match Client::ask(&options.at.socket(), &request).await?.next().await? {
        Some(Answer::Done) => Ok(ExitCode::SUCCESS),
        Some(Answer::Refused(why)) => anyhow::bail!(why),
        Some(other) => anyhow::bail!("the running program answered something else: {other:?}"),
        None => anyhow::bail!("the running program closed the connection without an answer; is it stopping?"),
    }
}

fn find(config: &Config, id: &str) -> anyhow::Result<source::Config> {
    let found = config.source.iter().find(|source| source.id().as_str() == id);
    found.cloned().ok_or_else(|| {
        let ids: Vec<&str> = config.source.iter().map(|source| source.id().as_str()).collect();
        anyhow!("there is no source {id:?} in the settings; there are: {}", ids.join(", "))
    })
}

fn test(options: &Test) -> anyhow::Result<ExitCode> {
    let config = Config::load(&options.config)?;
    let found = find(&config, &options.id)?;
    for (key, words) in found.open_files() {
        writeln!(io::stdout(), "wrong  {key}: {words}")?;
    }
    let findings = small_runtime()?.block_on(source::test(&found, Clock::System));
    if findings.is_empty() {
        anyhow::bail!("the source {:?} listens and asks nobody; see `sapphire-edge status`", options.id);
    }
    let mut all_well = true;
    for finding in findings {
        match finding.fault {
            None => writeln!(io::stdout(), "right  {}", finding.feed)?,
            Some((what, todo)) => {
                all_well = false;
                writeln!(io::stdout(), "wrong  {}: {what}\n       {todo}", finding.feed)?;
            }
        }
    }
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn consent(options: &Consent) -> anyhow::Result<ExitCode> {
    let config = Config::load(&options.config)?;
    let found = find(&config, &options.id)?;
    let consent = source::consent(&found, &options.redirect);
    let consent = consent.with_context(|| format!("the source {:?} needs no consent", options.id))?;
    match (&options.answer, &options.state) {
        (Some(answer), Some(state)) => {
            let tenant = small_runtime()?.block_on(consent.finish(answer, state, Clock::System))?;
            writeln!(io::stdout(), "{tenant}")?;
            writeln!(io::stderr(), "the administrator has consented; add this id to tenants, then run source test")?;
        }
        _ => {
            let state = format!("{:032x}", rand::random::<u128>());
            writeln!(io::stdout(), "link   {}\nstate  {state}", consent.link(&state)?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
