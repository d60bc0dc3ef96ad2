//! What the kernel says of a process.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What an appliance may use at most while it takes in a backlog (requirements of the box), in MiB.
pub const MOST_MIB: u64 = 96;

/// A process that is watched.
#[derive(Clone, Copy, Debug)]
pub struct Process(pub u32);

impl Process {
    /// Resident memory now, in bytes.
    pub fn resident(self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most resident memory since it began.
    pub fn peak(self) -> u64 {
        self.status("VmHWM:")
    }

    /// The same, checked against [`MOST_MIB`].
    pub fn peak_mib(self) -> u64 {
        let peak = self.peak() >> 20;
        assert!(peak < MOST_MIB, "{peak} MiB");
        peak
    }

    fn status(self, key: &str) -> u64 {
        number(format!("/proc/{}/status", self.0).as_ref(), key).unwrap() << 10
    }

    /// How often each of its threads that live has slept and woken.
    pub fn wakings(self) -> BTreeMap<PathBuf, u64> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.0)).unwrap();
        // One that has just ended has no status any more.
        let count =
            |thread: PathBuf| Some((thread.clone(), number(&thread.join("status"), "voluntary_ctxt_switches:")?));
        threads.filter_map(|thread| count(thread.unwrap().path())).collect()
    }

    /// CPU time that it used so far, all threads together.
    pub fn cpu(self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap();
        // The name, in brackets, may hold anything; utime and stime are fields 14 and 15, counted from 1 (proc(5)).
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        // USER_HZ is 100 on every architecture that we build for.
        Duration::from_millis(ticks * 10)
    }
}

/// CPU time that the thread which asks used so far (the scheduler's statistics, Documentation/scheduler/sched-stats.rst).
pub fn thread_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

fn number(path: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    Some(line.trim().trim_end_matches(" kB").parse().unwrap())
}
