//! The play: the site sends, the gateway is cut off until enough waits on the disk, comes back, and everything is delivered.
//!
//! In: the boards of the box and of the gateway, the line between them, the site. Out: what was sent, and what went wrong in
//! words. Each act ends when what it is about has happened, not when a time is over; times only say "not before" and
//! "not longer".

use std::time::Duration;

use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

use super::DemoError;
use super::balance::Fingerprint;
use super::screen::{Reading, Screen};
use super::senders::{Device, Senders};
use super::stage::Relay;
use crate::quantity::thousands;
use crate::status::{Board, Component, Count, Gauge, Line, Snapshot};

/// The gateway is cut off for at least this long...
const CUT_AT_LEAST: Duration = Duration::from_millis(5_500);
/// ...and until this many events wait; the tenth above 50,000 is for those that are still on their way to the disk.
const WAITING: u64 = 55_000;
/// New events come in beside what waited for at least this long.
const BOTH_AT_LEAST: Duration = Duration::from_secs(2);
/// After this time without any progress the play gives up on what is missing.
const STUCK: Duration = Duration::from_secs(20);
/// How often the play looks.
const LOOK: Duration = Duration::from_millis(100);

/// When what happens at the earliest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The line is cut.
    pub(super) cut: Duration,
    /// The senders stop, if the line is whole again.
    pub(super) stop: Duration,
}

impl Plan {
    /// A play of about `length`: the last third is for the delivery of what waits, and for reading the gateway's file.
    pub(super) fn new(length: Duration) -> Self {
        Self { cut: length * 15 / 100, stop: length * 65 / 100 }
    }
}

/// What a play leaves.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// What each device sent.
    pub(super) sent: Vec<(Device, Vec<Fingerprint>)>,
    /// The time in which they sent it.
    pub(super) sending: Duration,
    /// What did not go as it should, in words.
    pub(super) faults: Vec<String>,
    /// A person ended it early.
    pub(super) interrupted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Flow,
    Cut,
    Back,
    Drain,
}

/// What ends an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Cut,
    /// Enough waits, or no more comes.
    Mend,
    Stop,
    End,
    GiveUp,
}

impl Act {
    fn words(self) -> &'static str {
        match self {
            Self::Flow => "the gateway takes all at once",
            Self::Cut => "cut off: events wait on the disk",
            Self::Back => "back: old and new events go out",
            Self::Drain => "the site has stopped: the rest goes out",
        }
    }
}

/// The numbers of both instances at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    received: u64,
    dropped: u64,
    queued: u64,
    queued_bytes: u64,
    delivered: u64,
    delivered_bytes: u64,
    sent_bytes: u64,
    stored_bytes: u64,
    stored_raw_bytes: u64,
    gateway_received: u64,
    gateway_written: u64,
}

impl Numbers {
    pub(super) fn of(edge: &Snapshot, gateway: &Snapshot) -> Self {
        let lines = |snapshot: &'_ Snapshot, component: Component| -> Vec<Line> {
            snapshot.components.iter().filter(|line| line.component == component).cloned().collect()
        };
        let sum = |lines: &[Line], count: Count| -> u64 { lines.iter().map(|line| line.count(count)).sum() };
        let (sources, outputs) = (lines(edge, Component::Source), lines(edge, Component::Output));
        let queues = lines(edge, Component::Queue);
        Self {
            received: sum(&sources, Count::ReceivedEvents),
            dropped: edge.components.iter().map(Line::dropped_total).sum(),
            queued: queues.iter().map(|line| line.gauge(Gauge::QueuedEvents)).sum(),
            queued_bytes: queues.iter().map(|line| line.gauge(Gauge::QueuedBytes)).sum(),
            delivered: sum(&outputs, Count::DeliveredEvents),
            delivered_bytes: sum(&outputs, Count::DeliveredBytes),
            sent_bytes: sum(&outputs, Count::SentBytes),
            stored_bytes: sum(&queues, Count::StoredBytes),
            stored_raw_bytes: sum(&queues, Count::StoredRawBytes),
            gateway_received: sum(&lines(gateway, Component::Source), Count::ReceivedEvents),
            gateway_written: sum(&lines(gateway, Component::Output), Count::DeliveredEvents),
        }
    }

    /// Whether all of `sent` has gone all the way.
    pub(super) fn is_through(&self, sent: u64) -> bool {
        self.received + self.dropped >= sent
            && self.delivered >= self.received
            && self.gateway_received >= self.delivered
            && self.gateway_written >= self.gateway_received
    }

    fn reading(&self, at: Duration, rate: u64) -> Reading {
        let ratio = |raw: u64, packed: u64| (packed > 0).then(|| raw as f64 / packed as f64);
        Reading {
            at,
            rate,
            queued: self.queued,
            delivered: self.delivered,
            wire: ratio(self.delivered_bytes, self.sent_bytes),
            disk: ratio(self.stored_raw_bytes, self.stored_bytes),
        }
    }
}

