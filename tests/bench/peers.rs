//! The collectors that are compared, each with settings that make it do the same: take lines in, send them on unchanged
//! inside TLS, lose nothing that came over TCP.
//!
//! The others are tuned as their manuals advise for throughput: rsyslog with imptcp, large dequeue batches and a queue in
//! front of the action (without it the input thread would do the sending); syslog-ng threaded, without parsing, with windows
//! large enough for its flow control. Neither syncs its disk queue, which is their default; ours always does.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

use super::certs::HOST;
use super::collector::{Bench, Intake, Setup, Task, free_port};

/// A collector with a kind of queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Ours, with its one queue.
    Ours,
    /// Ours, with its page served.
    OursWatched,
    /// Our Lumberjack listener with a queue that delivers at once and keeps nothing.
    OursDiscarding,
    RsyslogMemory,
    RsyslogDisk,
    SyslogNgMemory,
    SyslogNgDisk,
    /// OpenSSH's server, which only stores files.
    Sshd,
}

/// The key of the device that pushes files, in the folder of all queues; its public half ends in `.pub`.
pub const DEVICE_KEY: &str = "device";
/// The host key of OpenSSH's server.
pub const HOST_KEY: &str = "host";

impl Subject {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "Sapphire Edge",
            Self::OursWatched => "Sapphire Edge, 100 pages open",
            Self::OursDiscarding => "the same listener, events thrown away",
            Self::RsyslogMemory => "rsyslog, memory queue",
            Self::RsyslogDisk => "rsyslog, disk queue",
            Self::SyslogNgMemory => "syslog-ng, memory",
            Self::SyslogNgDisk => "syslog-ng, reliable disk buffer",
            Self::Sshd => "OpenSSH's sshd, which only stores the file",
        }
    }
}

/// Settings and command line.
pub fn setup(bench: &Bench, task: &Task, port: u16, folder: &Path) -> Result<Setup> {
    let mut setup = Setup {
        port,
        page: None,
        folder: folder.to_owned(),
        settings: String::new(),
        program: bench.program.clone(),
        arguments: Vec::new(),
        variables: Vec::new(),
    };
    match task.subject {
        Subject::Ours => ours(bench, task, &mut setup),
        Subject::OursWatched => {
            ours(bench, task, &mut setup);
            let port = free_port()?;
            setup.page = Some(SocketAddr::new(HOST.parse()?, port));
            setup.settings += &format!("[page]\nlisten = [\"{HOST}:{port}\"]\n");
        }
        Subject::OursDiscarding => discarding(bench, &mut setup),
        Subject::RsyslogMemory => rsyslog(bench, task, &mut setup, false),
        Subject::RsyslogDisk => rsyslog(bench, task, &mut setup, true),
        Subject::SyslogNgMemory => syslog_ng(bench, task, &mut setup, false),
        Subject::SyslogNgDisk => syslog_ng(bench, task, &mut setup, true),
        Subject::Sshd => sshd(bench, &mut setup),
    }
    Ok(setup)
}

fn path(of: &Path, name: &str) -> String {
    of.join(name).display().to_string()
}

fn ours(bench: &Bench, task: &Task, setup: &mut Setup) {
    let (port, state) = (setup.port, path(&setup.folder, "state"));
    let (ca, cert, key) = (bench.certs.ca.display(), bench.certs.cert.display(), bench.certs.key.display());
    let device = path(&bench.folder, DEVICE_KEY) + ".pub";
    let source = match task.from {
        Intake::Lines => format!("type = \"syslog\"\nlisten = [\"tcp://{HOST}:{port}\", \"udp://{HOST}:{port}\"]"),
        Intake::Lumberjack => format!(
            "type = \"lumberjack\"\nlisten = [\"tls://{HOST}:{port}\"]\n[source.tls]\ncert = \"{cert}\"\nkey = \"{key}\""
        ),
        Intake::Files => format!(
            "type = \"ssh\"\nlisten = [\"tcp://{HOST}:{port}\"]\n[[source.device]]\nname = \"device\"\nkeys_file = \"{device}\""
        ),
    };
    let output = if task.to_lumberjack {
        format!("type = \"lumberjack\"\nendpoint = [\"{}\"]", task.to)
    } else {
        format!("type = \"syslog\"\nendpoint = \"{}\"", task.to)
    };
    setup.settings = format!(
        "state_dir = \"{state}\"\n[[source]]\nid = \"bench\"\n{source}\n[[output]]\nid = \"far\"\n{output}\nbackoff_max = \"1s\"\n[output.tls]\nca = \"{ca}\"\n"
    );
    setup.arguments = vec!["run".into(), "--config".into(), path(&setup.folder, "settings")];
}

/// This program as a listener; see `discard`.
fn discarding(bench: &Bench, setup: &mut Setup) {
    let state = path(&setup.folder, "state");
    let (cert, key) = (bench.certs.cert.display().to_string(), bench.certs.key.display().to_string());
    setup.program = std::env::current_exe().unwrap_or_default();
    setup.arguments = vec!["discard".into(), setup.port.to_string(), state, cert, key];
}

