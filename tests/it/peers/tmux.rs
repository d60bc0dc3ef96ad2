//! A terminal: tmux, whose server is this test's own.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sapphire_edge::clock::monotonic;

use super::program::have;
use super::{PATIENCE, until};

/// Columns and lines of the smallest console.
const SIZE: (&str, &str) = ("80", "25");
/// How often it is looked at: each look is a process.
const LOOK: Duration = Duration::from_millis(50);
/// Each has a server of its own.
static SERVERS: AtomicU32 = AtomicU32::new(0);

/// A program in a terminal. The server goes when it goes out of scope.
#[derive(Debug)]
pub struct Terminal {
    server: String,
    folder: tempfile::TempDir,
    pid: u32,
}

impl Terminal {
    /// Runs the command in a terminal of its own, as on a Linux console; `None` where tmux may be missing.
    pub fn run(command: &Command) -> Option<Self> {
        Self::run_sized(command, SIZE)
    }

    /// As [`Terminal::run`], with this many columns and lines.
    pub fn run_sized(command: &Command, (columns, lines): (&str, &str)) -> Option<Self> {
        if !have("tmux") {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        // What ends stays to be looked at, and a lone escape is one at once.
        let settings =
            "set -g status off\nset -g remain-on-exit on\nset -sg escape-time 0\nset -g default-terminal linux\n";
        fs::write(folder.path().join("tmux.conf"), settings).unwrap();
        let server = format!("sapphire-{}-{}", std::process::id(), SERVERS.fetch_add(1, Ordering::Relaxed));
        let mut terminal = Self { server, folder, pid: 0 };
        let mut start = terminal.tmux(&["new-session", "-d", "-x", columns, "-y", lines]);
        let output = start.arg(command.get_program()).args(command.get_args()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        terminal.pid = terminal.asked("#{pane_pid}").parse().unwrap();
        Some(terminal)
    }

    /// The number of the process in it.
    pub fn id(&self) -> u32 {
        self.pid
    }

    /// What it shows, line by line.
    pub fn text(&self) -> String {
        self.say(&["capture-pane", "-p"])
    }

    /// Waits until it shows this, and returns all that it shows.
    pub fn shows(&self, part: &str) -> String {
        self.shows_as(part, |text| text.contains(part))
    }

    /// Waits until what it shows is as wanted.
    pub fn shows_as(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.waits(PATIENCE, what, wanted)
    }

    /// As [`Terminal::shows`], for what takes longer than anything else.
    pub fn shows_within(&self, patience: Duration, part: &str) -> String {
        self.waits(patience, part, |text| text.contains(part))
    }

    fn waits(&self, patience: Duration, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let begin = monotonic();
        loop {
            let text = self.text();
            if wanted(&text) {
                return text;
            }
            assert!(begin.elapsed() < patience, "the screen never showed {what:?}; it shows\n{text}");
            std::thread::park_timeout(LOOK);
        }
    }

    /// Presses keys, each by the name that tmux has for it or as the text that it is.
    pub fn keys(&self, keys: &[&str]) {
        self.say(&[&["send-keys"], keys].concat());
    }

    /// Types a text.
    pub fn types(&self, text: &str) {
        self.say(&["send-keys", "-l", text]);
    }

    /// Waits until the program ends, and returns its exit code.
    pub fn ended(&self) -> i32 {
        // A pane is dead a moment before its program's exit code is known.
        until("the program in the terminal ends", || self.asked("#{pane_dead_status}").parse().ok())
    }

    /// The terminal goes away.
    pub fn hang_up(&self) {
        self.say(&["kill-server"]);
    }

    fn asked(&self, format: &str) -> String {
        self.say(&["list-panes", "-F", format]).trim().to_owned()
    }

    fn say(&self, arguments: &[&str]) -> String {
        let output: Output = self.tmux(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn tmux(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command
            .arg("-u")
            .args(["-L", &self.server])
            .arg("-f")
            .arg(self.folder.path().join("tmux.conf"))
            .args(arguments);
        // Of a tmux that this runs in.
        command.env_remove("TMUX");
        command
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]).output();
    }
}

/// What a phone reads off a text in which block letters are light; `None` where zbar may be missing.
pub fn scanned(text: &str) -> Option<String> {
    if !have("zbarimg") {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("screen.pgm");
    fs::write(&picture, photographed(text)).unwrap();
    Some(read_code(&picture))
}

/// The one code in a picture.
pub fn read_code(picture: &Path) -> String {
    let output = Command::new("zbarimg").args(["--quiet", "--raw"]).arg(picture).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A picture (PGM) of letters of 8 by 16 dots, of which only the block letters are light.
fn photographed(text: &str) -> Vec<u8> {
    let lines: Vec<Vec<char>> = text.lines().map(|line| line.chars().collect()).collect();
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let mut picture = format!("P5 {} {} 255\n", 8 * columns, 16 * lines.len()).into_bytes();
    for line in lines {
        for half in ['▀', '▄'] {
            let is_light = |column| matches!(line.get(column), Some(letter) if *letter == '█' || *letter == half);
            let dots = |column| [if is_light(column) { 0xaa } else { 0 }; 8];
            let row: Vec<u8> = (0..columns).flat_map(dots).collect();
            (0..8).for_each(|_| picture.extend(&row));
        }
    }
    picture
}
