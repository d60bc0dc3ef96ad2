//! What of the box has to work with new settings, for who decides whether they stay. Pure.

use std::collections::BTreeSet;

use crate::config::Config;
use crate::source;
use crate::status::{Component, Health, Line, Snapshot};

/// Parts of the box itself that have to start: how people and monitors reach it.
const DOORS: [&str; 3] = ["control", "page", "web"];

/// Whether a line of the board says how a listener is, or a door of the box itself. A gateway or a vendor that is not reached is no
/// fault of the settings' start.
fn counts(line: &Line, config: &Config) -> bool {
    let listens = |source: &source::Config| source.id().as_str() == line.id && !source.listen().is_empty();
    match line.component {
        Component::Source => config.source.iter().any(listens),
        _ => DOORS.contains(&line.id.as_str()),
    }
}

/// Which of them do not work.
pub(super) fn ill(snapshot: &Snapshot, config: &Config) -> BTreeSet<String> {
    let lines = snapshot.components.iter().filter(|line| counts(line, config));
    let ill = lines.filter(|line| matches!(line.health, Health::Failed(_)));
    ill.map(|line| format!("{} {}", line.component.as_str(), line.id)).collect()
}

/// Whether all of them have said how they are.
pub(super) fn has_begun(snapshot: &Snapshot, config: &Config) -> bool {
    let mut lines = snapshot.components.iter().filter(|line| counts(line, config));
    !lines.any(|line| matches!(line.health, Health::Starting | Health::Stopped))
}
