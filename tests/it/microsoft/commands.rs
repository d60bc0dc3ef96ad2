//! `source test`, `source consent` and `import filebeat`.

use std::os::unix::fs::PermissionsExt as _;

use super::settings;
use crate::peers::appliance::program;
use crate::peers::microsoft::{Microsoft, SECRET, TENANT};
use crate::peers::program::text;

/// Runs a command with the settings of a source; whether it succeeded, and what it said.
fn command(double: &Microsoft, kind: &str, arguments: &[&str]) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    std::fs::write(&file, settings(&[(kind, double.settings(""))]).replace("{dir}", "/tmp")).unwrap();
    let output = program().args(arguments).arg("--config").arg(&file).output().unwrap();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn a_test_says_what_is_right_and_which_permission_is_missing() {
    let double = Microsoft::start();
    for (kind, feeds) in [("office365", 5), ("graph", 6), ("defender", 2)] {
        let (success, said) = command(&double, kind, &["source", "test", kind]);
        assert!(success && said.matches("right  ").count() == feeds, "{said}");
    }
    assert!(double.state().starts.is_empty(), "a test changes nothing");
    double
        .state()
        .roles
        .retain(|role| !role.starts_with("Machine") && role != "AuditLog.Read.All" && role != "ActivityFeed.ReadDlp");
    let (success, said) = command(&double, "defender", &["source", "test", "defender"]);
    assert!(!success && said.contains("machines: the app lacks the permission Machine.Read.All"), "{said}");
    let (_, said) = command(&double, "graph", &["source", "test", "graph"]);
    assert!(said.contains("sign_ins: the app lacks the permission AuditLog.Read.All"), "{said}");
    assert!(said.matches("right  ").count() == 4, "{said}");
    let (success, said) = command(&double, "graph", &["source", "test", "nobody"]);
    assert!(!success && said.contains("there are: graph"), "{said}");
}

#[test]
fn a_consent_comes_back_by_tenant_or_by_code_and_only_with_its_state() {
    let double = Microsoft::start();
    double.state().codes.push("code-1".to_owned());
    let redirect = ["--redirect", "https://box.example.net/consent"];
    let begin = [&["source", "consent", "office365"][..], &redirect].concat();
    let (success, said) = command(&double, "office365", &begin);
    assert!(success && said.contains("/organizations/adminconsent?client_id="), "{said}");
    let state = said.lines().find_map(|line| line.strip_prefix("state  ")).unwrap().to_owned();
    let finish = |query: &str| {
        let answer = format!("https://box.example.net/consent?{query}");
        command(&double, "office365", &[&begin[..], &["--answer", &answer, "--state", &state]].concat())
    };
    let (success, said) = finish(&format!("admin_consent=True&tenant={TENANT}&state={state}"));
    assert!(success && said.starts_with(TENANT), "{said}");
    let (success, said) = finish(&format!("code=code-1&state={state}"));
    assert!(success && said.starts_with(TENANT), "{said}");
    let (success, said) = finish(&format!("code=code-1&state={state}"));
    assert!(!success && said.contains("used up"), "a code is good once: {said}");
    let (success, said) = finish(&format!("tenant={TENANT}&state=other"));
    assert!(!success && said.contains("state"), "{said}");
    let (success, said) = finish(&format!("error=permission_denied&state={state}"));
    assert!(!success && said.contains("permission_denied"), "{said}");
}

#[test]
fn filebeats_settings_become_ours() {
    let folder = tempfile::tempdir().unwrap();
    let (file, secret) = (folder.path().join("o365.yml"), folder.path().join("secret"));
    let yaml = format!(
        "- module: o365\n  audit:\n    enabled: true\n    var.application_id: \"66666666-7777-8888-9999-000000000000\"\n    var.tenants:\n      - id: \"{TENANT}\"\n    var.client_secret: \"{SECRET}\"\n"
    );
    std::fs::write(&file, yaml).unwrap();
    let output = program().args(["import", "filebeat"]).arg(&file).arg("--secret").arg(&secret).output().unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && !out.contains(SECRET) && !err.contains(SECRET), "{out}{err}");
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), SECRET);
    assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    let settings = folder.path().join("settings.toml");
    std::fs::write(&settings, out).unwrap();
    let checked = program().args(["check", "--config"]).arg(&settings).output().unwrap();
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    // A secret that is there is not overwritten.
    let again = program().args(["import", "filebeat"]).arg(&file).arg("--secret").arg(&secret).output().unwrap();
    assert!(!again.status.success());
}
