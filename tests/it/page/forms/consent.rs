//! The consent of another tenant's administrator, by redirect and by hand.

use serde_json::json;

use super::{hidden, send, settings};
use crate::page::{Curl, SETTINGS, address, claimed};
use crate::peers::microsoft::Microsoft;

const OTHER: &str = "99999999-8888-7777-6666-555555555555";

/// The state in a link.
fn state_of(text: &str) -> String {
    text.split("state=").nth(1).unwrap().chars().take_while(char::is_ascii_hexdigit).collect()
}

#[test]
fn a_consent_comes_back_through_the_browser_and_only_to_who_asked() {
    let microsoft = Microsoft::start();
    let source = format!("[[source]]\nid = \"o365\"\ntype = \"office365\"\n{}", microsoft.settings("enabled = false"));
    let Some((edge, ada)) = claimed(&format!("{SETTINGS}{source}")) else { return };
    let at = address(&edge);
    let begun = send(&ada, "/source/o365/consent", &[]);
    assert_eq!(begun.status, 200, "{}", begun.body);
    let redirect = format!("https://{at}/consent");
    assert!(
        begun.body.contains(&redirect) && begun.body.contains("/organizations/adminconsent?client_id="),
        "{}",
        begun.body
    );
    let state = state_of(&begun.body);
    // Microsoft sends the browser back; from there it brings no cookie.
    let stranger = Curl::to(at).unwrap();
    let query = format!("admin_consent=True&tenant={OTHER}&state={state}");
    let back = stranger.get(&format!("/consent?{query}"));
    let next = format!("/consent/take?admin_consent=True&#38;tenant={OTHER}&#38;state={state}");
    assert!(back.status == 200 && back.body.contains(&next) && !back.body.contains("o365"), "{}", back.body);
    assert_eq!(stranger.get(&format!("/consent/take?{query}")).status, 303);
    let take = ada.get(&format!("/consent/take?{query}"));
    assert!(take.status == 200 && take.body.contains("o365"), "{}", take.body);
    assert_eq!(ada.get(&format!("/consent/take?tenant={OTHER}&state=0123")).status, 404);
    // The answer counts with the form's secret, once, and with its own state.
    let answer = hidden(&take, "answer").unwrap().replace("&#38;", "&");
    assert_eq!(ada.form("/consent/take", &[("answer", &answer)]).status, 403);
    assert_eq!(send(&ada, "/consent/take", &[("answer", &answer.replace(&state, "0123"))]).status, 422);
    let taken = send(&ada, "/consent/take", &[("answer", &answer)]);
    assert!(taken.status == 303 && taken.headers.contains("/source/o365/edit?done=consented"), "{taken:?}");
    assert!(settings(&ada).contains(OTHER));
    assert_eq!(send(&ada, "/consent/take", &[("answer", &answer)]).status, 422);
    // A refusal, and the older way with a code, by a program.
    let csrf = ada.csrf();
    let begin = || {
        state_of(ada.json("POST", "/api/v1/sources/o365/consent", &json!({}), &csrf).json()["link"].as_str().unwrap())
    };
    let refused = json!({ "answer": format!("{redirect}?error=permission_denied&state={}", begin()) });
    let refused = ada.json("POST", "/api/v1/consent", &refused, &csrf);
    assert!(refused.status == 422 && refused.body.contains("permission_denied"), "{refused:?}");
    microsoft.state().codes.push("code-1".to_owned());
    let code = json!({ "answer": format!("{redirect}?code=code-1&state={}", begin()) });
    let code = ada.json("POST", "/api/v1/consent", &code, &csrf);
    assert_eq!((code.status, code.json()["tenant"].as_str()), (200, Some(crate::peers::microsoft::TENANT)), "{code:?}");
    assert_eq!(ada.json("POST", "/api/v1/sources/firewalls/consent", &json!({}), &csrf).status, 404);
    edge.stop();
}
