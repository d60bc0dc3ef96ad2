//! schemathesis: requests made from the API's own description, with and without a session. No answer may be an error of ours, or
//! another than what is described.

use serde_json::Value;

use super::{Curl, SETTINGS, address, claimed};
use crate::peers::program::python_tool;

fn check(curl: &Curl, headers: &[String], seed: &str) {
    let Some(mut command) = python_tool("schemathesis") else { return };
    command.current_dir(curl.folder.path()); // it leaves folders of its own behind
    command.args([
        "run",
        "--tls-verify",
        "false",
        "--max-examples",
        "15",
        "--seed",
        seed,
        "--workers",
        "1",
        "--no-color",
    ]);
    command.args([
        "--checks",
        "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
    ]);
    // The own session and the page must stay: logging out, a new password and settings without a page end them, by design.
    command.args(["--exclude-path-regex", "password$", "--exclude-operation-id", "delete_session"]);
    command.args(["--exclude-operation-id", "put_settings"]);
    // Each of these takes settings into use, which takes seconds.
    for operation in ["put_box_name", "put_box_time", "put_box_network_name", "delete_certificate"] {
        command.args(["--exclude-operation-id", operation]);
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

#[test]
fn the_api_answers_as_it_says_with_and_without_a_session() {
    let Some((edge, ada)) = claimed(SETTINGS) else { return };
    let document: Value = ada.get("/api/v1/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let jar = std::fs::read_to_string(ada.folder.path().join("jar")).unwrap();
    let token =
        jar.lines().find(|line| line.contains("__Host-session")).and_then(|line| line.rsplit('\t').next()).unwrap();
    let headers = [format!("Cookie: __Host-session={token}"), format!("X-CSRF-Token: {}", ada.csrf())];
    check(&ada, &headers, "1");
    assert_eq!(ada.get("/").status, 200, "the session is still there");
    check(&Curl::to(address(&edge)).unwrap(), &[], "2");
    assert!(!edge.stop().contains("panicked"));
}
