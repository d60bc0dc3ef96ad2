//! What we send as syslog, as rsyslog understands it.

use std::collections::HashSet;

use sapphire_edge::status::{Component, Count};

use crate::peers::appliance::Appliance;
use crate::peers::certificates::Authority;
use crate::peers::rsyslog::{Rsyslog, Tls};
use crate::peers::sender::lines;
use crate::peers::until;

const TCP: &str = "tcp://127.0.0.1:0";

/// Sends these through an appliance with this format to rsyslog over TLS, and returns it when it has them all.
fn through(format: &str, sent: &[String]) -> Option<Rsyslog> {
    let authority = Authority::new();
    let (ours, theirs) = (authority.identity("edge-1.example.net"), authority.identity("127.0.0.1"));
    let rsyslog = Rsyslog::receiver(&Tls { authority: &authority, identity: &theirs, peer: "edge-1.example.net" })?;
    let edge = Appliance::start(&format!(
        "[[output]]\nid = \"siem\"\ntype = \"syslog\"\nendpoint = \"{}\"\nformat = \"{format}\"\n\
         tls.ca = {:?}\ntls.cert = {:?}\ntls.key = {:?}\n\
         [[source]]\nid = \"firewalls\"\ntype = \"syslog\"\nlisten = [{TCP:?}]\n",
        rsyslog.address(),
        authority.ca(),
        ours.cert,
        ours.key
    ));
    lines(edge.address(TCP, 0), sent);
    until("rsyslog has it all", || (rsyslog.received().len() >= sent.len()).then_some(()));
    edge.line(Component::Output, "siem", |line| line.count(Count::DeliveredEvents) == sent.len() as u64);
    edge.stop();
    Some(rsyslog)
}

/// Messages of several dialects, each different.
fn messages() -> Vec<String> {
    let one = [
        "<30>device=\"SFW\" date=2026-11-24 time=10:15:30 timezone=\"CET\" device_name=\"XGS\" log_id=010101600001 n=",
        "<166>Nov 24 2026 10:15:30: %ASA-6-302013: Built outbound TCP connection ",
        "<13>Nov 24 10:15:30 fw1 app: Grüße aus 東京 ",
        "<165>1 2026-11-24T10:15:30.003Z fw1.example.net app 1234 ID47 [shop@32473 till=\"7\"] sale ",
    ];
    (0..400).map(|number| format!("{}{number}", one[number % one.len()])).collect()
}

#[test]
fn rsyslog_receives_the_bytes_as_they_came() {
    let sent = messages();
    let Some(rsyslog) = through("original", &sent) else { return };
    assert_eq!(rsyslog.received(), sent);
}

#[test]
fn rsyslog_reads_the_rfc_5424_that_we_write() {
    let sent = messages();
    let Some(rsyslog) = through("rfc5424", &sent) else { return };
    let (raw, parts) = (rsyslog.received(), rsyslog.parts());
    assert_eq!((raw.len(), parts.len()), (sent.len(), sent.len()));
    let mut ids = HashSet::new();
    for ((raw, parts), sent) in raw.iter().zip(&parts).zip(&sent) {
        let (start, _) = sent.split_once('>').unwrap();
        assert!(raw.starts_with(&format!("{start}>1 ")), "{raw}");
        assert_eq!(parts[0], start[1..], "{raw}");
        let id = parts[5].split("id=\"").nth(1).and_then(|rest| rest.split('"').next());
        assert!(ids.insert(id.unwrap_or_else(|| panic!("no id in {raw}"))), "the same id again: {raw}");
        let number = sent.rsplit([' ', '=']).next().unwrap();
        assert!(parts[6].ends_with(number), "{raw}");
    }
    let [_, host, app, process, message_id, data, text] = &parts[3][..] else { panic!("{:?}", parts[3]) };
    assert_eq!(
        [host, app, process, message_id, text].map(String::as_str),
        ["fw1.example.net", "app", "1234", "ID47", "sale 3"]
    );
    assert!(data.starts_with("[shop@32473 till=\"7\"]"), "{data}");
    assert_eq!((parts[2][1].as_str(), parts[2][6].as_str()), ("fw1", "Grüße aus 東京 2"), "{:?}", parts[2]);
}
