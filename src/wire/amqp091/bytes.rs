//! The types of AMQP 0-9-1 (specification 4.2.5): numbers are big-endian, short strings have one byte of length, long ones
//! four, tables four bytes of length in bytes.

/// Reads arguments one after the other; `None` where they end too soon.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        Some(u8::from_be_bytes(self.take()?))
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take()?))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take()?))
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take()?))
    }

    fn slice(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A short string. What is not UTF-8 is replaced: names and texts are for people.
    pub(super) fn short(&mut self) -> Option<String> {
        let length = self.u8()?;
        Some(String::from_utf8_lossy(self.slice(usize::from(length))?).into_owned())
    }

    /// A long string, or a table that is passed over: both are a length and so many bytes.
    pub(super) fn long(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        self.slice(usize::try_from(length).ok()?)
    }
}

/// Appends a short string, cut at the 255 bytes that it may have.
pub(super) fn short(to: &mut Vec<u8>, text: &str) {
    let mut length = text.len().min(255);
    while !text.is_char_boundary(length) {
        length -= 1;
    }
    to.push(u8::try_from(length).unwrap_or(u8::MAX));
    to.extend_from_slice(text.as_bytes().get(..length).unwrap_or_default());
}

/// Appends a long string, or a table's fields.
pub(super) fn long(to: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    to.extend_from_slice(&length.to_be_bytes());
    to.extend_from_slice(bytes);
}

/// Appends a field of a table: a text (`S`).
pub(super) fn text_field(to: &mut Vec<u8>, name: &str, value: &str) {
    short(to, name);
    to.push(b'S');
    long(to, value.as_bytes());
}

/// Appends a field of a table: true (`t`).
pub(super) fn true_field(to: &mut Vec<u8>, name: &str) {
    short(to, name);
    to.extend_from_slice(b"t\x01");
}
