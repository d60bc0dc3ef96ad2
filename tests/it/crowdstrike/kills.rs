//! Killed at random while streams end, repeat and come in pieces: every event arrives, none under two ids.

use std::time::Duration;

use super::{all, arrived, edge};
use crate::peers::crowdstrike::Falcon;

/// Rounds; `FALCON_KILLS` says how many.
fn rounds() -> usize {
    std::env::var("FALCON_KILLS").map_or(5, |text| text.parse().unwrap())
}

#[test]
fn killed_at_random_every_event_arrives_under_one_id() {
    let double = Falcon::start(&["0", "1"]);
    {
        let mut state = double.state();
        (state.manner.repeats, state.manner.pieces, state.interval) = (true, 100, 2);
    }
    let mut edge = edge(&double, "");
    for _ in 0..rounds() {
        for number in 0..200 {
            let (partition, name) = [("0", "AuthActivityAuditEvent"), ("1", "UserActivityAuditEvent")][number % 2];
            double.event(partition, name);
            if number == 100 {
                double.state().manner.cut_after = rand::random_bool(0.5).then(|| rand::random_range(1..30_000));
                std::thread::park_timeout(Duration::from_millis(rand::random_range(50..1_500)));
            }
        }
        edge.kill();
        edge.restart();
    }
    double.state().manner.cut_after = None;
    arrived(&edge, &all(&double));
    assert_eq!(double.state().sins, Vec::<String>::new());
    edge.log_line(&["started name="]);
    edge.stop();
}
