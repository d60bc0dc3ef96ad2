//! Killed at random while records come late, twice and out of order: every record arrives, none under two ids.

use std::collections::BTreeSet;
use std::time::Duration;

use super::edge;
use crate::microsoft::arrived;
use crate::peers::duo::{Duo, LOGS, ago};

/// Rounds; `DUO_KILLS` says how many.
fn rounds() -> usize {
    std::env::var("DUO_KILLS").map_or(5, |text| text.parse().unwrap())
}

#[test]
fn killed_at_random_every_record_arrives_under_one_id() {
    let double = Duo::start();
    double.state().page = 3;
    double.state().repeats = true;
    let mut edge = edge(&double, "backfill = \"2h\"\noverlap = \"90m\"");
    let mut expected = BTreeSet::new();
    for round in 0..rounds() {
        double.state().shuffles = round % 2 == 1;
        for (at, log) in LOGS.into_iter().cycle().take(60).enumerate() {
            // Listed later than it happened, but less than the overlap; many in one second.
            let time = ago(125 + rand::random_range(0..2_000) / 20 * 20);
            expected.insert(double.add(log, &format!("{round}-{at}"), time));
        }
        std::thread::park_timeout(Duration::from_millis(rand::random_range(50..2_500)));
        edge.kill();
        edge.restart();
    }
    arrived(&edge, &expected);
    assert_eq!(double.state().sins, Vec::<String>::new());
    // What it delivered may all be from before the last kill: it must be up before it can stop in good order.
    edge.log_line(&["started name="]);
    edge.stop();
}
