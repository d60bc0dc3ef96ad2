//! What the screen shows besides the status, and what somebody who stands before it may ask for.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// What the screen shows besides the status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Face {
    /// The box's name.
    pub name: String,
    /// What the page listens on; empty where there is no page.
    pub page: Vec<SocketAddr>,
    /// Whether the box has an administrator.
    pub is_claimed: bool,
    /// The code that claims it, while nobody has.
    pub claim_code: Option<String>,
    /// The fingerprint of the page's certificate, while nobody has claimed the box.
    pub certificate: Option<String>,
    /// Whether the screen may do anything.
    pub actions: bool,
    /// The network cards that the settings name.
    pub cards: Vec<Card>,
}

/// A network card's addresses, as they stand in the settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// The card, such as `eth0`.
    pub name: String,
    /// Its own addresses with the length of their networks; empty: it asks DHCP and IPv6 routers.
    pub address: Vec<String>,
    /// The routers.
    pub gateway: Vec<String>,
    /// The name servers.
    pub dns: Vec<String>,
}

/// What somebody may have done to the box.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Power {
    /// Restart the box, in good order.
    RestartBox {
        /// Who, for the log and the far ends.
        by: String,
    },
    /// End the program in good order, for the service manager to start it again.
    RestartProgram {
        /// Who.
        by: String,
    },
    /// Restart the box as a new one: without settings, queue, accounts, secrets and keys.
    Reset {
        /// Who.
        by: String,
    },
}
