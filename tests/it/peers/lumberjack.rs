//! Lumberjack version 2, written from the protocol's description and on purpose without `sapphire_edge::wire`.
//!
//! The decoder is strict: what a reader in the field would refuse fails the test. Frames (integers big endian): `2W`
//! count, `2J` sequence length JSON, `2C` length zlib, `2A` sequence.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde_json::Value;

/// A frame of a writer; compressed frames are opened.
#[derive(Debug)]
pub enum Frame {
    /// So many events follow.
    Window(u32),
    /// One event.
    Event(Event),
}

/// An event of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub sequence: u32,
    pub json: Value,
}

impl Event {
    /// The text.
    pub fn message(&self) -> &str {
        self.json["message"].as_str().unwrap_or_else(|| panic!("no message in {}", self.json))
    }

    /// What tells a repeat from a new event.
    pub fn id(&self) -> &str {
        self.json["@metadata"]["_id"].as_str().unwrap_or_else(|| panic!("no id in {}", self.json))
    }
}

/// Turns bytes into frames.
#[derive(Debug, Default)]
pub struct Decoder {
    outer: Vec<u8>,
    /// The rest of the compressed frame that was opened last.
    inner: Vec<u8>,
}

impl Decoder {
    /// Where received bytes go.
    pub fn input(&mut self) -> &mut Vec<u8> {
        &mut self.outer
    }

    /// The next frame; `None` if more bytes are needed.
    pub fn next_frame(&mut self) -> Option<Frame> {
        loop {
            if !self.inner.is_empty() {
                let (kind, body) = take(&mut self.inner).expect("a compressed frame ends inside a frame");
                assert_ne!(kind, b'C', "a compressed frame in a compressed frame");
                return Some(open(kind, &body));
            }
            let (kind, body) = take(&mut self.outer)?;
            if kind != b'C' {
                return Some(open(kind, &body));
            }
            let mut inflater = ZlibDecoder::new(&body[..]);
            inflater.read_to_end(&mut self.inner).expect("a compressed frame that cannot be opened");
            assert_eq!(inflater.total_in(), body.len() as u64, "bytes after the end of the zlib stream");
            assert!(!self.inner.is_empty(), "an empty compressed frame");
        }
    }
}

/// Takes a frame from the front: its kind, and what follows its fixed part (a `J` keeps its sequence).
fn take(bytes: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let number = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().unwrap()) as usize);
    let (version, kind) = (*bytes.first()?, *bytes.get(1)?);
    assert_eq!(version, b'2', "version {version:#x}");
    let (start, end) = match kind {
        b'W' => (2, 6),
        b'C' => (6, 6 + number(2)?),
        b'J' => (2, 10 + number(6)?),
        _ => panic!("frame type {kind:#x}"),
    };
    let body = bytes.get(start..end)?.to_vec();
    bytes.drain(..end);
    Some((kind, body))
}

fn open(kind: u8, body: &[u8]) -> Frame {
    let first = u32::from_be_bytes(body[..4].try_into().unwrap());
    if kind == b'W' {
        return Frame::Window(first);
    }
    let json =
        serde_json::from_slice(&body[8..]).unwrap_or_else(|err| panic!("{err} in {:?}", body[8..].escape_ascii()));
    Frame::Event(Event { sequence: first, json })
}

/// An acknowledgement up to and with `sequence`.
pub fn ack(sequence: u32) -> [u8; 6] {
    let mut frame = *b"2A\0\0\0\0";
    frame[2..].copy_from_slice(&sequence.to_be_bytes());
    frame
}

/// Takes an acknowledgement from the front; `None` if more bytes are needed.
pub fn take_ack(bytes: &mut Vec<u8>) -> Option<u32> {
    let frame: [u8; 6] = bytes.get(..6)?.try_into().unwrap();
    assert_eq!(frame[..2], *b"2A", "no acknowledgement");
    bytes.drain(..6);
    Some(u32::from_be_bytes(frame[2..].try_into().unwrap()))
}

/// The frames of a window whose events are numbered from `first`.
pub fn window(first: u32, events: &[&str]) -> Vec<u8> {
    let mut bytes = b"2W".to_vec();
    bytes.extend((events.len() as u32).to_be_bytes());
    bytes.extend(events_from(first, events));
    bytes
}

/// A window with its events in one compressed frame, numbered from 1.
pub fn compressed(events: &[&str]) -> Vec<u8> {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(&events_from(1, events)).unwrap();
    let packed = zlib.finish().unwrap();
    let mut bytes = b"2W".to_vec();
    bytes.extend((events.len() as u32).to_be_bytes());
    bytes.extend(b"2C");
    bytes.extend((packed.len() as u32).to_be_bytes());
    bytes.extend(packed);
    bytes
}

fn events_from(first: u32, events: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (sequence, event) in (first..).zip(events) {
        bytes.extend(b"2J");
        bytes.extend(sequence.to_be_bytes());
        bytes.extend((event.len() as u32).to_be_bytes());
        bytes.extend(event.as_bytes());
    }
    bytes
}
