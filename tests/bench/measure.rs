//! Clocks, and what the kernel says about a process.

use std::collections::BTreeMap;
use std::fs;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::resource::{UsageWho, getrusage};

/// Nanoseconds since the first call; never 0.
pub fn now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64 + 1
}

/// CPU time of this thread, in nanoseconds.
pub fn thread_cpu() -> u64 {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_THREAD) else { return 0 };
    let micros = |time: nix::sys::time::TimeVal| time.tv_sec() as u64 * 1_000_000 + time.tv_usec() as u64;
    (micros(usage.user_time()) + micros(usage.system_time())) * 1_000
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time, that of ended children included.
    pub cpu: Duration,
    /// Bytes it caused to be written to a disk (page by page, as the kernel counts).
    pub written: u64,
    /// The most memory it has had resident, in bytes.
    pub peak_resident: u64,
}

impl Usage {
    pub fn of(pid: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the collector has ended")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let io = fs::read_to_string(format!("/proc/{pid}/io"))?;
        let value = |text: &str, key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        Ok(Self {
            cpu: cpu_of(&stat).context("reading the CPU time of the collector")?,
            written: value(&io, "write_bytes:").unwrap_or(0),
            peak_resident: value(&status, "VmHWM:").unwrap_or(0) * 1_024,
        })
    }

    pub fn cpu_seconds_since(&self, before: &Self) -> f64 {
        self.cpu.saturating_sub(before.cpu).as_secs_f64()
    }
}

/// proc(5): the fields 14 to 17 are user and system time, and those of children, in ticks of 10 ms. The name before them
/// may contain blanks.
fn cpu_of(stat: &str) -> Option<Duration> {
    let fields = stat.rsplit_once(')')?.1.split_whitespace();
    let ticks: u64 = fields.skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
    Some(Duration::from_millis(ticks * 10))
}

/// CPU seconds by thread name, the most first: the poor man's profile.
pub fn threads(pid: u32) -> Vec<(String, f64)> {
    let mut by_name = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let Ok(stat) = fs::read_to_string(task.path().join("stat")) else { continue };
        let name = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')).map_or("?", |(name, _)| name);
        let cpu = cpu_of(&stat).unwrap_or_default().as_secs_f64();
        *by_name.entry(name.to_owned()).or_insert(0.0) += cpu;
    }
    let mut all: Vec<_> = by_name.into_iter().filter(|(_, cpu)| *cpu > 0.0).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all
}

/// Waits for something, looking every few milliseconds; whether it came true in time.
pub fn wait_until(limit: Duration, mut is_done: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !is_done() {
        if start.elapsed() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}
