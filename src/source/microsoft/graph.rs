//! Microsoft Graph: sign-ins, directory audits, alerts, incidents, service health and messages.
//!
//! Facts: graph-docs v1.0, "List signIns", "List directoryAudits", "List alerts_v2", "List incidents", "List
//! serviceAnnouncement messages" and "issues", "Microsoft Graph service-specific throttling limits".
//!
//! Not supported: non-interactive and service principal sign-ins, which v1.0 does not list: let them come by Event Hubs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::account::{self, Account};
use super::odata::{Collection, Odata};
use super::{Cloud, TokenVersion};
use crate::event::SourceId;
use crate::net::Endpoint;
use crate::net::tls::ClientConfig;
use crate::quantity::{Size, Span};
use crate::source::pull::{Budget, Feeds, Pace, Plan, within};
use crate::source::{Context, Finding, SourceError};

/// A stream of Graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GraphFeed {
    /// Interactive and federated sign-ins.
    SignIns,
    /// Changes to the directory.
    DirectoryAudits,
    /// Alerts of all Defender products.
    Alerts,
    /// Incidents.
    Incidents,
    /// Health of the tenant's services.
    ServiceHealth,
    /// Messages about changes to come.
    ServiceMessages,
}

/// Microsoft Graph.
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
    pub feeds: Vec<GraphFeed>,
    /// How often each feed is asked.
    #[serde(default = "poll_interval")]
    pub poll_interval: Span,
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

fn feeds() -> Vec<GraphFeed> {
    use GraphFeed::{Alerts, DirectoryAudits, Incidents, ServiceHealth, ServiceMessages, SignIns};
    vec![SignIns, DirectoryAudits, Alerts, Incidents, ServiceHealth, ServiceMessages]
}

/// Sign-ins are listed 5 to 15 minutes after they happen; asking more often finds nothing sooner.
fn poll_interval() -> Span {
    Span::secs(300)
}

/// What every tenant has: those without a premium licence keep sign-ins for 7 days.
fn backfill() -> Span {
    Span::secs(7 * 86_400)
}

/// Four times the usual delay of the latest records; once a day the last 24 hours are asked for again.
fn overlap() -> Span {
    Span::secs(3_600)
}

impl Config {
    pub(in crate::source) fn account(&self) -> Account<'_> {
        account::account!(self, self.cloud.graph(), self.cloud.graph())
    }

    pub(in crate::source) fn validate(&self) -> Vec<(String, String)> {
        let mut problems = self.account().validate();
        let mut need = |is_right: bool, key: &str, words: &str| {
            if !is_right {
                problems.push((key.to_owned(), words.to_owned()));
            }
        };
        need(!self.feeds.is_empty(), "feeds", "write at least one, such as [\"sign_ins\"]");
        need(within(self.poll_interval, 1, 86_400), "poll_interval", "write a duration from \"1s\" to \"1d\"");
        need(within(self.backfill, 1, 30 * 86_400), "backfill", "write a duration from \"1s\" to \"30d\"");
        need(within(self.overlap, 0, 86_400), "overlap", "write a duration up to \"1d\"");
        problems
    }

    pub(in crate::source) fn open_files(&self) -> Vec<(String, String)> {
        self.account().open_files()
    }

    fn plan(&self) -> Plan {
        Plan {
            backfill: self.backfill.0,
            // Entra keeps sign-ins 30 days where the tenant pays for it; what is older is not asked for.
            retention: Duration::from_secs(30 * 86_400),
            // Few requests where there is little; where there is much, the API answers with 504, and windows become smaller.
            span: Duration::from_secs(86_400),
            overlap: self.overlap.0,
            sweep: Duration::from_secs(86_400),
            longest: Duration::from_secs(3 * 86_400),
            settle: Duration::from_secs(60),
        }
    }

    /// A feed for each tenant and stream.
    fn odata(&self, account: &Account<'_>, clock: crate::clock::Clock) -> Result<Vec<Odata>, SourceError> {
        let way = account.way(clock);
        let bodies = account.bodies();
        let mut all = Vec::new();
        for api in account.apis(&way, &bodies)? {
            let [reports, security, services] = budgets();
            for feed in self.feeds.iter().copied().collect::<std::collections::BTreeSet<_>>() {
                let budget = match feed {
                    GraphFeed::SignIns | GraphFeed::DirectoryAudits => &reports,
                    GraphFeed::Alerts | GraphFeed::Incidents => &security,
                    GraphFeed::ServiceHealth | GraphFeed::ServiceMessages => &services,
                };
                all.push(Odata::new(Arc::clone(&api), Arc::clone(budget), collection(feed), self.plan(), "graph"));
            }
        }
        Ok(all)
    }
}

