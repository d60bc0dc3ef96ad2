//! Events as octet-counted syslog frames.
//!
//! The header of `rfc5424` is made of what `wire::syslog` understood: PRI, time (of receipt where the message has none that
//! can be believed), host (else the peer's address), application, process, message id, the structured data that came, and
//! an element of our own:
//!
//! `[sapphire@32473 id="…" source="…" received="…" peer="…"]`
//!
//! 32473 is the number for examples (RFC 5612); there is none registered for us. The message is the body behind the header
//! that was understood; bytes that are not UTF-8, and texts in which nothing was understood, go whole and as they came
//! (MSG-ANY, RFC 5424 section 6.4; no byte order mark is added, because receivers show it).

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::Format as Wanted;
use crate::event::{ApplianceId, Batch, BatchNumber, EventIdWriter, Kind, Line, Record};
use crate::output::Context;
use crate::output::encode::Readings;
use crate::output::feed::Format;
use crate::wire::syslog::{Mark, Message, Parser, Text};

/// Our element of structured data.
const ELEMENT: &str = "sapphire@32473";
/// user.informational, for what is no syslog message.
const USER_INFO: u8 = 14;

/// See the module.
pub(super) struct Frames {
    wanted: Wanted,
    appliance: ApplianceId,
    name: Arc<str>,
    readings: Readings,
    batch: Option<Current>,
    bytes: Vec<u8>,
    /// The frame being made, before its length is known.
    frame: Vec<u8>,
}

struct Current {
    kind: Kind,
    source: String,
    ids: EventIdWriter,
    parser: Parser,
}

impl Frames {
    pub(super) fn new(wanted: Wanted, context: &Context) -> Self {
        Self {
            wanted,
            appliance: context.reader.appliance(),
            name: Arc::clone(&context.name),
            readings: context.readings.clone(),
            batch: None,
            bytes: Vec::new(),
            frame: Vec::new(),
        }
    }
}

impl Format for Frames {
    fn begin(&mut self, number: BatchNumber, batch: &Batch) {
        self.batch = Some(Current {
            kind: batch.kind(),
            source: batch.source().to_string(),
            ids: EventIdWriter::new(self.appliance, number),
            parser: Parser::new(&self.readings.get(batch.source())),
        });
    }

    fn record(&mut self, index: u32, record: &Record<'_>) -> bool {
        let Some(current) = &mut self.batch else { return false };
        // RFC 5425 knows no frame of no bytes.
        if self.wanted == Wanted::Original && current.kind == Kind::Syslog && !record.bytes.is_empty() {
            counted(record.bytes, &mut self.bytes);
            return false;
        }
        self.frame.clear();
        let (name, frame) = (&self.name, &mut self.frame);
        // A message that makes the parser panic would stop everything behind it for ever.
        let unparsed = match catch_unwind(AssertUnwindSafe(|| current.rebuild(name, index, record, frame))) {
            Ok(is_unparsed) => is_unparsed,
            Err(_) => {
                let id = current.ids.id(index, record.id);
                tracing::error!(id, "the parser panicked on an event; it is sent bare");
                self.frame.clear();
                current.bare(name, index, record, &mut self.frame);
                true
            }
        };
        counted(&self.frame, &mut self.bytes);
        unparsed
    }

    fn bytes(&self) -> usize {
        self.bytes.len()
    }

    fn finish(&mut self, to: &mut Vec<u8>) {
        // The buffer that comes is empty: trading it for ours spares a copy.
        std::mem::swap(&mut self.bytes, to);
        to.append(&mut self.bytes);
    }
}

/// Appends a frame: its length, a blank, its bytes (RFC 5425 section 4.3).
fn counted(frame: &[u8], to: &mut Vec<u8>) {
    // A usize has at most 20 digits.
    let mut digits = [b' '; 21];
    let (mut first, mut length) = (20, frame.len());
    loop {
        first -= 1;
        if let Some(digit) = digits.get_mut(first) {
            *digit = b'0' + (length % 10) as u8;
        }
        length /= 10;
        if length == 0 {
            break;
        }
    }
    to.extend_from_slice(digits.get(first..).unwrap_or_default());
    to.extend_from_slice(frame);
}

/// What stands in a header besides the structured data that came.
struct Header<'a> {
    priority: u8,
    host: &'a str,
    app: &'a str,
    process: &'a str,
    message_id: &'a str,
}

