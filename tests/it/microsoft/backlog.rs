//! A tenant with a week of backlog: what it costs.

use sapphire_edge::status::{Component, Count};

use super::edge;
use crate::peers::microsoft::office365::BULK;
use crate::peers::microsoft::{Content, Microsoft, now};
use crate::peers::process::Process;

/// Records; `PULL_BACKLOG` says how many.
fn wanted() -> usize {
    std::env::var("PULL_BACKLOG").map_or(50_000, |text| text.parse().unwrap())
}

#[test]
fn a_weeks_backlog_comes_in_little_memory() {
    let double = Microsoft::start();
    let contents = wanted().div_ceil(BULK);
    {
        let mut state = double.state();
        state.page = 200;
        for number in 0..contents {
            let created = now() - 120 - i64::try_from(number * 590_000 / contents).unwrap();
            let id = format!("bulk-{number}$Audit_SharePoint$emea");
            let content_type = "Audit.SharePoint".to_owned();
            state.contents.push(Content { content_type, id, created, listed: 0, body: String::new() });
        }
    }
    let edge = edge(&double, "office365", "content_types = [\"Audit.SharePoint\"]\nrequests_per_minute = 100000");
    let events = u64::try_from(contents * BULK).unwrap();
    // However much it is, a tenth of it does not take long.
    for part in 1..=10 {
        edge.line(Component::Output, "file", |line| line.count(Count::DeliveredEvents) >= events * part / 10);
    }
    let line = edge.line(Component::Source, "office365", |line| line.count(Count::SettledEvents) >= events);
    assert_eq!(line.count(Count::ReceivedEvents), events);
    let process = Process(edge.id());
    let (peak, cpu) = (process.peak_mib(), process.cpu().as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = events as f64 / cpu;
    eprintln!("{events} records: {peak} MiB at most, {rate:.0} records per CPU-second, pulled and written to the file");
    edge.stop();
}
