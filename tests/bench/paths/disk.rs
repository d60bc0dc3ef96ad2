//! What the disk does: with the receiver gone and back, with senders that wait for an answer, and in steady state.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Plan, mib, wait_for_all};
use crate::beats::{WINDOW, Windows};
use crate::certs::HOST;
use crate::collector::{Collector, Intake, Task, free_port};
use crate::peers::Subject;
use crate::receiver::{Marks, Protocol, Receiver};
use crate::report::{Column, Figures, Series, compared, shown};
use crate::send;

const GONE: [Column; 7] = [
    compared("stored/s", 0),
    shown("stored per CPU-second", 0),
    shown("disk bytes per event byte", 3),
    shown("on disk per event byte", 3),
    compared("caught up/s", 0),
    shown("caught up per CPU-second", 0),
    shown("peak MiB", 0),
];

const KEEPING: [Subject; 3] = [Subject::Ours, Subject::RsyslogDisk, Subject::SyslogNgDisk];

/// The receiver is gone while events come in, then it is back.
pub fn gone(plan: &Plan, slow_sync: Option<&PathBuf>) -> Result<String> {
    let mut text = String::from(
        "### TCP in with the receiver gone, then drained\n\nOurs syncs what it stores; the others do not.\n\n",
    );
    let run = |subject| without_receiver(plan, subject);
    text += &Series::run("gone", plan.rounds, &GONE, plan.subjects(&KEEPING), run).markdown();
    if let Some(library) = slow_sync {
        let mut plan = plan.clone();
        plan.bench.preload = Some(std::fs::canonicalize(library)?);
        text += "\nOurs with every sync made to take 10 ms longer, so at most 100 a second:\n\n";
        let run = |subject| without_receiver(&plan, subject);
        text += &Series::run("gone, slow syncs", plan.rounds, &GONE, &KEEPING[..1], run).markdown();
    }
    Ok(text)
}

fn without_receiver(plan: &Plan, subject: Subject) -> Result<Figures> {
    let (events, port) = (plan.events / 2, free_port()?);
    let to = format!("{HOST}:{port}").parse()?;
    let collector = Collector::start(&plan.bench, &Task { subject, to, to_lumberjack: false, from: Intake::Lines })?;
    let before = collector.usage()?;
    let sent = send::tcp(collector.listens, &plan.lines, events)?;
    let stored = collector.wait_until_quiet()?;
    let on_disk = collector.folder_bytes();
    let receiver = Receiver::start(Protocol::Syslog, &plan.bench.certs.server, Marks::None, port)?;
    wait_for_all(&receiver.counters, events)?;
    let time = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed) as f64 / 1e9;
    let drained = time(&receiver.counters.last) - time(&receiver.counters.first);
    let after = collector.wait_until_quiet()?;
    let (count, bytes) = (events as f64, plan.lines.bytes_of(events) as f64);
    Ok(vec![
        Some(count / sent.wall),
        Some(count / stored.cpu_seconds_since(&before)),
        Some((stored.written - before.written) as f64 / bytes),
        Some(on_disk as f64 / bytes),
        Some(count / drained),
        Some(count / after.cpu_seconds_since(&stored)),
        Some(mib(after.peak_resident)),
    ])
}

const BEATS: [Column; 5] = [
    compared("events/s", 0),
    compared("events per CPU-second", 0),
    shown("disk bytes per event byte", 3),
    shown("peak MiB", 0),
    shown("generator CPU %", 0),
];

/// Lumberjack in over one connection, acknowledged when the events are on the disk: the receiver is gone.
pub fn beats(plan: &Plan) -> Result<String> {
    let mut text = String::from(
        "### Lumberjack in over one TLS connection, acknowledged when settled\n\nWindows of 2,048 events, zlib level 3. The receiver is gone, so settled means synced.\n\n",
    );
    let windows = Windows::make(&plan.lines, 64);
    let subjects = [Subject::Ours, Subject::OursDiscarding];
    let run = |subject| from_beats(plan, &windows, subject);
    text += &Series::run("lumberjack in", plan.rounds, &BEATS, &subjects, run).markdown();
    Ok(text)
}

fn from_beats(plan: &Plan, windows: &Windows, subject: Subject) -> Result<Figures> {
    let count = (plan.events / 2 / WINDOW).max(1);
    let to = format!("{HOST}:{}", free_port()?).parse()?;
    let task = Task { subject, to, to_lumberjack: false, from: Intake::Lumberjack };
    let collector = Collector::start(&plan.bench, &task)?;
    let before = collector.usage()?;
    let sent = windows.send(collector.listens, &plan.bench.certs, count)?;
    let after = collector.wait_until_quiet()?;
    Ok(vec![
        Some(sent.events as f64 / sent.wall),
        Some(sent.events as f64 / after.cpu_seconds_since(&before)),
        Some((after.written - before.written) as f64 / windows.raw_of(count) as f64),
        Some(mib(after.peak_resident)),
        Some(100.0 * sent.cpu / sent.wall),
    ])
}

const STEADY: [Column; 3] = [shown("disk bytes per event byte", 4), shown("CPU %", 1), shown("peak MiB", 0)];

/// A steady load with the receiver there.
pub fn steady(plan: &Plan) -> Result<String> {
    const RATE: u64 = 10_000;
    let mut text = format!("### Steady state: {RATE} events/s over TCP, the receiver there\n\n");
    let events = RATE * if plan.rounds == 1 { 3 } else { 15 };
    let subjects = [Subject::Ours, Subject::RsyslogDisk, Subject::SyslogNgDisk];
    text += "Ours with Lumberjack out (acknowledged):\n\n";
    let run = |subject| steadily(plan, subject, RATE, events, Protocol::Lumberjack);
    text += &Series::run("steady lumberjack", plan.rounds, &STEADY, &subjects[..1], run).markdown();
    text += "\nSyslog out, which acknowledges nothing:\n\n";
    let run = |subject| steadily(plan, subject, RATE, events, Protocol::Syslog);
    text += &Series::run("steady syslog", plan.rounds, &STEADY, plan.subjects(&subjects), run).markdown();
    Ok(text)
}

fn steadily(plan: &Plan, subject: Subject, rate: u64, events: u64, protocol: Protocol) -> Result<Figures> {
    let receiver = Receiver::start(protocol, &plan.bench.certs.server, Marks::None, 0)?;
    let task =
        Task { subject, to: receiver.address, to_lumberjack: protocol == Protocol::Lumberjack, from: Intake::Lines };
    let collector = Collector::start(&plan.bench, &task)?;
    std::thread::sleep(Duration::from_secs(1));
    let (before, start) = (collector.usage()?, Instant::now());
    send::tcp_paced(collector.listens, &plan.marked, rate, events)?;
    wait_for_all(&receiver.counters, events)?;
    let (after, wall) = (collector.usage()?, start.elapsed().as_secs_f64());
    Ok(vec![
        Some((after.written - before.written) as f64 / plan.marked.bytes_of(events) as f64),
        Some(100.0 * after.cpu_seconds_since(&before) / wall),
        Some(mib(after.peak_resident)),
    ])
}
