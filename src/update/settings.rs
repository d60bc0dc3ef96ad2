//! The `[update]` table.

use std::path::PathBuf;
use std::time::Duration;
use std::{fs, io};

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::judge::Rules;
use super::offer::{self, Day, Schedule, Window};
use crate::net::http::{Reach, Url};
use crate::net::tls::ClientConfig;
use crate::net::{Endpoint, Proxy};
use crate::quantity::{Size, Span};

/// A server that is silent for this long in the middle of a download is asked again.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// What stands for this box's compatible in the manifest's address, so that one settings file serves all boards.
const COMPATIBLE: &str = "{compatible}";

/// The `[update]` table of the settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// HTTPS address of the signed manifest; without it updates are installed by hand alone.
    pub manifest: Option<String>,
    /// PEM file with the Ed25519 public keys, one of which must have signed the manifest.
    pub keys: PathBuf,
    /// How often the manifest is looked at.
    pub check_every: Span,
    /// Who installs what the manifest offers.
    pub install: Install,
    /// When the box restarts into what was installed.
    pub reboot: Reboot,
    /// The time of day in which the box looks, installs and restarts by itself; default always.
    pub window: Option<Window>,
    /// The days on which the window opens; none are all.
    pub window_days: Vec<Day>,
    /// The window's time zone, an IANA name.
    pub time_zone: String,
    /// A new version has to work for this long without a break before it is marked good.
    pub settle: Span,
    /// A new version that does not work by then is given up.
    pub patience: Span,
    /// The largest bundle that is downloaded.
    pub max_size: Size,
    /// Folder of notes for the service manager, which is empty after each boot.
    pub runtime_dir: PathBuf,
    /// Time for name, connection and TLS handshake.
    pub connect_timeout: Span,
    /// The HTTP proxy that the site demands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Endpoint>,
    /// The user it knows us as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_user: Option<String>,
    /// File with the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_password_file: Option<PathBuf>,
    /// Whom we trust.
    pub tls: ClientConfig,
}

/// Who installs what the manifest offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Install {
    /// The box, in its window.
    #[default]
    ByItself,
    /// A person.
    ByHand,
}

/// When the box restarts into what was installed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reboot {
    /// When the window is open; at once where there is none.
    #[default]
    InWindow,
    /// As soon as it is installed.
    AtOnce,
    /// When a person restarts it.
    ByHand,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            manifest: None,
            keys: PathBuf::from("/etc/sapphire-edge/update-keys.pem"),
            // Four times a day: an urgent mend reaches every box within the day, and a thousand boxes ask every 20 s.
            check_every: Span::secs(6 * 3_600),
            install: Install::default(),
            reboot: Reboot::default(),
            window: None,
            window_days: Vec::new(),
            time_zone: "UTC".to_owned(),
            // Longer than an output's longest wait between two tries (60 s), so that each far end was tried.
            settle: Span::secs(120),
            // Long enough for a gateway's own restart; short enough that a box that lost its network is back in an hour.
            patience: Span::secs(3_600),
            max_size: Size::gib(1),
            runtime_dir: PathBuf::from("/run/sapphire-edge"),
            connect_timeout: Span::secs(10),
            proxy: None,
            proxy_user: None,
            proxy_password_file: None,
            tls: ClientConfig::default(),
        }
    }
}

impl Config {
    /// Asks the service manager to restart the box, which stops this program in good order. Writes a file in memory.
    ///
    /// # Errors
    /// When the file cannot be written, whose path the words name: no service manager of ours waits for it.
    pub fn request_restart(&self, why: &str) -> io::Result<()> {
        let path = self.runtime_dir.join("reboot");
        let words = |error: io::Error| io::Error::new(error.kind(), format!("{} ({error})", path.display()));
        fs::write(&path, format!("{why}\n")).map_err(words)
    }

    /// What contradicts itself or is out of range: the key inside the table, and what to write instead.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut need = |is_right: bool, key: &str, words: &str| {
            if !is_right {
                problems.push((key.to_owned(), words.to_owned()));
            }
        };
        let within = |span: Span, least: u64, most: u64| (Span::secs(least)..=Span::secs(most)).contains(&span);
        need(
            self.manifest.as_ref().is_none_or(|_| self.manifest_url("sapphire-edge-x86_64").is_some()),
            "manifest",
            "this is no https address; write one such as \"https://updates.example.net/{compatible}.manifest\"",
        );
        need(within(self.check_every, 60, 7 * 86_400), "check_every", "write a duration from \"1m\" to \"7d\"");
        need(within(self.settle, 1, 3_600), "settle", "write a duration from \"1s\" to \"1h\"");
        need(within(self.patience, 1, 86_400), "patience", "write a duration from \"1s\" to \"1d\"");
        need(self.settle <= self.patience, "patience", "write at least what settle says");
        need(
            (Size::mib(1)..=Size::gib(16)).contains(&self.max_size),
            "max_size",
            "write a size from \"1MiB\" to \"16GiB\"",
        );
        need(within(self.connect_timeout, 1, 300), "connect_timeout", "write a duration from \"1s\" to \"5m\"");
        need(
            TimeZone::get(&self.time_zone).is_ok(),
            "time_zone",
            "this is no time zone; write an IANA name such as \"Europe/Berlin\"",
        );
        need(self.window.is_some() || self.window_days.is_empty(), "window_days", "set window too, or take this out");
        need(self.keys.is_absolute(), "keys", "write the path from / on");
        need(self.runtime_dir.is_absolute(), "runtime_dir", "write the path from / on");
        need(self.proxy.is_some() || self.proxy_user.is_none(), "proxy_user", "set proxy too, or take this out");
        need(
            self.proxy_user.is_some() || self.proxy_password_file.is_none(),
            "proxy_password_file",
            "set proxy_user too, or take this out",
        );
        problems.extend(self.tls.validate().into_iter().map(|(key, words)| (format!("tls.{key}"), words)));
        problems
    }

    /// Opens and checks the files that the table names, where they are needed.
    #[must_use]
    pub fn open_files(&self) -> Vec<(String, String)> {
        if self.manifest.is_none() {
            return Vec::new();
        }
        let mut problems = Vec::new();
        if let Err(error) = offer::read_keys(&self.keys) {
            problems.push(("keys".to_owned(), error.to_string()));
        }
        problems.extend(self.tls.open_files().into_iter().map(|(key, words)| (format!("tls.{key}"), words)));
        problems
    }

    /// Where the manifest is for a box with this compatible; `None` without one.
    pub(super) fn manifest_url(&self, compatible: &str) -> Option<Url> {
        let url = Url::parse(&self.manifest.as_ref()?.replace(COMPATIBLE, compatible)).ok()?;
        (url.scheme() == "https" && url.has_host()).then_some(url)
    }

    pub(super) fn schedule(&self) -> Schedule {
        let zone = TimeZone::get(&self.time_zone).unwrap_or(TimeZone::UTC);
        Schedule { window: self.window, days: self.window_days.clone(), zone }
    }

    pub(super) fn rules(&self) -> Rules {
        Rules { settle: self.settle.0, patience: self.patience.0 }
    }

    pub(super) fn proxy(&self) -> Option<Proxy> {
        Some(Proxy {
            endpoint: self.proxy.clone()?,
            user: self.proxy_user.clone(),
            password_file: self.proxy_password_file.clone(),
        })
    }

    pub(super) fn reach<'a>(&'a self, proxy: Option<&'a Proxy>) -> Reach<'a> {
        Reach { tls: &self.tls, proxy, connect_timeout: self.connect_timeout.0, read_timeout: READ_TIMEOUT }
    }
}
