use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{Machine, outside};
use crate::peers::program::have;
use crate::peers::until;

const UNIT: &str = "sapphire-edge-console.service";
const RESET: &str = "sapphire-edge-reset.service";

/// The machine of the test has no virtual terminal: tmux in the box lends one.
fn terminal(machine: &Machine) -> String {
    machine.say("tmux -u -L box -f /dev/null new-session -d -x 80 -y 26 sleep infinity");
    machine.say("tmux -L box list-panes -F #{pane_tty}").trim().to_owned()
}

fn text(machine: &Machine) -> String {
    machine.say("tmux -L box capture-pane -p")
}

fn shows(machine: &Machine, part: &str) -> String {
    until(part, || Some(text(machine)).filter(|text| text.contains(part)))
}

#[test]
fn the_screen_shows_the_box_from_a_process_without_rights_where_every_other_system_call_is_deadly() {
    if !have("tmux") {
        return;
    }
    outside(|| {
        let machine = Machine::boot("[page]\nlisten = [\"0.0.0.0:443\"]\n");
        assert_eq!(machine.property(UNIT, "ConditionResult"), "no", "there is no virtual terminal here");
        let lent = terminal(&machine);
        let lines = format!(
            "[Unit]\nConditionPathExists=\n[Service]\nTTYPath={lent}\nTTYReset=no\nTTYVHangup=no\nTTYVTDisallocate=no\n\
             DeviceAllow=char-pts rw\nSystemCallErrorNumber=\n"
        );
        let folder = machine.path(&format!("/run/systemd/system/{UNIT}.d"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("90-test.conf"), lines).unwrap();
        machine.say("systemctl daemon-reload");
        machine.say(&format!("systemctl start {UNIT}"));
        let picture = shows(&machine, "claim code");
        let said = machine.say("sapphire-edge claim --config /var/lib/sapphire-edge/settings.toml");
        let code = said.lines().find_map(|line| line.strip_prefix("claim code")).unwrap().trim();
        for part in [code, "https://198.18.0.2/", "eth0 198.18.0.2/24", "edge-test"] {
            assert!(picture.contains(part), "{part}\n{picture}");
        }
        // Restarting the program goes through the control socket, and what it costs the screen is seen.
        machine.say("tmux -L box send-keys r");
        shows(&machine, "restart the program");
        machine.say("tmux -L box send-keys p");
        until("the program is started again", || {
            (machine.property("sapphire-edge.service", "NRestarts") == "1").then_some(())
        });
        machine.say("tmux -L box send-keys Enter");
        shows(&machine, "claim code");
        let pid = machine.property(UNIT, "MainPID");
        let status = machine.say(&format!("cat /proc/{pid}/status"));
        assert!(status.contains("CapEff:\t0000000000000000\n") && status.contains("Seccomp:\t2\n"), "{status}");
        for closed in ["page", "secrets", "queue", "system"] {
            let inside = machine.path(&format!("/proc/{pid}/root/var/lib/sapphire-edge/{closed}"));
            assert_eq!(fs::read_dir(&inside).unwrap().count(), 0, "{closed} can be seen");
        }
        assert_eq!(machine.property(UNIT, "NRestarts"), "0", "it was never killed");
        machine.say(&format!("systemctl stop {UNIT}"));
        assert_eq!(machine.property(UNIT, "Result"), "success");
    });
}

/// What the data partition holds when the box starts into a factory reset; here it is memory, and empty.
const LEFT: &str = "[Unit]\nConditionPathExists=\n[Service]\nExecStartPre=+/bin/sh -c 'cd /var/lib/sapphire-edge && mkdir -p \
                    system/services queue secrets page && chmod 700 queue secrets page && echo old > settings.toml && echo \
                    old > secrets/old && echo old > page/accounts.json && echo kept > system/services/kept && touch \
                    factory-reset && chown -R sapphire-edge queue secrets page settings.toml factory-reset'\n";

#[test]
fn a_box_that_starts_into_a_factory_reset_is_as_new_before_anything_uses_its_state() {
    outside(|| {
        let machine = Machine::boot_with("", &[(RESET, LEFT)]);
        assert_eq!(machine.property(RESET, "Result"), "success");
        let state = |path: &str| machine.path(&format!("/var/lib/sapphire-edge/{path}"));
        for gone in ["factory-reset", "secrets/old", "page/accounts.json"] {
            assert!(!state(gone).exists(), "{gone} is still there");
        }
        let settings = fs::read_to_string(state("settings.toml")).unwrap();
        assert!(settings.contains("edge-test"), "those of the image: {settings}");
        assert!(state("system/services/kept").exists(), "what root keeps");
        assert_eq!(fs::metadata(state("secrets")).unwrap().permissions().mode() & 0o777, 0o700, "made anew");
        let at = |unit: &str| machine.property(unit, "ExecMainStartTimestampMonotonic").parse::<u64>().unwrap();
        for later in ["systemd-tmpfiles-setup.service", "sapphire-edge-apply.service", "sapphire-edge.service"] {
            assert!(at(RESET) < at(later), "{later}");
        }
        assert!(machine.journal().contains("the box is as new"));
    });
}
