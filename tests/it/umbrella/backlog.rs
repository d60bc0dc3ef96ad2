//! One object of many MiB: what it costs.

use std::fs;

use sapphire_edge::status::{Component, Count};

use super::{dns, gz, name, settings};
use crate::peers::appliance::Appliance;
use crate::peers::s3::S3;

/// What an appliance may use at most (requirements of the box), in MiB.
const MOST_MIB: u64 = 96;

/// MiB of CSV; `UMBRELLA_BACKLOG` says how many.
fn wanted() -> usize {
    std::env::var("UMBRELLA_BACKLOG").map_or(64, |text| text.parse().unwrap())
}

/// A number of `/proc/PID/status`, in KiB.
fn memory(id: u32, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
}

/// Seconds of CPU that a process has used.
fn cpu(id: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = text.rsplit_once(") ").unwrap().1.split(' ').collect();
    // utime and stime, in ticks of 10 ms.
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
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
    let (peak, cpu) = (memory(edge.id(), "VmHWM") / 1_024, cpu(edge.id()));
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let (rate, speed) = (events as f64 / cpu, bytes as f64 / cpu / 1e6);
    eprintln!(
        "{} MiB of CSV, {events} rows: {peak} MiB at most, {rate:.0} rows and {speed:.1} MB of CSV per CPU-second, pulled and written",
        wanted()
    );
    assert!(peak < MOST_MIB, "{peak} MiB");
    edge.stop();
}
