use proptest::prelude::*;

use super::bytes::{long, short};
use super::frame::frame;
use super::*;

const MOST: u32 = 131_072;

/// A method as a broker sends it.
fn method(channel: u16, class: u16, number: u16, arguments: &[u8]) -> Vec<u8> {
    frame(1, channel, &[&class.to_be_bytes()[..], &number.to_be_bytes(), arguments].concat())
}

fn all(mut bytes: &[u8]) -> Vec<Event<'_>> {
    let mut events = Vec::new();
    while let Some((event, length)) = decode(bytes, MOST).unwrap() {
        events.push(event);
        bytes = &bytes[length..];
    }
    assert!(bytes.is_empty());
    events
}

/// What a broker says to a consumer, from start to close, with what each means.
fn conversation() -> (Vec<u8>, Vec<Event<'static>>) {
    let mut start = vec![0, 9];
    long(&mut start, b"\x07product\x53\x00\x00\x00\x08RabbitMQ");
    long(&mut start, b"AMQPLAIN PLAIN");
    long(&mut start, b"en_US");
    let mut declared = Vec::new();
    short(&mut declared, "event_stream_7");
    declared.extend_from_slice(&[0, 0, 0, 9, 0, 0, 0, 1]);
    let mut deliver = Vec::new();
    short(&mut deliver, "tag");
    deliver.extend_from_slice(&[0, 0, 0, 0, 0, 0, 1, 2, 1]);
    short(&mut deliver, "");
    short(&mut deliver, "event_stream_7");
    let mut close = vec![1, 0x93];
    short(&mut close, "ACCESS_REFUSED - Login was refused");
    close.extend_from_slice(&[0, 10, 0, 11]);
    let tune = Tune { channels: 2_047, frame: MOST, heartbeat: 60 };
    let bytes = [
        method(0, 10, 10, &start),
        method(0, 10, 30, &[0x07, 0xff, 0, 2, 0, 0, 0, 60]),
        method(0, 10, 41, &[0]),
        method(1, 20, 11, &[0, 0, 0, 0]),
        method(1, 60, 11, &[]),
        method(1, 50, 11, &declared),
        method(1, 60, 21, b"\x03tag"),
        method(1, 60, 60, &deliver),
        frame(2, 1, &[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0x10, 0, 2]),
        frame(3, 1, b"{\"a\""),
        frame(3, 1, b"}"),
        HEARTBEAT.to_vec(),
        method(1, 20, 20, &[1]),
        method(1, 60, 30, b"\x03tag\x01"),
        method(0, 10, 60, b"\x06memory"),
        method(0, 10, 50, &close),
        method(1, 20, 40, b"\x01\x94\x09NOT_FOUND\x00\x32\x00\x0a"),
    ];
    let text = "ACCESS_REFUSED - Login was refused".to_owned();
    let events = vec![
        Event::Start { mechanisms: "AMQPLAIN PLAIN".into() },
        Event::Tune(tune),
        Event::Opened,
        Event::ChannelOpened,
        Event::Limited,
        Event::Declared { messages: 9, consumers: 1 },
        Event::Consuming,
        Event::Deliver { tag: 258, redelivered: true },
        Event::Length(5),
        Event::Body(b"{\"a\""),
        Event::Body(b"}"),
        Event::Heartbeat,
        Event::Flow(true),
        Event::Cancelled,
        Event::Other,
        Event::Close { connection: true, code: 403, text },
        Event::Close { connection: false, code: 404, text: "NOT_FOUND".into() },
    ];
    (bytes.concat(), events)
}

#[test]
fn what_a_broker_says_is_understood() {
    let (bytes, events) = conversation();
    assert_eq!(all(&bytes), events);
}

#[test]
fn every_prefix_is_incomplete_and_no_error() {
    let (bytes, events) = conversation();
    for end in 0..bytes.len() {
        let (mut rest, mut count) = (&bytes[..end], 0);
        while let Some((event, length)) = decode(rest, MOST).unwrap() {
            assert_eq!(event, events[count]);
            (rest, count) = (&rest[length..], count + 1);
        }
        assert!(count < events.len());
    }
}

#[test]
fn what_is_no_frame_is_named() {
    for (bytes, malformed) in [
        (&b"HTTP/1.1 400 Bad Request"[..], Malformed::NotAmqp),
        (b"AMQP\x00\x01\x00\x00", Malformed::Version),
        (b"\x01\x00\x00\xff\xff\xff\xff", Malformed::TooLong(u32::MAX)),
        (b"\x01\x00\x00\x00\x01\xfd\xf9", Malformed::TooLong(0)),
        (b"\x08\x00\x00\x00\x00\x00\x00\x00", Malformed::NoEnd),
        (b"\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x1e\xce", Malformed::Arguments(10, 30)),
        (b"\x02\x00\x01\x00\x00\x00\x02\x00\x3c\xce", Malformed::Header),
    ] {
        let most = if matches!(malformed, Malformed::TooLong(_)) { 4_096 } else { MOST };
        match (decode(bytes, most), malformed) {
            (Err(Malformed::TooLong(_)), Malformed::TooLong(_)) => {}
            (found, _) => assert_eq!(found, Err(malformed)),
        }
    }
    assert_eq!(decode(b"AM", MOST), Ok(None));
}

#[test]
fn what_is_said_stands_as_the_specification_has_it() {
    assert_eq!(Request::AckAll(258).encode(), method(1, 60, 80, &[0, 0, 0, 0, 0, 0, 1, 2, 1]));
    assert_eq!(Request::Look("q").encode(), method(1, 50, 10, b"\0\0\x01q\x03\0\0\0\0"));
    assert_eq!(Request::Consume("q").encode(), method(1, 60, 20, b"\0\0\x01q\0\0\0\0\0\0"));
    assert_eq!(Request::Prefetch(500).encode(), method(1, 60, 10, &[0, 0, 0, 0, 1, 0xf4, 0]));
    assert_eq!(Request::Open("/").encode(), method(0, 10, 40, b"\x01/\0\0"));
    let tune = Tune { channels: 1, frame: 4_096, heartbeat: 30 };
    assert_eq!(all(&Request::Tune(tune).encode()), [Event::Other]);
    let login = Request::Login { user: "u", password: "p" }.encode();
    assert!(login.windows(15).any(|part| part == b"\x05PLAIN\0\0\0\x04\0u\0p\x05"));
    assert_eq!(Request::Close.encode(), method(0, 10, 50, b"\0\xc8\x04done\0\0\0\0"));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), most in any::<u32>()) {
        let _ = decode(&bytes, most);
    }

    #[test]
    fn a_damaged_conversation_never_panics(at in 0_usize..400, flip in 1_u8..=255) {
        let mut bytes = conversation().0;
        let at = at % bytes.len();
        bytes[at] ^= flip;
        let mut rest = &bytes[..];
        while let Ok(Some((_, length))) = decode(rest, MOST) {
            rest = &rest[length..];
        }
    }

    #[test]
    fn bodies_come_back(body in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let bytes = frame(3, 1, &body);
        prop_assert_eq!(decode(&bytes, MOST), Ok(Some((Event::Body(&body), bytes.len()))));
        for end in 0..bytes.len() {
            prop_assert_eq!(decode(&bytes[..end], MOST), Ok(None));
        }
    }

    #[test]
    fn names_of_any_length_give_a_frame(name in "\\PC{0,300}") {
        for request in [Request::Consume(&name), Request::Login { user: &name, password: &name }] {
            let bytes = request.encode();
            prop_assert_eq!(all(&bytes), vec![Event::Other]);
        }
    }
}
