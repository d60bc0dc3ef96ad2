//! What `queue inspect` prints.

use std::path::Path;

use super::ledger;
use super::table::{Align, table};
use crate::quantity::{age, size, thousands};
use crate::queue::Inspection;

/// The inspection as people read it.
pub(super) fn show(folder: &Path, seen: &Inspection) -> String {
    let mut text = head(folder, seen);
    let mut part = |part: String| {
        text.push('\n');
        text.push_str(&part);
    };
    part(segments(seen));
    if !seen.outputs.is_empty() {
        part(outputs(seen));
    }
    if !seen.checkpoints.is_empty() {
        part(checkpoints(seen));
    }
    part(ledger::show(&seen.ledger));
    if !seen.damage.is_empty() {
        part(seen.damage.iter().map(|finding| format!("damaged: {finding}\n")).collect());
    }
    text
}

fn head(folder: &Path, seen: &Inspection) -> String {
    let at = seen.written_at.as_deref().unwrap_or("never");
    let how = match (seen.running, seen.closed) {
        (true, _) => format!("a running program has it open, its state was last written at {at}"),
        (false, true) => format!("it was closed in good order at {at}"),
        (false, false) => format!("it was not closed in good order, its state was last written at {at}"),
    };
    let appliance = seen.appliance.as_deref().unwrap_or("not known");
    format!(
        "queue {}\n  {how}\n  appliance id {appliance}\n  {} in {} segments\n  batches below {} are written, numbers below {} are reserved\n",
        folder.display(),
        size(seen.bytes),
        seen.segments.len(),
        seen.written,
        seen.reserved,
    )
}

fn segments(seen: &Inspection) -> String {
    let right = |title| (title, Align::Right);
    let header = [right("segment"), right("size"), right("batches"), right("first"), right("last"), right("events")];
    let more = [right("undelivered"), right("before compression"), right("oldest"), ("received", Align::Left)];
    let header: Vec<_> = header.into_iter().chain(more).collect();
    let rows: Vec<Vec<String>> = seen
        .segments
        .iter()
        .map(|segment| {
            let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
            let batches =
                [number(segment.numbers.map(|(first, _)| first)), number(segment.numbers.map(|(_, last)| last))];
            let before = [segment.number.to_string(), size(segment.bytes), thousands(segment.batches)];
            let after = [
                thousands(segment.events),
                thousands(segment.undelivered),
                size(segment.raw_bytes),
                segment.age_seconds.map(age).unwrap_or_default(),
                segment.first_received.clone().unwrap_or_default(),
            ];
            before.into_iter().chain(batches).chain(after).collect()
        })
        .collect();
    table(&header, &rows)
}

fn outputs(seen: &Inspection) -> String {
    let header = [
        ("output", Align::Left),
        ("waiting batches", Align::Right),
        ("events", Align::Right),
        ("next batch", Align::Right),
        ("", Align::Left),
        ("needs no more", Align::Left),
    ];
    let rows: Vec<Vec<String>> = seen
        .outputs
        .iter()
        .map(|output| {
            let ranges = output.done.iter().take(RANGES).map(|(start, end)| format!("{start}..{end}"));
            let mut ranges: Vec<String> = ranges.collect();
            if output.done.len() > RANGES {
                ranges.push(format!("and {} more ranges", output.done.len() - RANGES));
            }
            vec![
                output.id.to_string(),
                thousands(output.waiting_batches),
                thousands(output.waiting_events),
                output.next.map(|next| next.to_string()).unwrap_or_default(),
                if output.may_skip { "may skip".to_owned() } else { String::new() },
                ranges.join(" "),
            ]
        })
        .collect();
    table(&header, &rows)
}

/// More ranges than this are not shown; `--json` has them all.
const RANGES: usize = 6;

fn checkpoints(seen: &Inspection) -> String {
    let header = [("source", Align::Left), ("feed", Align::Left), ("keys", Align::Right), ("size", Align::Right)];
    let feeds = seen.checkpoints.iter();
    let rows =
        feeds.map(|feed| vec![feed.source.to_string(), feed.feed.clone(), thousands(feed.keys), size(feed.bytes)]);
    table(&header, &rows.collect::<Vec<_>>())
}
