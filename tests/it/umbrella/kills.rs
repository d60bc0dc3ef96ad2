//! Killed at random while objects come late and links break: every row arrives, none under two ids.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{arrived, dns, edge, name, put};
use crate::peers::s3::S3;

/// Rounds; `UMBRELLA_KILLS` says how many.
fn rounds() -> usize {
    std::env::var("UMBRELLA_KILLS").map_or(5, |text| text.parse().unwrap())
}

#[test]
fn killed_at_random_every_row_arrives_under_one_id() {
    let double = S3::start();
    let mut expected = BTreeSet::new();
    put(&double, &name(&double, "dnslogs", 60, "0000"), &[dns("start")], &mut expected);
    put(&double, &name(&double, "iplogs", 60, "0000"), &[dns("start")], &mut expected);
    let mut edge = edge(&double, "");
    for round in 0..rounds() {
        for number in 0..12 {
            let folder = if number % 3 == 0 { "iplogs" } else { "dnslogs" };
            let path = name(&double, folder, rand::random_range(0..200_000), &format!("{round:02x}{number:02x}"));
            // One is longer than two pages.
            let count = if number == 0 { 800 } else { rand::random_range(1..50) };
            let rows: Vec<String> = (0..count).map(|row| dns(&format!("{round}-{number}-{row}"))).collect();
            put(&double, &path, &rows, &mut expected);
        }
        double.state().cuts += rand::random_range(0..3);
        std::thread::park_timeout(Duration::from_millis(rand::random_range(50..2_500)));
        edge.kill();
        edge.restart();
    }
    arrived(&edge, &expected);
    assert_eq!(double.state().sins, BTreeSet::new());
    // What it delivered may all be from before the last kill: it must be up before it can stop in good order.
    edge.log_line(&["started name="]);
    edge.stop();
}
