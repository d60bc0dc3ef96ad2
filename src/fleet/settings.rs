//! The `[fleet]` table.

use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::net::http::Url;
use crate::net::tls::ClientConfig;
use crate::net::{Endpoint, Proxy};
use crate::quantity::Span;
use crate::secret::PublicKeys;

/// The `[fleet]` table of the settings; no table, no channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The broker: a host and a port.
    pub broker: Endpoint,
    /// PEM file with the Ed25519 public keys, one of which must have signed a command; without it no command is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<PathBuf>,
    /// HTTPS address of the enrolment server (EST, RFC 7030), where the box gets its certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrolment: Option<String>,
    /// The broker hears from the box at least this often.
    #[serde(default = "keep_alive")]
    pub keep_alive: Span,
    /// Time to look up the name, to connect to each of its addresses, and for the proxy and the broker to answer.
    #[serde(default = "connect_timeout")]
    pub connect_timeout: Span,
    /// The HTTP proxy that the site demands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Endpoint>,
    /// The user it knows us as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_user: Option<String>,
    /// File with the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_password_file: Option<PathBuf>,
    /// Whom we trust, and our own certificate.
    #[serde(default)]
    pub tls: ClientConfig,
}

/// Half of the 2 minutes after which common firewalls and NAT boxes may forget an idle flow.
fn keep_alive() -> Span {
    Span::secs(60)
}

/// On a bad line a name and a connection take a second or two.
fn connect_timeout() -> Span {
    Span::secs(10)
}

impl Config {
    /// What contradicts itself or is out of range: the key inside the table, and what to write instead.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut need = |is_right: bool, key: &str, words: &str| {
            if !is_right {
                problems.push((key.to_owned(), words.to_owned()));
            }
        };
        let is_address = |text: &String| Url::parse(text).is_ok_and(|url| url.scheme() == "https" && url.has_host());
        need(
            self.enrolment.as_ref().is_none_or(is_address),
            "enrolment",
            "this is no https address; write one such as \"https://fleet.example.net/.well-known/est\"",
        );
        need(self.keys.as_ref().is_none_or(|path| path.is_absolute()), "keys", "write the path from / on");
        let within = |span: Span, least: u64, most: u64| (Span::secs(least)..=Span::secs(most)).contains(&span);
        need(within(self.keep_alive, 10, 64_800), "keep_alive", "write a duration from \"10s\" to \"18h\"");
        need(within(self.connect_timeout, 1, 300), "connect_timeout", "write a duration from \"1s\" to \"5m\"");
        need(self.proxy.is_some() || self.proxy_user.is_none(), "proxy_user", "set proxy too, or take this out");
        need(
            self.proxy_user.is_some() || self.proxy_password_file.is_none(),
            "proxy_password_file",
            "set proxy_user too, or take this out",
        );
        problems.extend(self.tls.validate().into_iter().map(|(key, words)| (format!("tls.{key}"), words)));
        problems
    }

    /// Opens and checks the files that the table names.
    #[must_use]
    pub fn open_files(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        if let Some(Err(error)) = self.keys.as_deref().map(PublicKeys::read) {
            problems.push(("keys".to_owned(), error.to_string()));
        }
        problems.extend(self.tls.open_files().into_iter().map(|(key, words)| (format!("tls.{key}"), words)));
        problems
    }

    /// Whom we trust, and our certificate: that of the settings, or the one in the channel's folder.
    #[must_use]
    pub fn client(&self, state_dir: &Path) -> ClientConfig {
        let mut tls = self.tls.clone();
        if tls.cert.is_none() && tls.key.is_none() {
            let folder = super::folder(state_dir);
            (tls.cert, tls.key) = (Some(folder.join("certificate.pem")), Some(folder.join("key.pem")));
        }
        tls
    }

    pub(super) fn proxy(&self) -> Option<Proxy> {
        Some(Proxy {
            endpoint: self.proxy.clone()?,
            user: self.proxy_user.clone(),
            password_file: self.proxy_password_file.clone(),
        })
    }

    pub(super) fn time_to_connect(&self) -> Duration {
        self.connect_timeout.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(more: &str) -> Config {
        toml::from_str(&format!("broker = \"fleet.example.net:8883\"\n{more}")).unwrap()
    }

    #[test]
    fn what_makes_no_sense_is_named_and_the_certificate_has_its_place() {
        assert_eq!(config("").validate(), []);
        for (more, key) in [
            ("enrolment = \"http://fleet.example.net/\"", "enrolment"),
            ("keys = \"fleet.pem\"", "keys"),
            ("keep_alive = \"1s\"", "keep_alive"),
            ("connect_timeout = \"10m\"", "connect_timeout"),
            ("proxy_user = \"x\"", "proxy_user"),
            ("proxy = \"p:1\"\nproxy_password_file = \"/x\"", "proxy_password_file"),
            ("tls.cert = \"/x\"", "tls.key"),
        ] {
            let problems = config(more).validate();
            assert!(problems.iter().any(|(found, _)| found == key), "{more}: {problems:?}");
        }
        let named = |config: Config| config.client(Path::new("/state")).cert.unwrap();
        assert_eq!(named(config("")), Path::new("/state/fleet/certificate.pem"));
        assert_eq!(named(config("tls.cert = \"/a\"\ntls.key = \"/b\"")), Path::new("/a"));
        let problems = config("keys = \"/nowhere\"").open_files();
        assert!(problems.iter().any(|(key, words)| key == "keys" && words.contains("cannot be read")), "{problems:?}");
    }
}
