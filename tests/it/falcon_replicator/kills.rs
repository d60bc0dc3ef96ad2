//! Killed at random while messages come, links break and files are told of twice: every event arrives, none under two ids.

use std::time::Duration;

use super::{BUCKET, Replicator, events};

/// Rounds; `REPLICATOR_KILLS` says how many.
fn rounds() -> usize {
    std::env::var("REPLICATOR_KILLS").map_or(5, |text| text.parse().unwrap())
}

#[test]
fn killed_at_random_every_event_arrives_under_one_id() {
    let Some(mut replicator) = Replicator::start() else { return };
    let mut edge = replicator.edge("visibility_timeout = \"1s\"");
    for round in 0..rounds() {
        for number in 0..4 {
            let folder = format!("data/{round:04}-{number}");
            let paths: Vec<String> = (0..rand::random_range(1..4))
                .map(|part| {
                    // One is longer than a page.
                    let count = if part == 0 && number == 0 { 2_000 } else { rand::random_range(1..50) };
                    replicator
                        .put(&format!("{folder}/part-{part}.gz"), &events(&format!("{round}-{number}-{part}"), count))
                })
                .collect();
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            replicator.tell(BUCKET, &folder, &paths);
            if number == 1 {
                replicator.tell(BUCKET, &folder, &paths);
            }
        }
        match rand::random_range(0..4) {
            0 => replicator.aws.cut(&format!("{round:04}-"), rand::random_range(1..3)),
            1 => replicator.aws.refuse("part-0", 2, 503, "SlowDown"),
            2 => replicator.aws.refuse("part-1", 1, 403, "AccessDenied"),
            _ => {}
        }
        std::thread::park_timeout(Duration::from_millis(rand::random_range(50..2_000)));
        edge.kill();
        edge.restart();
    }
    replicator.arrived(&edge);
    // What it delivered may all be from before the last kill: it must be up before it can stop in good order.
    edge.log_line(&["started name="]);
    edge.stop();
}
