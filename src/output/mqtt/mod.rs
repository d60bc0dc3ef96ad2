//! MQTT 5 to a broker, at QoS 1: every message is acknowledged, or refused with a reason.
//!
//! Events are the JSON that the Lumberjack output sends. `payload = "batch"` puts events of one topic into a message as
//! NDJSON, each with a line feed behind it (content type `application/x-ndjson`); `"single"` makes a message of each
//! (`application/json`). A topic is a template of the box's name and the source.
//!
//! Delivered means that the broker has acknowledged the message (PUBACK, section 3.4) and that somebody has subscribed to its
//! topic: what nobody has subscribed to a broker throws away, and says so with reason 0x10, which counts as a refusal here
//! unless `require_subscriber = false`. What a broker does afterwards for a subscriber that is slow or away is not seen from
//! here; the sample says what to set there.
//!
//! Several messages are on their way at once, bounded by `in_flight` and what the broker allows. They are acknowledged in
//! order, and a message that is refused is sent again until it is taken: whatever stands behind it waits, nothing is lost.
//! Every connection begins with a clean start: what was not acknowledged is kept by the queue and sent anew, so that a
//! broker's session has nothing to add (section 4.1).
//!
//! Not supported: a list of brokers (clusters have one name); compressed payloads (MQTT has no way to say that one is);
//! retained messages and QoS 2.

mod messages;
mod session;
mod topic;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use self::messages::{Limits, Messages, MostBytes};
use self::session::Session;
use self::topic::Topic;
use super::deliver::{self, Ended, FarEnd, Report, Trouble};
use super::feed::{ChunkLimits, Feed};
use super::json::Json;
use super::reach::{self, Reach, Transport, check_span};
use super::{Context, OutputError};
use crate::event::OutputId;
use crate::form::Finding;
use crate::net::Endpoint;
use crate::net::mqtt::{Broker, Connection, MqttError};
use crate::net::tls::ClientConfig;
use crate::quantity::{Size, Span};
use crate::status::Cause;

/// What is encoded at once: some messages, so that one is there when another may go. Below a power of two, to which buffers
/// grow.
const CHUNK: ChunkLimits = ChunkLimits { events: 4_096, bytes: 7 << 17 };
/// The same where each event is a message: fewer of them are in flight.
const SINGLE: ChunkLimits = ChunkLimits { events: 256, ..CHUNK };
/// Bytes of a packet that are not payload: header, properties (a media type), and the topic on top.
const AROUND: usize = 64;
/// Longest client id. Brokers need not take more than 23 characters (MQTT 5 section 3.1.3.1), but all common ones do.
const CLIENT_ID: usize = 128;

/// An `[[output]]` of type `mqtt`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name of this output: lower_snake_case.
    #[schemars(with = "String")]
    pub id: OutputId,
    /// Whether it runs; while it does not, events wait for it in the queue.
    #[serde(default = "crate::output::enabled")]
    pub enabled: bool,
    /// The broker: a host and a port.
    pub endpoint: Endpoint,
    /// Where messages go: {box} stands for the box's name, {source} for the source's id.
    #[serde(default)]
    pub topic: Topic,
    /// What a message holds.
    #[serde(default)]
    pub payload: Payload,
    /// Most bytes of a message with several events.
    #[serde(default = "batch_size")]
    pub batch_size: Size,
    /// Most events in a message.
    #[serde(default = "batch_events")]
    pub batch_events: u32,
    /// Messages sent before the first must be acknowledged.
    #[serde(default = "in_flight")]
    pub in_flight: u16,
    /// Whether a message that nobody has subscribed to counts as not delivered.
    #[serde(default = "yes")]
    pub require_subscriber: bool,
    /// The name of this client at the broker; default the box's name and the output's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// User at the broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// File with the password at the broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Whether the connection is inside TLS.
    #[serde(default)]
    pub transport: Transport,
    /// The broker hears from us at least this often.
    #[serde(default = "keep_alive")]
    pub keep_alive: Span,
    /// Time to look up the name, to connect to each of its addresses, and for the proxy and the broker to answer.
    #[serde(default = "reach::connect_timeout")]
    pub connect_timeout: Span,
    /// A broker that acknowledges nothing for this long is left.
    #[serde(default = "ack_timeout")]
    pub ack_timeout: Span,
    /// Shortest wait between tries to connect.
    #[serde(default = "reach::backoff_min")]
    pub backoff_min: Span,
    /// Longest wait between tries to connect.
    #[serde(default = "reach::backoff_max")]
    pub backoff_max: Span,
    /// HTTP proxy (CONNECT) on the way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Endpoint>,
    /// User at the proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_user: Option<String>,
    /// File with the password at the proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_password_file: Option<PathBuf>,
    /// Whether the queue may let events go that only this output lacks, when space runs out.
    #[serde(default)]
    pub may_skip: bool,
    /// Whom we trust, and our own certificate.
    #[serde(default)]
    pub tls: ClientConfig,
}

