//! Files that a device pushes over SSH, beside OpenSSH's server, which stores them and no more.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::{Plan, mib};
use crate::certs::HOST;
use crate::collector::{Collector, Intake, Task, free_port};
use crate::measure::now;
use crate::peers::{DEVICE_KEY, HOST_KEY, Subject};
use crate::report::{Column, Figures, Series, compared, shown};

const PUSH: [Column; 4] =
    [compared("MB/s", 0), shown("CPU-seconds per GB", 2), shown("disk bytes per file byte", 2), shown("peak MiB", 0)];
/// What `sshd` wants to be empty and its own.
const PRIVILEGE_SEPARATION: &str = "/run/sshd";

/// `scp` by the legacy protocol and by SFTP.
pub fn push(plan: &Plan) -> Result<String> {
    let size = if plan.rounds == 1 { 64 << 20 } else { 512 << 20 };
    let mut text = format!(
        "### Files pushed over SSH\n\nOpenSSH's scp sends one file of {} MiB with aes256-gcm. Ours makes an event of every line and keeps it: the receiver is gone.\n",
        size >> 20
    );
    std::fs::create_dir_all(PRIVILEGE_SEPARATION)?;
    for name in [DEVICE_KEY, HOST_KEY] {
        let mut made = Command::new("ssh-keygen");
        made.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(plan.bench.folder.join(name));
        ensure!(made.status().context("ssh-keygen")?.success(), "ssh-keygen made no key");
    }
    let file = write(plan, size)?;
    for (name, word) in [("scp -O", "-O"), ("scp (SFTP)", "-s")] {
        text += &format!("\n{name}:\n\n");
        let run = |subject| pushed(plan, subject, &file, size, word);
        text += &Series::run(name, plan.rounds, &PUSH, plan.subjects(&[Subject::Ours, Subject::Sshd]), run).markdown();
    }
    Ok(text)
}

/// Writes the lines again and again until the file has its size.
fn write(plan: &Plan, size: u64) -> Result<PathBuf> {
    let path = plan.bench.folder.join("pushed.log");
    let mut file = BufWriter::new(File::create(&path)?);
    let bytes = plan.lines.range(0, plan.lines.count());
    let mut left = size;
    while left > 0 {
        let some = bytes.get(..usize::try_from(left)?.min(bytes.len())).unwrap_or(bytes);
        file.write_all(some)?;
        left -= some.len() as u64;
    }
    file.into_inner()?.sync_all()?;
    Ok(path)
}

fn pushed(plan: &Plan, subject: Subject, file: &Path, size: u64, protocol: &str) -> Result<Figures> {
    let to = format!("{HOST}:{}", free_port()?).parse()?;
    let task = Task { subject, to, to_lumberjack: false, from: Intake::Files };
    let collector = Collector::start(&plan.bench, &task)?;
    let before = collector.usage()?;
    let (user, folder) = match subject {
        Subject::Sshd => ("root", collector.folder().display().to_string()),
        _ => ("device", "/in".to_owned()),
    };
    let mut scp = Command::new("scp");
    scp.args([protocol, "-q", "-F", "none", "-c", "aes256-gcm@openssh.com", "-o", "BatchMode=yes"]);
    scp.args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes"]);
    scp.arg("-P").arg(collector.listens.port().to_string()).arg("-i").arg(plan.bench.folder.join(DEVICE_KEY));
    scp.arg(file).arg(format!("{user}@{HOST}:{folder}/")).stdin(Stdio::null());
    let begin = now();
    ensure!(scp.status().context("scp")?.success(), "scp failed");
    let wall = (now() - begin) as f64 / 1e9;
    let after = collector.wait_until_quiet()?;
    let bytes = size as f64;
    Ok(vec![
        Some(bytes / 1e6 / wall),
        Some(after.cpu_seconds_since(&before) / (bytes / 1e9)),
        Some((after.written - before.written) as f64 / bytes),
        (subject == Subject::Ours).then(|| mib(after.peak_resident)),
    ])
}
