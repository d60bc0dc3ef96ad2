//! What the demo shows: lines that stay, one live line, and the table at the end.
//!
//! On a terminal the live line is written over itself five times a second; elsewhere it is a plain line every second.

use std::io::{self, Write};
use std::time::Duration;

use tokio::time::Instant;

use crate::quantity::thousands;

/// Where the demo prints.
pub struct Screen<'a> {
    out: &'a mut (dyn Write + Send),
    terminal: bool,
    /// The live line stands on the last line of the terminal.
    standing: bool,
    shown: Option<Instant>,
}

impl std::fmt::Debug for Screen<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen").field("terminal", &self.terminal).finish_non_exhaustive()
    }
}

/// The numbers of the live line.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reading {
    /// Time since the play began.
    pub(super) at: Duration,
    /// Events the box takes each second.
    pub(super) rate: u64,
    /// Events that wait in the box for the gateway.
    pub(super) queued: u64,
    /// Events the gateway has acknowledged.
    pub(super) delivered: u64,
    /// Event bytes for each byte sent to the gateway; none before the first.
    pub(super) wire: Option<f64>,
    /// Event bytes for each byte written to the disk; none before the first.
    pub(super) disk: Option<f64>,
}

/// One row of the table.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) way: String,
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) delivered: u64,
    pub(super) dropped: u64,
    pub(super) repeats: u64,
    pub(super) balances: bool,
}

impl<'a> Screen<'a> {
    /// A screen that writes to `out`; `terminal` says whether a line can be written over.
    pub fn new(out: &'a mut (dyn Write + Send), terminal: bool) -> Self {
        Self { out, terminal, standing: false, shown: None }
    }

    /// Prints a line that stays.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        if self.standing {
            // The live line makes way.
            write!(self.out, "\r\x1b[K")?;
            self.standing = false;
        }
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// Shows the live line, if it is time to.
    pub(super) fn live(&mut self, reading: &Reading, now: &str) -> io::Result<()> {
        let every = Duration::from_millis(if self.terminal { 200 } else { 1_000 });
        let due_at = self.shown.map(|shown| shown + every);
        if due_at.is_some_and(|due| due > Instant::now()) {
            return Ok(());
        }
        // Counted from when it was due, so that a late line does not make all others late.
        self.shown = due_at.filter(|due| due.elapsed() < every).or_else(|| Some(Instant::now()));
        let text = reading.line(now);
        if self.terminal {
            // What does not fit is cut off, not wrapped (DECAWM): a second line could not be written over.
            write!(self.out, "\r\x1b[?7l{text}\x1b[K\x1b[?7h")?;
            self.standing = true;
        } else {
            writeln!(self.out, "{text}")?;
        }
        self.out.flush()
    }
}

impl Reading {
    fn line(&self, now: &str) -> String {
        let ratio = |ratio: Option<f64>| ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.1}x"));
        format!(
            "{:5.1} s  {:>6} events/s  queued {:>7}  delivered {:>9}  compression {} sent {} disk  {now}",
            self.at.as_secs_f64(),
            thousands(self.rate),
            thousands(self.queued),
            thousands(self.delivered),
            ratio(self.wire),
            ratio(self.disk),
        )
    }
}

/// The table, with a row of sums below; `balances` is what can be said of the whole.
pub(super) fn table(rows: &[Row], balances: bool) -> Vec<String> {
    let mut total = Row { name: "all".into(), balances, ..Row::default() };
    for row in rows {
        total.sent += row.sent;
        total.received += row.received;
        total.delivered += row.delivered;
        total.dropped += row.dropped;
        total.repeats += row.repeats;
    }
    let head = "source       by          sent    received   delivered   dropped   repeats   balances";
    let show = |row: &Row| {
        format!(
            "{:<12} {:<4} {:>11} {:>11} {:>11} {:>9} {:>9}   {}",
            row.name,
            row.way,
            thousands(row.sent),
            thousands(row.received),
            thousands(row.delivered),
            thousands(row.dropped),
            thousands(row.repeats),
            if row.balances { "yes" } else { "NO" },
        )
    };
    let mut lines = vec![head.to_owned(), "-".repeat(head.len())];
    lines.extend(rows.iter().map(show));
    lines.push("-".repeat(head.len()));
    lines.push(show(&total));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lines_up_and_adds_up() {
        let good = Row {
            name: "firewalls".into(),
            way: "UDP".into(),
            sent: 60_000,
            received: 60_000,
            delivered: 60_000,
            dropped: 0,
            repeats: 12,
            balances: true,
        };
        let bad =
            Row { name: "mail".into(), way: "TCP".into(), sent: 1_000, received: 999, balances: false, ..good.clone() };
        let lines = table(&[good, bad], false);
        let expected = [
            "source       by          sent    received   delivered   dropped   repeats   balances",
            "------------------------------------------------------------------------------------",
            "firewalls    UDP       60,000      60,000      60,000         0        12   yes",
            "mail         TCP        1,000         999      60,000         0        12   NO",
            "------------------------------------------------------------------------------------",
            "all                    61,000      60,999     120,000         0        24   NO",
        ];
        assert_eq!(lines, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn the_live_line_is_written_over_on_a_terminal_and_every_second_elsewhere() {
        let reading = Reading {
            at: Duration::from_millis(1_500),
            rate: 9_012,
            queued: 54_321,
            wire: Some(7.25),
            ..Reading::default()
        };
        let mut shown = Vec::new();
        for terminal in [true, false] {
            let mut out = Vec::new();
            let mut screen = Screen::new(&mut out, terminal);
            for _ in 0..11 {
                screen.live(&reading, "the gateway is cut off").unwrap();
                tokio::time::advance(Duration::from_millis(100)).await;
            }
            screen.line("stays").unwrap();
            shown.push(String::from_utf8(out).unwrap());
        }
        let line = "  1.5 s   9,012 events/s  queued  54,321  delivered         0  compression 7.2x sent - disk  the gateway is cut off";
        assert_eq!(shown[0], format!("{}\r\x1b[Kstays\n", format!("\r\x1b[?7l{line}\x1b[K\x1b[?7h").repeat(6)));
        assert_eq!(shown[1], format!("{line}\n{line}\nstays\n"));
    }
}
