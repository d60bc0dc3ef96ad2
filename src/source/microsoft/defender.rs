//! Defender for Endpoint (formerly ATP): alerts, machines, and advanced-hunting queries on a schedule.
//!
//! Facts: defender-docs, "List alerts", "List machines", "Advanced hunting", gov.md, improve-request-performance. 100 requests a
//! minute and 1,500 an hour for each tenant, 45 queries a minute; pages of 10,000; 404 where there is no machine. The SIEM API
//! that older guides name is switched off.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::account::{self, Account};
use super::hunting::Hunting;
use super::odata::{Collection, Odata};
use super::{Cloud, TokenVersion};
use crate::clock::Clock;
use crate::event::SourceId;
use crate::net::Endpoint;
use crate::net::tls::ClientConfig;
use crate::quantity::{Size, Span};
use crate::source::pull::{Budget, Feed, Feeds, Pace, Plan, within};
use crate::source::{Context, Finding, SourceError};

/// Where a query's window goes.
pub(super) const WINDOW: &str = "{window}";

/// A stream of Defender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DefenderFeed {
    /// Alerts, again whenever they change.
    Alerts,
    /// Machines, again whenever they were seen.
    Machines,
}

/// Defender for Endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Its name, unique among the sources: lower_snake_case.
    #[schemars(with = "String")]
    pub id: SourceId,
    /// Whether it runs; while it does not, its ledger and its place stay.
    #[serde(default = "crate::source::enabled")]
    pub enabled: bool,
    /// Tenants, by id or verified domain.
    pub tenants: Vec<String>,
    /// The app's id.
    pub client_id: String,
    /// File with the value of the app's secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<PathBuf>,
    /// PEM file with the app's certificate, in place of a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// PEM file with its RSA key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// The tenants' cloud.
    #[serde(default)]
    pub cloud: Cloud,
    /// Where tokens come from; default by cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// The API's address; default by cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// Which token endpoint is asked.
    #[serde(default)]
    pub token_version: TokenVersion,
    /// What is pulled.
    #[serde(default = "feeds")]
    pub feeds: Vec<DefenderFeed>,
    /// Advanced-hunting queries that are pulled as well, by the name of their feed; `{window}` in one becomes the condition
    /// on `Timestamp`.
    #[serde(default)]
    pub queries: BTreeMap<String, String>,
    /// How often each feed is asked.
    #[serde(default = "poll_interval")]
    pub poll_interval: Span,
    /// How often machines are asked for.
    #[serde(default = "machines_interval")]
    pub machines_interval: Span,
    /// How often queries run.
    #[serde(default = "query_interval")]
    pub query_interval: Span,
    /// How far back a first start goes.
    #[serde(default = "backfill")]
    pub backfill: Span,
    /// How far back each question goes for what comes late.
    #[serde(default = "overlap")]
    pub overlap: Span,
    /// The largest answer.
    #[serde(default = "account::max_page")]
    pub max_page: Size,
    /// Time for name, connection and TLS handshake.
    #[serde(default = "account::connect_timeout")]
    pub connect_timeout: Span,
    /// Shortest wait after an error.
    #[serde(default = "account::backoff_min")]
    pub backoff_min: Span,
    /// Longest wait after an error.
    #[serde(default = "account::backoff_max")]
    pub backoff_max: Span,
    /// The HTTP proxy that the site demands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Endpoint>,
    /// The user it knows us as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_user: Option<String>,
    /// File with the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_password_file: Option<PathBuf>,
    /// Whom we trust.
    #[serde(default)]
    pub tls: ClientConfig,
}

fn feeds() -> Vec<DefenderFeed> {
    vec![DefenderFeed::Alerts, DefenderFeed::Machines]
}

/// Five requests an hour and feed of 1,500.
fn poll_interval() -> Span {
    Span::secs(300)
}

/// An inventory, not a log.
fn machines_interval() -> Span {
    Span::secs(3_600)
}

/// Queries share a budget of CPU time with the tenant's analysts.
fn query_interval() -> Span {
    Span::secs(900)
}

/// A week, as the other sources; hunting reaches back 30 days.
fn backfill() -> Span {
    Span::secs(7 * 86_400)
}

/// Hunting tables are often an hour late.
fn overlap() -> Span {
    Span::secs(3_600)
}

