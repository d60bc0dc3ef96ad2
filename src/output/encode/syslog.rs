//! A syslog record as an event.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::{Encoded, Encoder, json, oddities};
use crate::event::Record;
use crate::wire::kv;
use crate::wire::syslog::{MAX_PRIORITY, Mark, Message, StructuredData, Text, facility_name, severity_name, unescape};

/// Most pairs that become fields. Elasticsearch takes 1,000 fields in a whole index by default; the richest Sophos event
/// has about 100.
const MAX_FIELDS: usize = 512;

impl Encoder {
    pub(super) fn write_syslog(&mut self, record: &Record<'_>, to: &mut Vec<u8>) -> Encoded {
        let text = Text::of(record.bytes);
        let message = self.parser.parse(&text, record.received);
        self.begin(message.timestamp.unwrap_or(record.received), &text, to);
        if let Some(sequence) = message.sequence {
            to.extend_from_slice(br#","sequence":"#);
            json::number(to, sequence);
        }
        to.extend_from_slice(br#"},"log":{"syslog":"#);
        header(&message, to);
        if !self.origin.address.is_empty() {
            to.extend_from_slice(br#","source":{"address":""#);
            to.extend_from_slice(self.origin.address.as_bytes());
            to.extend_from_slice(b"\"}");
        }
        to.push(b'}');
        self.about(message.device.or(message.hostname), to);
        json::member(to, "format", Some(message.dialect.as_str()));
        json::member(to, "relay", message.relay);
        let mut more = Vec::new();
        if self.fields.wanted(message.dialect) {
            fields(&message, &mut self.seen, to, &mut more);
        }
        oddities(message.marks, &more, text.is_exact(), record, to);
        to.extend_from_slice(b"}}");
        Encoded { unparsed: message.marks.contains(Mark::Unparsed) }
    }
}

/// The object `log.syslog`.
fn header(message: &Message<'_>, to: &mut Vec<u8>) {
    to.extend_from_slice(priority(message.priority).as_bytes());
    json::member(to, "version", message.version);
    json::member(to, "hostname", message.hostname);
    json::member(to, "appname", message.appname);
    json::member(to, "procid", message.procid);
    json::member(to, "msgid", message.msgid);
    if !message.structured_data.is_empty() {
        to.extend_from_slice(br#","structured_data":"#);
        structured_data(&message.structured_data, to);
    }
    to.push(b'}');
}

/// `{"priority":…,"facility":{…},"severity":{…}`: there are 192 of them, put into words once.
fn priority(priority: u8) -> &'static str {
    static WORDS: LazyLock<Vec<String>> = LazyLock::new(|| {
        let word = |priority: u8| {
            let (facility, severity) = (facility_name(priority), severity_name(priority));
            let (facility_code, severity_code) = (priority >> 3, priority & 7);
            format!(
                r#"{{"priority":{priority},"facility":{{"code":{facility_code},"name":"{facility}"}},"severity":{{"code":{severity_code},"name":"{severity}"}}"#
            )
        };
        (0..=MAX_PRIORITY).map(word).collect()
    });
    WORDS.get(usize::from(priority)).map(String::as_str).unwrap_or_default()
}

/// An object of objects. Elements with one id are joined, values of one name become an array.
fn structured_data(data: &StructuredData<'_>, to: &mut Vec<u8>) {
    if is_unambiguous(data) {
        let elements = data.iter().map(|(id, params)| (id, params.iter().copied()));
        object(elements, to, |params, to| object(params, to, |value, to| json::string(to, &unescape(value))));
        return;
    }
    let mut joined: BTreeMap<&str, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for (id, params) in data.iter() {
        let element = joined.entry(id).or_default();
        for (name, value) in params {
            element.entry(name).or_default().push(value);
        }
    }
    object(joined, to, |params, to| object(params, to, |values, to| one_or_array(&values, to)));
}

/// True if no id and no name comes twice, and there are so few of them that it was cheap to see. Most senders write one
/// element with three names.
fn is_unambiguous(data: &StructuredData<'_>) -> bool {
    const FEW: usize = 24;
    let mut elements = 0;
    data.iter().enumerate().all(|(at, (id, params))| {
        elements += 1;
        let names = |at: usize, name: &str| !params.iter().take(at).any(|(other, _)| *other == name);
        elements <= FEW
            && params.len() <= FEW
            && !data.iter().take(at).any(|(other, _)| other == id)
            && params.iter().enumerate().all(|(at, (name, _))| names(at, name))
    })
}

fn object<'a, V>(
    members: impl IntoIterator<Item = (&'a str, V)>,
    to: &mut Vec<u8>,
    mut write: impl FnMut(V, &mut Vec<u8>),
) {
    to.push(b'{');
    for (at, (name, value)) in members.into_iter().enumerate() {
        if at > 0 {
            to.push(b',');
        }
        json::string(to, name);
        to.push(b':');
        write(value, to);
    }
    to.push(b'}');
}

fn one_or_array(values: &[&str], to: &mut Vec<u8>) {
    if let [value] = values {
        json::string(to, &unescape(value));
        return;
    }
    for (at, value) in values.iter().enumerate() {
        to.push(if at == 0 { b'[' } else { b',' });
        json::string(to, &unescape(value));
    }
    to.push(b']');
}

/// `,"fields":{…}` with the pairs of the body, each name once: the first of several counts, and the event says so.
fn fields(message: &Message<'_>, seen: &mut Seen, to: &mut Vec<u8>, more: &mut Vec<&'static str>) {
    seen.clear();
    let mut repeated = false;
    let mut open: &[u8] = br#","fields":{""#;
    for (key, value) in kv::pairs(message.body) {
        if seen.len() == MAX_FIELDS {
            more.push("fields_cut");
            break;
        }
        if !seen.insert(message.body, key) {
            repeated = true;
            continue;
        }
        to.extend_from_slice(open);
        to.extend_from_slice(key.as_bytes());
        to.extend_from_slice(b"\":");
        json::string(to, value);
        open = b",\"";
    }
    if seen.len() > 0 {
        to.push(b'}');
    }
    if repeated {
        more.push("repeated_field");
    }
}

/// The names of one event's fields: an open hash table that is emptied by counting up.
#[derive(Debug)]
pub(super) struct Seen {
    /// For each slot the round in which it was filled, and the place of the name.
    slots: Box<[(u32, u16)]>,
    round: u32,
    /// Start and end of each name in the text.
    names: Vec<(usize, usize)>,
}

/// Four times [`MAX_FIELDS`]: runs stay short.
const SLOTS: usize = 4 * MAX_FIELDS;

impl Default for Seen {
    fn default() -> Self {
        Self { slots: vec![(0, 0); SLOTS].into_boxed_slice(), round: 0, names: Vec::new() }
    }
}

impl Seen {
    fn clear(&mut self) {
        self.names.clear();
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            self.slots.fill((0, 0));
            self.round = 1;
        }
    }

    fn len(&self) -> usize {
        self.names.len()
    }

    /// False if the name, a slice of `text`, is there already.
    fn insert(&mut self, text: &str, name: &str) -> bool {
        let mut slot = hash(name.as_bytes()) % SLOTS;
        while let Some((round, place)) = self.slots.get(slot).copied() {
            if round != self.round {
                break;
            }
            let other = self.names.get(usize::from(place)).and_then(|(start, end)| text.get(*start..*end));
            if other == Some(name) {
                return false;
            }
            slot = (slot + 1) % SLOTS;
        }
        if let (Some(slot), Ok(place)) = (self.slots.get_mut(slot), u16::try_from(self.names.len())) {
            *slot = (self.round, place);
        }
        let start = (name.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
        self.names.push((start, start + name.len()));
        true
    }
}

/// Of the first and last eight bytes and the length. A sender that makes names collide costs itself 512 comparisons a
/// name at most.
fn hash(name: &[u8]) -> usize {
    let word = |word: Option<&[u8; 8]>| word.map(|word| u64::from_le_bytes(*word));
    let short = || name.iter().fold(0, |hash, byte| hash << 8 | u64::from(*byte));
    let (first, last) = (word(name.first_chunk()).unwrap_or_else(short), word(name.last_chunk()).unwrap_or(0));
    // 2^64 divided by the golden ratio: spreads neighbouring numbers.
    let hash = (first ^ last.rotate_left(29) ^ name.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(hash >> 40).unwrap_or(0)
}
