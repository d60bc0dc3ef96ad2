//! The tools on real folders: stopped queues and running ones. Those with planted damage are in `mending`.

mod mending;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::verify::Checked;
use super::*;
use crate::clock::Timestamp;
use crate::event::{
    ApplianceId, Batch, BatchBuilder, BatchLimits, BatchNumber, Checkpoint, Kind, Origin, OutputId, Record, Transport,
};
use crate::quantity::Size;
use crate::queue::index::{Change, Index, Sled};
use crate::queue::record::{HEADER, Header, Type};
use crate::queue::segment::{FILE_HEADER, Found, Scan};
use crate::queue::tests::sim::SimDisk;
use crate::queue::{Config, OutputRule, Queue, Settle};
use crate::status::{Count, DropReason};

/// Batches in the folder that [`filled`] makes, of two events each: three are delivered, the others wait.
const BATCHES: u64 = 12;
const DELIVERED: u64 = 3;

fn batch(source: &str, serial: u64) -> Batch {
    let mut builder = BatchBuilder::new(source.into(), Kind::Syslog, BatchLimits::default());
    let origin = Origin::new(Transport::Udp, Some(([192, 0, 2, 1], 514).into()));
    for half in ["first", "second"] {
        let text = format!("<13>{serial} {half} of {source}: {}", "text ".repeat(40));
        let bytes = text.as_bytes();
        builder.push(&Record { received: Timestamp(serial), origin: &origin, id: None, cut_from: None, bytes });
    }
    let batch = builder.seal().unwrap();
    let changes = vec![(b"at".to_vec(), Some(serial.to_be_bytes().to_vec()))];
    if source == "api" { batch.with_checkpoint(Checkpoint { feed: "f".into(), changes }) } else { batch }
}

/// Segments of two batches each.
const SMALL: Size = Size(1_000);

fn config(segment_size: Size) -> Config {
    Config { segment_size, flush_after: "1ms".parse().unwrap(), ..Config::default() }
}

fn open(folder: &Path, board: &Board) -> Queue {
    open_with(SMALL, folder, board)
}

fn open_with(segment_size: Size, folder: &Path, board: &Board) -> Queue {
    let rule = |id: &str, may_skip| OutputRule { id: id.into(), may_skip, acknowledges: true };
    let rules = [rule("gw", false), rule("copy", true)];
    Queue::open(folder, &config(segment_size), &rules, board.handle(Component::Queue, "queue")).unwrap()
}

/// Lets an output have batches.
async fn deliver(queue: &Queue, output: &str, count: u64) -> Vec<Batch> {
    let reader = queue.reader(&OutputId::from(output));
    let mut had = Vec::new();
    for _ in 0..count {
        let delivery = tokio::time::timeout(Duration::from_secs(20), reader.next()).await.unwrap().unwrap();
        had.push(delivery.batch().clone());
        delivery.ack();
    }
    had
}

async fn fill(queue: &Queue) {
    for serial in 1..=BATCHES {
        let source = if serial % 2 == 0 { "fw" } else { "api" };
        queue.intake().submit(batch(source, serial)).await.unwrap().settled().await.unwrap();
    }
    assert_eq!(deliver(queue, "gw", DELIVERED).await.len(), 3);
}

/// A queue of several segments that was closed in good order.
async fn filled(segment_size: Size) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let queue = open_with(segment_size, folder.path(), &Board::new(Clock::System));
    fill(&queue).await;
    assert!(queue.close(Duration::from_secs(20)).await);
    Sled::wait_for(&folder.path().join("index"));
    folder
}

/// A queue as a kill leaves it: its segments at a moment when it was open.
async fn killed() -> tempfile::TempDir {
    let (folder, left) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let queue = open(folder.path(), &Board::new(Clock::System));
    fill(&queue).await;
    let still = Still::of(&Folder::existing(folder.path()).unwrap()).unwrap();
    for name in still.list().unwrap() {
        let file = still.open(&name).unwrap();
        let mut bytes = vec![0; usize::try_from(file.length().unwrap()).unwrap()];
        file.read_at(0, &mut bytes).unwrap();
        fs::write(left.path().join(name), bytes).unwrap();
    }
    assert!(queue.close(Duration::from_secs(20)).await);
    left
}

/// Every file with its content and the time it was changed.
fn content(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(content(&path));
        } else {
            let changed = fs::metadata(&path).unwrap().modified().unwrap();
            files.insert(path.clone(), (fs::read(&path).unwrap(), changed));
        }
    }
    files
}

struct Placed {
    segment: u64,
    at: u64,
    header: Header,
}

impl Placed {
    fn payload_at(&self) -> u64 {
        self.at + HEADER as u64 + u64::from(self.header.extra_length)
    }
}

/// Every record of the folder.
fn records(folder: &Path) -> Vec<Placed> {
    let disk = Folder::existing(folder).unwrap();
    let mut records = Vec::new();
    for segment in Still::of(&disk).unwrap().lengths().into_keys() {
        let file = disk.open(&file_name(segment)).unwrap();
        let mut scan = Scan::new(&*file, FILE_HEADER as u64).unwrap();
        while let Some(found) = scan.next().unwrap() {
            if let Found::Record { at, header, .. } = found {
                records.push(Placed { segment, at, header });
            }
        }
    }
    records
}

