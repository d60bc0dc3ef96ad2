//! RFC 5424 and plain RFC 3164, read by syslog_loose. The one place that knows that crate and chrono.
//!
//! syslog_loose splits headers; it is given text whose PRI is gone and whose time has been recognised, because it returns
//! nothing else once it stumbles over either. Its own time is not used: with a zone it takes the local time of a
//! year-bearing RFC 3164 header for UTC. What it is known to tear (0.23.0, measured) is mended here: a first word
//! without colon taken for a tag (`CEF:0|…`), a lone tag taken for a host, malformed structured data dropped, a process
//! number without its leading zeros.

use std::borrow::Cow;

use chrono::Utc;
use syslog_loose::{ProcId, StructuredElement, Variant, parse_message_with_year_exact_tz};

use super::header::{self, is_host, said, tag};
use super::{Dialect, Mark, Message};

/// Any leap year: no date may be refused for a year that is not used.
const LEAP_YEAR: i32 = 2000;

type Loose<'a> = syslog_loose::Message<&'a str>;

fn loose(text: &str, variant: Variant) -> Option<Loose<'_>> {
    parse_message_with_year_exact_tz(text, |_| LEAP_YEAR, Some(Utc), variant).ok()
}

/// Reads the header of `1 TIME HOST APP PROCID MSGID SD MSG` from the version on; the time is the caller's business.
/// False, and nothing changed, if it is not that.
pub(super) fn read_5424<'a>(text: &'a str, message: &mut Message<'a>) -> bool {
    let Some((header, data)) = split_5424(text) else { return false };
    let [version, hostname, appname, procid, msgid] = header;
    message.version = Some(version);
    match loose(text, Variant::RFC5424) {
        Some(parsed) => {
            message.hostname = parsed.hostname;
            message.appname = parsed.appname;
            message.msgid = parsed.msgid;
            message.procid = match parsed.procid {
                Some(ProcId::Name(name)) => Some(name),
                // The number has lost its leading zeros.
                Some(ProcId::PID(_)) => Some(procid),
                None => None,
            };
            message.body = parsed.msg;
            let written = before(data, parsed.msg);
            if data.starts_with('[') && count(written) != parsed.structured_data.len() {
                message.marks.insert(Mark::BadStructuredData);
                message.body = data;
            }
            message.structured_data = StructuredData(parsed.structured_data);
        }
        None => {
            message.hostname = said(hostname);
            message.appname = said(appname);
            message.procid = said(procid);
            message.msgid = said(msgid);
            message.body = data.strip_prefix("- ").unwrap_or(data);
            if !data.starts_with("- ") && data != "-" {
                message.marks.insert(Mark::BadStructuredData);
            }
        }
    }
    // RFC 5424 section 6.4: the mark says that the text is UTF-8.
    message.body = message.body.strip_prefix('\u{feff}').unwrap_or(message.body);
    message.dialect = if message.appname == Some("CheckPoint") { Dialect::CheckPoint } else { Dialect::Rfc5424 };
    header::body(message);
    true
}

/// Version, host, application, process and message id, and what follows them.
fn split_5424(text: &str) -> Option<([&str; 5], &str)> {
    let mut words = text.split_ascii_whitespace();
    let version = words.next()?;
    let _time = words.next()?;
    let header = [version, words.next()?, words.next()?, words.next()?, words.next()?];
    let [.., msgid] = header;
    Some((header, after(text, msgid).trim_start_matches(' ')))
}

/// Reads the host and tag of a message whose time the reader of RFC 3164 knows. False, and nothing changed, if it does
/// not know it, or takes for a host what is none.
pub(super) fn read_3164<'a>(text: &'a str, message: &mut Message<'a>) -> bool {
    let Some(parsed) = loose(text, Variant::RFC3164) else { return false };
    match (parsed.hostname, parsed.appname) {
        (hostname, Some(appname)) => {
            if hostname.is_some_and(|name| !is_host(name)) {
                return false;
            }
            message.hostname = hostname;
            let from = from(text, appname);
            let Some(tag) = tag(from) else {
                message.body = from;
                return true;
            };
            message.appname = said(tag.name);
            message.procid = tag.process;
            message.body = if parsed.structured_data.is_empty() { tag.rest } else { parsed.msg };
            message.structured_data = StructuredData(parsed.structured_data);
        }
        (Some(hostname), None) => {
            let rest = after(text, hostname);
            if rest.is_empty() || rest.starts_with(':') || !is_host(hostname) {
                return false;
            }
            message.hostname = Some(hostname);
            message.body = parsed.msg;
            // Two blanks in front of the tag.
            if let Some(tag) = tag(parsed.msg).filter(|_| parsed.structured_data.is_empty()) {
                message.appname = said(tag.name);
                message.procid = tag.process;
                message.body = tag.rest;
            }
            message.structured_data = StructuredData(parsed.structured_data);
        }
        (None, None) => return false,
    }
    true
}

/// Where `part` begins in `text`, of which it is a slice.
fn offset(text: &str, part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize)
}

fn from<'a>(text: &'a str, part: &str) -> &'a str {
    text.get(offset(text, part)..).unwrap_or_default()
}

fn after<'a>(text: &'a str, part: &str) -> &'a str {
    text.get(offset(text, part) + part.len()..).unwrap_or_default()
}

fn before<'a>(text: &'a str, part: &str) -> &'a str {
    text.get(..offset(text, part)).unwrap_or_default()
}

/// The elements of one message, in their order. An id or a name may come twice: the RFC forbids the first and allows the
/// second, senders (Check Point's `layer_name`, observed) do both.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StructuredData<'a>(Vec<StructuredElement<&'a str>>);

impl<'a> StructuredData<'a> {
    /// True if there is none, or nil.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Id and named values of each element. Values are as they stand between the quotes: see [`unescape`].
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &[(&'a str, &'a str)])> {
        self.0.iter().map(|element| (element.id, element.params.as_slice()))
    }
}

/// How many elements a text of elements holds, well-formed or not.
fn count(text: &str) -> usize {
    let (mut count, mut inside, mut quoted, mut escaped) = (0, false, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if inside => quoted = !quoted,
            b'[' if !inside => {
                inside = true;
                count += 1;
            }
            b']' if !quoted => inside = false,
            _ => {}
        }
    }
    count
}

/// The value that stands between the quotes: `\"`, `\\` and `\]` are `"`, `\` and `]`, any other `\` is itself
/// (RFC 5424 section 6.3.3).
#[must_use]
pub fn unescape(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let mut plain = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        match after.chars().next() {
            Some(escaped @ ('"' | '\\' | ']')) => {
                plain.push(escaped);
                rest = after.get(1..).unwrap_or_default();
            }
            _ => {
                plain.push('\\');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_counted_whatever_is_in_them() {
        for (text, expected) in [
            ("", 0),
            (r#"[a b="c"]"#, 1),
            (r#"[a b="]["][c d="\"]["]"#, 2),
            (r#"[action:"Accept"; x:"y"]"#, 1),
            ("[a][b] ", 2),
        ] {
            assert_eq!(count(text), expected, "{text}");
        }
    }

    #[test]
    fn three_characters_are_escaped_and_no_other() {
        for (written, meant) in [
            ("plain", "plain"),
            (r#"a\"b\\c\]d"#, r#"a"b\c]d"#),
            (r"C:\new\table", r"C:\new\table"),
            (r"end\", r"end\"),
        ] {
            assert_eq!(unescape(written), meant);
        }
    }
}
