//! From bytes to text: what encoding a sender used, as far as anyone can tell.
//!
//! The bytes themselves are kept by whoever forwards them; here a reader's view of them is made. UTF-8 is borrowed.
//! Bytes that are not UTF-8 come mostly from senders in Latin-1: 0xA0 to 0xFF become the letters they are there, which
//! reads well for Western European names and is no worse than a replacement character for everything else.

use std::borrow::Cow;

use super::{Mark, Marks};

/// A message as text.
#[derive(Clone, Debug)]
pub struct Text<'a> {
    text: Cow<'a, str>,
    marks: Marks,
}

impl<'a> Text<'a> {
    /// Decodes the bytes of one message: UTF-8, UTF-16 in either order (with a byte order mark, or with a PRI in front),
    /// or what is left.
    #[must_use]
    pub fn of(bytes: &'a [u8]) -> Self {
        let mut marks = Marks::default();
        if let Some(text) = utf16(bytes) {
            marks.insert(Mark::Utf16);
            return Self { text: Cow::Owned(text), marks };
        }
        let text = std::str::from_utf8(bytes).map_or_else(
            |_| {
                marks.insert(Mark::NotUtf8);
                Cow::Owned(latin1(bytes))
            },
            Cow::Borrowed,
        );
        Self { text, marks }
    }

    /// The text, whole.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// True if the text is the very bytes, so that nothing else need be kept.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        matches!(self.text, Cow::Borrowed(_))
    }

    pub(super) fn marks(&self) -> Marks {
        self.marks
    }
}

/// The text of UTF-16 bytes; an odd last byte becomes a replacement character, as does half a pair.
fn utf16(bytes: &[u8]) -> Option<String> {
    let (little, rest) = match bytes {
        [0xff, 0xfe, rest @ ..] => (true, rest),
        [0xfe, 0xff, rest @ ..] => (false, rest),
        [b'<', 0, b'0'..=b'9', 0, ..] => (true, bytes),
        [0, b'<', 0, b'0'..=b'9', ..] => (false, bytes),
        _ => return None,
    };
    let (pairs, odd) = rest.as_chunks::<2>();
    let units = pairs.iter().map(|pair| if little { u16::from_le_bytes(*pair) } else { u16::from_be_bytes(*pair) });
    let mut text: String = char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    if !odd.is_empty() {
        text.push(char::REPLACEMENT_CHARACTER);
    }
    Some(text)
}

fn latin1(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + bytes.len() / 8);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // 0x80 to 0x9F are control characters in Latin-1 and letters in code pages nobody named.
            text.push(if *byte >= 0xa0 { char::from(*byte) } else { char::REPLACEMENT_CHARACTER });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf8_is_borrowed_and_everything_else_is_not() {
        let text = Text::of("<13>grün\0".as_bytes());
        assert_eq!((text.as_str(), text.is_exact()), ("<13>grün\0", true));
        assert!(text.marks().is_empty());
        let text = Text::of(b"<13>gr\xfcn \x80 \xe2\x82\xac");
        assert_eq!((text.as_str(), text.is_exact()), ("<13>grün \u{fffd} €", false));
        assert!(text.marks().contains(Mark::NotUtf8));
    }

    #[test]
    fn utf16_in_both_orders_with_and_without_a_mark() {
        for (bytes, expected) in [
            (&b"\xff\xfe<\x001\x00>\x00\xe4\x00"[..], "<1>ä"),
            (b"\xfe\xff\0<\x001\0>\x20\xac", "<1>€"),
            (b"<\x001\x00>\0a\0", "<1>a"),
            (b"\0<\x001\0>\0a", "<1>a"),
            (b"\xff\xfea\0b", "a\u{fffd}"),
            (b"\xff\xfe\x00\xd8a\0", "\u{fffd}a"),
        ] {
            let text = Text::of(bytes);
            assert_eq!((text.as_str(), text.is_exact()), (expected, false));
            assert!(text.marks().contains(Mark::Utf16));
        }
    }
}
