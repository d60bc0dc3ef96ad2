//! A passphrase: out of a file, or typed at a terminal that does not show it.

use std::fs;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

use crate::secret::Secret;

/// Reads it from the file, or asks for it; `twice`: the same has to be typed again.
pub(super) fn read(file: Option<&Path>, twice: bool) -> anyhow::Result<Secret<String>> {
    if let Some(file) = file {
        let text =
            Secret::new(fs::read_to_string(file).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?);
        return Ok(Secret::new(text.expose().trim_end_matches(['\r', '\n']).to_owned()));
    }
    let words = ask("Passphrase: ")?;
    if twice && io::stdin().is_terminal() && ask("The same again: ")?.expose() != words.expose() {
        anyhow::bail!("the two are not the same; type the same one twice");
    }
    Ok(words)
}

/// What a terminal was like before, and is again.
struct Hidden(Option<Termios>);

impl Hidden {
    fn begin() -> Self {
        let before = tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            let mut silent = before.clone();
            silent.local_flags.remove(LocalFlags::ECHO);
            // A terminal that cannot be silent shows what is typed.
            let _ = tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &silent);
        }
        Self(before)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, before);
        }
    }
}

fn ask(prompt: &str) -> anyhow::Result<Secret<String>> {
    let is_terminal = io::stdin().is_terminal();
    if is_terminal {
        write!(io::stderr(), "{prompt}")?;
    }
    let hidden = Hidden::begin();
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    drop(hidden);
    let line = Secret::new(line);
    if is_terminal {
        writeln!(io::stderr())?;
    }
    if read? == 0 {
        anyhow::bail!("there is no passphrase; type one, or name a file with --passphrase-file");
    }
    Ok(Secret::new(line.expose().trim_end_matches(['\r', '\n']).to_owned()))
}
