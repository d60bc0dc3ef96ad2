//! What a writer sends, window by window; and acks, both ways.

use flate2::{Compress, Compression, FlushCompress, Status};

use super::{ACK, COMPRESSED, JSON, Malformed, VERSION, WINDOW};

/// A buffer that once grew past this is given back: four times the usual size of a window.
const KEEP: usize = 8 << 20;

/// Packs events into windows: the exact count, events numbered from 1, and one compressed block if a level is set.
///
/// Numbers start at 1 in each window because some readers acknowledge the number and some the count (go-lumber): so both
/// mean the same.
#[derive(Debug)]
pub struct Encoder {
    frames: Vec<u8>,
    count: u32,
    deflate: Option<Compress>,
}

impl Encoder {
    /// `level` is zlib's: 0 sends plain frames, 1 is fastest, 9 smallest; more is taken as 9.
    #[must_use]
    pub fn new(level: u32) -> Self {
        let deflate = (level > 0).then(|| Compress::new(Compression::new(level.min(9)), true));
        Self { frames: Vec::new(), count: 0, deflate }
    }

    /// Appends one event; `write` must append a JSON object to the buffer it is given and leave the rest alone.
    pub fn event<R>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        self.count += 1;
        self.frames.extend_from_slice(&[VERSION, JSON]);
        self.frames.extend_from_slice(&self.count.to_be_bytes());
        let length_at = self.frames.len();
        self.frames.extend_from_slice(&[0; 4]);
        let result = write(&mut self.frames);
        let length = self.frames.len() - length_at - 4;
        put_length(&mut self.frames, length_at, length);
        result
    }

    /// Events in the window so far.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Bytes of the window so far, before compression.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.frames.len()
    }

    /// Appends the whole window to `to` and starts the next. Appends nothing if there are no events: Logstash and go-lumber
    /// differ on whether an empty window is answered.
    pub fn finish(&mut self, to: &mut Vec<u8>) {
        if self.count == 0 {
            return;
        }
        to.extend_from_slice(&[VERSION, WINDOW]);
        to.extend_from_slice(&self.count.to_be_bytes());
        let window_end = to.len();
        let packed = self.deflate.as_mut().is_some_and(|deflate| compress(deflate, &self.frames, to));
        if !packed {
            to.truncate(window_end);
            to.extend_from_slice(&self.frames);
        }
        self.count = 0;
        self.frames.clear();
        self.frames.shrink_to(KEEP);
    }
}

/// Appends a compressed frame; false if zlib would not.
fn compress(deflate: &mut Compress, frames: &[u8], to: &mut Vec<u8>) -> bool {
    deflate.reset();
    to.extend_from_slice(&[VERSION, COMPRESSED]);
    let length_at = to.len();
    to.extend_from_slice(&[0; 4]);
    loop {
        // Logs shrink to a quarter or less; what is larger takes another round.
        to.reserve((frames.len() / 4).max(4 << 10));
        let done = usize::try_from(deflate.total_in()).unwrap_or(usize::MAX);
        let rest = frames.get(done..).unwrap_or_default();
        match deflate.compress_vec(rest, to, FlushCompress::Finish) {
            Ok(Status::StreamEnd) => break,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
    let length = to.len() - length_at - 4;
    put_length(to, length_at, length);
    true
}

fn put_length(bytes: &mut [u8], at: usize, length: usize) {
    if let Some(place) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<4>()) {
        *place = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    }
}

/// The bytes of an ack: all events of the window up to `sequence` are taken. 0 says only "still at work".
#[must_use]
pub fn ack(sequence: u32) -> [u8; 6] {
    let [a, b, c, d] = sequence.to_be_bytes();
    [VERSION, ACK, a, b, c, d]
}

/// Takes a reader's answers as they come.
#[derive(Debug, Default)]
pub struct AckDecoder {
    frame: [u8; 6],
    filled: usize,
}

impl AckDecoder {
    /// Takes bytes off the front of `from` and returns the next acknowledged sequence, or `None` when all are used up.
    ///
    /// # Errors
    /// As soon as a byte cannot belong to an ack of version 2.
    pub fn next_ack(&mut self, from: &mut &[u8]) -> Result<Option<u32>, Malformed> {
        while let Some((byte, rest)) = from.split_first() {
            match (self.filled, *byte) {
                (0, VERSION) | (1, ACK) | (2.., _) => {}
                (0, b'1') => return Err(Malformed::VersionOne),
                (0, other) => return Err(Malformed::Version(other)),
                (_, other) => return Err(Malformed::Type(other)),
            }
            if let Some(place) = self.frame.get_mut(self.filled) {
                *place = *byte;
            }
            *from = rest;
            self.filled += 1;
            if self.filled == self.frame.len() {
                self.filled = 0;
                let [_, _, a, b, c, d] = self.frame;
                return Ok(Some(u32::from_be_bytes([a, b, c, d])));
            }
        }
        Ok(None)
    }
}
