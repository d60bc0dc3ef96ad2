//! Reads syslog messages on the way out: what they say in their headers, in whatever dialect, without losing a byte.
//!
//! In: the bytes of one message without transport framing, its time of receipt, the source's [`Reading`]. Out: a
//! [`Message`] that borrows the text. A text that nothing explains comes back whole as the body, marked
//! [`Mark::Unparsed`]; there are no errors. Floor 1.
//!
//! Order of attempts: PRI; RFC 5424 or Meraki where a version stands; pairs (Sophos, FortiGate, Check Point); a Cisco
//! mnemonic; a time, and behind it a second header, pairs, or host and tag. RFC 5424 and plain RFC 3164 are split by
//! syslog_loose (`rfc.rs`), everything else here, because that crate returns nothing, not even the PRI, where it does not
//! understand the time.
//!
//! Decisions:
//! - A PRI above 191, empty or with a leading zero is no PRI: the whole text is the body, as RFC 3164 section 4.3.3 has
//!   it for relays. No PRI at all is user.notice, and the header is read all the same.
//! - Times that name no zone are in the source's zone, also where they name an abbreviation other than UTC and GMT.
//! - Where a relay put a header in front of another, the inner one counts; the relay's name is kept.
//! - A device's own time inside the pairs is preferred to a header's.
//!
//! Not supported: messages glued together, or torn apart, by the sender; EBCDIC; times before 1970 and after 9999.

mod cisco;
mod header;
mod message;
mod pairs;
mod rfc;
mod text;
mod time;
mod zone;

#[cfg(test)]
mod tests;

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use message::{Dialect, MAX_PRIORITY, Mark, Marks, Message, facility_name, severity_name};
pub use rfc::{StructuredData, unescape};
pub use text::Text;

use crate::clock::Timestamp;

/// How the messages of one source are to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The zone of times that name none.
    pub time_zone: TimeZone,
    /// Which bodies become fields.
    pub fields: Fields,
}

impl Default for Reading {
    fn default() -> Self {
        Self { time_zone: TimeZone::UTC, fields: Fields::default() }
    }
}

/// Which `key=value` bodies become fields of the event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fields {
    /// Those of Sophos and Fortinet.
    #[default]
    Auto,
    /// Whatever pairs there are.
    Always,
    /// None.
    Never,
}

impl Fields {
    /// True if the body of a message in this dialect is to become fields.
    #[must_use]
    pub fn wanted(self, dialect: Dialect) -> bool {
        match self {
            Self::Auto => matches!(dialect, Dialect::SophosSfos | Dialect::SophosUtm | Dialect::Fortinet),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// Reads the messages of one source.
#[derive(Clone, Debug)]
pub struct Parser {
    place: zone::Place,
}

impl Parser {
    /// A reader of messages whose local times are in the reading's zone.
    #[must_use]
    pub fn new(reading: &Reading) -> Self {
        Self { place: zone::Place::new(reading.time_zone.clone()) }
    }

    /// Reads one message. `received` decides the year of times without one.
    pub fn parse<'a>(&mut self, text: &'a Text<'_>, received: Timestamp) -> Message<'a> {
        let whole = text.as_str();
        let mut message = Message::new(whole, text.marks());
        let mut rest = whole;
        if let Some(after) = rest.strip_prefix('\u{feff}') {
            message.marks.insert(Mark::ByteOrderMark);
            rest = after;
        }
        // Senders pad, and Cisco ASA has been seen to put a blank in front.
        let rest = rest.trim_start_matches([' ', '\r', '\n']).trim_end_matches(['\0', '\r', '\n']);
        let mut context = Context { place: &mut self.place, received, depth: 0 };
        match pri(rest) {
            Pri::Valid(priority, rest) => {
                message.priority = priority;
                context.read(rest, &mut message);
            }
            Pri::Missing => {
                message.marks.insert(Mark::NoPri);
                context.read(rest, &mut message);
            }
            Pri::Bad => {
                message.marks.insert(Mark::BadPri);
                message.marks.insert(Mark::Unparsed);
            }
        }
        message
    }
}

enum Pri<'a> {
    /// The number and what follows, without leading blanks.
    Valid(u8, &'a str),
    /// Something in angle brackets that was meant as one.
    Bad,
    Missing,
}

fn pri(text: &str) -> Pri<'_> {
    let Some(inside) = text.strip_prefix('<') else { return Pri::Missing };
    // Longest seen in the field is three digits; longer numbers are still told from markup.
    let number_like = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b' ' | b'-' | b'+');
    let length = inside.bytes().take(12).take_while(number_like).count();
    let (number, rest) = inside.split_at(length);
    let Some(rest) = rest.strip_prefix('>') else { return Pri::Missing };
    let zeros = number.len() > 1 && number.starts_with('0');
    match number.parse::<u8>() {
        Ok(value @ 0..=MAX_PRIORITY) if !zeros && !number.starts_with('+') => {
            Pri::Valid(value, rest.trim_start_matches(' '))
        }
        _ => Pri::Bad,
    }
}

/// How many headers may stand in front of one another: the device's, two relays', and one to spare.
const DEEPEST: u8 = 4;

/// What reading one message needs to know beside its text.
struct Context<'p> {
    place: &'p mut zone::Place,
    received: Timestamp,
    depth: u8,
}

