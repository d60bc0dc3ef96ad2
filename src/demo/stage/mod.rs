//! The box and the gateway: two whole appliances in this process, each with its settings file, state folder and threads.
//!
//! In: a folder and the certificates. Out: the two running, and where they listen. They are the same program with other
//! settings: nothing in them knows that it is a demo.

mod certs;
mod folder;
mod relay;

pub(super) use folder::Folder;
pub(super) use relay::Relay;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::DemoError;
use super::push::{Key, USER};
use super::senders::Targets;
use crate::app::{App, AppError, Ended, Host};
use crate::config::Config;
use crate::net::tls::ClientConfig;
use crate::net::{Dialer, Listen, SocketName, Sockets};
use crate::status::{Board, Component, Count, Health};
use certs::Certs;

/// A fresh appliance on an idle machine is ready within a second.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Everything that is there before the play begins.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) edge: Instance,
    pub(super) gateway: Instance,
    pub(super) relay: Relay,
    /// The file that the gateway writes.
    pub(super) events: PathBuf,
    certs: Certs,
    /// The key of the device that pushes files, where the machine can make one.
    device: Option<Key>,
}

impl Stage {
    /// Starts the gateway, the line to it and the box, in this order.
    pub(super) async fn start(folder: &Folder) -> Result<Self, DemoError> {
        let certs = Certs::make(&folder.inner("certs")?)?;
        let inside = folder.inner("gateway")?;
        let events = inside.join("events.ndjson");
        let gateway = Instance::start("gateway", &inside, &gateway_settings(&inside, &certs, &events)).await?;
        let device = Key::make(&folder.inner("device")?);
        match connect(folder, &certs, device.as_ref(), &gateway).await {
            Ok((relay, edge)) => Ok(Self { edge, gateway, relay, events, certs, device }),
            Err(err) => {
                // What was the matter with the box is worth more than how the gateway ended.
                let _ = gateway.stop().await;
                Err(err)
            }
        }
    }

    /// Where the site's devices find the box.
    pub(super) fn targets(&self) -> Result<Targets, DemoError> {
        let tls = ClientConfig { ca: Some(self.certs.ca.clone()), ..ClientConfig::default() };
        let tls = tls.build().map_err(|err| DemoError::Certificate(err.to_string()))?;
        let dialer = |source: &str, listen: &str| -> Result<Dialer, DemoError> {
            let endpoint = self.edge.bound(source, listen)?.into();
            Ok(Dialer { endpoint, proxy: None, tls: None, connect_timeout: Duration::from_secs(10) })
        };
        let firewalls = self.edge.board.handle(Component::Source, "firewalls");
        Ok(Targets {
            udp: self.edge.bound("firewalls", UDP)?,
            tcp: dialer("mail", TCP)?,
            tls: Dialer { tls: Some(tls), ..dialer("servers", TLS)? },
            scp: match &self.device {
                Some(key) => Some((self.edge.bound("files", TCP)?, key.clone())),
                None => None,
            },
            taken: Arc::new(move || firewalls.counters().count(Count::ReceivedEvents)),
        })
    }

    /// What a person can do with the demo while it stays up.
    pub(super) fn invitation(&self) -> Result<Vec<String>, DemoError> {
        let (udp, tcp) = (self.edge.bound("firewalls", UDP)?, self.edge.bound("mail", TCP)?);
        let (tls, settings) = (self.edge.bound("servers", TLS)?, self.edge.settings.display());
        Ok(vec![
            String::new(),
            "The box stays up. Send your own syslog to it:".into(),
            format!("  UDP {udp}   for example  logger -n {} -P {} -d hello", udp.ip(), udp.port()),
            format!("  TCP {tcp}   for example  logger -n {} -P {} -T hello", tcp.ip(), tcp.port()),
            format!("  TLS {tls}   with the CA in {}", self.certs.ca.display()),
            format!("Events land in {}", self.events.display()),
            format!("Look at it with  sapphire-edge status --config {settings}"),
            format!("             or  sapphire-edge tap --config {settings}"),
            "End it with Ctrl-C.".into(),
        ])
    }

    /// Stops everything: the box first, so that it can say goodbye to the gateway.
    pub(super) async fn stop(self) -> Result<(), DemoError> {
        let edge = self.edge.stop().await;
        let gateway = self.gateway.stop().await;
        edge.and(gateway)
    }
}

async fn connect(
    folder: &Folder,
    certs: &Certs,
    device: Option<&Key>,
    gateway: &Instance,
) -> Result<(Relay, Instance), DemoError> {
    let relay = Relay::open(gateway.bound("boxes", TLS)?)?;
    let inside = folder.inner("box")?;
    let edge = Instance::start("box", &inside, &box_settings(&inside, certs, device, relay.address())).await?;
    Ok((relay, edge))
}

/// One appliance at work. Dropping it tells it to stop.
#[derive(Debug)]
pub(super) struct Instance {
    name: &'static str,
    settings: PathBuf,
    /// What it says of itself.
    pub(super) board: Board,
    sockets: Sockets,
    stop: CancellationToken,
    run: JoinHandle<Result<Ended, AppError>>,
}

