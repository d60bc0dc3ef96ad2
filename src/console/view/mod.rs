//! What the screen shows at a moment, and what a key makes of it.

use std::time::Duration;

use tokio::time::Instant;

use super::ask::{Outcome, Seen, Silence};
use super::cards::{self, Card};
use super::form::{Form, Step};
use super::keys::Key;
use super::qr::Code;
use crate::control::{self, SettingsNow};
use crate::status::{Component, Count, Snapshot};

/// A window that nobody types into for this long goes away, so that the next who comes sees how the box is.
const LEFT_ALONE: Duration = Duration::from_secs(120);
/// Lines that a page key scrolls by: less than the smallest console has.
const PAGE: usize = 15;
/// What has to be typed for a factory reset.
const RESET: &str = "RESET";

/// What somebody wants of the program.
#[derive(Debug)]
pub(super) enum Wish {
    /// The settings, for the form.
    Settings,
    /// Other addresses for a card, in the settings that the form was made from.
    Network {
        card: control::Card,
        now: Box<SettingsNow>,
    },
    /// Keep settings that wait to be confirmed.
    Keep,
    /// Go back to those before.
    TakeBack,
    RestartBox,
    RestartProgram,
    Reset,
}

impl Wish {
    /// What is said while it is being done, and when it is.
    fn words(&self) -> [&'static str; 2] {
        match self {
            Self::Settings => ["The settings are being read.", ""],
            Self::Network { .. } => ["The settings are checked and taken into use.", ""],
            Self::Keep => ["The new settings are kept.", KEPT],
            Self::TakeBack => ["The settings before are taken into use.", TAKEN_BACK],
            Self::RestartBox => ["A restart is asked for.", "The box restarts now, and is back in a minute or two."],
            Self::RestartProgram => {
                ["A restart is asked for.", "The program ends now, and is started again in a few seconds."]
            }
            Self::Reset => [
                "The factory reset is asked for.",
                "The box restarts now, and comes back as new, with another claim code.",
            ],
        }
    }
}

/// What a key leads to outside of the view.
#[derive(Debug)]
pub(super) enum Next {
    Wish(Wish),
    /// Somebody leaves the screen.
    Leave,
    /// Draw everything anew.
    Repaint,
}

/// What is known of the program.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// Nothing: it was not asked yet.
    Unknown,
    /// It does not answer, since when, and whether it ever did.
    Silent {
        silence: Silence,
        since: Instant,
        spoke: bool,
    },
    Seen(Box<Seen>),
}

/// A window over the rest.
#[derive(Clone, Debug)]
pub(super) enum Window {
    None,
    Restart,
    Reset {
        typed: String,
    },
    Form(Box<Form>),
    /// The program is doing something; what will be said when it is done.
    Working {
        words: &'static str,
        done: &'static str,
    },
    /// Settings wait to be confirmed.
    Trial {
        seconds_left: u64,
        version: Option<String>,
    },
    /// What came of a wish.
    Note {
        title: &'static str,
        words: String,
    },
}

/// The screen.
#[derive(Debug)]
pub(super) struct View {
    /// Nobody can leave it.
    stay: bool,
    pub(super) state: State,
    pub(super) cards: Vec<Card>,
    /// The page's addresses.
    pub(super) pages: Vec<String>,
    /// The code of the first of them.
    pub(super) code: Option<Code>,
    /// Events per second, in and out.
    pub(super) rates: Option<(u64, u64)>,
    /// When the program was last seen, for the rates.
    seen_at: Instant,
    pub(super) window: Window,
    /// Lines that are above what is shown.
    pub(super) scroll: usize,
    touched: Instant,
    /// Now, as far as what is drawn counts seconds.
    pub(super) now: Instant,
    /// The form, while its settings are being applied: to go on with if they are refused.
    sent: Option<Box<Form>>,
}

impl View {
    pub(super) fn new(stay: bool, now: Instant) -> Self {
        Self {
            stay,
            state: State::Unknown,
            cards: Vec::new(),
            pages: Vec::new(),
            code: None,
            rates: None,
            seen_at: now,
            window: Window::None,
            scroll: 0,
            touched: now,
            now,
            sent: None,
        }
    }

