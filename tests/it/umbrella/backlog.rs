//! One object of many MiB: what it costs.

use sapphire_edge::status::{Component, Count};

use super::{dns, gz, name, settings};
use crate::peers::appliance::Appliance;
use crate::peers::process::Process;
use crate::peers::s3::S3;

/// MiB of CSV; `UMBRELLA_BACKLOG` says how many.
fn wanted() -> usize {
    std::env::var("UMBRELLA_BACKLOG").map_or(64, |text| text.parse().unwrap())
}

#[test]
fn a_large_object_comes_in_little_memory() {
    let double = S3::start();
    // A member of the stream for each MiB.
    let (mut member, mut rows) = (String::new(), 0_u64);
    while member.len() < 1 << 20 {
        member.push_str(&dns(&format!("{:016x}", rand::random::<u64>())));
        member.push('\n');
        rows += 1;
    }
    let bytes = member.len() * wanted();
    double.put(&name(&double, "dnslogs", 60, "huge"), gz(&member).repeat(wanted()));
    let events = rows * wanted() as u64;
    // Files that are renamed, as they are by default: it is more than a test should leave on a disk.
    let edge = Appliance::start(&settings(&double, "").replace("max_size = \"64GiB\"\n", ""));
    // However much it is, a tenth of it does not take long.
    for part in 1..=10 {
        edge.line(Component::Output, "file", |line| line.count(Count::DeliveredEvents) >= events * part / 10);
    }
    let line = edge.line(Component::Source, "umbrella", |line| line.count(Count::SettledEvents) >= events);
    assert_eq!(line.count(Count::ReceivedEvents), events);
    let process = Process(edge.id());
    let (peak, cpu) = (process.peak_mib(), process.cpu().as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let (rate, speed) = (events as f64 / cpu, bytes as f64 / cpu / 1e6);
    eprintln!(
        "{} MiB of CSV, {events} rows: {peak} MiB at most, {rate:.0} rows and {speed:.1} MB of CSV per CPU-second, pulled and written",
        wanted()
    );
    edge.stop();
}
