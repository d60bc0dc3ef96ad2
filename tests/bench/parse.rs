//! Where messages end, as cheaply as can be; and their marks, where asked for.

use std::sync::atomic::Ordering;

use flate2::read::ZlibDecoder;
use std::io::Read as _;

use super::lines::{MARK_AT, mark};
use super::receiver::{Counters, Marks};

/// Takes what a connection brings.
pub trait Parser {
    /// Takes whole messages off the front, counts them and returns how many bytes that was; appends what is to be answered.
    fn take(&mut self, bytes: &[u8], counters: &Counters, answer: &mut Vec<u8>) -> usize;
}

/// Octet-counted messages, or lines.
#[derive(Debug)]
pub struct Syslog {
    marks: Marks,
    counted: Option<bool>,
}

impl Syslog {
    pub fn new(marks: Marks) -> Self {
        Self { marks, counted: None }
    }

    fn event(&self, message: &[u8], counters: &Counters) {
        if let Some(mark) = mark(message) {
            counters.mark(self.marks, mark);
        }
    }

    fn counted(&self, bytes: &[u8], counters: &Counters) -> usize {
        let (mut at, mut events) = (0, 0);
        while let Some((digits, length)) = count(&bytes[at..]) {
            let start = at + digits;
            let Some(message) = bytes.get(start..start + length) else { break };
            if self.marks == Marks::None {
                events += 1;
            } else {
                self.event(message, counters);
            }
            at = start + length;
        }
        counters.events.fetch_add(events, Ordering::Relaxed);
        at
    }

    fn lines(&self, bytes: &[u8], counters: &Counters) -> usize {
        if self.marks == Marks::None {
            counters.events.fetch_add(memchr::memchr_iter(b'\n', bytes).count() as u64, Ordering::Relaxed);
            return bytes.len();
        }
        let mut at = 0;
        while let Some(length) = memchr::memchr(b'\n', &bytes[at..]) {
            self.event(&bytes[at..at + length], counters);
            at += length + 1;
        }
        at
    }
}

impl Parser for Syslog {
    fn take(&mut self, bytes: &[u8], counters: &Counters, _: &mut Vec<u8>) -> usize {
        let counted = *self.counted.get_or_insert_with(|| bytes.first().is_some_and(u8::is_ascii_digit));
        if counted { self.counted(bytes, counters) } else { self.lines(bytes, counters) }
    }
}

/// The length at the front and the bytes it takes, the blank included.
fn count(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate().take(8) {
        match byte {
            b'0'..=b'9' => value = value * 10 + usize::from(byte - b'0'),
            _ => return Some((at + 1, value)),
        }
    }
    None
}

/// Lumberjack frames: window, JSON, compressed.
#[derive(Debug)]
pub struct Beats {
    marks: Marks,
    window: u32,
    missing: u32,
}

impl Beats {
    pub fn new(marks: Marks) -> Self {
        Self { marks, window: 0, missing: 0 }
    }

    fn events(&mut self, count: u32, counters: &Counters, answer: &mut Vec<u8>) {
        if self.marks == Marks::None {
            counters.events.fetch_add(count.into(), Ordering::Relaxed);
        }
        self.missing = self.missing.saturating_sub(count);
        if self.missing == 0 {
            answer.extend_from_slice(b"2A");
            answer.extend_from_slice(&self.window.to_be_bytes());
        }
    }

    /// Counts the JSON frames of a block one by one, for their marks.
    fn json(&self, block: &[u8], counters: &Counters) {
        for at in memchr::memmem::find_iter(block, br#""message":"<"#) {
            let message = &block[at + br#""message":""#.len()..];
            debug_assert!(message.len() > MARK_AT);
            if let Some(mark) = mark(message) {
                counters.mark(self.marks, mark);
            }
        }
    }
}

impl Parser for Beats {
    fn take(&mut self, bytes: &[u8], counters: &Counters, answer: &mut Vec<u8>) -> usize {
        let mut at = 0;
        let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
        while let Some(kind) = bytes.get(at + 1) {
            match kind {
                b'W' => {
                    let Some(count) = word(at + 2) else { break };
                    (self.window, self.missing) = (count, count);
                    at += 6;
                }
                b'C' => {
                    let Some(block) = word(at + 2).and_then(|length| bytes.get(at + 6..at + 6 + length as usize))
                    else {
                        break;
                    };
                    if self.marks != Marks::None {
                        let mut inflated = Vec::new();
                        let _ = ZlibDecoder::new(block).read_to_end(&mut inflated);
                        self.json(&inflated, counters);
                    }
                    at += 6 + block.len();
                    self.events(self.missing, counters, answer);
                }
                _ => {
                    let Some(frame) = word(at + 6).and_then(|length| bytes.get(at + 10..at + 10 + length as usize))
                    else {
                        break;
                    };
                    if self.marks != Marks::None {
                        self.json(frame, counters);
                    }
                    at += 10 + frame.len();
                    self.events(1, counters, answer);
                }
            }
        }
        at
    }
}
