//! From the bytes of a terminal to keys.
//!
//! Everything that is no key of ours is passed over: so Ctrl-C, Ctrl-Z and Ctrl-\, which a raw terminal sends as bytes, do
//! nothing.
//!
//! Facts: ECMA-48 5.4 (control sequences), console_codes(4) (the Linux console: `ESC [ A` for an arrow, `ESC [ [ A` for F1),
//! XTerm Control Sequences, "PC-Style Function Keys" (`ESC O A` for an arrow in application mode).

/// The byte that begins a sequence, and is a key by itself.
const ESC: u8 = 0x1b;
/// No key of any terminal sends more.
const LONGEST: usize = 16;

/// A key that the screen knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// A printable character of ASCII.
    Letter(char),
    Enter,
    Escape,
    Tab,
    BackTab,
    Back,
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    /// Ctrl-L: something else wrote over the screen.
    Repaint,
}

/// Takes bytes as they come, however they are cut.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// A sequence whose end has not come yet.
    begun: Vec<u8>,
}

impl Keys {
    /// The keys that these bytes complete.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<Key> {
        bytes.iter().filter_map(|byte| self.byte(*byte)).collect()
    }

    /// Whether more bytes are to come, or the escape key was pressed: only time tells.
    pub(super) fn is_begun(&self) -> bool {
        !self.begun.is_empty()
    }

    /// Nothing more came.
    pub(super) fn end(&mut self) -> Option<Key> {
        let is_escape = self.begun == [ESC];
        self.begun.clear();
        is_escape.then_some(Key::Escape)
    }

    fn byte(&mut self, byte: u8) -> Option<Key> {
        if self.begun.is_empty() && byte != ESC {
            return plain(byte);
        }
        self.begun.push(byte);
        let key = match self.begun.as_slice() {
            [ESC] | [ESC, b'[' | b'O'] | [ESC, b'[', b'['] => return None,
            [ESC, ESC] => {
                self.begun.truncate(1);
                return Some(Key::Escape);
            }
            [ESC, b'[', b'[', _] => None,
            [ESC, b'O', last] => arrow(*last),
            [ESC, b'[', middle @ .., last @ 0x40..=0x7e] => sequence(middle, *last),
            [ESC, b'[', ..] if self.begun.len() < LONGEST => return None,
            // A key together with Alt, or none at all.
            _ => None,
        };
        self.begun.clear();
        key
    }
}

fn plain(byte: u8) -> Option<Key> {
    Some(match byte {
        b'\r' | b'\n' => Key::Enter,
        b'\t' => Key::Tab,
        // Delete and Ctrl-H: terminals send the one or the other.
        0x7f | 0x08 => Key::Back,
        0x0c => Key::Repaint,
        b' '..=b'~' => Key::Letter(char::from(byte)),
        _ => return None,
    })
}

fn arrow(last: u8) -> Option<Key> {
    Some(match last {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' => Key::Right,
        b'D' => Key::Left,
        _ => return None,
    })
}

fn sequence(middle: &[u8], last: u8) -> Option<Key> {
    match (middle, last) {
        (b"", b'Z') => Some(Key::BackTab),
        (b"", _) => arrow(last),
        (b"5", b'~') => Some(Key::PageUp),
        (b"6", b'~') => Some(Key::PageDown),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys of some bytes, when nothing more comes.
    fn keys(bytes: &[u8], piece: usize) -> Vec<Key> {
        let mut keys = Keys::default();
        let mut found: Vec<Key> = bytes.chunks(piece).flat_map(|piece| keys.feed(piece)).collect();
        found.extend(keys.end());
        assert!(!keys.is_begun());
        found
    }

    #[test]
    fn keys_are_known_however_their_bytes_are_cut() {
        let expected = [
            Key::Letter('a'),
            Key::Enter,
            Key::Up,
            Key::Down,
            Key::PageDown,
            Key::BackTab,
            Key::Back,
            Key::Tab,
            Key::Letter('/'),
            Key::Escape,
            Key::Escape,
        ];
        for piece in 1..8 {
            assert_eq!(keys(b"a\r\x1b[A\x1bOB\x1b[6~\x1b[Z\x7f\t/\x1b\x1b", piece), expected, "{piece}");
        }
    }

    #[test]
    fn what_would_lead_out_of_a_program_is_no_key() {
        let ways_out = (0..0x20).chain(0x80..=0xff).filter(|byte| !matches!(byte, 8 | 9 | 10 | 12 | 13 | 27));
        for byte in ways_out {
            assert_eq!(keys(&[byte], 1), [], "{byte:#x}");
        }
        for unknown in [&b"\x1b[[A"[..], b"\x1b[15~", b"\x1b[1;5A", b"\x1bx", b"\x1b[<0;1;1M", b"\x1bOP", b"\x1b[200~"]
        {
            assert_eq!(keys(unknown, 1), [], "{unknown:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_are_kept_for_ever(bytes: Vec<u8>) {
            let mut keys = Keys::default();
            for byte in bytes {
                keys.feed(&[byte]);
                proptest::prop_assert!(keys.begun.len() <= LONGEST);
            }
        }
    }
}
