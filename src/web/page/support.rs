//! What of the page goes into a support bundle: the audit log, and what in it may be a secret.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{account, audit};

/// Deeds whose name somebody typed who was not known yet.
const BEFORE: [&str; 2] = ["login", "claim"];

/// The audit log of the box whose state folder this is, a deed each line; and the names in it that belong to no account: somebody may
/// have typed a password in the place of the name. Blocks on the disk.
#[must_use]
pub fn audit_for_support(state_dir: &Path) -> (String, Vec<String>) {
    let names = account::names(state_dir);
    let files = audit::files(&account::folder(state_dir));
    let text: String = files.iter().filter_map(|file| fs::read_to_string(file).ok()).collect();
    let typed = text.lines().filter_map(|line| {
        let deed: Value = serde_json::from_str(line).ok()?;
        let field = |name: &str| deed.get(name).and_then(Value::as_str);
        let who = field("who")?.to_owned();
        (BEFORE.contains(&field("action")?) && !names.contains(&who)).then_some(who)
    });
    let typed = typed.collect();
    (text, typed)
}
