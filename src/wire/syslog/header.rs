//! The part of a header behind its time: host, tag, process; and bodies that name their own format.
//!
//! What may be a host or a tag is decided here for all dialects, because senders leave either out and say nothing about
//! it: better no host than `%ASA-6-302013` or `1,2024/03/05` for one.

use super::{Dialect, Message};

/// Longest host name of RFC 5424 section 6.
const MAX_HOST: usize = 255;
/// Longest APP-NAME of RFC 5424 section 6; a tag of RFC 3164 is shorter.
const MAX_TAG: usize = 48;

/// Takes host, tag and process from what follows the time; the rest is the body.
pub(super) fn split<'a>(text: &'a str, message: &mut Message<'a>) {
    let text = text.trim_start_matches(' ');
    let text = text.strip_prefix(':').map_or(text, |rest| rest.trim_start_matches(' '));
    let (word, rest) = word(text);
    let host_comes_first = is_host(word) && !rest.is_empty() && tag(text).is_none();
    let after_host = if host_comes_first {
        message.hostname = said(word.trim_end_matches(':'));
        let rest = rest.trim_start_matches(' ');
        rest.strip_prefix(": ").unwrap_or(rest)
    } else {
        text
    };
    message.body = after_host;
    if let Some(tag) = tag(after_host) {
        message.appname = said(tag.name);
        message.procid = tag.process;
        message.body = tag.rest;
    }
    body(message);
}

/// A tag and what follows it.
pub(super) struct Tag<'a> {
    pub(super) name: &'a str,
    pub(super) process: Option<&'a str>,
    pub(super) rest: &'a str,
}

/// The tag at the start of `text`: `name: `, `name[process]:` or `name[process] `.
pub(super) fn tag(text: &str) -> Option<Tag<'_>> {
    let end = text.bytes().take(MAX_TAG + 1).position(|byte| matches!(byte, b':' | b'[' | b' ' | b'\t'))?;
    let (name, rest) = text.split_at_checked(end)?;
    if !is_tag(name) {
        return None;
    }
    if let Some(inside) = rest.strip_prefix('[') {
        let (process, rest) = inside.split_once(']')?;
        let ends = rest.is_empty() || rest.starts_with([':', ' ']);
        if process.len() > 128 || process.contains([' ', '[', '"']) || !ends {
            return None;
        }
        return Some(Tag { name, process: said(process), rest: after_colon(rest) });
    }
    // What follows the colon tells a tag from `CEF:0|`, `10:15:30`, `https://`, `::1`, `C:\`.
    let rest = rest.strip_prefix(':')?;
    (rest.is_empty() || rest.starts_with([' ', '\t', '\n'])).then(|| Tag {
        name,
        process: None,
        rest: rest.trim_start(),
    })
}

/// What follows a tag's colon.
fn after_colon(rest: &str) -> &str {
    rest.strip_prefix(':').unwrap_or(rest).trim_start_matches(' ')
}

/// RFC 3164 allows letters and digits; `postfix/smtpd`, `%%10SHELL/4`, `app.name`, `User(1)` are in use.
fn is_tag(name: &str) -> bool {
    let odd = |byte: u8| matches!(byte, b'"' | b'\'' | b'=' | b'{' | b'}' | b'<' | b'>' | b'|' | b',' | b';');
    !name.is_empty() && !name.bytes().any(odd) && !is_address(name) && !name.bytes().all(|byte| byte.is_ascii_digit())
}

/// True for a word that may be a host: anything without the marks of pairs, CSV, JSON, mnemonics and tags.
pub(super) fn is_host(word: &str) -> bool {
    let odd = |byte: u8| matches!(byte, b'"' | b'=' | b'{' | b'}' | b'<' | b'>' | b'|' | b',' | b';' | b'\\');
    let colon = word.ends_with(':') && !is_address(word.trim_end_matches(':'));
    !word.is_empty()
        && word.len() <= MAX_HOST
        && !colon
        && !word.bytes().any(odd)
        && !word.starts_with('%')
        && !word.starts_with("CEF:")
}

fn is_address(word: &str) -> bool {
    let may_be = word.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':'));
    may_be && word.parse::<std::net::IpAddr>().is_ok()
}

/// The word at the start of `text` and what follows it.
pub(super) fn word(text: &str) -> (&str, &str) {
    text.split_at(memchr::memchr2(b' ', b'\t', text.as_bytes()).unwrap_or(text.len()))
}

