//! A file that a real client pushes becomes events, once.

use std::collections::HashSet;

use sapphire_edge::status::{Component, Count};

use crate::peers::gateway::Event;
use crate::peers::ssh::{More, Site, good, mail_log};

/// Waits until nothing is staged any more: all events of all files are settled.
fn drained(site: &Site) {
    crate::peers::until("all staged files are read", || site.staged().is_empty().then_some(()));
}

#[test]
fn a_mail_log_by_scp_comes_line_for_line_with_its_place() {
    let Some(site) = Site::start(More { source: "time_zone = \"Europe/Berlin\"", ..More::default() }) else { return };
    let (log, lines) = mail_log(1_000, 0);
    let name = "mail.@20240305T101530.s";
    good(&site.scp(&["-p"], &[&site.file(name, &log)]));
    let events = site.gateway.wait_acked(lines.len());
    assert_eq!(events.len(), lines.len());
    let mut offset = 0;
    for (at, (event, line)) in events.iter().zip(&lines).enumerate() {
        let json = &event.json;
        assert_eq!(event.message(), line);
        assert_eq!(json["log"]["offset"], offset);
        assert_eq!(json["sapphire"]["line"], at + 1);
        offset += line.len() + 1;
    }
    let first = &events[0].json;
    assert_eq!(first["@timestamp"], "2024-03-05T09:00:00.000Z");
    assert_eq!(first["log"]["file"]["path"], format!("/in/{name}"));
    assert_eq!(first["log"]["level"], "Info");
    assert_eq!(first["host"]["name"], "esa1");
    let own = &first["sapphire"];
    assert_eq!((&own["source"], &own["kind"], &own["format"]), (&"ces".into(), &"line".into(), &"asyncos".into()));
    assert_eq!((&own["transport"], &own["client"], &own["file"]), (&"ssh".into(), &"esa1".into(), &name.into()));
    let ids: HashSet<&str> = events.iter().map(Event::id).collect();
    assert_eq!(ids.len(), lines.len());
    drained(&site);
    // The same again is answered, and not sent twice.
    good(&site.scp(&["-p"], &[&site.file(name, &log)]));
    site.edge.line(Component::Source, "ces", |line| line.count(Count::SettledEvents) == lines.len() as u64);
    let more = site.file("more.s", "one\ntwo\n");
    good(&site.scp(&[], &[&more]));
    assert_eq!(site.gateway.wait_acked(lines.len() + 2).len(), lines.len() + 2);
    site.edge.stop();
}
