//! What the feed makes of files that cannot be read, without a vendor: time runs by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use super::delivery::Delivery;
use super::feed::Replicator;
use super::message::{self, File};
use super::{Config, Site};
use crate::clock::{Clock, Timestamp};
use crate::source::pull::{Page, Position, Trouble};
use crate::source::s3::{Filling, Inbox};
use crate::status::{Board, Component};

const DAY: u64 = 86_400_000_000;

/// A feed with one message of these files, at a time that can be set.
struct Bench {
    feed: Replicator,
    position: Position,
    now: Arc<AtomicU64>,
}

impl Bench {
    fn new() -> Self {
        let config: Config = serde_json::from_value(json!({
            "id": "falcon_replicator", "sqs_queue": "https://sqs.us-west-1.amazonaws.com/1/q", "access_key_id": "AKIA",
            "secret_access_key_file": "/nowhere",
        }))
        .unwrap();
        let now = Arc::new(AtomicU64::new(20_000 * DAY));
        let clock = Clock::Fixed(Arc::clone(&now));
        let (way, wanted) = (config.way(clock.clone()), config.wanted());
        let inbox = Inbox::new(config.notices(&way).unwrap(), Duration::from_secs(300));
        let status = Board::new(clock).handle(Component::Source, "falcon_replicator");
        let site = Arc::new(Site { config, way, wanted });
        Self { feed: Replicator::new(&site, inbox, &status), position: Position::default(), now }
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::Relaxed))
    }

    fn pass(&self, time: u64) {
        self.now.fetch_add(time, Ordering::Relaxed);
    }

    /// A message of these files comes.
    fn message(&mut self, names: &[&str], at: Timestamp) -> Vec<File> {
        let files: Vec<_> = names.iter().map(|name| json!({ "path": format!("data/{name}") })).collect();
        let body = json!({ "bucket": "logs", "timestamp": at.micros() / 1_000, "pathPrefix": "data", "files": files });
        let files = message::read(&body.to_string(), self.now()).files;
        let delivery = Delivery { receipt: "r".into(), files: files.clone().into(), comes_again: false };
        self.feed.work.clear();
        self.feed.work.push_back(delivery);
        files
    }

    /// The next file cannot be had; what comes of it, and the page up to there.
    fn fails(&mut self, trouble: Trouble) -> (Result<(), Trouble>, Page) {
        let file = self.feed.work.front_mut().unwrap().files.pop_front().unwrap();
        let mut filling = Filling::default();
        let result = self.feed.put_off(file, trouble, &self.position, &mut filling);
        let page = self.feed.close(filling, &self.position);
        for (name, value) in &page.marks {
            self.position.set(name.clone(), value.clone());
        }
        (result, page)
    }

    fn left(&self) -> (usize, bool) {
        self.feed.work.front().map(|delivery| (delivery.files.len(), delivery.comes_again)).unwrap()
    }

    fn sweep(&mut self) -> Page {
        let mut filling = Filling::default();
        self.feed.sweep(&self.position, &mut filling);
        filling.page
    }
}

fn refused() -> Trouble {
    Trouble::login("refused", "mend it")
}

#[tokio::test(start_paused = true)]
async fn what_passes_is_tried_in_place_and_then_left_for_later() {
    let mut bench = Bench::new();
    bench.message(&["a", "b"], bench.now());
    for _ in 0..2 {
        assert_eq!(bench.fails(Trouble::passing("busy", None)).0.unwrap_err().what, "busy");
        assert_eq!(bench.left(), (2, false), "the same again");
    }
    let (result, page) = bench.fails(Trouble::passing("busy", None));
    assert!(result.is_ok() && page.holes.is_empty());
    assert_eq!(bench.left(), (1, true), "the other goes on, and the message is kept");
    assert!(page.remark.unwrap().0.contains("data/a cannot be read: busy"));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_refused_costs_no_wait_and_a_dozen_of_them_does() {
    let mut bench = Bench::new();
    let names: Vec<String> = (0..26).map(|number| number.to_string()).collect();
    bench.message(&names.iter().map(String::as_str).collect::<Vec<_>>(), bench.now());
    let waits: Vec<bool> = (0..25).map(|_| bench.fails(refused()).0.is_err()).collect();
    let waited: Vec<usize> = waits.iter().enumerate().filter(|(_, waits)| **waits).map(|(at, _)| at + 1).collect();
    assert_eq!((waited, bench.left()), (vec![12, 24], (1, true)), "the rest of the message is still tried");
    // The same one again and again, as often as its message comes again.
    bench.feed.refused.was_read();
    for _ in 0..30 {
        bench.message(&["a"], bench.now());
        assert!(bench.fails(refused()).0.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_a_day_is_lost_if_others_are_read() {
    let mut bench = Bench::new();
    let told = bench.now();
    let file = bench.message(&["a"], told).remove(0);
    assert!(bench.fails(refused()).1.holes.is_empty());
    bench.pass(DAY * 3 / 2);
    // Nothing can be read at all: nothing is given up.
    bench.message(&["a"], told);
    assert!(bench.fails(refused()).1.holes.is_empty());
    bench.feed.refused.was_read();
    bench.message(&["a"], told);
    let (result, page) = bench.fails(refused());
    assert!(result.is_ok() && page.holes[0].what.contains("data/a of logs is refused: refused"), "{page:?}");
    assert!(page.seen.iter().any(|(id, _)| *id == file.id), "its message may go");
    assert_eq!(bench.left(), (0, false));
    // No mark is left, so nothing is said of it later.
    bench.pass(10 * DAY);
    assert!(bench.sweep().holes.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_older_than_the_vendor_keeps_files_is_lost_at_once() {
    let mut bench = Bench::new();
    bench.feed.refused.was_read();
    let told = bench.now();
    bench.pass(8 * DAY);
    bench.message(&["a", "b"], told);
    for left in [1, 0] {
        assert_eq!(bench.fails(refused()).1.holes.len(), 1);
        assert_eq!(bench.left(), (left, false));
    }
}

#[tokio::test(start_paused = true)]
async fn what_never_came_again_and_a_long_absence_are_told_once() {
    let mut bench = Bench::new();
    bench.message(&["a"], bench.now());
    bench.fails(refused()).0.unwrap();
    let mut filling = Filling::default();
    filling.reached(bench.message(&["b"], bench.now())[0].id, 5, bench.now());
    filling.page.marks.push(("asked".into(), Position::time_value(bench.now())));
    for (name, value) in filling.page.marks {
        bench.position.set(name, value);
    }
    bench.pass(9 * DAY);
    let page = bench.sweep();
    assert_eq!(page.holes.len(), 3, "{page:?}");
    assert!(page.holes[0].what.contains("did not pull for longer"), "{page:?}");
    assert_eq!((page.holes[0].from, page.holes[0].to), (Timestamp(20_000 * DAY), Timestamp(20_002 * DAY)));
    assert_eq!(page.forget, Some(Timestamp(20_001 * DAY)));
    for (name, value) in page.marks {
        bench.position.set(name, value);
    }
    assert!(bench.sweep().holes.is_empty(), "not within the hour");
    tokio::time::advance(Duration::from_secs(3_601)).await;
    let page = bench.sweep();
    assert!(page.holes.is_empty() && page.forget.is_some(), "{page:?}");
}