/// Per app and tenant: 5 requests in 10 s for reports, 150 a minute for security, 800 an hour for service communications.
fn budgets() -> [Arc<Budget>; 3] {
    [(30, 5), (150, 20), (13, 60)].map(|(rate, burst)| Arc::new(Budget::per_minute(rate, burst)))
}

fn collection(feed: GraphFeed) -> Collection {
    let base = Collection {
        name: "",
        path: "",
        time: "",
        query: &[],
        top: None,
        skips: false,
        empty_is_404: false,
        needs: &[],
    };
    match feed {
        GraphFeed::SignIns => Collection {
            name: "sign_ins",
            path: "v1.0/auditLogs/signIns",
            time: "createdDateTime",
            top: Some(1_000),
            needs: &["AuditLog.Read.All"],
            ..base
        },
        GraphFeed::DirectoryAudits => Collection {
            name: "directory_audits",
            path: "v1.0/auditLogs/directoryAudits",
            time: "activityDateTime",
            needs: &["AuditLog.Read.All"],
            ..base
        },
        GraphFeed::Alerts => Collection {
            name: "alerts",
            path: "v1.0/security/alerts_v2",
            time: "lastUpdateDateTime",
            needs: &["SecurityAlert.Read.All"],
            ..base
        },
        GraphFeed::Incidents => Collection {
            name: "incidents",
            path: "v1.0/security/incidents",
            time: "lastUpdateDateTime",
            needs: &["SecurityIncident.Read.All"],
            ..base
        },
        GraphFeed::ServiceHealth => Collection {
            name: "service_health",
            path: "v1.0/admin/serviceAnnouncement/issues",
            time: "lastModifiedDateTime",
            needs: &["ServiceHealth.Read.All"],
            ..base
        },
        GraphFeed::ServiceMessages => Collection {
            name: "service_messages",
            path: "v1.0/admin/serviceAnnouncement/messages",
            time: "lastModifiedDateTime",
            needs: &["ServiceMessage.Read.All"],
            ..base
        },
    }
}

/// See [`crate::source::run`].
pub(in crate::source) async fn run(config: Config, context: Context) -> Result<(), SourceError> {
    let account = config.account();
    let feeds = config.odata(&account, context.clock.clone())?;
    let way = feeds.first().map(|feed| Arc::clone(&feed.api.way));
    let Some(way) = way else { return Ok(()) };
    let bench = account::bench(&config.id, &context, way, feeds.iter().map(crate::source::pull::Feed::name));
    let pace = Pace { poll: config.poll_interval.0, backoff: (config.backoff_min.0, config.backoff_max.0) };
    let mut tasks = Feeds::new(&bench);
    for feed in feeds {
        tasks.start(feed, pace, bench.clone());
    }
    tasks.join().await
}

/// See [`crate::source::test`].
pub(in crate::source) async fn test(config: &Config, clock: crate::clock::Clock) -> Vec<Finding> {
    let account = config.account();
    let feeds = match config.odata(&account, clock) {
        Ok(feeds) => feeds,
        Err(error) => return vec![Finding::wrong(config.id.as_str(), error.to_string(), error.todo())],
    };
    let mut findings = Vec::new();
    for feed in feeds {
        let name = crate::source::pull::Feed::name(&feed).to_owned();
        findings.push(Finding::of(&name, feed.probe().await));
    }
    findings
}