/// `-` is nil.
pub(super) fn said(text: &str) -> Option<&str> {
    (text != "-" && !text.is_empty()).then_some(text)
}

/// Recognises bodies that say of themselves what they are. The body is never touched.
pub(super) fn body(message: &mut Message<'_>) {
    let body = message.body;
    let dialect = match body.as_bytes().first() {
        Some(b'C') if body.starts_with("CEF:") => Dialect::Cef,
        Some(b'L') if body.starts_with("LEEF:") => Dialect::Leef,
        Some(b'M') if body.starts_with("MSWinEventLog\t") => Dialect::Windows,
        Some(b'0'..=b'9') if let Some(kind) = palo_alto(body) => {
            message.msgid = Some(kind);
            Dialect::PaloAlto
        }
        _ => return,
    };
    message.dialect = dialect;
}

/// The log type of a Palo Alto line (`1,2024/03/05 10:15:30,<serial>,TRAFFIC,…`: Palo Alto, "Syslog Field Descriptions").
pub(super) fn palo_alto(text: &str) -> Option<&str> {
    let mut columns = text.splitn(5, ',');
    let version = columns.next()?;
    let time = columns.next()?;
    let kind = columns.nth(1)?;
    let digits = version.len() <= 3 && version.bytes().all(|byte| byte.is_ascii_digit());
    let [y, m, d] = [time.get(4..5)?, time.get(7..8)?, time.get(10..11)?];
    let known =
        digits && (y, m, d) == ("/", "/", " ") && kind.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    (known && !kind.is_empty()).then_some(kind)
}

#[cfg(test)]
mod tests {
    use super::super::Marks;
    use super::*;

    type Parts<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>, &'a str);

    fn parts(text: &str) -> Parts<'_> {
        let mut message = Message::new(text, Marks::default());
        split(text, &mut message);
        (message.hostname, message.appname, message.procid, message.body)
    }

    #[test]
    fn host_tag_and_process() {
        for (text, expected) in [
            (" h app[12]: x", (Some("h"), Some("app"), Some("12"), "x")),
            (" h app[12] x", (Some("h"), Some("app"), Some("12"), "x")),
            (" h app: x y", (Some("h"), Some("app"), None, "x y")),
            (" h postfix/smtpd[007]: x", (Some("h"), Some("postfix/smtpd"), Some("007"), "x")),
            (" - app: x", (None, Some("app"), None, "x")),
            (" app[12]: x", (None, Some("app"), Some("12"), "x")),
            (" mail_logs: Info: x", (None, Some("mail_logs"), None, "Info: x")),
            (": app: x", (None, Some("app"), None, "x")),
            (" 192.0.2.1: x", (Some("192.0.2.1"), None, None, "x")),
            (" 2001:db8::1 app: x", (Some("2001:db8::1"), Some("app"), None, "x")),
            (" h last message repeated 2 times", (Some("h"), None, None, "last message repeated 2 times")),
            (" h CEF:0|a|b", (Some("h"), None, None, "CEF:0|a|b")),
            (" CEF:0|a|b", (None, None, None, "CEF:0|a|b")),
            (" h {\"a\": 1}", (Some("h"), None, None, "{\"a\": 1}")),
            (" id=firewall sn=1", (None, None, None, "id=firewall sn=1")),
            (" hello", (None, None, None, "hello")),
            ("", (None, None, None, "")),
        ] {
            assert_eq!(parts(text), expected, "{text}");
        }
    }

    #[test]
    fn bodies_that_name_their_format() {
        for (text, expected) in [
            (" h CEF:0|a|b", Dialect::Cef),
            (" h LEEF:1.0|a", Dialect::Leef),
            (" h MSWinEventLog\t1\tSecurity", Dialect::Windows),
            (" h 1,2024/03/05 10:15:30,001,TRAFFIC,end", Dialect::PaloAlto),
            (" 1,2024/03/05 10:15:30,001,THREAT,url", Dialect::PaloAlto),
            (" h 1,2024/03/05 10:15:30,001,traffic,end", Dialect::Unknown),
            (" h 1,2,3", Dialect::Unknown),
            (" h CEF stands for something", Dialect::Unknown),
        ] {
            let mut message = Message::new(text, Marks::default());
            split(text, &mut message);
            assert_eq!(message.dialect, expected, "{text}");
        }
    }
}
