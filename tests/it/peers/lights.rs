//! A board's lights and cards as the kernel shows them, in a folder, and `sapphire-edge lights`, which drives them.
//!
//! What is real: the program, the board's profile, the files. What is not: the driver behind the files, and eyes: blinks are
//! counted by looking at a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sapphire_edge::clock::monotonic;

use super::appliance::program;
use super::place::with_places;
use super::{PATIENCE, until};

/// Where the kernel shows both.
const CLASS: &str = "/sys/class";
/// How often a light is looked at: many times within the shortest blink (250 ms).
const LOOK: Duration = Duration::from_millis(10);
/// Dark for longer than between two blinks, and for less than the pause after the last.
const PAUSE: Duration = Duration::from_millis(900);

/// A board with lights for this architecture: its name, its lights, and the one that tells of faults.
const BOARD: (&str, [&str; 3], &str) = if cfg!(target_arch = "aarch64") {
    ("nanopi-r5s", ["red:power", "green:lan-1", "green:wan"], "red:power")
} else {
    ("silicom-cordoba", ["platled::fp_left", "platled::fp_center", "platled::fp_right"], "platled::fp_right")
};

/// The board: a folder in place of [`CLASS`].
#[derive(Debug)]
pub struct Board(tempfile::TempDir);

impl Default for Board {
    /// All lights dark, and a cable in each of two cards.
    fn default() -> Self {
        let board = Self(tempfile::tempdir().unwrap());
        for light in BOARD.1 {
            let folder = format!("leds/{light}");
            let files = [
                ("brightness", "0"),
                ("max_brightness", "1"),
                ("multi_index", "red green"),
                ("multi_intensity", "0 0"),
            ];
            files.iter().for_each(|(file, text)| board.write(&format!("{folder}/{file}"), text));
        }
        for card in ["eth0", "eth1"] {
            board.cable(card, true);
            board.write(&format!("net/{card}/device/vendor"), "0x8086");
        }
        board
    }
}

impl Board {
    /// The `[hw]` table for it.
    pub fn settings() -> String {
        format!("[hw]\nboard = \"{}\"\n", BOARD.0)
    }

    /// Puts a cable into a card, or takes it out.
    pub fn cable(&self, card: &str, is_in: bool) {
        self.write(&format!("net/{card}/carrier"), if is_in { "1\n" } else { "0\n" });
    }

    /// The command on a machine with this board, and with these files besides.
    pub fn with(&self, command: &Command, more: &[(&Path, &str)]) -> Option<Command> {
        let places: Vec<_> = [(self.0.path(), CLASS)].into_iter().chain(more.iter().copied()).collect();
        with_places(command, &places)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn write(&self, file: &str, text: &str) {
        fs::create_dir_all(self.path(file).parent().unwrap()).unwrap();
        fs::write(self.path(file), text).unwrap();
    }
}

/// Who drives the lights, in a process of its own. Ends when it goes out of scope.
#[derive(Debug)]
pub struct Lights {
    child: Child,
    brightness: PathBuf,
}

impl Lights {
    /// Starts it with these settings; `None` where it may not be shown the board.
    pub fn start(board: &Board, settings: &Path) -> Option<Self> {
        let mut command = program();
        command.arg("lights").arg("--config").arg(settings);
        let mut command = board.with(&command, &[])?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let brightness = board.path(&format!("leds/{}/brightness", BOARD.2));
        Some(Self { child, brightness })
    }

    /// Waits until somebody who looks counts so many blinks between two pauses.
    pub fn blinks(&self, wanted: u32) {
        until(&format!("{wanted} blinks"), || (self.count() == wanted).then_some(()));
    }

    /// Blinks from one pause to the next; none where it stays as it is.
    fn count(&self) -> u32 {
        let is_lit = || fs::read_to_string(&self.brightness).is_ok_and(|text| text.trim() == "1");
        let (begin, mut dark_since, mut was_lit, mut blinks) = (monotonic(), None, true, None);
        loop {
            let (now, lit) = (monotonic(), is_lit());
            match (was_lit, lit) {
                (_, false) => {
                    let since = *dark_since.get_or_insert(now);
                    if now - since >= PAUSE {
                        match blinks {
                            Some(count) if count > 0 => return count,
                            _ => blinks = Some(0),
                        }
                    }
                }
                (false, true) => {
                    dark_since = None;
                    blinks = blinks.map(|count| count + 1);
                }
                (true, true) => dark_since = None,
            }
            was_lit = lit;
            // The longest code takes less than five seconds.
            if now - begin > PATIENCE / 10 {
                return 0;
            }
            std::thread::park_timeout(LOOK);
        }
    }
}

impl Drop for Lights {
    fn drop(&mut self) {
        // It leaves the lights dark.
        let _ = kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}
