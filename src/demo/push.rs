//! A mail gateway that pushes its log files, as Cisco ESA does at each rollover: by the machine's own `scp` and a key made on
//! the spot. Where there is no `scp` nothing is pushed, and the demo says so.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::balance::{Fingerprint, fingerprint};
use super::generate::Generator;
use super::pace::Pace;
use crate::clock::{Clock, Timestamp};

/// The user that the box knows the device by.
pub(super) const USER: &str = "esa";
/// How often a log rolls over. A real one takes minutes to hours.
const ROLLOVER: Duration = Duration::from_secs(1);
/// How often a file is pushed before the device gives up.
const TRIES: u32 = 3;

/// The key of the device, and where its logs lie.
#[derive(Clone, Debug)]
pub(super) struct Key {
    folder: PathBuf,
}

impl Key {
    /// Makes one in `folder`; `None` where this machine has no OpenSSH client.
    pub(super) fn make(folder: &Path) -> Option<Self> {
        let key = Self { folder: folder.to_owned() };
        let mut made = Command::new("ssh-keygen");
        made.args(["-q", "-t", "ed25519", "-N", "", "-C", USER, "-f"]).arg(key.private());
        let has_scp = quiet(&mut Command::new("scp")).is_ok();
        (has_scp && quiet(&mut made).is_ok_and(|output| output.status.success())).then_some(key)
    }

    fn private(&self) -> PathBuf {
        self.folder.join("device")
    }

    /// The file with its public half.
    pub(super) fn public(&self) -> PathBuf {
        self.folder.join("device.pub")
    }
}

/// Runs a program that asks nothing.
fn quiet(command: &mut Command) -> io::Result<std::process::Output> {
    command.stdin(Stdio::null()).output()
}

/// What pushes.
#[derive(Debug)]
pub(super) struct Pusher {
    pub(super) key: Key,
    pub(super) to: SocketAddr,
    pub(super) generator: Generator,
    pub(super) pace: Pace,
    pub(super) stop: CancellationToken,
}

impl Pusher {
    /// Pushes a file at each rollover until it is told to stop, then the last one; gives what it has sent.
    ///
    /// # Errors
    /// When the box does not take a file.
    pub(super) async fn run(mut self) -> io::Result<Vec<Fingerprint>> {
        let (mut sent, mut number) = (Vec::new(), 0);
        loop {
            let is_last = tokio::select! {
                () = self.stop.cancelled() => true,
                () = tokio::time::sleep(ROLLOVER) => false,
            };
            let log = self.log(&mut sent);
            if !log.is_empty() {
                number += 1;
                let (key, to) = (self.key.clone(), self.to);
                let pushed = tokio::task::spawn_blocking(move || push(&key, to, &log, number)).await;
                pushed.unwrap_or_else(|error| Err(io::Error::other(error)))?;
            }
            if is_last {
                return Ok(sent);
            }
        }
    }

    /// The lines that are due, in one file.
    fn log(&mut self, sent: &mut Vec<Fingerprint>) -> String {
        let (mut log, mut event) = (String::new(), String::new());
        let due = self.pace.due();
        for _ in 0..due {
            let now = Clock::System.now();
            event.clear();
            self.generator.write(now, &mut event);
            let line = in_file(&event, now);
            sent.push(fingerprint(line.as_bytes()));
            log += &line;
            log.push('\n');
        }
        self.pace.sent += due;
        log
    }
}

/// A line as it stands in a file of AsyncOS: no priority, no log name, the year last.
fn in_file(event: &str, now: Timestamp) -> String {
    let text = event.split_once(" mail_logs: ").map_or(event, |(_, text)| text);
    let at = jiff::Timestamp::from_microsecond(i64::try_from(now.micros()).unwrap_or(0)).unwrap_or_default();
    format!("{} {text}", at.strftime("%a %b %e %H:%M:%S %Y"))
}

fn push(key: &Key, to: SocketAddr, log: &str, number: u32) -> io::Result<()> {
    let file = key.folder.join(format!("mail.@{number:05}.s"));
    std::fs::write(&file, log)?;
    let mut words = String::new();
    for _ in 0..TRIES {
        let mut scp = Command::new("scp");
        scp.args(["-q", "-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"]);
        scp.args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
        scp.arg("-P").arg(to.port().to_string()).arg("-i").arg(key.private());
        let output = quiet(scp.arg(&file).arg(format!("{USER}@{}:/mail/", to.ip())))?;
        if output.status.success() {
            return std::fs::remove_file(&file);
        }
        words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    }
    Err(io::Error::other(format!("scp: {words}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::generate::Family;

    #[test]
    fn a_line_of_a_file_is_what_asyncos_writes() {
        let now = Timestamp(1_709_633_730_000_000);
        let mut event = String::new();
        Generator::new(Family::Esa, 7, 2).write(now, &mut event);
        let line = in_file(&event, now);
        assert!(line.starts_with("Tue Mar  5 10:15:30 2024 Info: "), "{line}");
        assert!(!line.contains("mail_logs") && line.len() > 40, "{line}");
    }
}
