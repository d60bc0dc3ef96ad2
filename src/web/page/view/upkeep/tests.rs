//! The pages of this room, filled with a text wherever a text from outside can stand; and what they say.

use super::super::{Form, Frame, Here, Trial, again, certificate, machine, start, support, updates, updates_part};
use super::certificate::Certificate;
use super::machine::{Card, Forms, Machine};
use super::start::{Link, Start, Step};
use super::updates::Updates;
use crate::update::{Checked, Failed, FellBack, Offer, Phase, Slot, Status};

fn trial(text: &str) -> Option<Trial> {
    Some(Trial { by: text.to_owned(), seconds_left: 77 })
}

fn status(text: &str, phase: Phase) -> Status {
    let slot = |state: &str| Slot {
        name: text.to_owned(),
        bootname: text.to_owned(),
        state: state.to_owned(),
        boot_status: text.to_owned(),
        version: Some(text.to_owned()),
    };
    Status {
        version: text.to_owned(),
        compatible: Some(text.to_owned()),
        slots: vec![slot("booted"), Slot { version: None, bootname: String::new(), ..slot(text) }],
        phase,
        offer: Some(Offer {
            version: text.to_owned(),
            changelog: format!("## 2.0.0\n- {text}"),
            held_back: Some(text.to_owned()),
        }),
        checked: Some(Checked { at: "1970-01-01T00:01:11.000Z".to_owned(), problem: Some(text.to_owned()) }),
        fell_back: vec![FellBack {
            version: text.to_owned(),
            at: "1970-01-01T00:01:11.000Z".to_owned(),
            why: text.to_owned(),
            by: None,
        }],
        failed: Some(Failed { at: "1970-01-01T00:01:11.000Z".to_owned(), why: text.to_owned() }),
        back_to: Some(text.to_owned()),
        largest: 1 << 30,
        unavailable: None,
    }
}

fn box_of(text: &str) -> Machine {
    let card = |name: &str, is_there| Card {
        name: name.to_owned(),
        is_there,
        has_link: true,
        mac: Some(text.to_owned()),
        address: vec![text.to_owned(), "192.0.2.10/24".to_owned()],
        gateway: vec![text.to_owned()],
        dns: Vec::new(),
    };
    Machine {
        name: text.to_owned(),
        set_name: Some(text.to_owned()),
        cards: vec![card(text, true), card("eth1", false)],
        ntp: vec![text.to_owned()],
        at: "1970-01-01T00:01:11.000Z".to_owned(),
        is_set: Some(false),
        trial: trial(text),
    }
}

fn certificate_of(text: &str, is_own: bool) -> Certificate {
    Certificate {
        is_own,
        names: vec![text.to_owned()],
        issuer: text.to_owned(),
        fingerprint: text.to_owned(),
        begins: "1970-01-01T00:01:11.000Z".to_owned(),
        ends: "1970-01-01T00:01:11.000Z".to_owned(),
        file: text.to_owned(),
        trial: trial(text),
    }
}

fn steps(text: &str) -> Start {
    let step = |is_done, is_optional| Step {
        id: "name",
        title: "Name",
        is_done,
        is_optional,
        words: text.to_owned(),
        links: vec![Link { path: "/box#name-head", words: "Name the box" }],
    };
    Start { steps: vec![step(true, true), step(false, true), step(false, false)], is_done: false, is_left: true }
}