impl Config {
    pub(in crate::source) fn account(&self) -> Account<'_> {
        account::account!(self, self.cloud.defender(), self.cloud.defender_resource())
    }

    pub(in crate::source) fn validate(&self) -> Vec<(String, String)> {
        let mut problems = self.account().validate();
        let mut need = |is_right: bool, key: &str, words: &str| {
            if !is_right {
                problems.push((key.to_owned(), words.to_owned()));
            }
        };
        let is_something = !self.feeds.is_empty() || !self.queries.is_empty();
        need(is_something, "feeds", "write at least one, such as [\"alerts\"], or a query");
        let is_there = self.cloud != Cloud::China || self.api.is_some();
        need(is_there, "cloud", "Defender for Endpoint has no API in China; write another cloud, or set api");
        for (name, query) in &self.queries {
            let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            let key = format!("queries.{name}");
            let is_name = !name.is_empty() && name.len() <= 64 && name.chars().all(good);
            need(is_name, &key, "name it with small letters, digits and _, such as process_events");
            need(!matches!(name.as_str(), "alerts" | "machines"), &key, "choose another name: this is a feed's");
            let words = "write | where {window} right after the table's name: it becomes the condition on Timestamp";
            need(query.contains(WINDOW), &key, words);
        }
        need(self.queries.len() <= 32, "queries", "write at most 32 queries");
        need(within(self.poll_interval, 1, 86_400), "poll_interval", "write a duration from \"1s\" to \"1d\"");
        need(within(self.machines_interval, 1, 86_400), "machines_interval", "write a duration from \"1s\" to \"1d\"");
        need(within(self.query_interval, 1, 86_400), "query_interval", "write a duration from \"1s\" to \"1d\"");
        need(within(self.backfill, 1, 30 * 86_400), "backfill", "write a duration from \"1s\" to \"30d\"");
        need(within(self.overlap, 0, 86_400), "overlap", "write a duration up to \"1d\"");
        problems
    }

    pub(in crate::source) fn open_files(&self) -> Vec<(String, String)> {
        self.account().open_files()
    }

    fn plan(&self) -> Plan {
        let day = Duration::from_secs(86_400);
        Plan {
            backfill: self.backfill.0,
            retention: 30 * day,
            span: day,
            overlap: self.overlap.0,
            sweep: Duration::ZERO,
            longest: 3 * day,
            settle: Duration::from_secs(60),
        }
    }

    fn build(&self, clock: Clock) -> Result<(Vec<Odata>, Vec<Hunting>), SourceError> {
        let account = self.account();
        let (way, bodies) = (account.way(clock), account.bodies());
        let (mut lists, mut queries) = (Vec::new(), Vec::new());
        for api in account.apis(&way, &bodies)? {
            // 1,500 requests an hour, of which 100 may come in a minute.
            let budget = Arc::new(Budget::per_minute(25, 100));
            for feed in &self.feeds {
                let (api, budget) = (Arc::clone(&api), Arc::clone(&budget));
                lists.push(Odata::new(api, budget, collection(*feed), self.plan(), "defender"));
            }
            // 45 queries in a minute and 1,500 in an hour.
            let budget = Arc::new(Budget::per_minute(25, 45));
            for (name, query) in &self.queries {
                queries.push(Hunting::new(Arc::clone(&api), Arc::clone(&budget), (name, query), self.plan()));
            }
        }
        Ok((lists, queries))
    }
}

fn collection(feed: DefenderFeed) -> Collection {
    let base = Collection {
        name: "alerts",
        path: "api/alerts",
        time: "lastUpdateTime",
        query: &[("$expand", "evidence")],
        top: Some(1_000),
        skips: true,
        empty_is_404: false,
        needs: &["Alert.Read.All"],
    };
    match feed {
        DefenderFeed::Alerts => base,
        DefenderFeed::Machines => Collection {
            name: "machines",
            path: "api/machines",
            time: "lastSeen",
            query: &[],
            empty_is_404: true,
            needs: &["Machine.Read.All"],
            ..base
        },
    }
}

/// See [`crate::source::run`].
pub(in crate::source) async fn run(config: Config, context: Context) -> Result<(), SourceError> {
    let (lists, queries) = config.build(context.clock.clone())?;
    let way = lists.first().map(|feed| &feed.api).or_else(|| queries.first().map(|feed| &feed.api));
    let Some(way) = way.map(|api| Arc::clone(&api.way)) else { return Ok(()) };
    let names = lists.iter().map(Feed::name).chain(queries.iter().map(Feed::name));
    let bench = account::bench(&config.id, &context, way, names);
    let backoff = (config.backoff_min.0, config.backoff_max.0);
    let mut tasks = Feeds::new(&bench);
    for feed in lists {
        let poll = if feed.collection.name == "machines" { config.machines_interval } else { config.poll_interval };
        tasks.start(feed, Pace { poll: poll.0, backoff }, bench.clone());
    }
    for feed in queries {
        tasks.start(feed, Pace { poll: config.query_interval.0, backoff }, bench.clone());
    }
    tasks.join().await
}

/// See [`crate::source::test`].
pub(in crate::source) async fn test(config: &Config, clock: Clock) -> Vec<Finding> {
    let (lists, queries) = match config.build(clock) {
        Ok(built) => built,
        Err(error) => return vec![Finding::wrong(config.id.as_str(), error.to_string(), error.todo())],
    };
    let mut findings = Vec::new();
    for feed in lists {
        let name = feed.name().to_owned();
        findings.push(Finding::of(&name, feed.probe().await));
    }
    for feed in queries {
        let name = feed.name().to_owned();
        findings.push(Finding::of(&name, feed.probe().await));
    }
    findings
}
