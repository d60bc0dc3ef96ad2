//! One line of health for many partitions: the worst that holds, and how many it holds for.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::status::{Cause, Gauge, Handle, Health};

/// What the partitions of a source come to. Shared by its hubs.
#[derive(Debug)]
pub(super) struct Face {
    status: Handle,
    places: Mutex<BTreeMap<String, State>>,
}

/// How one partition (or a whole hub, while it is not connected) is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Starting,
    Reading,
    Trouble { what: String, todo: String, cause: Cause },
}

impl Face {
    pub(super) fn new(status: Handle) -> Self {
        Self { status, places: Mutex::default() }
    }

    /// It is not there yet.
    pub(super) fn starting(&self, place: &str) {
        self.change(place, Some(State::Starting));
    }

    /// It is read.
    pub(super) fn reading(&self, place: &str) {
        self.change(place, Some(State::Reading));
    }

    /// Something is wrong with it.
    pub(super) fn trouble(&self, place: &str, (what, todo): (String, String), cause: Cause) {
        self.change(place, Some(State::Trouble { what, todo, cause }));
    }

    /// It is no place any more.
    pub(super) fn gone(&self, place: &str) {
        self.change(place, None);
    }

    fn change(&self, place: &str, state: Option<State>) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        match state {
            Some(state) => drop(places.insert(place.to_owned(), state)),
            None => drop(places.remove(place)),
        }
        let reading = places.values().filter(|state| **state == State::Reading).count();
        self.status.counters().set(Gauge::OpenFeeds, reading as u64);
        self.status.set(health(&places, reading));
    }
}

fn health(places: &BTreeMap<String, State>, reading: usize) -> Health {
    let troubles: Vec<_> = places
        .values()
        .filter_map(|state| match state {
            State::Trouble { what, todo, cause } => Some((what, todo, *cause)),
            _ => None,
        })
        .collect();
    let Some((what, todo, cause)) = troubles.first() else {
        let all = reading == places.len() && reading > 0;
        return if all { Health::Healthy } else { Health::Starting };
    };
    let more = troubles.iter().filter(|(other, ..)| other != what).count();
    let what = if more > 0 { format!("{what}; and {more} more like it") } else { (*what).clone() };
    let health =
        if reading > 0 { Health::degraded(what, (*todo).clone()) } else { Health::failed(what, (*todo).clone()) };
    health.because(Some(*cause))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::status::{Board, Component};

    #[test]
    fn the_worst_is_shown_and_counted() {
        let status = Board::new(Clock::System).handle(Component::Source, "azure");
        let face = Face::new(status.clone());
        let trouble = |place| face.trouble(place, (format!("{place} is away"), "wait".into()), Cause::Unreachable);
        face.starting("a");
        assert_eq!(status.health().word(), "starting");
        face.reading("a");
        assert_eq!(status.health(), Health::Healthy);
        trouble("b");
        assert_eq!(status.health().word(), "degraded");
        trouble("c");
        assert_eq!(status.health().fault().unwrap().what, "b is away; and 1 more like it");
        assert_eq!(status.counters().gauge(Gauge::OpenFeeds), 1);
        trouble("a");
        assert_eq!(status.health().word(), "failed");
        face.reading("a");
        face.gone("b");
        face.gone("c");
        assert_eq!(status.health(), Health::Healthy);
    }
}
