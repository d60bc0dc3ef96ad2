//! Microsoft's own client at the double: what it takes as an event hub is one.

use serde_json::Value;

use super::numbered;
use crate::peers::certificates::Authority;
use crate::peers::event_hub::{EventHub, connection_string};
use crate::peers::program::{node, python, run};

/// What azure-eventhub for Python sees.
fn ask(authority: &Authority, hub: &EventHub, string: &str, count: &str, transport: &str) -> Option<Vec<Value>> {
    let ca = authority.ca();
    let port = if transport == "ws" { hub.wss } else { hub.amqps }.to_string();
    let mut command = python("event_hubs_client.py")?;
    let said = run(command.args([&port, ca.to_str().unwrap(), string, "h", "$Default", count, transport]));
    Some(said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

#[test]
fn azure_eventhub_for_python_reads_the_double() {
    let authority = Authority::new();
    let identity = authority.identity("localhost");
    let Some(hub) = EventHub::start(&identity, &[("h", 2, &["$Default"])]) else { return };
    hub.send("h", 0, numbered(0..5));
    hub.send("h", 1, numbered(5..10));
    hub.send("h", 1, ["x".repeat(200_000)]);
    let Some(said) = ask(&authority, &hub, &connection_string(), "11", "amqp") else { return };
    assert_eq!(said[0]["partitions"], serde_json::json!(["0", "1"]));
    assert_eq!((&said[2]["begin"], &said[2]["last"]), (&0.into(), &5.into()));
    let bodies: Vec<&str> = said[3..].iter().map(|event| event["body"].as_str().unwrap()).collect();
    assert_eq!(bodies.len(), 11);
    assert!(numbered(0..10).all(|body| bodies.contains(&body.as_str())));
    assert!(bodies.iter().any(|body| body.len() == 200_000));
    // A wrong key is refused.
    let wrong = connection_string().replace("SharedAccessKey=", "SharedAccessKey=AAAA");
    let said = ask(&authority, &hub, &wrong, "1", "amqp").unwrap();
    assert_eq!(said[0]["error"], "AuthenticationError", "{said:?}");
    assert!(hub.state()["refusals"].to_string().contains("InvalidSignature"));
    hub.is_content();
}

#[test]
fn azure_eventhub_for_python_reads_it_in_a_websocket() {
    let authority = Authority::new();
    let identity = authority.identity("localhost");
    let Some(hub) = EventHub::start(&identity, &[("h", 1, &["$Default"])]) else { return };
    hub.send("h", 0, numbered(0..5));
    let Some(said) = ask(&authority, &hub, &connection_string(), "5", "ws") else { return };
    assert_eq!(said.len(), 7, "{said:?}");
}

#[test]
fn azure_event_hubs_for_javascript_reads_the_double() {
    let authority = Authority::new();
    let identity = authority.identity("localhost");
    let Some(hub) = EventHub::start(&identity, &[("h", 2, &["$Default"])]) else { return };
    hub.send("h", 0, numbered(0..5));
    hub.send("h", 1, numbered(5..10));
    let ask = |string: &str, count: &str| {
        let mut command = node("event_hubs_client.js")?;
        command.env("NODE_EXTRA_CA_CERTS", authority.ca());
        let said = run(command.args([&hub.amqps.to_string(), string, "h", "$Default", count]));
        Some(said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect::<Vec<Value>>())
    };
    let Some(said) = ask(&connection_string(), "10") else { return };
    assert_eq!(said[0]["partitions"], serde_json::json!(["0", "1"]), "{said:?}");
    let bodies: Vec<&str> = said[3..].iter().map(|event| event["body"].as_str().unwrap()).collect();
    assert!(bodies.len() == 10 && numbered(0..10).all(|body| bodies.contains(&body.as_str())), "{said:?}");
    let wrong = connection_string().replace("SharedAccessKey=", "SharedAccessKey=AAAA");
    let said = ask(&wrong, "1").unwrap();
    assert!(said[0]["text"].as_str().is_some_and(|text| text.contains("InvalidSignature")), "{said:?}");
    hub.is_content();
}
