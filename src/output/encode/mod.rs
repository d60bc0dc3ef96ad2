//! Event to JSON: what Logstash pipelines expect, in one object per event.
//!
//! In: the records of one batch and how its source is to be read. Out: one JSON object per record, on one line, with no
//! key twice. The same record always gives the same bytes: nothing here looks at a clock.
//!
//! **Syslog**: `@timestamp` (the message's time where it has one that can be believed, else the time of receipt, in
//! milliseconds with `Z`), `@metadata` (`beat`, `type`, `version` name the index in the usual pipeline; `_id` is the event
//! id), `message` (the whole text as it came, PRI included), `event` (`id`, `created` = time of receipt, `sequence`),
//! `log.syslog` and `log.source.address`, `source` (the peer, which may be a relay), `host.name` (the device by its own
//! word, else the host of its header), `agent` (this box), `input`, `ecs`, and `sapphire`:
//!
//! | key | meaning |
//! | --- | --- |
//! | `source`, `kind`, `appliance` | id of the source in the settings, `syslog`/`beats`/`notice`/`pulled`/`line`/`event_hub`, id of this box |
//! | `received` | time of receipt |
//! | `transport`, `client` | `udp`, `tcp`, `tls`, `internal`, `ssh`, `https`; the name in the verified client certificate, or of the device whose key it was |
//! | `feed` | of what was pulled: account and stream at the vendor |
//! | `format` | the dialect of the message |
//! | `relay` | the host of an outer header |
//! | `fields` | the pairs of a `key=value` body, all as text (a `log_id` has leading zeros), where the reading wants them |
//! | `marks` | what was odd, see `wire::syslog::Mark`; besides `repeated_field` and `fields_cut` |
//! | `cut_from` | length on the wire, where the message was cut |
//! | `raw_base64` | the bytes as they came, where they are not the UTF-8 text in `message` |
//!
//! Values of structured data are text, or an array where a name came twice.
//!
//! **Beats and notices**: the sender's object, its bytes and key order kept (only line breaks between tokens become
//! blanks), with `@metadata._id` set to the event id and `sapphire` (without `format`, with `peer`) added at the end. An
//! `@metadata` that is no object is replaced, and kept as text in `sapphire.metadata`. Where
//! the event brought a `sapphire` of its own, as in a chain of boxes, that one stays as it is and ours is called
//! `sapphire_relay`, or `sapphire_relay_2` to `_9` behind further boxes; past those it is left out. A record that is no
//! JSON object, or one that a strict reader down the line would choke on, goes out as `message` with the mark `not_json`.
//!
//! **Lines** of pushed files: as syslog, with `log.file.path` and `log.offset` (in bytes), `host.name` the device, and in
//! `sapphire` the `format` (`asyncos`, `cef`, `w3c` or `text`), `file`, `line` (from 1) and a W3C log's columns as `fields`.
//! **Pulled records**: as syslog, with the record's text in `message`, `@timestamp` by its own word, and `sapphire.feed`.
//! **Event hub records**: as syslog, with the record's text in `message`, `event.dataset` by its stream, `cloud.provider`,
//! and `azure` with its place (the names of Filebeat's azure-eventhub input: `eventhub`, `consumer_group`, `partition_id`,
//! `offset`, `sequence_number`, `enqueued_time`, `partition_key`; besides `namespace`, `record` = its number in the
//! envelope from 0, `category` and `resource_id`). What was odd about the envelope is a mark.
//!
//! Decisions: `agent` is this box and `observer` is not used, because ECS means by it the firewall itself. `source` is the
//! last hop and `host` the device: they differ behind a relay, and both are needed.
//!
//! Not supported: dots in field names (Logstash reads them as they are), sender's objects that hold one name twice.

mod azure;
mod beats;
mod json;
mod line;
mod pulled;
mod syslog;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::clock::Timestamp;
use crate::event::{ApplianceId, Batch, BatchNumber, EventIdWriter, Kind, Origin, Record, SourceId, Transport};
use crate::wire::syslog::{Fields, Marks, Parser, Reading, Text};

/// The index root in the usual pipeline (`%{[@metadata][beat]}-%{[@metadata][version]}`), and the type of the agent.
const BEAT: &str = "sapphire-edge";
/// The version of the Elastic Common Schema that the names above are from.
const ECS_VERSION: &str = "8.11.0";

/// How the events of each source are to be read; set when settings are applied, shared by all outputs.
#[derive(Clone, Debug, Default)]
pub struct Readings(Arc<RwLock<HashMap<SourceId, Reading>>>);

