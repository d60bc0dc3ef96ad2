//! What comes out for what goes in.

use serde_json::json;

use super::{Site, health, messages, numbered, wait_for, written};
use crate::peers::appliance::until;
use crate::peers::event_hub::{NAMESPACE, connection_string};

#[test]
fn records_are_taken_out_of_their_envelopes_and_labelled() {
    let Some(site) = Site::new(&[("insights-logs-auditlogs", 1, &["$Default"])]) else { return };
    let hub = "insights-logs-auditlogs";
    let edge = site.edge(&site.source(&format!("event_hub = [\"{hub}\"]\n")));
    let audit = r#"{"time":"2026-01-05T10:00:00Z","category":"AuditLogs","resourceId":"/tenants/t/providers/Microsoft.aadiam","id":639199803770463703}"#;
    let intune = r#"{"time":"2026-01-05T10:00:01Z","category":"AuditLogs","tenantId":"t"}"#;
    site.hub.send(hub, 0, [format!("{{\"records\":[{audit},{intune}]}}")]);
    let events = wait_for(&edge, 2);
    let of = |text: &str| events.values().find(|event| event["message"] == text).unwrap().clone();
    let (first, second) = (of(audit), of(intune));
    assert_eq!(first["event"]["dataset"], "azure.auditlogs");
    assert_eq!(second["event"]["dataset"], "azure.intune");
    assert_eq!(first["@timestamp"], "2026-01-05T10:00:00.000Z");
    assert_eq!(first["@metadata"]["_id"], first["event"]["id"]);
    let place = &first["azure"];
    assert_eq!((&place["namespace"], &place["eventhub"]), (&json!(NAMESPACE), &json!(hub)));
    assert_eq!((&place["consumer_group"], &place["partition_id"]), (&json!("$Default"), &json!("0")));
    assert_eq!((&place["sequence_number"], &place["offset"], &place["record"]), (&json!(0), &json!("4096"), &json!(0)));
    assert_eq!(second["azure"]["record"], 1);
    assert_eq!((&first["cloud"]["provider"], &first["input"]["type"]), (&json!("azure"), &json!("azure-eventhub")));
    assert_eq!(first["sapphire"]["kind"], "event_hub");
    health(&edge, "healthy", "");
    edge.stop();
    site.hub.is_content();
}

#[test]
fn odd_events_come_whole_and_marked() {
    let Some(site) = Site::new(&[("h", 1, &["$Default"])]) else { return };
    let edge = site.edge(&site.source("event_hub = [\"h\"]\n"));
    let large = "x".repeat(300_000);
    let odd: [(&[u8], &str); 6] = [
        (b"{'records':[{'a':1}]}", "single_quotes"),
        (b"{\"a\":1}\n{\"b\":2}", "line_delimited"),
        (b"plain", "not_json"),
        (b"{\"records\":[]}", "empty_envelope"),
        (b"\x1f\x8b\x08\x00\xff", "compressed"),
        (large.as_bytes(), "not_json"),
    ];
    site.hub.send("h", 0, odd.iter().map(|(body, _)| body));
    for (kind, body) in [("two", "{\"in\":2}"), ("value", "{\"text\":1}"), ("null", "")] {
        let bodies = [base64::Engine::encode(&base64::engine::general_purpose::STANDARD, body)];
        site.hub.tell(&json!({ "do": "send", "hub": "h", "partition": "0", "bodies": bodies, "kind": kind }));
    }
    let events = wait_for(&edge, 9);
    for (body, mark) in odd {
        let whole = |event: &&serde_json::Value| {
            let raw = event["sapphire"]["raw_base64"].as_str();
            raw.map_or(event["message"].as_str().unwrap().as_bytes() == body, |raw| {
                base64::Engine::decode(&base64::engine::general_purpose::STANDARD, raw).unwrap() == body
            })
        };
        let event = events.values().find(whole).unwrap_or_else(|| panic!("{mark} is missing"));
        assert_eq!(event["sapphire"]["marks"], json!([mark]));
    }
    let rest = messages(&events);
    assert!(rest.contains(&"{\"in\":2}".to_owned()) && rest.contains(&"{\"text\":1}".to_owned()));
    assert!(events.values().any(|event| event["sapphire"]["marks"] == json!(["no_bytes"])));
    edge.stop();
    site.hub.is_content();
}

