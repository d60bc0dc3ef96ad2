//! The real program, started with settings of a test and watched through its log, its control socket and its exit code.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sapphire_edge::control::Answer;
use sapphire_edge::status::{Component, Count, Line, Snapshot};

use super::PATIENCE;
use super::program::have;
pub use super::until;

/// The program under test: what `SAPPHIRE_EDGE` names (`tests/run` names the release build), or else Cargo's own build.
pub fn program() -> Command {
    Command::new(std::env::var_os("SAPPHIRE_EDGE").unwrap_or_else(|| env!("CARGO_BIN_EXE_sapphire-edge").into()))
}

/// libfaketime of Debian's package `faketime`.
pub fn faketime() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|path| path.exists())
}

/// The program where the wall clock, and no other, is wrong by this much ("-1h"); `None` where faketime may be missing.
pub fn program_at(by: &str) -> Option<Command> {
    if !have("faketime") {
        return None;
    }
    let mut command = program();
    command.env("LD_PRELOAD", faketime()?).env("FAKETIME", by).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    Some(command)
}

/// The next version's program (feature `next`): what `SAPPHIRE_EDGE_NEXT` names.
pub fn next_program() -> Command {
    let path = std::env::var_os("SAPPHIRE_EDGE_NEXT");
    Command::new(
        path.expect("build with `--features next` and name the program in SAPPHIRE_EDGE_NEXT, as tests/run does"),
    )
}

/// The table of an output to this gateway on plain TCP, that tries again soon.
pub fn to_gateway(gateway: SocketAddr) -> String {
    format!(
        "[[output]]\nid = \"gateway\"\ntype = \"lumberjack\"\ntransport = \"tcp\"\nendpoint = [\"{gateway}\"]\n\
         backoff_min = \"20ms\"\nbackoff_max = \"100ms\"\n"
    )
}

/// The lines that the program has logged so far.
#[derive(Debug, Default)]
struct Log {
    lines: Mutex<(Vec<String>, bool)>,
    more: Condvar,
}

/// A running appliance in a folder of its own. Killed when it goes out of scope.
#[derive(Debug)]
pub struct Appliance {
    folder: tempfile::TempDir,
    child: Child,
    log: Arc<Log>,
    reader: Option<JoinHandle<()>>,
}

impl Appliance {
    /// Starts it. `{dir}` in the settings is its folder; state and control socket are there unless they say otherwise.
    pub fn start(settings: &str) -> Self {
        Self::start_with(settings, program(), |_| {})
    }

    /// Starts it by another command line, to which `run --config FILE` is added, after `prepare` has seen the whole.
    pub fn start_with(settings: &str, mut command: Command, prepare: impl FnOnce(&mut Command)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_settings(folder.path(), settings);
        command.arg("run").arg("--config").arg(folder.path().join("settings.toml"));
        prepare(&mut command);
        let (child, log, reader) = spawn(&mut command);
        Self { folder, child, log, reader: Some(reader) }
    }

