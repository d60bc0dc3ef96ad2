use std::io::Write;

use proptest::prelude::*;

use super::*;

/// Window of two events, sent plain (measured with go-lumber's frames).
const PLAIN: &[u8] = b"2W\0\0\0\x022J\0\0\0\x01\0\0\0\x0f{\"message\":\"a\"}2J\0\0\0\x02\0\0\0\x0f{\"message\":\"b\"}";
/// The same two J frames as one compressed frame of another zlib at level 3.
const COMPRESSED_PART: &str =
    "324300000028785e33f2626060600462fe6aa5dcd4e2e2c4f454252ba544a55a23900413ba4492522d00f9a70b1b";

#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Window(u32),
    Event(u32, Vec<u8>, bool),
}

fn seen(frame: Frame<'_>) -> Seen {
    match frame {
        Frame::Window { count } => Seen::Window(count),
        Frame::Event { sequence, json, is_last } => Seen::Event(sequence, json.to_vec(), is_last),
    }
}

/// Feeds the pieces one after the other and takes all frames after each.
fn decode_with<'a>(limits: Limits, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Seen>, Result<bool, Malformed>) {
    let mut decoder = Decoder::new(limits);
    let mut all = Vec::new();
    for piece in pieces {
        decoder.input().extend_from_slice(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => all.push(seen(frame)),
                Ok(None) => break,
                Err(err) => return (all, Err(err)),
            }
        }
    }
    (all, Ok(decoder.is_midway()))
}

fn decode(bytes: &[u8]) -> (Vec<Seen>, Result<bool, Malformed>) {
    decode_with(Limits::default(), [bytes])
}

fn refused(bytes: &[u8]) -> Malformed {
    decode(bytes).1.unwrap_err()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(3));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn frame(kind: u8, numbers: &[u32], body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![VERSION, kind];
    numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_be_bytes()));
    bytes.extend_from_slice(body);
    bytes
}

fn window(count: u32) -> Vec<u8> {
    frame(WINDOW, &[count], b"")
}

fn event(sequence: u32, json: &[u8]) -> Vec<u8> {
    frame(JSON, &[sequence, json.len() as u32], json)
}

fn block(stream: &[u8]) -> Vec<u8> {
    frame(COMPRESSED, &[stream.len() as u32], stream)
}

fn two_events() -> Vec<Seen> {
    let event = |sequence, text: &str, last| Seen::Event(sequence, text.into(), last);
    vec![Seen::Window(2), event(1, "{\"message\":\"a\"}", false), event(2, "{\"message\":\"b\"}", true)]
}

#[test]
fn known_bytes_decode() {
    assert_eq!(decode(PLAIN), (two_events(), Ok(false)));

    let digits = COMPRESSED_PART;
    let part = (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap());
    let mut bytes = window(2);
    bytes.extend(part);
    assert_eq!(decode(&bytes), (two_events(), Ok(false)));
}

#[test]
fn known_bytes_are_what_we_send() {
    let mut encoder = Encoder::new(0);
    encoder.event(|to| to.extend_from_slice(b"{\"message\":\"a\"}"));
    encoder.event(|to| to.extend_from_slice(b"{\"message\":\"b\"}"));
    let mut bytes = Vec::new();
    encoder.finish(&mut bytes);
    assert_eq!(bytes, PLAIN);
    assert_eq!(ack(2), *b"2A\0\0\0\x02");
    assert_eq!(ack(0), *b"2A\0\0\0\0");
}

#[test]
fn an_empty_window_is_never_sent_but_understood() {
    let mut bytes = Vec::new();
    Encoder::new(3).finish(&mut bytes);
    assert!(bytes.is_empty());
    assert_eq!(decode(&window(0)), (vec![Seen::Window(0)], Ok(false)));
}

#[test]
fn version_one_is_told_apart() {
    let v1 = b"1D\0\0\0\x01\0\0\0\x02\0\0\0\x04line\0\0\0\x02hi\0\0\0\x04host\0\0\0\x02h1";
    assert_eq!(refused(v1), Malformed::VersionOne);
    assert_eq!(refused(b"1"), Malformed::VersionOne);
}

#[test]
fn foreign_bytes_are_refused_at_the_first_one() {
    assert_eq!(refused(b"GET / HTTP/1.1\r\n"), Malformed::Version(b'G'));
    assert_eq!(refused(b"\x16"), Malformed::Version(0x16));
    assert_eq!(refused(b"2A"), Malformed::Type(b'A'));
    assert_eq!(refused(b"2X"), Malformed::Type(b'X'));
}

