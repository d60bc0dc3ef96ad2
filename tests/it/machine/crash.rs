//! A boot that was not marked good goes back to the boot loader; a boot that was, and one after which no slot is left, stay up
//! and go on trying.

use std::os::unix::process::ExitStatusExt as _;

use nix::sys::signal::Signal;

use super::{CARD, Machine, outside};
use crate::peers::until;

const UNIT: &str = "sapphire-edge.service";
/// Fails at once until somebody mends it. `+`: outside the sandbox.
const FAILS: &str = "[Service]\nExecStartPre=+test -e /run/mended\nRestartSec=50ms\n";
/// The pause is a minute, which is long for a test.
const SOON: (&str, &str) = ("sapphire-edge-retry.timer", "[Timer]\nOnActiveSec=\nOnActiveSec=2s\n");
const SETTINGS: &str = "[[source]]\nid = \"firewalls\"\ntype = \"syslog\"\nlisten = [\"udp://0.0.0.0:514\"]\n";

fn settings() -> String {
    format!("{CARD}{SETTINGS}")
}

#[test]
fn a_program_that_keeps_failing_reboots_a_box_that_is_not_marked_good() {
    outside(|| {
        let mut machine = Machine::begin(&settings(), &[(UNIT, FAILS), SOON], "");
        let status = until("it reboots", || machine.holder.try_wait().unwrap());
        // What the end of a namespace's first process looks like when it asked for a reboot (pid_namespaces(7)), by way of
        // unshare(1), which ends by the same signal.
        assert_eq!(status.signal(), Some(Signal::SIGHUP as i32), "{status}");
    });
}

/// Stays up through one round of failures, begins another, and is well as soon as the cause is gone.
fn stays_up_and_recovers(drop_in: &str, command_line: &str) {
    let machine = Machine::begin(&settings(), &[(UNIT, &format!("{FAILS}{drop_in}")), SOON], command_line);
    // Eight starts make a round.
    let tries = || machine.journal().matches("Scheduled restart job").count();
    until("a second round of tries", || (tries() > 8).then_some(()));
    assert!(machine.journal().contains("Start request repeated too quickly"));
    assert_eq!(machine.property("sapphire-edge-reboot.service", "Result"), "success");
    assert_eq!(machine.property("sapphire-edge-reboot.service", "ConditionResult"), "no", "it was held back");
    machine.say("touch /run/mended");
    until("it works", || (machine.property(UNIT, "ActiveState") == "active").then_some(()));
}

#[test]
fn a_boot_that_was_marked_good_stays_up_and_tries_again() {
    // What mark-good does; the folder is there before the program runs.
    outside(|| {
        stays_up_and_recovers(
            "ExecStartPre=\nExecStartPre=+touch /run/sapphire-edge/marked-good\nExecStartPre=+test -e /run/mended\n",
            "",
        );
    });
}

#[test]
fn a_boot_with_no_other_slot_left_stays_up_and_tries_again() {
    outside(|| stays_up_and_recovers("", "sapphire.last_resort"));
}
