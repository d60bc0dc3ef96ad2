//! The devices that may log in to a source of pushed files, and the keys by which they know the box.

use schemars::JsonSchema;
use serde::Serialize;

use super::super::account;
use super::super::text;

/// Devices and keys.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Devices {
    /// The box's own keys; none before the source first starts.
    pub host_keys: Vec<HostKey>,
    /// By name.
    pub devices: Vec<DeviceShown>,
    /// What was typed into the form for one more, where it comes back.
    #[serde(skip)]
    pub add: account::Form,
}

/// A key of the box.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct HostKey {
    /// Such as `ssh-ed25519`.
    pub algorithm: String,
    /// `SHA256:…`
    pub sha256: String,
    /// In pairs of digits, as old appliances show it.
    pub md5: String,
    /// The line of a `known_hosts` file, with the box's address.
    pub line: String,
}

/// A device.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DeviceShown {
    /// Its name in events.
    pub name: String,
    /// The user it logs in as.
    pub user: String,
    /// Its keys in the settings.
    pub keys: Vec<DeviceKey>,
    /// Whether it may log in by other means: a file of keys, or a password.
    pub has_more: bool,
    /// When it last pushed a whole file (RFC 3339).
    pub last_upload: Option<String>,
    /// How many it pushed.
    pub files: u64,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// A key of a device.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DeviceKey {
    /// Such as `ssh-rsa`; nothing where the line holds no key.
    pub algorithm: String,
    /// `SHA256:…`; the line where it holds no key.
    pub fingerprint: String,
}

impl DeviceShown {
    pub(super) fn last_clock(&self) -> String {
        self.last_upload.as_deref().map_or_else(|| "never".to_owned(), text::clock)
    }

    pub(super) fn files(&self) -> String {
        text::thousands(self.files)
    }
}
