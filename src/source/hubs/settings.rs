//! The `[[source]]` table of type `event_hubs`: what the customer's administrator collects in the portal.

use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sas::ConnectionString;
use super::words;
use crate::event::SourceId;
use crate::net::tls::ClientConfig;
use crate::net::{Backoff, Endpoint, Proxy};
use crate::quantity::{Size, Span};
use crate::source::microsoft::base;
use crate::source::pull::{Route, check_route, route_files};

/// Where the namespace's name ends, where only its first part is written (Microsoft, public cloud).
const SUFFIX: &str = ".servicebus.windows.net";

/// A `[[source]]` of type `event_hubs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name of this source: lower_snake_case.
    #[schemars(with = "String")]
    pub id: SourceId,
    /// Whether it runs; while it does not, its ledger and its place stay.
    #[serde(default = "crate::source::enabled")]
    pub enabled: bool,
    /// The namespace: its host name, or the first part of it. May stand in the connection string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The event hubs of the namespace that are read. One may stand in the connection string.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub event_hub: Vec<String>,
    /// The consumer groups; each reads every event.
    #[serde(default = "consumer_group")]
    pub consumer_group: Vec<String>,
    /// The shared access policy; it needs the claim Listen and no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// File with the policy's primary (or secondary) key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_key_file: Option<PathBuf>,
    /// File with the policy's connection string, in place of namespace, policy and key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_string_file: Option<PathBuf>,
    /// The tenant of an application in Entra, which logs in in place of a policy: its id, or a domain of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// The application's (client) id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// File with the value of a client secret of the application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<PathBuf>,
    /// Where Entra's tokens are asked for.
    #[serde(default = "login")]
    pub login: String,
    /// Where a partition that was never read is begun.
    #[serde(default)]
    pub start: Start,
    /// Whether this box keeps other readers of the consumer group out.
    #[serde(default = "exclusive")]
    pub exclusive: bool,
    /// The owner level (epoch): a reader with a higher one, or the same, takes over.
    #[serde(default)]
    pub owner_level: u32,
    /// Whether an event gets an id of its own for each consumer group that reads it.
    #[serde(default)]
    pub event_per_group: bool,
    /// What the connection runs on.
    #[serde(default)]
    pub transport: Transport,
    /// What to dial in place of the namespace: a private endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// Bytes that may be on their way from the hub for all partitions together.
    #[serde(default = "prefetch")]
    pub prefetch: Size,
    /// A batch goes to the queue when it is this old, full or not.
    #[serde(default = "batch_after")]
    pub batch_after: Span,
    /// How often partitions are counted and compared with what was read.
    #[serde(default = "probe_every")]
    pub probe_every: Span,
    /// Time to look up the name, to connect to each of its addresses, and for the proxy to answer.
    #[serde(default = "connect_timeout")]
    pub connect_timeout: Span,
    /// Shortest wait between tries.
    #[serde(default = "backoff_min")]
    pub backoff_min: Span,
    /// Longest wait between tries.
    #[serde(default = "backoff_max")]
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
    /// Whom we trust, where it is not the machine's own CAs.
    #[serde(default)]
    pub tls: ClientConfig,
}

/// An application in Entra.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entra<'a> {
    pub(super) tenant: &'a str,
    pub(super) client: &'a str,
    pub(super) secret_file: &'a Path,
    pub(super) login: &'a str,
}

/// The public cloud.
fn login() -> String {
    "https://login.microsoftonline.com".to_owned()
}

/// Where a partition that was never read is begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// With the oldest event that the hub still has.
    #[default]
    Earliest,
    /// With what comes from now on.
    Latest,
}

/// What the connection runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// AMQP over TLS, port 5671.
    #[default]
    Amqp,
    /// AMQP inside a WebSocket inside TLS, port 443.
    Websocket,
}

impl Transport {
    pub(super) fn port(self) -> u16 {
        match self {
            Self::Amqp => 5671,
            Self::Websocket => 443,
        }
    }
}

/// The one that every event hub has, and the only one of the Basic tier.
fn consumer_group() -> Vec<String> {
    vec!["$Default".to_owned()]
}

/// Two boxes that read one group each get everything, and so does the gateway, twice.
fn exclusive() -> bool {
    true
}

/// Sixteen of the largest events (1 MiB, Standard and Premium tier), or thousands of usual ones.
fn prefetch() -> Size {
    Size::mib(16)
}

/// Long enough for records to become batches that compress well; a log in a cloud is minutes old already.
fn batch_after() -> Span {
    Span::millis(500)
}

/// Well within the 30 minutes after which the service drops idle links, and seldom enough to cost nothing.
fn probe_every() -> Span {
    Span::secs(300)
}

/// On a bad line a name and a connection take a second or two.
fn connect_timeout() -> Span {
    Span::secs(10)
}

fn backoff_min() -> Span {
    Span::secs(1)
}

