//! Events as messages: what is published at once, and where.
//!
//! A chunk is a row of messages, each with its topic and the number of its events, which are acknowledged together. A
//! message holds events of one topic that stand one behind the other in the queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Payload;
use super::topic::Topic;
use crate::event::{Batch, BatchNumber, Record};
use crate::output::feed::Format;
use crate::output::json::Json;

/// Bytes of a message's payload that must not be passed, unless one event alone does. Changes with what the broker takes.
#[derive(Clone, Debug)]
pub(super) struct MostBytes(Arc<AtomicUsize>);

impl MostBytes {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    pub(super) fn set(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a message may hold.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) events: u32,
    pub(super) bytes: MostBytes,
}

/// A message of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part<'a> {
    pub(super) topic: &'a str,
    pub(super) payload: &'a [u8],
    pub(super) events: u32,
    /// Bytes of the chunk up to the end of this one.
    pub(super) length: usize,
}

impl<'a> Part<'a> {
    /// The first message of what is left of a chunk; `None` at its end.
    pub(super) fn first(chunk: &'a [u8]) -> Option<Self> {
        let (events, rest) = number(chunk)?;
        let (topic, rest) = number(rest)?;
        let (payload, rest) = number(rest)?;
        let (topic, rest) = rest.split_at_checked(topic as usize)?;
        let payload = rest.get(..payload as usize)?;
        let length = 3 * size_of::<u32>() + topic.len() + payload.len();
        Some(Self { topic: str::from_utf8(topic).ok()?, payload, events, length })
    }
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*number), rest))
}

/// Writes events as messages.
pub(super) struct Messages {
    json: Json,
    maker: Maker,
    template: Topic,
    name: Arc<str>,
}

impl Messages {
    pub(super) fn new(json: Json, template: Topic, name: Arc<str>, payload: Payload, limits: Limits) -> Self {
        Self { json, maker: Maker::new(payload, limits), template, name }
    }
}

impl Format for Messages {
    fn begin(&mut self, number: BatchNumber, batch: &Batch) {
        self.json.begin(number, batch);
        self.maker.turn_to(self.template.fill(&self.name, batch.source().as_str()));
    }

    fn record(&mut self, index: u32, record: &Record<'_>) -> bool {
        let json = &mut self.json;
        self.maker.event(|to| json.write(index, record, to))
    }

    fn bytes(&self) -> usize {
        self.maker.done.len() + self.maker.open.len()
    }

    fn finish(&mut self, to: &mut Vec<u8>) {
        self.maker.close();
        // The buffer that comes is empty: trading it for ours spares a copy.
        std::mem::swap(&mut self.maker.done, to);
        to.append(&mut self.maker.done);
    }
}

/// Cuts encoded events into messages.
struct Maker {
    payload: Payload,
    limits: Limits,
    topic: String,
    /// Whole messages.
    done: Vec<u8>,
    /// The payload of the one that is being made, and its events.
    open: Vec<u8>,
    events: u32,
}

impl Maker {
    fn new(payload: Payload, limits: Limits) -> Self {
        Self { payload, limits, topic: String::new(), done: Vec::new(), open: Vec::new(), events: 0 }
    }

    /// The events that follow go there.
    fn turn_to(&mut self, topic: String) {
        if topic != self.topic {
            self.close();
            self.topic = topic;
        }
    }

