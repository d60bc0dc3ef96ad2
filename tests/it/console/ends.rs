use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use sapphire_edge::clock::monotonic;

use super::{command, screen, settings};
use crate::peers::appliance::{Appliance, until};
use crate::peers::free_address;
use crate::peers::process::Process;
use crate::peers::program::have;
use crate::peers::tmux::Terminal;

/// A screen that ends looks at nothing any more before it does; a machine that is busy takes this long to let it.
const AT_ONCE: Duration = Duration::from_secs(5);

#[test]
fn no_key_leads_out_of_it() {
    let edge = Appliance::start(&settings(free_address()));
    let Some(screen) = screen(&edge) else { return };
    screen.shows("claim code");
    for keys in [
        &["C-c", "C-z", "C-\\", "C-d", "C-s", "C-q", "C-a", "C-]", "C-@"][..],
        &["q", "Q", "M-x", "M-q", "F1", "F2", "F12", "IC", "DC", "Home", "End"],
    ] {
        screen.keys(keys);
    }
    for window in ["r", "f"] {
        screen.keys(&[window]);
        screen.shows("Esc  back");
        screen.keys(&["C-c", "C-z", "C-\\", "C-d", "M-x", "q"]);
        screen.keys(&["Escape"]);
        screen.shows_as("no window", |text| text.contains("claim code") && !text.contains('┌'));
    }
    // It still heeds what is a key of its own.
    screen.keys(&["r"]);
    screen.shows("restart the program");
    screen.keys(&["Escape"]);
    screen.shows_as("no window", |text| text.contains("claim code") && !text.contains('┌'));
    let state = fs::read_to_string(format!("/proc/{}/stat", screen.id())).unwrap();
    assert!(!state.contains(") T ") && state.contains("sapphire-edge"), "{state}");
    edge.stop();
}

#[test]
fn where_nobody_has_to_stay_one_key_leaves_it() {
    let edge = Appliance::start(&settings(free_address()));
    let Some(screen) = Terminal::run(&command(&edge, &[])) else { return };
    screen.shows("q leave");
    screen.keys(&["q"]);
    assert_eq!(screen.ended(), 0);
    let nowhere = command(&edge, &[]).stdin(Stdio::null()).output().unwrap();
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("console --once"), "{nowhere:?}");
    edge.stop();
}

fn is_gone(pid: u32) -> bool {
    !fs::exists(format!("/proc/{pid}")).unwrap()
}

#[test]
fn when_its_terminal_goes_away_it_ends_at_once() {
    let edge = Appliance::start(&settings(free_address()));
    let Some(screen) = screen(&edge) else { return };
    screen.shows("claim code");
    let begin = monotonic();
    screen.hang_up();
    until("it ends", || is_gone(screen.id()).then_some(()));
    assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
    edge.stop();
}

/// A terminal that belongs to nobody's session tells nobody when it goes away: reading it fails, and nothing else. Prints how many
/// seconds the program lived after that.
const NO_SIGNAL: &str = "
import os, pty, subprocess, sys, time
master, slave = pty.openpty()
child = subprocess.Popen(sys.argv[1:], stdin=slave, stdout=slave, stderr=subprocess.DEVNULL)
os.close(slave)
text = b''
while b'claim code' not in text:
    text += os.read(master, 65536)
begin = time.monotonic()
os.close(master)
child.wait(60)
print(time.monotonic() - begin)
";

#[test]
fn a_terminal_that_ends_without_a_signal_is_noticed_too() {
    if !have("python3") {
        return;
    }
    let edge = Appliance::start(&settings(free_address()));
    let screen = command(&edge, &["--stay"]);
    let mut python = Command::new("python3");
    python.args(["-c", NO_SIGNAL]).arg(screen.get_program()).args(screen.get_args());
    let output = python.output().unwrap();
    let lived: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or_else(|_| panic!("{output:?}"));
    assert!(lived < AT_ONCE.as_secs_f64(), "{lived} s");
    edge.stop();
}

#[test]
fn a_screen_whose_program_is_gone_does_not_spin() {
    let edge = Appliance::start(&settings(free_address()));
    let Some(screen) = screen(&edge) else { return };
    screen.shows("claim code");
    edge.stop();
    screen.shows("The program does not run.");
    let before = Process(screen.id()).cpu();
    std::thread::park_timeout(Duration::from_secs(3));
    let cost = Process(screen.id()).cpu() - before;
    assert!(cost < Duration::from_millis(300), "{cost:?}");
}
