//! The end of the play: the account of the gateway's file, a row per source, and the verdict in words.

use std::io;
use std::path::Path;

use super::balance::{Balance, Faults, Tally};
use super::play::Outcome;
use super::screen::{Row, Screen, table};
use super::senders::SOURCES;
use super::{DemoError, Verdict};
use crate::quantity::thousands;
use crate::status::{Board, Component, Count};

/// Reads the file, prints the table and what is wrong, and judges.
pub(super) async fn settle(
    mut outcome: Outcome,
    events: &Path,
    edge: &Board,
    screen: &mut Screen<'_>,
) -> Result<Verdict, DemoError> {
    let (sent, path) = (std::mem::take(&mut outcome.sent), events.to_owned());
    let account = tokio::task::spawn_blocking(move || -> io::Result<_> {
        let mut balance = Balance::default();
        for (device, fingerprints) in sent {
            balance.expect(device.source, fingerprints);
        }
        balance.read(&path)?;
        Ok(balance.close())
    });
    let read = account.await.map_err(io::Error::other)?;
    let (tallies, faults) = read.map_err(|source| DemoError::Folder { path: events.to_owned(), source })?;
    let rows = rows(&tallies, edge);
    let verdict = judge(&rows, &faults, &outcome);
    for line in table(&rows, verdict == Verdict::Balanced).into_iter().chain(summary(&rows, &faults, &outcome, verdict))
    {
        screen.line(&line)?;
    }
    Ok(verdict)
}

fn rows(tallies: &[(String, Tally)], edge: &Board) -> Vec<Row> {
    let snapshot = edge.snapshot();
    let row = |(name, way): (&str, &str)| {
        let line = snapshot.line(Component::Source, name)?;
        let tally = tallies.iter().find(|(source, _)| source == name).map(|(_, tally)| tally.clone());
        let Tally { sent, delivered, repeats } = tally.unwrap_or_default();
        let (received, dropped) = (line.count(Count::ReceivedEvents), line.dropped_total());
        let balances = sent == received && received == delivered && dropped == 0;
        Some(Row { name: name.into(), way: way.into(), sent, received, delivered, dropped, repeats, balances })
    };
    SOURCES.into_iter().filter_map(row).collect()
}

fn judge(rows: &[Row], faults: &Faults, outcome: &Outcome) -> Verdict {
    let balances = rows.iter().all(|row| row.balances) && rows.iter().any(|row| row.sent > 0);
    if balances && faults.words().is_empty() && outcome.faults.is_empty() {
        Verdict::Balanced
    } else {
        Verdict::Unbalanced
    }
}

fn summary(rows: &[Row], faults: &Faults, outcome: &Outcome, verdict: Verdict) -> Vec<String> {
    let sent: u64 = rows.iter().map(|row| row.sent).sum();
    let seconds = outcome.sending.as_secs_f64();
    let rate = if seconds > 0.0 { (sent as f64 / seconds) as u64 } else { 0 };
    let mut lines = vec![format!("sent in {seconds:.1} s: {} events a second", thousands(rate))];
    if verdict == Verdict::Balanced {
        let words =
            "the balance is perfect: the gateway's file holds every event, by id and by content, and nothing else";
        lines.push(words.into());
    } else {
        lines.push("the balance is NOT perfect:".into());
        lines.extend(outcome.faults.iter().chain(&faults.words()).map(|words| format!("  {words}")));
        let rows = rows.iter().filter(|row| !row.balances);
        lines.extend(rows.map(|row| format!("  the row of {} does not balance", row.name)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::status::DropReason;

    fn board(received: u64) -> Board {
        let board = Board::new(Clock::System);
        for (source, _) in SOURCES {
            board.handle(Component::Source, source).counters().add(Count::ReceivedEvents, received);
        }
        board
    }

    fn tallies() -> Vec<(String, Tally)> {
        SOURCES.iter().map(|(name, _)| ((*name).to_owned(), Tally { sent: 10, delivered: 10, repeats: 3 })).collect()
    }

    #[test]
    fn only_a_play_in_which_everything_agrees_is_balanced() {
        let (faults, outcome) = (Faults::default(), Outcome::default());
        let good = rows(&tallies(), &board(10));
        assert_eq!(judge(&good, &faults, &outcome), Verdict::Balanced);

        assert_eq!(judge(&rows(&tallies(), &board(9)), &faults, &outcome), Verdict::Unbalanced, "received");
        let mut lost = tallies();
        lost[1].1.delivered = 9;
        assert_eq!(judge(&rows(&lost, &board(10)), &faults, &outcome), Verdict::Unbalanced, "delivered");
        let dropping = board(10);
        dropping.handle(Component::Source, "mail").counters().drop_events(DropReason::QueueFull, 1);
        assert_eq!(judge(&rows(&tallies(), &dropping), &faults, &outcome), Verdict::Unbalanced, "dropped");
        let invented = Faults { invented: 1, ..Faults::default() };
        assert_eq!(judge(&good, &invented, &outcome), Verdict::Unbalanced, "invented");
        let early = Outcome { faults: vec!["only 100 events waited on the disk".into()], ..Outcome::default() };
        assert_eq!(judge(&good, &faults, &early), Verdict::Unbalanced, "the play");
        let nothing = rows(&[], &board(0));
        assert_eq!(judge(&nothing, &faults, &outcome), Verdict::Unbalanced, "an empty play proves nothing");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let outcome = Outcome { faults: vec!["only 100 events waited on the disk".into()], ..Outcome::default() };
        let faults = Faults { missing: 2, ..Faults::default() };
        let lines = summary(&rows(&tallies(), &board(9)), &faults, &outcome, Verdict::Unbalanced).join("\n");
        for words in ["NOT perfect", "only 100 events", "2 sent but not in", "the row of mail does not balance"] {
            assert!(lines.contains(words), "{lines}");
        }
    }
}
