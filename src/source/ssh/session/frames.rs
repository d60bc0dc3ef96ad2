//! From the bytes of an SFTP channel to its packets (draft-ietf-secsh-filexfer-02, section 3).
//!
//! A packet is collected until it is whole, but for the data of a write: OpenSSH's clients send 255 KiB in one, in pieces of
//! 32 KiB, and collecting those cost more than all else. They go on as they come.

use super::packet::{Fields, LARGEST, kind};

/// Length, type, id and the length of the handle: with them it is known how long the head of a write is.
const START: usize = 13;
/// Offset and length of the data: the end of that head.
const END: usize = 12;

/// A part of what a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// A whole packet, without its length, that is no write.
    Packet(&'a [u8]),
    Write(Piece<'a>),
}

/// The data of a write, or some of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) id: u32,
    pub(super) handle: u32,
    pub(super) offset: u64,
    pub(super) bytes: &'a [u8],
    /// The write is answered now.
    pub(super) is_last: bool,
}

/// Cuts bytes into packets.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// The start of a packet.
    head: Vec<u8>,
    /// That packet was given out.
    is_given: bool,
    /// The write whose data come.
    write: Option<Write>,
}

#[derive(Clone, Copy, Debug)]
struct Write {
    id: u32,
    handle: u32,
    offset: u64,
    left: usize,
}

impl Frames {
    /// Takes the next part off `bytes`; `None` where more have to come.
    ///
    /// # Errors
    /// In words what is wrong; nothing after that is understood.
    pub(super) fn next<'a, 'b: 'a>(&'a mut self, bytes: &mut &'b [u8]) -> Result<Option<Frame<'a>>, &'static str> {
        if let Some(write @ Write { id, handle, offset, left }) = self.write {
            let data = take(bytes, left);
            if data.is_empty() && left > 0 {
                return Ok(None);
            }
            let (after, left) = (offset.saturating_add(data.len() as u64), left - data.len());
            let is_last = left == 0;
            self.write = (!is_last).then_some(Write { offset: after, left, ..write });
            return Ok(Some(Frame::Write(Piece { id, handle, offset, bytes: data, is_last })));
        }
        if std::mem::take(&mut self.is_given) {
            self.head.clear();
        }
        loop {
            let missing = self.needed()?.saturating_sub(self.head.len());
            if missing == 0 {
                break;
            }
            if bytes.is_empty() {
                return Ok(None);
            }
            self.head.extend_from_slice(take(bytes, missing));
        }
        self.is_given = true;
        if self.head.get(4) == Some(&kind::WRITE) {
            self.write = Some(write(&self.head).ok_or("a write is not as long as its data")?);
            return self.next(bytes);
        }
        Ok(self.head.get(4..).map(Frame::Packet))
    }

    /// How many bytes have to be collected, as far as is known by now.
    fn needed(&self) -> Result<usize, &'static str> {
        let mut fields = Fields(&self.head);
        let (Some(length), Some(kind)) = (fields.number(), fields.byte()) else { return Ok(5) };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length == 0 || length > LARGEST {
            return Err("a packet is empty or too large");
        }
        let whole = 4 + length;
        if kind != kind::WRITE {
            return Ok(whole);
        }
        let head = match (fields.number(), fields.number()) {
            (Some(_), Some(handle)) => usize::try_from(handle).unwrap_or(usize::MAX).saturating_add(START + END),
            _ => START,
        };
        if head > whole { Err("a write is shorter than its head") } else { Ok(head) }
    }
}

fn take<'a>(bytes: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(most.min(bytes.len()));
    *bytes = rest;
    taken
}

/// Reads the head of a write.
fn write(head: &[u8]) -> Option<Write> {
    let mut fields = Fields(head);
    let (packet, _, id) = (fields.number()?, fields.byte()?, fields.number()?);
    let (handle, offset, left) = (fields.handle()?, fields.long()?, usize::try_from(fields.number()?).ok()?);
    let whole = usize::try_from(packet).ok()? + 4;
    (whole == head.len() + left).then_some(Write { id, handle, offset, left })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::packet::Packet;
    use super::*;

    /// All that comes of bytes that come in these pieces: packets, and writes with their data together.
    /// Type, id, offset and data of each.
    type Seen = Vec<(u8, u32, u64, Vec<u8>)>;

    fn frames(pieces: &[&[u8]]) -> Result<Seen, &'static str> {
        let (mut frames, mut found, mut data) = (Frames::default(), Vec::new(), Vec::new());
        for piece in pieces {
            let mut rest = *piece;
            while let Some(frame) = frames.next(&mut rest)? {
                match frame {
                    Frame::Packet(packet) => found.push((packet[0], 0, 0, packet[1..].to_vec())),
                    Frame::Write(piece) => {
                        data.extend_from_slice(piece.bytes);
                        if piece.is_last {
                            let all = std::mem::take(&mut data);
                            let begin = piece.offset + piece.bytes.len() as u64 - all.len() as u64;
                            found.push((kind::WRITE, piece.id, begin + u64::from(piece.handle), all));
                        }
                    }
                }
            }
            assert!(rest.is_empty());
        }
        Ok(found)
    }

    fn packets(given: &[(bool, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (number, (is_write, data)) in (0..).zip(given) {
            if *is_write {
                let head = Packet::new(kind::WRITE).number(number).text(&7_u32.to_be_bytes());
                head.long(u64::from(number) * 100).text(data).append_to(&mut bytes);
            } else {
                Packet::new(kind::STAT).number(number).text(data).append_to(&mut bytes);
            }
        }
        bytes
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_the_bytes_come(
            given in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..60)), 0..8),
            size in 1usize..50,
        ) {
            let bytes = packets(&given);
            let found = frames(&[&bytes]).unwrap();
            prop_assert_eq!(found.len(), given.len());
            for (number, (found, (is_write, data))) in (0_u32..).zip(found.iter().zip(&given)) {
                if *is_write {
                    prop_assert_eq!(found, &(kind::WRITE, number, u64::from(number) * 100 + 7, data.clone()));
                } else {
                    prop_assert_eq!(&found.3[8..], &data[..]);
                }
            }
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            prop_assert_eq!(frames(&pieces).unwrap(), found);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(prop_oneof![Just(0), Just(6), any::<u8>()], 0..60)) {
            let _ = frames(&[&bytes]);
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let mut write = packets(&[(true, b"data".to_vec())]);
        write[3] -= 1;
        assert!(frames(&[&write]).is_err(), "more data than the packet holds");
        write[3] += 2;
        assert!(frames(&[&write, b"x"]).is_err(), "less data than the packet holds");
        for bad in
            [&[0, 0, 0, 0, 6][..], &[0, 4, 0, 1, 16], &[0, 0, 0, 8, 6], &[0, 0, 0, 30, 6, 0, 0, 0, 1, 0, 0, 1, 0]]
        {
            assert!(frames(&[bad]).is_err(), "{bad:?}");
        }
    }
}
