//! A form that shows everything it can show.

use super::*;
use crate::form::Finding;
use crate::source::FORMS;
use crate::web::page::view::Form as Typed;

/// A form with something wrong everywhere, and all that can stand around it.
pub(in super::super) fn full(text: &str) -> EntryForm {
    let form = FORMS.iter().find(|form| form.kind == "ssh").unwrap();
    let now = serde_json::json!({ "id": text, "listen": [text], "time_zone": text, "enabled": false });
    let mut page = EntryForm::of("source", form, text, &now);
    page.each().for_each(|field| field.fault = Some(text.to_owned()));
    page.faults.push(text.to_owned());
    page.findings = Some(Findings::of(vec![Finding::wrong(text, text.to_owned(), text.to_owned())]));
    page.consent = true;
    page.guides.push(GuideShown {
        title: "Device",
        place: "Log settings".to_owned(),
        rows: vec![("Server", text.to_owned())],
        text: text.to_owned(),
    });
    let key = DeviceKey { algorithm: "ssh-rsa".to_owned(), fingerprint: text.to_owned() };
    let device = DeviceShown {
        name: text.to_owned(),
        user: text.to_owned(),
        keys: vec![key.clone(), DeviceKey { algorithm: String::new(), ..key }],
        has_more: true,
        last_upload: None,
        files: 1_234,
        last_error: Some(text.to_owned()),
    };
    let host_key = HostKey {
        algorithm: "ssh-rsa".to_owned(),
        sha256: text.to_owned(),
        md5: text.to_owned(),
        line: text.to_owned(),
    };
    let add = Typed::default().keep("name", text).fault("keys", text).refuse(text);
    page.devices = Some(Devices { host_keys: vec![host_key], devices: vec![device], add });
    page
}
