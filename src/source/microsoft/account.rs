//! What the sources of Microsoft's clouds share: tenants, the app, its credential, the hosts, the way there.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::TokenVersion;
use super::assertion::Signer;
use super::identity::{Credential, Identity};
use super::session::Api;
use crate::clock::Clock;
use crate::event::SourceId;
use crate::net::http::Url;
use crate::quantity::{Size, Span};
use crate::source::pull::{Bench, Picture, Route, Store, Way, check_route, route_files};
use crate::source::{Context, SourceError};

/// Bodies in memory at once, for all feeds of a source: with the default of `max_page` 32 MiB, a third of the memory bound.
const BODIES: usize = 4;
/// Tenants of one source; each has a task for every feed.
const MOST_TENANTS: usize = 64;

/// A page of 1,000 sign-ins has some 3 MiB, a content of Office 365 seldom more than 2.
pub(super) fn max_page() -> Size {
    Size::mib(8)
}

/// As everywhere.
pub(super) fn connect_timeout() -> Span {
    Span::secs(10)
}

/// Most troubles are over in seconds.
pub(super) fn backoff_min() -> Span {
    Span::secs(5)
}

/// As Filebeat's `api.error_retry_interval`: a new secret is taken into use within this.
pub(super) fn backoff_max() -> Span {
    Span::secs(300)
}

/// The settings that the sources share.
#[derive(Debug)]
pub(in crate::source) struct Account<'a> {
    pub(super) tenants: &'a [String],
    pub(super) client_id: &'a str,
    pub(super) secret: Option<&'a Path>,
    pub(super) certificate: Option<&'a Path>,
    pub(super) key: Option<&'a Path>,
    pub(super) login: &'a str,
    pub(super) api: &'a str,
    pub(super) resource: &'a str,
    pub(super) version: TokenVersion,
    pub(super) max_page: Size,
    pub(super) route: Route<'a>,
}

/// Gathers an [`Account`] from a table that has its keys.
macro_rules! account {
    ($config:expr, $api:expr, $resource:expr) => {
        $crate::source::microsoft::account::Account {
            tenants: &$config.tenants,
            client_id: &$config.client_id,
            secret: $config.client_secret_file.as_deref(),
            certificate: $config.certificate.as_deref(),
            key: $config.key.as_deref(),
            login: $config.login.as_deref().unwrap_or($config.cloud.login()),
            api: $config.api.as_deref().unwrap_or($api),
            resource: $resource,
            version: $config.token_version,
            max_page: $config.max_page,
            route: $crate::source::pull::Route {
                connect_timeout: $config.connect_timeout,
                backoff: ($config.backoff_min, $config.backoff_max),
                proxy: $config.proxy.as_ref(),
                proxy_user: $config.proxy_user.as_deref(),
                proxy_password_file: $config.proxy_password_file.as_deref(),
                tls: &$config.tls,
            },
        }
    };
}
pub(super) use account;

/// An `https` address without path, as a base for paths.
pub(in crate::source) fn base(text: &str) -> Option<Url> {
    let url = Url::parse(&format!("{}/", text.trim_end_matches('/'))).ok()?;
    (url.scheme() == "https" && url.has_host()).then_some(url)
}

/// A tenant id, or a domain: it becomes part of a path.
fn is_tenant(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    !text.is_empty() && text.len() <= 253 && text.chars().all(good) && !text.starts_with('.')
}

/// 8-4-4-4-12 hexadecimal digits.
pub(super) fn is_guid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

