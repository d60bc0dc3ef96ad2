//! Messages that are not carried out: what is wrong with them, and the security events that are made of them.
//!
//! Each kind becomes an event at once, and then one a minute at most, with how many there were: who floods the box with forged
//! commands must not flood the SIEM through it.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::event::Notice;

/// Events of one kind are so far apart at least.
const EVERY: Duration = Duration::from_secs(60);

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wrong {
    /// It is no command.
    Garbled,
    /// No key of the fleet has signed it.
    Forged,
    /// It is for somebody else.
    Foreign,
    /// It is too old, or from the future, or valid for too long.
    Expired,
    /// It was seen before, or a newer one was.
    Replayed,
    /// More come than are looked at.
    TooMany,
    /// It cannot be done on this box, or not now.
    Impossible,
}

impl Wrong {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Garbled => "garbled",
            Self::Forged => "forged",
            Self::Foreign => "foreign",
            Self::Expired => "expired",
            Self::Replayed => "replayed",
            Self::TooMany => "too_many",
            Self::Impossible => "impossible",
        }
    }
}

/// Why a message is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) wrong: Wrong,
    pub(super) words: String,
    /// The command's id, where whoever may command has written it: they are told.
    pub(super) command: Option<String>,
}

impl Refusal {
    pub(super) fn new(wrong: Wrong, words: String) -> Self {
        Self { wrong, words, command: None }
    }

    pub(super) fn of(mut self, command: &str) -> Self {
        self.command = Some(command.to_owned());
        self
    }
}

/// Refusals of late, by kind.
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<Wrong, Late>);

#[derive(Debug)]
struct Late {
    told: Instant,
    /// Those since, and the words of the last.
    count: u64,
    words: String,
}

impl Refusals {
    /// Notes one; the event to be told now, if one is due.
    pub(super) fn note(&mut self, refusal: &Refusal) -> Option<Notice> {
        let now = Instant::now();
        match self.0.get_mut(&refusal.wrong) {
            Some(late) if now.duration_since(late.told) < EVERY => {
                late.count += 1;
                late.words.clone_from(&refusal.words);
                None
            }
            _ => {
                let late = Late { told: now, count: 0, words: refusal.words.clone() };
                let before = self.0.insert(refusal.wrong, late).map_or(0, |late| late.count);
                Some(notice(refusal.wrong, before + 1, &refusal.words))
            }
        }
    }

    /// The events of those that were only counted, once their minute is over.
    pub(super) fn due(&mut self) -> Vec<Notice> {
        let now = Instant::now();
        self.0.retain(|_, late| late.count > 0 || now.duration_since(late.told) < EVERY);
        let due = self.0.iter_mut().filter(|(_, late)| now.duration_since(late.told) >= EVERY);
        due.map(|(wrong, late)| {
            late.told = now;
            notice(*wrong, std::mem::take(&mut late.count), &late.words)
        })
        .collect()
    }
}

fn notice(wrong: Wrong, count: u64, words: &str) -> Notice {
    let message = match count {
        1 => format!("a message of the fleet's broker was refused: {words}"),
        more => format!("{more} messages of the fleet's broker were refused; the last: {words}"),
    };
    let facts = [("wrong", wrong.as_str().to_owned()), ("count", count.to_string()), ("reason", words.to_owned())];
    Notice::new("fleet_refused", false, message, &facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(wrong: Wrong) -> Refusal {
        Refusal::new(wrong, "so it is".to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_one_event_a_minute_for_each_kind_and_every_one_is_counted() {
        let mut refusals = Refusals::default();
        let mut counted = 0;
        let mut count = |notice: Notice| counted += notice.facts["count"].as_str().unwrap().parse::<u64>().unwrap();
        let mut events = 0;
        for _ in 0..600 {
            for _ in 0..3 {
                if let Some(notice) = refusals.note(&refusal(Wrong::Forged)) {
                    (events, ()) = (events + 1, count(notice));
                }
            }
            tokio::time::advance(Duration::from_secs(1)).await;
            for notice in refusals.due() {
                (events, ()) = (events + 1, count(notice));
            }
        }
        tokio::time::advance(EVERY).await;
        refusals.due().into_iter().for_each(&mut count);
        assert_eq!(counted, 1_800);
        assert!(events <= 11, "{events} events in ten minutes");
        assert!(refusals.note(&refusal(Wrong::Expired)).is_some(), "another kind is told at once");
        tokio::time::advance(EVERY).await;
        assert!(refusals.due().is_empty() && refusals.0.is_empty(), "nothing is kept of what is over");
    }
}
