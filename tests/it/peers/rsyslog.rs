//! rsyslog, as a sender with a queue of its own and as a receiver of what we send.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::certificates::{Authority, Identity};
use super::program::{Running, have};
use super::until;

/// A running rsyslogd in a folder of its own.
#[derive(Debug)]
pub struct Rsyslog {
    folder: tempfile::TempDir,
    _process: Running,
}

/// TLS on rsyslog's side: whom it trusts, what it shows, and the name the far end must have.
pub struct Tls<'a> {
    pub authority: &'a Authority,
    pub identity: &'a Identity,
    pub peer: &'a str,
}

impl Tls<'_> {
    fn global(&self) -> String {
        format!(
            "global(defaultNetstreamDriver=\"ossl\" defaultNetstreamDriverCAFile={:?}\n\
             defaultNetstreamDriverCertFile={:?} defaultNetstreamDriverKeyFile={:?})\n",
            self.authority.ca(),
            self.identity.cert,
            self.identity.key
        )
    }
}

impl Rsyslog {
    /// A sender with a disk-assisted queue, fed through a Unix socket; `None` if that is to be skipped.
    ///
    /// It sends what it is fed with, under a header of its own, octet-counted, over TLS or plain TCP.
    pub fn sender(to: SocketAddr, tls: Option<&Tls<'_>>) -> Option<Self> {
        let secure = tls.map_or_else(String::new, |tls| {
            format!(
                "StreamDriver=\"ossl\" StreamDriverMode=\"1\" StreamDriverAuthMode=\"x509/name\"\n\
                 StreamDriverPermittedPeers=\"{}\"",
                tls.peer
            )
        });
        Self::start(&format!(
            "global(workDirectory=\"{{dir}}\" maxMessageSize=\"64k\")\n\
             {}module(load=\"imuxsock\" SysSock.Use=\"off\")\n\
             input(type=\"imuxsock\" Socket=\"{{dir}}/feed\" CreatePath=\"off\" RateLimit.Interval=\"0\")\n\
             template(name=\"same\" type=\"string\" string=\"<%pri%>%timestamp% %hostname% %syslogtag%%msg%\")\n\
             action(type=\"omfwd\" target=\"{}\" port=\"{}\" protocol=\"tcp\" tcp_framing=\"octet-counted\"\n\
             template=\"same\" {secure}\n\
             action.resumeRetryCount=\"-1\" action.resumeInterval=\"1\"\n\
             queue.type=\"LinkedList\" queue.filename=\"waiting\" queue.size=\"2000\" queue.saveOnShutdown=\"on\")\n",
            tls.map_or_else(String::new, Tls::global),
            to.ip(),
            to.port()
        ))
    }

    /// A receiver that writes each message into files; `None` if that is to be skipped.
    pub fn receiver(tls: &Tls<'_>) -> Option<Self> {
        Self::start(&format!(
            "global(workDirectory=\"{{dir}}\" maxMessageSize=\"64k\")\n\
             {}module(load=\"imtcp\" StreamDriver.Name=\"ossl\" StreamDriver.Mode=\"1\"\n\
             StreamDriver.AuthMode=\"x509/name\" PermittedPeer=\"{}\")\n\
             input(type=\"imtcp\" address=\"127.0.0.1\" port=\"0\" ListenPortFileName=\"{{dir}}/port\"\n\
             ruleset=\"keep\")\n\
             template(name=\"raw\" type=\"string\" string=\"%rawmsg%\\n\")\n\
             template(name=\"parts\" type=\"string\"\n\
             string=\"%pri%\\t%hostname%\\t%app-name%\\t%procid%\\t%msgid%\\t%structured-data%\\t%msg%\\n\")\n\
             ruleset(name=\"keep\") {{\n\
             action(type=\"omfile\" file=\"{{dir}}/parts\" template=\"parts\")\n\
             action(type=\"omfile\" file=\"{{dir}}/raw\" template=\"raw\") }}\n",
            tls.global(),
            tls.peer
        ))
    }

    fn start(config: &str) -> Option<Self> {
        if !have("/usr/sbin/rsyslogd") {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let config = config.replace("{dir}", folder.path().to_str().unwrap());
        fs::write(folder.path().join("rsyslog.conf"), config).unwrap();
        let file = |name| folder.path().join(name);
        let log = fs::File::create(file("log")).unwrap();
        let mut command = Command::new("/usr/sbin/rsyslogd");
        command.arg("-n").arg("-f").arg(file("rsyslog.conf")).arg("-i").arg(file("pid"));
        command.stdout(log.try_clone().unwrap()).stderr(log).stdin(Stdio::null());
        Some(Self { _process: Running::start(&mut command), folder })
    }

    /// The socket of a sender, for `logger -u`.
    pub fn socket(&self) -> PathBuf {
        let path = self.folder.path().join("feed");
        until("rsyslog's socket", || path.exists().then(|| path.clone()))
    }

    /// Gives a sender messages, each a PRI and what is behind it.
    pub fn feed(&self, messages: impl IntoIterator<Item = String>) {
        let socket = UnixDatagram::unbound().unwrap();
        let path = self.socket();
        until("rsyslog listens", || socket.connect(&path).ok());
        for message in messages {
            socket.send(message.as_bytes()).unwrap();
        }
    }

    /// Where a receiver listens.
    pub fn address(&self) -> SocketAddr {
        let path = self.folder.path().join("port");
        let port: u16 = until("rsyslog's port", || fs::read_to_string(&path).ok()?.trim().parse().ok());
        ([127, 0, 0, 1], port).into()
    }

    /// What a receiver got, byte for byte, a line each.
    pub fn received(&self) -> Vec<String> {
        self.lines("raw")
    }

    /// How a receiver reads what it got: the priority, host, application, process, message id, structured data, text.
    pub fn parts(&self) -> Vec<Vec<String>> {
        self.lines("parts").iter().map(|line| line.splitn(7, '\t').map(ToOwned::to_owned).collect()).collect()
    }

    fn lines(&self, file: &str) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join(file)).unwrap_or_default();
        text.lines().map(ToOwned::to_owned).collect()
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            eprintln!("what rsyslog said:\n{log}");
        }
    }
}
