//! The `[page]` table.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::account::Limits;
use super::certificate;
use crate::net::Allow;
use crate::net::tls::{ClientAuth, MinVersion, ServerConfig};
use crate::quantity::Span;

/// The page for people; no table, no page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Addresses and ports to listen on, such as `["0.0.0.0:443", "[::]:443"]`.
    pub listen: Vec<SocketAddr>,
    /// Networks that may open it; empty means everybody.
    #[serde(default)]
    pub allow: Allow,
    /// PEM file with its certificate, followed by the intermediate CAs; default one that the box makes and signs itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// PEM file with the certificate's private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Who does nothing for this long is logged out.
    #[serde(default = "idle_logout")]
    pub idle_logout: Span,
    /// Everybody logs in again after this.
    #[serde(default = "session")]
    pub session: Span,
    /// After this many failed logins within an hour an address, and an account, is refused...
    #[serde(default = "ban_after")]
    pub ban_after: u32,
    /// ...for this long.
    #[serde(default = "ban_for")]
    pub ban_for: Span,
    /// Connections in all; an address gets half of them at most.
    #[serde(default = "max_connections")]
    pub max_connections: u32,
}

/// OWASP's Session Management Cheat Sheet (read 2026-11): 15 to 30 minutes for what is not of high value; an unattended
/// screen in a server room is what this is about.
fn idle_logout() -> Span {
    Span::secs(15 * 60)
}

/// A working day.
fn session() -> Span {
    Span::secs(12 * 3_600)
}

fn ban_after() -> u32 {
    10
}

fn ban_for() -> Span {
    Span::secs(15 * 60)
}

/// A browser opens up to six; each open page holds one.
fn max_connections() -> u32 {
    256
}

/// Ranges of the durations, and of the counts.
const IDLE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(86_400));
const SESSION: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(7 * 86_400));
const BAN: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(86_400));
const BAN_AFTER: (u32, u32) = (3, 100);
const CONNECTIONS: (u32, u32) = (16, 4_096);

impl Config {
    /// What cannot be: the key inside this table, and what to write instead.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut problem = |key: &str, words: String| problems.push((key.to_owned(), words));
        if self.listen.is_empty() {
            problem("listen", "nothing is listened on; write an address, such as [\"0.0.0.0:443\"]".to_owned());
        }
        match (&self.cert, &self.key) {
            (Some(_), None) => problem("cert", "a certificate needs its key; set key as well".to_owned()),
            (None, Some(_)) => problem("key", "a key needs its certificate; set cert as well".to_owned()),
            _ => {}
        }
        for (key, value, (least, most)) in [
            ("idle_logout", self.idle_logout, IDLE),
            ("session", self.session, SESSION),
            ("ban_for", self.ban_for, BAN),
        ] {
            if value.0 < least || value.0 > most {
                let (least, most) = (Span(least), Span(most));
                problem(key, format!("{value} is out of range; write {least} to {most}"));
            }
        }
        for (key, value, (least, most)) in
            [("ban_after", self.ban_after, BAN_AFTER), ("max_connections", self.max_connections, CONNECTIONS)]
        {
            if value < least || value > most {
                problem(key, format!("{value} is out of range; write {least} to {most}"));
            }
        }
        problems
    }

    /// Opens the files that it names.
    #[must_use]
    pub fn open_files(&self) -> Vec<(String, String)> {
        let (Some(cert), Some(key)) = (&self.cert, &self.key) else { return Vec::new() };
        pair(cert.clone(), key.clone()).open_files()
    }

    /// The certificate: that of the settings, or the box's own in its folder.
    pub(super) fn tls(&self, folder: &Path) -> ServerConfig {
        match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => pair(cert.clone(), key.clone()),
            _ => pair(certificate::path(folder), certificate::key_path(folder)),
        }
    }

    pub(super) fn login_limits(&self) -> Limits {
        Limits { idle: self.idle_logout.0, longest: self.session.0, ban_after: self.ban_after, ban_for: self.ban_for }
    }
}

/// A certificate with its key.
pub(super) fn pair(cert: PathBuf, key: PathBuf) -> ServerConfig {
    ServerConfig {
        cert,
        key,
        min_version: MinVersion::Tls12,
        client_auth: ClientAuth::None,
        client_ca: None,
        client_names: Vec::new(),
        client_fingerprints: Vec::new(),
    }
}
