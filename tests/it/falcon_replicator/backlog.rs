//! One file of many MiB: what it costs, and that its message stays hidden meanwhile.

use sapphire_edge::status::{Component, Count};

use super::{BUCKET, Replicator, events};
use crate::peers::process::Process;
use crate::umbrella::gz;

/// MiB of lines; `REPLICATOR_BACKLOG` says how many.
fn wanted() -> usize {
    std::env::var("REPLICATOR_BACKLOG").map_or(256, |text| text.parse().unwrap())
}

#[test]
fn a_large_file_comes_in_little_memory_while_its_message_stays_hidden() {
    let Some(replicator) = Replicator::start() else { return };
    // A member of the stream for each MiB.
    let lines = events("large", 4_000);
    let member = lines.join("\n") + "\n";
    let times = (wanted() << 20) / member.len();
    let path = replicator.put_as(BUCKET, "data/0d1f/part-00000.gz", &gz(&member).repeat(times));
    replicator.tell(BUCKET, "data/0d1f", &[&path]);
    let events = (lines.len() * times) as u64;
    let edge = replicator.edge("visibility_timeout = \"1s\"");
    // However much it is, a tenth of it does not take long.
    for part in 1..=10 {
        let part = events * part / 10;
        edge.line(Component::Source, "falcon_replicator", |line| line.count(Count::SettledEvents) >= part);
    }
    let line = edge.line(Component::Source, "falcon_replicator", |line| line.count(Count::SettledEvents) >= events);
    replicator.all_deleted();
    assert_eq!((line.count(Count::ReceivedEvents), replicator.reads(&path)), (events, 1));
    let peak = Process(edge.id()).peak_mib();
    eprintln!("{} MiB of lines, {events} events: {peak} MiB at most", wanted());
    edge.stop();
}
