//! The whole channel without a broker, or with one that is not right, in a time of its own.

mod silent;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::status::{Board, Component, Count, Gauge, Health};

/// A certificate with this name, signed by itself; its key goes into the file.
pub(super) fn certificate(name: &str, key_file: &Path) -> String {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    if !name.is_empty() {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    let key = KeyPair::generate().unwrap();
    std::fs::write(key_file, key.serialize_pem()).unwrap();
    params.self_signed(&key).unwrap().pem()
}

/// A box that is well.
struct Well(Board);

impl Neighbours for Well {
    fn name(&self) -> String {
        "edge".to_owned()
    }

    fn snapshot(&self) -> Snapshot {
        self.0.snapshot()
    }

    fn ledger(&self) -> Result<Box<RawValue>, String> {
        Ok(to_raw_value(&serde_json::json!({ "fw": { "received": 9, "delivered": 7, "dropped": { "damaged": 1 } } }))
            .unwrap())
    }

    fn updates(&self) -> update::Status {
        update::Status::default()
    }

    fn settings(&self) -> Value {
        Value::Null
    }

    async fn update(&self, _: control::Update) -> Answer {
        Answer::Done
    }

    async fn change(&self, _: control::Settings) -> Answer {
        Answer::Done
    }

    async fn restart_source(&self, _: String, _: String) -> Answer {
        Answer::Done
    }

    async fn support_bundle(&self, _: usize) -> Result<Vec<u8>, String> {
        Ok(Vec::new())
    }
}

/// A channel whose broker is not there.
struct Alone {
    folder: tempfile::TempDir,
    micros: Arc<AtomicU64>,
    board: Board,
    teller: Teller,
    stop: CancellationToken,
    config: Config,
}

impl Alone {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let micros = Arc::new(AtomicU64::new(1_795_478_400_000_000));
        let board = Board::new(Clock::Fixed(Arc::clone(&micros)));
        // Nobody listens where somebody listened a moment ago.
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = toml::from_str(&format!("broker = \"{gone}\"\n")).unwrap();
        let (teller, _) = Teller::new();
        Self { folder, micros, board, teller, stop: CancellationToken::new(), config }
    }

    fn enrol(&self) {
        let fleet = folder(self.folder.path());
        std::fs::create_dir_all(&fleet).unwrap();
        std::fs::write(fleet.join("certificate.pem"), certificate("edge-7", &fleet.join("key.pem"))).unwrap();
    }

    /// Runs it for so long, with an event after so many seconds each.
    async fn run(&self, time: Duration, every: u64) {
        let context = Context {
            state_dir: self.folder.path().to_owned(),
            appliance: ApplianceId(7),
            neighbours: Arc::new(Well(self.board.clone())),
            status: self.board.handle(Component::Box, "fleet"),
            clock: Clock::Fixed(Arc::clone(&self.micros)),
            teller: self.teller.clone(),
            heard: heard(&self.teller),
            stop: self.stop.clone(),
        };
        let pass = async {
            let second = Duration::from_secs(1);
            for at in 1..=time.as_secs() {
                sleep(second).await;
                self.micros.fetch_add(1_000_000, Ordering::Relaxed);
                if at % every == 0 {
                    self.teller.tell(Notice::new(
                        "login",
                        true,
                        "ada logs in".to_owned(),
                        &[("user", "ada".to_owned())],
                    ));
                }
            }
            self.stop.cancel();
        };
        let (ended, ()) = tokio::join!(run(self.config.clone(), context), pass);
        ended.unwrap();
    }

    fn letters(&self) -> Vec<Value> {
        let text = std::fs::read(folder(self.folder.path()).join("store.json")).unwrap();
        let state: Value = serde_json::from_slice(&text).unwrap();
        state["letters"].as_array().unwrap().clone()
    }
}

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(start_paused = true)]
async fn an_hour_without_a_broker_costs_no_event_and_no_minute() {
    let alone = Alone::new();
    alone.enrol();
    alone.run(HOUR, 300).await;
    let letters = alone.letters();
    let of = |kind: &str| letters.iter().filter(|letter| letter["kind"] == kind).count();
    assert_eq!(of("event"), 12);
    assert!((59..=61).contains(&of("ledger")), "{}", of("ledger"));
    let numbers: Vec<u64> = letters.iter().map(|letter| letter["sequence"].as_u64().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "in their order");
    let at = |letter: &Value| letter["at"].as_str().unwrap().to_owned();
    assert!(at(&letters[0]).starts_with("2026-11-24T00:00") && at(&letters[letters.len() - 1]).contains("T01:00"));
    let body: Value = serde_json::from_str(letters[0]["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["sources"]["fw"]["queued"], 1);
    let status = alone.board.handle(Component::Box, "fleet");
    assert_eq!(status.counters().gauge(Gauge::KeptMessages), letters.len() as u64);
    let Health::Degraded(fault) = status.health() else { panic!("{:?}", status.health()) };
    assert!(fault.what.contains("does not see this box") && fault.what.ends_with("its own work goes on"), "{fault:?}");
    let known = kept(&folder(alone.folder.path())).unwrap();
    assert_eq!((known.id.as_deref(), known.dropped), (Some("edge-7"), 0));
}

#[tokio::test(start_paused = true)]
async fn a_long_time_without_a_broker_is_bounded_and_counted() {
    let alone = Alone::new();
    alone.enrol();
    alone.run(10 * HOUR, 60).await;
    let letters = alone.letters();
    let of = |kind: &str| letters.iter().filter(|letter| letter["kind"] == kind).count() as u64;
    assert_eq!(of("ledger"), 120, "the newest two hours");
    assert_eq!(of("event"), 512, "the newest of 600");
    let dropped = kept(&folder(alone.folder.path())).unwrap().dropped;
    assert!((568..=570).contains(&dropped), "600 events and 601 minutes, less what is kept: {dropped}");
    let counted = alone.board.handle(Component::Box, "fleet").counters().count(Count::DroppedMessages);
    assert_eq!(counted, dropped);
}

#[tokio::test(start_paused = true)]
async fn a_box_that_is_not_enrolled_says_so_and_keeps_nothing() {
    let alone = Alone::new();
    alone.run(HOUR, 300).await;
    assert!(alone.letters().is_empty());
    let health = alone.board.handle(Component::Box, "fleet").health();
    let fault = health.fault().unwrap();
    assert!(
        fault.what.contains("no certificate for the fleet yet") && fault.todo.contains("enrol the box"),
        "{fault:?}"
    );
}

#[test]
fn each_schema_is_json_and_says_what_it_is_about() {
    for (name, text) in SCHEMAS {
        let schema: Value = serde_json::from_str(text).unwrap();
        assert_eq!(schema["title"], name);
        assert!(!schema["description"].as_str().unwrap().is_empty());
    }
}
