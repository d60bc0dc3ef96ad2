//! A tenant with a long backlog: what it takes of memory and of the processor.

use sapphire_edge::status::{Component, Count};
use serde_json::json;

use super::Site;
use crate::peers::process::Process;

/// As an export of sign-ins does.
const RECORDS: u64 = 100;

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
    let process = Process(edge.id());
    let (peak, cpu) = (process.peak_mib(), process.cpu().as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = records as f64 / cpu;
    println!("backlog: {records} records in {seconds:.1} s, {rate:.0} records per CPU-second, {peak} MiB at most");
    // Counted by the output: the file begins anew at its max_size.
    edge.line(Component::Output, "archive", |line| line.count(Count::DeliveredEvents) == records);
    edge.stop();
    site.hub.is_content();
}
