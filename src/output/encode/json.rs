//! Writes JSON by hand: strings escaped as serde_json does it (a property test compares), numbers without allocation.
//!
//! Events of firewalls are full of quotes, so strings are copied in words of eight bytes: a word without anything to
//! escape is one store, a byte to escape costs a few instructions, and the buffer is sized once for the worst usual case
//! (everything doubled). Control characters that need six bytes are so rare that they send the whole string another way.

/// Appends `text` as a JSON string, quotes included.
pub(super) fn string(to: &mut Vec<u8>, text: &str) {
    let text = text.as_bytes();
    to.push(b'"');
    if text.len() <= SHORT && !needs_escape(text) {
        to.extend_from_slice(text);
    } else {
        escaped(to, text);
    }
    to.push(b'"');
}

/// Up to here it pays to look first whether there is anything to escape: names, addresses and numbers have nothing.
const SHORT: usize = 64;

fn needs_escape(text: &[u8]) -> bool {
    let (words, rest) = text.as_chunks::<WORD>();
    // The last word again, overlapping: bytes may be looked at twice.
    let last = match text.last_chunk::<WORD>() {
        Some(word) => u64::from_le_bytes(*word),
        None => rest.iter().fold(FILLER, |word, byte| word << 8 | u64::from(*byte)),
    };
    words.iter().fold(special(last), |found, word| found | special(u64::from_le_bytes(*word))) != 0
}

/// Nothing in it needs an escape.
const FILLER: u64 = u64::from_ne_bytes([b'0'; WORD]);

/// Appends `,"name":` and the string, if there is one. The name must need no escape.
pub(super) fn member(to: &mut Vec<u8>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        to.push(b',');
        to.push(b'"');
        to.extend_from_slice(name.as_bytes());
        to.extend_from_slice(b"\":");
        string(to, value);
    }
}

/// Appends a number in decimal.
pub(super) fn number(to: &mut Vec<u8>, value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = value;
    loop {
        at -= 1;
        if let Some(digit) = digits.get_mut(at) {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        }
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    to.extend_from_slice(digits.get(at..).unwrap_or_default());
}

fn escaped(to: &mut Vec<u8>, text: &[u8]) {
    let start = to.len();
    to.resize(start + 2 * text.len() + WORD, 0);
    let written = to.get_mut(start..).and_then(|window| fill(window, text));
    to.truncate(start + written.unwrap_or(0));
    if written.is_none() {
        slowly(to, text);
    }
}

const WORD: usize = 8;

/// Escapes into a window of twice the length and a word. `None` where a control character needs six bytes.
fn fill(window: &mut [u8], text: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut from = text;
    while let Some((word, rest)) = from.split_first_chunk::<WORD>() {
        window.get_mut(at..at + WORD)?.copy_from_slice(word);
        let found = special(u64::from_le_bytes(*word));
        if found == 0 {
            at += WORD;
            from = rest;
            continue;
        }
        let plain = found.trailing_zeros() as usize / WORD;
        let byte = *word.get(plain)?;
        window.get_mut(at + plain..at + plain + 2)?.copy_from_slice(&[b'\\', short(byte)?]);
        at += plain + 2;
        from = from.get(plain + 1..)?;
    }
    for byte in from {
        if *byte < b' ' || matches!(byte, b'"' | b'\\') {
            window.get_mut(at..at + 2)?.copy_from_slice(&[b'\\', short(*byte)?]);
            at += 2;
        } else {
            *window.get_mut(at)? = *byte;
            at += 1;
        }
    }
    Some(at)
}

/// The top bit of each byte that must be escaped; exact for the lowest such byte, which is the one that counts.
fn special(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; WORD]);
    const TOPS: u64 = ONES << 7;
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let quote = zero(word ^ (ONES * b'"' as u64));
    let backslash = zero(word ^ (ONES * b'\\' as u64));
    let control = word.wrapping_sub(ONES * b' ' as u64) & !word;
    (quote | backslash | control) & TOPS
}

/// The letter of a two-byte escape (RFC 8259 section 7).
fn short(byte: u8) -> Option<u8> {
    Some(match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => return None,
    })
}

fn slowly(to: &mut Vec<u8>, text: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for byte in text {
        match (byte, short(*byte)) {
            (_, Some(letter)) => to.extend_from_slice(&[b'\\', letter]),
            (0..b' ', None) => {
                let digit = |value: u8| HEX.get(usize::from(value)).copied().unwrap_or(b'0');
                to.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            }
            _ => to.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str) -> String {
        let mut to = b"x".to_vec();
        string(&mut to, text);
        String::from_utf8(to).unwrap().split_off(1)
    }

    proptest! {
        #[test]
        fn strings_are_escaped_as_serde_json_does(text in "([ -~]{0,9}|\\PC{0,3}|[\"\\\\\n\t\r\u{0}\u{7f}\u{1f}\u{8}ä€😀]{0,3}){0,9}") {
            prop_assert_eq!(written(&text), serde_json::to_string(&text).unwrap());
        }

        #[test]
        fn numbers_are_decimal(value in any::<u64>()) {
            let mut to = Vec::new();
            number(&mut to, value);
            prop_assert_eq!(String::from_utf8(to).unwrap(), value.to_string());
        }
    }

    #[test]
    fn every_byte_at_every_place_of_a_word() {
        for byte in 0..=0x7f_u8 {
            for place in 0..20 {
                let mut text = "abcdefghijklmnopqrst".as_bytes().to_vec();
                text[place] = byte;
                let text = String::from_utf8(text).unwrap();
                assert_eq!(written(&text), serde_json::to_string(&text).unwrap());
            }
        }
    }
}
