//! `kill -9` at random instants while events come and links break: every record arrives, none under two ids.

use std::time::Duration;

use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::json;

use super::{Site, messages, numbered, wait_for};

/// Longest time between a start and the next kill: a connection, some batches, a state record.
const LONGEST: Duration = Duration::from_millis(1_200);
const PARTITIONS: usize = 2;

#[test]
fn killed_at_random_instants_it_reads_every_record_under_one_id() {
    let rounds = std::env::var("HUB_KILLS").ok().map_or(5, |rounds| rounds.parse().unwrap());
    let seed = std::env::var("HUB_SEED").ok().map_or_else(rand::random, |seed| seed.parse().unwrap());
    println!("HUB_SEED={seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let Some(site) = Site::new(&[("h", PARTITIONS, &["$Default"])]) else { return };
    let mut edge = site.edge(&site.source("event_hub = [\"h\"]\n"));
    let mut sent = 0;
    for _ in 0..rounds {
        for _ in 0..dice.random_range(1..6) {
            let (count, partition) = (dice.random_range(1..200), dice.random_range(0..PARTITIONS));
            site.hub.send("h", partition, numbered(sent..sent + count));
            sent += count;
            match dice.random_range(0..8) {
                0 => drop(site.hub.tell(&json!({ "do": "cut" }))),
                1 => drop(site.hub.tell(&json!({ "do": "detach", "condition": "amqp:link:detach-forced" }))),
                _ => {}
            }
            // Not a wait for a state: the instant is what is random.
            std::thread::park_timeout(LONGEST.mul_f64(dice.random::<f64>().powi(2)) / 4);
        }
        if dice.random_bool(0.3) {
            edge.signal(Signal::SIGTERM);
            edge.wait();
        } else {
            edge.kill();
        }
        edge.restart();
    }
    let events = wait_for(&edge, sent);
    let expected: Vec<String> = (0..sent).map(|number| format!("{{\"n\":{}}}", 100_000 + number)).collect();
    assert_eq!(messages(&events), expected, "a record is missing, or came under two ids");
    println!("hub kills: {rounds} rounds, {sent} records");
    // What it delivered may all be from before the last kill: it must be up before it can stop in good order.
    edge.log_line(&["started name="]);
    edge.stop();
    site.hub.is_content();
}
