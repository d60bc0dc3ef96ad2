//! What there is to do at which time.

use std::sync::LazyLock;

use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd,
};

use super::step::due;
use super::*;
use crate::net::tls::own::OwnKey;
use crate::secret::Secret;
use crate::status::{Board, Component};

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
    let secret = secret.then(|| OneTime { id: None, server: None, secret: Secret::new("once".to_owned()) });
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
        keep_secret(state.path(), &OneTime { id: id.map(str::to_owned), server: None, secret })
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

#[test]
fn a_secret_is_for_the_server_that_it_came_with() {
    let state = tempfile::tempdir().unwrap();
    let server = Some("https://est.example/".to_owned());
    keep_secret(state.path(), &OneTime { id: None, server, secret: Secret::new("once".to_owned()) }).unwrap();
    let folder = Folder::of(state.path());
    let has_secret = |server| Have::look(&folder, server).unwrap().secret.is_some();
    assert!(has_secret(Some("https://est.example/")));
    assert!(!has_secret(Some("https://other.example/")) && !has_secret(None));
    keep_secret(state.path(), &OneTime { id: None, server: None, secret: Secret::new("once".to_owned()) }).unwrap();
    assert!(has_secret(Some("https://other.example/")), "a file without a server means that of the settings");
}

/// A CA, and what it has signed for this key as `edge-7`, for the year 2026.
fn granted(key: &OwnKey) -> (Vec<u8>, Vec<u8>) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "fleet");
    let of_ca = KeyPair::generate().unwrap();
    let root = params.self_signed(&of_ca).unwrap().der().to_vec();
    let issuer = Issuer::new(params, of_ca);
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "edge-7");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2027, 1, 1));
    let key = KeyPair::from_pem(key.to_pem().expose()).unwrap();
    (root, params.signed_by(&key, &issuer).unwrap().der().to_vec())
}

#[test]
fn a_box_whose_clock_is_behind_keeps_what_its_secret_was_used_for() {
    let key = OwnKey::generate().unwrap();
    let (root, der) = granted(&key);
    let wanted = Wanted { key: &key, id: "edge-7", present: None };
    let choose = |day: u64| wanted.choose(vec![der.clone()], std::slice::from_ref(&root), Timestamp(day * DAY));
    for day in [0, 15_000, 20_600] {
        let (issued, chain) = choose(day).unwrap();
        assert_eq!((issued.common_name.as_deref(), chain.len()), (Some("edge-7"), 1), "day {day}");
    }
    assert!(choose(21_000).is_err(), "it has ended");
    let (other, _) = granted(&key);
    assert!(wanted.choose(vec![der.clone()], &[other], Timestamp::default()).is_err(), "another CA, at any time");
}

#[tokio::test]
async fn a_certificate_that_the_disk_does_not_take_is_not_asked_for_again() {
    let state = tempfile::tempdir().unwrap();
    keep_secret(state.path(), &OneTime { id: None, server: None, secret: Secret::new("once".to_owned()) }).unwrap();
    let folder = Folder::of(state.path());
    let key = folder.key().unwrap();
    let (_, der) = granted(&key);
    // Nobody listens there: whatever is asked of the server fails.
    let config: Config = toml::from_str("broker = \"127.0.0.1:1\"\nenrolment = \"https://127.0.0.1:1/\"\n").unwrap();
    let url = Url::parse("https://127.0.0.1:1/").unwrap();
    let board = Board::new(Clock::System);
    let context = Context {
        state_dir: state.path().to_owned(),
        id: "edge-7".to_owned(),
        status: board.handle(Component::Box, "fleet_certificate"),
        clock: Clock::System,
        teller: Teller::new().0,
        stop: CancellationToken::new(),
    };
    let mut worker =
        Worker { config, context, url, folder: folder.clone(), late: 0.0, told: None, refused: None, unkept: None };
    std::fs::create_dir_all(folder.certificate_path().join("in the way")).unwrap();
    let mark = folder.secret_mark();
    let got = Got { issued: Issued::read(&der).unwrap(), chain: vec![der.clone()], is_first: true, mark };
    assert!(worker.keep(got).await.unwrap_err().what.contains("cannot be kept"));
    assert!(folder.secret().unwrap().is_some(), "it is wiped only when the certificate is on the disk");
    std::fs::remove_dir_all(folder.certificate_path()).unwrap();
    worker.get(None, None).await.unwrap();
    assert_eq!(folder.certificate().unwrap(), [der]);
    assert!(folder.secret().unwrap().is_none());
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
