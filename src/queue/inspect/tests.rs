//! The tools on real folders, whole and with planted damage.

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
use crate::queue::{Config, OutputRule, Queue};
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
async fn a_half_written_group_of_a_running_program_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open(folder.path(), &Board::new(Clock::System));
    fill(&queue).await;
    let newest = records(folder.path()).last().unwrap().segment;
    let path = folder.path().join(file_name(newest));
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(b"SER1\x01");
    fs::write(&path, &bytes).unwrap();
    assert!(verify(folder.path()).unwrap().is_clean());
    assert!(Inspection::read(folder.path(), &Clock::System).unwrap().damage.is_empty());
    assert!(queue.close(Duration::from_secs(20)).await);
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

/// A way to damage a queue: what a check calls it, and the batches that are gone with it.
struct Plant {
    name: &'static str,
    flaws: &'static [Flaw],
    lost: &'static [u64],
    plant: fn(&Path) -> Option<(u64, u64)>,
}

/// What is planted says where it lies, if it lies in a segment.
const PLANTS: [Plant; 13] = [
    Plant {
        name: "header",
        flaws: &[Flaw::Record, Flaw::Ledger, Flaw::Index],
        lost: &[7],
        plant: |folder| {
            let hit = batch_record(folder, 7);
            flip(folder, hit.segment, hit.at + 25);
            Some((hit.segment, hit.at))
        },
    },
    Plant {
        name: "extra",
        flaws: &[Flaw::Record, Flaw::Ledger, Flaw::Index],
        lost: &[7],
        plant: |folder| {
            let hit = batch_record(folder, 7);
            flip(folder, hit.segment, hit.at + HEADER as u64 + 1);
            Some((hit.segment, hit.at))
        },
    },
    Plant {
        name: "payload",
        flaws: &[Flaw::Payload, Flaw::Ledger],
        lost: &[7],
        plant: |folder| {
            let hit = batch_record(folder, 7);
            flip(folder, hit.segment, hit.payload_at() + 3);
            Some((hit.segment, hit.at))
        },
    },
    Plant {
        name: "payload of a batch that is delivered to all that count",
        flaws: &[Flaw::Payload],
        lost: &[],
        plant: |folder| {
            let hit = batch_record(folder, DELIVERED);
            flip(folder, hit.segment, hit.payload_at() + 3);
            Some((hit.segment, hit.at))
        },
    },
    Plant {
        name: "file header",
        flaws: &[Flaw::FileHeader],
        lost: &[],
        plant: |folder| {
            let hit = batch_record(folder, 7);
            flip(folder, hit.segment, 20);
            Some((hit.segment, 0))
        },
    },
    Plant {
        name: "state record inside a segment",
        flaws: &[Flaw::Payload],
        lost: &[],
        plant: |folder| {
            let hit = batch_record(folder, 7);
            let after = records(folder).into_iter().find(|placed| {
                placed.header.kind == Type::State && placed.segment == hit.segment && placed.at > hit.at
            });
            let after = after.unwrap();
            flip(folder, after.segment, after.payload_at() + 5);
            Some((after.segment, after.at))
        },
    },
    Plant {
        name: "snapshot of the newest segment",
        flaws: &[Flaw::Payload],
        lost: &[],
        plant: |folder| {
            let newest = records(folder).last().unwrap().segment;
            let hit = records(folder).into_iter().find(|placed| placed.segment == newest).unwrap();
            flip(folder, newest, hit.payload_at() + 5);
            Some((newest, hit.at))
        },
    },
    Plant {
        name: "torn tail",
        flaws: &[Flaw::Tail],
        lost: &[],
        plant: |folder| {
            let newest = records(folder).last().unwrap().segment;
            let path = folder.join(file_name(newest));
            let mut bytes = fs::read(&path).unwrap();
            let end = bytes.len() as u64;
            bytes.extend_from_slice(b"SER1\x01\x01 torn");
            fs::write(path, bytes).unwrap();
            Some((newest, end))
        },
    },
    Plant {
        name: "missing segment",
        flaws: &[Flaw::Ledger, Flaw::Index],
        lost: &[7, 8],
        plant: |folder| {
            let hit = batch_record(folder, 7);
            let with: Vec<u64> =
                (DELIVERED..=BATCHES).filter(|n| batch_record(folder, *n).segment == hit.segment).collect();
            assert_eq!(with, [7, 8], "the segments are to be as small as that");
            fs::remove_file(folder.join(file_name(hit.segment))).unwrap();
            None
        },
    },
    Plant {
        name: "index that names another place",
        flaws: &[Flaw::Index],
        lost: &[],
        plant: |folder| {
            lie(folder, |index| {
                let (number, mut place) = index.next(7).unwrap().unwrap();
                place.at += 1;
                vec![Change::Put(number, place)]
            })
        },
    },
    Plant {
        name: "index that lacks a batch",
        flaws: &[Flaw::Index],
        lost: &[],
        plant: |folder| lie(folder, |_| vec![Change::Remove(7)]),
    },
    Plant {
        name: "index that invents a batch",
        flaws: &[Flaw::Index],
        lost: &[],
        plant: |folder| {
            lie(folder, |index| {
                let (_, place) = index.next(7).unwrap().unwrap();
                vec![Change::Put(1_000, place)]
            })
        },
    },
    Plant {
        name: "index with another checkpoint",
        flaws: &[Flaw::Index],
        lost: &[],
        plant: |folder| {
            lie(folder, |index| {
                let (key, _) = index.checkpoints(b"").unwrap().remove(0);
                vec![Change::Checkpoint(key, Some(vec![0xff; 8]))]
            })
        },
    },
];

