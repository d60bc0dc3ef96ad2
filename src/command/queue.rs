//! `queue inspect`, `verify`, `export`, `repair`.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Uid, geteuid, setegid, seteuid, setgroups};
use serde::Serialize;

use super::{SETTINGS, survey};
use crate::app;
use crate::clock::Clock;
use crate::config::Config;
use crate::event::{ApplianceId, Batch, BatchNumber};
use crate::output::{Encoder, Readings};
use crate::quantity::{size, thousands};
use crate::queue::{self, Finding, Inspection, Report, Wanted};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show what is in the queue: segments, positions of the outputs, checkpoints, totals.
    ///
    /// Changes nothing; also beside a running appliance, whose queue in memory is not seen.
    Inspect {
        #[command(flatten)]
        at: At,
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
    },

    /// Check every byte of the queue, its totals, and its index, and say what is wrong and where.
    ///
    /// Changes nothing; also beside a running appliance, whose index is not looked at then. Reads everything, which takes a
    /// while. Exits with 1 if anything is wrong.
    Verify {
        #[command(flatten)]
        at: At,
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
    },

    /// Write the events of the queue as JSON, one a line, under the ids they are always sent under.
    ///
    /// Changes nothing; also beside a running appliance. Without --all only those that are not delivered yet, in the order
    /// they came. Exits with 1 if some could not be read.
    Export(Export),

    /// Mend a damaged queue of an appliance that does not run.
    ///
    /// Takes out what is damaged and keeps it in the queue's folder, under damaged/; cuts torn ends; corrects the totals;
    /// builds the index again. Says what it did, and which events are lost. Exits with 1 if something is still wrong.
    Repair {
        #[command(flatten)]
        at: At,
    },
}

/// Which queue.
#[derive(Args, Debug)]
pub(super) struct At {
    /// The settings file, which names the state folder with the queue.
    #[arg(long, short, value_name = "FILE", default_value = SETTINGS)]
    config: PathBuf,
    /// The queue's folder itself, without a settings file.
    #[arg(long, value_name = "FOLDER", conflicts_with = "config")]
    dir: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(super) struct Export {
    #[command(flatten)]
    at: At,
    /// Also what is delivered and still stored.
    #[arg(long, conflicts_with = "output")]
    all: bool,
    /// What is not delivered to the output with this id.
    #[arg(long, value_name = "ID")]
    output: Option<String>,
    /// Only events of the source with this id.
    #[arg(long, value_name = "ID")]
    source: Option<String>,
    /// Write to this file, which must not be there yet, and not to standard output.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl At {
    /// The folder, and the settings as far as they are known.
    pub(super) fn read(&self) -> anyhow::Result<(PathBuf, Config)> {
        allow_many_files();
        match &self.dir {
            Some(folder) => Ok((folder.clone(), Config::default())),
            None => {
                let config = Config::load(&self.config)
                    .context("the settings do not say where the queue is; name its folder with --dir")?;
                Ok((config.queue_folder(), config))
            }
        }
    }
}

pub(super) fn queue(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Inspect { at, json } => {
            let (folder, _) = at.read()?;
            let seen = Inspection::read(&folder, &Clock::System)?;
            print(*json, &seen, || survey::show(&folder, &seen))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Verify { at, json } => {
            let (folder, _) = at.read()?;
            let report = queue::verify(&folder)?;
            print(*json, &report, || checked(&report))?;
            Ok(code(report.is_clean()))
        }
        Command::Export(options) => export(options),
        Command::Repair { at } => repair(&at.read()?.0),
    }
}

pub(super) fn print(json: bool, value: &impl Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, value).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", text())?;
    }
    Ok(())
}

