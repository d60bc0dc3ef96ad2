//! How bytes stand in what is signed: percent-encoded, and in hexadecimal.

use std::fmt::Write as _;

/// Percent-encodes all but what RFC 3986 leaves unreserved (section 2.3), and `keep`.
pub(in crate::source) fn encode(text: &str, keep: &[u8]) -> String {
    let mut to = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || keep.contains(&byte) {
            to.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(to, "%{byte:02X}");
        }
    }
    to
}

/// Lower-case hexadecimal.
pub(in crate::source) fn hex(bytes: &[u8]) -> String {
    let mut to = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // As above.
        let _ = write!(to, "{byte:02x}");
    }
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_as_they_are_signed() {
        assert_eq!(encode("a-._~/ü +", b"/"), "a-._~/%C3%BC%20%2B");
        assert_eq!(encode("a/b", b""), "a%2Fb");
        assert_eq!(hex(&[0, 0x0f, 0xff]), "000fff");
    }
}