/// Everything a play needs.
pub(super) struct Play<'a, 'out> {
    pub(super) plan: Plan,
    pub(super) edge: &'a Board,
    pub(super) gateway: &'a Board,
    pub(super) relay: &'a mut Relay,
    pub(super) screen: &'a mut Screen<'out>,
    pub(super) interrupted: &'a CancellationToken,
}

/// How far a play is.
struct Course {
    start: Instant,
    act: Act,
    act_start: Instant,
    numbers: Numbers,
    /// When the numbers last moved.
    moved: Instant,
    /// Received events at recent looks, newest last: the rate over a second.
    recent: std::collections::VecDeque<u64>,
    outcome: Outcome,
    total: u64,
}

impl Course {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            start: now,
            act: Act::Flow,
            act_start: now,
            numbers: Numbers::default(),
            moved: now,
            recent: std::collections::VecDeque::new(),
            outcome: Outcome::default(),
            total: 0,
        }
    }

    fn enter(&mut self, act: Act) {
        (self.act, self.act_start, self.moved) = (act, Instant::now(), Instant::now());
    }

    fn take(&mut self, numbers: Numbers) -> Reading {
        if numbers != self.numbers {
            (self.numbers, self.moved) = (numbers, Instant::now());
        }
        self.recent.push_back(numbers.received);
        // Eleven looks span a second.
        if self.recent.len() > 11 {
            self.recent.pop_front();
        }
        let spans = self.recent.len().saturating_sub(1).max(1) as u64;
        let grown = numbers.received.saturating_sub(self.recent.front().copied().unwrap_or(0));
        let rate = grown * 1_000 / (spans * u64::try_from(LOOK.as_millis()).unwrap_or(100));
        numbers.reading(self.start.elapsed(), rate)
    }

    /// What is to happen now, if anything.
    fn turn(&self, plan: Plan) -> Option<Turn> {
        let (now, lasted) = (self.start.elapsed(), self.act_start.elapsed());
        let is_stuck = self.moved.elapsed() > STUCK;
        match self.act {
            Act::Flow if now >= plan.cut => Some(Turn::Cut),
            Act::Cut if lasted >= CUT_AT_LEAST && self.numbers.queued >= WAITING => Some(Turn::Mend),
            Act::Cut if is_stuck => Some(Turn::Mend),
            Act::Back if now >= plan.stop && lasted >= BOTH_AT_LEAST => Some(Turn::Stop),
            Act::Drain if self.numbers.is_through(self.total) => Some(Turn::End),
            Act::Drain if is_stuck => Some(Turn::GiveUp),
            _ => None,
        }
    }
}

impl Play<'_, '_> {
    /// Plays to the end, or until it is interrupted.
    ///
    /// # Errors
    /// When a sender fails or nothing can be printed; what the box or the gateway do wrong is in the outcome.
    pub(super) async fn run(mut self, senders: Senders) -> Result<Outcome, DemoError> {
        let (mut course, mut senders) = (Course::new(), Some(senders));
        let mut look = interval(LOOK);
        loop {
            tokio::select! {
                () = self.interrupted.cancelled() => {
                    course.outcome.interrupted = true;
                    return Ok(course.outcome);
                }
                _ = look.tick() => {}
            }
            if senders.as_ref().is_some_and(Senders::has_failed)
                && let Some(failed) = senders.take()
            {
                course.outcome.sent = failed.finish().await?;
            }
            let reading = course.take(Numbers::of(&self.edge.snapshot(), &self.gateway.snapshot()));
            self.screen.live(&reading, course.act.words())?;
            let Some(turn) = course.turn(self.plan) else { continue };
            if self.make(turn, &mut course, &mut senders).await? {
                return Ok(course.outcome);
            }
        }
    }