fn batch_record(folder: &Path, number: u64) -> Placed {
    let found = records(folder).into_iter();
    found.rev().find(|placed| placed.header.kind == Type::Batch && placed.header.number.0 == number).unwrap()
}

fn flip(folder: &Path, segment: u64, at: u64) {
    let path = folder.join(file_name(segment));
    let mut bytes = fs::read(&path).unwrap();
    bytes[usize::try_from(at).unwrap()] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

fn texts(folder: &Path, wanted: &Wanted) -> (Vec<String>, Exported) {
    let mut texts = Vec::new();
    let exported = export::<ToolError>(folder, wanted, |_: ApplianceId, _: BatchNumber, batch: &Batch| {
        let mut records = batch.records();
        while let Some(record) = records.next() {
            let text = String::from_utf8_lossy(record.bytes).into_owned();
            texts.push(text.split(" of").next().unwrap().trim_start_matches("<13>").to_owned());
        }
        Ok(())
    });
    (texts, exported.unwrap())
}

#[tokio::test]
async fn an_inspection_tells_what_is_in_a_queue_and_changes_nothing() {
    let folder = filled(SMALL).await;
    let before = content(folder.path());
    let seen = Inspection::read(folder.path(), &Clock::System).unwrap();
    assert!(verify(folder.path()).unwrap().is_clean(), "{:?}", verify(folder.path()));
    texts(folder.path(), &Wanted { all: true, ..Wanted::default() });
    assert_eq!(content(folder.path()), before, "something was written");
    assert!(!seen.running && seen.closed && seen.damage.is_empty());
    assert!(seen.segments.len() > 3, "{:?}", seen.segments);
    assert_eq!(seen.bytes, seen.segments.iter().map(|segment| segment.bytes).sum::<u64>());
    let waiting = 2 * (BATCHES - DELIVERED);
    assert_eq!(seen.segments.iter().map(|segment| segment.undelivered).sum::<u64>(), waiting);
    let first = seen.segments.iter().find(|segment| segment.batches > 0).unwrap();
    assert_eq!(first.events, 2 * first.batches);
    assert!(first.raw_bytes > 400 && first.age_seconds.unwrap() > 1_000_000_000, "{first:?}");
    assert!(first.first_received.as_ref().unwrap().starts_with("1970-01-01T00:00:00.000"));
    let [copy, gateway] = &seen.outputs[..] else { panic!("{:?}", seen.outputs) };
    assert!(copy.may_skip && !gateway.may_skip);
    assert_eq!((gateway.waiting_batches, gateway.waiting_events), (BATCHES - DELIVERED, waiting));
    let [feed] = &seen.checkpoints[..] else { panic!("{:?}", seen.checkpoints) };
    assert_eq!((feed.source.as_str(), feed.feed.as_str(), feed.keys, feed.bytes), ("api", "f", 1, 10));
    assert_eq!(seen.ledger.values().map(|balance| balance.queued).sum::<u64>(), waiting);
    assert!(seen.ledger.values().all(|balance| balance.balances && balance.totals.received == BATCHES));
    let queue = open(folder.path(), &Board::new(Clock::System));
    assert_eq!(Some(queue.appliance().to_string()), seen.appliance);
    let json = serde_json::to_value(&seen).unwrap();
    assert_eq!(json["ledger"]["fw"]["received"], BATCHES);
    assert!(queue.close(Duration::from_secs(20)).await);
}

#[tokio::test]
async fn beside_a_running_program_tools_read_what_is_durable_and_repair_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open(folder.path(), &Board::new(Clock::System));
    fill(&queue).await;
    let seen = Inspection::read(folder.path(), &Clock::System).unwrap();
    assert!(seen.running && !seen.closed);
    assert!(seen.ledger.values().all(|balance| balance.balances), "{:?}", seen.ledger);
    let report = verify(folder.path()).unwrap();
    assert!(report.is_clean() && report.running, "{report:?}");
    assert!(report.notes.iter().any(|note| note.contains("index was not checked")));
    // Acknowledgements become durable within a second; until then they are exported once more.
    let (texts, exported) = texts(folder.path(), &Wanted::default());
    assert!((2 * (BATCHES - DELIVERED)..=2 * BATCHES).contains(&exported.events), "{exported:?}");
    assert_eq!(texts.last().unwrap(), "12 second");
    let words = repair(folder.path()).unwrap_err().to_string();
    assert!(words.ends_with("is in use by a running program; stop that one first"), "{words}");
    // The program is none the worse for it.
    queue.intake().submit(batch("fw", 99)).await.unwrap().settled().await.unwrap();
    assert!(queue.close(Duration::from_secs(20)).await);
}