#[test]
fn windows_and_events_have_to_match() {
    assert_eq!(refused(&event(1, b"{}")), Malformed::OutsideWindow);
    assert_eq!(refused(&[window(0), event(1, b"{}")].concat()), Malformed::OutsideWindow);
    assert_eq!(refused(&[window(1), event(1, b"{}"), event(2, b"{}")].concat()), Malformed::OutsideWindow);
    assert_eq!(refused(&[window(2), event(1, b"{}"), window(1)].concat()), Malformed::InsideWindow { missing: 1 });
    assert_eq!(refused(&block(&zlib(&event(1, b"{}")))), Malformed::OutsideWindow);
    let three = [event(1, b"{}"), event(2, b"{}"), event(3, b"{}")].concat();
    assert_eq!(refused(&[window(2), block(&zlib(&three))].concat()), Malformed::OutsideWindow);
}

#[test]
fn limits_are_met_from_the_announcement() {
    assert_eq!(refused(&window(10_001)), Malformed::WindowTooLarge { count: 10_001, limit: 10_000 });
    let (length, limit) = ((16 << 20) + 1, 16 << 20);
    let head = frame(JSON, &[1, length as u32], b"");
    assert_eq!(refused(&[window(1), head.clone()].concat()), Malformed::FrameTooLarge { length, limit });
    assert_eq!(refused(&[window(1), block(&zlib(&head))].concat()), Malformed::FrameTooLarge { length, limit });
    let head = frame(COMPRESSED, &[u32::MAX], b"");
    assert!(matches!(refused(&[window(1), head].concat()), Malformed::FrameTooLarge { .. }));
    assert_eq!(refused(&[window(1), event(1, b"")].concat()), Malformed::EmptyFrame);
    assert_eq!(refused(&[window(1), block(b"")].concat()), Malformed::EmptyFrame);
}

#[test]
fn nesting_is_refused() {
    let inner = block(&zlib(&event(1, b"{}")));
    assert_eq!(refused(&[window(1), block(&zlib(&inner))].concat()), Malformed::NestedCompression);
    // As timbersnake 0.1.0 sends it, with a window before it so that it comes that far.
    let inner = [window(3), event(0, b"{}")].concat();
    assert_eq!(refused(&[window(3), block(&zlib(&inner))].concat()), Malformed::NestedWindow);
}

#[test]
fn broken_blocks_are_refused() {
    let good = zlib(&event(1, b"{}"));
    assert_eq!(refused(&[window(1), block(b"not zlib at all")].concat()), Malformed::Zlib);
    assert_eq!(refused(&[window(1), block(&[&good[..], b"more"].concat())].concat()), Malformed::Trailing);
    assert_eq!(refused(&[window(2), block(&good[..good.len() - 1])].concat()), Malformed::CutShort);
    let half = zlib(&event(1, b"{\"a\":1}")[..12]);
    assert_eq!(refused(&[window(1), block(&half)].concat()), Malformed::CutShort);
    let mut wrong_sum = good.clone();
    *wrong_sum.last_mut().unwrap() ^= 1;
    assert_eq!(refused(&[window(2), block(&wrong_sum)].concat()), Malformed::Zlib);
}

#[test]
fn a_bomb_costs_no_more_than_the_limits() {
    let limits = Limits { max_window: 10, max_frame: 1 << 20, max_inflated: 4 << 20 };
    // 64 MiB of events of spaces in 64 KiB: refused by what it inflates to...
    let blank = [&b"{"[..], &vec![b' '; 1 << 16], b"}"].concat();
    let many: Vec<u8> = (0..1_000).flat_map(|at| event(at, &blank)).collect();
    let bomb = [window(10), block(&zlib(&many))].concat();
    let few = Limits { max_window: 10_000, ..limits };
    assert_eq!(decode_with(limits, [&bomb[..]]).1, Err(Malformed::OutsideWindow));
    let bomb = [window(1_000), block(&zlib(&many))].concat();
    let (events, end) = decode_with(few, [&bomb[..]]);
    assert_eq!(end, Err(Malformed::InflatedTooLarge { limit: 4 << 20 }));
    assert!(events.len() < 70);
    // ...or by its one event, before a byte of it is kept.
    let one = [window(1), block(&zlib(&event(1, &vec![b' '; 8 << 20])))].concat();
    let mut decoder = Decoder::new(limits);
    decoder.input().extend_from_slice(&one);
    assert_eq!(decoder.next_frame(), Ok(Some(Frame::Window { count: 1 })));
    assert!(matches!(decoder.next_frame(), Err(Malformed::FrameTooLarge { .. })));
    assert!(decoder.held() <= 1 << 20, "{}", decoder.held());
}