    /// Makes the turn; true at the end of the play.
    async fn make(
        &mut self,
        turn: Turn,
        course: &mut Course,
        senders: &mut Option<Senders>,
    ) -> Result<bool, DemoError> {
        let (lasted, queued) = (course.act_start.elapsed(), course.numbers.queued);
        match turn {
            Turn::Cut => {
                self.relay.cut().await;
                course.enter(Act::Cut);
                self.say(course, "the gateway is cut off now: connections are reset, new ones refused")?;
            }
            Turn::Mend => {
                if queued < WAITING {
                    let words = format!("only {} events waited on the disk when no more came", thousands(queued));
                    course.outcome.faults.push(words);
                }
                self.relay.restore()?;
                course.enter(Act::Back);
                let (seconds, waiting) = (lasted.as_secs_f64(), thousands(queued));
                let megabytes = course.numbers.queued_bytes as f64 / 1e6;
                let words = format!("{waiting} events wait in {megabytes:.1} MB on the disk");
                self.say(course, &format!("the gateway is back after {seconds:.1} s; {words}"))?;
            }
            Turn::Stop => {
                if let Some(senders) = senders.take() {
                    course.outcome.sent = senders.finish().await?;
                }
                course.outcome.sending = course.start.elapsed();
                course.total = course.outcome.sent.iter().map(|(_, sent)| sent.len() as u64).sum();
                course.enter(Act::Drain);
                self.say(course, &format!("the site stops: {} events were sent", thousands(course.total)))?;
            }
            Turn::End => {
                self.say(course, "everything has arrived; reading the gateway's file")?;
                return Ok(true);
            }
            Turn::GiveUp => {
                course.outcome.faults.push(self.stuck(course));
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn say(&mut self, course: &Course, words: &str) -> Result<(), DemoError> {
        Ok(self.screen.line(&format!("{:5.1} s  {words}", course.start.elapsed().as_secs_f64()))?)
    }

    /// What the play waits for in vain, with the words of every component that is not well.
    fn stuck(&self, course: &Course) -> String {
        let Numbers { received, dropped, delivered, gateway_received, gateway_written, .. } = course.numbers;
        let mut words = format!(
            "nothing moves any more: {} sent, {received} received, {dropped} dropped, {delivered} acknowledged by the \
             gateway, which took {gateway_received} and wrote {gateway_written}",
            course.total
        );
        for (name, board) in [("box", self.edge), ("gateway", self.gateway)] {
            for line in board.snapshot().components {
                if let Some(fault) = line.health.fault() {
                    words.push_str(&format!("; {name}: {} {}: {}", line.component.as_str(), line.id, fault.what));
                }
            }
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_play_of_twenty_seconds_leaves_a_third_for_the_delivery() {
        let plan = Plan::new(Duration::from_secs(20));
        assert_eq!(plan, Plan { cut: Duration::from_secs(3), stop: Duration::from_secs(13) });
    }

    #[tokio::test(start_paused = true)]
    async fn an_act_ends_when_what_it_is_about_has_happened() {
        let plan = Plan::new(Duration::from_secs(20));
        let later = |seconds| tokio::time::advance(Duration::from_secs(seconds));
        let mut course = Course::new();
        assert_eq!(course.turn(plan), None);
        later(3).await;
        assert_eq!(course.turn(plan), Some(Turn::Cut));

        course.enter(Act::Cut);
        course.take(Numbers { queued: 60_000, ..Numbers::default() });
        assert_eq!(course.turn(plan), None, "not cut off long enough");
        later(6).await;
        assert_eq!(course.turn(plan), Some(Turn::Mend));
        course.take(Numbers { queued: 49_000, ..Numbers::default() });
        assert_eq!(course.turn(plan), None, "too few wait");
        later(21).await;
        assert_eq!(course.turn(plan), Some(Turn::Mend), "and no more will come");

        course.enter(Act::Back);
        assert_eq!(course.turn(plan), None, "old and new have not yet gone out together");
        later(2).await;
        assert_eq!(course.turn(plan), Some(Turn::Stop));

        course.enter(Act::Drain);
        course.total = 100;
        course.take(Numbers {
            received: 99,
            delivered: 99,
            gateway_received: 99,
            gateway_written: 99,
            ..Numbers::default()
        });
        assert_eq!(course.turn(plan), None, "one is missing");
        later(21).await;
        assert_eq!(course.turn(plan), Some(Turn::GiveUp));
        course.take(Numbers { dropped: 1, ..course.numbers });
        assert_eq!(course.turn(plan), Some(Turn::End));
    }

    #[test]
    fn everything_is_through_only_when_every_station_has_it() {
        let all = Numbers {
            received: 90,
            dropped: 10,
            delivered: 90,
            gateway_received: 92,
            gateway_written: 92,
            ..Numbers::default()
        };
        assert!(all.is_through(100));
        assert!(!all.is_through(101));
        assert!(!Numbers { delivered: 89, ..all }.is_through(100));
        assert!(!Numbers { gateway_received: 89, ..all }.is_through(100));
        assert!(!Numbers { gateway_written: 91, ..all }.is_through(100));
    }
}