fn lie(folder: &Path, lies: impl Fn(&dyn Index) -> Vec<Change>) -> Option<(u64, u64)> {
    let index = Sled::open_again(&folder.join("index"));
    let mark = index.mark().unwrap().unwrap();
    index.apply(&lies(&index), mark).unwrap();
    index.flush().unwrap();
    drop(index);
    Sled::wait_for(&folder.join("index"));
    None
}

#[tokio::test]
async fn damage_is_found_where_it_is_and_mended_so_that_the_next_start_is_clean() {
    for Plant { name, flaws, lost, plant } in PLANTS {
        let folder = filled(SMALL).await;
        let place = plant(folder.path());
        let report = verify(folder.path()).unwrap();
        let mut found: Vec<Flaw> = report.findings.iter().map(|finding| finding.flaw).collect();
        found.dedup();
        assert_eq!(found, flaws, "{name}: {:#?}", report.findings);
        let first = &report.findings[0];
        assert_eq!(first.segment.zip(first.at), place, "{name}: {first}");
        let repaired = repair(folder.path()).unwrap();
        assert_eq!(repaired.before, report, "{name}");
        assert!(repaired.after.is_clean(), "{name}: {:#?}", repaired.after.findings);
        let events: u64 = repaired.lost.values().sum();
        assert_eq!(events, 2 * lost.len() as u64, "{name}: {:?}", repaired.lost);
        let again = repair(folder.path()).unwrap();
        assert!(again.before.is_clean() && again.lost.is_empty(), "{name}: {:#?}", again.before);
        next_start(folder.path(), name, lost).await;
    }
}

