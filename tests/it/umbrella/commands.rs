//! `source test`.

use std::collections::BTreeSet;

use super::{dns, name, put, settings};
use crate::peers::appliance::program;
use crate::peers::program::text;
use crate::peers::s3::{S3, error};

/// Runs `source test`; whether it succeeded, and what it said.
fn test(double: &S3, more: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    std::fs::write(&file, settings(double, more).replace("{dir}", "/tmp")).unwrap();
    let output = program().args(["source", "test", "umbrella", "--config"]).arg(&file).output().unwrap();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn a_test_says_what_is_right_and_what_is_wrong() {
    let double = S3::start();
    let (success, said) = test(&double, "");
    assert!(!success && said.contains("there is no folder with logs"), "{said}");
    let mut expected = BTreeSet::new();
    for folder in ["dnslogs", "proxylogs", "7654321/auditlogs"] {
        put(&double, &name(&double, folder, 60, "aaaa"), &[dns("one")], &mut expected);
    }
    let (success, said) = test(&double, "");
    assert!(success && said.matches("right  ").count() == 3 && said.contains("right  7654321/auditlogs"), "{said}");
    assert!(double.state().read.is_empty(), "a test reads no object");
    double.fault("prefix=1234567_0123abcd/proxylogs/", 1, error(403, "AccessDenied", ""));
    let (success, said) = test(&double, "");
    assert!(!success && said.contains("wrong  proxylogs: the bucket cisco-managed-eu-central-1 refuses"), "{said}");
    assert_eq!(said.matches("right  ").count(), 2, "{said}");
    let (success, said) = test(&double, "key_created = \"2020-01-01\"");
    assert!(!success && said.contains("wrong  access key:"), "{said}");
    std::fs::write(double.authority.folder().join("secret"), "another").unwrap();
    let (success, said) = test(&double, "");
    assert!(!success && said.contains("the secret access key does not belong to the access key id"), "{said}");
    assert_eq!(double.state().sins, BTreeSet::new());
}
