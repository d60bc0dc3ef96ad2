//! How the box is and what it consists of, as bodies of messages.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::event::SourceId;
use crate::net::tls::Said;
use crate::queue::Totals;
use crate::status::{Line, Snapshot};
use crate::update::{self, Phase};

/// Certificates that are looked at: each source and output of a large site has three.
const CERTIFICATES: usize = 64;
/// Keys of the settings that name certificates.
const NAMES: [&str; 4] = ["cert", "ca", "client_ca", "certificate"];

/// The lasting part of the status: what changes by itself all the time is added when it is sent.
pub(super) fn status(
    snapshot: &Snapshot,
    updates: &update::Status,
    name: &str,
    offer: Option<Value>,
) -> Map<String, Value> {
    let (health, words) = snapshot.verdict();
    let fell_back: Vec<Value> = updates
        .fell_back
        .iter()
        .map(|entry| json!({ "version": entry.version, "at": entry.at, "why": entry.why }))
        .collect();
    let mut body = Map::new();
    body.insert("health".to_owned(), health.into());
    body.insert("words".to_owned(), words.into());
    body.insert("name".to_owned(), name.into());
    body.insert("version".to_owned(), version(snapshot, updates).into());
    body.insert("components".to_owned(), snapshot.components.iter().map(component).collect());
    let mut update = json!({ "phase": phase(&updates.phase), "fell_back": fell_back });
    if let Some(update) = update.as_object_mut() {
        update.extend(updates.unavailable.iter().map(|why| ("unavailable".to_owned(), why.as_str().into())));
        update.extend(updates.failed.iter().map(|failed| ("failed".to_owned(), failed.why.as_str().into())));
        update.extend(offer.map(|offer| ("offer".to_owned(), offer)));
    }
    body.insert("update".to_owned(), update);
    body
}

/// The firmware's version, which updates know, or else the program's.
fn version(snapshot: &Snapshot, updates: &update::Status) -> String {
    if updates.version.is_empty() { snapshot.version.clone() } else { updates.version.clone() }
}

fn component(line: &Line) -> Value {
    let mut value = json!({ "component": line.component.as_str(), "id": line.id, "state": line.health.word() });
    if let (Some(fault), Some(value)) = (line.health.fault(), value.as_object_mut()) {
        let parts = [("what", &fault.what), ("todo", &fault.todo), ("since", &fault.since)];
        value.extend(parts.map(|(key, text)| (key.to_owned(), text.as_str().into())));
    }
    value
}

/// One word: how far a download is would make a message of each per cent.
fn phase(phase: &Phase) -> &'static str {
    match phase {
        Phase::Idle => "idle",
        Phase::Trial { .. } => "trial",
        Phase::Checking => "checking",
        Phase::Downloading { .. } => "downloading",
        Phase::Installing { .. } => "installing",
        Phase::RestartDue { .. } => "restart_due",
    }
}

/// What the box consists of. Blocks on the disk.
pub(super) fn inventory(
    snapshot: &Snapshot,
    updates: &update::Status,
    name: &str,
    settings: &Value,
    own_certificate: &Path,
) -> Value {
    let slots: Vec<Value> = updates
        .slots
        .iter()
        .map(|slot| {
            json!({
                "name": slot.name, "boot_name": slot.bootname, "state": slot.state, "boots": slot.boot_status,
                "version": slot.version,
            })
        })
        .collect();
    let list = |key: &str| -> Vec<Value> {
        let entries = settings.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        entries
            .iter()
            .map(|entry| {
                let enabled = entry.get("enabled").and_then(Value::as_bool).unwrap_or(true);
                json!({ "id": entry["id"], "type": entry["type"], "enabled": enabled })
            })
            .collect()
    };
    let mut certificates = vec![certificate("fleet", own_certificate)];
    collect("", settings, &mut certificates);
    json!({
        "name": name, "version": version(snapshot, updates), "program": snapshot.version,
        "compatible": updates.compatible, "slots": slots, "sources": list("source"), "outputs": list("output"),
        "certificates": certificates,
    })
}

/// Every certificate that the settings name, with the table that does; an entry of a list by its id.
fn collect(place: &str, value: &Value, into: &mut Vec<Value>) {
    let below = |key: &str| if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") };
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                match value.as_str() {
                    Some(path) if NAMES.contains(&key.as_str()) && into.len() < CERTIFICATES => {
                        into.push(certificate(&below(key), Path::new(path)));
                    }
                    _ => collect(&below(key), value, into),
                }
            }
        }
        Value::Array(entries) => {
            for (at, entry) in entries.iter().enumerate() {
                let id = entry.get("id").and_then(Value::as_str).map_or_else(|| at.to_string(), str::to_owned);
                collect(&format!("{place}[{id}]"), entry, into);
            }
        }
        _ => {}
    }
}

fn certificate(of: &str, path: &Path) -> Value {
    match Said::in_file(path) {
        Ok(said) => json!({ "of": of, "subject": said.subject, "ends": said.ends.to_string() }),
        Err(error) => json!({ "of": of, "problem": error.to_string() }),
    }
}

/// What each source's events came to.
pub(super) fn ledger(ledger: &RawValue) -> Option<Value> {
    let totals: BTreeMap<SourceId, Totals> = serde_json::from_str(ledger.get()).ok()?;
    let sources: Map<String, Value> = totals
        .into_iter()
        .map(|(source, totals)| {
            let queued = totals.queued();
            let body = json!({
                "received": totals.received, "delivered": totals.delivered, "queued": queued, "dropped": totals.dropped,
            });
            (source.to_string(), body)
        })
        .collect();
    Some(json!({ "sources": sources }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls::certs::Ca;

    #[test]
    fn every_certificate_of_the_settings_is_found_with_its_end() {
        let ca = Ca::new();
        let pair = ca.pair_between("a", &["a"], 2020, 2030);
        let settings = json!({
            "page": { "cert": pair.cert, "key": pair.key },
            "source": [{ "id": "fw", "type": "syslog", "tls": { "cert": pair.cert, "client_ca": ca.file } }],
            "output": [{ "id": "gw", "type": "lumberjack", "enabled": false, "tls": { "ca": "/nowhere" } }],
        });
        let board = crate::status::Board::new(crate::clock::Clock::System);
        let body = inventory(&board.snapshot(), &update::Status::default(), "edge", &settings, &pair.cert);
        let found: Vec<&str> =
            body["certificates"].as_array().unwrap().iter().map(|one| one["of"].as_str().unwrap()).collect();
        assert_eq!(
            found,
            ["fleet", "output[gw].tls.ca", "page.cert", "source[fw].tls.cert", "source[fw].tls.client_ca"]
        );
        assert_eq!(body["certificates"][0]["ends"], "2030-01-01T00:00:00.000Z");
        assert!(body["certificates"][1]["problem"].as_str().unwrap().contains("/nowhere"));
        assert_eq!(body["outputs"][0], json!({ "id": "gw", "type": "lumberjack", "enabled": false }));
    }
}
