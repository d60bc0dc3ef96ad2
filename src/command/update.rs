//! `update`.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::table::{Align, table};
use super::{Where, small_runtime};
use crate::control::{self, Answer, Client, Request};
use crate::update::{Phase, Status};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show what runs, what is installed, what is offered, and what is being done.
    ///
    /// Exits with 1 where updates are not available.
    Status(Options),
    /// Look at the manifest now.
    ///
    /// Installs nothing. Exits with 1 when the manifest cannot be read or is not good.
    Check(Options),
    /// Install a bundle into the slot that does not run.
    ///
    /// Without FILE or URL: what the manifest offers, also one that fell back before. The box goes on working; the new version
    /// runs after the next restart, is judged then, and the box goes back by itself if it does not work. Leaving this command
    /// does not stop the install.
    Install(Install),
    /// Restart the box into what is installed, window or not.
    Restart(Options),
    /// Go back to the version before.
    ///
    /// A version on trial is given up, one that is installed is not started; else the box restarts into the slot that it ran
    /// from before. The version that is left is not taken again by itself.
    RollBack(Options),
}

#[derive(Args, Debug)]
pub(super) struct Options {
    /// Print everything as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: Where,
}

#[derive(Args, Debug)]
pub(super) struct Install {
    /// A bundle: a file on this machine, or an HTTPS address.
    #[arg(value_name = "FILE|URL")]
    from: Option<String>,
    /// Also install a version that is older than the one that runs, or the same.
    #[arg(long)]
    allow_downgrade: bool,
    /// Restart the box as soon as it is installed, window or not.
    #[arg(long)]
    reboot: bool,
    #[command(flatten)]
    options: Options,
}