#[test]
fn partitions_and_groups_go_on_where_they_were_after_a_stop() {
    let Some(site) = Site::new(&[("h", 3, &["$Default", "edge"]), ("other", 1, &["edge"])]) else { return };
    let folder = site.authority.folder().display().to_string();
    let string = format!("{folder}/string");
    std::fs::write(&string, connection_string()).unwrap();
    // By connection string, two hubs, a group of its own.
    let source = site.source("event_hub = [\"h\", \"other\"]\nconsumer_group = [\"edge\"]\n");
    let source = source.replace("namespace = \"contoso\"\npolicy = \"listen\"\n", "");
    let source = source
        .replace(&format!("primary_key_file = \"{folder}/key\""), &format!("connection_string_file = {string:?}"));
    let mut edge = site.edge(&source);
    for partition in 0..3 {
        site.hub.send("h", partition, numbered(partition * 100..partition * 100 + 50));
    }
    site.hub.send("other", 0, numbered(900..910));
    let before = wait_for(&edge, 160);
    edge.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(edge.wait().success());
    for partition in 0..3 {
        site.hub.send("h", partition, numbered(partition * 100 + 50..partition * 100 + 60));
    }
    let sent = site.hub.state()["sent"].as_u64().unwrap();
    edge.restart();
    let after = wait_for(&edge, 190);
    assert!(before.keys().all(|id| after.contains_key(id)), "an id changed");
    let mut expected: Vec<String> = [0..60, 100..160, 200..260, 900..910]
        .into_iter()
        .flatten()
        .map(|number| format!("{{\"n\":{}}}", 100_000 + number))
        .collect();
    expected.sort();
    assert_eq!(messages(&after), expected);
    // After a stop in good order nothing is read twice.
    assert_eq!(site.hub.state()["sent"].as_u64().unwrap() - sent, 30);
    edge.stop();
    site.hub.is_content();
}

#[test]
fn two_groups_give_one_event_or_two_as_the_settings_say() {
    let Some(site) = Site::new(&[("h", 1, &["a", "b"])]) else { return };
    site.hub.send("h", 0, numbered(0..5));
    for (setting, count) in [("false", 5), ("true", 10)] {
        let source = site
            .source(&format!("event_hub = [\"h\"]\nconsumer_group = [\"a\", \"b\"]\nevent_per_group = {setting}\n"));
        let edge = site.edge(&source);
        let lines = || std::fs::read_to_string(super::file(&edge)).unwrap_or_default().lines().count();
        until("both groups are written", || (lines() == 10).then_some(()));
        assert_eq!(written(&edge).0.len(), count);
        edge.stop();
    }
}

#[test]
fn latest_begins_with_what_comes_and_new_partitions_are_found() {
    let Some(site) = Site::new(&[("h", 1, &["$Default"])]) else { return };
    site.hub.send("h", 0, numbered(0..5));
    let edge = site.edge(&site.source("event_hub = [\"h\"]\nstart = \"latest\"\nprobe_every = \"50ms\"\n"));
    health(&edge, "healthy", "");
    site.hub.send("h", 0, numbered(5..8));
    assert_eq!(messages(&wait_for(&edge, 3)), ["{\"n\":100005}", "{\"n\":100006}", "{\"n\":100007}"]);
    // A partition that is added later is read from where it was found.
    site.hub.tell(&json!({ "do": "grow", "hub": "h" }));
    until("the new partition is read", || (site.hub.state()["readers"] == 2).then_some(()));
    site.hub.send("h", 1, numbered(8..9));
    wait_for(&edge, 4);
    edge.stop();
    site.hub.is_content();
}

#[test]
fn the_check_of_the_settings_says_what_is_wrong_with_a_secret() {
    let Some(site) = Site::new(&[("h", 1, &["$Default"])]) else { return };
    let folder = site.authority.folder();
    let check = |content: &str| {
        std::fs::write(folder.join("key"), content).unwrap();
        let settings = folder.join("settings.toml");
        std::fs::write(&settings, format!("state_dir = \"/tmp\"\n{}", site.source("event_hub = [\"h\"]\n"))).unwrap();
        let output = crate::peers::appliance::program().arg("check").arg("--config").arg(settings).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(check(&connection_string()).contains("this is a connection string"));
    assert!(check("").contains("is empty"));
    assert!(check("my password").contains("this is no key"));
    assert_eq!(check("c2VjcmV0"), "");
}

#[test]
fn amqp_comes_through_a_websocket_and_a_proxy_too() {
    let Some(site) = Site::new(&[("h", 1, &["$Default"])]) else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let proxy = runtime.block_on(crate::peers::proxy::Proxy::start("Proxy-Authorization: Basic ZWRnZTp3b3Jk"));
    let password = site.authority.folder().join("password");
    std::fs::write(&password, "word").unwrap();
    let through =
        format!("proxy = \"{}\"\nproxy_user = \"edge\"\nproxy_password_file = {password:?}\n", proxy.address());
    site.hub.send("h", 0, numbered(0..300));
    for (transport, port, proxy) in
        [("websocket", site.hub.wss, ""), ("amqp", site.hub.amqps, &*through), ("websocket", site.hub.wss, &*through)]
    {
        let source = site.source(&format!("event_hub = [\"h\"]\ntransport = \"{transport}\"\n{proxy}"));
        let edge = site.edge(&source.replace(&format!(":{}\"", site.hub.amqps), &format!(":{port}\"")));
        assert_eq!(wait_for(&edge, 300).len(), 300);
        edge.stop();
    }
    // A far end that speaks no WebSocket is named.
    let source = site.source("event_hub = [\"h\"]\ntransport = \"websocket\"\n");
    let edge = site.edge(&source);
    health(&edge, "failed", "contoso.servicebus.windows.net");
    edge.stop();
}