/// What a message holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// Events of one topic as NDJSON, each with a line feed behind it.
    #[default]
    Batch,
    /// One event as JSON.
    Single,
}

impl Payload {
    fn media_type(self) -> &'static str {
        match self {
            Self::Batch => "application/x-ndjson",
            Self::Single => "application/json",
        }
    }
}

/// Below the 256 KiB that managed brokers commonly allow, AWS IoT's 128 KiB included with what is around it.
fn batch_size() -> Size {
    Size::kib(120)
}

/// With 120 KiB the bytes decide, unless events are tiny.
fn batch_events() -> u32 {
    1_000
}

/// Fills 100 ms of way with messages of one event at 1,000 a second. Mosquitto allows 20 unless told otherwise.
fn in_flight() -> u16 {
    100
}

fn yes() -> bool {
    true
}

/// Half of the 2 minutes after which common firewalls and NAT boxes may forget an idle flow.
fn keep_alive() -> Span {
    Span::secs(60)
}

/// As long as the network layer takes to find out that a broker is gone.
fn ack_timeout() -> Span {
    Span::secs(60)
}

impl Config {
    /// See [`super::Config::validate`].
    pub(super) fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut need = |is_right: bool, key: &str, words: &str| {
            if !is_right {
                problems.push((key.to_owned(), words.to_owned()));
            }
        };
        need(
            (Size::kib(1)..=Size::kib(512)).contains(&self.batch_size),
            "batch_size",
            "write \"1KiB\" to \"512KiB\", and no more than the broker takes",
        );
        need((1..=4_096).contains(&self.batch_events), "batch_events", "write 1 to 4096");
        need((1..=1_000).contains(&self.in_flight), "in_flight", "write 1 to 1000");
        let is_client = |id: &String| (1..=CLIENT_ID).contains(&id.len()) && !id.chars().any(char::is_control);
        need(self.client_id.as_ref().is_none_or(is_client), "client_id", "write 1 to 128 plain characters");
        let is_user = |user: &String| (1..=1_024).contains(&user.len()) && !user.chars().any(char::is_control);
        need(self.user.as_ref().is_none_or(is_user), "user", "write the user's name, up to 1024 plain characters");
        need(self.user.is_some() || self.password_file.is_none(), "password_file", "set user too, or take this out");
        let keeps = Span::secs(10)..=Span::secs(64_800);
        need(keeps.contains(&self.keep_alive), "keep_alive", "write a duration from \"10s\" to \"18h\"");
        problems.extend(check_span("ack_timeout", self.ack_timeout));
        problems.extend(self.reach().validate());
        problems
    }

    /// See [`super::Config::open_files`].
    pub(super) fn open_files(&self) -> Vec<(String, String)> {
        let mut problems = self.reach().open_files();
        if let Some(Err(error)) = self.password_file.as_ref().map(std::fs::File::open) {
            problems.push(("password_file".to_owned(), format!("cannot be read ({error}); check path and rights")));
        }
        problems
    }

    /// See [`super::test`].
    pub(super) async fn test(&self) -> Vec<Finding> {
        self.reach().test(std::slice::from_ref(&self.endpoint)).await
    }

    fn reach(&self) -> Reach<'_> {
        Reach {
            transport: self.transport,
            tls: &self.tls,
            proxy: self.proxy.as_ref(),
            proxy_user: self.proxy_user.as_ref(),
            proxy_password_file: self.proxy_password_file.as_ref(),
            connect_timeout: self.connect_timeout,
            backoff_min: self.backoff_min,
            backoff_max: self.backoff_max,
        }
    }

    /// The name at the broker: two outputs must not share one, so the output's is in it.
    fn client(&self, name: &str) -> String {
        let spell = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
        match &self.client_id {
            Some(id) => id.clone(),
            None => format!("{name}-{}", self.id).chars().map(spell).take(CLIENT_ID).collect(),
        }
    }
}