    /// One that is looked at once: whoever does not answer then is not waited for.
    pub(super) fn on_paper(now: Instant) -> Self {
        let state = State::Silent { silence: Silence::Gone, since: now, spoke: true };
        Self { state, ..Self::new(true, now) }
    }

    /// Whether nobody can leave it.
    pub(super) fn stays(&self) -> bool {
        self.stay
    }

    /// Whether the settings are looked at as well: they wait to be confirmed, and somebody else may do that.
    pub(super) fn wants_settings(&self) -> bool {
        matches!(self.window, Window::Trial { .. })
    }

    /// Whether the settings let the screen do anything.
    pub(super) fn may_act(&self) -> bool {
        !matches!(&self.state, State::Seen(seen) if !seen.face.actions)
    }

    /// The cards are these now, and the program said this, or nothing.
    pub(super) fn saw(&mut self, cards: Vec<Card>, said: Result<Seen, Silence>, now: Instant) {
        self.now = now;
        match said {
            Ok(seen) => {
                self.is_called(cards::pages(&seen.face.page, &cards));
                self.rates = match &self.state {
                    State::Seen(before) => rates(&before.snapshot, &seen.snapshot, now - self.seen_at),
                    _ => None,
                };
                self.seen_at = now;
                self.follow_trial(seen.settings.as_ref());
                self.state = State::Seen(Box::new(seen));
            }
            Err(silence) => {
                let (since, spoke) = match &self.state {
                    State::Unknown => (now, false),
                    State::Silent { since, spoke, .. } => (*since, *spoke),
                    State::Seen(_) => (now, true),
                };
                self.state = State::Silent { silence, since, spoke };
            }
        }
        self.cards = cards;
        let is_left =
            now - self.touched >= LEFT_ALONE && !matches!(self.window, Window::Working { .. } | Window::Trial { .. });
        if is_left {
            (self.window, self.scroll) = (Window::None, 0);
        }
    }

    /// The page has these addresses now.
    pub(super) fn is_called(&mut self, pages: Vec<String>) {
        let first = pages.first();
        if self.code.as_ref().map(Code::text) != first.map(String::as_str) {
            self.code = first.and_then(|page| Code::of(page));
        }
        self.pages = pages;
    }

    /// Settings on trial: how long still, or how it ended.
    fn follow_trial(&mut self, settings: Option<&SettingsNow>) {
        let (Window::Trial { version, .. }, Some(settings)) = (&self.window, settings) else { return };
        let stays = version.as_ref() == Some(&settings.version);
        self.window = match &settings.trial {
            Some(trial) => Window::Trial { seconds_left: trial.seconds_left, version: Some(settings.version.clone()) },
            None => note("Settings", if stays { KEPT } else { TAKEN_BACK }),
        };
        // How it ended is there to be read, however long ago the last key was.
        self.touched = self.now;
    }

    /// What a key does.
    pub(super) fn key(&mut self, key: Key, now: Instant) -> Option<Next> {
        (self.touched, self.now) = (now, now);
        if key == Key::Repaint {
            return Some(Next::Repaint);
        }
        match &mut self.window {
            Window::None => return self.plain_key(key),
            Window::Working { .. } => {}
            Window::Note { .. } => self.window = Window::None,
            Window::Restart => match letter(key) {
                Some('b') => return self.wish(Wish::RestartBox),
                Some('p') => return self.wish(Wish::RestartProgram),
                _ => self.leave(key),
            },
            Window::Reset { typed } => match key {
                Key::Enter if typed.as_str() == RESET => return self.wish(Wish::Reset),
                Key::Letter(letter) if typed.len() < RESET.len() => typed.push(letter),
                Key::Back => {
                    typed.pop();
                }
                _ => self.leave(key),
            },
            Window::Trial { .. } => match letter(key) {
                Some('k') => return self.wish(Wish::Keep),
                Some('t') => return self.wish(Wish::TakeBack),
                _ => {}
            },
            Window::Form(form) => match form.key(key) {
                Step::Stay => {}
                Step::Leave => self.window = Window::None,
                Step::Send(card) => {
                    let wish = Wish::Network { card, now: Box::new(form.settings.clone()) };
                    self.sent = Some(form.clone());
                    return self.wish(wish);
                }
            },
        }
        None
    }

