//! What a writer sends, frame by frame, from however many pieces it comes in.

use flate2::{Decompress, FlushDecompress, Status};

use super::{COMPRESSED, JSON, Malformed, VERSION, WINDOW};

/// Room made for each read: two TLS records. Every idle connection holds this much.
const READ: usize = 32 << 10;
/// Room made for each step of inflating: small beside a CPU's cache, large beside zlib's own steps.
const INFLATE: usize = 64 << 10;
/// A buffer that once grew past this is given back when it is empty, so that one large event does not stay in memory.
const KEEP: usize = 256 << 10;

/// What a peer may announce. Each is met by refusing, never by cutting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Events in one window. go-lumber's server takes 10,000 since 0.2.0; Filebeat sends 2,048.
    pub max_window: u32,
    /// Bytes of one event, and of one compressed block before it is inflated.
    pub max_frame: usize,
    /// Bytes that one compressed block may inflate to.
    pub max_inflated: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // 16 MiB: Filebeat cuts a line at 10 MiB by default (max_bytes), and its fields come on top. 64 MiB: a full window
        // of 2,048 events of 32 KiB each.
        Self { max_window: 10_000, max_frame: 16 << 20, max_inflated: 64 << 20 }
    }
}

/// One frame from a writer, with compression taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// This many events follow. Zero is possible: go-lumber ignores it, Logstash answers it with ack 0.
    Window {
        /// Events that follow.
        count: u32,
    },
    /// One event: bytes that should be a JSON object (not checked here).
    Event {
        /// The number to acknowledge it by.
        sequence: u32,
        /// Never empty.
        json: &'a [u8],
        /// Whether it fills its window.
        is_last: bool,
    },
}

/// Takes bytes as they come and gives frames. Holds at most one event, plus what one read brought.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    input: Buffer,
    inflated: Buffer,
    inflater: Option<Decompress>,
    block: Option<Block>,
    missing: u32,
}

/// The compressed frame that is being read.
#[derive(Debug)]
struct Block {
    /// Bytes of the frame that have not been inflated.
    left: usize,
    /// Bytes that came out so far.
    produced: usize,
    /// The zlib stream has ended.
    ended: bool,
}

enum Head {
    Window { count: u32 },
    Json { sequence: u32, length: usize },
    Compressed { length: usize },
}

/// Where the event that was found lies.
struct Found {
    in_block: bool,
    sequence: u32,
    start: usize,
    end: usize,
}

enum Step {
    Window(u32),
    Event(Found),
    More,
}

impl Decoder {
    /// A decoder at the start of a connection.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let (input, inflated) = (Buffer::default(), Buffer::default());
        Self { limits, input, inflated, inflater: None, block: None, missing: 0 }
    }

    /// Where to append the next bytes from the socket: has room for one read. What stands in it must stay.
    pub fn input(&mut self) -> &mut Vec<u8> {
        self.input.room(READ)
    }

    /// How many events the window still lacks; 0 between windows.
    #[must_use]
    pub fn missing(&self) -> u32 {
        self.missing
    }

    /// Whether the peer stopped inside a frame or a window.
    #[must_use]
    pub fn is_midway(&self) -> bool {
        self.missing > 0 || self.block.is_some() || !self.input.rest().is_empty()
    }

    /// The next frame, or `None` until more bytes are in [`Decoder::input`].
    ///
    /// # Errors
    /// When the bytes break the protocol or a limit. The decoder is of no use after that.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, Malformed> {
        let found = match self.step()? {
            Step::More => return Ok(None),
            Step::Window(count) => return Ok(Some(Frame::Window { count })),
            Step::Event(found) => found,
        };
        self.missing = self.missing.checked_sub(1).ok_or(Malformed::OutsideWindow)?;
        let from = if found.in_block { &self.inflated } else { &self.input };
        let json = from.data.get(found.start..found.end).unwrap_or_default();
        Ok(Some(Frame::Event { sequence: found.sequence, json, is_last: self.missing == 0 }))
    }

    /// Bytes of memory held for both buffers.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.input.data.capacity() + self.inflated.data.capacity()
    }

    fn step(&mut self) -> Result<Step, Malformed> {
        loop {
            let in_block = self.block.is_some();
            let from = if in_block { &mut self.inflated } else { &mut self.input };
            match head(from.rest())? {
                Some((Head::Json { sequence, length }, header)) => {
                    self.limits.check_frame(length)?;
                    if self.missing == 0 {
                        return Err(Malformed::OutsideWindow);
                    }
                    if let Some((start, end)) = from.take(header, length) {
                        return Ok(Step::Event(Found { in_block, sequence, start, end }));
                    }
                }
                Some((Head::Window { .. }, _)) if in_block => return Err(Malformed::NestedWindow),
                Some((Head::Compressed { .. }, _)) if in_block => return Err(Malformed::NestedCompression),
                Some((Head::Window { count }, header)) => {
                    from.skip(header);
                    self.open_window(count)?;
                    return Ok(Step::Window(count));
                }
                Some((Head::Compressed { length }, header)) => {
                    from.skip(header);
                    self.open_block(length)?;
                    continue;
                }
                None => {}
            }
            if !in_block || !self.inflate()? {
                return Ok(Step::More);
            }
        }
    }

    fn open_window(&mut self, count: u32) -> Result<(), Malformed> {
        if self.missing > 0 {
            return Err(Malformed::InsideWindow { missing: self.missing });
        }
        if count > self.limits.max_window {
            return Err(Malformed::WindowTooLarge { count, limit: self.limits.max_window });
        }
        self.missing = count;
        Ok(())
    }

    fn open_block(&mut self, length: usize) -> Result<(), Malformed> {
        self.limits.check_frame(length)?;
        if self.missing == 0 {
            return Err(Malformed::OutsideWindow);
        }
        match &mut self.inflater {
            Some(inflater) => inflater.reset(true),
            none => *none = Some(Decompress::new(true)),
        }
        self.block = Some(Block { left: length, produced: 0, ended: false });
        Ok(())
    }

    /// Inflates a piece, or closes the block at its end. False if bytes from the socket are needed first.
    fn inflate(&mut self) -> Result<bool, Malformed> {
        let (Some(block), Some(inflater)) = (&mut self.block, &mut self.inflater) else { return Ok(true) };
        if block.ended {
            if block.left > 0 {
                return Err(Malformed::Trailing);
            }
            if !self.inflated.rest().is_empty() {
                return Err(Malformed::CutShort);
            }
            self.inflated.clear();
            self.block = None;
            return Ok(true);
        }
        let piece = self.input.rest();
        let piece = piece.get(..block.left).unwrap_or(piece);
        if piece.is_empty() && block.left > 0 {
            return Ok(false);
        }
        let (read, made) = (inflater.total_in(), inflater.total_out());
        let to = self.inflated.room(INFLATE);
        let status = inflater.decompress_vec(piece, to, FlushDecompress::None).map_err(|_| Malformed::Zlib)?;
        let read = usize::try_from(inflater.total_in() - read).map_err(|_| Malformed::Zlib)?;
        let made = usize::try_from(inflater.total_out() - made).map_err(|_| Malformed::Zlib)?;
        self.input.skip(read);
        block.left = block.left.saturating_sub(read);
        block.produced = block.produced.saturating_add(made);
        block.ended = status == Status::StreamEnd;
        if block.produced > self.limits.max_inflated {
            return Err(Malformed::InflatedTooLarge { limit: self.limits.max_inflated });
        }
        if read == 0 && made == 0 && !block.ended {
            return Err(Malformed::CutShort);
        }
        Ok(true)
    }
}

