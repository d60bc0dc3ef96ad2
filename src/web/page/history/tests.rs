//! Rings under any clock, the file, and the loop over a real board.

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::book::SOURCES;
use super::meter::Sample;
use super::*;
use crate::status::{Component, Count, Gauge};

/// 2026-11-24T00:00:00Z.
const BEGIN: u64 = 1_795_478_400;

fn sample(seconds: f64, events: u64) -> Sample {
    Sample {
        seconds,
        received: events,
        delivered: events / 2,
        delivered_bytes: events * 100,
        sent_bytes: events * 10,
        queued: events,
        queued_bytes: 4_096,
        sources: [("fw".to_owned(), events)].into(),
        outputs: [("gateway".to_owned(), events / 2)].into(),
        ..Sample::default()
    }
}

/// A book with a sample every 10 s from [`BEGIN`] on, 100 events each.
fn book(samples: u64) -> Book {
    let mut book = Book::default();
    (0..samples).for_each(|at| book.add(BEGIN + at * 10, &sample(if at == 0 { 0.0 } else { 10.0 }, 100)));
    book
}

fn known(points: &[Option<f32>]) -> Vec<f32> {
    points.iter().flatten().copied().collect()
}

#[test]
fn an_hour_is_shown_in_each_span() {
    let book = book(361);
    let hour = book.series(Span::Hour);
    assert_eq!(hour.received_per_second, vec![Some(10.0); 360]);
    assert_eq!(
        (hour.delivered_per_second[9], hour.compression[9], hour.queued[9]),
        (Some(5.0), Some(10.0), Some(100.0))
    );
    assert_eq!((hour.oldest_seconds[9], hour.dropped[9]), (None, Some(0.0)), "events wait, and nobody says how long");
    assert_eq!(hour.sources["fw"], vec![Some(10.0); 360]);
    assert_eq!(hour.from_seconds, BEGIN + 10);
    assert_eq!((hour.now.sources["fw"], hour.now.outputs["gateway"]), (10.0, 5.0));
    assert_eq!(hour.now.last_events["fw"], BEGIN + 3_600);
    let day = book.series(Span::Day);
    assert_eq!(known(&day.received_per_second).len(), 13);
    // The first cell has a sample of no time, whose events are not known.
    assert_eq!(day.received_per_second[280], Some(10.0));
    let month = book.series(Span::Month);
    assert_eq!((month.received_per_second.len(), known(&month.received_per_second).len()), (372, 1));
}

#[test]
fn a_box_that_was_off_leaves_a_gap() {
    let mut book = book(10);
    book.add(BEGIN + 600, &sample(0.0, 0));
    book.add(BEGIN + 610, &sample(10.0, 50));
    let hour = book.series(Span::Hour);
    assert_eq!(hour.received_per_second[359], Some(5.0));
    assert_eq!(hour.received_per_second[308..359].iter().flatten().count(), 0, "off");
    assert_eq!(hour.received_per_second[307], Some(10.0));
}

#[test]
fn a_timer_that_was_late_leaves_none() {
    let mut book = book(3);
    book.add(BEGIN + 55, &Sample { dropped: 6, ..sample(35.0, 350) });
    let hour = book.series(Span::Hour);
    assert_eq!(hour.received_per_second[354..], [None, Some(10.0), Some(10.0), Some(10.0), Some(10.0), Some(10.0)]);
    assert_eq!(known(&hour.dropped).iter().sum::<f32>(), 6.0, "dropped once");
    assert_eq!(hour.sources["fw"][357..], [Some(10.0); 3]);
}

#[test]
fn a_clock_that_starts_in_1970_forgets_nothing_until_it_is_set() {
    let mut book = book(361);
    let before = book.series(Span::Hour);
    (0..30).for_each(|at| book.add(at * 10, &sample(10.0, 100)));
    assert_eq!(book.series(Span::Hour).received_per_second, before.received_per_second);
    book.add(BEGIN + 4_000, &sample(10.0, 100));
    assert_eq!(known(&book.series(Span::Hour).received_per_second).len(), 322);
}

