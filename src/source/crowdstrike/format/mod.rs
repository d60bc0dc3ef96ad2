//! The form in which events go on: JSON as it came, or CEF or LEEF as the vendor's SIEM connector writes them.
//!
//! In: a line of a stream. Out: the bytes of a record. A line that cannot be mapped (cut, or no object) goes on as it came, behind
//! the same syslog header.
//!
//! Decision: DESIGN keeps records raw and forms them on the way out. CEF and LEEF are formed here, at intake, because an administrator
//! who asks for them moves from the vendor's connector and wants its lines in place of the JSON, with rules that are the source's own;
//! so no output has to know this vendor. Each record then is a syslog message and goes on like any other: the text byte by byte
//! through the syslog output, parsed for the others. Its id is the event's own either way, so a change of `format` repeats nothing.
//! Who wants the original leaves `format` at JSON.
//!
//! Facts: `<134>Mar  5 10:15:30 host CEF:0|…` (local0.info, RFC 3164 header; captures of the connector in public rule sets). Here the
//! time is the event's own, in UTC, and the host is the source's id.
//!
//! Not supported: lines of their own for the lists inside a detection (DNS requests, files written and others); they are in the JSON.

pub(in crate::source::crowdstrike) mod ini;
mod rules;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use serde_json::value::RawValue;

use self::rules::{Rule, Rules, Term};
use super::event::Metadata;
use super::settings::FalconFormat;
use crate::clock::Timestamp;
use crate::event::Kind;

/// A file of mapping rules has some 30 KiB.
const MOST_RULES: u64 = 1 << 20;
/// Above it a time is in milliseconds, below in seconds: the vendor uses both, and this is the year 5138 or 1973.
const MILLISECONDS_FROM: u64 = 100_000_000_000;

/// Forms the records of a source.
#[derive(Debug)]
pub(super) struct Mapper {
    host: String,
    /// None for JSON.
    rules: Option<Rules>,
}

type Members<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

impl Mapper {
    /// With the rules of a file on top of the built-in ones. `host` stands in the syslog header.
    ///
    /// # Errors
    /// In words, what is wrong with the file.
    pub(super) fn open(format: FalconFormat, file: Option<&Path>, host: &str) -> Result<Self, String> {
        let mut rules = match format {
            FalconFormat::Json => None,
            FalconFormat::Cef => Some(Rules::built_in(false)),
            FalconFormat::Leef => Some(Rules::built_in(true)),
        };
        if let (Some(rules), Some(file)) = (&mut rules, file) {
            let shown = file.display();
            let size = std::fs::metadata(file).map_err(|error| format!("{shown}: {error}"))?.len();
            if size > MOST_RULES {
                return Err(format!("{shown} is larger than 1 MiB and no file of mapping rules"));
            }
            let text = std::fs::read_to_string(file).map_err(|error| format!("{shown}: {error}"))?;
            rules.change(&text).map_err(|words| format!("{shown}: {words}"))?;
        }
        Ok(Self { host: host.to_owned(), rules })
    }

    /// What the records are.
    pub(super) fn kind(&self) -> Kind {
        if self.rules.is_none() { Kind::Pulled } else { Kind::Syslog }
    }

    /// The record of a line. `now` is its time where it names none.
    pub(super) fn form(&self, line: &Bytes, metadata: Option<&Metadata>, now: Timestamp) -> Bytes {
        let Some(rules) = &self.rules else { return line.clone() };
        let time = metadata.and_then(|metadata| metadata.created).map_or(now, |ms| Timestamp(ms.saturating_mul(1_000)));
        let mut text = format!("<134>{} {} ", stamp(time, "%b %e %H:%M:%S"), self.host);
        let rule = metadata.and_then(|metadata| rules.of(&metadata.event_type));
        let members = serde_json::from_slice::<Members<'_>>(line).ok();
        let Some((rule, members)) = rule.zip(members) else {
            text.push_str("falcon: ");
            return Bytes::from([text.as_bytes(), line].concat());
        };
        text.push_str(&rules.write(rule, &members));
        Bytes::from(text)
    }
}

impl Rules {
    fn write(&self, rule: &Rule, members: &Members<'_>) -> String {
        let mut text = self.prefix.clone();
        for from in rule.header.values() {
            text.push_str(&escaped(&value(from, members).unwrap_or_default(), &self.escape_header));
            text.push_str(&self.header_delimiter);
        }
        let has = |key: &str| {
            let field = rule.fields.iter().find(|(name, _)| name == key);
            field.is_none_or(|(_, from)| value(from, members).is_some())
        };
        let mut is_first = true;
        for (key, from) in &rule.fields {
            let found = value(from, members);
            let is_label_of_nothing = key.strip_suffix("Label").is_some_and(|key| !has(key));
            if !self.writes_empty && (found.is_none() || is_label_of_nothing) {
                continue;
            }
            let found = found.unwrap_or_default();
            let found = if self.time_fields.iter().any(|name| name == key) {
                moment(&found).map_or(found, |time| stamp(time, &self.time_format).into())
            } else {
                found
            };
            if !std::mem::take(&mut is_first) {
                text.push_str(&self.field_delimiter);
            }
            text.push_str(key);
            text.push('=');
            text.push_str(&escaped(&found, &self.escape_fields));
        }
        // Whatever the rules: a record is one line.
        if text.contains(['\n', '\r']) { text.replace(['\n', '\r'], " ") } else { text }
    }
}

/// The text of a value; numbers as they are written, objects and lists as JSON; `None` for null and what is not there.
fn value<'a>(from: &'a Term, members: &Members<'a>) -> Option<Cow<'a, str>> {
    let path = match from {
        Term::Literal(text) => return Some(Cow::Borrowed(text)),
        Term::Path(path) => path,
    };
    let (first, rest) = path.split_first()?;
    let mut raw: &'a RawValue = members.get(first.as_str())?;
    for name in rest {
        raw = serde_json::from_str::<Members<'a>>(raw.get()).ok()?.get(name.as_str())?;
    }
    match raw.get() {
        "null" => None,
        text if text.starts_with('"') => serde_json::from_str::<String>(text).ok().map(Cow::Owned),
        text => Some(Cow::Borrowed(text)),
    }
}

fn escaped(text: &str, escapes: &[(String, String)]) -> String {
    let mut all = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let found = escapes.iter().find_map(|(from, to)| Some((rest.strip_prefix(from.as_str())?, to)));
        rest = match found.filter(|(after, _)| after.len() < rest.len()) {
            Some((after, to)) => {
                all.push_str(to);
                after
            }
            None => {
                all.push(c);
                rest.split_at(c.len_utf8()).1
            }
        };
    }
    all
}

/// Seconds or milliseconds since 1970.
fn moment(text: &str) -> Option<Timestamp> {
    let number: u64 = text.parse().ok()?;
    let milliseconds = if number > MILLISECONDS_FROM { number } else { number.checked_mul(1_000)? };
    milliseconds.checked_mul(1_000).map(Timestamp)
}

/// A time in UTC.
fn stamp(time: Timestamp, format: &str) -> String {
    let micros = i64::try_from(time.micros()).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_microsecond(micros).unwrap_or_default();
    jiff::fmt::strtime::format(format, time).unwrap_or_else(|_| time.to_string())
}
