//! The terminal of this process, for this screen alone: the one door to crossterm.
//!
//! Keys are read by a thread of their own, as bytes. Decision: not by crossterm's events, which read on without end, at the cost of a
//! whole core, when the terminal goes away (0.29: an empty read is not told from one that has to be repeated).
//!
//! Facts: termios(3), `cfmakeraw`: no key makes a signal, none stops the output. read(2): nothing at the end, EIO after a hang-up.

use std::io::{self, IsTerminal as _, Read as _, Stdout};
use std::thread;

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::execute;
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::backend::CrosstermBackend;
use tokio::sync::mpsc;

use super::draw::{self, Glass};

/// Keys that wait: a hand types a few a second.
const AHEAD: usize = 16;
/// Bytes of a key, or of some that came together.
const PIECE: usize = 64;

/// The terminal; as it was before when it goes out of scope.
#[derive(Debug)]
pub(super) struct Terminal {
    pub(super) glass: Glass<CrosstermBackend<Stdout>>,
    keys: mpsc::Receiver<Vec<u8>>,
}

impl Terminal {
    /// Takes the terminal.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn take() -> io::Result<Self> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Err(io::Error::other(
                "this is no terminal; `sapphire-edge console --once` prints what it would show",
            ));
        }
        enable_raw_mode()?;
        let (to, keys) = mpsc::channel(AHEAD);
        let taken = Self { glass: draw::on_terminal(), keys };
        thread::Builder::new().name("keys".to_owned()).spawn(move || read(&to))?;
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        Ok(taken)
    }

    /// The next bytes of keys; nothing when the terminal is gone.
    ///
    /// # Cancel safety
    /// Safe: none are lost.
    pub(super) async fn read(&mut self) -> Option<Vec<u8>> {
        self.keys.recv().await
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may be gone. A console without another screen (the Linux one) is left empty.
        let _ = execute!(io::stdout(), Clear(ClearType::All), MoveTo(0, 0), Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}

/// Reads until the terminal is gone. Nobody waits for this thread: it ends with the process.
fn read(to: &mpsc::Sender<Vec<u8>>) {
    let (mut stdin, mut bytes) = (io::stdin().lock(), [0; PIECE]);
    loop {
        match stdin.read(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) | Ok(0) => return,
            Ok(length) => {
                let bytes = bytes.get(..length).unwrap_or_default().to_vec();
                if to.blocking_send(bytes).is_err() {
                    return;
                }
            }
        }
    }
}
