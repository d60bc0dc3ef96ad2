//! The ways through a collector that are measured, one function each, and what they share.

mod disk;
mod flow;
mod pages;
mod push;

pub use disk::{beats, gone, steady};
pub use flow::{far, latency, tcp, udp};
pub use pages::pages;
pub use push::push;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};

use super::collector::Bench;
use super::lines::{Lines, Mix};
use super::measure::{now, wait_until};
use super::peers::Subject;
use super::receiver::Counters;

/// Bytes of lines that are made; sent again and again. Far more than a CPU's cache or a batch.
const LINES: usize = 32 << 20;
/// Without a new event for so long, the rest is lost.
const LOST: Duration = Duration::from_secs(10);

/// What all paths share.
#[derive(Clone, Debug)]
pub struct Plan {
    pub bench: Bench,
    pub rounds: usize,
    /// Events of a run.
    pub events: u64,
    pub alone: bool,
    pub lines: Arc<Lines>,
    pub marked: Arc<Lines>,
}

impl Plan {
    pub fn new(bench: Bench, rounds: usize, events: u64, alone: bool, mix: Mix) -> Self {
        let make = |marked| Arc::new(Lines::make(mix, LINES, marked));
        Self { bench, rounds, events, alone, lines: make(false), marked: make(true) }
    }

    /// What the load is, in words.
    pub fn about(&self) -> String {
        let bytes = self.lines.range(0, 1_800);
        let packed = zstd::bulk::compress(bytes, 1).map_or(0, |packed| packed.len());
        format!(
            "Median of {} alternating runs (least–most). Lines of {:.0} bytes on average; zstd level 1 packs 512 KiB of them {:.1} to 1.",
            self.rounds,
            self.lines.mean(),
            bytes.len() as f64 / packed as f64
        )
    }

    /// The subjects of a path; only ours where nobody else is wanted.
    pub fn subjects<'a>(&self, all: &'a [Subject]) -> &'a [Subject] {
        if self.alone { &all[..1] } else { all }
    }
}

/// Waits until the receiver has `events`; whether it came to that.
fn wait_for(counters: &Counters, events: u64) -> bool {
    let (mut seen, mut since) = (0, now());
    wait_until(Duration::from_secs(600), || {
        let count = counters.events();
        if count != seen {
            (seen, since) = (count, now());
        }
        count >= events || u128::from(now() - since) > LOST.as_nanos()
    });
    counters.events() >= events
}

/// As [`wait_for`], where a missing event makes the run worthless.
fn wait_for_all(counters: &Counters, events: u64) -> Result<()> {
    if !wait_for(counters, events) {
        bail!("the receiver has only {} of {events} events", counters.events());
    }
    Ok(())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
