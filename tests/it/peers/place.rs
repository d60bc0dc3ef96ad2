//! A program that sees files and folders of a test in place of the machine's own, in a mount namespace (unshare(1)); all else
//! is as it is.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

/// Each pair is mounted, then the rest is run: as the same process, so that signals reach it.
const SCRIPT: &str = "left=$1; shift; while [ \"$left\" -gt 0 ]; do mount --bind \"$1\" \"$2\" || exit 97; shift 2; \
                      left=$((left - 1)); done; exec \"$@\"";

/// The command with each of these, which is the test's, in place of what the machine has there; `None` where that is not
/// permitted, which is said.
pub fn with_places(command: &Command, places: &[(&Path, &str)]) -> Option<Command> {
    static MAY: OnceLock<bool> = OnceLock::new();
    let may = || {
        let tried = Command::new("unshare").args(["--mount", "mount", "--bind", "/proc", "/proc"]).output();
        tried.is_ok_and(|output| output.status.success())
    };
    if !MAY.get_or_init(may) {
        eprintln!(
            "SKIPPED: nothing can be mounted in place of the machine's files (not root, no such right in a container)"
        );
        return None;
    }
    let mut placed = Command::new("unshare");
    placed.args(["--mount", "sh", "-c", SCRIPT, "sh"]).arg(places.len().to_string());
    for (ours, place) in places {
        placed.arg(ours).arg(place);
    }
    placed.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => placed.env(name, value),
            None => placed.env_remove(name),
        };
    }
    Some(placed)
}
