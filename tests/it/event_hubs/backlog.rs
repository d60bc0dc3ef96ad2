//! A tenant with a long backlog: what it takes of memory and of the processor.

use sapphire_edge::status::{Component, Count};
use serde_json::json;

use super::Site;

/// The bound for a million records, and so for fewer.
const MOST_MEMORY_KIB: u64 = 96 << 10;
/// As an export of sign-ins does.
const RECORDS: u64 = 100;

fn number(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_ascii_whitespace().find_map(|word| word.parse().ok()).unwrap()
}

#[test]
fn a_backlog_is_read_in_bounded_memory() {
    let records = std::env::var("HUB_BACKLOG").ok().map_or(100_000, |records| records.parse().unwrap());
    let Some(site) = Site::new(&[("h", 4, &["$Default"])]) else { return };
    for partition in 0..4 {
        site.hub.tell(&json!({
            "do": "fill", "hub": "h", "partition": partition.to_string(), "events": records / RECORDS / 4,
            "records": RECORDS, "size": 250,
        }));
    }
    let edge = site.edge(&site.source("event_hub = [\"h\"]\n"));
    let begin = sapphire_edge::clock::monotonic();
    edge.received("azure", records);
    let seconds = begin.elapsed().as_secs_f64();
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", edge.id())).unwrap();
    let (status, stat) = (read("status"), read("stat"));
    // Fields 14 and 15 of proc(5), in hundredths of a second; the name in parentheses is the second.
    let ticks: u64 =
        stat.rsplit(") ").next().unwrap().split(' ').skip(11).take(2).map(|n| n.parse::<u64>().unwrap()).sum();
    let memory = number(&status, "VmHWM:");
    println!(
        "backlog: {records} records in {seconds:.1} s, {:.0} records per CPU-second, at most {} MiB",
        records as f64 * 100.0 / ticks as f64,
        memory >> 10
    );
    assert!(memory < MOST_MEMORY_KIB, "{memory} KiB");
    // Counted by the output: the file begins anew at its max_size.
    edge.line(Component::Output, "archive", |line| line.count(Count::DeliveredEvents) == records);
    edge.stop();
    site.hub.is_content();
}
