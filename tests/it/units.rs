//! `systemd/` as files: systemd itself finds nothing wrong with them, and the program's unit is closed as far as it can be.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::peers::appliance::program;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")
}

/// Everything of `systemd/` in a root of its own, as the image gets it; the service manager is of this version.
fn installed(version: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let libraries = root.path().join("usr/lib/systemd");
    fs::create_dir_all(&libraries).unwrap();
    fs::write(libraries.join(format!("libsystemd-shared-{version}.so")), "").unwrap();
    let output = Command::new(folder().join("install")).arg(root.path()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    root
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The files of `systemd/`, those in its folders too.
fn files() -> Vec<PathBuf> {
    let mut open = vec![folder()];
    let mut files = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    files
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let root = installed("252");
    let units = root.path().join("usr/lib/systemd/system");
    let mut names = Vec::new();
    for entry in fs::read_dir(&units).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        // The program is not installed on this machine.
        let own = fs::canonicalize(program().get_program()).unwrap();
        let unit = fs::read_to_string(entry.path()).unwrap().replace("/usr/bin/sapphire-edge", own.to_str().unwrap());
        fs::write(entry.path(), unit).unwrap();
        names.push(entry.path());
    }
    assert!(names.len() >= 10, "{names:?}");
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]).args(names);
    verify.env("SYSTEMD_UNIT_PATH", format!("{}:/usr/lib/systemd/system", units.display()));
    let output = verify.output().unwrap();
    assert!(output.status.success() && text(&output).is_empty(), "{}", text(&output));
}

#[test]
fn the_programs_unit_exposes_little() {
    let exposure = |unit: &Path, threshold: &str| {
        let mut security = Command::new("systemd-analyze");
        security.args(["security", "--offline=true", "--no-pager", "--threshold", threshold]).arg(unit);
        let output = security.output().unwrap();
        (output.status.success(), text(&output))
    };
    let (passes, told) = exposure(&folder().join("sapphire-edge-console.service"), "15");
    assert!(passes && told.contains("Overall exposure level for sapphire-edge-console.service: 1."), "{told}");
    // Root that mounts, sees a device and asks for the addresses of the page.
    let (passes, told) = exposure(&folder().join("sapphire-edge-stick@.service"), "23");
    assert!(passes, "{told}");
    let unit = folder().join("sapphire-edge.service");
    // Tenths: 1.5 is what was promised at most.
    let (passes, told) = exposure(&unit, "15");
    assert!(passes, "{told}");
    assert!(told.contains("Overall exposure level for sapphire-edge.service: 1."), "{told}");
    let open = fs::read_to_string(&unit).unwrap().replace("PrivateDevices=yes", "").replace("ProtectSystem=strict", "");
    let scratch = tempfile::tempdir().unwrap();
    let opened = scratch.path().join("sapphire-edge.service");
    fs::write(&opened, open.replace("SystemCallFilter", "#")).unwrap();
    assert!(!exposure(&opened, "15").0, "a unit that is open would not be noticed");
}

#[test]
fn every_file_says_who_wants_it_and_is_installed() {
    let root = installed("256");
    let mut installed = Vec::new();
    let mut open = vec![root.path().to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            } else if entry.file_type().unwrap().is_file() {
                installed.push(fs::read_to_string(entry.path()).unwrap());
            }
        }
    }
    for file in files().iter().filter(|file| !file.ends_with("install")) {
        let content = fs::read_to_string(file).unwrap();
        let first = content.lines().next().unwrap();
        assert!(first.starts_with("# Wanted by ") && first.contains(": "), "{}: {first}", file.display());
        assert!(installed.contains(&content), "{} is not installed", file.display());
        assert!(!file.to_str().unwrap().contains('\\'), "{} has to be quoted everywhere", file.display());
    }
}

#[test]
fn nobody_can_log_in_at_a_terminal_and_nothing_but_the_screen_has_one() {
    let root = installed("256");
    for unit in
        ["getty@.service", "serial-getty@.service", "autovt@.service", "debug-shell.service", "ctrl-alt-del.target"]
    {
        let masked = fs::read_link(root.path().join("etc/systemd/system").join(unit)).unwrap();
        assert_eq!(masked, Path::new("/dev/null"), "{unit}");
    }
    let terminals = files().into_iter().filter(|file| fs::read_to_string(file).unwrap().contains("\nTTYPath="));
    let names: Vec<_> = terminals.map(|file| file.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["sapphire-edge-console.service"]);
}

#[test]
fn a_file_system_on_usb_starts_the_unit_that_looks_at_it_and_the_boxs_own_disk_does_not() {
    let root = installed("252");
    let rules = fs::read_to_string(root.path().join("usr/lib/udev/rules.d/80-sapphire-edge-stick.rules")).unwrap();
    let rule = rules.lines().find(|line| !line.starts_with('#')).unwrap();
    // udev(7): all that a rule compares has to hold.
    for part in
        [r#"SUBSYSTEM=="block""#, r#"SUBSYSTEMS=="usb""#, r#"ENV{ID_FS_TYPE}=="vfat|exfat|ext4""#, r#"TAG+="systemd""#]
    {
        assert!(rule.split(", ").any(|found| found == part), "{part}: {rule}");
    }
    let wants = rule.split_once("ENV{SYSTEMD_WANTS}+=\"").unwrap().1.trim_end_matches('"');
    let unit = wants.replace("%k", "");
    assert!(root.path().join("usr/lib/systemd/system").join(unit).exists(), "{wants}");
    // repart.d(5): what the disk's partitions are called.
    let own = rule.split_once("ENV{ID_PART_ENTRY_NAME}!=\"").unwrap().1.split_once('*').unwrap().0;
    let repart = fs::read_to_string(folder().join("sapphire-edge.repart")).unwrap();
    assert!(
        repart.lines().any(|line| line.strip_prefix("Label=").is_some_and(|label| label.starts_with(own))),
        "{repart}"
    );
}

#[test]
fn an_old_service_manager_is_not_given_what_it_does_not_know() {
    let drop_in = "usr/lib/systemd/system/sapphire-edge.service.d/50-systemd-254.conf";
    assert!(!installed("252").path().join(drop_in).exists());
    assert!(installed("256").path().join(drop_in).exists());
}

#[test]
fn every_unit_that_the_preset_names_can_be_enabled() {
    let root = installed("256");
    let units = root.path().join("usr/lib/systemd/system");
    let preset = fs::read_to_string(folder().join("50-sapphire-edge.preset")).unwrap();
    let own =
        preset.lines().filter_map(|line| line.strip_prefix("enable ")).filter(|unit| !unit.starts_with("systemd-"));
    for unit in own {
        let unit = fs::read_to_string(units.join(unit)).unwrap_or_else(|error| panic!("{unit}: {error}"));
        assert!(unit.contains("[Install]\n"), "{unit}");
    }
    assert!(preset.ends_with("disable *\n"));
}