/// Opens a mended queue: everything comes but what was lost, the damage is not seen again, and the ledger balances.
async fn next_start(folder: &Path, name: &str, lost: &[u64]) {
    let board = Board::new(Clock::System);
    let queue = open(folder, &board);
    let expected: Vec<u64> = (DELIVERED + 1..=BATCHES).filter(|serial| !lost.contains(serial)).collect();
    let batches = deliver(&queue, "gw", expected.len() as u64).await;
    let mut serials: Vec<u64> = batches.iter().map(|batch| batch.first_received().0).collect();
    serials.sort_unstable();
    assert_eq!(serials, expected, "{name}");
    let (dropped, ledger) = (2 * lost.len() as u64, queue.ledger());
    assert!(ledger.values().all(|totals| totals.balances(0)), "{name}: {ledger:?}");
    let of = |reason| ledger.values().filter_map(|totals| totals.dropped.get(&reason)).sum::<u64>();
    assert_eq!(of(DropReason::Damaged), dropped, "{name}: {ledger:?}");
    let damaged = board.handle(Component::Queue, "queue").counters().count(Count::DamagedRecords);
    assert_eq!(damaged, 0, "{name}: the next start saw damage");
    assert!(queue.close(Duration::from_secs(20)).await);
    let report = verify(folder).unwrap();
    assert!(report.is_clean(), "{name}: {:#?}", report.findings);
}

#[tokio::test]
async fn a_power_cut_is_still_told_after_a_repair() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open(folder.path(), &Board::new(Clock::System));
    fill(&queue).await;
    // As a kill leaves it: the segments, at a moment when the queue was open.
    let cut = tempfile::tempdir().unwrap();
    for segment in records(folder.path()).iter().map(|placed| placed.segment) {
        fs::copy(folder.path().join(file_name(segment)), cut.path().join(file_name(segment))).unwrap();
    }
    assert!(queue.close(Duration::from_secs(20)).await);
    let before = Inspection::read(cut.path(), &Clock::System).unwrap();
    assert!(!before.closed);
    let hit = batch_record(cut.path(), 7);
    flip(cut.path(), hit.segment, hit.payload_at() + 3);
    let repaired = repair(cut.path()).unwrap();
    assert_eq!(repaired.lost.values().sum::<u64>(), 2);
    let after = Inspection::read(cut.path(), &Clock::System).unwrap();
    assert_eq!((after.closed, &after.written_at), (false, &before.written_at));
    let queue = open(cut.path(), &Board::new(Clock::System));
    assert_eq!(queue.gap_since().map(|at| at.to_string()), before.written_at);
    assert!(queue.close(Duration::from_secs(20)).await);
}

/// The segments of a folder on a simulated disk.
fn simulated(folder: &Path) -> SimDisk {
    let disk = SimDisk::new(1);
    for (path, (bytes, _)) in content(folder) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with(".seg") {
            disk.put(&name, bytes);
        }
    }
    disk
}

fn undelivered(view: &View) -> u64 {
    let batches = view.places().unwrap().into_iter();
    let waiting = batches.filter(|(number, _)| !view.recovered.state.delivered(*number));
    waiting.map(|(_, place)| u64::from(place.count)).sum()
}

#[tokio::test]
async fn repair_mends_whatever_was_hit_also_when_it_is_interrupted() {
    let whole = simulated(filled(SMALL).await.path());
    let waiting = undelivered(&View::of(&whole, false).unwrap().0);
    for seed in 1..300 {
        let (disk, aside) = (whole.copy(seed), SimDisk::new(seed));
        let hits = seed % 4 + 1;
        (0..hits).for_each(|_| assert!(disk.flip_a_bit()));
        let mut repaired = Repaired::default();
        for attempt in 0.. {
            // Fails and loses power at some step, then works.
            disk.fail_one_in(if attempt < 3 { 4 } else { 0 });
            let (view, _) = View::of(&disk, false).unwrap();
            let checked = verify::check(&disk, &view).unwrap();
            match repair::mend(&disk, &aside, &view, &checked, &mut repaired) {
                Ok(()) => break,
                Err(_) => disk.crash(),
            }
        }
        disk.crash();
        let (view, _) = View::of(&disk, false).unwrap();
        let Checked { report, .. } = verify::check(&disk, &view).unwrap();
        assert!(report.is_clean(), "seed {seed}: {:#?}\n{:#?}", report.findings, repaired.steps);
        assert!(undelivered(&view) + 2 * hits >= waiting, "seed {seed}: more is gone than was hit: {repaired:#?}");
        assert!(!disk.files().keys().any(|name| name.ends_with(".mended")), "seed {seed}");
    }
}
