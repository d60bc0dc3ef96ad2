//! Damage of every kind, planted, found where it is, and mended.

use super::*;

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
    let cut = killed().await;
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
    (1..300).for_each(|seed| mend_through_power_cuts(&whole, seed, |_| {}));
}

#[tokio::test]
async fn a_rename_that_overtakes_the_sync_is_found_out() {
    let whole = simulated(filled(SMALL).await.path());
    let mend = |seed| mend_through_power_cuts(&whole, seed, SimDisk::rename_before_syncs);
    let found = (1..100).any(|seed| std::panic::catch_unwind(|| mend(seed)).is_err());
    assert!(found, "the repairs do not notice that a file gets its name before its content");
}

/// Damages a queue, repairs it while the disk fails and the power goes, and checks what came of it.
fn mend_through_power_cuts(whole: &SimDisk, seed: u64, plant: impl Fn(&SimDisk)) {
    let waiting = undelivered(&View::of(whole, false).unwrap().0);
    let (disk, aside) = (whole.copy(seed), SimDisk::new(seed));
    plant(&disk);
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
