//! The machine below the program: network cards, clock, host name, firewall, making all of it as new, and USB sticks.
//!
//! In: the `[network]` and `[time]` tables, and what the settings listen on. Out: a [`Plan`] (files for systemd-networkd and
//! systemd-timesyncd, rules for nftables, a host name), and [`Plan::apply`], which needs root, as does [`Reset::heed`]. Floor 3: it
//! knows no source; who composes the settings says which ports are open.
//!
//! Invariants: every word in a file or rule comes out of a type that was parsed (an address, a port, a checked name), never
//! out of text of the settings, which belong to a user without rights; the rules replace the old ones in one step, last, so
//! that whatever fails before leaves the machine as it was.
//!
//! Facts: systemd.network(5), timesyncd.conf(5), nft(8). Not supported: VLANs, bonds, Wi-Fi, routes beside the gateway; a box
//! in a rack has its own switch port.

mod address;
mod apply;
mod cards;
mod files;
mod firewall;
mod machine;
mod name;
mod reset;
mod settings;
mod stick;
#[cfg(test)]
mod tests;
mod watch;

pub use address::{CardAddress, Ip};
pub use apply::{Applied, HostError};
pub use cards::{Card, cards, is_clock_set};
pub use firewall::Opening;
pub use machine::{Machine, Paper, System};
pub use name::{CardName, TimeServer};
pub use reset::Reset;
pub use settings::{Interface, Network, Time};
pub use stick::{STICK_FILE, STICK_RESULT, Stick, StickFile};
pub use watch::watch;

use std::collections::BTreeMap;

/// What a machine is to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Files below the root, by path. Those of an earlier plan that are not among them go away.
    files: BTreeMap<String, String>,
    /// The host name, if the settings give one that can be one.
    host_name: Option<String>,
    /// The whole rules for `nft`.
    rules: String,
}

impl Plan {
    /// Draws it up. Nothing is looked at or changed.
    #[must_use]
    pub fn new(network: &Network, time: &Time, name: Option<&str>, openings: &[Opening]) -> Self {
        Self {
            files: files::all(network, time),
            host_name: name.and_then(name::host_name),
            rules: firewall::rules(openings),
        }
    }
}
