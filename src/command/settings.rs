//! `settings`: change the settings of the running box, with a way back.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};

use super::table::{Align, table};
use super::{BY, Where, passphrase, small_runtime};
use crate::control::{Answer, Client, Passphrase, Request, Settings, SettingsNow, SettingsReply};
use crate::durable;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the settings in use, whether they wait to be confirmed, and the copies that one can go back to.
    Show(Asked),
    /// Show what is different between the settings in use and a file, or a copy.
    Diff(Change),
    /// Take a file into use, or a copy. It is checked first; if something does not start with it, the box goes back by itself.
    ///
    /// A change of [network] or [page] has to be confirmed within two minutes, or it is taken back: so that nobody locks
    /// themselves out. Exits with 1 if it is not in use in the end.
    Apply(Change),
    /// Keep settings that wait to be confirmed.
    Confirm(Asked),
    /// Go back to what was before settings that wait to be confirmed.
    TakeBack(Asked),
    /// Keep the settings in a file, with the secrets, keys and certificates that they name, sealed with a passphrase.
    ///
    /// Accounts and the page's own certificate are not in it. Only the passphrase opens it again.
    Backup(Sealed),
    /// Take the settings of a backup into use, like `settings apply`; its secrets, keys and certificates come into the box.
    ///
    /// What is in the box is not written over: a file with another content gets another name, and the settings lead to it.
    Restore(Sealed),
}

#[derive(Args, Debug)]
pub(super) struct Sealed {
    /// The backup.
    file: PathBuf,
    /// A file with the passphrase; without it, it is asked for.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    at: Where,
}

#[derive(Args, Debug)]
pub(super) struct Asked {
    #[command(flatten)]
    at: Where,
}

#[derive(Args, Debug)]
pub(super) struct Change {
    /// The file with the new settings.
    #[arg(required_unless_present = "copy", conflicts_with = "copy")]
    file: Option<PathBuf>,
    /// The number of a copy that `settings show` lists.
    #[arg(long, value_name = "NUMBER")]
    copy: Option<u64>,
    #[command(flatten)]
    at: Where,
}

#[derive(Args, Debug)]
pub(super) struct Enrolment {
    /// The enrolment file.
    file: PathBuf,
    #[command(flatten)]
    at: Where,
}

pub(super) fn settings(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Show(Asked { at }) => show(&now(&at.socket())?),
        Command::Diff(change) => {
            let socket = change.at.socket();
            let text = text_of(change, &socket)?;
            show_diff(&socket, text)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Apply(change) => apply(change),
        Command::Confirm(Asked { at }) => done(&at.socket(), Settings::Confirm { by: BY.to_owned() }, "confirmed"),
        Command::Backup(sealed) => backup(sealed),
        Command::Restore(sealed) => restore(sealed),
        Command::TakeBack(Asked { at }) => done(&at.socket(), Settings::TakeBack { by: BY.to_owned() }, "taken back"),
    }
}

/// Asks the running program.
fn ask(socket: &Path, wish: Settings) -> anyhow::Result<SettingsReply> {
    let answer =
        small_runtime()?.block_on(async { Client::ask(socket, &Request::Settings(wish)).await?.next().await })?;
    match answer {
        Some(Answer::Settings(reply)) => Ok(*reply),
        Some(Answer::Refused(why)) => anyhow::bail!(why),
        Some(other) => anyhow::bail!("the running program answered something else: {other:?}"),
        None => anyhow::bail!("the running program closed the connection without an answer; is it stopping?"),
    }
}

fn now(socket: &Path) -> anyhow::Result<SettingsNow> {
    match ask(socket, Settings::Show)? {
        SettingsReply::Now(now) => Ok(now),
        other => anyhow::bail!("the running program answered something else: {other:?}"),
    }
}

fn text_of(change: &Change, socket: &Path) -> anyhow::Result<String> {
    match (&change.file, change.copy) {
        (Some(file), _) => {
            Ok(fs::read_to_string(file).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?)
        }
        (None, number) => match ask(socket, Settings::Copy { number: number.unwrap_or_default() })? {
            SettingsReply::Copy(text) => Ok(text),
            other => anyhow::bail!("the running program answered something else: {other:?}"),
        },
    }
}

/// Prints what is different in a text.
fn show_diff(socket: &Path, text: String) -> anyhow::Result<()> {
    match ask(socket, Settings::Check { text })? {
        SettingsReply::Checked { diff, .. } => Ok(write!(io::stdout().lock(), "{diff}")?),
        other => anyhow::bail!("the running program answered something else: {other:?}"),
    }
}

