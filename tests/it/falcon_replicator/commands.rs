//! `source test`.

use serde_json::json;

use super::{Replicator, events};
use crate::peers::appliance::program;
use crate::peers::program::text;

/// Runs `source test`; whether it succeeded, and what it said.
fn test(replicator: &Replicator) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    std::fs::write(&file, replicator.settings("").replace("{dir}", "/tmp")).unwrap();
    let output = program().args(["source", "test", "falcon_replicator", "--config"]).arg(&file).output().unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(!said.contains(replicator.aws.about["secret"].as_str().unwrap()), "{said}");
    (output.status.success(), said)
}

#[test]
fn a_test_says_which_right_is_missing_and_takes_nothing() {
    let Some(mut replicator) = Replicator::start() else { return };
    let (success, said) = test(&replicator);
    assert!(success && said.matches("right  ").count() == 4 && said.contains("no message is waiting"), "{said}");
    let path = replicator.write("data/0d1f", "part-00000.gz", &events("x", 5));
    let (success, said) = test(&replicator);
    assert!(success && said.contains(&format!("right  s3:GetObject {path} in")), "{said}");
    for missing in ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"] {
        let all = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"];
        let rest: Vec<_> = all.into_iter().filter(|right| *right != missing).collect();
        replicator.aws.tell(&json!({ "do": "rights", "empty": rest }));
        let (success, said) = test(&replicator);
        assert!(!success && said.contains(&format!("wrong  {missing}: the SQS queue refuses")), "{missing}: {said}");
        assert_eq!(said.matches("wrong  ").count(), 1, "{said}");
    }
    replicator.aws.tell(&json!({ "do": "rights", "read": [] }));
    let (success, said) = test(&replicator);
    assert!(!success && said.contains(&format!("wrong  s3:GetObject {path} in")), "{said}");
    assert_eq!((said.matches("right  ").count(), said.matches("refuses the access key").count()), (3, 1), "{said}");
    replicator.aws.tell(&json!({ "do": "rights" }));
    replicator.aws.write_secret("another");
    let (success, said) = test(&replicator);
    assert!(!success && said.contains("the secret access key does not belong to the access key id"), "{said}");
    assert_eq!(replicator.aws.waiting(), 1, "its message is still there");
}
