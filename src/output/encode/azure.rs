//! A record of an Azure event hub: its text as `message`, as Filebeat's azure-eventhub input gives it, with its place and
//! its stream.

use super::{Encoded, Encoder, json, oddities};
use crate::clock::Timestamp;
use crate::event::Record;
use crate::wire::azure::{Label, Place, label};
use crate::wire::syslog::{Marks, Text};

/// The marks that an envelope can have, so that they are words of ours and no text from the disk.
const MARKS: [&str; 8] = [
    "not_json",
    "not_an_object",
    "single_quotes",
    "line_delimited",
    "compressed",
    "empty_envelope",
    "odd_envelope",
    "no_bytes",
];

impl Encoder {
    pub(super) fn write_event_hub(&mut self, record: &Record<'_>, to: &mut Vec<u8>) -> Encoded {
        let (place, bytes) = match Place::read(record.bytes) {
            Some((place, bytes)) => (Some(place), bytes),
            None => (None, record.bytes),
        };
        let label = label(bytes, place.as_ref().map(|place| &*place.hub).unwrap_or_default());
        let enqueued = place.as_ref().map(|place| Timestamp(place.enqueued.saturating_mul(1_000)));
        let text = Text::of(bytes);
        self.begin(label.time.or(enqueued).unwrap_or(record.received), &text, to);
        json::member(to, "dataset", Some(label.dataset));
        to.extend_from_slice(br#"},"cloud":{"provider":"azure"}"#);
        if let Some(place) = &place {
            self.place(place, &label, to);
        }
        to.push(b',');
        to.extend_from_slice(self.agent.as_bytes());
        to.extend_from_slice(br#","sapphire":"#);
        self.arrival(to);
        let mark = place.as_ref().and_then(|place| place.mark.as_deref());
        let mark = MARKS.iter().find(|known| mark == Some(**known));
        let inner = Record { bytes, ..*record };
        oddities(Marks::default(), mark.map(std::slice::from_ref).unwrap_or_default(), text.is_exact(), &inner, to);
        to.extend_from_slice(b"}}");
        Encoded { unparsed: mark.is_some() || place.is_none() }
    }

    /// `,"azure":{…}`
    fn place(&mut self, place: &Place<'_>, label: &Label<'_>, to: &mut Vec<u8>) {
        to.extend_from_slice(br#","azure":{"eventhub":"#);
        json::string(to, &place.hub);
        for (name, value) in [
            ("namespace", Some(&*place.namespace)),
            ("consumer_group", Some(&*place.group)),
            ("partition_id", Some(&*place.partition)),
            ("offset", Some(&*place.offset)),
            ("partition_key", place.key.as_deref()),
            ("category", label.category.as_deref()),
            ("resource_id", label.resource.as_deref()),
        ] {
            json::member(to, name, value);
        }
        to.extend_from_slice(format!(r#","sequence_number":{},"record":{}"#, place.sequence, place.record).as_bytes());
        self.time.set(Timestamp(place.enqueued.saturating_mul(1_000)));
        to.extend_from_slice(br#","enqueued_time":""#);
        to.extend_from_slice(&self.time.text);
        to.extend_from_slice(b"\"}");
    }
}