impl Current {
    /// Appends the event as an RFC 5424 message. Returns whether its header could not be parsed.
    fn rebuild(&mut self, name: &str, index: u32, record: &Record<'_>, to: &mut Vec<u8>) -> bool {
        if self.kind != Kind::Syslog {
            self.bare(name, index, record, to);
            return false;
        }
        let text = Text::of(record.bytes);
        let message = self.parser.parse(&text, record.received);
        let peer = record.origin.peer.map(|peer| peer.ip().to_string()).unwrap_or_default();
        let header = Header {
            priority: message.priority,
            host: message.hostname.or(message.device).unwrap_or(&peer),
            app: message.appname.unwrap_or_default(),
            process: message.procid.unwrap_or_default(),
            message_id: message.msgid.unwrap_or_default(),
        };
        let mut head = String::new();
        put_header(&mut head, &header, message.timestamp.unwrap_or(record.received));
        let has_ours = put_elements(&mut head, &message);
        if !has_ours {
            put_ours(&mut head, self.ids.id(index, record.id), &self.source, record);
        }
        let unparsed = message.marks.contains(Mark::Unparsed);
        let body = if unparsed || !text.is_exact() { record.bytes } else { message.body.as_bytes() };
        put_body(to, &head, body);
        unparsed
    }

    /// Appends the event as the body of a message about which nothing else is known.
    fn bare(&mut self, name: &str, index: u32, record: &Record<'_>, to: &mut Vec<u8>) {
        let app = match self.kind {
            Kind::Syslog => "",
            Kind::Beats => "beats",
            Kind::Line => "file",
            Kind::Notice | Kind::Pulled => "sapphire-edge",
            Kind::EventHub => "azure",
        };
        let line = if self.kind == Kind::Line { Line::read(record.bytes) } else { None };
        let host = line.and(record.origin.name.as_deref()).unwrap_or(name);
        let header = Header { priority: USER_INFO, host, app, process: "", message_id: "" };
        let mut head = String::new();
        put_header(&mut head, &header, record.received);
        put_ours(&mut head, self.ids.id(index, record.id), &self.source, record);
        put_body(to, &head, line.map_or(record.bytes, |line| line.bytes));
    }
}

/// `<PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID ` (RFC 5424 section 6).
fn put_header(to: &mut String, header: &Header<'_>, time: crate::clock::Timestamp) {
    // Writing to memory cannot fail.
    let _ = write!(to, "<{}>1 {time} ", header.priority);
    for (word, most) in [(header.host, 255), (header.app, 48), (header.process, 128), (header.message_id, 32)] {
        put_word(to, word, most);
        to.push(' ');
    }
}

/// A word of printable ASCII, or `-` for none; other characters become `_`.
fn put_word(to: &mut String, word: &str, most: usize) {
    if word.is_empty() {
        to.push('-');
    }
    to.extend(word.chars().take(most).map(|c| if c.is_ascii_graphic() { c } else { '_' }));
}

/// The elements that came, each id once (RFC 5424 section 6.3.2). Returns whether ours is among them, from a box before.
fn put_elements(to: &mut String, message: &Message<'_>) -> bool {
    let mut seen: Vec<&str> = Vec::new();
    for (id, params) in message.structured_data.iter() {
        if seen.contains(&id) {
            continue;
        }
        seen.push(id);
        to.push('[');
        put_name(to, id);
        for (name, value) in params {
            to.push(' ');
            put_name(to, name);
            // Values are as they stood between the quotes: escaped already.
            let _ = write!(to, "=\"{value}\"");
        }
        to.push(']');
    }
    seen.contains(&ELEMENT)
}

/// SD-NAME (RFC 5424 section 6.3.2): at most 32 printable ASCII characters without `=`, `]` and `"`.
fn put_name(to: &mut String, name: &str) {
    let is_right = |c: char| c.is_ascii_graphic() && !matches!(c, '=' | ']' | '"');
    to.extend(name.chars().take(32).map(|c| if is_right(c) { c } else { '_' }));
}

fn put_ours(to: &mut String, id: &str, source: &str, record: &Record<'_>) {
    let _ = write!(to, "[{ELEMENT} id=\"");
    put_value(to, id);
    to.push_str("\" source=\"");
    put_value(to, source);
    let _ = write!(to, "\" received=\"{}\"", record.received);
    if let Some(peer) = record.origin.peer {
        let _ = write!(to, " peer=\"{peer}\"");
    }
    to.push(']');
}

/// RFC 5424 section 6.3.3: `"`, `\` and `]` are escaped.
fn put_value(to: &mut String, value: &str) {
    for c in value.chars() {
        if matches!(c, '"' | '\\' | ']') {
            to.push('\\');
        }
        to.push(c);
    }
}

fn put_body(to: &mut Vec<u8>, head: &str, body: &[u8]) {
    to.extend_from_slice(head.as_bytes());
    if !body.is_empty() {
        to.push(b' ');
        to.extend_from_slice(body);
    }
}
