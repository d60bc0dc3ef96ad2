//! The JSON Schemas of what is said on the channel, for whoever reads it.

/// Each topic's last level, with the schema of its messages.
pub const SCHEMAS: [(&str, &str); 6] = [
    ("status", include_str!("schema/status.json")),
    ("inventory", include_str!("schema/inventory.json")),
    ("ledger", include_str!("schema/ledger.json")),
    ("event", include_str!("schema/event.json")),
    ("answer", include_str!("schema/answer.json")),
    ("command", include_str!("schema/command.json")),
];