impl Limits {
    fn check_frame(&self, length: usize) -> Result<(), Malformed> {
        if length == 0 {
            return Err(Malformed::EmptyFrame);
        }
        if length > self.max_frame {
            return Err(Malformed::FrameTooLarge { length, limit: self.max_frame });
        }
        Ok(())
    }
}

/// Reads a frame's head and its length in bytes; `None` if it is not all there. Wrong bytes are told from the first.
fn head(bytes: &[u8]) -> Result<Option<(Head, usize)>, Malformed> {
    match bytes.first() {
        None => return Ok(None),
        Some(b'1') => return Err(Malformed::VersionOne),
        Some(&VERSION) => {}
        Some(other) => return Err(Malformed::Version(*other)),
    }
    let Some(kind) = bytes.get(1) else { return Ok(None) };
    if ![WINDOW, JSON, COMPRESSED].contains(kind) {
        return Err(Malformed::Type(*kind));
    }
    let number = |at: usize| bytes.get(at..)?.first_chunk().copied().map(u32::from_be_bytes);
    let length = |at: usize| number(at).map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    Ok(match *kind {
        WINDOW => number(2).map(|count| (Head::Window { count }, 6)),
        COMPRESSED => length(2).map(|length| (Head::Compressed { length }, 6)),
        _ => number(2).zip(length(6)).map(|(sequence, length)| (Head::Json { sequence, length }, 10)),
    })
}

/// Bytes of which the front is used up. Grows only by what really came, so an announced length costs nothing.
#[derive(Debug, Default)]
struct Buffer {
    data: Vec<u8>,
    start: usize,
}

impl Buffer {
    fn rest(&self) -> &[u8] {
        self.data.get(self.start..).unwrap_or_default()
    }

    fn skip(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.data.len());
    }

    /// Skips a header and a body if both are there, and tells where the body lies until the next [`Buffer::room`].
    fn take(&mut self, header: usize, length: usize) -> Option<(usize, usize)> {
        let start = self.start.checked_add(header)?;
        let end = start.checked_add(length).filter(|end| *end <= self.data.len())?;
        self.start = end;
        Some((start, end))
    }

    fn clear(&mut self) {
        self.start = 0;
        self.data.clear();
        self.data.shrink_to(KEEP);
    }

    /// The bytes, with room for `count` more. What is used up goes once it is half of all, so that each byte is moved
    /// about once.
    fn room(&mut self, count: usize) -> &mut Vec<u8> {
        if self.start == self.data.len() {
            self.clear();
        } else if self.start > self.data.len() / 2 {
            self.data.drain(..self.start);
            self.start = 0;
        }
        self.data.reserve(count);
        &mut self.data
    }
}
