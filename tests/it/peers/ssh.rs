//! Devices that push files: real clients with keys of their own, and an appliance that knows them.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use super::appliance::{Appliance, to_gateway};
use super::program::{have, run, text};
use super::service::{Manner, Service};

pub const LISTEN: &str = "tcp://127.0.0.1:0";

/// An appliance with one SSH source, `ces`, that knows a device, `esa1`, by its Ed25519 and its RSA key.
pub struct Site {
    pub edge: Appliance,
    pub gateway: Service,
    pub home: TempDir,
    listener: String,
}

/// The options before keys, more keys of the source, and more tables.
#[derive(Clone, Copy, Debug, Default)]
pub struct More<'a> {
    pub before_keys: &'a str,
    pub source: &'a str,
    pub device: &'a str,
    pub top: &'a str,
    pub listen: &'a str,
}

/// Makes a key; `None` where there is no ssh-keygen and that is passed over.
pub fn key(folder: &Path, name: &str, kind: &[&str]) -> Option<String> {
    have("ssh-keygen").then(|| {
        let path = folder.join(name);
        run(Command::new("ssh-keygen").args(["-q", "-N", "", "-C", name, "-f"]).arg(&path).args(kind));
        fs::read_to_string(path.with_extension("pub")).unwrap().trim().to_owned()
    })
}

impl Site {
    /// Starts all; `None` where a client is missing and that is passed over.
    pub fn start(more: More<'_>) -> Option<Self> {
        let home = tempfile::tempdir().unwrap();
        let mut keys = String::new();
        for (name, kind) in [("ed25519", &["-t", "ed25519"][..]), ("rsa", &["-t", "rsa", "-b", "2048", "-m", "PEM"])] {
            let line = key(home.path(), name, kind)?;
            write!(keys, "{:?}, ", format!("{} {line}", more.before_keys).trim()).unwrap();
        }
        key(home.path(), "stranger", &["-t", "ed25519"])?;
        let gateway = Service::plain(Manner::Serve);
        let listen = if more.listen.is_empty() { format!("{LISTEN:?}") } else { more.listen.to_owned() };
        let settings = format!(
            "{}{}\n[[source]]\nid = \"ces\"\ntype = \"ssh\"\nlisten = [{listen}]\n{}\n[[source.device]]\nname = \
             \"esa1\"\nkeys = [{keys}]\n{}\n",
            more.top,
            to_gateway(gateway.address()),
            more.source,
            more.device
        );
        let listener = listen.split('"').nth(1).unwrap().to_owned();
        Some(Self { edge: Appliance::start(&settings), gateway, home, listener })
    }

    /// Where the first listener is bound.
    pub fn address(&self) -> SocketAddr {
        self.edge.address(&self.listener, 0)
    }

    /// Puts a file into the devices' home.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.home.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    pub fn key(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// OpenSSH's scp or sftp, with the Ed25519 key and these words before all others.
    pub fn openssh(&self, program: &str, words: &[&str]) -> Command {
        self.openssh_with(program, "ed25519", words)
    }

    pub fn openssh_with(&self, program: &str, key: &str, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        // Of an option that comes twice OpenSSH takes the first.
        let options = words.chunks_exact(2).take_while(|pair| pair[0] == "-o").count() * 2;
        let (options, words) = words.split_at(options);
        command.args(options).args(["-F", "none", "-q", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]);
        command.args(["-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes", "-o", "User=esa1"]);
        command.arg("-o").arg(format!("Port={}", self.address().port())).arg("-i").arg(self.key(key)).args(words);
        command
    }

    /// Pushes files by the legacy SCP protocol, as AsyncOS does.
    pub fn scp(&self, words: &[&str], files: &[&Path]) -> Output {
        self.openssh("scp", &["-O"]).args(words).args(files).arg("127.0.0.1:/in/").output().unwrap()
    }

    /// The names in the folder of staged files.
    pub fn staged(&self) -> Vec<String> {
        let folder = self.edge.folder().join("ssh/ces/staged");
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }
}

/// It succeeded.
pub fn good(output: &Output) {
    assert!(output.status.success(), "{}\n{}\n{}", output.status, text(&output.stdout), text(&output.stderr));
}

/// A text mail log as AsyncOS writes it: a mail takes ten lines of one connection.
pub fn mail_log(mails: usize, first: usize) -> (String, Vec<String>) {
    let mut lines = Vec::new();
    for mail in first..first + mails {
        let (icid, mid, dcid) = (70_000 + mail, 41_000 + mail, 9_000 + mail);
        let at =
            format!("Tue Mar {:>2} {:02}:{:02}:{:02} 2024 Info:", 5, 10 + mail / 3_600 % 12, mail / 60 % 60, mail % 60);
        for text in [
            format!(
                "New SMTP ICID {icid} interface Data1 (192.0.2.5) address 198.51.100.7 reverse dns host mx.example.net verified yes"
            ),
            format!("ICID {icid} ACCEPT SG UNKNOWNLIST match sbrs[none] SBRS None country Germany"),
            format!("Start MID {mid} ICID {icid}"),
            format!("MID {mid} ICID {icid} From: <a{mail}@example.net>"),
            format!("MID {mid} ICID {icid} RID 0 To: <b{mail}@example.org>"),
            format!("MID {mid} Subject 'Invoice, part {mail} \u{fc}\u{4e16}'"),
            format!("MID {mid} queued for delivery"),
            format!("Delivery start DCID {dcid} MID {mid} to RID [0]"),
            format!("Message done DCID {dcid} MID {mid} to RID [0] [('x-note', 'ok')]"),
            format!("ICID {icid} close"),
        ] {
            lines.push(format!("{at} {text}"));
        }
    }
    (lines.join("\n") + "\n", lines)
}
