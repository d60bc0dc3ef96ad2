//! Mosquitto: the broker, with TLS, passwords and an access list, and its own subscriber.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::certificates::{Authority, Identity};
use super::gateway::Event;
use super::program::{Running, have, run};
use super::{free_address, try_until, until};

/// The user of the box, and that of who reads; each with the password `open-sesame`.
pub const BOX: &str = "edge";
pub const READER: &str = "siem";
const PASSWORD: &str = "open-sesame";

/// Lets the box write its own topics, and the reader read everything.
pub const LIST: &str = "user edge\ntopic write sapphire/edge-1/#\nuser siem\ntopic read #\n";

/// Certificates and files of a broker that may be started, killed and started again at one address.
pub struct Broker {
    pub authority: Authority,
    identity: Identity,
    more: String,
    address: SocketAddr,
    /// Where readers come in without TLS: mosquitto_sub ends when a broker with TLS does.
    inside: SocketAddr,
    process: Option<Running>,
}

impl Broker {
    /// A broker that runs, with these lines in its settings besides the usual; `None` if that is to be skipped.
    pub fn start(more: &str) -> Option<Self> {
        Self::start_with(more, LIST)
    }

    /// The same with another access list.
    pub fn start_with(more: &str, list: &str) -> Option<Self> {
        if !(have("/usr/sbin/mosquitto") && have("mosquitto_sub")) {
            return None;
        }
        let authority = Authority::new();
        let identity = authority.identity("127.0.0.1");
        let (more, address, inside) = (more.to_owned(), free_address(), free_address());
        let mut broker = Self { authority, identity, more, address, inside, process: None };
        let passwords = broker.file("passwords");
        fs::write(&passwords, "").unwrap();
        for user in [BOX, READER] {
            run(Command::new("mosquitto_passwd").arg("-b").arg(&passwords).args([user, PASSWORD]));
        }
        fs::write(broker.file("password"), format!("{PASSWORD}\n")).unwrap();
        broker.allow(list);
        // Somebody else may have taken a port meanwhile; it cannot be asked for any free one.
        while !broker.run() {
            (broker.address, broker.inside) = (free_address(), free_address());
        }
        Some(broker)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.authority.folder().join(name)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the reader comes in, without TLS.
    pub fn inside(&self) -> SocketAddr {
        self.inside
    }

    /// The file with the password of both users.
    pub fn password_file(&self) -> PathBuf {
        self.file("password")
    }

    /// What an output needs to come in.
    pub fn settings(&self) -> String {
        format!(
            "type = \"mqtt\"\nbackoff_min = \"20ms\"\nbackoff_max = \"100ms\"\nendpoint = \"{}\"\n\
             user = \"{BOX}\"\npassword_file = {:?}\ntls.ca = {:?}\n",
            self.address,
            self.password_file(),
            self.authority.ca()
        )
    }

    /// Writes the access list; a broker that runs reads it when told to.
    pub fn allow(&self, list: &str) {
        fs::write(self.file("list"), list).unwrap();
        if let Some(process) = &self.process {
            let id = nix::unistd::Pid::from_raw(process.0.id().try_into().unwrap());
            nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGHUP).unwrap();
        }
    }

    /// Ends it as a power cut does.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again with other lines in its settings.
    pub fn restart(&mut self, more: &str) {
        self.kill();
        self.more = more.to_owned();
        assert!(self.run(), "{}", self.log());
    }

