//! A disk whose syncs take long: events and answers go the shorter way, and nothing starves.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sapphire_edge::clock::monotonic;
use sapphire_edge::status::{Component, Count};

use super::agent::{Agent, Habit};
use super::far_end::{FarEnd, keeps, one_id_each};
use super::link::Link;
use super::{BEATS, alone, drained, to_gateway};
use crate::peers::appliance::{Appliance, program, until};

/// Time that systemd's watchdog gives. The writer makes up to five syncs in a row (a new segment, its folder, the index, the
/// group), at its start one more for the ballast.
const WATCHDOG: Duration = Duration::from_secs(8);

/// The library that makes syncs slow.
pub fn shim(folder: &Path) -> PathBuf {
    let library = folder.join("slow_sync.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/endure/slow_sync.c");
    let mut cc = Command::new("cc");
    let status = cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&library).arg(source).status();
    assert!(status.expect("cc is missing; tests/run installs it").success());
    library
}

/// Signs of life that the service manager got; read without waiting.
fn signs(manager: &UnixDatagram) -> usize {
    let (mut buffer, mut signs) = ([0; 4_096], 0);
    while let Ok(count) = manager.recv(&mut buffer) {
        signs += usize::from(buffer[..count].starts_with(b"WATCHDOG=1"));
    }
    signs
}

/// How long the next windows of an agent take, each from the moment the last was answered.
fn answers(agent: &Agent, count: usize) -> Vec<Duration> {
    let one = |_| {
        let (before, begin) = (agent.acked(), monotonic());
        until("an answer", || (agent.acked() > before).then(|| begin.elapsed()))
    };
    (0..count).map(one).collect()
}

fn slow(sync: Duration) {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let manager = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    manager.set_nonblocking(true).unwrap();
    let gateway = FarEnd::start();
    let link = Link::new(gateway.address(), true);
    let settings = format!("{BEATS}{}", to_gateway(link.address()));
    let edge = Appliance::start_with(&settings, program(), |command| {
        command.env("LD_PRELOAD", shim(folder.path()));
        command.env("SLOW_SYNC_MS", sync.as_millis().to_string());
        command.env("NOTIFY_SOCKET", folder.path().join("notify"));
        command.env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
    });
    let agent = |name| Agent::start(name, Habit::Repeats, edge.address("tcp://127.0.0.1:0", 0), 1);
    let agents = [agent("a0"), agent("a1")];
    answers(&agents[0], 1);

    // With the gateway there a delivery answers, and nobody waits for the disk.
    let mut quick = answers(&agents[0], 40);
    quick.sort();
    println!("slow disk: {sync:?} a sync, gateway there: {:?} median, {:?} at most", quick[20], quick[39]);
    assert!(quick[20] < Duration::from_millis(100), "{quick:?}");
    assert!(quick[39] < sync.max(Duration::from_millis(500)), "an answer waited for a sync: {quick:?}");
    let spared = edge.line(Component::Queue, "queue", |line| line.count(Count::SparedBatches) > 0);
    assert!(spared.count(Count::SparedBatches) > 10, "{spared:#?}");

    // With the gateway gone the disk answers. What is being answered just now may still be a delivery.
    link.cut();
    answers(&agents[0], 2);
    signs(&manager);
    let begin = monotonic();
    let before = edge.line(Component::Queue, "queue", |_| true).count(Count::Syncs);
    until("groups are written", || {
        let now = edge.status()?.line(Component::Queue, "queue")?.count(Count::Syncs);
        (now >= before + 5).then_some(())
    });
    let took = begin.elapsed();
    println!("slow disk: {sync:?} a sync, gateway gone: 5 groups in {took:.1?}");
    // The first of the five may have begun before, and counts when it is through.
    assert!(took >= sync * 4, "5 groups in {took:?}");
    until("a sign of life", || (signs(&manager) > 0).then_some(()));
    assert!(!edge.all_lines().contains("no sign of life"), "{}", edge.all_lines());

    link.mend();
    let reports = agents.map(Agent::end);
    drained(&edge);
    edge.stop();
    let arrived = gateway.arrived();
    one_id_each(&arrived);
    reports.iter().for_each(|report| keeps(report, &arrived));
}

#[test]
fn a_sync_of_10_ms_holds_up_no_delivery() {
    slow(Duration::from_millis(10));
}

#[test]
fn a_sync_of_1_s_holds_up_no_delivery() {
    slow(Duration::from_secs(1));
}
