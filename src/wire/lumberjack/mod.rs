//! The Lumberjack protocol, version 2 (the "Beats" protocol), both directions, as bytes.
//!
//! In: what a writer sent, as it came from the socket ([`Decoder`]), or what a reader answered ([`AckDecoder`]). Out: whole
//! windows ([`Encoder`]) and acks ([`ack`]). Floor 1; the sessions that use it live in `source` and `output`.
//!
//! Facts (PROTOCOL.md of logstash-input-beats; go-lumber 0.2.0; both read 2026-11):
//!
//! ```text
//! W window      '2' 'W' u32 count                     events that follow before the writer waits
//! J event       '2' 'J' u32 sequence u32 length json
//! C compressed  '2' 'C' u32 length, one zlib stream of whole J frames
//! A ack         '2' 'A' u32 sequence                  all events up to it are taken; 0 is only a sign of life
//! ```
//!
//! All numbers are big-endian. Writers number the events of each window from 1 (go-lumber) or go on counting (pylogbeat);
//! so the right answer to both is the sequence of the window's last J frame, and numbers are not checked here.
//!
//! Decisions:
//! - Version 1 (`D` frames) is refused with an error of its own, so that it can be counted and explained.
//! - `C` inside `C` is refused: no known writer does it, and it is how a small frame becomes a large one twice.
//! - `W` inside `C` is refused, as go-lumber does. Logstash takes it; but then the window would not be known before the
//!   bytes are inflated, and the one client seen to do it (timbersnake) announces windows that it does not fill.
//! - A new `W` before the old window is full is an error. Logstash delivers half the window and then loses count.
//! - A compressed block is inflated piece by piece while it arrives and only as far as the next event, so neither a whole
//!   compressed frame nor a whole inflated one is ever held.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub use decode::{Decoder, Frame, Limits};
pub use encode::{AckDecoder, Encoder, ack};

const VERSION: u8 = b'2';
const WINDOW: u8 = b'W';
const JSON: u8 = b'J';
const COMPRESSED: u8 = b'C';
const ACK: u8 = b'A';

/// Why bytes are not Lumberjack. Reading on does not help: the connection has to end, and the sender will come again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The peer speaks version 1.
    #[error("the peer speaks lumberjack version 1, which is not supported; use filebeat 5 or newer")]
    VersionOne,
    /// The first byte of a frame is no known version.
    #[error("a frame starts with byte {0:#04x} instead of version '2'; is the peer a beats agent?")]
    Version(u8),
    /// The second byte of a frame is no type that may come here.
    #[error("a frame has the unknown type {0:#04x}")]
    Type(u8),
    /// A window is larger than the limit.
    #[error("a window of {count} events is over the limit of {limit}")]
    WindowTooLarge {
        /// As announced.
        count: u32,
        /// What is allowed.
        limit: u32,
    },
    /// A frame is larger than the limit.
    #[error("a frame of {length} bytes is over the limit of {limit}")]
    FrameTooLarge {
        /// As announced.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// An event or compressed block of no bytes.
    #[error("a frame announces no bytes")]
    EmptyFrame,
    /// One compressed block inflates to more than the limit.
    #[error("a compressed frame inflates to more than {limit} bytes")]
    InflatedTooLarge {
        /// What is allowed.
        limit: usize,
    },
    /// A compressed block inside a compressed block.
    #[error("a compressed frame holds a compressed frame")]
    NestedCompression,
    /// A window frame inside a compressed block.
    #[error("a compressed frame holds a window frame")]
    NestedWindow,
    /// The compressed bytes are no zlib stream.
    #[error("a compressed frame is not valid zlib")]
    Zlib,
    /// The compressed frame ends before its zlib stream or inside an event.
    #[error("a compressed frame ends too early")]
    CutShort,
    /// The zlib stream ends before its frame.
    #[error("a compressed frame goes on after the end of its zlib stream")]
    Trailing,
    /// An event came that no window announced.
    #[error("an event came without a window")]
    OutsideWindow,
    /// A window was announced before the one before was full.
    #[error("a new window came while {missing} events of the last one were missing")]
    InsideWindow {
        /// Events still to come.
        missing: u32,
    },
}
