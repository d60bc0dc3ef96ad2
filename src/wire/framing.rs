//! Syslog over a stream of bytes: where one message ends and the next begins.
//!
//! In: bytes as they are read, straight into the decoder's buffer. Out: messages without their framing, borrowed from that
//! buffer. Memory is bounded: a message longer than the limit is kept up to it, and the rest is counted and let go.
//!
//! Facts: RFC 6587 section 3.4.1 (octet counting: length, blank, message) and 3.4.2 (a trailer after each message: LF; NUL and
//! CR LF are seen too); RFC 5425 section 4.3 (octet counting alone). Senders of both kinds do either over TCP and TLS. Some
//! with octet counting add a line feed after the counted bytes, or count one in; some lines end in NUL.
//!
//! Which of the two a connection speaks is seen at its first message: `digits blank <` is a count, everything else is lines.
//! From then on it is never guessed again. A wrong count ends the connection, because a guess about where the next message
//! begins would lose or forge events.
//!
//! Not supported: senders without any framing (Cisco IOS over TCP); [`Decoder::idle`] gives their text out after a pause.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How messages on a connection are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// Seen at the first message of each connection.
    #[default]
    Auto,
    /// Each ends in LF, CR LF or NUL, also where it begins like a count.
    Lines,
    /// Each begins with its length (RFC 5425).
    Counted,
}

/// A message without its framing and without trailing CR, LF and NUL; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The message, or the part of it that fits the limit.
    pub bytes: &'a [u8],
    /// Its length on the wire, where `bytes` is only the first part.
    pub cut_from: Option<u64>,
}

/// The peer broke octet counting. Nothing after this point of the connection can be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected the length of a message and found {found:?}: the sender counts wrong, or sends lines (then set framing = \"lines\")"
)]
pub struct FramingError {
    found: String,
}

/// Digits of a length that are read. RFC 5425 sets no limit; ten digits are 9 GB.
const MAX_DIGITS: usize = 10;
/// What is read at once at first; most connections carry a few small messages.
const FIRST_READ: usize = 8 << 10;
/// Room beyond the limit of a message, so that reads stay large while a long message is in the buffer.
const READ_AHEAD: usize = 16 << 10;

/// Takes the bytes of one connection and gives its messages.
///
/// Use: read into [`Decoder::space`], tell how much by [`Decoder::filled`], then call [`Decoder::next`] until it gives
/// nothing. At the end of the connection, [`Decoder::finish`].
#[derive(Debug)]
pub struct Decoder {
    state: State,
    max: usize,
    buffer: Vec<u8>,
    /// Begin of what was not given out, end of what was read, and how far a delimiter was looked for.
    start: usize,
    end: usize,
    scanned: usize,
    /// Bytes of the present message that were let go, all of them beyond the limit.
    let_go: u64,
    was_full: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unseen,
    Lines,
    /// Octet counting; the length of the present message once it is known.
    Counted(Option<u64>),
}

enum Count {
    Length { digits: usize, value: u64 },
    Incomplete,
    Wrong,
}

impl Decoder {
    /// A decoder for a new connection; messages are kept up to `max` bytes (at least 1).
    #[must_use]
    pub fn new(framing: Framing, max: usize) -> Self {
        let state = match framing {
            Framing::Auto => State::Unseen,
            Framing::Lines => State::Lines,
            Framing::Counted => State::Counted(None),
        };
        Self { state, max: max.max(1), buffer: Vec::new(), start: 0, end: 0, scanned: 0, let_go: 0, was_full: false }
    }