fn show(now: &SettingsNow) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    writeln!(out, "{} (version {})", now.file, now.version)?;
    if let Some(trial) = &now.trial {
        writeln!(out, "the change of {} is taken back in {} s unless confirmed", trial.by, trial.seconds_left)?;
    }
    let rows: Vec<_> = now.copies.iter().map(|copy| vec![copy.number.to_string(), copy.at.clone()]).collect();
    write!(out, "{}", table(&[("copy", Align::Right), ("in use since", Align::Left)], &rows))?;
    Ok(ExitCode::SUCCESS)
}

fn apply(change: &Change) -> anyhow::Result<ExitCode> {
    let socket = change.at.socket();
    let text = text_of(change, &socket)?;
    apply_text(&socket, text)
}

/// Puts an enrolment file into the settings of the running appliance.
pub(super) fn enrol(enrolment: &Enrolment) -> anyhow::Result<ExitCode> {
    let file = &enrolment.file;
    let text = fs::read_to_string(file).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?;
    let socket = enrolment.at.socket();
    match ask(&socket, Settings::Enrol { text })? {
        SettingsReply::Copy(text) => apply_text(&socket, text),
        other => anyhow::bail!("the running program answered something else: {other:?}"),
    }
}

fn backup(options: &Sealed) -> anyhow::Result<ExitCode> {
    let words = passphrase::read(options.passphrase_file.as_deref(), true)?;
    let reply = ask(&options.at.socket(), Settings::Backup { passphrase: Passphrase::new(&words) })?;
    let SettingsReply::Backup { sealed, left_out } = reply else {
        anyhow::bail!("the running program answered something else: {reply:?}")
    };
    let failed = |error: io::Error| anyhow::anyhow!("{}: {error}", options.file.display());
    durable::replace_secret(&options.file, &STANDARD.decode(sealed)?).map_err(failed)?;
    let mut out = io::stdout().lock();
    left_out.iter().try_for_each(|file| writeln!(out, "not in it: {file}"))?;
    writeln!(out, "{}", options.file.display())?;
    Ok(ExitCode::SUCCESS)
}

fn restore(options: &Sealed) -> anyhow::Result<ExitCode> {
    let failed = |error: io::Error| anyhow::anyhow!("{}: {error}", options.file.display());
    let sealed = STANDARD.encode(fs::read(&options.file).map_err(failed)?);
    let words = passphrase::read(options.passphrase_file.as_deref(), false)?;
    let socket = options.at.socket();
    let reply = ask(&socket, Settings::Restore { sealed, passphrase: Passphrase::new(&words) })?;
    let SettingsReply::Restored { text, notes } = reply else {
        anyhow::bail!("the running program answered something else: {reply:?}")
    };
    notes.iter().try_for_each(|note| writeln!(io::stdout().lock(), "{note}"))?;
    apply_text(&socket, text)
}

/// Takes a text into use, and says what came of it.
fn apply_text(socket: &Path, text: String) -> anyhow::Result<ExitCode> {
    let now = now(socket)?;
    show_diff(socket, text.clone())?;
    let mut out = io::stdout().lock();
    match ask(socket, Settings::Apply { text, version: now.version, by: BY.to_owned() })? {
        SettingsReply::Applied { confirm_within, later } => {
            writeln!(out, "in use")?;
            if !later.is_empty() {
                writeln!(out, "{} take effect at the next start of the program", later.join(", "))?;
            }
            if let Some(seconds) = confirm_within {
                writeln!(out, "taken back in {seconds} s unless you run: sapphire-edge settings confirm")?;
            }
            Ok(ExitCode::SUCCESS)
        }
        SettingsReply::Checked { problems, .. } => {
            for problem in problems {
                let key = if problem.key.is_empty() { String::new() } else { format!("{}: ", problem.key) };
                let (line, column) = (problem.line, problem.column);
                writeln!(io::stderr(), "{line}:{column}: {key}{}; {}", problem.what, problem.advice)?;
            }
            anyhow::bail!("nothing was changed")
        }
        SettingsReply::TakenBack(why) => anyhow::bail!(why),
        other => anyhow::bail!("the running program answered something else: {other:?}"),
    }
}

fn done(socket: &Path, wish: Settings, word: &str) -> anyhow::Result<ExitCode> {
    ask(socket, wish)?;
    writeln!(io::stdout().lock(), "{word}")?;
    Ok(ExitCode::SUCCESS)
}