    fn plain_key(&mut self, key: Key) -> Option<Next> {
        match key {
            Key::Up => self.scroll = self.scroll.saturating_sub(1),
            Key::Down => self.scroll = self.scroll.saturating_add(1),
            Key::PageUp => self.scroll = self.scroll.saturating_sub(PAGE),
            Key::PageDown => self.scroll = self.scroll.saturating_add(PAGE),
            _ => {}
        }
        match letter(key)? {
            'q' if !self.stay => return Some(Next::Leave),
            'n' | 'r' | 'f' if !self.may_act() => {}
            'n' | 'r' | 'f' if !matches!(self.state, State::Seen(_)) => self.window = note("Not now", NO_PROGRAM),
            'n' => return self.wish(Wish::Settings),
            'r' => self.window = Window::Restart,
            'f' => self.window = Window::Reset { typed: String::new() },
            _ => {}
        }
        None
    }

    fn leave(&mut self, key: Key) {
        if key == Key::Escape {
            self.window = Window::None;
        }
    }

    fn wish(&mut self, wish: Wish) -> Option<Next> {
        let [words, done] = wish.words();
        self.window = Window::Working { words, done };
        Some(Next::Wish(wish))
    }

    /// What came of the last wish.
    pub(super) fn done(&mut self, outcome: Outcome, now: Instant) {
        let form = self.sent.take();
        let asked = match self.window {
            Window::Working { done, .. } => done,
            _ => "",
        };
        (self.touched, self.now) = (now, now);
        self.window = match outcome {
            Outcome::Settings(settings) => self.begin(settings),
            Outcome::OnTrial(seconds_left) => Window::Trial { seconds_left, version: None },
            Outcome::Wrong(problems) => match form {
                Some(mut form) => {
                    form.refuse(&problems);
                    Window::Form(form)
                }
                None => Window::None,
            },
            Outcome::Same => note("Network", "This is how the settings are already: there is nothing to change."),
            Outcome::InUse => note("Network", "The settings are in use."),
            Outcome::Done => note("Done", asked),
            Outcome::Failed(why) => Window::Note { title: "This was not done", words: why },
        };
    }

    /// The form, or what has to be decided before.
    fn begin(&self, settings: SettingsNow) -> Window {
        if let Some(trial) = &settings.trial {
            return Window::Trial { seconds_left: trial.seconds_left, version: Some(settings.version) };
        }
        let set = match &self.state {
            State::Seen(seen) => seen.face.cards.as_slice(),
            _ => &[],
        };
        match Form::new(settings, set, &self.cards) {
            Some(form) => Window::Form(Box::new(form)),
            None => note(
                "Network",
                "The box has no network card that it knows of. It may have to be restarted, or is broken.",
            ),
        }
    }
}

const KEPT: &str = "The new settings stay.";
const TAKEN_BACK: &str = "The settings are as they were before.";
const NO_PROGRAM: &str = "The program does not answer, so that nothing can be done here. If it stays so, switch the box off and on: \
                          no harm comes of it.";

fn note(title: &'static str, words: &str) -> Window {
    Window::Note { title, words: words.to_owned() }
}

/// A letter of a menu: capitals do not matter there.
fn letter(key: Key) -> Option<char> {
    match key {
        Key::Letter(letter) => Some(letter.to_ascii_lowercase()),
        _ => None,
    }
}

/// Events per second in and out between two looks; none where the program was started again in between.
fn rates(before: &Snapshot, now: &Snapshot, time: Duration) -> Option<(u64, u64)> {
    let sum = |snapshot: &Snapshot, component, count| -> u64 {
        let lines = snapshot.components.iter().filter(|line| line.component == component);
        lines.map(|line| line.count(count)).fold(0, u64::saturating_add)
    };
    let millis = u64::try_from(time.as_millis()).ok().filter(|millis| *millis > 0)?;
    let rate = |component, count| {
        let more = sum(now, component, count).checked_sub(sum(before, component, count))?;
        Some(more.saturating_mul(1_000) / millis)
    };
    Some((rate(Component::Source, Count::ReceivedEvents)?, rate(Component::Output, Count::DeliveredEvents)?))
}

#[cfg(test)]
mod tests;