    /// Room to read into; never empty when [`Decoder::next`] gave nothing before. Grows up to 16 KiB over the limit while
    /// reads fill it.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.scanned -= self.start;
            self.start = 0;
        }
        let most = self.max.saturating_add(READ_AHEAD);
        if self.buffer.len() < most && (self.was_full || self.buffer.len() == self.end) {
            let larger = self.buffer.len().saturating_mul(2).clamp(FIRST_READ.min(most), most);
            self.buffer.resize(larger, 0);
        }
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    /// Tells that the first `count` bytes of [`Decoder::space`] were read.
    pub fn filled(&mut self, count: usize) {
        self.end = self.end.saturating_add(count).min(self.buffer.len());
        self.was_full = self.end == self.buffer.len();
    }

    /// The next whole message; `None` until more is read.
    ///
    /// # Errors
    /// When the peer breaks octet counting: the connection should be closed.
    #[expect(clippy::should_implement_trait, reason = "a frame borrows the buffer, which Iterator cannot say")]
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, FramingError> {
        loop {
            if !self.detect() || (self.state == State::Counted(None) && !self.read_count()?) {
                return Ok(None);
            }
            let found = if self.state == State::Lines { self.line() } else { self.counted() };
            match found {
                None => return Ok(None),
                Some((from, to, _)) if trim(self.buffer.get(from..to).unwrap_or_default()).is_empty() => {}
                Some(found) => return Ok(Some(self.frame(found))),
            }
        }
    }

    /// What is left at the end of the connection: an unfinished line, or the part of a counted message that came.
    pub fn finish(&mut self) -> Option<Frame<'_>> {
        let (from, to) = (self.start, self.end);
        let come = (to - from) as u64 + self.let_go;
        let length = match self.state {
            State::Counted(Some(length)) => length,
            // A length without a message.
            State::Counted(None) => return None,
            _ => come,
        };
        let kept = self.kept(from, to, come).min(self.max);
        (self.start, self.scanned, self.let_go) = (to, to, 0);
        if kept == 0 {
            return None;
        }
        let is_whole = length == come && come <= self.max as u64;
        Some(self.frame((from, from + kept, (!is_whole).then_some(length))))
    }

    /// What waits for its end while the peer is silent: a line without a line feed is given out, a counted message is not.
    pub fn idle(&mut self) -> Option<Frame<'_>> {
        if matches!(self.state, State::Counted(_)) {
            return None;
        }
        self.state = State::Lines;
        self.finish()
    }

    /// Whether something waits for its end.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        self.end > self.start || self.let_go > 0
    }

    fn frame(&self, (from, to, cut_from): (usize, usize, Option<u64>)) -> Frame<'_> {
        let bytes = self.buffer.get(from..to).unwrap_or_default();
        let bytes = if cut_from.is_some() { whole_characters(bytes) } else { trim(bytes) };
        Frame { bytes, cut_from }
    }

    /// Decides what the connection speaks; false while its first bytes do not tell.
    fn detect(&mut self) -> bool {
        if self.state == State::Unseen {
            self.skip_delimiters();
            self.state = match count(self.buffer.get(self.start..self.end).unwrap_or_default(), Some(b'<')) {
                Count::Incomplete => return false,
                Count::Length { .. } => State::Counted(None),
                Count::Wrong => State::Lines,
            };
        }
        true
    }

    /// Reads the length of the next counted message; false until it is complete.
    fn read_count(&mut self) -> Result<bool, FramingError> {
        self.skip_delimiters();
        let data = self.buffer.get(self.start..self.end).unwrap_or_default();
        match count(data, None) {
            Count::Incomplete => Ok(false),
            Count::Wrong => {
                let found = data.get(..data.len().min(20)).unwrap_or_default();
                Err(FramingError { found: String::from_utf8_lossy(found).into_owned() })
            }
            Count::Length { digits, value } => {
                self.start += digits + 1;
                self.scanned = self.start;
                self.state = State::Counted(Some(value));
                Ok(true)
            }
        }
    }

    /// The present counted message, once all of it has come.
    fn counted(&mut self) -> Option<(usize, usize, Option<u64>)> {
        let State::Counted(Some(length)) = self.state else { return None };
        let (from, have) = (self.start, self.end - self.start);
        if (have as u64) + self.let_go < length {
            self.let_go_beyond(self.max);
            return None;
        }
        // Fits: what is left of the length is at most what is in the buffer.
        let here = usize::try_from(length - self.let_go).unwrap_or(have);
        self.start = from + here;
        self.scanned = self.start;
        self.let_go = 0;
        self.state = State::Counted(None);
        let cut_from = (length > self.max as u64).then_some(length);
        Some((from, from + here.min(self.max), cut_from))
    }

    /// The present line, once its end has come.
    fn line(&mut self) -> Option<(usize, usize, Option<u64>)> {
        let from = self.start;
        let Some(at) = memchr::memchr2(b'\n', 0, self.buffer.get(self.scanned..self.end).unwrap_or_default()) else {
            self.scanned = self.end;
            if self.is_beyond((self.end - from) as u64) {
                self.let_go_beyond(self.max);
            }
            return None;
        };
        let to = self.scanned + at;
        let length = (to - from) as u64 + std::mem::take(&mut self.let_go);
        self.start = to + 1;
        self.scanned = self.start;
        let kept = self.kept(from, to, length);
        let cut_from = (kept > self.max || self.is_beyond(length)).then_some(length);
        Some((from, from + kept.min(self.max), cut_from))
    }

    /// Whether bytes of a line of this length are let go where it comes in pieces: one more may be its CR.
    fn is_beyond(&self, length: u64) -> bool {
        length > self.max as u64 + 1
    }

    /// Bytes of a message of this length that are in the buffer, without delimiters at its end. Where the end is not kept
    /// there is nothing to trim, or it would matter how the bytes came.
    fn kept(&self, from: usize, to: usize, length: u64) -> usize {
        if self.is_beyond(length) { to - from } else { trim(self.buffer.get(from..to).unwrap_or_default()).len() }
    }

    fn let_go_beyond(&mut self, keep: usize) {
        let most = self.start.saturating_add(keep);
        if self.end > most {
            self.let_go += (self.end - most) as u64;
            self.end = most;
            self.scanned = self.scanned.min(most);
        }
    }

    fn skip_delimiters(&mut self) {
        let data = self.buffer.get(self.start..self.end).unwrap_or_default();
        self.start += data.iter().take_while(|byte| is_delimiter(**byte)).count();
        self.scanned = self.start;
    }
}

