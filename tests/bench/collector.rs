//! A collector as a process of its own, with its own settings and folder.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::certs::{Certs, HOST};
use super::measure::{Usage, threads, wait_until};
use super::peers::{self, Subject};

/// How long a collector may take to listen.
const START: Duration = Duration::from_secs(20);
/// How long it may take to end before it is killed.
const STOP: Duration = Duration::from_secs(5);

/// What all collectors of a table have in common.
#[derive(Clone, Debug)]
pub struct Bench {
    pub certs: Certs,
    /// Our program.
    pub program: PathBuf,
    /// Where syslog-ng was unpacked.
    pub peers: PathBuf,
    /// A folder on a real disk, for queues.
    pub folder: PathBuf,
    /// A library that slows down syncs, to be loaded before the collector's own.
    pub preload: Option<PathBuf>,
    /// Print CPU seconds by thread after each run.
    pub show_threads: bool,
}

/// What a collector is to do.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    pub subject: Subject,
    /// Where it sends to.
    pub to: SocketAddr,
    /// Whether the far end speaks Lumberjack and not syslog.
    pub to_lumberjack: bool,
    pub from: Intake,
}

/// What it listens for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intake {
    /// Syslog over TCP and UDP.
    Lines,
    /// Lumberjack inside TLS.
    Lumberjack,
    /// Files over SSH.
    Files,
}

/// A running collector; ended, and its folder removed, when dropped.
#[derive(Debug)]
pub struct Collector {
    /// Where it listens, for TCP and UDP.
    pub listens: SocketAddr,
    /// Where its page is served, if it is.
    pub page: Option<SocketAddr>,
    child: Child,
    folder: TempDir,
    show_threads: bool,
}

/// What becomes of a task's settings.
#[derive(Debug)]
pub struct Setup {
    pub port: u16,
    pub page: Option<SocketAddr>,
    pub folder: PathBuf,
    pub settings: String,
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub variables: Vec<(&'static str, String)>,
}

impl Collector {
    /// Starts it and waits until it listens.
    pub fn start(bench: &Bench, task: &Task) -> Result<Self> {
        let folder = TempDir::new_in(&bench.folder)?;
        let port = free_port()?;
        let setup = peers::setup(bench, task, port, folder.path())?;
        fs::write(folder.path().join("settings"), &setup.settings)?;
        let log = File::create(folder.path().join("log"))?;
        let mut command = Command::new(&setup.program);
        command.args(&setup.arguments).envs(setup.variables).stdin(Stdio::null());
        if let Some(library) = &bench.preload {
            command.env("LD_PRELOAD", library);
        }
        let child = command.stdout(log.try_clone()?).stderr(log).spawn();
        let child = child.with_context(|| format!("starting {}", setup.program.display()))?;
        let listens = SocketAddr::new(HOST.parse()?, port);
        let mut collector = Self { listens, page: setup.page, child, folder, show_threads: bench.show_threads };
        let listening = wait_until(START, || {
            TcpStream::connect(listens).is_ok() || collector.child.try_wait().is_ok_and(|ended| ended.is_some())
        });
        if !listening || collector.child.try_wait()?.is_some() {
            bail!("{} does not run: {}", task.subject.name(), collector.log());
        }
        Ok(collector)
    }

    pub fn usage(&self) -> Result<Usage> {
        Usage::of(self.child.id())
    }

    /// Waits until it has gone quiet: under 3 % of a core and nothing written for a third of a second, twice in a row.
    pub fn wait_until_quiet(&self) -> Result<Usage> {
        let mut before = self.usage()?;
        let mut quiet = 0;
        for _ in 0..100 {
            std::thread::sleep(Duration::from_millis(333));
            let after = self.usage()?;
            let is_quiet = after.cpu_seconds_since(&before) <= 0.01 && after.written == before.written;
            quiet = if is_quiet { quiet + 1 } else { 0 };
            if quiet == 2 {
                return Ok(after);
            }
            before = after;
        }
        Ok(before)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Bytes of the files in its folder.
    pub fn folder_bytes(&self) -> u64 {
        bytes_in(self.folder.path())
    }

    /// The end of what it said.
    fn log(&self) -> String {
        let text = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<_> = text.lines().rev().take(8).collect();
        lines.into_iter().rev().fold(String::new(), |mut all, line| {
            let _ = write!(all, "\n    {line}");
            all
        })
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if self.show_threads {
            for (name, cpu) in threads(self.child.id()) {
                eprintln!("    {cpu:7.2} s  {name}");
            }
        }
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM);
        }
        if !wait_until(STOP, || self.child.try_wait().is_ok_and(|ended| ended.is_some())) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => bytes_in(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        })
        .sum()
}

/// A port that was free just now.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((HOST, 0))?.local_addr()?.port())
}
