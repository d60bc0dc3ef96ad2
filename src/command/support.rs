//! `support`: the bundle for whoever helps from afar.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Args;
use serde_json::Value;

use super::{Where, small_runtime};
use crate::clock::Clock;
use crate::config::{self, Config, Kept};
use crate::control::{Answer, Client, Request, Update};
use crate::support::{self, Facts};
use crate::web::page;

/// Lines of the journal: some days of a box that is well.
const LINES: &str = "5000";
/// The program's unit in the image.
const UNIT: &str = "sapphire-edge.service";

#[derive(Args, Debug)]
pub(super) struct Options {
    /// The file to write, a .tar.gz.
    file: PathBuf,
    #[command(flatten)]
    at: Where,
}

/// The folder in which the secrets lie: of a file that is wrong as its newest good copy says, or else as far as it can be read. A
/// bundle made with another folder's secrets would hold those of this box.
fn state_dir(settings: &Path) -> anyhow::Result<PathBuf> {
    if let Some(config) = Config::load(settings).ok().or_else(|| Some(Kept::of(settings).newest(Config::load)?.1)) {
        return Ok(config.state_dir);
    }
    let text = match fs::read_to_string(settings) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text?,
    };
    match config::values(&text).as_object().map(|values| values.get("state_dir")) {
        Some(None) => Ok(Config::default().state_dir),
        Some(Some(Value::String(path))) => Ok(path.into()),
        _ => anyhow::bail!(
            "{} does not say where the box keeps its secrets, so they cannot be kept out of a bundle; mend it first",
            settings.display()
        ),
    }
}

pub(super) fn support(options: &Options) -> anyhow::Result<ExitCode> {
    let (settings, socket) = (&options.at.config, options.at.socket());
    let state_dir = state_dir(settings)?;
    let ask = |request: Request| small_runtime().map_err(|error| error.to_string())?.block_on(ask(&socket, &request));
    let json = |answer: Answer| match answer {
        Answer::Status(json) | Answer::Ledger(json) | Answer::Update(json) => Ok(json.get().to_owned()),
        Answer::Log(text) => Ok(text),
        Answer::Refused(why) => Err(why),
        _ => Err("the running program answered something else".to_owned()),
    };
    let (audit, secrets) = page::audit_for_support(&state_dir);
    let facts = Facts {
        at: Clock::System.now(),
        settings: settings.clone(),
        state_dir,
        status: ask(Request::Status).and_then(json),
        ledger: ask(Request::Ledger).and_then(json),
        updates: ask(Request::Update(Update::Status)).and_then(json),
        log: journal().or_else(|why| ask(Request::Log).and_then(json).map_err(|more| format!("{why}; {more}"))),
        audit,
        secrets,
    };
    let failed = |error: io::Error| anyhow::anyhow!("{}: {error}", options.file.display());
    let mut open = OpenOptions::new();
    let file = open.write(true).create(true).truncate(true).mode(0o600).open(&options.file).map_err(failed)?;
    let mut to = BufWriter::new(file);
    let written = support::write(&facts, &mut to).and_then(|()| to.flush());
    if let Err(error) = written {
        // Half a bundle helps nobody.
        let _ = fs::remove_file(&options.file);
        return Err(failed(error));
    }
    writeln!(io::stdout().lock(), "{}", options.file.display())?;
    Ok(ExitCode::SUCCESS)
}

async fn ask(socket: &Path, request: &Request) -> Result<Answer, String> {
    let answer = async { Client::ask(socket, request).await?.next().await };
    answer.await.map_err(|error| error.to_string())?.ok_or_else(|| "the program is stopping".to_owned())
}

/// The unit's last lines in the system's journal, where there is one and this user may read it.
fn journal() -> Result<String, String> {
    let mut command = Command::new("journalctl");
    command.args(["--unit", UNIT, "--lines", LINES, "--output", "short-iso", "--no-pager", "--quiet"]);
    let output = command.output().map_err(|error| format!("journalctl: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if text.trim().is_empty() { Err("the journal has no lines of the program".to_owned()) } else { Ok(text) }
}