fn sshd(bench: &Bench, setup: &mut Setup) {
    let (port, host) = (setup.port, path(&bench.folder, HOST_KEY));
    let keys = path(&bench.folder, DEVICE_KEY) + ".pub";
    setup.settings = format!(
        "ListenAddress {HOST}\nPort {port}\nHostKey {host}\nAuthorizedKeysFile {keys}\nPidFile none\nStrictModes no\nUsePAM \
         no\nPasswordAuthentication no\nSubsystem sftp internal-sftp\n"
    );
    setup.program = "/usr/sbin/sshd".into();
    setup.arguments = ["-D", "-e", "-f", &path(&setup.folder, "settings")].map(str::to_owned).to_vec();
}

fn rsyslog(bench: &Bench, task: &Task, setup: &mut Setup, disk: bool) {
    let (port, folder, ca) = (setup.port, setup.folder.display(), bench.certs.ca.display());
    let queue = if disk {
        format!(
            "queue.type=\"Disk\" queue.filename=\"q\" queue.spoolDirectory=\"{folder}\" queue.maxFileSize=\"64m\" queue.size=\"100000000\""
        )
    } else {
        "queue.type=\"FixedArray\" queue.size=\"100000\"".to_owned()
    };
    let (far, far_port) = (task.to.ip(), task.to.port());
    setup.settings = format!(
        r#"global(workDirectory="{folder}" net.enableDNS="off" maxMessageSize="64k" defaultNetstreamDriverCAFile="{ca}")
module(load="imptcp")
module(load="imudp" batchSize="256")
template(name="raw" type="string" string="%rawmsg%")
ruleset(name="far" {queue} queue.dequeueBatchSize="1024" queue.timeoutEnqueue="600000") {{
  action(type="omfwd" target="{far}" port="{far_port}" protocol="tcp" template="raw" TCP_Framing="octet-counted"
    StreamDriver="ossl" StreamDriverMode="1" StreamDriverAuthMode="x509/certvalid"
    action.resumeRetryCount="-1" action.resumeInterval="1")
}}
input(type="imptcp" address="{HOST}" port="{port}" ruleset="far")
input(type="imudp" address="{HOST}" port="{port}" ruleset="far" rcvbufSize="32m")
action(type="omfile" file="{folder}/log")
"#
    );
    setup.program = "/usr/sbin/rsyslogd".into();
    let (settings, pid) = (path(&setup.folder, "settings"), path(&setup.folder, "pid"));
    setup.arguments = ["-n", "-f", &settings, "-i", &pid].map(str::to_owned).to_vec();
}

fn syslog_ng(bench: &Bench, task: &Task, setup: &mut Setup, disk: bool) {
    let (port, folder, ca) = (setup.port, setup.folder.display(), bench.certs.ca.display());
    let queue = if disk {
        format!("disk-buffer(reliable(yes) disk-buf-size(17179869184) mem-buf-size(67108864) dir(\"{folder}\"))")
    } else {
        String::new()
    };
    let (far, far_port) = (task.to.ip(), task.to.port());
    setup.settings = format!(
        r#"@version: 3.38
options {{ threaded(yes); stats-freq(0); mark-freq(0); use-dns(no); keep-hostname(yes); log-msg-size(65536); time-reopen(1); }};
source near {{
  network(ip("{HOST}") transport("tcp") port({port}) flags(no-parse) log-iw-size(100000) log-fetch-limit(10000));
  network(ip("{HOST}") transport("udp") port({port}) flags(no-parse) so-rcvbuf(33554432) log-iw-size(100000) log-fetch-limit(10000));
}};
destination far {{
  network("{far}" port({far_port}) transport("tls") tls(ca-file("{ca}") peer-verify(required-trusted))
    template("$MSG\n") log-fifo-size(200000) flush-lines(1000) {queue});
}};
log {{ source(near); destination(far); flags(flow-control); }};
"#
    );
    let root = std::fs::canonicalize(&bench.peers).unwrap_or_else(|_| bench.peers.clone()).join("syslog-ng");
    let libraries = root.join("usr/lib");
    setup.program = root.join("usr/sbin/syslog-ng");
    let file = |name: &str| path(&setup.folder, name);
    let arguments = ["-F", "--no-caps", "-f", &file("settings"), "-R", &file("persist"), "-c", &file("control")];
    setup.arguments = arguments.map(str::to_owned).to_vec();
    setup.arguments.extend(["--pidfile".to_owned(), file("pid")]);
    setup.arguments.push(format!("--module-path={}", libraries.join("syslog-ng/3.38").display()));
    let machine = format!("{}-linux-gnu", std::env::consts::ARCH);
    let folders = [libraries.join("syslog-ng"), libraries.join(&machine), root.join("lib").join(&machine)];
    setup.variables = vec![("LD_LIBRARY_PATH", folders.map(|folder| folder.display().to_string()).join(":"))];
}