    /// Ends it as a power cut does, as far as a process can tell.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.wait();
    }

    /// Starts it once more, in the same folder and with the settings that are there, after it ended.
    pub fn restart(&mut self) {
        self.restart_with(program());
    }

    /// As [`Appliance::restart`], by another command line.
    pub fn restart_with(&mut self, mut command: Command) {
        let (child, log, reader) = spawn(command.arg("run").arg("--config").arg(self.settings()));
        (self.child, self.log, self.reader) = (child, log, Some(reader));
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn settings(&self) -> PathBuf {
        self.folder.path().join("settings.toml")
    }

    /// Writes new settings for its next start.
    pub fn write_settings(&self, settings: &str) {
        write_settings(self.folder.path(), settings);
    }

    /// Writes new settings and tells it to read them.
    pub fn reload(&self, settings: &str) {
        self.write_settings(settings);
        self.signal(Signal::SIGHUP);
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Stops it in its tracks until SIGCONT.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
        let state = || fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        until("the program is stopped", || state().contains(") T ").then_some(()));
    }

    /// How many lines it has logged.
    pub fn logged(&self) -> usize {
        self.log.lines.lock().unwrap().0.len()
    }

    /// Waits for a line that holds all `parts`.
    pub fn log_line(&self, parts: &[&str]) -> String {
        self.log_line_after(0, parts)
    }

    /// Waits for a line that holds all `parts` and is not one of the first `after`.
    pub fn log_line_after(&self, after: usize, parts: &[&str]) -> String {
        let begin = sapphire_edge::clock::monotonic();
        let mut lines = self.log.lines.lock().unwrap();
        loop {
            if let Some(line) = lines.0.iter().skip(after).find(|line| parts.iter().all(|part| line.contains(part))) {
                return line.clone();
            }
            let left = PATIENCE.saturating_sub(begin.elapsed());
            assert!(!left.is_zero() && !lines.1, "no line with {parts:?} in\n{}", lines.0.join("\n"));
            lines = self.log.more.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// Where a listener of the settings, such as `tcp://127.0.0.1:0`, was bound. `nth` counts those written alike.
    pub fn address(&self, listener: &str, nth: usize) -> SocketAddr {
        let wanted = format!("{listener} at=");
        let at = || {
            let lines = self.log.lines.lock().unwrap();
            let line = lines.0.iter().filter(|line| line.contains("listening") && line.contains(&wanted)).nth(nth);
            assert!(line.is_some() || !lines.1, "it ended before it listened\n{}", lines.0.join("\n"));
            Some(line?.rsplit_once("at=").unwrap().1.split(' ').next().unwrap().parse().unwrap())
        };
        until(listener, at)
    }

    /// What the page is bound to.
    pub fn page(&self) -> SocketAddr {
        let line = self.log_line(&["health and metrics are served"]);
        line.rsplit_once("address=").unwrap().1.parse().unwrap()
    }

    /// The answer of the page.
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut stream = std::net::TcpStream::connect(self.page()).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let code = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (code, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    /// The status, if it answers.
    pub fn status(&self) -> Option<Snapshot> {
        let mut stream = UnixStream::connect(self.folder.path().join("control.sock")).ok()?;
        stream.write_all(b"\"status\"\n").ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        match serde_json::from_str(&line).ok()? {
            Answer::Status(snapshot) => serde_json::from_str(snapshot.get()).ok(),
            _ => None,
        }
    }

    /// Waits until a component's line is as wanted, and returns it.
    pub fn line(&self, component: Component, id: &str, wanted: impl Fn(&Line) -> bool) -> Line {
        let mut last = None;
        let begin = sapphire_edge::clock::monotonic();
        loop {
            let line = self.status().and_then(|snapshot| snapshot.line(component, id).cloned());
            if let Some(line) = line.as_ref().filter(|line| wanted(line)) {
                return line.clone();
            }
            last = line.or(last);
            assert!(begin.elapsed() < PATIENCE, "{component:?} {id} stayed {last:#?}\n{}", self.all_lines());
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Waits until a source has received so many events.
    pub fn received(&self, source: &str, events: u64) {
        self.line(Component::Source, source, |line| line.count(Count::ReceivedEvents) >= events);
    }

    pub fn all_lines(&self) -> String {
        self.log.lines.lock().unwrap().0.join("\n")
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let status = until("the program ends", || self.child.try_wait().unwrap());
        self.reader.take().map(JoinHandle::join);
        status
    }

    /// Tells it to stop, and expects that it does so in good order.
    pub fn stop(mut self) -> String {
        self.signal(Signal::SIGTERM);
        let status = self.wait();
        let lines = self.all_lines();
        assert!(status.success(), "{status}\n{lines}");
        lines
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let lines = self.log.lines.lock().unwrap_or_else(PoisonError::into_inner);
            eprintln!("the log of the program:\n{}", lines.0.join("\n"));
        }
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command whose errors and log are collected.
fn spawn(command: &mut Command) -> (Child, Arc<Log>, JoinHandle<()>) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let log = Arc::new(Log::default());
    let (to, from) = (Arc::clone(&log), child.stderr.take().unwrap());
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            to.lines.lock().unwrap().0.push(line);
            to.more.notify_all();
        }
        to.lines.lock().unwrap().1 = true;
        to.more.notify_all();
    });
    (child, log, reader)
}

fn write_settings(folder: &Path, settings: &str) {
    let dir = folder.display().to_string();
    let own = if settings.contains("state_dir") { String::new() } else { format!("state_dir = \"{dir}\"\n") };
    fs::write(folder.join("settings.toml"), own + &settings.replace("{dir}", &dir)).unwrap();
}
