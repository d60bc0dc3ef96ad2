//! What a broker sends, out of its bytes.
//!
//! rumqttc reads what has properties. What decides over events is read here, because its reader stops at a reason code it has
//! no name for and at a DISCONNECT without properties, though both are allowed (sections 3.4.2.1 and 3.14.2.1), or common.
//! A panic in its reader is caught: it costs the connection.

use std::panic::catch_unwind;

use bytes::{Buf as _, Bytes, BytesMut};
use rumqttc::v5::mqttbytes::{Error, QoS, v5 as wire};

use super::Reason;

/// A message that somebody published and we have subscribed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Where it was published.
    pub topic: String,
    /// What.
    pub payload: Bytes,
    /// The broker had kept it.
    pub is_retained: bool,
    /// The broker has sent it before and does not know whether it came.
    pub is_repeat: bool,
    /// Its number, where the broker waits for an acknowledgement.
    pub(super) id: Option<u16>,
}

/// A packet from the broker.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    ConnAck { reason: Reason, properties: Option<Box<wire::ConnAckProperties>> },
    PubAck { id: u16, reason: Reason },
    Publish(Arrived),
    SubAck { id: u16, reasons: Vec<Reason> },
    PingResp,
    Disconnect { reason: Reason },
}

/// Takes the next packet off the front; `None` while it is not whole.
///
/// # Errors
/// What is wrong with it, in words. What follows it cannot be read.
pub(super) fn next(bytes: &mut BytesMut, most: u32) -> Result<Option<Incoming>, String> {
    let length = match wire::check(bytes.iter(), Some(most)) {
        Ok(header) => header.frame_length(),
        Err(Error::InsufficientBytes(_)) => return Ok(None),
        Err(error) => return Err(format!("what it sent is no packet ({error})")),
    };
    let frame = bytes.split_to(length.min(bytes.len()));
    read(frame).map(Some)
}

fn read(mut frame: BytesMut) -> Result<Incoming, String> {
    let whole = frame.clone();
    let kind = frame.get_u8() >> 4;
    // The length, one to four bytes, each but the last with its top bit set (section 1.5.5); `check` has seen them.
    while frame.has_remaining() && frame.get_u8() & 0x80 != 0 {}
    match (kind, &*frame) {
        // Section 3.2.2: flags, reason.
        (2, [_, 0, ..]) => {
            let read = catch_unwind(move || wire::Packet::read(&mut { whole }, None));
            match read {
                Ok(Ok(wire::Packet::ConnAck(ack))) => {
                    Ok(Incoming::ConnAck { reason: Reason::SUCCESS, properties: ack.properties.map(Box::new) })
                }
                _ => Err("its answer to our greeting cannot be read".to_owned()),
            }
        }
        // Section 3.3.
        (3, _) => match catch_unwind(move || wire::Packet::read(&mut { whole }, None)) {
            Ok(Ok(wire::Packet::Publish(publish))) => arrived(publish),
            _ => Err("a message that it sent cannot be read".to_owned()),
        },
        // Section 3.9: packet identifier, properties, a reason for each filter.
        (9, [high, low, rest @ ..]) => match behind_properties(rest) {
            Some(reasons) if !reasons.is_empty() => Ok(Incoming::SubAck {
                id: u16::from_be_bytes([*high, *low]),
                // Below 0x80 it is the QoS that is granted.
                reasons: reasons
                    .iter()
                    .map(|code| if *code < 0x80 { Reason::SUCCESS } else { Reason(*code) })
                    .collect(),
            }),
            _ => Err("its answer to our subscription cannot be read".to_owned()),
        },
        (2, [_, reason, ..]) => Ok(Incoming::ConnAck { reason: Reason(*reason), properties: None }),
        // Section 3.4.2: packet identifier, reason, which may be left out where all is well.
        (4, [high, low]) => Ok(Incoming::PubAck { id: u16::from_be_bytes([*high, *low]), reason: Reason::SUCCESS }),
        (4, [high, low, reason, ..]) => {
            Ok(Incoming::PubAck { id: u16::from_be_bytes([*high, *low]), reason: Reason(*reason) })
        }
        (13, []) => Ok(Incoming::PingResp),
        // Section 3.14.2.1: without a reason it is 0.
        (14, rest) => Ok(Incoming::Disconnect { reason: Reason(rest.first().copied().unwrap_or(0)) }),
        (kind, rest) => Err(format!("it sent a packet of type {kind} with {} bytes", rest.len())),
    }
}

fn arrived(publish: wire::Publish) -> Result<Incoming, String> {
    // Section 3.8.3.1: no more than was subscribed at.
    if publish.qos == QoS::ExactlyOnce {
        return Err("it sent a message at QoS 2, which nobody asked for".to_owned());
    }
    let topic = String::from_utf8(publish.topic.to_vec()).map_err(|_| "it sent a topic that is no UTF-8".to_owned())?;
    Ok(Incoming::Publish(Arrived {
        topic,
        payload: publish.payload,
        is_retained: publish.retain,
        is_repeat: publish.dup,
        id: (publish.qos == QoS::AtLeastOnce).then_some(publish.pkid),
    }))
}