#[test]
fn a_clock_that_stays_behind_is_believed_and_the_future_is_dropped() {
    let mut book = book(361);
    (0..90).for_each(|at| book.add(BEGIN - 86_400 + at * 10, &sample(10.0, 10)));
    let hour = book.series(Span::Hour);
    assert_eq!(known(&hour.received_per_second), vec![1.0; 31]);
    let day = book.series(Span::Day);
    assert!(known(&day.received_per_second).iter().all(|rate| *rate == 1.0), "{day:?}");
}

#[test]
fn a_second_back_is_no_leap() {
    let mut book = book(10);
    book.add(BEGIN + 89, &sample(10.0, 100));
    book.add(BEGIN + 101, &sample(10.0, 100));
    assert_eq!(known(&book.series(Span::Hour).received_per_second), vec![10.0; 10]);
}

#[test]
fn sources_beyond_the_bound_are_in_the_sum_only_and_those_that_are_gone_make_way() {
    let mut book = Book::default();
    let many = |from: usize, to: usize| Sample {
        seconds: 10.0,
        received: 10,
        sources: (from..to).map(|at| (format!("source_{at:03}"), 1)).collect(),
        ..Sample::default()
    };
    book.add(BEGIN, &many(0, 200));
    let series = book.series(Span::Day);
    assert_eq!((series.sources.len(), series.now.last_events.len(), series.now.sources.len()), (SOURCES, SOURCES, 200));
    book.add(BEGIN + 10, &many(100, 130));
    let series = book.series(Span::Day);
    assert!(series.sources.contains_key("source_129"), "those that are there have points");
    assert_eq!(series.sources.len(), SOURCES);
    book.add(BEGIN + 20, &Sample { sources: [("x".repeat(65), 1)].into(), ..Sample::default() });
    assert!(file::write(&book).len() <= file::MAX_BYTES);
    assert!(file::read(&file::write(&book)).is_some());
}

fn full() -> Book {
    let mut book = Book::default();
    for at in 0..400 {
        let sources = (0..SOURCES as u64).map(|id| (format!("{:063}{}", id, at % 2), at * id)).take(SOURCES);
        book.add(BEGIN + at * 10, &Sample { sources: sources.collect(), ..sample(10.0, at * 977) });
    }
    book
}

#[test]
fn the_file_holds_everything_and_stays_within_its_bound() {
    let book = full();
    let bytes = file::write(&book);
    assert!((160_000..file::MAX_BYTES).contains(&bytes.len()), "{}", bytes.len());
    let mut again = file::read(&bytes).unwrap();
    let mut book = Book::from_file(book.tracks.clone(), book.last_events.clone());
    for _ in 0..2 {
        for span in Span::ALL {
            assert_eq!(again.series(span), book.series(span));
        }
        // The cells that were not complete go on as if nothing had been.
        let next = sample(10.0, 1_234);
        book.add(BEGIN + 4_005, &next);
        again.add(BEGIN + 4_005, &next);
    }
}

#[test]
fn a_file_that_is_cut_or_flipped_is_refused() {
    let bytes = file::write(&book(40));
    assert!(file::read(&bytes).is_some());
    for cut in 0..bytes.len() {
        assert!(file::read(&bytes[..cut]).is_none(), "{cut}");
    }
    for at in (0..bytes.len()).step_by(7).chain(0..64) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x10;
        assert!(file::read(&bytes).is_none(), "{at}");
    }
}

#[test]
fn a_file_whose_sum_fits_is_still_not_believed_blindly() {
    let bytes = file::write(&book(40));
    let body = &bytes[..bytes.len() - 8];
    let sealed = |mut body: Vec<u8>| {
        body.extend(sum(&body).to_le_bytes());
        body
    };
    for cut in (0..body.len()).step_by(13) {
        assert!(file::read(&sealed(body[..cut].to_vec())).is_none(), "{cut}");
    }
    for at in (0..200).chain(body.len() - 2_100..body.len()) {
        let mut body = body.to_vec();
        body[at] = 0xff;
        if let Some(mut book) = file::read(&sealed(body)) {
            book.add(BEGIN, &sample(10.0, 1));
            Span::ALL.iter().for_each(|span| assert_eq!(book.series(*span).queued.len(), span.points()));
        }
    }
}

