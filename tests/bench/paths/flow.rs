//! With the receiver there: TCP or UDP in, TLS out.

use std::fmt::Write as _;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;

use super::{Plan, mib, wait_for, wait_for_all};
use crate::collector::{Collector, Intake, Task};
use crate::delay::Delay;
use crate::limits;
use crate::measure::now;
use crate::peers::Subject;
use crate::receiver::{Marks, Protocol, Receiver};
use crate::report::{Column, Figures, Series, compared, shown};
use crate::send;

const TCP: [Column; 6] = [
    compared("events per CPU-second", 0),
    shown("events/s", 0),
    shown("peak MiB", 0),
    shown("disk bytes per event byte", 3),
    shown("generator CPU %", 0),
    shown("receiver CPU %", 0),
];

const ALL: [Subject; 5] =
    [Subject::Ours, Subject::RsyslogMemory, Subject::RsyslogDisk, Subject::SyslogNgMemory, Subject::SyslogNgDisk];

/// TCP in, TLS out, the receiver on the same machine.
pub fn tcp(plan: &Plan) -> Result<String> {
    let mut text = String::from("### TCP in, TLS out\n\nOurs sends the original bytes as syslog.\n\n");
    let run = |subject| through_tcp(plan, subject, plan.events, Protocol::Syslog, Duration::ZERO);
    text += &Series::run("tcp", plan.rounds, &TCP, plan.subjects(&ALL), run).markdown();
    text += "\nOurs with Lumberjack out, JSON made of each event, acknowledged by the receiver:\n\n";
    let run = |subject| through_tcp(plan, subject, plan.events / 4, Protocol::Lumberjack, Duration::ZERO);
    text += &Series::run("tcp to lumberjack", plan.rounds, &TCP, &ALL[..1], run).markdown();
    Ok(text)
}

/// The same with the receiver far away.
pub fn far(plan: &Plan) -> Result<String> {
    let mut text = String::new();
    for millis in [40, 150] {
        let (away, events) = (Duration::from_millis(millis), plan.events / 2);
        let _ = write!(text, "### TCP in, TLS out, {millis} ms to the receiver and back\n\n");
        let run = |subject| through_tcp(plan, subject, events, Protocol::Syslog, away);
        let title = format!("{millis} ms");
        text += &Series::run(&title, plan.rounds, &TCP, plan.subjects(&ALL), run).markdown();
        text += "\nOurs with Lumberjack out:\n\n";
        let run = |subject| through_tcp(plan, subject, events / 4, Protocol::Lumberjack, away);
        text += &Series::run(&title, plan.rounds, &TCP, &ALL[..1], run).markdown();
        text.push('\n');
    }
    Ok(text)
}

fn through_tcp(plan: &Plan, subject: Subject, events: u64, protocol: Protocol, away: Duration) -> Result<Figures> {
    watched(plan, subject, events, protocol, away, |_| Ok(()))
}

/// The same while somebody looks, who is made when the collector runs and goes at the end.
pub(super) fn watched<W>(
    plan: &Plan,
    subject: Subject,
    events: u64,
    protocol: Protocol,
    away: Duration,
    watch: impl FnOnce(&Collector) -> Result<W>,
) -> Result<Figures> {
    let receiver = Receiver::start(protocol, &plan.bench.certs.server, Marks::None, 0)?;
    let delay = if away.is_zero() { None } else { Some(Delay::start(receiver.address, away)?) };
    let to = delay.as_ref().map_or(receiver.address, |delay| delay.address);
    let task = Task { subject, to, to_lumberjack: protocol == Protocol::Lumberjack, from: Intake::Lines };
    let collector = Collector::start(&plan.bench, &task)?;
    let watchers = watch(&collector)?;
    let (before, start) = (collector.usage()?, now());
    let sent = send::tcp(collector.listens, &plan.lines, events)?;
    wait_for_all(&receiver.counters, events)?;
    let wall = (receiver.counters.last.load(Ordering::Relaxed) - start) as f64 / 1e9;
    drop(watchers);
    let after = collector.wait_until_quiet()?;
    drop(collector);
    let (count, bytes) = (events as f64, plan.lines.bytes_of(events) as f64);
    Ok(vec![
        Some(count / after.cpu_seconds_since(&before)),
        Some(count / wall),
        Some(mib(after.peak_resident)),
        Some((after.written - before.written) as f64 / bytes),
        Some(100.0 * sent.cpu / wall),
        Some(100.0 * receiver.counters.cpu.load(Ordering::Relaxed) as f64 / 1e9 / wall),
    ])
}

