//! From power-on to a firewall's events at the gateway, with the page alone: no file is touched, and nothing is known before.

use std::net::UdpSocket;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::browser::{is_well, pictures, told};
use super::{address, said};
use crate::peers::appliance::Appliance;
use crate::peers::certificates::Authority;
use crate::peers::free_address;
use crate::peers::program::{have, node};
use crate::peers::service::{Manner, Service};

/// What the image brings.
const BLANK: &str = "[page]\nlisten = [\"127.0.0.1:0\"]\n";
const LINE: &[u8] = b"<30>device=\"SFW\" date=2026-11-24 time=10:15:30 timezone=\"CET\" device_name=\"XGS116\" \
    device_id=C44313350024-P29PUA log_id=010101600001 log_type=\"Firewall\" status=\"Allow\" src_ip=192.0.2.7";
/// More would be a manual.
const MOST_ACTIONS: usize = 12;

#[test]
fn a_firewalls_events_are_at_the_gateway_in_at_most_twelve_actions() {
    if !have("chromium") {
        return;
    }
    for device in ["desktop", "phone"] {
        let Some(mut person) = node("first_event.js") else { return };
        let authority = Authority::new();
        let gateway = Service::tls(&authority.identity("127.0.0.1"), Manner::Serve);
        let (edge, firewall, done) = (Appliance::start(BLANK), free_address(), AtomicBool::new(false));
        let url = format!("https://{}", address(&edge));
        person.args([&url, &said(&edge, "claim code")]).arg(pictures()).arg(device);
        person.arg(gateway.address().to_string()).arg(authority.ca()).arg(format!("udp://{firewall}"));
        let output = std::thread::scope(|scope| {
            scope.spawn(|| {
                let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
                while !done.load(Ordering::Relaxed) {
                    sender.send_to(LINE, firewall).unwrap();
                    std::thread::park_timeout(Duration::from_millis(200));
                }
            });
            let output = person.output();
            done.store(true, Ordering::Relaxed);
            output.unwrap()
        });
        let told = told(&output);
        is_well(&told, device);
        let actions = told["actions"].as_array().unwrap();
        assert!(actions.len() <= MOST_ACTIONS, "{actions:#?}");
        let event = gateway.wait_acked(1).swap_remove(0).json;
        assert_eq!((&event["host"]["name"], &event["sapphire"]["format"]), (&"XGS116".into(), &"sophos_sfos".into()));
        assert_eq!(event["sapphire"]["fields"]["log_id"], "010101600001");
        edge.stop();
    }
}

/// Where every link of every page leads is there.
#[test]
fn no_link_leads_nowhere() {
    for settings in [BLANK.to_owned(), super::SETTINGS.to_owned()] {
        let Some((edge, ada)) = super::claimed(&settings) else { return };
        let (mut seen, mut left) = (std::collections::BTreeSet::new(), vec!["/".to_owned(), "/start".to_owned()]);
        while let Some(path) = left.pop() {
            if !seen.insert(path.clone()) {
                continue;
            }
            let answer = ada.ask(&path, &["--max-filesize", "4M"]);
            // A sample of settings has gaps to be filled in, which the page names.
            let is_sample = answer.status == 422 && path.starts_with("/settings/add/");
            assert!(is_sample || answer.status == 200 || answer.status == 303, "{path}: {}", answer.status);
            let links = answer.body.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
            let ours = links.filter(|link| link.starts_with('/') && !Path::new(link).starts_with("/assets"));
            left.extend(ours.map(|link| link.split('#').next().unwrap().replace("&amp;", "&").replace("&#38;", "&")));
        }
        assert!(seen.len() > 30, "{seen:?}");
        edge.stop();
    }
}
