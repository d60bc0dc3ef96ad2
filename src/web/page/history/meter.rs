//! From two snapshots to what happened between them.

use std::collections::BTreeMap;

use crate::status::{Component, Count, Gauge, Line, Snapshot};

/// What happened since the last snapshot, and what stands now.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sample {
    /// How long that was, by the monotonic clock; zero for the first snapshot, of which nothing is known but what stands.
    pub(super) seconds: f64,
    /// Events taken by all sources.
    pub(super) received: u64,
    /// Events delivered by all outputs.
    pub(super) delivered: u64,
    /// Bytes of those.
    pub(super) delivered_bytes: u64,
    /// Bytes sent for them.
    pub(super) sent_bytes: u64,
    /// Events dropped by anybody.
    pub(super) dropped: u64,
    /// Events that wait now.
    pub(super) queued: u64,
    /// Age of the oldest of them, where somebody said so.
    pub(super) oldest_seconds: Option<u64>,
    /// Bytes of the queue on the disk.
    pub(super) queued_bytes: u64,
    /// Events taken by each source on the board.
    pub(super) sources: BTreeMap<String, u64>,
    /// Events delivered by each output on the board.
    pub(super) outputs: BTreeMap<String, u64>,
}

/// The counters of one component that are read.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    received: u64,
    delivered: u64,
    delivered_bytes: u64,
    sent_bytes: u64,
    dropped: u64,
}

/// Remembers the counters of the last snapshot.
#[derive(Debug, Default)]
pub(super) struct Meter {
    before: Option<BTreeMap<(Component, String), Counted>>,
}

impl Counted {
    fn of(line: &Line) -> Self {
        Self {
            received: line.count(Count::ReceivedEvents),
            delivered: line.count(Count::DeliveredEvents),
            delivered_bytes: line.count(Count::DeliveredBytes),
            sent_bytes: line.count(Count::SentBytes),
            dropped: line.dropped_total(),
        }
    }

    /// What was counted since. A counter that went back was made anew, and counts from zero.
    fn since(self, before: Self) -> Self {
        let step = |now: u64, before: u64| now.checked_sub(before).unwrap_or(now);
        Self {
            received: step(self.received, before.received),
            delivered: step(self.delivered, before.delivered),
            delivered_bytes: step(self.delivered_bytes, before.delivered_bytes),
            sent_bytes: step(self.sent_bytes, before.sent_bytes),
            dropped: step(self.dropped, before.dropped),
        }
    }
}

impl Meter {
    /// What happened in the `seconds` since the last call. A component that is new counts from zero, except at the first call:
    /// what it counted before may be days old.
    pub(super) fn read(&mut self, snapshot: &Snapshot, seconds: f64) -> Sample {
        let is_first = self.before.is_none();
        let before = self.before.take().unwrap_or_default();
        let mut sample = Sample { seconds: if is_first { 0.0 } else { seconds }, ..Sample::default() };
        let mut counted = BTreeMap::new();
        for line in &snapshot.components {
            let key = (line.component, line.id.clone());
            let now = Counted::of(line);
            let earlier = before.get(&key).copied().unwrap_or(if is_first { now } else { Counted::default() });
            sample.add(line, now.since(earlier));
            counted.insert(key, now);
        }
        self.before = Some(counted);
        sample
    }
}

impl Sample {
    fn add(&mut self, line: &Line, moved: Counted) {
        // Hostile numbers of a component that is broken end at the bound.
        let sum = |to: &mut u64, by: u64| *to = to.saturating_add(by);
        sum(&mut self.dropped, moved.dropped);
        match line.component {
            Component::Source => {
                sum(&mut self.received, moved.received);
                self.sources.insert(line.id.clone(), moved.received);
            }
            Component::Output => {
                sum(&mut self.delivered, moved.delivered);
                sum(&mut self.delivered_bytes, moved.delivered_bytes);
                sum(&mut self.sent_bytes, moved.sent_bytes);
                self.outputs.insert(line.id.clone(), moved.delivered);
            }
            Component::Queue | Component::Box => {}
        }
        if matches!(line.component, Component::Queue | Component::Output) {
            self.queued = self.queued.max(line.gauge(Gauge::QueuedEvents));
            self.queued_bytes = self.queued_bytes.max(line.gauge(Gauge::QueuedBytes));
            self.oldest_seconds = self.oldest_seconds.max(line.gauges.get(&Gauge::OldestSeconds).copied());
        }
    }

    /// A number of events as a rate; none for the first snapshot.
    pub(super) fn rate(&self, events: u64) -> Option<f32> {
        (self.seconds > 0.0).then(|| (events as f64 / self.seconds) as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::status::{Board, DropReason};

    #[test]
    fn counters_are_read_as_steps_and_never_jump() {
        let board = Board::new(Clock::System);
        let mut meter = Meter::default();
        let source = board.handle(Component::Source, "fw");
        source.counters().add(Count::ReceivedEvents, 1_000_000);
        let first = meter.read(&board.snapshot(), 10.0);
        assert_eq!((first.seconds, first.received, first.rate(5)), (0.0, 0, None), "what was before is not known");
        source.counters().add(Count::ReceivedEvents, 50);
        source.counters().drop_events(DropReason::QueueFull, 2);
        let mail = board.handle(Component::Source, "mail");
        mail.counters().add(Count::ReceivedEvents, 7);
        let second = meter.read(&board.snapshot(), 10.0);
        assert_eq!((second.received, second.dropped, second.rate(50)), (57, 2, Some(5.0)));
        assert_eq!(second.sources, BTreeMap::from([("fw".into(), 50), ("mail".into(), 7)]));
        board.remove(Component::Source, "fw");
        board.handle(Component::Source, "fw").counters().add(Count::ReceivedEvents, 3);
        assert_eq!(meter.read(&board.snapshot(), 10.0).sources["fw"], 3, "made anew: from zero");
    }

    #[test]
    fn what_stands_is_the_most_that_anybody_says() {
        let board = Board::new(Clock::System);
        let queue = board.handle(Component::Queue, "queue");
        let output = board.handle(Component::Output, "gateway");
        queue.counters().set(Gauge::QueuedEvents, 10);
        queue.counters().set(Gauge::QueuedBytes, 99);
        output.counters().set(Gauge::QueuedEvents, 12);
        let sample = Meter::default().read(&board.snapshot(), 0.0);
        assert_eq!((sample.queued, sample.queued_bytes, sample.oldest_seconds), (12, 99, None));
        output.counters().set(Gauge::OldestSeconds, 5);
        assert_eq!(Meter::default().read(&board.snapshot(), 0.0).oldest_seconds, Some(5));
    }
}
