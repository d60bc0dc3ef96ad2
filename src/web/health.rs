//! What `/healthz` says.

use serde::Serialize;

use crate::status::{Component, Fault, Health, Snapshot};

/// The state of the box in words.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether nothing has failed. What is degraded works, and says what to look at.
    pub(super) healthy: bool,
    /// The program's version.
    version: String,
    /// Seconds since it started.
    uptime_seconds: u64,
    /// A line per component.
    components: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Line {
    component: Component,
    id: String,
    state: &'static str,
    #[serde(flatten)]
    fault: Option<Fault>,
}

impl Report {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let line = |line: &crate::status::Line| Line {
            component: line.component,
            id: line.id.clone(),
            state: line.health.word(),
            fault: line.health.fault().cloned(),
        };
        Self {
            healthy: !snapshot.components.iter().any(|line| matches!(line.health, Health::Failed(_))),
            version: snapshot.version.clone(),
            uptime_seconds: snapshot.uptime_seconds,
            components: snapshot.components.iter().map(line).collect(),
        }
    }
}