impl Account<'_> {
    pub(super) fn validate(&self) -> Vec<(String, String)> {
        let mut problems = check_route(&self.route);
        let mut need = |is_right: bool, key: &str, words: &str| {
            if !is_right {
                problems.push((key.to_owned(), words.to_owned()));
            }
        };
        need((1..=MOST_TENANTS).contains(&self.tenants.len()), "tenants", "write 1 to 64 tenant ids");
        for (at, tenant) in self.tenants.iter().enumerate() {
            let is_common = matches!(tenant.as_str(), "common" | "organizations" | "consumers");
            let words = "write the Directory (tenant) ID that Entra shows under Overview, or a verified domain";
            need(is_tenant(tenant) && !is_common, &format!("tenants[{at}]"), words);
            need(
                !self.tenants.iter().take(at).any(|other| other == tenant),
                &format!("tenants[{at}]"),
                "write each once",
            );
        }
        let words = "write the Application (client) ID that Entra shows under Overview";
        need(is_guid(self.client_id), "client_id", words);
        match (self.secret, self.certificate, self.key) {
            (Some(_), None, None) | (None, Some(_), Some(_)) => {}
            (None, None, None) => need(false, "client_secret_file", "set it, or certificate and key"),
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
                need(false, "certificate", "take it and key out, or client_secret_file: an app has one of the two");
            }
            (None, None, Some(_)) => need(false, "certificate", "key is set without certificate; set both or neither"),
            (None, Some(_), None) => need(false, "key", "certificate is set without key; set both or neither"),
        }
        need(
            base(self.login).is_some(),
            "login",
            "write an https address such as \"https://login.microsoftonline.com\"",
        );
        need(base(self.api).is_some(), "api", "write an https address, as cloud would give");
        need(
            (Size::kib(64)..=Size::mib(64)).contains(&self.max_page),
            "max_page",
            "write a size from \"64KiB\" to \"64MiB\"",
        );
        problems
    }

    pub(super) fn open_files(&self) -> Vec<(String, String)> {
        let mut problems = route_files(&self.route);
        if let Some(file) = self.secret {
            match std::fs::read_to_string(file) {
                Err(error) => problems.push(("client_secret_file".into(), format!("{}: {error}", file.display()))),
                Ok(text) if text.trim().is_empty() => {
                    problems.push(("client_secret_file".into(), format!("{} is empty", file.display())));
                }
                Ok(text) if is_guid(text.trim()) => {
                    let words = "holds the Secret ID; write the secret's Value, which Entra shows once";
                    problems.push(("client_secret_file".into(), format!("{} {words}", file.display())));
                }
                Ok(_) => {}
            }
        }
        if let (Some(certificate), Some(key)) = (self.certificate, self.key)
            && let Err(words) = Signer::read(certificate, key)
        {
            problems.push(("certificate".into(), words));
        }
        problems
    }

    pub(super) fn way(&self, clock: Clock) -> Arc<Way> {
        Arc::new(Way::new(&self.route, clock))
    }

    pub(super) fn bodies(&self) -> Arc<Semaphore> {
        Arc::new(Semaphore::new(BODIES))
    }

    /// The app in one tenant.
    pub(super) fn identity(&self, tenant: &str, way: &Arc<Way>) -> Result<Identity, SourceError> {
        let credential = match (self.secret, self.certificate, self.key) {
            (Some(file), _, _) => Credential::Secret(file.to_owned()),
            (None, Some(certificate), Some(key)) => Credential::Certificate(certificate.to_owned(), key.to_owned()),
            _ => return Err(SourceError::Settings("no credential is set".into())),
        };
        let login = base(self.login).ok_or_else(|| SourceError::Settings("login is no https address".into()))?;
        Ok(Identity::new(login, tenant, self.client_id, credential, self.version, Arc::clone(way)))
    }

    /// The API as each tenant sees it.
    pub(super) fn apis(&self, way: &Arc<Way>, bodies: &Arc<Semaphore>) -> Result<Vec<Arc<Api>>, SourceError> {
        let root = base(self.api).ok_or_else(|| SourceError::Settings("api is no https address".into()))?;
        let api = |tenant: &String| {
            Ok(Arc::new(Api {
                identity: Arc::new(self.identity(tenant, way)?),
                way: Arc::clone(way),
                root: root.clone(),
                resource: self.resource.to_owned(),
                bodies: Arc::clone(bodies),
                max_body: self.max_page.len(),
            }))
        };
        self.tenants.iter().map(api).collect()
    }
}

/// What the feeds of a source work with.
pub(super) fn bench<'a>(
    id: &SourceId,
    context: &Context,
    way: Arc<Way>,
    feeds: impl Iterator<Item = &'a str>,
) -> Bench {
    let picture = Picture::new(context.status.clone(), way, feeds.map(str::to_owned));
    let store: Arc<dyn Store> = Arc::new(context.intake.clone());
    Bench {
        id: id.clone(),
        store,
        status: context.status.clone(),
        clock: context.clock.clone(),
        stop: context.stop.clone(),
        picture: Arc::new(picture),
    }
}
