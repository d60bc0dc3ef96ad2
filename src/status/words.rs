//! A snapshot in words: the same on the page, on the screen and in what the commands print.

use super::{Component, Gauge, Health, Line, Snapshot, Stick};

impl Health {
    /// How bad it is, for lists in which the worst comes first; the larger, the worse.
    #[must_use]
    pub fn severity(&self) -> u8 {
        match self {
            Self::Healthy | Self::Paused => 0,
            Self::Stopped => 1,
            Self::Starting => 2,
            Self::Degraded(_) => 3,
            Self::Failed(_) => 4,
        }
    }
}

impl Line {
    /// What is wrong with this component: which it is and since when, what it is, and what to do. Nothing where all is well.
    #[must_use]
    pub fn trouble(&self) -> Option<[String; 3]> {
        let fault = self.health.fault()?;
        let (kind, id, word) = (self.component.as_str(), &self.id, self.health.word());
        let which = format!("{kind} {id} is {word} since {}", fault.since);
        Some([which, fault.what.clone(), format!("to do: {}", fault.todo)])
    }

    /// Whether nothing is wrong but that nobody has claimed the box on its page: whoever brought it into a fleet may never do so.
    #[must_use]
    pub fn waits_for_claim(&self) -> bool {
        // What else may be wrong with the page has a cause: its certificate.
        self.gauge(Gauge::Unclaimed) > 0 && matches!(&self.health, Health::Degraded(fault) if fault.cause.is_none())
    }
}

impl Snapshot {
    /// The whole box in a sentence, after the word for its state, which is that of the worst part; before it, what became of the
    /// enrolment file on the USB stick that is in.
    #[must_use]
    pub fn verdict(&self) -> (&'static str, String) {
        let (state, words) = self.whole();
        (state, format!("{}{words}", self.stick().map(Stick::words).unwrap_or_default()))
    }

    fn whole(&self) -> (&'static str, String) {
        let lines = &self.components;
        let count = |is: fn(&Health) -> bool| lines.iter().filter(|line| is(&line.health)).count();
        let failed = count(|health| matches!(health, Health::Failed(_)));
        let claims = lines.iter().filter(|line| line.waits_for_claim()).count();
        let degraded = count(|health| matches!(health, Health::Degraded(_))) - claims;
        let has = |component| lines.iter().any(|line| line.component == component);
        match (failed, degraded) {
            (1, _) => ("failed", "One part does not work. What to do stands below.".to_owned()),
            (2.., _) => ("failed", format!("{failed} parts do not work. What to do stands below.")),
            (0, 1) => ("degraded", "The box works, but one part needs a look.".to_owned()),
            (0, 2..) => ("degraded", format!("The box works, but {degraded} parts need a look.")),
            _ if count(|health| *health == Health::Starting) > 0 => ("starting", "The box is starting.".to_owned()),
            _ if !has(Component::Source) => ("healthy", "The box is well. It has no source yet.".to_owned()),
            _ if !has(Component::Output) => {
                ("healthy", "The box is well. It has no output yet: events wait.".to_owned())
            }
            _ if count(|health| *health == Health::Paused) > 0 => {
                ("healthy", "The box is well. Something is paused, because somebody wants it so.".to_owned())
            }
            _ if claims > 0 => ("healthy", "The box is well. Nobody has claimed it on its page yet.".to_owned()),
            _ => ("healthy", "The box is well. Nothing needs to be done.".to_owned()),
        }
    }
}