/// Reads `digits blank`, followed by `then` where one is asked for. A length has no leading zero (RFC 6587 section 3.4.1).
fn count(data: &[u8], then: Option<u8>) -> Count {
    let digits = data.iter().take(MAX_DIGITS + 1).take_while(|byte| byte.is_ascii_digit()).count();
    let value = data.iter().take(digits).fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    if digits > MAX_DIGITS || data.first().is_some_and(|first| !matches!(first, b'1'..=b'9')) {
        return Count::Wrong;
    }
    match (data.get(digits), then, data.get(digits + 1)) {
        (None, ..) | (Some(b' '), Some(_), None) => Count::Incomplete,
        (Some(b' '), Some(wanted), Some(found)) if wanted != *found => Count::Wrong,
        (Some(b' '), ..) => Count::Length { digits, value },
        _ => Count::Wrong,
    }
}

fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r' | 0)
}

/// A message without the CR, LF and NUL that some senders put at its end.
#[must_use]
pub fn trim(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| !is_delimiter(*byte)).map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or_default()
}

/// The first part of a text without the torn character at its end (RFC 5424 section 6.1: a cut must not be inside a UTF-8
/// sequence).
#[must_use]
pub fn whole_characters(bytes: &[u8]) -> &[u8] {
    let tail = bytes.get(bytes.len().saturating_sub(3)..).unwrap_or_default();
    let torn = tail.iter().rposition(|byte| *byte >= 0xc0).map_or(0, |lead| {
        let (have, lead_byte) = (tail.len() - lead, tail.get(lead).copied().unwrap_or(0));
        let wants = match lead_byte {
            0xf0..=0xf7 => 4,
            0xe0..=0xef => 3,
            _ => 2,
        };
        if have < wants { have } else { 0 }
    });
    bytes.get(..bytes.len() - torn).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Got = Vec<(Vec<u8>, Option<u64>)>;

    /// Feeds `wire` in pieces of the given sizes (the last size again and again), then the end.
    fn decode(framing: Framing, max: usize, wire: &[u8], pieces: &[usize]) -> Result<Got, FramingError> {
        let mut decoder = Decoder::new(framing, max);
        let mut got = Vec::new();
        let mut sizes = pieces.iter().copied().chain(std::iter::repeat(pieces.last().copied().unwrap_or(1)));
        let mut rest = wire;
        while !rest.is_empty() {
            let space = decoder.space();
            let count = sizes.next().unwrap().clamp(1, rest.len()).min(space.len());
            assert!(count > 0, "no space to read into");
            space[..count].copy_from_slice(&rest[..count]);
            decoder.filled(count);
            rest = &rest[count..];
            while let Some(frame) = decoder.next()? {
                got.push((frame.bytes.to_vec(), frame.cut_from));
            }
            assert!(decoder.buffer.len() <= max + READ_AHEAD, "the buffer outgrew its bound");
        }
        got.extend(decoder.finish().map(|frame| (frame.bytes.to_vec(), frame.cut_from)));
        assert!(!decoder.is_unfinished() || matches!(decoder.state, State::Counted(None)));
        Ok(got)
    }

    fn whole(texts: &[&str]) -> Got {
        texts.iter().map(|text| (text.as_bytes().to_vec(), None)).collect()
    }

    #[test]
    fn both_framings_split_at_every_byte() {
        let cases: [(&[u8], &[&str]); 9] = [
            (b"<13>a\n\n<13>b\r\n<13>c\0", &["<13>a", "<13>b", "<13>c"]),
            (b"5 <13>a5 <13>b", &["<13>a", "<13>b"]),
            (b"6 <13>a\n7 <13>b\r\n5 <13>c", &["<13>a", "<13>b", "<13>c"]),
            (b"5 <13>a\n5 <13>b\n", &["<13>a", "<13>b"]),
            (b"012 <13>..\n", &["012 <13>.."]),
            (b"17 no pri here\n5 <13>a\n", &["17 no pri here", "5 <13>a"]),
            (b"\n\n5 <13>a", &["<13>a"]),
            ("9 <13>\u{e4}\u{20ac}".as_bytes(), &["<13>\u{e4}\u{20ac}"]),
            (b"12345678901 <13>x\n<13>no end", &["12345678901 <13>x", "<13>no end"]),
        ];
        for (wire, texts) in cases {
            for first in 1..=wire.len() {
                assert_eq!(
                    decode(Framing::Auto, 100, wire, &[first, 1_000]).unwrap(),
                    whole(texts),
                    "{first} of {wire:?}"
                );
            }
            assert_eq!(decode(Framing::Auto, 100, wire, &[1]).unwrap(), whole(texts), "{wire:?}");
        }
    }

    #[test]
    fn a_wrong_count_ends_the_connection_and_says_what_was_there() {
        // One too few: a byte of the message is left where the next length should be.
        let error = decode(Framing::Auto, 100, b"11 <13>hi there\n<13>x\n", &[1]).unwrap_err();
        assert!(error.to_string().contains("\"e\""), "{error}");
        assert!(decode(Framing::Counted, 100, b"<13>a\n", &[1]).is_err());
        assert!(decode(Framing::Counted, 100, b"05 <13>a", &[1]).is_err());
        assert!(decode(Framing::Counted, 100, b"12345678901 <13>a", &[1]).is_err());
    }

    #[test]
    fn lines_stay_lines_where_the_settings_say_so() {
        assert_eq!(decode(Framing::Lines, 100, b"5 <13>a\n", &[1]).unwrap(), whole(&["5 <13>a"]));
        assert_eq!(decode(Framing::Counted, 100, b"3 abc2 de", &[1]).unwrap(), whole(&["abc", "de"]));
    }

    #[test]
    fn a_message_over_the_limit_is_cut_and_its_length_known() {
        for piece in [1, 7, 1_000_000] {
            let mut wire = vec![b'a'; 100_000];
            wire.extend(b"\r\n<13>next\n");
            let got = decode(Framing::Auto, 10, &wire, &[piece]).unwrap();
            assert_eq!(got, [(vec![b'a'; 10], Some(100_001)), (b"<13>next".to_vec(), None)]);
            let mut wire = b"100000 <".to_vec();
            wire.extend(vec![b'a'; 99_999]);
            wire.extend(b"5 <13>a");
            let got = decode(Framing::Auto, 10, &wire, &[piece]).unwrap();
            assert_eq!(got, [(b"<aaaaaaaaa".to_vec(), Some(100_000)), (b"<13>a".to_vec(), None)]);
        }
        // The limit itself still fits, also before a CR.
        for wire in [&b"0123456789\n"[..], b"0123456789\r\n", b"0123456789\0", b"0123456789"] {
            assert_eq!(decode(Framing::Lines, 10, wire, &[1]).unwrap(), whole(&["0123456789"]));
        }
        // A character is not torn: two of the three bytes of the euro sign would fit.
        let got = decode(Framing::Lines, 10, "01234567\u{20ac}9\n".as_bytes(), &[1]).unwrap();
        assert_eq!(got, [(b"01234567".to_vec(), Some(12))]);
    }

    #[test]
    fn the_end_gives_out_what_came() {
        assert_eq!(decode(Framing::Auto, 100, b"20 <13>half", &[1]).unwrap(), [(b"<13>half".to_vec(), Some(20))]);
        assert_eq!(decode(Framing::Auto, 5, b"20 <13>half", &[1]).unwrap(), [(b"<13>h".to_vec(), Some(20))]);
        assert_eq!(decode(Framing::Lines, 5, b"0123456789", &[1]).unwrap(), [(b"01234".to_vec(), Some(10))]);
        assert_eq!(decode(Framing::Auto, 100, b"5 <13>a20 ", &[1]).unwrap(), whole(&["<13>a"]));
        assert_eq!(decode(Framing::Auto, 100, b"123", &[1]).unwrap(), whole(&["123"]));
    }

    #[test]
    fn silence_gives_out_a_line_but_no_half_counted_message() {
        let mut decoder = Decoder::new(Framing::Auto, 100);
        decoder.space()[..9].copy_from_slice(b"<189>1: a");
        decoder.filled(9);
        assert_eq!(decoder.next().unwrap(), None);
        assert_eq!(decoder.idle(), Some(Frame { bytes: b"<189>1: a", cut_from: None }));
        assert_eq!(decoder.idle(), None);
        let mut decoder = Decoder::new(Framing::Auto, 100);
        decoder.space()[..6].copy_from_slice(b"9 <13>");
        decoder.filled(6);
        assert_eq!(decoder.next().unwrap(), None);
        assert_eq!(decoder.idle(), None);
        assert!(decoder.is_unfinished());
    }

    fn messages() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let text = "<[0-9]{1,3}>[a-z0-9 \u{e4}\u{20ac}<]{0,60}[a-z]";
        proptest::collection::vec(text.prop_map(String::into_bytes), 1..20)
    }

    proptest! {
        #[test]
        fn what_is_framed_comes_back(messages in messages(), counted: bool, max in 1usize..80, pieces in proptest::collection::vec(1usize..50, 1..20)) {
            let mut wire = Vec::new();
            for (at, message) in messages.iter().enumerate() {
                if counted {
                    wire.extend(format!("{} ", message.len()).into_bytes());
                    wire.extend(message);
                } else {
                    wire.extend(message);
                    wire.extend([&b"\n"[..], b"\r\n", b"\0"][at % 3]);
                }
            }
            let got = decode(Framing::Auto, max, &wire, &pieces).unwrap();
            prop_assert_eq!(got.len(), messages.len());
            for ((bytes, cut_from), message) in got.iter().zip(&messages) {
                prop_assert!(message.starts_with(bytes));
                prop_assert!(bytes.len() <= max);
                prop_assert_eq!(cut_from.is_some(), message.len() > max);
                if cut_from.is_none() {
                    prop_assert_eq!(bytes, message);
                } else {
                    prop_assert!(bytes.len() + 3 >= max);
                    let length = usize::try_from(cut_from.unwrap()).unwrap();
                    prop_assert!(length == message.len() || !counted && length == message.len() + 1);
                }
            }
        }

        #[test]
        fn how_the_bytes_are_cut_up_never_matters(wire in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'<'), Just(b' '), b'0'..=b'9', any::<u8>()], 1..300), max in 1usize..50, pieces in proptest::collection::vec(1usize..50, 1..20)) {
            for framing in [Framing::Auto, Framing::Lines, Framing::Counted] {
                prop_assert_eq!(decode(framing, max, &wire, &pieces).is_ok(), decode(framing, max, &wire, &[usize::MAX]).is_ok());
                if let Ok(got) = decode(framing, max, &wire, &pieces) {
                    prop_assert_eq!(got, decode(framing, max, &wire, &[usize::MAX]).unwrap());
                }
            }
        }

        #[test]
        fn lines_lose_no_byte(wire in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 1..300)) {
            let got = decode(Framing::Lines, 1_000, &wire, &[5]).unwrap();
            let ours: Vec<u8> = got.into_iter().flat_map(|(bytes, _)| bytes).filter(|byte| !is_delimiter(*byte)).collect();
            let theirs: Vec<u8> = wire.into_iter().filter(|byte| !is_delimiter(*byte)).collect();
            prop_assert_eq!(ours, theirs);
        }
    }
}
