//! A record that is a JSON object already: passed on as it came, with our metadata.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Encoded, Encoder, json, oddities};
use crate::event::Record;
use crate::wire::syslog::{Marks, Text};

/// Deepest nesting passed on. Readers behind us end at 1,000 (Jackson 2.15, so Logstash) or at 128 (serde_json): an event
/// they refuse would come back for ever.
const DEEPEST: usize = 120;

impl Encoder {
    pub(super) fn write_beats(&mut self, record: &Record<'_>, to: &mut Vec<u8>) -> Encoded {
        let text = std::str::from_utf8(record.bytes).ok().map(str::trim_ascii);
        if let Some(text) = text
            && let Some(found) = Found::in_object(text)
        {
            self.pass_on(text, &found, record, to);
            return Encoded { unparsed: false };
        }
        let text = Text::of(record.bytes);
        self.begin(record.received, &text, to);
        to.push(b'}');
        self.about(None, to);
        oddities(Marks::default(), &["not_json"], text.is_exact(), record, to);
        to.extend_from_slice(b"}}");
        Encoded { unparsed: true }
    }

    fn pass_on(&self, text: &str, found: &Found<'_>, record: &Record<'_>, to: &mut Vec<u8>) {
        to.reserve(text.len() + 1_024);
        let (body, _) = text.split_at(text.len().saturating_sub(1));
        // Metadata of the sender that is no object, or names its id twice, is kept apart, as text.
        let mut kept_apart = None;
        match found.metadata {
            None => one_line(to, body),
            Some(metadata) => {
                let start = offset(text, metadata);
                let (before, after) =
                    (body.get(..start).unwrap_or_default(), body.get(start + metadata.len()..).unwrap_or_default());
                one_line(to, before);
                if !self.with_id(metadata, to) {
                    kept_apart = Some(metadata);
                    self.own_metadata(to);
                }
                one_line(to, after);
            }
        }
        let mut comma = found.members > 0;
        if found.metadata.is_none() {
            separate(&mut comma, to);
            to.extend_from_slice(br#""@metadata":"#);
            self.own_metadata(to);
        }
        if let Some(name) = found.free_name() {
            separate(&mut comma, to);
            json::string(to, name);
            to.push(b':');
            self.arrival(to);
            if !self.origin.peer.is_empty() {
                to.extend_from_slice(br#","peer":"#);
                to.extend_from_slice(self.origin.peer.as_bytes());
            }
            if let Some(metadata) = kept_apart {
                json::member(to, "metadata", Some(metadata));
            }
            oddities(Marks::default(), &[], true, record, to);
            to.push(b'}');
        }
        to.push(b'}');
    }

    /// `{"beat":…,"_id":…}` for events without metadata.
    fn own_metadata(&self, to: &mut Vec<u8>) {
        let object = self.metadata.find('{').and_then(|at| self.metadata.get(at..)).unwrap_or_default();
        to.extend_from_slice(object.as_bytes());
        to.extend_from_slice(&self.id);
        to.push(b'}');
    }

    /// Appends the sender's metadata with the event's id in it. False, and nothing appended, if there is no place for it.
    fn with_id(&self, metadata: &str, to: &mut Vec<u8>) -> bool {
        let Ok(Metadata { id, members }) = serde_json::from_str::<Metadata<'_>>(metadata) else { return false };
        let Some(id) = id else {
            let rest = metadata.get(1..).unwrap_or_default();
            to.extend_from_slice(br#"{"_id":"#);
            to.extend_from_slice(&self.id);
            if members > 0 {
                to.push(b',');
            }
            one_line(to, rest);
            return true;
        };
        let same = id.as_bytes() == self.id
            || serde_json::from_str::<String>(id)
                .is_ok_and(|id| serde_json::from_slice::<String>(&self.id).is_ok_and(|own| own == id));
        if same {
            one_line(to, metadata);
        } else {
            let start = offset(metadata, id);
            one_line(to, metadata.get(..start).unwrap_or_default());
            to.extend_from_slice(&self.id);
            one_line(to, metadata.get(start + id.len()..).unwrap_or_default());
        }
        true
    }
}

fn separate(comma: &mut bool, to: &mut Vec<u8>) {
    if std::mem::replace(comma, true) {
        to.push(b',');
    }
}

/// Copies JSON; line breaks, which can only stand between tokens, become blanks.
fn one_line(to: &mut Vec<u8>, text: &str) {
    let start = to.len();
    to.extend_from_slice(text.as_bytes());
    let copied = to.get_mut(start..).unwrap_or_default();
    if memchr::memchr2(b'\n', b'\r', copied).is_some() {
        for byte in copied.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
            *byte = b' ';
        }
    }
}

/// Where `part` begins in `text`, of which it is a slice.
fn offset(text: &str, part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize)
}

/// What matters in a sender's object.
#[derive(Debug, Default)]
struct Found<'a> {
    metadata: Option<&'a str>,
    members: usize,
    /// A bit for each of [`NAMES`] that is taken.
    taken: u16,
}

