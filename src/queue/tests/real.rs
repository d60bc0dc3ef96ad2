//! The queue with its thread, on the machine's own disk, with sled.

use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::event::{Batch, BatchBuilder, BatchLimits, Kind, Origin, OutputId, Record, SourceId, Transport};
use crate::queue::{Config, OutputRule, Queue, Settle};
use crate::status::{Board, Component, Count};

fn batch(text: &str) -> Batch {
    came_at(text, Timestamp(1))
}

fn came_at(text: &str, received: Timestamp) -> Batch {
    let mut builder = BatchBuilder::new("fw".into(), Kind::Syslog, BatchLimits::default());
    let origin = Origin::new(Transport::Udp, None);
    let bytes = text.as_bytes();
    builder.push(&Record { received, origin: &origin, id: None, cut_from: None, bytes });
    builder.seal().unwrap()
}

fn open(folder: &std::path::Path, config: &Config, board: &Board) -> Queue {
    let rule = OutputRule { id: "gw".into(), may_skip: false, acknowledges: true };
    Queue::open(folder, config, &[rule], board.handle(Component::Queue, "queue")).unwrap()
}

async fn texts(queue: &Queue, count: usize) -> Vec<String> {
    let reader = queue.reader(&OutputId::from("gw"));
    let mut texts = Vec::new();
    for _ in 0..count {
        let delivery = reader.next().await.unwrap();
        let mut records = delivery.batch().records();
        texts.push(String::from_utf8(records.next().unwrap().bytes.to_vec()).unwrap());
        drop(records);
        delivery.ack();
    }
    texts.sort_unstable();
    texts
}

#[tokio::test]
async fn what_was_settled_is_there_after_a_restart_and_without_its_index() {
    let folder = tempfile::tempdir().unwrap();
    let (config, board) = (Config::default(), Board::new(Clock::System));
    let queue = open(folder.path(), &config, &board);
    let appliance = queue.appliance();
    let mut tickets = Vec::new();
    for at in 0..50 {
        tickets.push(queue.intake().submit(batch(&format!("{at:02}"))).await.unwrap());
    }
    for ticket in tickets {
        ticket.settled().await.unwrap();
    }
    assert!(queue.close(Duration::from_secs(10)).await);
    std::fs::remove_dir_all(folder.path().join("index")).unwrap();
    let queue = open(folder.path(), &config, &board);
    assert_eq!(queue.appliance(), appliance);
    let expected: Vec<String> = (0..50).map(|at| format!("{at:02}")).collect();
    assert_eq!(texts(&queue, 50).await, expected);
    assert!(queue.close(Duration::from_secs(10)).await);
    let queue = open(folder.path(), &config, &board);
    let reader = queue.reader(&OutputId::from("gw"));
    assert!(tokio::time::timeout(Duration::from_millis(50), reader.next()).await.is_err(), "nothing comes twice");
    assert_eq!(queue.ledger()[&"fw".into()].delivered, 50);
}

#[tokio::test]
async fn the_oldest_that_waits_is_known_in_memory_and_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (config, board) = (Config::default(), Board::new(Clock::System));
    let queue = open(folder.path(), &config, &board);
    let oldest = async |queue: &Queue| queue.reader(&OutputId::from("gw")).oldest().await;
    assert_eq!(oldest(&queue).await, None);
    for at in 7..10 {
        let ticket = queue.intake().submit(came_at(&at.to_string(), Timestamp(at))).await.unwrap();
        assert_eq!(oldest(&queue).await, Some(Timestamp(7)));
        ticket.settled().await.unwrap();
    }
    queue.close(Duration::from_secs(10)).await;
    let queue = open(folder.path(), &config, &board);
    assert_eq!(oldest(&queue).await, Some(Timestamp(7)), "on the disk");
    let new = queue.intake().submit(came_at("10", Timestamp(10))).await.unwrap();
    assert_eq!(oldest(&queue).await, Some(Timestamp(7)), "on the disk, and a newer one in memory");
    assert_eq!(texts(&queue, 2).await, ["10", "7"], "live first");
    new.settled().await.unwrap();
    assert_eq!(oldest(&queue).await, Some(Timestamp(8)));
    assert_eq!(texts(&queue, 2).await, ["8", "9"]);
    assert_eq!(oldest(&queue).await, None);
}

#[tokio::test]
async fn an_index_of_garbage_is_built_again() {
    let folder = tempfile::tempdir().unwrap();
    let (config, board) = (Config::default(), Board::new(Clock::System));
    let queue = open(folder.path(), &config, &board);
    queue.intake().submit(batch("kept")).await.unwrap().settled().await.unwrap();
    queue.close(Duration::from_secs(10)).await;
    for entry in std::fs::read_dir(folder.path().join("index")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::write(path, b"garbage").unwrap();
        }
    }
    let queue = open(folder.path(), &config, &board);
    assert_eq!(texts(&queue, 1).await, ["kept"]);
}