    /// Whether it listens.
    fn run(&mut self) -> bool {
        let settings = format!(
            "user root\nper_listener_settings false\nallow_anonymous false\npersistence false\n\
             password_file {}\nacl_file {}\nlog_dest stderr\nmax_queued_messages 0\n\
             listener {} 127.0.0.1\nlistener {} 127.0.0.1\ncafile {}\ncertfile {}\nkeyfile {}\n{}",
            self.file("passwords").display(),
            self.file("list").display(),
            self.inside.port(),
            self.address.port(),
            self.authority.ca().display(),
            self.identity.cert.display(),
            self.identity.key.display(),
            self.more
        );
        fs::write(self.file("mosquitto.conf"), settings).unwrap();
        let log = fs::OpenOptions::new().append(true).create(true).open(self.file("log")).unwrap();
        let mut command = Command::new("/usr/sbin/mosquitto");
        command.arg("-c").arg(self.file("mosquitto.conf")).stdin(Stdio::null());
        // Counted before it starts: the log goes on over restarts.
        let runs = self.log().matches(" running").count() + 1;
        let mut process = Running::start(command.stdout(log.try_clone().unwrap()).stderr(log));
        // Before it says that it runs, it would die of the signal that tells it to read its files.
        let listens = until("mosquitto runs or ends", || {
            let ended = process.0.try_wait().unwrap().is_some();
            (ended || self.log().matches(" running").count() >= runs).then_some(!ended)
        });
        self.process = listens.then_some(process);
        listens
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    /// Publishes something as the reader, who may where the access list says so.
    pub fn publish(&self, topic: &str, payload: &[u8], is_retained: bool) {
        self.publish_with(topic, payload, if is_retained { &["-r"] } else { &[] });
    }

    /// The same with more arguments.
    pub fn publish_with(&self, topic: &str, payload: &[u8], arguments: &[&str]) {
        let path = self.file(&format!("payload-{:x}", rand::random::<u64>()));
        fs::write(&path, payload).unwrap();
        let mut command = Command::new("mosquitto_pub");
        command.args(["-V", "5", "-q", "1", "-u", READER, "-P", PASSWORD, "-h", "127.0.0.1", "-t", topic, "-f"]);
        command.arg(path).arg("-p").arg(self.inside.port().to_string());
        run(command.args(arguments));
    }

    /// A subscriber to a topic with wildcards, once the broker has taken its subscription.
    pub fn subscribe(&self, filter: &str) -> Subscriber {
        self.subscribe_at("1", filter)
    }

    /// The same at QoS 0, at which a broker that is killed keeps nothing back: before it acknowledges a message, it has handed it
    /// to the kernel for the subscriber, who at QoS 1 wants no more than some at a time.
    pub fn subscribe_for_kills(&self, filter: &str) -> Subscriber {
        self.subscribe_at("0", filter)
    }

    fn subscribe_at(&self, qos: &str, filter: &str) -> Subscriber {
        let name = format!("siem-{:x}", rand::random::<u64>());
        let path = self.file(&name);
        // Every line is to be written at once: into a file it would wait for a buffer to be full.
        let mut command = Command::new("stdbuf");
        command.args(["-oL", "mosquitto_sub", "-V", "5", "-q", qos, "-d", "-i", &name]);
        command.args(["-u", READER, "-P", PASSWORD, "-h", "127.0.0.1", "-t"]);
        command.args([filter, "-F", "%t\t%C\t%x", "-p", &self.inside.port().to_string()]).stdin(Stdio::null());
        let file = fs::File::create(&path).unwrap();
        let process = Running::start(command.stdout(file.try_clone().unwrap()).stderr(file));
        let subscriber = Subscriber { path, _process: process };
        until("mosquitto_sub is subscribed", || subscriber.text().contains("Subscribed (mid").then_some(()));
        subscriber
    }

    /// Takes the connection of another client away: comes in under its id.
    pub fn take_over(&self, client: &str) -> Running {
        let mut command = Command::new("mosquitto_sub");
        command.args(["-V", "5", "-i", client, "-u", READER, "-P", PASSWORD, "-h", "127.0.0.1", "-t", "x", "-p"]);
        command.arg(self.inside.port().to_string());
        Running::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what mosquitto said:\n{}", self.log());
        }
    }
}

/// A message as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub content_type: String,
    pub payload: String,
}

impl Message {
    /// The events in it.
    pub fn events(&self) -> Vec<Event> {
        let lines = (1..).zip(self.payload.lines());
        lines.map(|(sequence, line)| Event { sequence, json: serde_json::from_str(line).unwrap() }).collect()
    }
}

/// mosquitto_sub, which comes back by itself when the broker does.
pub struct Subscriber {
    path: PathBuf,
    _process: Running,
}

impl Subscriber {
    fn text(&self) -> String {
        read(&self.path)
    }

    /// How often it was subscribed.
    pub fn times_subscribed(&self) -> usize {
        self.text().matches("Subscribed (mid").count()
    }

    /// What came so far. Lines without tabs are what mosquitto_sub says of itself.
    pub fn messages(&self) -> Vec<Message> {
        let text = self.text();
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        let message = |line: &str| {
            let mut parts = line.split('\t');
            let (topic, content_type, hex) = (parts.next()?, parts.next()?, parts.next()?);
            let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
            let payload = digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
            let payload = String::from_utf8(payload).unwrap();
            Some(Message { topic: topic.to_owned(), content_type: content_type.to_owned(), payload })
        };
        whole.lines().filter_map(message).collect()
    }

    /// The events that came so far, repeats too.
    pub fn events(&self) -> Vec<Event> {
        self.messages().iter().flat_map(Message::events).collect()
    }

    /// Waits until each of these texts came, and returns all that came.
    pub fn wait_for(&self, texts: &[String]) -> Vec<Event> {
        let has_all = || {
            let events = self.events();
            let came: std::collections::HashSet<&str> = events.iter().map(Event::message).collect();
            texts.iter().all(|text| came.contains(text.as_str())).then_some(())
        };
        if try_until(has_all).is_none() {
            panic!("{} events came, and not all of {}", self.events().len(), texts.len());
        }
        self.events()
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