/// What our part may be called.
const NAMES: [&str; 10] = [
    "sapphire",
    "sapphire_relay",
    "sapphire_relay_2",
    "sapphire_relay_3",
    "sapphire_relay_4",
    "sapphire_relay_5",
    "sapphire_relay_6",
    "sapphire_relay_7",
    "sapphire_relay_8",
    "sapphire_relay_9",
];

impl<'a> Found<'a> {
    /// `None` if the text is no JSON object that every reader takes.
    fn in_object(text: &'a str) -> Option<Self> {
        if !text.starts_with('{') || is_too_deep(text.as_bytes()) {
            return None;
        }
        let found = serde_json::from_str(text).ok()?;
        // Half a surrogate pair is fine by the grammar, but many readers refuse it.
        let odd = |escape: &[u8]| memchr::memmem::find(text.as_bytes(), escape).is_some();
        if odd(b"\\ud") || odd(b"\\uD") {
            serde_json::from_str::<serde_json::Value>(text).ok()?;
        }
        Some(found)
    }

    fn free_name(&self) -> Option<&'static str> {
        NAMES.iter().enumerate().find(|(at, _)| self.taken & (1 << at) == 0).map(|(_, name)| *name)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Found<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Found<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found<'de>, A::Error> {
                let mut found = Found::default();
                while let Some(name) = map.next_key()? {
                    found.members += 1;
                    match name {
                        Name::Metadata if found.metadata.is_some() => {
                            return Err(serde::de::Error::custom("metadata twice"));
                        }
                        Name::Metadata => found.metadata = Some(map.next_value::<&RawValue>()?.get()),
                        Name::Ours(at) => {
                            found.taken |= 1 << at;
                            map.next_value::<IgnoredAny>()?;
                        }
                        Name::Other | Name::Id => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(found)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// The sender's metadata.
#[derive(Debug, Default)]
struct Metadata<'a> {
    /// The value of `_id` as it stands there.
    id: Option<&'a str>,
    members: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for Metadata<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Metadata<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata<'de>, A::Error> {
                let mut metadata = Metadata::default();
                while let Some(name) = map.next_key()? {
                    metadata.members += 1;
                    let value = map.next_value::<&RawValue>()?.get();
                    if matches!(name, Name::Id) && metadata.id.replace(value).is_some() {
                        return Err(serde::de::Error::custom("an id twice"));
                    }
                }
                Ok(metadata)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// A member's name, as far as it matters.
enum Name {
    Metadata,
    Id,
    Ours(usize),
    Other,
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E>(self, name: &str) -> Result<Name, E> {
                Ok(match name {
                    "@metadata" => Name::Metadata,
                    "_id" => Name::Id,
                    _ if name.starts_with("sapphire") => {
                        NAMES.iter().position(|ours| *ours == name).map_or(Name::Other, Name::Ours)
                    }
                    _ => Name::Other,
                })
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// True if objects and arrays stand more than [`DEEPEST`] deep in one another. Counting all of them tells quickly, mostly.
fn is_too_deep(text: &[u8]) -> bool {
    let opening = text.iter().filter(|byte| matches!(byte, b'{' | b'[')).count();
    if opening <= DEEPEST {
        return false;
    }
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                depth += 1;
                if depth > DEEPEST {
                    return true;
                }
            }
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}
