//! What the screen shows besides the status.

use crate::config::Config;
use crate::control::{Card, Face};
use crate::host::Interface;
use crate::web::page;

/// What it shows with these settings. Blocks on the disk.
pub(super) fn of(config: &Config, name: String) -> Face {
    let is_claimed = page::is_claimed(&config.state_dir);
    let unclaimed = config.page.as_ref().filter(|_| !is_claimed);
    let code = |_| page::claim_code(&config.state_dir).ok().flatten();
    let certificate = |page| Some(page::certificate_fingerprint(page, &config.state_dir)?.to_string());
    Face {
        name,
        page: config.page.as_ref().map(|page| page.listen.clone()).unwrap_or_default(),
        is_claimed,
        claim_code: unclaimed.and_then(code),
        certificate: unclaimed.and_then(certificate),
        actions: config.screen.actions,
        cards: config.network.interface.iter().map(card).collect(),
    }
}

fn card(interface: &Interface) -> Card {
    Card {
        name: interface.name.to_string(),
        address: interface.address.iter().map(ToString::to_string).collect(),
        gateway: interface.gateway.iter().map(ToString::to_string).collect(),
        dns: interface.dns.iter().map(ToString::to_string).collect(),
    }
}
