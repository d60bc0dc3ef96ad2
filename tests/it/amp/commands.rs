//! `source test amp`.

use crate::microsoft::settings;
use crate::peers::amp::Amp;
use crate::peers::appliance::program;
use crate::peers::program::text;

fn command(double: &Amp, more: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    std::fs::write(&file, settings(&[("amp", double.settings(more))]).replace("{dir}", "/tmp")).unwrap();
    let output = program().args(["source", "test", "amp", "--config"]).arg(&file).output().unwrap();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn a_test_says_what_is_right_and_what_is_wrong() {
    let Some(double) = Amp::start() else { return };
    let stream = format!("stream_endpoint = \"127.0.0.1:{}\"", double.broker.port);
    let (success, said) = command(&double, &stream);
    assert!(success && said.matches("right  ").count() == 3, "{said}");
    let (success, said) = command(&double, &format!("{stream}\nevent_types = [\"Thread Detected\"]"));
    assert!(!success && said.contains("has no event type") && said.contains("\"Threat Detected\""), "{said}");
    // What answers is no broker: as a proxy that looks into TLS.
    let web = double.server.url().replace("https://", "stream_endpoint = \"") + "\"";
    let (success, said) = command(&double, &web);
    assert!(!success && said.contains("stream_connection: ") && said.contains("proxy"), "{said}");
    double.state().key = "other".into();
    let (success, said) = command(&double, &stream);
    assert!(!success && said.contains("wrong  events: ") && said.contains("wrong  event_streams: "), "{said}");
    assert!(double.state().streams.is_empty(), "a test makes nothing");
}