impl Instance {
    /// Writes the settings into `folder`, starts the appliance and waits until all its parts are well.
    async fn start(name: &'static str, folder: &Path, text: &str) -> Result<Self, DemoError> {
        let settings = folder.join("settings.toml");
        let written = std::fs::write(&settings, text);
        written.map_err(|source| DemoError::Folder { path: settings.clone(), source })?;
        let failed = |words: String| DemoError::Instance { name, words };
        let config = Config::load(&settings).map_err(|err| failed(err.to_string()))?;
        let parts = parts(&config);
        let app = App::build(config, Host::Embedded).map_err(|err| failed(err.to_string()))?;
        let (board, sockets, stop) = (app.board(), app.sockets(), app.stopper());
        // It has its own runtimes and blocks the thread that runs it.
        let run = tokio::task::spawn_blocking(move || app.run());
        let instance = Self { name, settings, board, sockets, stop, run };
        match instance.ready(&parts).await {
            Ok(()) => Ok(instance),
            // One that ended by itself says best why.
            Err(err) => Err(instance.stop().await.err().unwrap_or(err)),
        }
    }

    async fn ready(&self, parts: &[(Component, String)]) -> Result<(), DemoError> {
        let start = Instant::now();
        loop {
            let snapshot = self.board.snapshot();
            let is_well = |(component, id): &(Component, String)| {
                snapshot.line(*component, id).is_some_and(|line| line.health == Health::Healthy)
            };
            let Some((component, id)) = parts.iter().find(|part| !is_well(part)) else { return Ok(()) };
            if self.run.is_finished() || start.elapsed() > READY_WITHIN {
                let fault = snapshot.line(*component, id).and_then(|line| line.health.fault());
                let why = fault.map_or("it did not start", |fault| &fault.what);
                let words = format!("{} {id}: {why}", component.as_str());
                return Err(DemoError::Instance { name: self.name, words });
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Where a source's listener is bound; `listen` as in the settings.
    fn bound(&self, source: &str, listen: &str) -> Result<SocketAddr, DemoError> {
        let bound = listen.parse::<Listen>().ok();
        let bound = bound.and_then(|listen| self.sockets.bound(&SocketName::new(source, listen, 0)));
        bound.ok_or_else(|| DemoError::Instance { name: self.name, words: format!("{source} does not listen") })
    }

    /// Stops it and waits for its end.
    async fn stop(mut self) -> Result<(), DemoError> {
        self.stop.cancel();
        let name = self.name;
        let failed = |words: String| DemoError::Instance { name, words };
        match (&mut self.run).await {
            Ok(Ok(Ended::Stopped | Ended::CutShort { .. })) => Ok(()),
            Ok(Ok(Ended::Failed(words))) => Err(failed(words)),
            Ok(Err(err)) => Err(failed(err.to_string())),
            Err(err) => Err(failed(err.to_string())),
        }
    }
}

/// The sources and outputs of the settings.
fn parts(config: &Config) -> Vec<(Component, String)> {
    let sources = config.source.iter().map(|source| (Component::Source, source.id().to_string()));
    sources.chain(config.output.iter().map(|output| (Component::Output, output.id().to_string()))).collect()
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Listeners on free ports of this machine.
const UDP: &str = "udp://127.0.0.1:0";
const TCP: &str = "tcp://127.0.0.1:0";
const TLS: &str = "tls://127.0.0.1:0";

/// The gateway's settings: Lumberjack in, a file of events out.
fn gateway_settings(folder: &Path, certs: &Certs, events: &Path) -> String {
    let (state, events) = (text(folder), text(events));
    let (cert, key) = (text(&certs.cert), text(&certs.key));
    format!(
        r#"# The demo's gateway.
name = "demo-gateway"
state_dir = {state}

[[source]]
id = "boxes"
type = "lumberjack"
listen = ["{TLS}"]
[source.tls]
cert = {cert}
key = {key}

[[output]]
id = "events"
type = "file"
path = {events}
# The play reads one file.
max_size = "1TiB"
"#
    )
}

/// The box's settings: a source for each transport, one output.
fn box_settings(folder: &Path, certs: &Certs, device: Option<&Key>, gateway: SocketAddr) -> String {
    let files = device.map(|key| {
        format!(
            "[[source]]\nid = \"files\"\ntype = \"ssh\"\nlisten = [\"{TCP}\"]\n[[source.device]]\nname = \"{USER}\"\n\
             keys_file = {}\nlog_type = \"asyncos\"\n",
            text(&key.public())
        )
    });
    let files = files.unwrap_or_default();
    let (state, ca) = (text(folder), text(&certs.ca));
    let (cert, key) = (text(&certs.cert), text(&certs.key));
    format!(
        r#"# The demo's box.
name = "demo-box"
state_dir = {state}

[[source]]
id = "firewalls"
type = "syslog"
listen = ["{UDP}"]

[[source]]
id = "mail"
type = "syslog"
listen = ["{TCP}"]

[[source]]
id = "servers"
type = "syslog"
listen = ["{TLS}"]
[source.tls]
cert = {cert}
key = {key}

{files}
[[output]]
id = "gateway"
type = "lumberjack"
endpoint = ["{gateway}"]
# The line comes back within seconds here, not within hours.
backoff_min = "200ms"
backoff_max = "1s"
[output.tls]
ca = {ca}
"#
    )
}

/// A path as a TOML string.
fn text(path: &Path) -> String {
    toml::Value::String(path.to_string_lossy().into_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn an_appliance_that_cannot_run_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("state_dir = {}\n[[source]]\nid = \"a\"\ntype = \"syslog\"\n", text(folder.path()));
        let err = Instance::start("box", folder.path(), &text).await.unwrap_err().to_string();
        assert!(err.starts_with("the box does not run: ") && err.contains("listen"), "{err}");
    }

    #[test]
    fn a_path_is_quoted_for_the_settings() {
        for path in ["/tmp/a b", "/tmp/\"q\"", "/tmp/back\\slash", "/tmp/ü"] {
            let table: toml::Table = format!("path = {}", text(Path::new(path))).parse().unwrap();
            assert_eq!(table["path"].as_str(), Some(path));
        }
    }
}
