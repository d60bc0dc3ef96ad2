//! schemathesis: requests made from the API's own description, with and without a session. No answer may be an error of ours, or
//! another than what is described.

use serde_json::Value;

use super::{Curl, SETTINGS, address, claimed};
use crate::peers::program::python_tool;

/// The own session and the page must stay: logging out and a new password end them, by design.
const ENDING: &str = "delete_session";
/// Each of these takes settings into use, which takes seconds.
const CHANGING: [&str; 5] =
    ["put_box_name", "put_box_time", "put_box_network_name", "delete_certificate", "put_settings"];

/// Runs it; `only` are the operations that are called, or all but those above.
fn check(curl: &Curl, headers: &[String], seed: &str, only: &[&str]) {
    let Some(mut command) = python_tool("schemathesis") else { return };
    command.current_dir(curl.folder.path()); // it leaves folders of its own behind
    let examples = if only.is_empty() { "15" } else { "3" };
    command.args(["run", "--tls-verify", "false", "--max-examples", examples, "--seed", seed, "--workers", "1"]);
    command.args([
        "--no-color",
        "--checks",
        "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
    ]);
    if only.is_empty() {
        command.args(["--exclude-path-regex", "password$"]);
        for operation in [ENDING].iter().chain(&CHANGING) {
            command.args(["--exclude-operation-id", operation]);
        }
    } else {
        // The other phases try every field of each in dozens of ways.
        command.args(["--phases", "fuzzing"]);
        for operation in only {
            command.args(["--include-operation-id", operation]);
        }
    }
    for header in headers {
        command.arg("--header").arg(header);
    }
    command.arg(format!("https://{}/api/v1/openapi.json", curl.address));
    command.arg("--url").arg(format!("https://{}/api/v1", curl.address));
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// What a program sends with each request of this session.
fn headers(curl: &Curl) -> [String; 2] {
    let jar = std::fs::read_to_string(curl.folder.path().join("jar")).unwrap();
    let token =
        jar.lines().find(|line| line.contains("__Host-session")).and_then(|line| line.rsplit('\t').next()).unwrap();
    [format!("Cookie: __Host-session={token}"), format!("X-CSRF-Token: {}", curl.csrf())]
}

#[test]
fn the_api_answers_as_it_says_with_and_without_a_session() {
    let Some((edge, ada)) = claimed(SETTINGS) else { return };
    let document: Value = ada.get("/api/v1/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let operations = document["paths"].to_string();
    assert!(CHANGING.iter().all(|operation| operations.contains(operation)), "{operations}");
    check(&ada, &headers(&ada), "1", &[]);
    assert_eq!(ada.get("/").status, 200, "the session is still there");
    check(&Curl::to(address(&edge)).unwrap(), &[], "2", &[]);
    assert!(!edge.stop().contains("panicked"));
}

#[test]
fn the_api_answers_as_it_says_where_settings_are_taken_into_use() {
    let Some((edge, ada)) = claimed(SETTINGS) else { return };
    check(&ada, &headers(&ada), "3", &CHANGING);
    assert_eq!(ada.get("/").status, 200, "the session is still there");
    assert!(!edge.stop().contains("panicked"));
}