/// See [`super::run`].
pub(super) async fn run(config: &Config, context: Context) -> Result<(), OutputError> {
    let reach = config.reach();
    let tls = reach.connector()?;
    let broker = Broker {
        dialer: reach.dialer(&config.endpoint, tls.as_ref()),
        client_id: config.client(&context.name),
        user: config.user.clone(),
        password_file: config.password_file.clone(),
        keep_alive: config.keep_alive.0,
        in_flight: config.in_flight,
        will: None,
        session: None,
    };
    let bytes = MostBytes::new(config.batch_size.len());
    let limits = Limits { events: config.batch_events, bytes: bytes.clone() };
    let (json, name) = (Json::new(&context), context.name.clone());
    let format = Box::new(Messages::new(json, config.topic.clone(), name, config.payload, limits));
    let chunk = if config.payload == Payload::Single { SINGLE } else { CHUNK };
    let feed = Feed::new(context.reader, context.status.clone(), format, chunk);
    let Some(report) = Report::lines(&context.status, 1).next() else { return Ok(()) };
    let far = Far { config: config.clone(), broker, bytes, is_careful: false };
    deliver::run(far, feed, reach.backoff(), report, context.stop).await
}

struct Far {
    config: Config,
    broker: Broker,
    /// Bytes that a message with several events may have.
    bytes: MostBytes,
    /// The last message was refused: see `session`.
    is_careful: bool,
}

impl FarEnd for Far {
    type Link = Connection;

    async fn open(&mut self, _report: &Report) -> Result<Connection, Trouble> {
        let connection = self.broker.connect().await.map_err(|error| trouble(&error))?;
        let room = connection.max_packet().saturating_sub(AROUND + topic::LONGEST);
        self.bytes.set(self.config.batch_size.len().min(room));
        Ok(connection)
    }

    async fn deliver(&mut self, link: Connection, feed: &mut Feed, report: &Report, stop: &CancellationToken) -> Ended {
        Session::new(&self.config, link, feed, report, &mut self.is_careful).run(stop).await
    }
}

fn trouble(error: &MqttError) -> Trouble {
    let cause = match error {
        error if error.is_tls() => Cause::Tls,
        error if error.is_login() => Cause::Login,
        error if error.is_protocol() => Cause::Protocol,
        _ => Cause::Unreachable,
    };
    Trouble::new(error.what(), error.todo()).because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(more: &str) -> Config {
        toml::from_str(&format!("id = \"fleet_bus\"\nendpoint = \"broker.example.net:8883\"\n{more}")).unwrap()
    }

    #[test]
    fn a_client_is_called_as_its_box_and_output() {
        assert_eq!(config("").client("edge-1"), "edge-1-fleet_bus");
        assert_eq!(config("").client("Büro 7/Ost"), "B-ro-7-Ost-fleet_bus");
        assert_eq!(config("").client(&"x".repeat(500)).len(), CLIENT_ID);
        assert_eq!(config("client_id = \"mine\"").client("edge-1"), "mine");
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let check = |more: &str, key: &str| {
            let problems = config(more).validate();
            assert!(problems.iter().any(|(found, _)| found == key), "{more}: {problems:?}");
        };
        assert_eq!(config("").validate(), []);
        check("batch_size = \"2MiB\"", "batch_size");
        check("batch_events = 0", "batch_events");
        check("in_flight = 0", "in_flight");
        check("client_id = \"\"", "client_id");
        check("user = \"a\\nb\"", "user");
        check("password_file = \"/x\"", "password_file");
        check("keep_alive = \"1s\"", "keep_alive");
        check("ack_timeout = \"1ms\"", "ack_timeout");
        check("transport = \"tcp\"\ntls.min_version = \"1.3\"", "tls");
        let problems = config("user = \"a\"\npassword_file = \"/nowhere\"").open_files();
        assert!(problems.iter().any(|(key, words)| key == "password_file" && words.contains("cannot be read")));
    }
}