#[tokio::test]
async fn what_a_running_program_is_just_writing_is_no_damage() {
    let folder = killed().await;
    let lock = lock::Lock::take(folder.path()).unwrap().unwrap();
    let nothing = || {
        verify(folder.path()).unwrap().is_clean()
            && Inspection::read(folder.path(), &Clock::System).unwrap().damage.is_empty()
    };
    let newest = records(folder.path()).last().unwrap().segment;
    let path = folder.path().join(file_name(newest));
    let whole = fs::read(&path).unwrap();
    for more in [&b"S"[..], b"SER1\x01"] {
        fs::write(&path, [&whole, more].concat()).unwrap();
        assert!(nothing(), "{more:?}");
    }
    fs::write(&path, &whole).unwrap();
    for bytes in [&b""[..], b"SAPPHSEG\x01"] {
        fs::write(folder.path().join(file_name(newest + 1)), bytes).unwrap();
        assert!(nothing(), "{bytes:?}");
    }
    drop(lock);
    assert!(!nothing(), "nobody writes any more");
}

#[tokio::test]
async fn an_export_hands_out_what_is_wanted_in_order() {
    let folder = filled(Size::mib(1)).await;
    let wanted = Wanted::default();
    let (all, exported) = texts(folder.path(), &wanted);
    assert_eq!((exported.batches, exported.events), (BATCHES - DELIVERED, 2 * (BATCHES - DELIVERED)));
    assert_eq!(all[..2], ["4 first", "4 second"]);
    let (fw, _) = texts(folder.path(), &Wanted { source: Some("fw".into()), ..wanted.clone() });
    assert_eq!(fw.len() as u64, BATCHES / 2 * 2 - 2);
    let (copy, _) = texts(folder.path(), &Wanted { output: Some("copy".into()), ..wanted.clone() });
    assert_eq!(copy.first().unwrap(), "1 first", "the other output has had nothing yet");
    let (stored, _) = texts(folder.path(), &Wanted { all: true, ..wanted.clone() });
    assert_eq!(stored.len(), copy.len());
    let other = Wanted { output: Some("gateway".into()), ..wanted };
    let refused = export::<ToolError>(folder.path(), &other, |_, _, _| Ok(())).unwrap_err();
    assert_eq!(refused.to_string(), "the queue knows no output \"gateway\"; the outputs are: copy, gw");
    let hit = batch_record(folder.path(), 6);
    flip(folder.path(), hit.segment, hit.payload_at() + 9);
    let (left, exported) = texts(folder.path(), &Wanted::default());
    assert_eq!((exported.damaged, exported.events), (2, 2 * (BATCHES - DELIVERED) - 2));
    assert!(!left.contains(&"6 first".to_owned()));
}

#[test]
fn no_folder_and_no_queue_are_told_apart_from_a_broken_disk() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");
    for words in [
        Inspection::read(&nowhere, &Clock::System).unwrap_err().to_string(),
        verify(&nowhere).unwrap_err().to_string(),
        repair(folder.path()).unwrap_err().to_string(),
    ] {
        assert!(words.starts_with("there is no queue in "), "{words}");
    }
    let empty = Inspection::read(folder.path(), &Clock::System).unwrap();
    assert_eq!((empty.appliance, empty.segments.len()), (None, 0));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools_see_a_whole_queue_at_every_moment_of_its_work() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { settle: Settle::Durable, ..config(Size(4_000)) };
    let rule = OutputRule { id: "gw".into(), may_skip: false, acknowledges: true };
    let status = Board::new(Clock::System).handle(Component::Queue, "queue");
    let queue = Queue::open(folder.path(), &config, &[rule], status).unwrap();
    let (intake, path) = (queue.intake(), folder.path().to_owned());
    // Stored, delivered and removed as fast as it goes, in segments of a few batches.
    let produce = async {
        for serial in 1..=6_000 {
            let ticket = intake.submit(batch(if serial % 2 == 0 { "fw" } else { "api" }, serial)).await.unwrap();
            if serial % 8 == 0 {
                ticket.settled().await.unwrap();
            }
        }
    };
    let consume = async {
        let reader = queue.reader(&OutputId::from("gw"));
        for _ in 1..=6_000 {
            let delivery = reader.next().await.unwrap();
            if delivery.number().0 % 5 == 0 {
                // Let it become durable first.
                tokio::task::yield_now().await;
            }
            delivery.ack();
        }
    };
    let over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let ended = std::sync::Arc::clone(&over);
    let looks = tokio::task::spawn_blocking(move || {
        let (mut looks, mut most) = (0, 0);
        while !ended.load(std::sync::atomic::Ordering::Relaxed) {
            let report = verify(&path).unwrap();
            assert!(report.is_clean(), "look {looks}: {:#?}", report.findings);
            let seen = Inspection::read(&path, &Clock::System).unwrap();
            assert!(seen.damage.is_empty() && seen.ledger.values().all(|balance| balance.balances), "{seen:#?}");
            texts(&path, &Wanted { all: looks % 2 == 0, ..Wanted::default() });
            (looks, most) = (looks + 1, report.batches.max(most));
        }
        (looks, most)
    });
    tokio::join!(produce, consume);
    over.store(true, std::sync::atomic::Ordering::Relaxed);
    let (looks, most) = looks.await.unwrap();
    assert!(looks > 3 && most > 5, "{looks} looks saw {most} batches at most");
    assert!(queue.close(Duration::from_secs(20)).await);
}
