//! Frames (specification 2.3 and 4.2.3): type, channel, length, payload, an end mark.

use super::Malformed;
use super::bytes::Reader;
use super::method;

/// The first bytes of a connection, from the client (4.2.2).
pub const PROTOCOL: [u8; 8] = *b"AMQP\x00\x00\x09\x01";
/// The byte that ends each frame.
pub const FRAME_END: u8 = 0xce;
/// A heartbeat, on channel 0, without payload (4.2.7).
pub const HEARTBEAT: [u8; 8] = [8, 0, 0, 0, 0, 0, 0, FRAME_END];

/// Type and channel, length: what stands before a payload.
const HEAD: usize = 7;

/// What a broker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// connection.start: the names of the login mechanisms.
    Start {
        /// Separated by blanks.
        mechanisms: String,
    },
    /// connection.secure: the login wants more than it was given.
    Secure,
    /// connection.tune.
    Tune(method::Tune),
    /// connection.open-ok.
    Opened,
    /// channel.open-ok.
    ChannelOpened,
    /// basic.qos-ok.
    Limited,
    /// queue.declare-ok.
    Declared {
        /// Messages that wait.
        messages: u32,
        /// Consumers that it has.
        consumers: u32,
    },
    /// basic.consume-ok.
    Consuming,
    /// basic.deliver: a message begins.
    Deliver {
        /// What an acknowledgement names.
        tag: u64,
        /// It was delivered before.
        redelivered: bool,
    },
    /// A content header: how long the message is.
    Length(u64),
    /// A piece of the message.
    Body(&'a [u8]),
    /// basic.cancel from the broker: the queue is gone (or its node).
    Cancelled,
    /// channel.flow: whether to go on. Only of meaning to who publishes, but it wants an answer.
    Flow(bool),
    /// connection.close (channel 0) or channel.close: code and text.
    Close {
        /// Whether it is the whole connection that ends.
        connection: bool,
        /// 403 access refused, 404 not found, 320 forced, and more (specification 1.3).
        code: u16,
        /// For people.
        text: String,
    },
    /// A sign of life.
    Heartbeat,
    /// Something that a consumer need not understand.
    Other,
}

/// Takes the first frame of `bytes`: what it says and its whole length. `None` while it is not all there. `most` is the longest
/// frame that was agreed.
///
/// # Errors
/// When these bytes never become a frame.
pub fn decode(bytes: &[u8], most: u32) -> Result<Option<(Event<'_>, usize)>, Malformed> {
    let mut reader = Reader(bytes);
    let Some(kind) = reader.u8() else { return Ok(None) };
    if !matches!(kind, 1 | 2 | 3 | 8) {
        let head = bytes.get(..4.min(bytes.len())).unwrap_or_default();
        return match b"AMQP".starts_with(head) {
            true if head.len() < 4 => Ok(None),
            true => Err(Malformed::Version),
            false => Err(Malformed::NotAmqp),
        };
    }
    let (Some(channel), Some(length)) = (reader.u16(), reader.u32()) else { return Ok(None) };
    // The agreed length is that of the whole frame (tune, frame-max).
    if length > most.saturating_sub(8) {
        return Err(Malformed::TooLong(length));
    }
    let end = HEAD + usize::try_from(length).map_err(|_| Malformed::TooLong(length))?;
    let (Some(payload), Some(last)) = (bytes.get(HEAD..end), bytes.get(end)) else { return Ok(None) };
    if *last != FRAME_END {
        return Err(Malformed::NoEnd);
    }
    let event = match kind {
        1 => method::read(payload, channel)?,
        2 => header(payload).ok_or(Malformed::Header)?,
        3 => Event::Body(payload),
        _ => Event::Heartbeat,
    };
    Ok(Some((event, end + 1)))
}

/// Class, weight, length of the body; then properties, which are passed over.
fn header(payload: &[u8]) -> Option<Event<'_>> {
    let mut reader = Reader(payload);
    let (_class, _weight) = (reader.u16()?, reader.u16()?);
    Some(Event::Length(reader.u64()?))
}

/// A frame around a payload.
pub(super) fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&channel.to_be_bytes());
    super::bytes::long(&mut bytes, payload);
    bytes.push(FRAME_END);
    bytes
}
