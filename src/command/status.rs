//! `status`.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, sleep};

use super::table::{Align, table};
use super::{Where, small_runtime};
use crate::control::{Answer, Client, Request};
use crate::quantity::{thousands, uptime};
use crate::status::{Component, Count, Gauge, Health, Line, Snapshot};

/// How long rates are measured.
const MEASURE: Duration = Duration::from_secs(1);

#[derive(Args, Debug)]
pub(super) struct Options {
    /// Print the whole status as JSON.
    #[arg(long, conflicts_with = "rate")]
    json: bool,
    /// Also show events per second, measured over the next second.
    #[arg(long)]
    rate: bool,
    #[command(flatten)]
    at: Where,
}

pub(super) fn status(options: &Options) -> anyhow::Result<ExitCode> {
    let socket = options.at.socket();
    let (snapshot, before) = small_runtime()?.block_on(async {
        if !options.rate {
            return anyhow::Ok((ask(&socket).await?, None));
        }
        let (begin, before) = (Instant::now(), ask(&socket).await?);
        sleep(MEASURE).await;
        let now = ask(&socket).await?;
        Ok((now, Some((before, begin.elapsed()))))
    })?;
    let failed = snapshot.components.iter().any(|line| matches!(line.health, Health::Failed(_)));
    let mut out = io::stdout().lock();
    if options.json {
        serde_json::to_writer_pretty(&mut out, &snapshot).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", show(&snapshot, before.as_ref().map(|(snapshot, time)| (snapshot, *time))))?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

pub(super) async fn ask(socket: &Path) -> anyhow::Result<Snapshot> {
    match Client::ask(socket, &Request::Status).await?.next().await? {
        Some(Answer::Status(snapshot)) => Ok(serde_json::from_str(snapshot.get())?),
        Some(Answer::Refused(why)) => anyhow::bail!(why),
        Some(other) => anyhow::bail!("the running program answered something else: {other:?}"),
        None => anyhow::bail!("the running program closed the connection without an answer; is it stopping?"),
    }
}

/// The status as people read it: a table, then every fault.
fn show(snapshot: &Snapshot, before: Option<(&Snapshot, Duration)>) -> String {
    let (version, up) = (&snapshot.version, uptime(snapshot.uptime_seconds));
    let mut text = format!("sapphire-edge {version}, up {up}\n{}\n\n", snapshot.support.words);
    let left = ["component", "id", "health"].map(|title| (title, Align::Left));
    let right = ["received", "delivered", "queued", "dropped", "events/s"].map(|title| (title, Align::Right));
    let header: Vec<_> = left.into_iter().chain(right).collect();
    let rows: Vec<_> = snapshot.components.iter().map(|line| row(line, before)).collect();
    text.push_str(&table(&header, &rows));
    for line in &snapshot.components {
        if let Some([which, what, todo]) = line.trouble() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n{which}\n  {what}\n  {todo}\n");
        }
    }
    text
}

fn row(line: &Line, before: Option<(&Snapshot, Duration)>) -> Vec<String> {
    let count = |count| thousands(line.count(count));
    let (received, delivered, moved) = match line.component {
        Component::Source => (count(Count::ReceivedEvents), String::new(), Some(Count::ReceivedEvents)),
        Component::Output => (String::new(), count(Count::DeliveredEvents), Some(Count::DeliveredEvents)),
        Component::Queue | Component::Box => (String::new(), String::new(), None),
    };
    let waits = matches!(line.component, Component::Queue | Component::Output);
    let queued = if waits { thousands(line.gauge(Gauge::QueuedEvents)) } else { String::new() };
    let drops = line.component != Component::Box;
    let dropped = if drops { thousands(line.dropped_total()) } else { String::new() };
    let rate = moved.zip(before).map(|(moved, (before, time))| {
        let earlier = before.line(line.component, &line.id).map_or(0, |line| line.count(moved));
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
        thousands(line.count(moved).saturating_sub(earlier).saturating_mul(1_000) / millis)
    });
    let words = [line.component.as_str().to_owned(), line.id.clone(), line.health.word().to_owned()];
    words.into_iter().chain([received, delivered, queued, dropped, rate.unwrap_or_default()]).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::clock::Clock;
    use crate::status::{Board, DropReason};

    #[test]
    fn the_table_has_a_line_each_and_the_faults_say_what_to_do() {
        let micros = Arc::new(AtomicU64::new(0));
        let board = Board::new(Clock::Fixed(Arc::clone(&micros)));
        let source = board.handle(Component::Source, "firewalls");
        source.set(Health::Healthy);
        source.counters().add(Count::ReceivedEvents, 1_000);
        let output = board.handle(Component::Output, "gateway");
        output.counters().add(Count::DeliveredEvents, 400);
        output.set(Health::failed("no gateway answers: connection refused", "check that the gateway runs"));
        let before = board.snapshot();
        source.counters().add(Count::ReceivedEvents, 234_567);
        source.counters().drop_events(DropReason::KernelBuffer, 3);
        output.counters().set(Gauge::QueuedEvents, 235_167);
        micros.store(3_725_000_000, Ordering::Relaxed);
        let text = show(&board.snapshot(), Some((&before, Duration::from_millis(2_000))));
        let expected = "\
sapphire-edge VERSION, up 1 h 2 min
It is not known until when this version gets security updates.

component  id         health   received  delivered   queued  dropped  events/s
source     firewalls  healthy   235,567                            3   117,283
output     gateway    failed                   400  235,167        0         0

output gateway is failed since 1970-01-01T00:00:00.000Z
  no gateway answers: connection refused
  to do: check that the gateway runs
"
        .replace("VERSION", env!("CARGO_PKG_VERSION"));
        assert_eq!(text, expected);
    }
}
