//! Whether the box really works in the slot it has booted: pure, told everything, asks nobody.
//!
//! In: pictures of the status board, and whether control socket and page answered. Out: wait, good or bad. A box is well
//! when the queue is open, every listener is bound, its own doors answer, and nothing is worse than in the picture taken
//! before the update; it is good when it was well for the whole settling time. A far end that cannot be reached only
//! prolongs the wait; a TLS, login or protocol failure that was not there before and stays for the settling time is bad. So
//! is a box that is not well when patience ends: it may have lost the network with the update.
//!
//! Without a picture from before (a fresh disk, a slot that was marked good already) only queue and doors count, and
//! nothing is ever bad: there is nothing to go back to.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::status::{Cause, Component, Health, Snapshot};

/// How a component is, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Look {
    /// Does its work, be it poorly.
    Up,
    Starting,
    /// Does not work; what lies behind it, if that is known.
    Down(Option<Cause>),
}

/// The box at one moment: each source, output and the queue, the page and the control socket, by `kind id`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Picture(pub(super) BTreeMap<String, Look>);

/// The lines of the box itself that have to work.
const DOORS: [&str; 3] = ["control", "web", "page"];
const QUEUE: &str = "queue queue";

impl Picture {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let counts = |component, id: &str| component != Component::Box || DOORS.contains(&id);
        let lines = snapshot.components.iter().filter(|line| counts(line.component, &line.id));
        let look = |health: &Health| match health {
            // Nobody expects anything of what is paused.
            Health::Healthy | Health::Degraded(_) | Health::Paused => Look::Up,
            Health::Starting => Look::Starting,
            Health::Stopped => Look::Down(None),
            Health::Failed(fault) => Look::Down(fault.cause),
        };
        Self(lines.map(|line| (format!("{} {}", line.component.as_str(), line.id), look(&line.health))).collect())
    }
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// The box has to be well for this long without a break.
    pub(super) settle: Duration,
    /// A box on trial that is not well by then is bad.
    pub(super) patience: Duration,
}

/// What to do with the slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Look again; what is waited for.
    Wait(String),
    /// Mark it good.
    Good,
    /// Mark it bad and go back; why.
    Bad(String),
}

/// Judges one boot.
#[derive(Debug)]
pub(super) struct Judge {
    before: Option<Picture>,
    rules: Rules,
    began: Instant,
    well_since: Option<Instant>,
    /// Since when a failure is there that the box did not have before.
    ill_since: BTreeMap<String, Instant>,
}

/// One component against what it was.
enum Finding {
    Fine,
    /// It may still come right.
    NotYet(String),
    Worse(String),
}

impl Judge {
    /// A judge of a boot that began to be looked at now; on trial if there is a picture from before.
    pub(super) fn new(before: Option<Picture>, rules: Rules, now: Instant) -> Self {
        Self { before, rules, began: now, well_since: None, ill_since: BTreeMap::new() }
    }

    /// Takes a look; `unanswered` names the door that did not answer.
    pub(super) fn look(&mut self, picture: &Picture, unanswered: Option<&str>, now: Instant) -> Verdict {
        let mut missing = unanswered.map(|door| format!("the {door} does not answer"));
        if picture.0.get(QUEUE) != Some(&Look::Up) {
            missing = Some("the queue is not open".to_owned());
        }
        let mut ill = BTreeMap::new();
        for (name, look) in &picture.0 {
            match self.compare(name, *look) {
                Finding::Fine => {}
                Finding::NotYet(words) => {
                    missing.get_or_insert(words);
                }
                Finding::Worse(words) => {
                    let since = self.ill_since.get(name).copied().unwrap_or(now);
                    if now.duration_since(since) >= self.rules.settle {
                        return Verdict::Bad(words);
                    }
                    ill.insert(name.clone(), since);
                    missing.get_or_insert(words);
                }
            }
        }
        self.ill_since = ill;
        let Some(words) = missing else { return self.well(now) };
        self.well_since = None;
        if self.before.is_some() && now.duration_since(self.began) >= self.rules.patience {
            return Verdict::Bad(format!("{words}, after {} s", self.rules.patience.as_secs()));
        }
        Verdict::Wait(words)
    }

    fn well(&mut self, now: Instant) -> Verdict {
        let since = *self.well_since.get_or_insert(now);
        let well_for = now.duration_since(since);
        if well_for >= self.rules.settle {
            return Verdict::Good;
        }
        let left = self.rules.settle.saturating_sub(well_for).as_secs();
        Verdict::Wait(format!("all is well; {left} s are left to settle"))
    }

