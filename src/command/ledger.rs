//! `ledger`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::queue::{code, print};
use super::table::{Align, table};
use super::{Where, small_runtime};
use crate::clock::Clock;
use crate::config::Config;
use crate::control::{Answer, Client, Request};
use crate::event::SourceId;
use crate::quantity::thousands;
use crate::queue::{Balance, Inspection, Totals};

#[derive(Args, Debug)]
pub(super) struct Options {
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
    /// Read the queue's files, whether an appliance runs or not, and count the events that are there.
    #[arg(long, conflicts_with = "socket")]
    offline: bool,
    #[command(flatten)]
    at: Where,
}

/// The balance of all sources.
#[derive(Debug, Serialize)]
struct Ledger {
    sources: BTreeMap<SourceId, Balance>,
    balances: bool,
}

pub(super) fn ledger(options: &Options) -> anyhow::Result<ExitCode> {
    let sources = if options.offline {
        let folder = Config::load(&options.at.config)?.queue_folder();
        Inspection::read(&folder, &Clock::System)?.ledger
    } else {
        small_runtime()?.block_on(ask(&options.at.socket()))?
    };
    let balances = sources.values().all(|balance| balance.balances);
    let ledger = Ledger { sources, balances };
    print(options.json, &ledger, || show(&ledger.sources))?;
    Ok(code(ledger.balances))
}

async fn ask(socket: &Path) -> anyhow::Result<BTreeMap<SourceId, Balance>> {
    match Client::ask(socket, &Request::Ledger).await?.next().await? {
        Some(Answer::Ledger(ledger)) => {
            let ledger: BTreeMap<SourceId, Totals> = serde_json::from_str(ledger.get())?;
            let balance = |(source, totals): (_, Totals)| {
                let queued = totals.queued();
                (source, Balance::of(totals, queued))
            };
            Ok(ledger.into_iter().map(balance).collect())
        }
        Some(Answer::Refused(why)) => anyhow::bail!(why),
        Some(other) => anyhow::bail!("the running program answered something else: {other:?}"),
        None => anyhow::bail!("the running program closed the connection without an answer; is it stopping?"),
    }
}

/// A line for each source, then what does not balance.
pub(super) fn show(sources: &BTreeMap<SourceId, Balance>) -> String {
    if sources.is_empty() {
        return "no source has received anything yet\n".to_owned();
    }
    let right = ["received", "delivered", "queued", "dropped"].map(|title| (title, Align::Right));
    let header: Vec<_> = [("source", Align::Left)]
        .into_iter()
        .chain(right)
        .chain([("", Align::Left), ("why dropped", Align::Left)])
        .collect();
    let rows: Vec<_> = sources.iter().map(row).collect();
    let mut text = table(&header, &rows);
    for (source, balance) in sources.iter().filter(|(_, balance)| !balance.balances) {
        let totals = &balance.totals;
        let sum = totals.delivered.saturating_add(totals.dropped()).saturating_add(balance.queued);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{source} does not balance: received {}, but delivered, queued and dropped are {} together",
            thousands(totals.received),
            thousands(sum)
        );
    }
    text
}

fn row((source, balance): (&SourceId, &Balance)) -> Vec<String> {
    let totals = &balance.totals;
    let numbers = [totals.received, totals.delivered, balance.queued, totals.dropped()].map(thousands);
    let why = totals.dropped.iter().filter(|(_, events)| **events > 0);
    let why: Vec<String> = why.map(|(reason, events)| format!("{} {}", reason.as_str(), thousands(*events))).collect();
    let verdict = if balance.balances { "balances" } else { "DOES NOT BALANCE" };
    [source.to_string()].into_iter().chain(numbers).chain([verdict.to_owned(), why.join(", ")]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::DropReason;

    #[test]
    fn each_source_has_a_line_and_what_does_not_balance_is_told() {
        let mut good = Totals { received: 12_000, delivered: 11_000, ..Totals::default() };
        good.dropped.extend([(DropReason::KernelBuffer, 3), (DropReason::NotAllowed, 40)]);
        let bad = Totals { received: 5, delivered: 4, ..Totals::default() };
        let queued = good.queued();
        let sources =
            BTreeMap::from([("firewalls".into(), Balance::of(good, queued)), ("mail".into(), Balance::of(bad, 3))]);
        let expected = "\
source     received  delivered  queued  dropped                    why dropped
firewalls    12,000     11,000     957       43  balances          kernel_buffer 3, not_allowed 40
mail              5          4       3        0  DOES NOT BALANCE
mail does not balance: received 5, but delivered, queued and dropped are 7 together
";
        assert_eq!(show(&sources), expected);
        assert_eq!(show(&BTreeMap::new()), "no source has received anything yet\n");
    }
}
