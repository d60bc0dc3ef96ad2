//! Cisco headers: anything in front of `%FACILITY-SEVERITY-MNEMONIC:`, and Meraki's.
//!
//! What may stand in front of the mnemonic, in this order but each part optional: a message count, a device id, a
//! sequence number, a time or the time since start, a zone, a host, lone colons. ASA, IOS and NX-OS differ only in which
//! parts they write, and administrators switch them on and off; so the mnemonic is looked for first, and the header is
//! then whatever explains all that stands before it. Shapes: AxoSyslog's Cisco parser documentation and the public tests
//! of Splunk Connect for Syslog, both read 2026-11.

use super::header::{is_host, word};
use super::{Context, Dialect, Mark, Message, time};

/// How far from the start a mnemonic may begin: two times, two numbers and two names fit.
const LONGEST_HEADER: usize = 256;
/// Longest mnemonic looked at; those in Cisco's system message guides stay below 64.
const LONGEST_MNEMONIC: usize = 96;

/// Reads a header that ends in a mnemonic. False, and nothing changed but perhaps a mark, if there is none.
pub(super) fn read<'a>(text: &'a str, message: &mut Message<'a>, context: &mut Context<'_>) -> bool {
    let head = text.as_bytes().get(..text.len().min(LONGEST_HEADER)).unwrap_or_default();
    let Some(at) = memchr::memchr(b'%', head) else { return false };
    let Some((before, from)) = text.split_at_checked(at) else { return false };
    if !before.is_empty() && !before.ends_with([' ', ':']) {
        return false;
    }
    let Some(mnemonic) = mnemonic(from) else { return false };
    let Some(header) = header(before) else { return false };
    message.hostname = header.host;
    message.relay = header.relay.or(message.relay);
    message.sequence = header.sequence;
    message.appname = Some(mnemonic.tag);
    message.msgid = Some(mnemonic.name);
    message.body = mnemonic.rest;
    message.dialect = match mnemonic.facility {
        "ASA" | "PIX" | "FWSM" | "FTD" => Dialect::CiscoAsa,
        _ if header.year_first => Dialect::CiscoNxos,
        _ => Dialect::CiscoIos,
    };
    if header.times > 1 {
        message.marks.insert(Mark::NestedHeader);
    }
    if let Some(moment) = header.moment {
        context.settle(&moment, message);
    }
    true
}

struct Mnemonic<'a> {
    /// `%ASA-6-302013`
    tag: &'a str,
    /// `ASA`, or `ASA-vpn` where the device names the class.
    facility: &'a str,
    /// `302013`
    name: &'a str,
    rest: &'a str,
}

fn mnemonic(text: &str) -> Option<Mnemonic<'_>> {
    let end = text.bytes().take(LONGEST_MNEMONIC).position(|byte| matches!(byte, b':' | b' '))?;
    let (tag, rest) = text.split_at_checked(end)?;
    let (before, name) = tag.strip_prefix('%')?.rsplit_once('-')?;
    let (facility, severity) = before.rsplit_once('-')?;
    let fits = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    let severity = matches!(severity.as_bytes(), [b'0'..=b'7']);
    if !severity || facility.is_empty() || name.is_empty() || !fits(facility) || !fits(name) {
        return None;
    }
    let facility = if facility.starts_with("ASA-") { "ASA" } else { facility };
    Some(Mnemonic { tag, facility, name, rest: rest.trim_start_matches([':', ' ']) })
}

#[derive(Default)]
struct Header<'a> {
    host: Option<&'a str>,
    relay: Option<&'a str>,
    sequence: Option<u64>,
    moment: Option<time::Moment>,
    times: u8,
    year_first: bool,
}

/// Explains all of `text`, or gives up.
fn header(text: &str) -> Option<Header<'_>> {
    let mut header = Header::default();
    let mut rest = text.trim_start_matches([':', ' ']);
    while !rest.is_empty() {
        if let Some((moment, after)) = time::read(rest) {
            header.times += 1;
            if header.times > 2 {
                return None;
            }
            header.moment = Some(moment);
            header.year_first = rest.as_bytes().get(4) == Some(&b' ') && rest.starts_with(|c: char| c.is_ascii_digit());
            // The name before a second time is that of the relay which wrote the first.
            if header.times == 2 {
                header.relay = header.host.take();
            }
            rest = after;
        } else {
            let (word, after) = word(rest);
            if word.is_empty() {
                // A blank that is no space: no progress would be made.
                return None;
            }
            item(&mut header, word.trim_end_matches(':'))?;
            rest = after;
        }
        rest = rest.trim_start_matches([':', ' ']);
    }
    Some(header)
}

fn item<'a>(header: &mut Header<'a>, word: &'a str) -> Option<()> {
    let digits = word.bytes().all(|byte| byte.is_ascii_digit());
    if digits {
        // The count comes before the sequence number of the process that logs.
        header.sequence = header.sequence.or(word.parse().ok());
    } else if since_start(word) || word.starts_with('*') {
        // Wireless controllers name the task so (`*spamApTask1:`).
    } else if header.host.is_none() && is_host(word) {
        header.host = Some(word);
    } else {
        return None;
    }
    Some(())
}

/// `00:01:01`, `1w2d`, `3d04h`: the time since start, where the device has no better one.
fn since_start(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
        && word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b':' | b'y' | b'w' | b'd' | b'h' | b'm' | b's'))
}

/// Reads Meraki's header from its time on: `1709633730.123456789 MX_1 flows src=…`. False if it is not that.
pub(super) fn read_meraki<'a>(text: &'a str, message: &mut Message<'a>, context: &mut Context<'_>) -> bool {
    let Some((moment, rest)) = time::read(text) else { return false };
    let (host, rest) = word(rest.trim_start_matches(' '));
    let (kind, body) = word(rest.trim_start_matches(' '));
    if !is_host(host) || kind.is_empty() || !text.starts_with(|c: char| c.is_ascii_digit()) {
        return false;
    }
    message.hostname = Some(host);
    message.appname = Some(kind);
    message.body = body.trim_start_matches(' ');
    message.dialect = Dialect::CiscoMeraki;
    context.settle(&moment, message);
    true
}
