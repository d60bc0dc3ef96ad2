//! Killed at random while events come, late and twice, and links break: every event arrives, none under two ids.

use std::time::Duration;

use super::{all_arrived, edge};
use crate::peers::amp::{Amp, event, now};

/// Rounds; `AMP_KILLS` says how many.
fn rounds() -> u64 {
    std::env::var("AMP_KILLS").map_or(5, |text| text.parse().unwrap())
}

#[test]
fn killed_at_random_every_event_arrives_under_one_id() {
    let Some(double) = Amp::start() else { return };
    double.state().page = 7;
    let mut edge = edge(&double, "backfill = \"2h\"");
    for round in 0..rounds() {
        for part in 0..5 {
            let from = round * 1_000 + part * 20;
            let events: Vec<_> =
                (from..from + 20).map(|number| event(number, now() - rand::random_range(0..1_000))).collect();
            // Some come twice.
            let again: Vec<_> = events.iter().take(3).cloned().collect();
            double.happen(events);
            double.happen(again);
            match rand::random_range(0..6) {
                0 => double.relay.cut(),
                1 => double.relay.cut_after(std::iter::once(rand::random_range(1..8_000))),
                _ => {}
            }
            std::thread::park_timeout(Duration::from_millis(rand::random_range(5..300)));
        }
        edge.kill();
        edge.restart();
    }
    all_arrived(&double, &edge);
    assert_eq!(double.state().sins, Vec::<String>::new());
    edge.log_line(&["started name="]);
    edge.stop();
}