    fn compare(&self, name: &str, look: Look) -> Finding {
        let Some(before) = &self.before else { return Finding::Fine };
        let was = before.0.get(name).copied();
        let is_output = name.starts_with(Component::Output.as_str());
        let broken = [Cause::Tls, Cause::Login, Cause::Protocol];
        match look {
            Look::Up => Finding::Fine,
            // What did not work before needs not work now.
            Look::Starting if matches!(was, Some(Look::Down(_) | Look::Starting)) => Finding::Fine,
            Look::Starting => Finding::NotYet(format!("{name} is still starting")),
            Look::Down(cause) => {
                let is_same = was == Some(Look::Down(cause));
                let kind = cause.filter(|cause| is_output && broken.contains(cause));
                match (kind, was) {
                    _ if is_same => Finding::Fine,
                    (Some(cause), _) => Finding::Worse(format!("{name} fails ({}) since the update", words(cause))),
                    (None, Some(Look::Down(_) | Look::Starting)) => Finding::Fine,
                    (None, _) if is_output => Finding::NotYet(format!("{name} cannot reach its far end")),
                    (None, _) => Finding::NotYet(format!("{name} does not work")),
                }
            }
        }
    }
}

fn words(cause: Cause) -> &'static str {
    match cause {
        Cause::Unreachable => "unreachable",
        Cause::Tls => "tls",
        Cause::Login => "login",
        Cause::Protocol => "protocol",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: Rules = Rules { settle: Duration::from_secs(60), patience: Duration::from_secs(600) };

    fn picture(looks: &[(&str, Look)]) -> Picture {
        Picture(looks.iter().map(|(name, look)| ((*name).to_owned(), *look)).collect())
    }

    fn well() -> Picture {
        picture(&[
            (QUEUE, Look::Up),
            ("output gateway", Look::Up),
            ("source firewalls", Look::Up),
            ("box control", Look::Up),
        ])
    }

    fn with(name: &str, look: Look) -> Picture {
        let mut picture = well();
        picture.0.insert(name.to_owned(), look);
        picture
    }

    /// The same picture every second for so long; what came of it, and when.
    fn watch(judge: &mut Judge, picture: &Picture, begin: Instant, secs: std::ops::Range<u64>) -> (Verdict, u64) {
        let mut last = None;
        for second in secs {
            let verdict = judge.look(picture, None, begin + Duration::from_secs(second));
            if !matches!(verdict, Verdict::Wait(_)) {
                return (verdict, second);
            }
            last = Some((verdict, second));
        }
        last.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_well_box_is_good_after_it_has_settled_and_not_a_second_earlier() {
        let now = Instant::now();
        let mut judge = Judge::new(Some(well()), RULES, now);
        assert_eq!(watch(&mut judge, &well(), now, 0..100), (Verdict::Good, 60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_that_was_not_there_before_is_bad_once_it_stays() {
        for cause in [Cause::Tls, Cause::Login, Cause::Protocol] {
            let (now, ill) = (Instant::now(), with("output gateway", Look::Down(Some(cause))));
            let mut judge = Judge::new(Some(well()), RULES, now);
            let (verdict, at) = watch(&mut judge, &ill, now, 0..1_000);
            assert!(matches!(&verdict, Verdict::Bad(why) if why.contains("output gateway")), "{verdict:?}");
            assert_eq!(at, 60);
            // Another failure of the same far end than before is new; the same one is not.
            let other = Judge::new(Some(with("output gateway", Look::Down(Some(Cause::Unreachable)))), RULES, now);
            let mut judges = [other, Judge::new(Some(ill.clone()), RULES, now)];
            assert!(matches!(watch(&mut judges[0], &ill, now, 0..1_000).0, Verdict::Bad(_)));
            assert_eq!(watch(&mut judges[1], &ill, now, 0..1_000), (Verdict::Good, 60));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_that_passes_and_a_far_end_that_is_away_only_prolong_the_wait() {
        let now = Instant::now();
        let mut judge = Judge::new(Some(well()), RULES, now);
        let away = with("output gateway", Look::Down(Some(Cause::Unreachable)));
        let tls = with("output gateway", Look::Down(Some(Cause::Tls)));
        assert!(matches!(watch(&mut judge, &tls, now, 0..59).0, Verdict::Wait(_)));
        assert!(matches!(watch(&mut judge, &away, now, 59..300).0, Verdict::Wait(_)));
        assert!(matches!(watch(&mut judge, &tls, now, 300..359).0, Verdict::Wait(_)));
        assert_eq!(watch(&mut judge, &well(), now, 359..500), (Verdict::Good, 419));
        let mut judge = Judge::new(Some(well()), RULES, now);
        let (verdict, at) = watch(&mut judge, &away, now, 0..1_000);
        assert!(matches!(verdict, Verdict::Bad(_)), "the network may be lost by the update: {verdict:?}");
        assert_eq!(at, 600);
        let mut judge = Judge::new(Some(away.clone()), RULES, now);
        assert_eq!(watch(&mut judge, &away, now, 0..1_000), (Verdict::Good, 60), "it was away before");
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_the_queue_or_a_door_that_does_not_come_is_bad_at_the_end_of_patience() {
        let now = Instant::now();
        for ill in [
            with("source firewalls", Look::Down(None)),
            with("source firewalls", Look::Starting),
            with(QUEUE, Look::Down(None)),
            picture(&[("box control", Look::Up)]),
        ] {
            let mut judge = Judge::new(Some(well()), RULES, now);
            let (verdict, at) = watch(&mut judge, &ill, now, 0..1_000);
            assert!(matches!(verdict, Verdict::Bad(_)) && at == 600, "{verdict:?} at {at}");
        }
        let mut judge = Judge::new(Some(well()), RULES, now);
        for second in 0..600 {
            let verdict = judge.look(&well(), Some("page"), now + Duration::from_secs(second));
            assert_eq!(verdict, Verdict::Wait("the page does not answer".to_owned()));
        }
        assert!(matches!(judge.look(&well(), Some("page"), now + RULES.patience), Verdict::Bad(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn with_nothing_to_go_back_to_nothing_is_bad() {
        let now = Instant::now();
        let mut judge = Judge::new(None, RULES, now);
        let ill = with("source firewalls", Look::Down(None));
        assert_eq!(watch(&mut judge, &ill, now, 0..1_000), (Verdict::Good, 60));
        let mut judge = Judge::new(None, RULES, now);
        let closed = with(QUEUE, Look::Starting);
        assert!(matches!(watch(&mut judge, &closed, now, 0..5_000).0, Verdict::Wait(_)));
    }

    fn any_look() -> impl Strategy<Value = Look> {
        prop_oneof![
            3 => Just(Look::Up),
            1 => Just(Look::Starting),
            1 => Just(Look::Down(None)),
            1 => Just(Look::Down(Some(Cause::Unreachable))),
            1 => Just(Look::Down(Some(Cause::Tls))),
            1 => Just(Look::Down(Some(Cause::Protocol))),
        ]
    }

    fn any_picture() -> impl Strategy<Value = Picture> {
        (any_look(), any_look(), any_look()).prop_map(|(queue, output, source)| {
            picture(&[(QUEUE, queue), ("output gateway", output), ("source firewalls", source)])
        })
    }

    proptest! {
        /// Whatever happens: good only after a settling time without a break in which the queue was open and nothing was
        /// worse; bad only on trial; decided by the time that patience and one settling are over.
        #[test]
        fn no_history_leads_to_a_verdict_that_it_does_not_bear(
            before in proptest::option::of(any_picture()),
            history in proptest::collection::vec((any_picture(), 1..120u64), 1..40),
        ) {
            let begin = Instant::from_std(crate::clock::monotonic());
            let mut judge = Judge::new(before.clone(), RULES, begin);
            let mut open_for = 0u64;
            let mut second = 0u64;
            'history: for (picture, secs) in &history {
                for _ in 0..*secs {
                    let verdict = judge.look(picture, None, begin + Duration::from_secs(second));
                    let is_open = picture.0.get(QUEUE) == Some(&Look::Up);
                    match verdict {
                        Verdict::Good => {
                            prop_assert!(is_open && open_for >= 60, "good after {open_for} s");
                            break 'history;
                        }
                        Verdict::Bad(_) => {
                            prop_assert!(before.is_some());
                            prop_assert!(second >= 60);
                            break 'history;
                        }
                        Verdict::Wait(_) => {
                            prop_assert!(before.is_none() || second < 660, "undecided at {second}");
                        }
                    }
                    open_for = if is_open { open_for + 1 } else { 0 };
                    second += 1;
                }
            }
        }

        /// A box that is as it was before is good, however it was, as long as its queue is open.
        #[test]
        fn a_box_that_is_as_before_is_good(mut before in any_picture()) {
            before.0.insert(QUEUE.to_owned(), Look::Up);
            let begin = Instant::from_std(crate::clock::monotonic());
            let mut judge = Judge::new(Some(before.clone()), RULES, begin);
            prop_assert_eq!(judge.look(&before, None, begin), Verdict::Wait("all is well; 60 s are left to settle".into()));
            prop_assert_eq!(judge.look(&before, None, begin + RULES.settle), Verdict::Good);
        }
    }
}