const UDP: [Column; 4] =
    [compared("packets per CPU-second", 0), shown("lost %", 3), shown("peak MiB", 0), shown("sent/s", 0)];

/// UDP in, TLS out, at fixed rates.
pub fn udp(plan: &Plan) -> Result<String> {
    let subjects = [Subject::Ours, Subject::RsyslogMemory, Subject::SyslogNgMemory];
    let limit = limits::datagrams(plan)?;
    let mut text = format!(
        "### UDP in, TLS out\n\nA bare recvmmsg loop that throws everything away took {limit} packets/s without loss. The last table is at 80 % of that.\n\n"
    );
    for rate in [50_000, 100_000, 200_000, limit / 10 * 8] {
        let _ = write!(text, "At {rate} packets/s:\n\n");
        let seconds = if plan.rounds == 1 { 2 } else { 5 };
        let run = |subject| through_udp(plan, subject, rate, rate * seconds);
        let title = format!("udp at {rate}/s");
        text += &Series::run(&title, plan.rounds, &UDP, plan.subjects(&subjects), run).markdown();
        text.push('\n');
    }
    Ok(text)
}

fn through_udp(plan: &Plan, subject: Subject, rate: u64, events: u64) -> Result<Figures> {
    let receiver = Receiver::start(Protocol::Syslog, &plan.bench.certs.server, Marks::Sequence, 0)?;
    let task = Task { subject, to: receiver.address, to_lumberjack: false, from: Intake::Lines };
    let collector = Collector::start(&plan.bench, &task)?;
    let before = collector.usage()?;
    let sent = send::udp(collector.listens, &plan.marked, rate, events)?;
    wait_for(&receiver.counters, events);
    let after = collector.wait_until_quiet()?;
    let received = receiver.counters.events() as f64;
    Ok(vec![
        Some(received / after.cpu_seconds_since(&before)),
        Some(100.0 * (1.0 - received / events as f64)),
        Some(mib(after.peak_resident)),
        Some(events as f64 / sent.wall),
    ])
}

const LATENCY: [Column; 4] = [shown("p50 ms", 2), shown("p99 ms", 2), shown("most ms", 1), shown("CPU %", 1)];

/// From the sender's write to the receiver's read, at a rate that leaves everybody idle most of the time.
pub fn latency(plan: &Plan) -> Result<String> {
    const RATE: u64 = 10_000;
    let mut text = format!("### From socket to receiver, at {RATE} events/s\n\n");
    let events = RATE * if plan.rounds == 1 { 2 } else { 5 };
    let run = |subject| delayed(plan, subject, RATE, events, Protocol::Syslog);
    text += &Series::run("latency", plan.rounds, &LATENCY, plan.subjects(&ALL), run).markdown();
    text += "\nOurs with Lumberjack out:\n\n";
    let run = |subject| delayed(plan, subject, RATE, events, Protocol::Lumberjack);
    text += &Series::run("latency to lumberjack", plan.rounds, &LATENCY, &ALL[..1], run).markdown();
    Ok(text)
}

fn delayed(plan: &Plan, subject: Subject, rate: u64, events: u64, protocol: Protocol) -> Result<Figures> {
    let receiver = Receiver::start(protocol, &plan.bench.certs.server, Marks::Time, 0)?;
    let task =
        Task { subject, to: receiver.address, to_lumberjack: protocol == Protocol::Lumberjack, from: Intake::Lines };
    let collector = Collector::start(&plan.bench, &task)?;
    let before = collector.usage()?;
    let sent = send::tcp_paced(collector.listens, &plan.marked, rate, events)?;
    wait_for_all(&receiver.counters, events)?;
    let after = collector.usage()?;
    let mut all = receiver.counters.latencies.lock().unwrap_or_else(PoisonError::into_inner).clone();
    // The first second holds the handshake.
    let mut all = all.split_off(all.len().min(usize::try_from(rate)?));
    all.sort_unstable();
    let at = |share: f64| all.get((all.len() as f64 * share) as usize).map(|micros| f64::from(*micros) / 1e3);
    let most = all.last().map(|micros| f64::from(*micros) / 1e3);
    Ok(vec![at(0.5), at(0.99), most, Some(100.0 * after.cpu_seconds_since(&before) / sent.wall)])
}
