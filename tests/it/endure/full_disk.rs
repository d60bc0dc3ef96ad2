//! A disk that somebody else fills, twice, while agents send.

use std::time::Duration;

use nix::sys::signal::Signal;
use sapphire_edge::clock::monotonic;
use sapphire_edge::status::{Component, Health};

use super::agent::{Agent, Habit};
use super::far_end::{FarEnd, keeps, one_id_each};
use super::link::Link;
use super::small_disk::SmallDisk;
use super::{BEATS, alone, drained, ledger, seed, to_gateway};
use crate::peers::appliance::{Appliance, until};

/// How soon the status has to say it.
const WORDS_IN: Duration = Duration::from_secs(5);

/// Waits until the status says that the disk is full.
fn says_that_it_is_full(edge: &Appliance) {
    let begin = monotonic();
    let is_full = |health: &Health| health.fault().is_some_and(|fault| fault.what.contains("the disk is full"));
    let line = edge.line(Component::Queue, "queue", |line| is_full(&line.health));
    assert!(begin.elapsed() < WORDS_IN, "it took {:?} to say", begin.elapsed());
    assert_eq!(line.health.word(), "failed");
    assert!(line.health.fault().unwrap().todo.contains("free space"), "{:?}", line.health);
}

fn total(agents: &[Agent]) -> u64 {
    agents.iter().map(Agent::acked).sum()
}

fn get_on(agents: &[Agent]) {
    let before = total(agents);
    until("agents get on", || (total(agents) > before + 1_000).then_some(()));
}

#[test]
fn a_disk_that_is_full_twice_loses_nothing_that_was_acknowledged() {
    let _alone = alone();
    let disk = match SmallDisk::mount() {
        Ok(disk) => disk,
        Err(why) => return println!("full disk: skipped, a small disk cannot be mounted: {why}"),
    };
    let seed = seed("full disk");
    let gateway = FarEnd::start();
    let link = Link::new(gateway.address(), false);
    let mut edge = Appliance::start(&format!(
        "state_dir = \"{}\"\n[control]\nsocket = \"{{dir}}/control.sock\"\n[queue]\nsegment_size = \
         \"1MiB\"\nflush_after = \"50ms\"\n{BEATS}{}",
        disk.path().join("state").display(),
        to_gateway(link.address())
    ));
    let address = |edge: &Appliance| edge.address("tcp://127.0.0.1:0", 0);
    let agents = [("a0", Habit::Repeats), ("a1", Habit::Forgets), ("a2", Habit::Repeats)]
        .map(|(name, habit)| Agent::start(name, habit, address(&edge), seed));
    get_on(&agents);

    // Full, and the gateway away: nothing can be answered. Then the gateway comes, and what it takes can be.
    disk.fill();
    says_that_it_is_full(&edge);
    link.mend();
    get_on(&agents);
    link.cut();
    // Killed in this state, and started in it.
    says_that_it_is_full(&edge);
    edge.kill();
    edge.restart();
    agents.iter().for_each(|agent| agent.turn_to(address(&edge)));
    says_that_it_is_full(&edge);
    disk.free();
    edge.line(Component::Queue, "queue", |line| line.health == Health::Healthy);
    get_on(&agents);

    // Once more; and stopped in this state.
    disk.fill();
    says_that_it_is_full(&edge);
    let begin = monotonic();
    edge.signal(Signal::SIGTERM);
    let status = edge.wait();
    println!("full disk: stopped in {:.1?}", begin.elapsed());
    assert!(status.success(), "{status}\n{}", edge.all_lines());
    assert!(begin.elapsed() < Duration::from_secs(12), "{:?}\n{}", begin.elapsed(), edge.all_lines());
    assert!(edge.all_lines().contains("stopped took_secs="), "{}", edge.all_lines());

    disk.free();
    link.mend();
    edge.restart();
    agents.iter().for_each(|agent| agent.turn_to(address(&edge)));
    get_on(&agents);
    let reports = agents.map(Agent::end);
    drained(&edge);
    assert!(!edge.all_lines().contains("did not end in good order"), "{}", edge.all_lines());
    edge.signal(Signal::SIGTERM);
    assert!(edge.wait().success(), "{}", edge.all_lines());
    let arrived = gateway.arrived();
    one_id_each(&arrived);
    reports.iter().for_each(|report| keeps(report, &arrived));
    let totals = ledger(&disk.path().join("state"))[&"beats".into()].clone();
    println!("full disk: {totals:?}");
    assert_eq!((totals.queued(), totals.dropped.len()), (0, 0), "{totals:?}");
}
