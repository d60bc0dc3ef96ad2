//! What is said to the person who set it up: advice on settings, on secrets in files, and names of the portal.

use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::secret::Secret;

/// A connection string is a few hundred bytes.
const MAX_SECRET: u64 = 16 << 10;

pub(super) const NO_NAMESPACE: &str = "no namespace is named; write the host name that the portal shows, such as \
     \"contoso.servicebus.windows.net\", or set connection_string_file";
pub(super) const BAD_NAMESPACE: &str = "this is no namespace; write its host name without sb:// and without a port, such as \
     \"contoso.servicebus.windows.net\"";
pub(super) const NO_HUB: &str = "no event hub is named; write event_hub = [\"insights-logs-auditlogs\"]";
pub(super) const BAD_HUB: &str = "an event hub's name has letters, digits and . - _ only; copy it from the portal";
pub(super) const GROUPS: &str = "write 1 to 20 consumer groups; every event hub has \"$Default\"";
pub(super) const BAD_GROUP: &str =
    "a consumer group's name has letters, digits and . - _ only; copy it from the portal";
pub(super) const ONE_KEY: &str =
    "set one of primary_key_file (with policy), connection_string_file and client_secret_file";
pub(super) const POLICY: &str = "policy and primary_key_file belong together; set both or neither";

/// Reads a file that holds a secret and nothing else.
///
/// # Errors
/// In words; nothing of what the file holds.
pub(super) fn read_secret(path: &Path) -> Result<Secret<String>, String> {
    let failed = |error| format!("{} cannot be read ({error}); check path and rights", path.display());
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = String::new();
    let read = file.take(MAX_SECRET).read_to_string(&mut text).map_err(failed);
    let text = Secret::new(text);
    read?;
    let trimmed = text.expose().trim();
    if trimmed.is_empty() {
        return Err(format!("{} is empty; paste the value from the portal into it", path.display()));
    }
    Ok(Secret::new(trimmed.to_owned()))
}

/// Whether a text can be a policy's key.
///
/// # Errors
/// What it seems to be instead.
pub(super) fn check_key(key: &str) -> Result<(), String> {
    if key.to_ascii_lowercase().starts_with("endpoint=") {
        return Err(
            "this is a connection string; name its file in connection_string_file, or paste the primary key".into()
        );
    }
    // Keys are base64 text, though they are not decoded before they sign (see `sas`).
    STANDARD
        .decode(key)
        .map(drop)
        .map_err(|_| "this is no key; copy \"Primary key\" from the portal, it ends in =".into())
}
