//! `kill -9` at random instants while agents send: what was acknowledged arrives, once, under one id.

use std::time::Duration;

use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::agent::{Agent, Habit};
use super::far_end::{FarEnd, keeps, one_id_each};
use super::link::Link;
use super::{BEATS, drained, ledger, seed, to_gateway, wish};
use crate::peers::appliance::{Appliance, until};

/// Longest time between a start and the next kill: several flushes, and a state record.
const LONGEST: Duration = Duration::from_millis(1_500);

fn address(edge: &Appliance) -> std::net::SocketAddr {
    edge.address("tcp://127.0.0.1:0", 0)
}

#[test]
fn killed_at_random_instants_it_keeps_and_counts_all_that_was_acknowledged() {
    kill(wish("ENDURE_KILLS", 20), "durable_or_delivered");
}

#[test]
fn where_only_the_disk_settles_it_keeps_and_counts_all_that_was_acknowledged() {
    kill(wish("ENDURE_KILLS", 20) / 4, "durable");
}

/// Kills it so often, then checks the promise.
fn kill(kills: u32, settle: &str) {
    let seed = seed(&format!("kill, settle = {settle}"));
    let mut dice = StdRng::seed_from_u64(seed);
    let gateway = FarEnd::start();
    let link = Link::new(gateway.address(), true);
    let settings = format!(
        "[queue]\nsettle = \"{settle}\"\nflush_after = \"50ms\"\nsegment_size = \"1MiB\"\n{BEATS}{}",
        to_gateway(link.address())
    );
    let mut edge = Appliance::start(&settings);
    let agent = |name: &str, habit, edge: &Appliance| Agent::start(name, habit, address(edge), seed);
    let agents =
        [agent("a0", Habit::Repeats, &edge), agent("a1", Habit::Repeats, &edge), agent("a2", Habit::Forgets, &edge)];
    for _ in 0..kills {
        // With the gateway there a delivery settles, without it the disk does.
        if dice.random_bool(0.4) {
            link.cut();
        } else {
            link.mend();
        }
        let before: u64 = agents.iter().map(Agent::acked).sum();
        until("agents get on", || (agents.iter().map(Agent::acked).sum::<u64>() > before).then_some(()));
        // Not a wait for a state: the instant is what is random.
        std::thread::park_timeout(LONGEST.mul_f64(dice.random::<f64>().powi(2)));
        edge.kill();
        edge.restart();
        agents.iter().for_each(|agent| agent.turn_to(address(&edge)));
    }
    link.mend();
    let reports = agents.map(Agent::end);
    drained(&edge);
    edge.signal(Signal::SIGTERM);
    assert!(edge.wait().success(), "{}", edge.all_lines());
    let arrived = gateway.arrived();
    let different = one_id_each(&arrived).len();
    reports.iter().for_each(|report| keeps(report, &arrived));
    let acked: u64 = reports.iter().flat_map(|report| &report.acked).map(|window| window.end - window.start).sum();
    println!("kill: {kills} kills, {acked} acknowledged, {different} different of {} arrived", arrived.len());
    let totals = ledger(edge.folder())[&"beats".into()].clone();
    println!("kill: ledger {totals:?}");
    assert_eq!((totals.queued(), totals.dropped.len()), (0, 0), "{totals:?}");
    assert_eq!(totals.received, totals.delivered, "{totals:?}");
    // More than that if a window was taken twice: its acknowledgement was killed.
    assert!(totals.received >= acked, "{acked} acknowledged, but {totals:?}");
}
