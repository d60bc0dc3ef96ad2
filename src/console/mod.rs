//! The screen on the HDMI port: how the box is, how to claim it, and what whoever stands before it may do.
//!
//! In: the running program's answers over the control socket, the network cards, keys. Out: a full-screen picture on the Linux
//! console (80 × 25, 16 colours, the letters of code page 437), and wishes to the program: a card's addresses in the settings,
//! restarts, a factory reset. Floor 4, beside the page: both show the same words, and do the same through the same door. It is
//! a process of its own, as the program's user, without rights: so that a program that hangs or has ended is a fault that it shows.
//!
//! Invariants: the screen never changes anything itself, the program does, checks it, and tells of it; no key leads out of it, to a
//! shell or anything else (`--stay`); what comes from afar (names, words of vendors) reaches the terminal as plain letters only;
//! when its terminal goes away it ends at once.
//!
//! Bounded: one look every two seconds, each with a time in which it has to be answered, one wish at a time, what is typed.
//! An idle screen draws only what changed.
//!
//! Facts: console_codes(4), and the sources named in `keys`, `cards`, `draw`. Not supported: a mouse, other languages.

mod ask;
mod cards;
mod draw;
mod form;
mod keys;
mod qr;
#[cfg(test)]
mod sample;
mod terminal;
mod view;

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until};

use ask::{Outcome, Seen, Silence};
use keys::{Key, Keys};
use terminal::Terminal;
use view::{Next, State, View};

/// How often the program is asked.
const LOOK: Duration = Duration::from_secs(2);
/// A key's bytes come together, within a character's time on the slowest serial line; the escape key sends one.
const ESCAPE: Duration = Duration::from_millis(50);
/// The kernel may write its own words on its console: after this long they are painted over.
const REPAINT: Duration = Duration::from_secs(30);
/// The width of what is printed.
const PAPER: usize = 80;

/// The `[screen]` table of the settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether whoever stands before the screen may set addresses, restart the box, and make it as new; else it only shows.
    pub actions: bool,
}

impl Default for Config {
    fn default() -> Self {
        // A box whose network does not work has nothing else to be mended with; who stands before it can pull its plug too.
        Self { actions: true }
    }
}

/// The addresses at which a page that listens on these is called, the likeliest first.
#[must_use]
pub fn pages(listen: &[SocketAddr]) -> Vec<String> {
    cards::pages(listen, &cards::cards())
}

/// One plain picture of the screen, and whether the program answered.
pub async fn print(socket: &dyn Fn() -> PathBuf) -> (String, bool) {
    let now = Instant::now();
    let mut view = View::on_paper(now);
    let said = ask::look(&socket(), false).await;
    view.saw(cards::cards(), said, now);
    let has_answered = matches!(view.state, State::Seen(_));
    (draw::printed(&draw::page(&view, PAPER), PAPER), has_answered)
}

/// Shows the screen on the terminal of this process until somebody leaves it (never with `stay`), the terminal goes away or a
/// signal says so. `socket` says where the program is asked.
///
/// # Errors
/// When there is no terminal, or it breaks.
pub async fn run(socket: &dyn Fn() -> PathBuf, stay: bool) -> io::Result<()> {
    let mut resized = signal(SignalKind::window_change())?;
    let (mut end, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut screen = Screen::new(socket, stay)?;
    loop {
        screen.show()?;
        let goes_on = tokio::select! {
            goes_on = screen.step() => goes_on,
            _ = resized.recv() => true,
            _ = end.recv() => false,
            _ = interrupt.recv() => false,
            _ = hang_up.recv() => false,
        };
        if !goes_on {
            return Ok(());
        }
    }
}

type Look = Pin<Box<dyn Future<Output = Result<Seen, Silence>>>>;
type Act = Pin<Box<dyn Future<Output = Outcome>>>;

/// The screen and what is under way.
struct Screen<'s> {
    terminal: Terminal,
    view: View,
    keys: Keys,
    socket: &'s dyn Fn() -> PathBuf,
    path: PathBuf,
    look: Look,
    act: Option<Act>,
    repaint_at: Instant,
}

impl<'s> Screen<'s> {
    fn new(socket: &'s dyn Fn() -> PathBuf, stay: bool) -> io::Result<Self> {
        let (now, path) = (Instant::now(), socket());
        Ok(Self {
            terminal: Terminal::take()?,
            view: View::new(stay, now),
            keys: Keys::default(),
            socket,
            look: look_at(now, path.clone(), false),
            path,
            act: None,
            repaint_at: now + REPAINT,
        })
    }

    fn show(&mut self) -> io::Result<()> {
        let view = &self.view;
        self.view.scroll = self.terminal.glass.show(|width, height| draw::draw(view, width, height))?;
        Ok(())
    }

    /// Waits for the next thing to happen, and heeds it; false when the screen is to end.
    ///
    /// # Cancel safety
    /// Safe: nothing that came is lost.
    async fn step(&mut self) -> bool {
        let is_begun = self.keys.is_begun();
        let act = async {
            match &mut self.act {
                Some(act) => act.await,
                None => pending().await,
            }
        };
        tokio::select! {
            bytes = self.terminal.read() => match bytes {
                Some(bytes) => {
                    let keys = self.keys.feed(&bytes);
                    keys.into_iter().all(|key| self.key(key))
                }
                None => false,
            },
            () = sleep(ESCAPE), if is_begun => self.keys.end().is_none_or(|key| self.key(key)),
            said = &mut self.look => {
                self.looked(said);
                true
            }
            outcome = act => {
                self.act = None;
                self.view.done(outcome, Instant::now());
                // What it changed is seen at once.
                self.look_at(Instant::now());
                true
            }
            () = sleep_until(self.repaint_at) => {
                self.repaint();
                true
            }
        }
    }

    fn key(&mut self, key: Key) -> bool {
        match self.view.key(key, Instant::now()) {
            None => {}
            Some(Next::Leave) => return false,
            Some(Next::Repaint) => self.repaint(),
            Some(Next::Wish(wish)) => {
                let path = self.path.clone();
                self.act = Some(Box::pin(async move { ask::act(&path, wish).await }));
            }
        }
        true
    }

    fn looked(&mut self, said: Result<Seen, Silence>) {
        if said.is_err() {
            // The settings may name another one by now.
            self.path = (self.socket)();
        }
        let now = Instant::now();
        self.view.saw(cards::cards(), said, now);
        self.look_at(now + LOOK);
    }

    fn look_at(&mut self, at: Instant) {
        self.look = look_at(at, self.path.clone(), self.view.wants_settings());
    }

    fn repaint(&mut self) {
        self.terminal.glass.forget();
        self.repaint_at = Instant::now() + REPAINT;
    }
}

fn look_at(at: Instant, path: PathBuf, wants_settings: bool) -> Look {
    Box::pin(async move {
        sleep_until(at).await;
        ask::look(&path, wants_settings).await
    })
}
