//! The logs: windows, order, cursors, limits, and what is too young to be shown.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included};

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Entry, LOGS, Request, Response, State, now, record, refusal};

/// What is younger than this is not shown, in milliseconds.
const DELAY: i64 = 120_000;
const DAY: i64 = 86_400_000;

fn invalid(detail: &str) -> Response {
    refusal(2, 400, "Invalid request parameters", Some(detail))
}

/// A log's records that are shown, oldest first.
type Shown<'a> = Vec<(&'a (i64, String), &'a Entry)>;

fn shown<'a>(entries: &'a BTreeMap<(i64, String), Entry>, from: i64, to: i64, now: i64) -> Shown<'a> {
    if from > to {
        return Vec::new();
    }
    let range = entries.range((from, String::new())..(to + 1, String::new()));
    range.filter(|(_, entry)| entry.listed <= now / 1_000).collect()
}

fn page(log: &str, records: &[(&(i64, String), &Entry)]) -> Vec<Box<RawValue>> {
    let text = |(key, entry): &(&(i64, String), &Entry)| match entry.text.as_str() {
        "" => record(log, &key.1, key.0),
        text => text.to_owned(),
    };
    records.iter().map(|record| RawValue::from_string(text(record)).unwrap()).collect()
}

/// The answer, with each record's own text.
fn good(name: Option<&str>, records: &[Box<RawValue>], metadata: &Value) -> Response {
    let records = serde_json::to_string(records).unwrap();
    let response = match name {
        Some(name) => format!("{{\"{name}\": {records}, \"metadata\": {metadata}}}"),
        None => records,
    };
    Response::text(200, &format!("{{\"response\": {response}, \"stat\": \"OK\"}}"))
}

pub fn answer(state: &mut State, request: &Request) -> Response {
    let known = |path: &str| LOGS.into_iter().find(|log| path.rsplit('/').next() == Some(*log));
    let (log, version) = match request.path.as_str() {
        "/admin/v1/trust_monitor/events" => ("trust_monitor", 0),
        path if path.starts_with("/admin/v2/logs/") => (known(path).unwrap_or_default(), 2),
        path if path.starts_with("/admin/v1/logs/") => (known(path).unwrap_or_default(), 1),
        _ => ("", 0),
    };
    let is_there = matches!(
        (log, version),
        ("authentication" | "telephony" | "activity", 2)
            | ("administrator" | "offline_enrollment", 1)
            | ("trust_monitor", 0)
    );
    if !is_there {
        return refusal(1, 404, "Resource not found", None);
    }
    if state.forbidden.contains(log) {
        return refusal(1, 403, "Access forbidden", None);
    }
    let allowed: &[&str] = match version {
        2 => &["mintime", "maxtime", "limit", "sort", "next_offset"],
        1 => &["mintime"],
        _ => &["mintime", "maxtime", "limit", "offset", "type"],
    };
    if let Some((name, _)) = request.query.iter().find(|(name, _)| !allowed.contains(&name.as_str())) {
        state.sins.push(format!("{log} has no parameter {name}"));
    }
    if version == 1 { earliest(state, log, request) } else { window(state, log, request) }
}

/// Version 1: the earliest records from a second on.
fn earliest(state: &State, log: &str, request: &Request) -> Response {
    let from = match request.query("mintime").unwrap_or("0").parse::<i64>() {
        Ok(seconds) if seconds < 100_000_000_000 => seconds * 1_000,
        _ => return invalid("mintime"),
    };
    let now = (now() + state.ahead) * 1_000;
    let all = shown(&state.logs[log], from, now - DELAY, now);
    let mut records = page(log, &all[..all.len().min(state.earliest)]);
    if state.shuffles {
        records.reverse();
    }
    good(None, &records, &Value::Null)
}