/// Every page of this room, by name.
pub(in crate::web::page::view) fn pages(
    text: &str,
    of: impl Fn(Here) -> Frame,
    stranger: &Frame,
) -> Vec<(&'static str, String)> {
    let busy = Phase::Installing { percent: 40, step: text.to_owned() };
    let due = Phase::RestartDue { version: text.to_owned(), when: "now".to_owned() };
    let fields = ["name", "ntp", "address", "gateway", "dns", "cert", "key", "passphrase", "again", "words", "backup"];
    let form =
        fields.into_iter().fold(Form::default().refuse(text), |form, field| form.keep(field, text).fault(field, text));
    let forms =
        Forms { name: Some(form.clone()), time: Some(form.clone()), card: Some((text.to_owned(), form.clone())) };
    let idle = Updates::of(status(text, Phase::Idle));
    let none = Updates::of(Status { unavailable: Some(text.to_owned()), ..status(text, Phase::Idle) });
    vec![
        ("updates", updates(&of(Here::Updates), &idle)),
        ("updates_busy", updates(&of(Here::Updates), &Updates::of(status(text, busy)))),
        ("updates_due", updates(&of(Here::Updates), &Updates::of(status(text, due)))),
        ("updates_none", updates(&of(Here::Updates), &none)),
        ("updates_part", updates_part(&idle)),
        ("box", machine(&of(Here::Box), &box_of(text), &Forms::default())),
        ("box_refused", machine(&of(Here::Box), &box_of(text), &forms)),
        ("certificate", certificate(&of(Here::Box), &certificate_of(text, true), &form)),
        ("certificate_other", certificate(&of(Here::Box), &certificate_of(text, false), &Form::default())),
        ("start", start(&of(Here::Start), &steps(text))),
        ("support", support(&of(Here::Support), &form)),
        ("again", again(stranger)),
    ]
}

fn updates_page(phase: Phase) -> String {
    let status = Status { failed: None, version: "1.0.0".to_owned(), ..status("1.1.0", phase) };
    updates(&super::super::tests::administrator(), &Updates::of(status))
}

#[test]
fn the_updates_page_offers_what_can_be_done_now() {
    let idle = updates_page(Phase::Idle);
    assert!(idle.contains("Version 1.1.0 can be installed.") && idle.contains("action=\"/updates/install\""));
    assert!(idle.contains("action=\"/updates/upload\"") && idle.contains("action=\"/updates/roll-back\""));
    assert!(!idle.contains("action=\"/updates/restart\"") && !idle.contains("http-equiv"));
    let busy = updates_page(Phase::Downloading { bytes: 40, total: Some(100) });
    assert!(busy.contains("Downloading, 40 %.") && busy.contains("<progress max=\"100\" value=\"40\""));
    assert!(!busy.contains("action=\"/updates/install\"") && busy.contains("<noscript><meta http-equiv=\"refresh\""));
    let due =
        updates_page(Phase::RestartDue { version: "1.1.0".to_owned(), when: "when the window is open".to_owned() });
    assert!(due.contains("Version 1.1.0 is installed; the box restarts when the window is open."), "{due}");
    assert!(due.contains("action=\"/updates/restart\"") && due.contains("Stay with this version"));
    let trial = updates_page(Phase::Trial { waits_for: "all is well".to_owned() });
    assert!(trial.contains("This boot is not yet marked good: all is well.") && trial.contains(">Go back</button>"));
}

#[test]
fn a_viewer_sees_the_box_and_has_nothing_to_press() {
    let viewer = super::super::tests::viewer();
    for html in [
        updates(&viewer, &Updates::of(status("x", Phase::Idle))),
        machine(&viewer, &box_of("x"), &Forms::default()),
        certificate(&viewer, &certificate_of("x", true), &Form::default()),
        start(&viewer, &steps("x")),
    ] {
        let main = html.split("<main").nth(1).unwrap();
        assert!(!main.contains("type=\"submit\"") && !main.contains("<textarea"), "{main}");
    }
    assert!(machine(&viewer, &box_of("x"), &Forms::default()).contains("<code>192.0.2.10/24</code>"));
}

#[test]
fn a_card_keeps_what_was_typed_and_the_others_what_is_set() {
    let typed = Form::default().keep("address", "192.0.2.300/24").fault("address", "no address");
    let forms = Forms { card: Some(("eth1".to_owned(), typed)), ..Forms::default() };
    let html = machine(&super::super::tests::administrator(), &box_of("eth0"), &forms);
    assert!(
        html.contains("id=\"card0-address\" name=\"address\" type=\"text\" value=\"eth0 192.0.2.10/24\""),
        "{html}"
    );
    assert!(html.contains("id=\"card1-address\" name=\"address\" type=\"text\" value=\"192.0.2.300/24\""), "{html}");
    assert!(html.contains("<p class=\"fault\" id=\"card1-address-fault\"><bdi>no address</bdi></p>"), "{html}");
    assert!(!html.contains(" required"), "all of it may stay empty");
}
