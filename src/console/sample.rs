//! What a program might say, for tests of what the screen makes of it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::ask::Seen;
use super::cards::Card;
use crate::clock::Clock;
use crate::control::Face;
use crate::status::{Board, Component, Count, Gauge, Health};
use crate::update;

pub(super) const CODE: &str = "0A1B-C2D3-E4F5";

/// A box without a fault.
pub(super) fn board() -> Board {
    let board = Board::new(Clock::Fixed(Arc::new(AtomicU64::new(1_700_000_000_000_000))));
    for (component, id) in [
        (Component::Source, "firewalls"),
        (Component::Queue, "queue"),
        (Component::Output, "gateway"),
        (Component::Box, "page"),
    ] {
        board.handle(component, id).set(Health::Healthy);
    }
    board.handle(Component::Source, "firewalls").counters().add(Count::ReceivedEvents, 12_345);
    let queue = board.handle(Component::Queue, "queue");
    queue.counters().set(Gauge::QueuedEvents, 1_000);
    queue.counters().set(Gauge::OldestSeconds, 90);
    queue.counters().set(Gauge::QueueLimitBytes, 8 << 30);
    board
}

/// A box that somebody has claimed.
pub(super) fn claimed(board: &Board) -> Seen {
    let face = Face {
        name: "edge-1".to_owned(),
        page: vec!["0.0.0.0:443".parse().unwrap()],
        is_claimed: true,
        actions: true,
        ..Face::default()
    };
    let update = update::Status { version: "1.2.3".to_owned(), ..update::Status::default() };
    Seen { snapshot: board.snapshot(), face, update, settings: None }
}

/// A box that nobody has claimed.
pub(super) fn new(board: &Board) -> Seen {
    let todo = "open https://<this box's address> (port 443) and type the claim code";
    let page = board.handle(Component::Box, "page");
    page.set(Health::degraded("nobody has claimed this box", todo));
    page.counters().set(Gauge::Unclaimed, 1);
    let mut seen = claimed(board);
    seen.face.is_claimed = false;
    seen.face.claim_code = Some(CODE.to_owned());
    seen.face.certificate = Some(format!("sha256{}", ":AB".repeat(32)));
    seen
}

/// Cards: one with a cable, one without.
pub(super) fn cards() -> Vec<Card> {
    let address = IpAddr::from([192, 0, 2, 10]);
    vec![
        Card { name: "eth0".to_owned(), addresses: vec![(address, 24)], has_link: true },
        Card { name: "eth1".to_owned(), addresses: Vec::new(), has_link: false },
    ]
}