    fn event<T>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let start = self.open.len();
        let written = write(&mut self.open);
        if self.payload == Payload::Single {
            self.events = 1;
            self.close();
            return written;
        }
        self.open.push(b'\n');
        if self.events > 0 && self.open.len() > self.limits.bytes.get() {
            let last = self.open.split_off(start);
            self.close();
            self.open.extend_from_slice(&last);
        }
        self.events += 1;
        if self.events >= self.limits.events {
            self.close();
        }
        written
    }

    fn close(&mut self) {
        if self.events == 0 {
            return;
        }
        for number in [self.events as usize, self.topic.len(), self.open.len()] {
            // An event has at most 16 MiB, a message some events and the limit.
            self.done.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
        }
        self.done.extend_from_slice(self.topic.as_bytes());
        self.done.append(&mut self.open);
        self.events = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(mut chunk: &[u8]) -> Vec<(String, String, u32)> {
        let mut parts = Vec::new();
        while let Some(part) = Part::first(chunk) {
            parts.push((part.topic.to_owned(), String::from_utf8(part.payload.to_vec()).unwrap(), part.events));
            chunk = &chunk[part.length..];
        }
        assert!(chunk.is_empty());
        parts
    }

    fn maker(payload: Payload, events: u32, bytes: usize) -> Maker {
        Maker::new(payload, Limits { events, bytes: MostBytes::new(bytes) })
    }

    fn made(mut maker: Maker, events: &[(&str, &str)]) -> Vec<(String, String, u32)> {
        for (topic, text) in events {
            maker.turn_to((*topic).to_owned());
            maker.event(|to| to.extend_from_slice(text.as_bytes()));
        }
        maker.close();
        parts(&maker.done)
    }

    #[test]
    fn each_event_is_a_message_or_some_of_one_topic_are_lines_of_one() {
        let events = [("a", "1"), ("a", "2"), ("b", "3"), ("a", "4")];
        let part = |topic: &str, text: &str, count| (topic.to_owned(), text.to_owned(), count);
        assert_eq!(
            made(maker(Payload::Single, 10, 100), &events),
            [part("a", "1", 1), part("a", "2", 1), part("b", "3", 1), part("a", "4", 1)]
        );
        assert_eq!(
            made(maker(Payload::Batch, 10, 100), &events),
            [part("a", "1\n2\n", 2), part("b", "3\n", 1), part("a", "4\n", 1)]
        );
    }

    #[test]
    fn a_message_ends_before_its_bytes_are_too_many_and_a_larger_event_is_alone() {
        let events = [("a", "12"), ("a", "34"), ("a", "56"), ("a", "123456789"), ("a", "7")];
        let texts: Vec<_> = made(maker(Payload::Batch, 10, 6), &events).into_iter().map(|(_, text, _)| text).collect();
        assert_eq!(texts, ["12\n34\n", "56\n", "123456789\n", "7\n"]);
        let counts: Vec<_> =
            made(maker(Payload::Batch, 2, 100), &events).into_iter().map(|(.., count)| count).collect();
        assert_eq!(counts, [2, 2, 1]);
    }

    #[test]
    fn what_is_no_chunk_gives_no_message() {
        let mut maker = maker(Payload::Batch, 10, 100);
        maker.turn_to("a/b".to_owned());
        maker.event(|to| to.extend_from_slice(b"text"));
        maker.close();
        for cut in 0..maker.done.len() {
            assert_eq!(Part::first(&maker.done[..cut]), None);
        }
    }

    proptest! {
        #[test]
        fn every_event_comes_out_once_in_order_under_its_topic(
            events in proptest::collection::vec(("[ab]", "[x-z]{0,20}"), 0..60),
            most in (1u32..8, 1usize..50),
            is_single in any::<bool>(),
        ) {
            let payload = if is_single { Payload::Single } else { Payload::Batch };
            let given: Vec<_> = events.iter().map(|(topic, text)| (topic.as_str(), text.as_str())).collect();
            let parts = made(maker(payload, most.0, most.1), &given);
            let mut all = Vec::new();
            for (topic, text, count) in &parts {
                let lines: Vec<_> = if is_single { vec![text.as_str()] } else { text.lines().collect() };
                prop_assert_eq!(lines.len(), *count as usize);
                prop_assert!(*count == 1 || (*count <= most.0 && text.len() <= most.1), "{} {}", count, text);
                all.extend(lines.into_iter().map(|line| (topic.as_str(), line)));
            }
            prop_assert_eq!(all, given);
        }
    }
}
