//! `source test`, `import falcon`, and the vendor's own client against the double.

use std::os::unix::fs::PermissionsExt as _;

use super::settings;
use crate::peers::appliance::program;
use crate::peers::crowdstrike::{CLIENT, Falcon, SECRET};
use crate::peers::program::{python, run, text};

/// Runs `source test`; whether it succeeded, and what it said.
fn test(double: &Falcon, more: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    std::fs::write(&file, settings(double, more).replace("{dir}", "/tmp")).unwrap();
    let output = program().args(["source", "test", "crowdstrike", "--config"]).arg(&file).output().unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(!said.contains(SECRET), "{said}");
    (output.status.success(), said)
}

#[test]
fn a_test_says_what_is_right_and_what_is_wrong_and_connects_nothing() {
    let double = Falcon::start(&["0", "1"]);
    let (success, said) = test(&double, "");
    assert!(success && said.contains("right  login") && said.contains("right  event stream of partition 1"), "{said}");
    assert!(!double.state().asked.iter().any(|asked| asked.contains("/datafeed/v1/")), "no stream is opened");
    double.state().has_scope = false;
    let (success, said) = test(&double, "");
    assert!(!success && said.contains("lacks the scope Event streams: Read"), "{said}");
    double.state().region = "eu-1".to_owned();
    let (success, said) = test(&double, "");
    assert!(!success && said.contains("belongs to the cloud eu-1, not us-1"), "{said}");
    assert!(said.contains("set cloud = \"eu-1\""), "{said}");
    let (success, said) = test(&double, "cloud = \"eu-1\"");
    assert!(!success && !said.contains("belongs to"), "{said}");
}

#[test]
fn the_connectors_settings_become_ours() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (file, secret, mapping) = (path("cs.falconhoseclient.cfg"), path("secret"), path("mapping.cfg"));
    let cfg = format!(
        "[Settings]\nversion = 3\napi_url = https://api.us-2.crowdstrike.com/sensors/entities/datafeed/v2\napp_id = SIEM-Connector-v2.0.0\n\
         client_id = {CLIENT}\nclient_secret = {SECRET}\noutput_format = syslog\noffset_path = /var/log/stream_offsets\n\
         [CEF]\nheader_prefix = \"CEF:0|CrowdStrike|FalconHost|1.0|\"\n[AuthActivityAuditEvent]\n__header.0 = 'mine'\nduser = event.UserId\n"
    );
    std::fs::write(&file, cfg).unwrap();
    let import = || {
        let mut command = program();
        command.args(["import", "falcon"]).arg(&file).arg("--secret").arg(&secret).arg("--mapping").arg(&mapping);
        command.output().unwrap()
    };
    let output = import();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && !out.contains(SECRET) && !err.contains(SECRET), "{out}{err}");
    assert!(err.contains("offsets are not taken over"), "{err}");
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), SECRET);
    assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!std::fs::read_to_string(&mapping).unwrap().contains(SECRET));
    let settings = path("settings.toml");
    std::fs::write(&settings, &out).unwrap();
    let checked = program().args(["check", "--config"]).arg(&settings).output().unwrap();
    assert!(checked.status.success(), "{}\n{out}", text(&checked.stderr));
    assert!(!import().status.success(), "a secret that is there is not overwritten");
}

#[test]
fn the_vendors_client_finds_and_keeps_the_doubles_streams() {
    let double = Falcon::start(&["0", "1"]);
    let Some(mut client) = python("falconpy_client.py") else { return };
    let ca = double.authority.ca();
    // A variable of the machine would win over the argument.
    client.env("REQUESTS_CA_BUNDLE", &ca).env("SSL_CERT_FILE", &ca);
    let output = run(client.args([&double.url(), CLIENT, SECRET]).arg(&ca));
    for line in ["token: 201", "streams: 200 2", "refresh: 200", "wrong secret: 403", "wrong app id: 400"] {
        assert!(output.contains(line), "{line:?} is missing in\n{output}");
    }
    assert_eq!(double.state().refreshes, 1);
}
