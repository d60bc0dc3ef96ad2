//! Lumberjack v2 (the Beats protocol) to one gateway, or to several: the output with acknowledgements.
//!
//! - `mode = "failover"`: one connection, to the first gateway of the list that works. A gateway that takes connections but
//!   acknowledges nothing counts as one that does not work. While events go to a later one, the first is dialled again
//!   every `failback`; once it answers, the connection moves back without a repeat: nothing new is sent, outstanding acks
//!   are waited for, then it is closed. After a break everything begins with the first again.
//! - `mode = "balance"`: a connection to each gateway; all take from the same queue, each event goes to one of them. A slow
//!   gateway takes less by itself.
//!
//! Not supported: windows and events larger than what a gateway takes (go-lumber 10,000 events; our own source 16 MiB for
//! an event, see its `max_frame`); setting an event aside that a gateway never takes: the protocol has no refusal, only
//! silence, so that cannot be told from a gateway that is ill. Windows shrink to a single event then, so all before it get
//! through, and the health tells.

mod gateways;
mod session;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use self::gateways::Gateways;
use super::deliver::{self, Report};
use super::feed::{Feed, Format};
use super::json::Json;
use super::reach::{self, Reach, Transport, check_span};
use super::{Context, OutputError};
use crate::event::{Batch, BatchNumber, OutputId, Record};
use crate::form::Finding;
use crate::net::tls::ClientConfig;
use crate::net::{Dialer, Endpoint};
use crate::quantity::{Size, Span};
use crate::wire::lumberjack::Encoder;

/// An `[[output]]` of type `lumberjack`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name of this output: lower_snake_case.
    #[schemars(with = "String")]
    pub id: OutputId,
    /// Whether it runs; while it does not, events wait for it in the queue.
    #[serde(default = "crate::output::enabled")]
    pub enabled: bool,
    /// The gateways, each a host and a port.
    pub endpoint: Vec<Endpoint>,
    /// What several gateways are for.
    #[serde(default)]
    pub mode: Mode,
    /// Whether the connection is inside TLS.
    #[serde(default)]
    pub transport: Transport,
    /// zlib level: 0 (none) to 9.
    #[serde(default = "compression")]
    pub compression: u32,
    /// Most events in a window.
    #[serde(default = "window")]
    pub window: u32,
    /// Most bytes in a window before compression; the event that passes it still belongs to it.
    #[serde(default = "window_size")]
    pub window_size: Size,
    /// Windows sent before the first must be acknowledged.
    #[serde(default = "windows_in_flight")]
    pub windows_in_flight: usize,
    /// Time to look up the name, to connect to each of its addresses, and for the proxy to answer.
    #[serde(default = "reach::connect_timeout")]
    pub connect_timeout: Span,
    /// A gateway that owes acknowledgements and is silent for this long is left.
    #[serde(default = "ack_timeout")]
    pub ack_timeout: Span,
    /// A gateway that gives signs of life but acknowledges nothing for this long is left.
    #[serde(default = "stall_timeout")]
    pub stall_timeout: Span,
    /// While events go to a later gateway of the list, the first is tried again this often.
    #[serde(default = "failback")]
    pub failback: Span,
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

/// What several gateways are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The first that works gets everything.
    #[default]
    Failover,
    /// Each gets a part.
    Balance,
}

/// As Filebeat; each level more costs about a fifth more time for a few percent.
fn compression() -> u32 {
    3
}

/// As Filebeat; gateways are tuned for it.
fn window() -> u32 {
    2_048
}

/// 2,048 events of 1 KiB each; keeps larger events from making a window that a slow line cannot finish.
fn window_size() -> Size {
    Size::mib(2)
}

/// As Filebeat: one on its way while the other is being acknowledged.
fn windows_in_flight() -> usize {
    2
}

/// Gateways give a sign of life every 3 s (go-lumber) or 5 s (Logstash) while they work.
fn ack_timeout() -> Span {
    Span::secs(60)
}

/// Beats calls no progress for 5 minutes a deadlock of the gateway.
fn stall_timeout() -> Span {
    Span::secs(300)
}

/// Seldom enough that a gateway that is away costs nothing, often enough that nobody has to move the box back by hand.
fn failback() -> Span {
    Span::secs(300)
}

impl Config {
    /// See [`super::Config::validate`].
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut need = |is_right: bool, key: &str, words: &str| {
            if !is_right {
                problems.push((key.to_owned(), words.to_owned()));
            }
        };
        need(!self.endpoint.is_empty(), "endpoint", "no gateway is named; write endpoint = [\"gw1.example.net:5044\"]");
        need(self.endpoint.len() <= 16, "endpoint", "more than 16 gateways; leave the others out");
        need(self.compression <= 9, "compression", "a zlib level is 0 (none) to 9 (smallest)");
        need((1..=10_000).contains(&self.window), "window", "write 1 to 10000 events; gateways refuse more");
        need(
            (Size::kib(1)..=Size::mib(32)).contains(&self.window_size),
            "window_size",
            "write \"1KiB\" to \"32MiB\"; gateways refuse windows that inflate to much more",
        );
        need((1..=64).contains(&self.windows_in_flight), "windows_in_flight", "write 1 to 64");
        let spans =
            [("ack_timeout", self.ack_timeout), ("stall_timeout", self.stall_timeout), ("failback", self.failback)];
        problems.extend(spans.into_iter().filter_map(|(key, span)| check_span(key, span)));
        problems.extend(self.reach().validate());
        problems
    }

    /// See [`super::Config::open_files`].
    #[must_use]
    pub fn open_files(&self) -> Vec<(String, String)> {
        self.reach().open_files()
    }

    /// See [`super::test`].
    pub(super) async fn test(&self) -> Vec<Finding> {
        self.reach().test(&self.endpoint).await
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
}

/// See [`super::run`].
pub(super) async fn run(config: &Config, context: Context) -> Result<(), OutputError> {
    let reach = config.reach();
    let tls = reach.connector()?;
    let dialers: Vec<Dialer> = config.endpoint.iter().map(|endpoint| reach.dialer(endpoint, tls.as_ref())).collect();
    let groups = match config.mode {
        Mode::Failover => vec![dialers],
        Mode::Balance => dialers.into_iter().map(|dialer| vec![dialer]).collect(),
    };
    let mut tasks = JoinSet::new();
    for (report, dialers) in Report::lines(&context.status, groups.len()).zip(groups) {
        let gateways = Gateways::new(config, dialers);
        let format = Box::new(Windows { json: Json::new(&context), encoder: Encoder::new(config.compression) });
        let feed = Feed::new(context.reader.clone(), context.status.clone(), format, gateways.limits());
        tasks.spawn(deliver::run(gateways, feed, reach.backoff(), report, context.stop.clone()));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|_| OutputError::Panicked)??;
    }
    Ok(())
}

/// Events as windows of JSON frames.
struct Windows {
    json: Json,
    encoder: Encoder,
}

impl Format for Windows {
    fn begin(&mut self, number: BatchNumber, batch: &Batch) {
        self.json.begin(number, batch);
    }

    fn record(&mut self, index: u32, record: &Record<'_>) -> bool {
        self.encoder.event(|to| self.json.write(index, record, to))
    }

    fn bytes(&self) -> usize {
        self.encoder.bytes()
    }

    fn finish(&mut self, to: &mut Vec<u8>) {
        self.encoder.finish(to);
    }
}
