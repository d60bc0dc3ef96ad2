//! `source test`: one look at every hub and group.

use super::Site;
use crate::peers::appliance::program;
use crate::peers::event_hub::POLICY;
use crate::peers::program::text;

/// Runs `source test` with these settings; whether all is right, and what it said.
fn ask(source: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    std::fs::write(&file, format!("{}{source}", super::FILE).replace("{dir}", "/tmp")).unwrap();
    let output = program().args(["source", "test", "azure", "--config"]).arg(&file).output().unwrap();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn a_test_looks_at_every_hub_and_group_and_pushes_nobody_out() {
    let Some(site) = Site::new(&[("h", 2, &["$Default", "box"]), ("i", 1, &["$Default"])]) else { return };
    let source = site.source("event_hub = [\"h\", \"i\", \"absent\"]\nconsumer_group = [\"$Default\", \"box\"]\n");
    let (success, said) = ask(&source);
    let right: Vec<&str> =
        said.lines().filter_map(|line| line.strip_prefix("right  contoso.servicebus.windows.net/")).collect();
    assert_eq!(right, ["h", "h/$Default", "h/box", "i", "i/$Default"], "{said}");
    assert!(!success && said.contains("event hub i has no consumer group box"), "{said}");
    assert!(said.contains("there is no event hub absent in contoso.servicebus.windows.net"), "{said}");
    // Beside a box that reads: it goes on reading.
    let edge = site.edge(&site.source("event_hub = [\"h\"]\n"));
    super::health(&edge, "healthy", "");
    let (success, said) = ask(&site.source("event_hub = [\"h\"]\n"));
    assert!(success && said.matches("right  ").count() == 2, "{said}");
    super::health(&edge, "healthy", "");
    edge.stop();
    let (success, said) = ask(&source.replace(&format!("policy = \"{POLICY}\""), "policy = \"absent\""));
    assert!(!success && said.contains("refuses the login absent") && !said.contains("right  "), "{said}");
    std::fs::remove_file(site.authority.folder().join("key")).unwrap();
    let (success, said) = ask(&source);
    assert!(!success && said.contains("primary_key_file: "), "{said}");
    site.hub.is_content();
}