proptest! {
    #[test]
    fn no_clock_makes_it_panic_or_grow(steps in prop::collection::vec((any::<u64>(), 0..3_u8, 0.0..1e9_f64, any::<u64>()), 1..80)) {
        let mut book = Book::default();
        let mut at = BEGIN;
        for (number, kind, seconds, events) in steps {
            at = match kind {
                // Any time that a clock can say, a little forth, a little back.
                0 => number / 1_000_000,
                1 => at.saturating_add(number % 20_000),
                _ => at.saturating_sub(number % 20_000),
            };
            let sample = Sample { seconds, dropped: events, delivered_bytes: events, sent_bytes: number, oldest_seconds: Some(number), ..sample(seconds, events / 100) };
            book.add(at, &sample);
            for span in Span::ALL {
                let series = book.series(span);
                for points in [&series.received_per_second, &series.dropped, &series.queued, &series.oldest_seconds, &series.sources["fw"]] {
                    prop_assert_eq!(points.len(), span.points());
                    prop_assert!(points.iter().flatten().all(|point| *point >= 0.0));
                }
            }
        }
        prop_assert!(file::read(&file::write(&book)).is_some());
    }

    #[test]
    fn what_is_no_file_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..4_096)) {
        prop_assert!(file::read(&bytes).is_none());
    }

    #[test]
    fn nothing_that_was_dropped_is_lost_or_doubled(steps in prop::collection::vec((1_u64..40, 0_u64..1_000), 1..60)) {
        let mut book = Book::default();
        let (mut at, mut all) = (BEGIN, 0);
        for (seconds, dropped) in steps {
            at += seconds;
            all += dropped;
            book.add(at, &Sample { dropped, ..sample(seconds as f64, 1) });
        }
        for span in Span::ALL {
            prop_assert_eq!(known(&book.series(span).dropped).iter().sum::<f32>(), all as f32);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn it_reads_the_board_and_is_there_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("history");
    let micros = Arc::new(AtomicU64::new(BEGIN * 1_000_000));
    let clock = Clock::Fixed(Arc::clone(&micros));
    let board = Board::new(clock.clone());
    let source = board.handle(Component::Source, "fw");
    board.handle(Component::Queue, "queue").counters().set(Gauge::QueuedEvents, 7);
    let history = History::open(&folder, clock.clone());
    let stop = CancellationToken::new();
    let work = async {
        for _ in 0..100 {
            source.counters().add(Count::ReceivedEvents, 20);
            tokio::time::sleep(SAMPLE).await;
            micros.fetch_add(10_000_000, Ordering::Relaxed);
        }
        assert!(folder.join("history.bin").exists(), "it is written while the box runs");
        stop.cancel();
    };
    tokio::join!(biased; history.run(board.clone(), stop.clone()), work);
    let series = history.series(Span::Hour);
    let rates = known(&series.received_per_second);
    assert!(rates.len() >= 95 && rates.iter().all(|rate| *rate == 2.0), "{rates:?}");
    assert_eq!(known(&series.queued).last(), Some(&7.0));
    let again = History::open(&folder, clock).series(Span::Hour);
    assert_eq!((again.received_per_second, again.sources), (series.received_per_second, series.sources));
    assert_eq!(again.now.last_events, series.now.last_events);
}

#[test]
fn a_damaged_file_is_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("history.bin"), b"SE-HIST\x02of a later version").unwrap();
    let history = History::open(folder.path(), Clock::System);
    assert!(known(&history.series(Span::Day).queued).is_empty());
    assert!(folder.path().join("history.damaged").exists() && !folder.path().join("history.bin").exists());
}
