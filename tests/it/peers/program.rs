//! Other people's programs: where `tests/run` put them, and running them.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// Whether a program is there.
///
/// # Panics
/// If it is not, unless `SKIP_PEERS=1`: a test that did not run must not look like one that passed.
pub fn have(program: &str) -> bool {
    let found = if program.contains('/') {
        Path::new(program).exists()
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(program).exists())
    };
    if !found {
        let is_skipped = std::env::var_os("SKIP_PEERS").is_some_and(|value| value == "1");
        assert!(is_skipped, "{program} is missing; tests/run installs it (SKIP_PEERS=1 passes over such tests)");
        eprintln!("skipped: {program} is missing");
    }
    found
}

/// Where the peers that are no packages were put.
fn peers() -> PathBuf {
    std::env::var_os("PEERS").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers"), Into::into)
}

/// A Python script of `tests/it/peers/`, in the environment with the peers' packages; `None` if that is to be skipped.
pub fn python(script: &str) -> Option<Command> {
    let python = peers().join("venv/bin/python");
    have(python.to_str().unwrap()).then(|| {
        let mut command = Command::new(python);
        command.arg("-u").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/peers").join(script));
        command
    })
}

/// A script of `tests/it/peers/` for Node.js, with the peers' packages; `None` if that is to be skipped.
pub fn node(script: &str) -> Option<Command> {
    let modules = peers().join("npm/node_modules");
    (have("node") && have(modules.to_str().unwrap())).then(|| {
        let mut command = Command::new("node");
        command
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/peers").join(script))
            .env("NODE_PATH", modules);
        command
    })
}

/// A program of the Python environment; `None` if that is to be skipped.
pub fn python_tool(name: &str) -> Option<Command> {
    let tool = peers().join("venv/bin").join(name);
    have(tool.to_str().unwrap()).then(|| Command::new(tool))
}

/// syslog-ng's load generator; `None` if that is to be skipped.
pub fn loggen(arguments: &[&str], to: SocketAddr) -> Option<Command> {
    let root = peers().join("syslog-ng/usr");
    let loggen = root.join("bin/loggen");
    have(loggen.to_str().unwrap()).then(|| {
        let mut command = Command::new(loggen);
        let libraries =
            [root.join("lib/syslog-ng"), root.join("lib/x86_64-linux-gnu"), root.join("lib/aarch64-linux-gnu")];
        command.env("SYSLOGNG_PREFIX", &root).env("LD_LIBRARY_PATH", std::env::join_paths(libraries).unwrap());
        command.args(arguments).arg(to.ip().to_string()).arg(to.port().to_string());
        command
    })
}

/// Runs a command to its end; it must succeed.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|err| panic!("{command:?}: {err}"));
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    out + &err
}

/// Runs a command to its end with this input.
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It may end before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A program that runs until it goes out of scope.
#[derive(Debug)]
pub struct Running(pub Child);

impl Running {
    pub fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap_or_else(|err| panic!("{command:?}: {err}")))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
