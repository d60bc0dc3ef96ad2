//! What there is to do at which time.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::secret::Secret;

const DAY: u64 = 86_400_000_000;

static ISSUED: LazyLock<Issued> = LazyLock::new(|| issued(200));

/// A certificate that begins on day 100 and ends on this one; when it is renewed needs no more.
fn issued(ends: u64) -> Issued {
    let ca = crate::net::tls::certs::Ca::new();
    let der = ca.pair("edge", &["edge"]).der;
    let mut issued = Issued::read(&der).unwrap();
    (issued.begins, issued.ends) = (Timestamp(100 * DAY), Timestamp(ends * DAY));
    issued
}

fn step(now: u64, ends: Option<u64>, secret: bool) -> Step {
    let certificate = ends.map(|ends| (issued(ends), vec![7]));
    let secret = secret.then(|| OneTime { id: None, secret: Secret::new("once".to_owned()) });
    Have { certificate, secret }.step(Timestamp(now * DAY), 0.0)
}

#[test]
fn a_certificate_is_got_with_the_secret_renewed_in_time_and_lost_for_good_at_its_end() {
    assert!(matches!(step(100, None, true), Step::First(_)));
    let Step::Stuck(trouble) = step(100, None, false) else { panic!("no certificate, no secret") };
    assert!(trouble.what.contains("no certificate for the fleet"));
    let Step::Rest(until) = step(150, Some(190), false) else { panic!("it is fresh") };
    assert_eq!(until, Timestamp(160 * DAY), "two thirds of 90 days");
    assert!(matches!(step(160, Some(190), false), Step::Renew(der) if der == [7]));
    assert!(matches!(step(189, Some(190), false), Step::Renew(_)));
    let Step::Stuck(trouble) = step(190, Some(190), false) else { panic!("it ended") };
    assert!(trouble.what.contains("ended on") && trouble.todo.contains("new enrolment file"));
    assert!(matches!(step(190, Some(190), true), Step::First(_)), "somebody brought a new secret");
    assert!(matches!(step(120, Some(190), true), Step::First(_)), "and wants it so before the end");
}

#[test]
fn a_secret_is_one_that_a_server_can_have_made() {
    let state = tempfile::tempdir().unwrap();
    let keep = |text: &str, id: Option<&str>| {
        let secret = Secret::new(text.to_owned());
        keep_secret(state.path(), &OneTime { id: id.map(str::to_owned), secret })
    };
    for bad in ["", "two words", "ä", "line\n", &"x".repeat(LONGEST_SECRET + 1)] {
        assert!(keep(bad, None).unwrap_err().contains("without blanks"), "{bad:?}");
    }
    for bad in ["", "edge/7", "edge 7", "#", &"x".repeat(65)] {
        assert!(keep("s3cret", Some(bad)).unwrap_err().contains("no box's id"), "{bad:?}");
    }
    keep("s3cret-!", Some("edge-7")).unwrap();
    let kept = Folder::of(state.path()).secret().unwrap().unwrap();
    assert_eq!((kept.secret.expose().as_str(), kept.id.as_deref()), ("s3cret-!", Some("edge-7")));
}

proptest! {
    #[test]
    fn every_box_renews_within_the_last_third_and_has_a_quarter_to_try_again(life in 1_u64..4_000, late in 0.0..1.0) {
        let begins = Timestamp(100 * DAY);
        let mut issued = ISSUED.clone();
        (issued.begins, issued.ends) = (begins, Timestamp((100 + life) * DAY));
        let (due, whole) = (due(&issued, late), issued.ends.since(begins));
        prop_assert!(due.since(begins) >= whole.mul_f64(0.66) && issued.ends.since(due) >= whole.mul_f64(0.249));
    }
}