/// What follows properties, whose length comes first, in one to four bytes (section 2.2.2).
fn behind_properties(bytes: &[u8]) -> Option<&[u8]> {
    let mut length = 0;
    for at in 0..4 {
        let byte = *bytes.get(at)?;
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return bytes.get(at + 1 + length..);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(bytes: &[u8]) -> Result<Option<Incoming>, String> {
        next(&mut BytesMut::from(bytes), 1_000)
    }

    #[test]
    fn reasons_are_read_with_and_without_what_may_be_left_out() {
        let ack = |id, reason| Ok(Some(Incoming::PubAck { id, reason: Reason(reason) }));
        assert_eq!(all(&[0x40, 2, 1, 2]), ack(0x102, 0));
        assert_eq!(all(&[0x40, 3, 1, 2, 0x10]), ack(0x102, 0x10));
        assert_eq!(all(&[0x40, 4, 1, 2, 0x87, 0]), ack(0x102, 0x87));
        // Mosquitto 2.0, for a message above message_size_limit.
        assert_eq!(all(&[0x40, 3, 0, 1, 0x95]), ack(1, 0x95));
        let left = |reason| Ok(Some(Incoming::Disconnect { reason: Reason(reason) }));
        assert_eq!(all(&[0xe0, 0]), left(0));
        assert_eq!(all(&[0xe0, 1, 0x8e]), left(0x8e));
        assert_eq!(all(&[0xe0, 2, 0x8b, 0]), left(0x8b));
        assert_eq!(all(&[0xd0, 0]), Ok(Some(Incoming::PingResp)));
    }

    #[test]
    fn an_answer_to_the_greeting_is_read_with_its_limits_and_from_brokers_without_mqtt_5() {
        let Ok(Some(Incoming::ConnAck { reason, properties })) = all(&[0x20, 9, 0, 0, 6, 0x21, 0, 20, 0x22, 0, 10])
        else {
            panic!("no answer");
        };
        assert_eq!((reason, properties.unwrap().receive_max), (Reason::SUCCESS, Some(20)));
        assert_eq!(all(&[0x20, 2, 0, 1]), Ok(Some(Incoming::ConnAck { reason: Reason(1), properties: None })));
        assert_eq!(
            all(&[0x20, 3, 0, 0x87, 0]),
            Ok(Some(Incoming::ConnAck { reason: Reason::NOT_AUTHORIZED, properties: None }))
        );
        assert!(all(&[0x20, 4, 0, 0, 9, 9]).is_err());
        assert!(all(&[0x20, 2, 0, 0]).is_err(), "a broker without MQTT 5 must not count as one");
    }

    #[test]
    fn what_is_too_large_or_not_for_us_is_an_error() {
        assert!(all(&[0x40, 0xff, 0xff, 0xff, 0x7f]).is_err());
        assert!(all(&[0x40, 0xff, 0xff, 0xff, 0xff, 1]).is_err());
        assert!(all(&[0x10, 1, 0]).is_err());
        assert!(all(&[0x40, 1, 0]).is_err());
    }

    #[test]
    fn a_message_is_read_with_its_flags_and_an_answer_to_a_subscription_with_its_reasons() {
        let read = all(&[0x3b, 10, 0, 3, b'a', b'/', b'b', 1, 2, 0, b'h', b'i']);
        let (topic, payload) = ("a/b".to_owned(), Bytes::from_static(b"hi"));
        let arrived = Arrived { topic, payload, is_retained: true, is_repeat: true, id: Some(0x102) };
        assert_eq!(read, Ok(Some(Incoming::Publish(arrived.clone()))));
        let plain = Arrived { is_retained: false, is_repeat: false, id: None, ..arrived };
        assert_eq!(all(&[0x30, 8, 0, 3, b'a', b'/', b'b', 0, b'h', b'i']), Ok(Some(Incoming::Publish(plain))));
        assert!(all(&[0x34, 10, 0, 3, b'a', b'/', b'b', 1, 2, 0, b'h', b'i']).is_err(), "QoS 2");
        assert!(all(&[0x30, 5, 0, 2, 0xff, 0xfe, 0]).is_err(), "no UTF-8");
        let subscribed = |reasons: &[u8]| {
            Ok(Some(Incoming::SubAck { id: 7, reasons: reasons.iter().map(|code| Reason(*code)).collect() }))
        };
        assert_eq!(all(&[0x90, 5, 0, 7, 0, 1, 0x87]), subscribed(&[0, 0x87]), "QoS 1 is no refusal");
        assert_eq!(all(&[0x90, 9, 0, 7, 5, 0x1f, 0, 2, b'n', b'o', 0]), subscribed(&[0]));
        assert!(all(&[0x90, 3, 0, 7, 0]).is_err() && all(&[0x90, 4, 0, 7, 9, 1]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_give_packets_an_error_or_a_wait(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut rest = BytesMut::from(&*bytes);
            while let Ok(Some(_)) = next(&mut rest, 1_000) {}
        }

        #[test]
        fn any_properties_of_an_answer_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut packet = vec![0x20, u8::try_from(bytes.len() + 2).unwrap(), 0, 0];
            packet.extend_from_slice(&bytes);
            prop_assert!(!matches!(all(&packet), Ok(None)));
        }

        #[test]
        fn every_prefix_waits(id in any::<u16>(), reason in any::<u8>(), cut in 0usize..5) {
            let [high, low] = id.to_be_bytes();
            prop_assert_eq!(all(&[0x40, 3, high, low, reason][..cut]), Ok(None));
        }
    }
}
