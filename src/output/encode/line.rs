//! A record of a pushed file: the device's text with its place in the file.

use super::{Encoded, Encoder, json, oddities};
use crate::clock::Timestamp;
use crate::event::{Line, LineFormat, Record};
use crate::wire::syslog::{Marks, Text};

/// `Tue Mar  5 10:15:30 2024`: weekday, month, day, time, year (observed in Cisco's samples of mail_logs).
const STAMP: usize = 24;

impl Encoder {
    pub(super) fn write_line(&mut self, record: &Record<'_>, to: &mut Vec<u8>) -> Encoded {
        // The source wrote it; if it cannot be read back the bytes still go out, marked.
        let found = Line::read(record.bytes);
        let line = found.unwrap_or(Line {
            format: LineFormat::Text,
            number: 0,
            offset: 0,
            path: "",
            fields: "",
            bytes: record.bytes,
        });
        let text = Text::of(line.bytes);
        let head = Head::of(text.as_str(), line.format);
        let time = head.time.and_then(|time| self.utc(&time)).unwrap_or(record.received);
        self.begin(time, &text, to);
        to.extend_from_slice(br#"},"log":{"file":{"path":"#);
        json::string(to, line.path);
        to.extend_from_slice(br#"},"offset":"#);
        json::number(to, line.offset);
        json::member(to, "level", head.level);
        to.push(b'}');
        let device = record.origin.name.as_deref();
        self.about(device, to);
        json::member(to, "format", Some(line.format.as_str()));
        json::member(to, "file", line.path.rsplit('/').next());
        to.extend_from_slice(br#","line":"#);
        json::number(to, line.number);
        columns(line.fields, text.as_str(), to);
        let marks: &[&str] = if found.is_none() { &["unparsed"] } else { &[] };
        let exact = text.is_exact();
        oddities(Marks::default(), marks, exact, &Record { bytes: line.bytes, ..*record }, to);
        to.extend_from_slice(b"}}");
        Encoded { unparsed: found.is_none() }
    }

    /// A time of the device's zone.
    fn utc(&self, time: &jiff::civil::DateTime) -> Option<Timestamp> {
        let zoned = time.to_zoned_datetime(self.zone.clone()).ok()?;
        u64::try_from(zoned.timestamp().as_microsecond()).ok().map(Timestamp)
    }
}

/// What stands before a record's text.
#[derive(Debug, Default)]
struct Head<'a> {
    time: Option<jiff::civil::DateTime>,
    level: Option<&'a str>,
}

impl<'a> Head<'a> {
    fn of(text: &'a str, format: LineFormat) -> Self {
        if !matches!(format, LineFormat::Asyncos | LineFormat::Cef) {
            return Self::default();
        }
        let Some((stamp, rest)) = text.split_at_checked(STAMP) else { return Self::default() };
        let time = jiff::civil::DateTime::strptime("%a %b %e %H:%M:%S %Y", stamp).ok();
        let level = rest.strip_prefix(' ').and_then(|rest| rest.split_once(':')).map(|(level, _)| level);
        let is_level = |word: &&str| matches!(*word, "Critical" | "Warning" | "Info" | "Debug" | "Trace");
        Self { level: level.filter(|_| time.is_some()).filter(is_level), time }
    }
}

/// `,"fields":{…}`: the columns of a W3C line by their names. Surplus ones are left to `message`.
fn columns(names: &str, text: &str, to: &mut Vec<u8>) {
    let mut open: &[u8] = br#","fields":{"#;
    let mut seen: Vec<&str> = Vec::new();
    for (name, value) in names.split_ascii_whitespace().zip(Values(text)) {
        if value == "-" || seen.contains(&name) {
            continue;
        }
        seen.push(name);
        to.extend_from_slice(open);
        json::string(to, name);
        to.push(b':');
        json::string(to, value);
        open = b",";
    }
    if !seen.is_empty() {
        to.push(b'}');
    }
}

/// The columns of a line: separated by blanks or tabs, a quoted one without its quotes.
struct Values<'a>(&'a str);

impl<'a> Iterator for Values<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.0.trim_start_matches([' ', '\t']);
        if rest.is_empty() {
            return None;
        }
        let quoted = rest.strip_prefix('"').and_then(|rest| rest.split_once('"'));
        let (value, rest) = quoted.or_else(|| rest.split_once([' ', '\t'])).unwrap_or((rest, ""));
        self.0 = rest;
        Some(value)
    }
}
