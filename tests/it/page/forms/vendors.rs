//! The test button: each vendor's form against its strict double, with the right secret and a wrong one.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;

use super::{hidden, send, settings};
use crate::page::{SETTINGS, claimed};
use crate::peers::crowdstrike::Falcon;
use crate::peers::duo::{Duo, SECRET_KEY};
use crate::peers::microsoft::{Microsoft, SECRET};
use crate::peers::s3::S3;
use crate::umbrella::{dns, name, put};

/// Looks like a secret; a test looks for it where it must not be.
const WRONG: &str = "wr0ng-s3cret-of-somebody-else-0123456789";

#[test]
fn a_test_uses_what_was_typed_and_a_secret_is_seen_nowhere() {
    let (duo, microsoft, bucket, falcon) = (Duo::start(), Microsoft::start(), S3::start(), Falcon::start(&["0"]));
    put(&bucket, &name(&bucket, "dnslogs", 60, "aaaa"), &[dns("one")], &mut BTreeSet::new());
    let right = |double: &std::path::Path| std::fs::read_to_string(double.join("secret")).unwrap().trim().to_owned();
    let table = |kind: &str, keys: String| format!("[[source]]\nid = \"{kind}\"\ntype = \"{kind}\"\n{keys}");
    let paused = "enabled = false";
    let rows = [
        ("duo", duo.settings(paused), "secret_key_file", SECRET_KEY.to_owned(), "the secret key is not the one"),
        (
            "office365",
            microsoft.settings(paused),
            "client_secret_file",
            SECRET.to_owned(),
            "the client secret is wrong",
        ),
        ("graph", microsoft.settings(paused), "client_secret_file", SECRET.to_owned(), "the client secret is wrong"),
        ("defender", microsoft.settings(paused), "client_secret_file", SECRET.to_owned(), "the client secret is wrong"),
        (
            "umbrella",
            bucket.settings(paused),
            "secret_access_key_file",
            right(bucket.authority.folder()),
            "the secret access key does not belong",
        ),
        (
            "crowdstrike",
            falcon.settings(paused),
            "client_secret_file",
            right(falcon.authority.folder()),
            "Falcon refuses the API client",
        ),
    ];
    let tables: String = rows.iter().map(|(kind, keys, ..)| table(kind, keys.clone())).collect();
    let Some((edge, ada)) = claimed(&format!("{SETTINGS}{tables}")) else { return };
    let before = settings(&ada);
    for (kind, _, key, secret, words) in &rows {
        let path = format!("/source/{kind}/edit");
        let wrong = send(&ada, &path, &[("do", "test"), (key, WRONG)]);
        assert!(wrong.status == 200 && wrong.body.contains("The test found something wrong"), "{kind}: {}", wrong.body);
        assert!(wrong.body.contains(words), "{kind}: {}", wrong.body);
        let right = send(&ada, &path, &[("do", "test"), (key, secret)]);
        assert!(right.body.contains("The test found nothing wrong"), "{kind}: {}", right.body);
        for answer in [&wrong, &right, &ada.get(&path)] {
            assert!(!answer.body.contains(WRONG) && !answer.body.contains(secret), "{kind}: {}", answer.body);
        }
    }
    assert_eq!(settings(&ada), before, "a test takes nothing into use");
    // What was typed for the test is taken into use without being typed again.
    let tested = send(&ada, "/source/duo/edit", &[("do", "test"), ("secret_key_file", SECRET_KEY)]);
    let kept = hidden(&tested, "kept.secret_key_file").unwrap();
    let saved =
        send(&ada, "/source/duo/edit", &[("do", "save"), ("kept.secret_key_file", &kept), ("secret_key_file", "")]);
    assert_eq!(saved.status, 303, "{}", saved.body);
    let file = edge.folder().join("files/source-duo-secret_key");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), SECRET_KEY);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let after = settings(&ada);
    assert!(after.contains(&format!("secret_key_file = {file:?}")) && !after.contains("typed"), "{after}");
    // Left empty it stays; and the words of the settings come back at the secret's field.
    let same = send(&ada, "/source/duo/edit", &[("do", "save"), ("secret_key_file", ""), ("backfill", "7d")]);
    assert_eq!((same.status, settings(&ada) == after), (303, true), "{}", same.body);
    let key = crate::peers::duo::INTEGRATION_KEY;
    let mixed = send(&ada, "/source/duo/edit", &[("do", "save"), ("secret_key_file", key)]);
    assert!(mixed.status == 422 && mixed.body.contains("id=\"f-secret_key_file-fault\""), "{}", mixed.body);
    assert!(mixed.body.contains("holds the Integration key"), "{}", mixed.body);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), SECRET_KEY, "what is wrong is not written");
    for path in ["/files", "/settings", "/audit", "/api/v1/files", "/api/v1/audit", "/api/v1/sources/duo/form"] {
        let body = ada.get(path).body;
        assert!(!body.contains(SECRET_KEY) && !body.contains(WRONG), "{path}");
    }
    assert_eq!(duo.state().sins, Vec::<String>::new());
    assert!(!edge.stop().contains(SECRET_KEY));
}
