//! RabbitMQ as the vendor runs it: TLS, a queue for each stream, users that may read one queue and nothing else. One for the whole
//! run, because it takes long to start; each double takes streams out of those that are prepared.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use serde_json::{Value, json};

use crate::peers::certificates::Authority;
use crate::peers::program::{have, python};
use crate::peers::{free_address, try_until};

/// Streams that are prepared.
const STREAMS: usize = 200;
const ADMIN: &str = "admin-of-the-broker";

/// The running broker and its helper.
pub struct Broker {
    pub authority: Authority,
    pub port: u16,
    folder: tempfile::TempDir,
    /// The program ends when this process does, which closes its input.
    _program: Child,
    _helper: Child,
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    next: AtomicUsize,
}

/// A stream as the vendor shows it when it is made.
#[derive(Clone, Debug)]
pub struct Stream {
    pub id: usize,
    pub user: String,
    pub password: String,
    pub queue: String,
}

fn stream(id: usize) -> Stream {
    // As the vendor's: the number and 20 hexadecimal digits, 40 for the password; made of the number, so that all know them.
    let password = format!("{:040x}", (id as u128 + 1) * 0x1234_5678_9abc_def1_2345_6789);
    Stream { id, user: format!("{id}-{:020x}", id * 7_919), password, queue: format!("event_stream_{id}") }
}

/// The broker of this run; `None` if peers are to be skipped.
pub fn broker() -> Option<&'static Broker> {
    static BROKER: OnceLock<Option<Broker>> = OnceLock::new();
    BROKER.get_or_init(Broker::start).as_ref()
}

impl Broker {
    fn start() -> Option<Self> {
        if !have("/usr/lib/rabbitmq/bin/rabbitmq-server") {
            return None;
        }
        let mut helper = python("amp/broker.py")?;
        let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
        let port = free_address().port();
        settings(folder.path(), &authority, port);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/peers/amp/rabbitmq");
        let mut command = Command::new(script);
        command.arg(folder.path()).args([free_address().port().to_string(), free_address().port().to_string()]);
        let program = command.stdin(Stdio::piped()).spawn().unwrap();
        let is_up = try_until(|| std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        let said = || std::fs::read_to_string(folder.path().join("out")).unwrap_or_default();
        assert!(is_up.is_some(), "the broker does not come up: {}", said());
        let mut helper = helper.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut input, mut output) = (helper.stdin.take().unwrap(), BufReader::new(helper.stdout.take().unwrap()));
        writeln!(input, "{}", json!({ "port": port, "ca": authority.ca(), "password": ADMIN })).unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "\"ready\"", "{}", said());
        let pipes = Mutex::new((input, output));
        Some(Self { authority, port, folder, _program: program, _helper: helper, pipes, next: AtomicUsize::new(1) })
    }

    /// A stream that nobody has.
    pub fn take(&self) -> Stream {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        assert!(id <= STREAMS, "prepare more streams");
        stream(id)
    }

    fn tell(&self, command: &Value) -> Value {
        let mut pipes = self.pipes.lock().unwrap();
        writeln!(pipes.0, "{command}").unwrap();
        let mut line = String::new();
        pipes.1.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|err| panic!("{command}: {err}: {line} in {:?}", self.folder))
    }

    pub fn send(&self, queue: &str, bodies: &[String]) {
        self.tell(&json!({ "do": "send", "queue": queue, "bodies": bodies }));
    }

    pub fn delete(&self, queue: &str) {
        self.tell(&json!({ "do": "delete", "queue": queue }));
    }

    /// Messages that are ready, and consumers; `None` where there is no such queue.
    pub fn look(&self, queue: &str) -> Option<(u64, u64)> {
        let found = self.tell(&json!({ "do": "look", "queue": queue }));
        Some((found["ready"].as_u64()?, found["consumers"].as_u64()?))
    }
}

fn settings(folder: &Path, authority: &Authority, port: u16) {
    let identity = authority.identity("127.0.0.1");
    let text = format!(
        "listeners.tcp = none\nlisteners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {}\nssl_options.certfile = {}\n\
         ssl_options.keyfile = {}\nload_definitions = {}\nlog.file.level = warning\n",
        authority.ca().display(),
        identity.cert.display(),
        identity.key.display(),
        folder.join("definitions.json").display()
    );
    std::fs::write(folder.join("rabbitmq.conf"), text).unwrap();
    let user = |name: &str, password: &str, tags: &str| json!({ "name": name, "password": password, "tags": tags });
    let rights = |name: &str, all: &str, read: &str| json!({ "user": name, "vhost": "/", "configure": all, "write": all, "read": read });
    let (mut users, mut permissions, mut queues) =
        (vec![user("admin", ADMIN, "administrator")], vec![rights("admin", ".*", ".*")], Vec::new());
    for stream in (1..=STREAMS).map(stream) {
        users.push(user(&stream.user, &stream.password, ""));
        permissions.push(rights(&stream.user, "^$", &format!("^{}$", stream.queue)));
        queues.push(
            json!({ "name": stream.queue, "vhost": "/", "durable": true, "auto_delete": false, "arguments": {} }),
        );
    }
    let all = json!({ "users": users, "vhosts": [{ "name": "/" }], "permissions": permissions, "queues": queues });
    std::fs::write(folder.join("definitions.json"), all.to_string()).unwrap();
}