/// The service counts failed logins; a minute is kind to it and short for a person who mends the settings.
fn backoff_max() -> Span {
    Span::secs(60)
}

impl Config {
    /// See [`super::super::Config::validate`].
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut need = |is_right: bool, key: &str, words: &str| {
            if !is_right {
                problems.push((key.to_owned(), words.to_owned()));
            }
        };
        let by_string = self.connection_string_file.is_some();
        need(by_string || self.namespace.is_some(), "namespace", words::NO_NAMESPACE);
        need(self.namespace.as_deref().is_none_or(is_host), "namespace", words::BAD_NAMESPACE);
        need(by_string || !self.event_hub.is_empty(), "event_hub", words::NO_HUB);
        need(self.event_hub.len() <= 64, "event_hub", "more than 64 event hubs; make a second source for the others");
        need(self.event_hub.iter().all(|name| is_name(name)), "event_hub", words::BAD_HUB);
        need(distinct(&self.event_hub), "event_hub", "an event hub is named twice; take one out");
        need((1..=20).contains(&self.consumer_group.len()), "consumer_group", words::GROUPS);
        need(self.consumer_group.iter().all(|name| is_name(name)), "consumer_group", words::BAD_GROUP);
        need(distinct(&self.consumer_group), "consumer_group", "a consumer group is named twice; take one out");
        let ways = [by_string, self.primary_key_file.is_some(), self.client_secret_file.is_some()];
        need(ways.iter().filter(|way| **way).count() == 1, "primary_key_file", words::ONE_KEY);
        need(self.policy.is_some() == self.primary_key_file.is_some(), "policy", words::POLICY);
        need(self.policy.as_deref().is_none_or(is_name), "policy", "this is no policy's name; copy it from the portal");
        let is_id =
            |text: &String| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
        let is_whole = self.tenant_id.is_some() == self.client_secret_file.is_some()
            && self.client_id.is_some() == self.client_secret_file.is_some();
        need(is_whole, "client_secret_file", "tenant_id, client_id and client_secret_file belong together");
        need(self.tenant_id.as_ref().is_none_or(is_id), "tenant_id", "copy the Directory (tenant) ID from the portal");
        need(
            self.client_id.as_ref().is_none_or(is_id),
            "client_id",
            "copy the Application (client) ID from the portal",
        );
        need(base(&self.login).is_some(), "login", "write \"https://login.microsoftonline.com\" or another cloud's");
        need((Size::mib(1)..=Size::mib(256)).contains(&self.prefetch), "prefetch", "write \"1MiB\" to \"256MiB\"");
        let batch = Duration::from_millis(1)..=Duration::from_secs(10);
        need(batch.contains(&self.batch_after.0), "batch_after", "write \"1ms\" to \"10s\"");
        let probe = Duration::from_millis(10)..=Duration::from_secs(86_400);
        need(probe.contains(&self.probe_every.0), "probe_every", "write a duration from \"10ms\" to \"1d\"");
        problems.extend(check_route(&self.route()));
        problems
    }

    /// See [`super::super::Config::open_files`].
    #[must_use]
    pub fn open_files(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        if let Some(path) = &self.connection_string_file {
            let read = words::read_secret(path).and_then(|text| ConnectionString::parse(text.expose()));
            let checked = read.and_then(|string| self.account(Some(&string)).map(drop));
            problems.extend(checked.err().map(|words| ("connection_string_file".to_owned(), words)));
        }
        if let Some(path) = &self.primary_key_file {
            let read = words::read_secret(path).and_then(|key| words::check_key(key.expose()));
            problems.extend(read.err().map(|words| ("primary_key_file".to_owned(), words)));
        }
        if let Some(path) = &self.client_secret_file {
            problems.extend(words::read_secret(path).err().map(|words| ("client_secret_file".to_owned(), words)));
        }
        problems.extend(route_files(&self.route()));
        problems
    }

    /// The way out.
    pub(super) fn route(&self) -> Route<'_> {
        Route {
            connect_timeout: self.connect_timeout,
            backoff: (self.backoff_min, self.backoff_max),
            proxy: self.proxy.as_ref(),
            proxy_user: self.proxy_user.as_deref(),
            proxy_password_file: self.proxy_password_file.as_deref(),
            tls: &self.tls,
        }
    }

    /// The namespace and the event hubs, from the settings and the connection string together.
    ///
    /// # Errors
    /// Where they contradict each other, or one is missing: what to do.
    pub(super) fn account(&self, string: Option<&ConnectionString>) -> Result<(String, Vec<String>), String> {
        let own = self.namespace.as_deref().map(full);
        let namespace = match (own, string.map(|string| full(&string.namespace))) {
            (Some(own), Some(other)) if own != other => {
                return Err(format!(
                    "the connection string is for {other}, but namespace is {own}; take one of them out"
                ));
            }
            (own, other) => own.or(other).ok_or(words::NO_NAMESPACE)?,
        };
        let hub = string.and_then(|string| string.hub.clone());
        let hubs = match (self.event_hub.is_empty(), hub) {
            (true, Some(hub)) => vec![hub],
            (false, Some(hub)) if self.event_hub != [hub.as_str()] => {
                return Err(format!(
                    "the connection string is for the event hub {hub} alone (EntityPath); write a source for each, or use \
                     a policy of the namespace"
                ));
            }
            (false, _) => self.event_hub.clone(),
            (true, None) => return Err("it names no event hub (EntityPath); set event_hub".to_owned()),
        };
        Ok((namespace, hubs))
    }

    /// The application that logs in, if it is one.
    pub(super) fn entra(&self) -> Option<Entra<'_>> {
        let (tenant, client) = (self.tenant_id.as_deref()?, self.client_id.as_deref()?);
        Some(Entra { tenant, client, secret_file: self.client_secret_file.as_deref()?, login: &self.login })
    }

    /// Who logs in, by its name.
    pub(super) fn login_name(&self) -> &str {
        match (&self.policy, &self.client_id) {
            (Some(policy), _) => policy,
            (None, Some(client)) => client,
            (None, None) => "of the connection string",
        }
    }

    pub(super) fn proxy(&self) -> Option<Proxy> {
        self.proxy.as_ref().map(|endpoint| Proxy {
            endpoint: endpoint.clone(),
            user: self.proxy_user.clone(),
            password_file: self.proxy_password_file.clone(),
        })
    }

    pub(super) fn backoff(&self) -> Backoff {
        Backoff::new(self.backoff_min.0, self.backoff_max.0)
    }
}