impl Context<'_> {
    /// Sets the message's time, or the mark that says why there is none.
    fn settle(&mut self, moment: &time::Moment, message: &mut Message<'_>) {
        if let Some(doubt) = moment.doubt {
            message.marks.insert(doubt);
        }
        match self.place.resolve(moment, self.received) {
            Ok(time) => message.timestamp = Some(time),
            Err(mark) => message.marks.insert(mark),
        }
    }

    /// Reads what follows a PRI.
    fn read<'a>(&mut self, text: &'a str, message: &mut Message<'a>) {
        message.body = text;
        if !self.header(text, message) {
            message.marks.insert(Mark::Unparsed);
        }
    }

    /// False if nothing is recognised.
    fn header<'a>(&mut self, text: &'a str, message: &mut Message<'a>) -> bool {
        if text.starts_with('<') {
            return self.nested(text, None, message);
        }
        if self.versioned(text, message) || pairs::read(text, true, message, self) || cisco::read(text, message, self) {
            return true;
        }
        let text = text.trim_start_matches([':', ' ']);
        if let Some((moment, rest)) = time::read(text) {
            self.timed(text, &moment, rest, message);
            return true;
        }
        self.untimed(text, message)
    }

    /// Without a time there is no host, and a tag counts only behind a PRI: `error: no such file` has none.
    fn untimed<'a>(&mut self, text: &'a str, message: &mut Message<'a>) -> bool {
        message.body = text;
        header::body(message);
        if message.dialect != Dialect::Unknown {
            return true;
        }
        let Some(tag) = header::tag(text).filter(|_| !message.marks.contains(Mark::NoPri)) else { return false };
        message.appname = Some(tag.name);
        message.procid = tag.process;
        message.body = tag.rest;
        message.dialect = Dialect::Rfc3164;
        self.vendor_pairs(message);
        true
    }

    /// The body may be pairs whose sender names itself; its own time and name then count.
    fn vendor_pairs(&mut self, message: &mut Message<'_>) {
        if matches!(message.dialect, Dialect::Rfc3164 | Dialect::Rfc5424) {
            pairs::read(message.body, false, message, self);
        }
    }

    /// RFC 5424 and Meraki: a version, then a time.
    fn versioned<'a>(&mut self, text: &'a str, message: &mut Message<'a>) -> bool {
        let (version, rest) = header::word(text);
        if version.is_empty() || version.len() > 3 || !version.bytes().all(|byte| byte.is_ascii_digit()) {
            return false;
        }
        let rest = rest.trim_start_matches(' ');
        match rest.as_bytes() {
            [b'-', b' ', ..] => self.finish_5424(text, None, message),
            [_, _, _, _, b'-', _, _, b'-', _, _, b'T' | b't', ..] => {
                let moment = time::read(rest).map(|(moment, _)| moment);
                self.finish_5424(text, Some(moment), message)
            }
            [b'0'..=b'9', ..] => version == "1" && cisco::read_meraki(rest, message, self),
            // A relay's header behind a version (observed before Meraki's).
            [b'A'..=b'Z', ..] => match time::read(rest) {
                Some((moment, after)) => {
                    self.timed(rest, &moment, after, message);
                    true
                }
                None => false,
            },
            _ => false,
        }
    }

    /// `moment` is `None` for a nil time and `Some(None)` for one that could not be read.
    fn finish_5424<'a>(
        &mut self,
        text: &'a str,
        moment: Option<Option<time::Moment>>,
        message: &mut Message<'a>,
    ) -> bool {
        if !rfc::read_5424(text, message) {
            return false;
        }
        match moment {
            Some(Some(moment)) => self.settle(&moment, message),
            Some(None) => message.marks.insert(Mark::BadTime),
            None => {}
        }
        if message.body.starts_with('<') {
            let relay = message.hostname;
            self.nested(message.body, relay, message);
        } else {
            self.vendor_pairs(message);
        }
        true
    }

    /// What follows a time: a second header, pairs, or host and tag.
    fn timed<'a>(&mut self, text: &'a str, moment: &time::Moment, rest: &'a str, message: &mut Message<'a>) {
        self.settle(moment, message);
        message.dialect = Dialect::Rfc3164;
        let tail = rest.trim_start_matches([':', ' ']);
        let (word, inner) = header::word(tail);
        let inner = inner.trim_start_matches(' ');
        if self.second(tail, None, message) || (header::is_host(word) && self.second(inner, Some(word), message)) {
            return;
        }
        if is_utm(text) {
            message.dialect = Dialect::SophosUtm;
            header::split(rest, message);
        } else if is_plain(text, rest) && rfc::read_3164(text, message) {
            header::body(message);
        } else {
            header::split(rest, message);
        }
        self.vendor_pairs(message);
    }

    /// A second header, or pairs of a known vendor, behind a first header that ended with the name of `relay`.
    fn second<'a>(&mut self, text: &'a str, relay: Option<&'a str>, message: &mut Message<'a>) -> bool {
        let bytes = text.as_bytes();
        let known = match bytes.first() {
            Some(b'<') => return self.nested(text, relay, message),
            Some(b'a'..=b'z') => {
                let known = pairs::read(text, false, message, self);
                if known {
                    message.hostname = relay;
                }
                return known;
            }
            // Month names are capitalised; a word such as `Mar` alone is no time.
            Some(b'A'..=b'Z') => matches!(bytes, [_, _, _, b' ', ..]),
            Some(b'0'..=b'9') => {
                let dated = matches!(bytes, [_, _, _, _, b'-', _, _, b'-', _, _, b'T', ..]);
                dated || is_utm(text) || matches!(bytes, [b'1', b' ', b'0'..=b'9', ..])
            }
            _ => false,
        };
        known && self.again(text, relay, message)
    }

    /// A PRI inside: what follows it is the message proper. False if it is no PRI.
    fn nested<'a>(&mut self, text: &'a str, relay: Option<&'a str>, message: &mut Message<'a>) -> bool {
        let Pri::Valid(priority, rest) = pri(text) else { return false };
        if self.depth >= DEEPEST {
            return false;
        }
        message.priority = priority;
        if !self.again(rest, relay, message) {
            if message.dialect == Dialect::Unknown {
                message.marks.insert(Mark::Unparsed);
            }
            self.enter(relay, message);
            message.body = rest;
        }
        true
    }

    /// Reads a header inside another one. False, and nothing changed, if there is none.
    fn again<'a>(&mut self, text: &'a str, relay: Option<&'a str>, message: &mut Message<'a>) -> bool {
        if self.depth >= DEEPEST {
            return false;
        }
        let mut inner = Message { timestamp: message.timestamp, ..Message::new(text, message.marks) };
        inner.priority = message.priority;
        inner.relay = message.relay;
        self.enter(relay, &mut inner);
        self.depth += 1;
        let found = self.header(text, &mut inner);
        self.depth -= 1;
        if found {
            *message = inner;
        }
        found
    }

    fn enter<'a>(&self, relay: Option<&'a str>, message: &mut Message<'a>) {
        message.marks.insert(Mark::NestedHeader);
        message.hostname = None;
        message.relay = relay.or(message.relay);
    }
}

/// `2024:03:05-10:15:30`: nobody but Sophos UTM 9 writes this.
fn is_utm(text: &str) -> bool {
    matches!(text.as_bytes(), [_, _, _, _, b':', _, _, b':', _, _, b'-', ..])
}

/// True if the time in front of `rest` is one that syslog_loose reads to its end: RFC 3164 without fraction or zone, with
/// or without a year, or RFC 3339.
fn is_plain(text: &str, rest: &str) -> bool {
    let time = text.get(..text.len().saturating_sub(rest.len())).unwrap_or_default().as_bytes();
    match time {
        [b'0'..=b'9', ..] => time.get(10) == Some(&b'T') && rest.starts_with(' '),
        [.., b' ', _, _, b':', _, _, b':', _, _] => true,
        _ => false,
    }
}