#[test]
fn memory_is_given_back_after_a_large_event() {
    let large = vec![b' '; 4 << 20];
    let bytes = [window(1), event(1, &large), window(1), block(&zlib(&event(1, &large)))].concat();
    let mut decoder = Decoder::new(Limits::default());
    let mut events = 0;
    for piece in bytes.chunks(READ_LIKE) {
        decoder.input().extend_from_slice(piece);
        while let Some(frame) = decoder.next_frame().unwrap() {
            events += u32::from(matches!(frame, Frame::Event { .. }));
        }
    }
    assert_eq!(events, 2);
    let _ = decoder.input();
    assert!(decoder.held() <= 768 << 10, "{}", decoder.held());
}

/// Pieces as a socket gives them.
const READ_LIKE: usize = 16 << 10;

#[test]
fn a_large_event_in_single_bytes_is_not_quadratic() {
    // 3 million calls finish at once if each looks at a few bytes, and would take hours if each looked at all.
    let bytes = [window(1), event(1, &vec![b' '; 3 << 20])].concat();
    let (events, end) = decode_with(Limits::default(), bytes.chunks(1));
    assert_eq!((events.len(), end), (2, Ok(false)));
}

#[test]
fn acks_are_read_in_any_pieces_and_checked_byte_by_byte() {
    let bytes = [ack(0), ack(2_048), ack(7)].concat();
    for cut in 0..bytes.len() {
        let mut decoder = AckDecoder::default();
        let mut all = Vec::new();
        for mut piece in [&bytes[..cut], &bytes[cut..]] {
            while let Some(sequence) = decoder.next_ack(&mut piece).unwrap() {
                all.push(sequence);
            }
            assert!(piece.is_empty());
        }
        assert_eq!(all, [0, 2_048, 7]);
    }
    let refused = |bytes: &[u8]| AckDecoder::default().next_ack(&mut &bytes[..]).unwrap_err();
    assert_eq!(refused(b"1A\0\0\0\x02"), Malformed::VersionOne);
    assert_eq!(refused(b"H"), Malformed::Version(b'H'));
    assert_eq!(refused(b"2J"), Malformed::Type(b'J'));
}

type Windows = Vec<Vec<Vec<u8>>>;

fn windows() -> impl Strategy<Value = Windows> {
    let json = proptest::collection::vec(any::<u8>(), 1..300);
    proptest::collection::vec(proptest::collection::vec(json, 1..12), 1..5)
}

fn encode(windows: &Windows, level: u32) -> (Vec<u8>, Vec<Seen>) {
    let mut encoder = Encoder::new(level);
    let (mut bytes, mut expected) = (Vec::new(), Vec::new());
    for window in windows {
        expected.push(Seen::Window(window.len() as u32));
        for (at, json) in window.iter().enumerate() {
            encoder.event(|to| to.extend_from_slice(json));
            expected.push(Seen::Event(at as u32 + 1, json.clone(), at + 1 == window.len()));
        }
        encoder.finish(&mut bytes);
    }
    (bytes, expected)
}

proptest! {
    #[test]
    fn what_is_sent_is_what_is_read(windows in windows(), level in 0u32..=10, cuts in proptest::collection::vec(1usize..90, 1..40)) {
        let (bytes, expected) = encode(&windows, level);
        let mut pieces = Vec::new();
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = after;
            if rest.is_empty() { break }
        }
        prop_assert_eq!(decode_with(Limits::default(), pieces), (expected, Ok(false)));
    }

    #[test]
    fn every_prefix_is_incomplete_and_no_error(windows in windows(), level in 0u32..=9) {
        let (bytes, expected) = encode(&windows, level);
        for cut in 0..bytes.len() {
            let (events, end) = decode(&bytes[..cut]);
            let end = end.unwrap();
            prop_assert!(expected.starts_with(&events));
            prop_assert!(end || events.last().is_none_or(|last| matches!(last, Seen::Event(_, _, true))));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0usize..400) {
        let (first, second) = bytes.split_at(cut.min(bytes.len()));
        let _ = decode_with(Limits::default(), [first, second]);
        let _ = decode(&[&window(5)[..], &bytes].concat());
        let _ = decode(&[&window(5)[..], &block(&bytes)].concat());
        let _ = decode(&[&window(5)[..], &block(&zlib(&bytes))].concat());
        let mut rest = &bytes[..];
        let mut acks = AckDecoder::default();
        while let Ok(Some(_)) = acks.next_ack(&mut rest) {}
    }

    #[test]
    fn a_flipped_bit_is_an_error_or_other_frames_but_never_a_panic(windows in windows(), level in 0u32..=9, at in any::<usize>(), bit in 0u8..8) {
        let (mut bytes, _) = encode(&windows, level);
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let _ = decode(&bytes);
    }
}
