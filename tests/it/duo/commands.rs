//! `source test` and `check`.

use crate::microsoft::settings;
use crate::peers::appliance::{program, program_at};
use crate::peers::duo::{Duo, HOST, INTEGRATION_KEY, SECRET_KEY};
use crate::peers::program::{have, text};

/// Runs a command with the settings of a source; whether it succeeded, and what it said.
fn command(double: &Duo, arguments: &[&str], clock: Option<&str>) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    std::fs::write(&file, settings(&[("duo", double.settings(""))]).replace("{dir}", "/tmp")).unwrap();
    let mut command = clock.map_or_else(program, |by| program_at(by).unwrap());
    let output = command.args(arguments).arg("--config").arg(&file).output().unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(!said.contains(SECRET_KEY), "{said}");
    (output.status.success(), said)
}

#[test]
fn a_test_asks_each_log_once_and_says_what_is_missing() {
    let double = Duo::start();
    let (success, said) = command(&double, &["source", "test", "duo"], None);
    assert!(success && said.matches("right  ").count() == 6, "{said}");
    let state = double.state();
    assert_eq!((state.asked.len(), state.sins.len()), (6, 0), "{state:?}");
    drop(state);
    double.state().forbidden.insert("activity");
    let (success, said) = command(&double, &["source", "test", "duo"], None);
    let words = format!("{HOST}/activity: the application may not read the activity log (40301)");
    assert!(!success && said.contains(&words) && said.contains("Grant read log"), "{said}");
    assert_eq!(said.matches("right  ").count(), 5, "{said}");
    "other".clone_into(&mut double.state().secret_key);
    let (success, said) = command(&double, &["source", "test", "duo"], None);
    assert!(!success && said.contains("the secret key is not the one"), "{said}");
}

#[test]
fn a_test_finds_a_clock_that_is_wrong() {
    if !have("faketime") {
        return;
    }
    let double = Duo::start();
    let (success, said) = command(&double, &["source", "test", "duo"], Some("-1h"));
    assert!(!success && said.matches("right  ").count() == 6, "{said}");
    assert!(said.contains("behind Duo's") && said.contains("time servers"), "{said}");
}

#[test]
fn a_check_knows_the_keys_apart() {
    let double = Duo::start();
    std::fs::write(double.authority.folder().join("secret"), INTEGRATION_KEY).unwrap();
    let (success, said) = command(&double, &["check"], None);
    assert!(!success && said.contains("holds the Integration key") && said.contains("write the Secret key"), "{said}");
}