impl Readings {
    /// The reading of a source; the default (UTC, fields of Sophos and Fortinet) if none was set.
    #[must_use]
    pub fn get(&self, source: &SourceId) -> Reading {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(source).cloned().unwrap_or_default()
    }

    /// Sets the reading of a source. Batches whose encoding has begun keep the old one.
    pub fn set(&self, source: SourceId, reading: Reading) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(source, reading);
    }
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// No header, or no JSON object, was recognised; the event is whole and marked.
    pub unparsed: bool,
}

/// Writes the events of one batch.
#[derive(Debug)]
pub struct Encoder {
    kind: Kind,
    ids: EventIdWriter,
    parser: Parser,
    fields: Fields,
    /// Of times without one.
    zone: jiff::tz::TimeZone,
    /// `"@metadata":{…,"_id":`
    metadata: String,
    /// `"agent":{…},"input":{…},"ecs":{…}`
    agent: String,
    /// `{"source":…,"kind":…,"appliance":…`, the start of `sapphire`.
    about: String,
    origin: OriginText,
    seen: syslog::Seen,
    /// The id of the event being written, as a JSON string.
    id: Vec<u8>,
    /// Its time of receipt.
    received: Stamp,
    /// Its own time.
    time: Stamp,
}

impl Encoder {
    /// Prepares what all events of the batch share. `name` is the box's, as people know it.
    #[must_use]
    pub fn new(appliance: ApplianceId, name: &str, number: BatchNumber, batch: &Batch, reading: &Reading) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let kind = batch.kind();
        let (word, input) = match kind {
            Kind::Syslog => ("syslog", "syslog"),
            Kind::Beats => ("beats", "lumberjack"),
            Kind::Notice => ("notice", "internal"),
            Kind::Line => ("line", "ssh"),
            Kind::Pulled => ("pulled", "https"),
            Kind::EventHub => ("event_hub", "azure-eventhub"),
        };
        let (name, source) = (quoted(name), quoted(batch.source().as_str()));
        Self {
            kind,
            ids: EventIdWriter::new(appliance, number),
            parser: Parser::new(reading),
            fields: reading.fields,
            zone: reading.time_zone.clone(),
            metadata: format!(r#""@metadata":{{"beat":"{BEAT}","type":"_doc","version":"{version}","_id":"#),
            agent: format!(
                r#""agent":{{"type":"{BEAT}","version":"{version}","id":"{appliance}","name":{name}}},"input":{{"type":"{input}"}},"ecs":{{"version":"{ECS_VERSION}"}}"#
            ),
            about: format!(r#"{{"source":{source},"kind":"{word}","appliance":"{appliance}""#),
            origin: OriginText::default(),
            seen: syslog::Seen::default(),
            id: Vec::new(),
            received: Stamp::default(),
            time: Stamp::default(),
        }
    }

    /// Appends the event as one JSON object, without a line end. `index` is its place in the batch, from 0.
    pub fn write(&mut self, index: u32, record: &Record<'_>, to: &mut Vec<u8>) -> Encoded {
        self.id.clear();
        json::string(&mut self.id, self.ids.id(index, record.id));
        self.origin.set(record.origin);
        self.received.set(record.received);
        match self.kind {
            Kind::Syslog => self.write_syslog(record, to),
            Kind::Beats | Kind::Notice => self.write_beats(record, to),
            Kind::Line => self.write_line(record, to),
            Kind::Pulled => self.write_pulled(record, to),
            Kind::EventHub => self.write_event_hub(record, to),
        }
    }

    /// `{"@timestamp":…,"@metadata":{…},"message":…,"event":{…`: the start of an event that this box words.
    fn begin(&mut self, time: Timestamp, text: &Text<'_>, to: &mut Vec<u8>) {
        to.reserve(3 * text.as_str().len() + 1_024);
        self.time.set(time);
        to.extend_from_slice(br#"{"@timestamp":""#);
        to.extend_from_slice(&self.time.text);
        to.extend_from_slice(b"\",");
        to.extend_from_slice(self.metadata.as_bytes());
        to.extend_from_slice(&self.id);
        to.extend_from_slice(br#"},"message":"#);
        json::string(to, text.as_str());
        to.extend_from_slice(br#","event":{"id":"#);
        to.extend_from_slice(&self.id);
        to.extend_from_slice(br#","created":""#);
        to.extend_from_slice(&self.received.text);
        to.push(b'"');
    }

    /// `,"source":{…},"host":{…},"agent":{…},…,"sapphire":{…`, up to what depends on the kind.
    fn about(&self, host: Option<&str>, to: &mut Vec<u8>) {
        if !self.origin.peer.is_empty() {
            to.extend_from_slice(br#","source":"#);
            to.extend_from_slice(self.origin.peer.as_bytes());
        }
        if let Some(host) = host {
            to.extend_from_slice(br#","host":{"name":"#);
            json::string(to, host);
            to.push(b'}');
        }
        to.push(b',');
        to.extend_from_slice(self.agent.as_bytes());
        to.extend_from_slice(br#","sapphire":"#);
        self.arrival(to);
    }

    /// `{"source":…,…,"received":…,"transport":…`: the start of `sapphire`.
    fn arrival(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self.about.as_bytes());
        to.extend_from_slice(br#","received":""#);
        to.extend_from_slice(&self.received.text);
        to.extend_from_slice(self.origin.transport.as_bytes());
    }
}

/// `,"marks":[…]`, `,"cut_from":…`, `,"raw_base64":…`, each where it applies.
fn oddities(marks: Marks, more: &[&'static str], exact: bool, record: &Record<'_>, to: &mut Vec<u8>) {
    if !marks.is_empty() || !more.is_empty() {
        let words = marks.iter().map(crate::wire::syslog::Mark::as_str).chain(more.iter().copied());
        for (at, word) in words.enumerate() {
            to.extend_from_slice(if at == 0 { br#","marks":[""# } else { b"\",\"" });
            to.extend_from_slice(word.as_bytes());
        }
        to.extend_from_slice(b"\"]");
    }
    if let Some(length) = record.cut_from {
        to.extend_from_slice(br#","cut_from":"#);
        json::number(to, length);
    }
    if !exact {
        to.extend_from_slice(br#","raw_base64":""#);
        to.extend_from_slice(STANDARD.encode(record.bytes).as_bytes());
        to.push(b'"');
    }
}

/// A time in words. Most events are of the same second as the one before: then only the milliseconds are written.
#[derive(Debug)]
struct Stamp {
    second: u64,
    text: [u8; 24],
}

impl Default for Stamp {
    fn default() -> Self {
        let mut stamp = Self { second: 0, text: [0; 24] };
        let _ = Timestamp(0).write_rfc3339(&mut stamp.text);
        stamp
    }
}

impl Stamp {
    fn set(&mut self, time: Timestamp) {
        let (second, micros) = (time.micros() / 1_000_000, time.micros() % 1_000_000);
        if second != self.second {
            self.second = second;
            let _ = time.write_rfc3339(&mut self.text);
            return;
        }
        let digit = |value: u64| b'0' + u8::try_from(value % 10).unwrap_or(0);
        let [.., hundreds, tens, ones, _] = &mut self.text;
        (*hundreds, *tens, *ones) = (digit(micros / 100_000), digit(micros / 10_000), digit(micros / 1_000));
    }
}

fn quoted(text: &str) -> String {
    let mut to = Vec::new();
    json::string(&mut to, text);
    String::from_utf8(to).unwrap_or_default()
}

/// An origin in words, kept while events come from the same one.
#[derive(Debug)]
struct OriginText {
    origin: Origin,
    /// `","transport":"…"` and `,"client":…`: closes the string before it.
    transport: String,
    /// `{"ip":…,"port":…}`, or nothing.
    peer: String,
    /// `192.0.2.1:514`, or nothing.
    address: String,
}

impl Default for OriginText {
    fn default() -> Self {
        let mut text = Self {
            origin: Origin::new(Transport::Internal, None),
            transport: String::new(),
            peer: String::new(),
            address: String::new(),
        };
        text.spell();
        text
    }
}

impl OriginText {
    fn set(&mut self, origin: &Origin) {
        if self.origin != *origin {
            self.origin = origin.clone();
            self.spell();
        }
    }

    fn spell(&mut self) {
        self.transport.clear();
        self.peer.clear();
        self.address.clear();
        let transport = self.origin.transport.as_str();
        // Writing to a string cannot fail.
        let _ = write!(self.transport, r#"","transport":"{transport}""#);
        if let Some(name) = &self.origin.name {
            let key = if self.origin.transport == Transport::Https { "feed" } else { "client" };
            let _ = write!(self.transport, r#","{key}":{}"#, quoted(name));
        }
        if let Some(peer) = self.origin.peer {
            // A socket for both versions shows IPv4 peers inside IPv6.
            let (ip, port) = (peer.ip().to_canonical(), peer.port());
            let _ = write!(self.peer, r#"{{"ip":"{ip}","port":{port}}}"#);
            let _ = write!(self.address, "{}", std::net::SocketAddr::new(ip, port));
        }
    }
}