pub(super) fn code(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn checked(report: &Report) -> String {
    let Report { segments, batches, events, more, .. } = report;
    let mut text = format!(
        "{segments} segments of {} with {} batches and {} events were read\n",
        size(report.bytes),
        thousands(*batches),
        thousands(*events)
    );
    report.notes.iter().for_each(|note| text.push_str(&format!("note: {note}\n")));
    text.push_str(&lines(&report.findings));
    match report.findings.len() {
        0 => text.push_str("nothing is wrong\n"),
        count => text.push_str(&format!(
            "{} things are wrong; an appliance that starts sets them aside and counts what is lost, `queue repair` mends them\n",
            count as u64 + more
        )),
    }
    text
}

fn lines(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}

fn export(options: &Export) -> anyhow::Result<ExitCode> {
    let (folder, config) = options.at.read()?;
    let wanted = Wanted {
        all: options.all,
        output: options.output.as_deref().map(Into::into),
        source: options.source.as_deref().map(Into::into),
    };
    let mut exporter = Exporter::new(&config, options.file.as_deref())?;
    let exported = queue::export::<anyhow::Error>(&folder, &wanted, |appliance, number, batch| {
        exporter.write(appliance, number, batch)
    });
    let exported = exported.inspect_err(|_| exporter.discard_if_empty(options.file.as_deref()))?;
    let failed = exporter.failed;
    exporter.finish()?;
    let mut note = io::stderr().lock();
    writeln!(note, "{} events were written", thousands(exported.events - failed))?;
    for (events, what) in [
        (exported.damaged, "are damaged and were left out; `queue verify` says where"),
        (failed, "could not be encoded and were left out"),
        (exported.gone, "were delivered by the running appliance before their turn came"),
    ] {
        if events > 0 {
            writeln!(note, "{} events {what}", thousands(events))?;
        }
    }
    Ok(code(exported.damaged + failed == 0))
}

/// Writes events where they are wanted.
struct Exporter {
    readings: Readings,
    name: std::sync::Arc<str>,
    out: BufWriter<Box<dyn Write>>,
    file: Option<File>,
    line: Vec<u8>,
    failed: u64,
}

impl Exporter {
    fn new(config: &Config, file: Option<&Path>) -> anyhow::Result<Self> {
        let readings = Readings::default();
        config.source.iter().for_each(|source| readings.set(source.id().clone(), source.reading()));
        // Events are for whoever may read the queue.
        let create = |path: &Path| OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = match file {
            Some(path) => Some(create(path).with_context(|| format!("{} cannot be made", path.display()))?),
            None => None,
        };
        let out: Box<dyn Write> = match &file {
            Some(file) => Box::new(file.try_clone()?),
            None => Box::new(io::stdout().lock()),
        };
        let name = app::box_name(config);
        Ok(Self { readings, name, out: BufWriter::new(out), file, line: Vec::new(), failed: 0 })
    }

    fn write(&mut self, appliance: ApplianceId, number: BatchNumber, batch: &Batch) -> anyhow::Result<()> {
        let reading = self.readings.get(batch.source());
        let mut encoder = Encoder::new(appliance, &self.name, number, batch, &reading);
        let (mut records, mut index) = (batch.records(), 0);
        while let Some(record) = records.next() {
            self.line.clear();
            let (line, at) = (&mut self.line, index);
            index += 1;
            // One event that cannot be encoded must not keep the others in.
            match catch_unwind(AssertUnwindSafe(|| encoder.write(at, &record, line))) {
                Ok(_) => {
                    self.line.push(b'\n');
                    self.out.write_all(&self.line)?;
                }
                Err(_) => self.failed += 1,
            }
        }
        Ok(())
    }

    /// A file with nothing in it would only be in the way of the next try.
    fn discard_if_empty(&self, file: Option<&Path>) {
        let is_empty = self.file.as_ref().is_some_and(|file| file.metadata().is_ok_and(|about| about.len() == 0));
        if let Some(path) = file.filter(|_| is_empty && self.out.buffer().is_empty()) {
            let _ = std::fs::remove_file(path);
        }
    }

    fn finish(mut self) -> anyhow::Result<()> {
        self.out.flush()?;
        if let Some(file) = self.file {
            file.sync_all()?;
        }
        Ok(())
    }
}

fn repair(folder: &Path) -> anyhow::Result<ExitCode> {
    act_as_owner(folder)?;
    let repaired = queue::repair(folder)?;
    let mut out = io::stdout().lock();
    if repaired.before.is_clean() {
        writeln!(out, "nothing was wrong")?;
    } else {
        write!(out, "what was wrong:\n{}", indented(&lines(&repaired.before.findings)))?;
    }
    write!(
        out,
        "what was done:\n{}",
        indented(&repaired.steps.iter().map(|step| format!("{step}\n")).collect::<String>())
    )?;
    for (source, events) in &repaired.lost {
        writeln!(out, "lost: {} events of source {source}, which count as dropped now", thousands(*events))?;
    }
    if !repaired.after.is_clean() {
        write!(out, "what is still wrong:\n{}", indented(&lines(&repaired.after.findings)))?;
    }
    Ok(code(repaired.after.is_clean()))
}

fn indented(lines: &str) -> String {
    lines.lines().map(|line| format!("  {line}\n")).collect()
}

/// Root mends what belongs to the program's user; what is made must belong to that user too.
fn act_as_owner(folder: &Path) -> anyhow::Result<()> {
    let Ok(about) = std::fs::metadata(folder) else { return Ok(()) };
    if geteuid().is_root() && about.uid() != 0 {
        let acting = || format!("acting as the owner of {}", folder.display());
        setgroups(&[]).with_context(acting)?;
        setegid(Gid::from_raw(about.gid())).with_context(acting)?;
        seteuid(Uid::from_raw(about.uid())).with_context(acting)?;
    }
    Ok(())
}

/// All segments are open at once for a moment; a queue of 100 GiB has more of them than a process usually may open.
fn allow_many_files() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Without it, a queue that is too large says so.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}
