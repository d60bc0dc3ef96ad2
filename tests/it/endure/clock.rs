//! A wall clock that jumps by years, there and back, while agents send.

use std::fs;
use std::time::Duration;

use sapphire_edge::clock::monotonic;
use sapphire_edge::status::{Component, Count, Health};

use super::agent::{Agent, Habit};
use super::far_end::{FarEnd, keeps, one_id_each};
use super::link::Link;
use super::{BEATS, alone, drained, ledger, to_gateway};
use crate::peers::appliance::{Appliance, faketime, program, until};
use crate::peers::process::Process;

#[test]
fn a_clock_that_jumps_by_years_stops_nothing() {
    let _alone = alone();
    let Some(library) = faketime() else { return println!("clock: skipped, the package faketime is not installed") };
    let folder = tempfile::tempdir().unwrap();
    let offset = folder.path().join("offset");
    let jump = |to: &str| {
        fs::write(offset.with_extension("new"), to).unwrap();
        fs::rename(offset.with_extension("new"), &offset).unwrap();
    };
    jump("+0");
    let gateway = FarEnd::start();
    let link = Link::new(gateway.address(), true);
    let mut edge = Appliance::start_with(&format!("{BEATS}{}", to_gateway(link.address())), program(), |command| {
        command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &offset);
        // A clock that is set moves the wall time alone.
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    });
    let to = edge.address("tcp://127.0.0.1:0", 0);
    let agents = ["a0", "a1"].map(|name| Agent::start(name, Habit::Repeats, to, 1));
    let total = || agents.iter().map(Agent::acked).sum::<u64>();
    let get_on = || {
        let before = total();
        until("agents get on", || (total() > before + 1_000).then_some(()));
    };
    let year = || edge.status().map(|status| status.at[..4].parse::<u32>().unwrap());
    let now = until("the status", year);
    for (offset, years) in [("+5y", 5), ("-5y", -5), ("+0", 0), ("-20y", -20), ("+10y", 10)] {
        jump(offset);
        until("the clock has jumped", || year().filter(|year| year.abs_diff(now.saturating_add_signed(years)) <= 1));
        // Answers by delivery, then by flushes.
        get_on();
        link.cut();
        let syncs = || edge.status()?.line(Component::Queue, "queue").map(|line| line.count(Count::Syncs));
        let before = until("the status", syncs);
        until("flushes", || syncs().filter(|now| *now > before + 1));
        link.mend();
        get_on();
    }
    let reports = agents.map(Agent::end);
    drained(&edge);
    edge.line(Component::Output, "gateway", |line| line.health == Health::Healthy);
    // Nothing is due any more, whatever the clock says: it sleeps.
    let (begin, used) = (monotonic(), Process(edge.id()).cpu());
    until("two seconds", || (begin.elapsed() > Duration::from_secs(2)).then_some(()));
    let share = (Process(edge.id()).cpu() - used).div_duration_f64(begin.elapsed());
    println!("clock: {:.1} % of a core at rest", share * 100.0);
    assert!(share < 0.1, "{:.1} % of a core", share * 100.0);
    edge.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(edge.wait().success(), "{}", edge.all_lines());
    let arrived = gateway.arrived();
    one_id_each(&arrived);
    reports.iter().for_each(|report| keeps(report, &arrived));
    let totals = ledger(edge.folder())[&"beats".into()].clone();
    println!("clock: {totals:?}");
    assert_eq!((totals.queued(), totals.dropped.len()), (0, 0), "{totals:?}");
    let acked: u64 = reports.iter().flat_map(|report| &report.acked).map(|window| window.end - window.start).sum();
    assert!(totals.received >= acked, "{acked} acknowledged, but {totals:?}");
}
