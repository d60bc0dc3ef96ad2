//! Fills the box's address and ports into what is to be typed into devices.

use std::net::SocketAddr;

use axum::http::{HeaderMap, header};
use serde_json::Value;

use super::super::super::view::{EntryForm, GuideShown};
use super::{List, Wish};
use crate::form::{Form, Place};
use crate::net::Listen;

/// How whoever asks reaches the box: what stands in the browser's address line, with its port.
pub(super) fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::HOST).and_then(|host| host.to_str().ok()).filter(|host| !host.is_empty())
}

/// The same without its port.
pub(super) fn address(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((address, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => address,
        _ => host,
    }
}

/// What stands for the placeholders: from where the source listens, or will.
fn place(entry: &Value, host: Option<&str>) -> Place {
    let texts = entry.get("listen").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let listens: Vec<Listen> = texts.filter_map(|text| text.parse().ok()).collect();
    let port = |is: fn(&Listen) -> bool| listens.iter().find(|listen| is(listen)).map(|listen| listen.address().port());
    // Where it listens on one address alone, others lead nowhere.
    let own = |at: &SocketAddr| !at.ip().is_unspecified() && !at.ip().is_loopback();
    let own = listens.iter().map(Listen::address).find(own).map(|at| at.ip().to_string());
    let device = entry.get("device").and_then(|devices| devices.get(0)?.get("name")?.as_str());
    Place {
        address: own
            .or_else(|| host.map(|host| address(host).to_owned()))
            .unwrap_or_else(|| "the box's address".to_owned()),
        udp: port(|listen| matches!(listen, Listen::Udp(_))),
        tcp: port(|listen| matches!(listen, Listen::Tcp(_))),
        tls: port(|listen| matches!(listen, Listen::Tls(_))),
        user: device.unwrap_or("esa1").to_owned(),
    }
}

/// The guides of a form for an entry of the settings; for a new one, as the form begins.
pub(super) fn guides(form: &'static Form, entry: &Value, host: Option<&str>) -> Vec<GuideShown> {
    let begins = || {
        let presets = form.fields().filter(|field| !field.preset.is_empty());
        presets.map(|field| (field.key.to_owned(), field.read(field.preset))).collect::<Value>()
    };
    let place = if entry.is_null() { place(&begins(), host) } else { place(entry, host) };
    form.guides.iter().filter_map(|guide| guide.fill(&place)).map(GuideShown::from).collect()
}

/// The form of an entry as it is in the settings, or of a new one where there is none.
pub(super) fn shown(list: List, form: &'static Form, id: &str, entry: &Value, host: Option<&str>) -> EntryForm {
    let mut page = EntryForm::of(list.word(), form, id, entry);
    page.guides = guides(form, entry, host);
    page
}

/// The form with what was typed.
pub(super) fn typed(wish: &Wish, entry: &Value, host: Option<&str>) -> EntryForm {
    let mut page = shown(wish.list, wish.form, &wish.id, entry, host);
    for field in page.each().filter(|field| !matches!(field.kind, "secret" | "pem")) {
        if let Some(text) = wish.typed.text(&field.key) {
            text.clone_into(&mut field.value);
        }
    }
    if wish.is_new
        && let Some(field) = page.each().find(|field| field.key == "id")
    {
        field.value.clone_from(&wish.id);
    }
    page
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_address_is_the_one_by_which_the_box_is_reached() {
        for (host, expected) in
            [("edge-1", "edge-1"), ("192.0.2.10:8443", "192.0.2.10"), ("[2001:db8::1]:443", "[2001:db8::1]")]
        {
            assert_eq!(address(host), expected);
        }
        let entry =
            json!({ "listen": ["udp://0.0.0.0:514", "tls://0.0.0.0:6514", "odd"], "device": [{ "name": "esa2" }] });
        let filled = place(&entry, Some("192.0.2.10:443"));
        let expected =
            Place { address: "192.0.2.10".into(), udp: Some(514), tcp: None, tls: Some(6514), user: "esa2".into() };
        assert_eq!(filled, expected);
        let one = json!({ "listen": ["udp://198.51.100.7:514"] });
        assert_eq!(place(&one, Some("192.0.2.10")).address, "198.51.100.7");
    }

    #[test]
    fn a_new_sophos_firewall_and_an_appliance_get_their_values() {
        let values = |kind: &str| {
            let form = List::Source.form(kind).unwrap();
            let guides = guides(form, &Value::Null, Some("192.0.2.10"));
            serde_json::to_string(&guides).unwrap()
        };
        let syslog = values("syslog");
        for words in ["Secure log transmission", "192.0.2.10", "\"514\"", "DAEMON"] {
            assert!(syslog.contains(words), "{words}: {syslog}");
        }
        assert!(!syslog.contains("over TLS"), "nothing listens for it: {syslog}");
        let ces = values("ssh");
        assert!(ces.contains("\"192.0.2.10\"") && ces.contains("\"22\"") && ces.contains("mail_esa1"), "{ces}");
        assert!(values("lumberjack").contains("192.0.2.10:5044"));
    }
}
