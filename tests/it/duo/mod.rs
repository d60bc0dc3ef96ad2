//! Duo through the real program, against the double.

mod backlog;
mod commands;
mod faults;
mod flow;
mod kills;
mod official;

use crate::microsoft::settings;
use crate::peers::appliance::Appliance;
use crate::peers::duo::Duo;

/// An appliance that pulls from the double.
fn edge(double: &Duo, more: &str) -> Appliance {
    Appliance::start(&settings(&[("duo", double.settings(more))]))
}