pub(super) fn update(command: Command) -> anyhow::Result<ExitCode> {
    let (options, wish) = match command {
        Command::Status(options) => (options, control::Update::Status),
        Command::Check(options) => (options, control::Update::Check),
        Command::Install(install) => {
            let from = install.from.map(absolute).transpose()?;
            let (allow_downgrade, reboot) = (install.allow_downgrade, install.reboot);
            (install.options, control::Update::Install { from, allow_downgrade, reboot })
        }
        Command::Restart(options) => (options, control::Update::Restart),
        Command::RollBack(options) => (options, control::Update::RollBack { by: super::BY.to_owned() }),
    };
    let is_status = wish == control::Update::Status;
    let status = small_runtime()?.block_on(ask(&options.at.socket(), wish))?;
    let mut out = io::stdout().lock();
    if options.json {
        serde_json::to_writer_pretty(&mut out, &status).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", show(&status))?;
    }
    let is_well = !is_status || status.unavailable.is_none();
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The program runs in another folder.
fn absolute(from: String) -> anyhow::Result<String> {
    if from.contains("://") {
        return Ok(from);
    }
    let path = std::fs::canonicalize(&from).map_err(|error| anyhow::anyhow!("{from} cannot be opened: {error}"))?;
    path.into_os_string().into_string().map_err(|_| anyhow::anyhow!("{from}: rename it to plain letters"))
}

async fn ask(socket: &Path, wish: control::Update) -> anyhow::Result<Status> {
    let mut client = Client::ask(socket, &Request::Update(wish)).await?;
    let is_terminal = io::stderr().is_terminal();
    let mut last = String::new();
    while let Some(answer) = client.next().await? {
        match answer {
            Answer::Update(status) => return Ok(serde_json::from_str(status.get())?),
            Answer::Refused(why) => anyhow::bail!(why),
            // On a terminal one line that changes, else a line for each step.
            Answer::Progress(words) if is_terminal => write!(io::stderr(), "\r\x1b[K{words}")?,
            Answer::Progress(words) if words != last => {
                writeln!(io::stderr(), "{words}")?;
                last = words;
            }
            _ => {}
        }
    }
    anyhow::bail!(
        "the running program ended the conversation; an install that had begun goes on: ask for `update status`"
    )
}

/// The status as people read it.
fn show(status: &Status) -> String {
    let mut text = format!("version {}", status.version);
    if let Some(compatible) = &status.compatible {
        // Writing to a String cannot fail, here and below.
        let _ = write!(text, ", {compatible}");
    }
    text.push('\n');
    if let Some(why) = &status.unavailable {
        let _ = writeln!(text, "updates are not available: {why}");
        return text;
    }
    if status.phase != Phase::Idle {
        let _ = writeln!(text, "{}", status.phase.words());
    }
    match (&status.offer, &status.checked) {
        (Some(offer), _) => {
            let _ = writeln!(text, "version {} is offered", offer.version);
            if let Some(why) = &offer.held_back {
                let _ = writeln!(text, "  not taken by itself: {why}");
            }
            for line in offer.changelog.lines() {
                let _ = writeln!(text, "  {line}");
            }
        }
        (None, Some(checked)) if checked.problem.is_none() => {
            let _ = writeln!(text, "nothing newer is offered (looked at {})", checked.at);
        }
        _ => {}
    }
    if let Some((at, problem)) =
        status.checked.as_ref().and_then(|checked| Some((&checked.at, checked.problem.as_ref()?)))
    {
        let _ = writeln!(text, "the manifest could not be read at {at}: {problem}");
    }
    if let Some(failed) = &status.failed {
        let _ = writeln!(text, "the last install came to nothing ({}): {}", failed.at, failed.why);
    }
    for entry in &status.fell_back {
        let _ = match &entry.by {
            Some(_) => {
                writeln!(text, "version {} is not taken again by itself ({}): {}", entry.version, entry.at, entry.why)
            }
            None => writeln!(text, "version {} did not work here ({}): {}", entry.version, entry.at, entry.why),
        };
    }
    let header = ["slot", "boot name", "state", "boots", "version"].map(|title| (title, Align::Left));
    let rows: Vec<Vec<String>> = status
        .slots
        .iter()
        .map(|slot| {
            let version = slot.version.clone().unwrap_or_default();
            vec![slot.name.clone(), slot.bootname.clone(), slot.state.clone(), slot.boot_status.clone(), version]
        })
        .collect();
    let _ = write!(text, "\n{}", table(&header, &rows));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::{Checked, FellBack, Offer, Slot};

    #[test]
    fn the_status_says_what_runs_what_is_offered_and_what_did_not_work() {
        let slot = |name: &str, bootname: &str, state: &str, version: Option<&str>| Slot {
            name: name.to_owned(),
            bootname: bootname.to_owned(),
            state: state.to_owned(),
            boot_status: "good".to_owned(),
            version: version.map(str::to_owned),
        };
        let status = Status {
            version: "1.0.0".to_owned(),
            compatible: Some("sapphire-edge-x86_64".to_owned()),
            slots: vec![slot("rootfs.0", "A", "booted", None), slot("rootfs.1", "B", "inactive", Some("1.1.0"))],
            offer: Some(Offer {
                version: "1.1.0".to_owned(),
                changelog: "- faster\n- safer\n".to_owned(),
                held_back: Some("it did not work on this box before".to_owned()),
            }),
            checked: Some(Checked { at: "2026-11-24T10:00:00.000Z".to_owned(), problem: None }),
            fell_back: vec![FellBack {
                version: "1.1.0".to_owned(),
                at: "2026-11-20T02:00:00.000Z".to_owned(),
                why: "output gateway fails (tls) since the update".to_owned(),
                by: None,
            }],
            ..Status::default()
        };
        let expected = "\
version 1.0.0, sapphire-edge-x86_64
version 1.1.0 is offered
  not taken by itself: it did not work on this box before
  - faster
  - safer
version 1.1.0 did not work here (2026-11-20T02:00:00.000Z): output gateway fails (tls) since the update

slot      boot name  state     boots  version
rootfs.0  A          booted    good
rootfs.1  B          inactive  good   1.1.0
";
        assert_eq!(show(&status), expected);
        let none = Status { unavailable: Some("rauc does not run here".to_owned()), ..status };
        assert!(show(&none).ends_with("updates are not available: rauc does not run here\n"));
    }
}
