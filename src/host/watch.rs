//! What is wrong with the machine below the program: a cable that is out, a card that is not there, a clock that nobody set.
//!
//! In: what `cards` reads, once a second, and the cards that the settings name. Out: the lines `network` and `clock` of the
//! status board; each only on a machine that has it: a container has no hardware cards, and other time services than the
//! box's own do not say how they are. Besides, the line `support`, once the firmware gets no security updates any more.
//!
//! A link that is gone for a moment (a switch that begins anew, a card that agrees on a speed) is nothing to tell. Not
//! supported: a time server that is lost later. The clock then drifts by seconds in a week, which the sources that ask
//! vendors find out by themselves.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{Card, cards, is_clock_set};
use crate::status::{Board, Component, Health, NETWORK};

const CLOCK: &str = "clock";
const SUPPORT: &str = "support";
/// A fault is to be seen within five seconds.
const LOOK: Duration = Duration::from_secs(1);
/// Two ports of copper mostly agree on a speed within three seconds (observed)...
const LINK_BACK: Duration = Duration::from_secs(3);
/// ...while a switch that was switched on together with the box takes longer to come to that.
const LINK_FIRST: Duration = Duration::from_secs(15);
/// A time service that has servers asks them within seconds; a site's router may take minutes to start after a power cut.
const CLOCK_SET: Duration = Duration::from_secs(300);

const CABLE: &str = "put the cable in at both ends, and look whether the lights beside the socket come on; else try another cable or port";
const NOT_SET: &str = "no time server has set the clock since the box was switched on: times in events may be wrong";
const SET_IT: &str = "see under Box which time servers are asked, and let the box reach them (UDP port 123)";

/// A card without a link.
#[derive(Clone, Copy, Debug)]
struct Gone {
    since: Instant,
    patience: Duration,
}

/// What was seen of the links so far: by card, whether it ever had one, and since when it has none.
#[derive(Debug, Default)]
struct Links(BTreeMap<String, Option<Gone>>);

impl Links {
    /// Takes a look; nothing where the machine has no cards of its own.
    fn look(&mut self, cards: &[Card], named: &[String], now: Instant) -> Option<Health> {
        let cards: Vec<&Card> = cards.iter().filter(|card| card.is_hardware).collect();
        if cards.is_empty() {
            return None;
        }
        self.0.retain(|name, _| cards.iter().any(|card| card.name == *name));
        let mut gone: Vec<&str> = Vec::new();
        for card in &cards {
            let first = Gone { since: now, patience: LINK_FIRST };
            let seen = self.0.entry(card.name.clone()).or_insert(Some(first));
            if card.has_link {
                *seen = None;
                continue;
            }
            let lost = seen.get_or_insert(Gone { since: now, patience: LINK_BACK });
            if now.duration_since(lost.since) >= lost.patience {
                gone.push(&card.name);
            }
        }
        if gone.len() == cards.len() {
            let what = format!("no network card has a cable with somebody at its other end: {}", gone.join(", "));
            return Some(Health::failed(what, CABLE));
        }
        if let Some(name) = named.iter().find(|name| !cards.iter().any(|card| card.name == **name)) {
            let what = format!("the settings name the network card {name}, and this machine has none of that name");
            let todo = "see under Box which cards there are, and correct its table [[network.interface]]";
            return Some(Health::degraded(what, todo));
        }
        let missed = named.iter().find(|name| gone.contains(&name.as_str()));
        Some(missed.map_or(Health::Healthy, |name| {
            let what = format!("the network card {name} has no cable with somebody at its other end");
            Health::degraded(what, CABLE)
        }))
    }
}

/// How the clock is, for a machine that has been on for so long.
fn clock(is_set: Option<bool>, on_for: Duration) -> Option<Health> {
    is_set.map(|is_set| if is_set || on_for < CLOCK_SET { Health::Healthy } else { Health::degraded(NOT_SET, SET_IT) })
}

/// Watches the machine below this root (`/`) until told to stop. `named` are the cards of the settings, `on_for` says how
/// long the machine has been on.
///
/// # Cancel safety
/// Safe; the lines stay as they are then.
pub async fn watch(
    root: &Path,
    board: &Board,
    named: impl Fn() -> Vec<String>,
    on_for: impl Fn() -> Duration,
    stop: &CancellationToken,
) {
    let mut links = Links::default();
    let mut tick = interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        // The kernel answers these reads from memory: a thread for them would cost more than they do.
        show(board, NETWORK, links.look(&cards(root), &named(), Instant::now()));
        show(board, CLOCK, clock(is_clock_set(root), on_for()));
        show(board, SUPPORT, board.support().health());
    }
}

fn show(board: &Board, id: &str, health: Option<Health>) {
    match health {
        Some(health) => board.handle(Component::Box, id).set(health),
        None => board.remove(Component::Box, id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(name: &str, has_link: bool) -> Card {
        Card { name: name.to_owned(), is_hardware: true, mac: None, has_link }
    }

    fn words(health: Option<&Health>) -> String {
        health.and_then(Health::fault).map(|fault| fault.what.clone()).unwrap_or_default()
    }

    #[tokio::test(start_paused = true)]
    async fn a_cable_that_is_out_is_told_and_one_that_is_out_for_a_moment_is_not() {
        let (mut links, named) = (Links::default(), ["eth0".to_owned()]);
        let mut look = |cards: &[Card]| links.look(cards, &named, Instant::now());
        let both = [card("eth0", true), card("eth1", false)];
        assert_eq!(look(&both), Some(Health::Healthy), "nobody asked for the second one");
        let none = [card("eth0", false), card("eth1", false)];
        assert_eq!(look(&none), Some(Health::Healthy));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(look(&none), Some(Health::Healthy), "it agrees on a speed");
        assert_eq!(look(&both), Some(Health::Healthy));
        tokio::time::advance(LINK_FIRST).await;
        assert_eq!(look(&none), Some(Health::Healthy), "counted anew");
        tokio::time::advance(LINK_BACK).await;
        assert!(matches!(look(&none), Some(Health::Failed(fault)) if fault.what.ends_with("other end: eth0, eth1")));
        let other = [card("eth0", false), card("eth1", true)];
        assert_eq!(words(look(&other).as_ref()), "the network card eth0 has no cable with somebody at its other end");
        assert_eq!(look(&both), Some(Health::Healthy));
        let swapped = [card("eth2", true)];
        assert!(words(look(&swapped).as_ref()).contains("the network card eth0, and this machine has none"));
        let container = [Card { is_hardware: false, ..card("eth0", false) }];
        assert_eq!((look(&container), look(&[])), (None, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_box_that_starts_without_a_cable_waits_for_the_switch() {
        let mut links = Links::default();
        let cards = [card("eth0", false)];
        assert_eq!(links.look(&cards, &[], Instant::now()), Some(Health::Healthy));
        tokio::time::advance(LINK_FIRST - LOOK).await;
        assert_eq!(links.look(&cards, &[], Instant::now()), Some(Health::Healthy));
        tokio::time::advance(LOOK).await;
        assert!(words(links.look(&cards, &[], Instant::now()).as_ref()).contains("no network card has a cable"));
    }

    #[test]
    fn a_clock_that_nobody_sets_is_told_after_a_while() {
        assert_eq!(clock(None, Duration::MAX), None);
        assert_eq!(clock(Some(true), Duration::MAX), Some(Health::Healthy));
        assert_eq!(clock(Some(false), CLOCK_SET / 2), Some(Health::Healthy));
        assert_eq!(words(clock(Some(false), CLOCK_SET).as_ref()), NOT_SET);
    }
}