#[tokio::test]
async fn a_delivery_before_the_flush_settles_and_spares_the_write() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config { flush_after: "60s".parse().unwrap(), ..Config::default() };
    let board = Board::new(Clock::System);
    let spared = |board: &Board| board.handle(Component::Queue, "queue").counters().count(Count::SparedBatches);
    let queue = open(folder.path(), &config, &board);
    let ticket = queue.intake().submit(batch("fast")).await.unwrap();
    assert_eq!(texts(&queue, 1).await, ["fast"]);
    ticket.settled().await.unwrap();
    assert_eq!(spared(&board), 1);
    queue.close(Duration::from_secs(10)).await;

    config.settle = Settle::Durable;
    let queue = open(folder.path(), &config, &board);
    let ticket = queue.intake().submit(batch("sure")).await.unwrap();
    assert_eq!(texts(&queue, 1).await, ["sure"]);
    let (closed, settled) = tokio::join!(queue.close(Duration::from_secs(10)), ticket.settled());
    assert!(closed && settled.is_ok());
    assert_eq!(spared(&board), 1, "the short cut is off");
}

#[tokio::test]
async fn memory_full_holds_back_and_a_given_back_batch_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { memory: "2MiB".parse().unwrap(), ..Config::default() };
    let board = Board::new(Clock::System);
    let queue = open(folder.path(), &config, &board);
    let intake = queue.intake();
    let big = "x".repeat(1 << 20);
    for at in 0..20 {
        drop(intake.submit(batch(&format!("{at:02}{big}"))).await.unwrap());
    }
    let reader = queue.reader(&OutputId::from("gw"));
    let mut first = reader.next().await.unwrap();
    let number = first.number();
    first.advance(1);
    drop(first);
    let mut seen = 0;
    let mut again = false;
    while seen < 20 {
        let delivery = reader.next().await.unwrap();
        again |= delivery.number() == number && delivery.done() == 1;
        seen += 1;
        delivery.ack();
    }
    assert!(again);
    assert!(board.handle(Component::Queue, "queue").counters().count(Count::StoredBytes) > 0);
}

#[tokio::test]
async fn a_queue_is_opened_once_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let (config, board) = (Config::default(), Board::new(Clock::System));
    let queue = open(folder.path(), &config, &board);
    queue.intake().submit(batch("mine")).await.unwrap().settled().await.unwrap();
    let second = Queue::open(folder.path(), &config, &[], board.handle(Component::Queue, "queue"));
    let words = second.unwrap_err().to_string();
    assert!(words.contains("is in use by another sapphire-edge; stop that one"), "{words}");
    assert_eq!(texts(&queue, 1).await, ["mine"], "the first one goes on");
    assert!(queue.close(Duration::from_secs(10)).await);
    let queue = open(folder.path(), &config, &board);
    assert!(queue.close(Duration::from_secs(10)).await);
}

#[tokio::test]
async fn what_came_lately_can_be_looked_at_again_while_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let (config, board) = (Config::default(), Board::new(Clock::System));
    let queue = open(folder.path(), &config, &board);
    let seen = |queue: &Queue, since: u64, source: Option<&str>, most: u64| {
        let source = source.map(SourceId::from);
        let mut recent = queue.recent(Timestamp(since), source.as_ref(), most).unwrap();
        let (events, is_whole) = (recent.events(), recent.is_whole());
        let mut texts = Vec::new();
        while let Some((_, batch)) = recent.take_next() {
            texts.push(String::from_utf8(batch.records().next().unwrap().bytes.to_vec()).unwrap());
        }
        assert_eq!(events, texts.len() as u64);
        (texts, is_whole)
    };
    assert_eq!(seen(&queue, 0, None, 10), (Vec::new(), true));
    let mut tickets = Vec::new();
    for at in 0..5 {
        tickets.push(queue.intake().submit(batch(&format!("{at}"))).await.unwrap());
    }
    assert_eq!(seen(&queue, 0, None, 10).0, ["0", "1", "2", "3", "4"], "in memory");
    for ticket in tickets {
        ticket.settled().await.unwrap();
    }
    assert_eq!(seen(&queue, 0, None, 3), (["2", "3", "4"].map(str::to_owned).to_vec(), false), "the newest");
    assert_eq!(seen(&queue, 2, None, 10).0, [""; 0], "they are older");
    assert_eq!(seen(&queue, 0, Some("other"), 10).0, [""; 0]);
    assert_eq!(seen(&queue, 0, Some("fw"), 10).0.len(), 5);
    assert!(queue.close(Duration::from_secs(10)).await);
    let queue = open(folder.path(), &config, &board);
    assert_eq!(seen(&queue, 0, None, 10).0, ["0", "1", "2", "3", "4"], "from the disk");
    assert_eq!(texts(&queue, 5).await.len(), 5, "and nothing was taken by that");
    assert!(queue.close(Duration::from_secs(10)).await);
}
