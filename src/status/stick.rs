//! What became of an enrolment file on a USB stick: for the lights, the screen and the page, as long as whoever plugged it in
//! stands before the box.

use super::{Component, Gauge, Snapshot};

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stick {
    /// It is being read and tried.
    Read,
    /// The box has taken it.
    Taken,
    /// The box has not taken it; the line's fault says why.
    Refused,
}

impl Stick {
    /// The id of its line, which is there only meanwhile.
    pub const LINE: &'static str = "stick";

    /// As the number that [`Gauge::Stick`] holds.
    #[must_use]
    pub fn gauge(self) -> u64 {
        match self {
            Self::Read => 1,
            Self::Taken => 2,
            Self::Refused => 3,
        }
    }

    /// In a sentence.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Read => "The enrolment file on the USB stick is being tried: leave the stick in. ",
            Self::Taken => "The enrolment file on the USB stick was taken: the stick can go. ",
            Self::Refused => "The enrolment file on the USB stick was not taken. ",
        }
    }
}

impl Snapshot {
    /// What became of the file on the stick that is in; nothing where none is, or is shown no more.
    #[must_use]
    pub fn stick(&self) -> Option<Stick> {
        let gauge = self.line(Component::Box, Stick::LINE)?.gauge(Gauge::Stick);
        [Stick::Read, Stick::Taken, Stick::Refused].into_iter().find(|stick| stick.gauge() == gauge)
    }
}
