//! All that is known: the rings of every span, and when each source last sent something.

use std::collections::BTreeMap;

use super::file::MAX_ID;
use super::meter::Sample;
use super::series::{Now, Series, Span};
use super::track::Track;

/// Sources with points of their own. A box with more has them in the sum only; 64 sources are a rack full of devices each.
pub(super) const SOURCES: usize = 64;

/// All that is known.
#[derive(Clone, Debug)]
pub(super) struct Book {
    /// In the order of [`Span::ALL`].
    pub(super) tracks: [Track; 3],
    /// The sources with points of their own, each with the second of its last event; zero while there was none.
    pub(super) last_events: BTreeMap<String, u64>,
    now: Now,
}

impl Default for Book {
    fn default() -> Self {
        Self::from_file(Span::ALL.map(Track::new), BTreeMap::new())
    }
}

impl Book {
    pub(super) fn from_file(tracks: [Track; 3], last_events: BTreeMap<String, u64>) -> Self {
        Self { tracks, last_events, now: Now::default() }
    }

    /// Adds what happened up to a second since 1970.
    pub(super) fn add(&mut self, at: u64, sample: &Sample) {
        self.admit(sample);
        for (id, last) in &mut self.last_events {
            if sample.sources.get(id).is_some_and(|events| *events > 0) {
                *last = at;
            }
        }
        for track in &mut self.tracks {
            track.add(at, sample, |id| self.last_events.contains_key(id));
        }
        let rates = |of: &BTreeMap<String, u64>| {
            of.iter().filter_map(|(id, events)| Some((id.clone(), sample.rate(*events)?))).collect()
        };
        self.now = Now {
            received_per_second: sample.rate(sample.received),
            delivered_per_second: sample.rate(sample.delivered),
            sources: rates(&sample.sources),
            outputs: rates(&sample.outputs),
            last_events: BTreeMap::new(),
        };
    }

    /// Makes room for sources that are new: those that are gone make way, the longest silent first.
    fn admit(&mut self, sample: &Sample) {
        for id in sample.sources.keys().filter(|id| id.len() <= MAX_ID) {
            if self.last_events.contains_key(id) {
                continue;
            }
            if self.last_events.len() >= SOURCES {
                let gone = self.last_events.iter().filter(|(id, _)| !sample.sources.contains_key(*id));
                let Some(oldest) = gone.min_by_key(|(_, last)| **last).map(|(id, _)| id.clone()) else { return };
                self.last_events.remove(&oldest);
                for track in &mut self.tracks {
                    track.sources.remove(&oldest);
                }
            }
            self.last_events.insert(id.clone(), 0);
        }
    }

    pub(super) fn series(&self, span: Span) -> Series {
        let lasts = self.last_events.iter().filter(|(_, last)| **last > 0);
        let last_events = lasts.map(|(id, last)| (id.clone(), *last)).collect();
        let now = Now { last_events, ..self.now.clone() };
        let track = self.tracks.iter().find(|track| track.span == span);
        track.map(|track| track.series(now)).unwrap_or_default()
    }
}