/// The host name of a namespace of which only the first part may be written.
fn full(namespace: &str) -> String {
    let name = namespace.trim_end_matches('.').to_ascii_lowercase();
    if name.contains('.') { name } else { name + SUFFIX }
}

fn is_host(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 253
        && name
            .trim_end_matches('.')
            .split('.')
            .all(|label| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'))
}

/// Names of hubs, groups and policies: letters, digits and a few signs, up to 256 (Microsoft, "Naming rules").
fn is_name(name: &str) -> bool {
    let is_right = |byte: u8| byte.is_ascii_alphanumeric() || b".-_$~".contains(&byte);
    (1..=256).contains(&name.len()) && name.bytes().all(is_right)
}

/// The service does not tell upper from lower case here.
fn distinct(names: &[String]) -> bool {
    let mut seen = std::collections::BTreeSet::new();
    names.iter().all(|name| seen.insert(name.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        toml::from_str(&format!("id = \"azure\"\n{text}")).unwrap()
    }

    #[test]
    fn what_the_portal_shows_is_enough_and_what_contradicts_itself_is_refused() {
        let key = "policy = \"p\"\nprimary_key_file = \"/k\"\n";
        for (text, wrong) in [
            (format!("namespace = \"contoso\"\nevent_hub = [\"h\"]\n{key}"), &[][..]),
            ("connection_string_file = \"/c\"\n".to_owned(), &[]),
            ("namespace = \"contoso\"\nevent_hub = [\"h\"]\n".to_owned(), &["primary_key_file"]),
            (format!("connection_string_file = \"/c\"\n{key}"), &["primary_key_file"]),
            (key.to_owned(), &["namespace", "event_hub"]),
            (format!("namespace = \"sb://contoso\"\nevent_hub = [\"h\", \"H\"]\n{key}"), &["namespace", "event_hub"]),
            ("connection_string_file = \"/c\"\nconsumer_group = []\n".to_owned(), &["consumer_group"]),
        ] {
            let keys: Vec<String> = config(&text).validate().into_iter().map(|(key, _)| key).collect();
            assert_eq!(keys, wrong, "{text}");
        }
    }

    #[test]
    fn settings_and_connection_string_make_one_account() {
        let parse = |text: &str| ConnectionString::parse(text).unwrap();
        let of_hub = parse(
            "Endpoint=sb://Contoso.servicebus.windows.net/;SharedAccessKeyName=p;SharedAccessKey=a2V5;EntityPath=h",
        );
        let of_all = parse("Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=p;SharedAccessKey=a2V5");
        let account = |text: &str, string| config(text).account(Some(string));
        let one = Ok(("contoso.servicebus.windows.net".to_owned(), vec!["h".to_owned()]));
        assert_eq!(account("", &of_hub), one);
        assert_eq!(account("namespace = \"contoso\"\nevent_hub = [\"h\"]", &of_hub), one);
        assert_eq!(account("event_hub = [\"h\"]", &of_all), one);
        assert!(account("event_hub = [\"other\"]", &of_hub).unwrap_err().contains("EntityPath"));
        assert!(account("", &of_all).unwrap_err().contains("set event_hub"));
        assert!(account("namespace = \"fabrikam\"", &of_hub).unwrap_err().contains("fabrikam"));
    }
}