/// The others: a window in milliseconds.
fn window(state: &mut State, log: &str, request: &Request) -> Response {
    let is_trust = log == "trust_monitor";
    let now = (now() + state.ahead) * 1_000;
    let millis =
        |name: &str| request.query(name).filter(|text| text.len() == 13).and_then(|text| text.parse::<i64>().ok());
    let (Some(from), Some(to)) = (millis("mintime"), millis("maxtime")) else { return invalid("mintime and maxtime") };
    if from >= to {
        return invalid("maxtime must be greater than mintime");
    }
    if from < now - 180 * DAY {
        return invalid("mintime is more than 180 days ago");
    }
    if !is_trust && to > now - DELAY + 5_000 {
        state.sins.push(format!("{log} was asked for what is younger than two minutes"));
    }
    let (default, most) = if is_trust { (50, 200) } else { (100, 1_000) };
    let limit = match request.query("limit").map_or(Ok(default), str::parse::<usize>) {
        Ok(limit) if (1..=most).contains(&limit) => limit.min(state.page),
        _ => return invalid("limit"),
    };
    if is_trust {
        return unordered(log, request, &shown(&state.logs[log], from, to.min(now), now), limit);
    }
    ordered(state, log, request, (from, to.min(now - DELAY)), now, limit)
}

fn ordered(state: &State, log: &str, request: &Request, (from, to): (i64, i64), now: i64, limit: usize) -> Response {
    let is_descending = match request.query("sort").unwrap_or("ts:desc") {
        "ts:asc" => false,
        "ts:desc" => true,
        _ => return invalid("sort"),
    };
    // Either form: once with a comma, or twice.
    let given: Vec<&str> = request
        .query
        .iter()
        .filter(|(name, _)| name == "next_offset")
        .flat_map(|(_, value)| value.split(','))
        .collect();
    let (mut low, mut high) = (Included((from, String::new())), Excluded((to.max(from) + 1, String::new())));
    match given[..] {
        [] => {}
        [time, id] => {
            let Ok(time) = time.parse::<i64>() else { return invalid("next_offset") };
            let cursor = (time, id.to_owned());
            if !(from..=to).contains(&time) || !state.logs[log].contains_key(&cursor) {
                return invalid("next_offset");
            }
            let at = if state.repeats { Included(cursor) } else { Excluded(cursor) };
            *(if is_descending { &mut high } else { &mut low }) = at;
        }
        _ => return invalid("next_offset"),
    }
    let range = state.logs[log].range((low, high)).filter(|(_, entry)| entry.listed <= now / 1_000);
    let mut part: Shown<'_> =
        if is_descending { range.rev().take(limit + 1).collect() } else { range.take(limit + 1).collect() };
    let is_more = part.len() > limit;
    part.truncate(limit);
    let next = part.last().filter(|_| is_more).map(|((time, id), _)| (time.to_string(), id));
    let mut records = page(log, &part);
    if state.shuffles {
        records.reverse();
    }
    let total = state.logs[log].len();
    if log == "authentication" {
        let next = next.map_or(Value::Null, |(time, id)| json!([time, id]));
        return good(Some("authlogs"), &records, &json!({ "next_offset": next, "total_objects": total }));
    }
    let next = next.map_or(Value::Null, |(time, id)| json!(format!("{time},{id}")));
    let total = json!({ "relation": "eq", "value": total });
    good(Some("items"), &records, &json!({ "next_offset": next, "total_objects": total }))
}

/// Trust Monitor: newest first, with a cursor that means nothing to others.
fn unordered(log: &str, request: &Request, all: &Shown<'_>, limit: usize) -> Response {
    let skip = match request.query("offset").map_or(Some(0), |text| text.strip_prefix("cursor-")?.parse::<usize>().ok())
    {
        Some(skip) => skip.min(all.len()),
        None => return invalid("offset"),
    };
    let newest: Vec<_> = all.iter().rev().skip(skip).take(limit).copied().collect();
    let end = skip + newest.len();
    let next = if end < all.len() { json!(format!("cursor-{end}")) } else { Value::Null };
    good(Some("events"), &page(log, &newest), &json!({ "next_offset": next }))
}
