// What is done with arbitrary bytes, one function per decoder. Shared by the fuzz targets beside this file and, as property
// tests that run everywhere, by `tests/it/fuzz.rs`. A body panics where something is wrong.

use std::path::Path;

use sapphire_edge::clock::Timestamp;
use sapphire_edge::config::Config;
use sapphire_edge::control::{Answer, Request};
use sapphire_edge::event::{
    ApplianceId, Batch, BatchBuilder, BatchLimits, BatchNumber, Kind, Origin, Record, Transport,
};
use sapphire_edge::output::Encoder;
use sapphire_edge::wire::syslog::{Fields, Reading};
use sapphire_edge::wire::{framing, kv, lumberjack};

/// Syslog on a stream: messages keep the limit, and how the bytes are cut up does not matter.
pub fn syslog_framing(bytes: &[u8]) {
    const MAX: usize = 64;
    let messages = |piece: usize| {
        let mut decoder = framing::Decoder::new(framing::Framing::Auto, MAX);
        let mut found = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let space = decoder.space();
            let count = piece.min(rest.len()).min(space.len());
            space[..count].copy_from_slice(&rest[..count]);
            decoder.filled(count);
            rest = &rest[count..];
            loop {
                match decoder.next() {
                    Ok(Some(frame)) => found.push((frame.bytes.to_vec(), frame.cut_from)),
                    Ok(None) => break,
                    Err(_) => return found,
                }
            }
        }
        found.extend(decoder.finish().map(|frame| (frame.bytes.to_vec(), frame.cut_from)));
        found
    };
    let whole = messages(usize::MAX);
    assert!(whole.iter().all(|(message, _)| !message.is_empty() && message.len() <= MAX));
    assert_eq!(messages(1), whole);
}

/// What a Beats agent sends.
pub fn lumberjack_frames(bytes: &[u8]) {
    let limits = lumberjack::Limits::default();
    let mut decoder = lumberjack::Decoder::new(limits);
    for piece in bytes.chunks(7) {
        decoder.input().extend_from_slice(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(lumberjack::Frame::Event { json, .. })) => assert!(json.len() <= limits.max_frame),
                Ok(Some(lumberjack::Frame::Window { count })) => assert!(count <= limits.max_window),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

/// What a gateway answers.
pub fn lumberjack_acks(bytes: &[u8]) {
    let (mut decoder, mut rest, mut acks) = (lumberjack::AckDecoder::default(), bytes, 0);
    while let Ok(Some(_)) = decoder.next_ack(&mut rest) {
        acks += 1;
    }
    assert!(acks * 6 <= bytes.len());
}

/// An event of any kind on its way to the gateway: always one JSON object on one line.
pub fn event(bytes: &[u8]) {
    let reading = Reading { fields: Fields::Always, ..Reading::default() };
    for kind in [Kind::Syslog, Kind::Beats] {
        let mut builder = BatchBuilder::new("fw".into(), kind, BatchLimits::default());
        let origin = Origin::new(Transport::Udp, Some(([192, 0, 2, 1], 514).into()));
        let record =
            Record { received: Timestamp(1_795_000_000_000_000), origin: &origin, id: None, cut_from: None, bytes };
        builder.push(&record);
        let Some(batch) = builder.seal() else { continue };
        let mut json = Vec::new();
        Encoder::new(ApplianceId(1), "edge", BatchNumber(1), &batch, &reading).write(0, &record, &mut json);
        assert!(!json.contains(&b'\n'));
        let value: serde_json::Value = serde_json::from_slice(&json).expect("an event must be JSON");
        assert!(value["@metadata"]["_id"].is_string());
    }
}

/// `key=value` bodies.
pub fn key_values(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    assert!(kv::pairs(&text).count() <= text.len());
    let _ = kv::starts_with_key(&text);
}

/// The packed records of a stored batch.
pub fn packed_batch(bytes: &[u8]) {
    for count in [0, 1, 2, 7] {
        let _ = Batch::from_packed("fw".into(), Kind::Syslog, count, bytes.to_vec().into());
    }
}

/// Lines on the control socket, both ways.
pub fn control(bytes: &[u8]) {
    let _ = serde_json::from_slice::<Request>(bytes);
    let _ = serde_json::from_slice::<Answer>(bytes);
}

/// A settings file.
pub fn settings(bytes: &[u8]) {
    let _ = Config::parse(Path::new("settings.toml"), &String::from_utf8_lossy(bytes));
}
