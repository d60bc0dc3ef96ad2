//! The lines of a stream or of a file: at most so many bytes of each are kept, and empty ones are none.

use bytes::{Bytes, BytesMut};
use memchr::memchr;

/// A line without its line end, never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::source) struct Line {
    /// Its bytes, or the first of them.
    pub(in crate::source) bytes: Bytes,
    /// Its length, where `bytes` is only its beginning.
    pub(in crate::source) cut_from: Option<u64>,
}

/// Takes the bytes of one connection or file, in order.
#[derive(Debug)]
pub(in crate::source) struct Lines {
    most: usize,
    open: BytesMut,
    /// Bytes of the open line that were let go, and the last byte of it.
    let_go: u64,
    last: u8,
}

impl Lines {
    /// Keeps at most `most` bytes of a line.
    pub(in crate::source) fn new(most: usize) -> Self {
        Self { most, open: BytesMut::new(), let_go: 0, last: 0 }
    }

    /// The lines that end in these bytes. What ends without a line end is no line.
    pub(in crate::source) fn push(&mut self, bytes: &[u8], lines: &mut Vec<Line>) {
        let mut rest = bytes;
        while let Some(at) = memchr(b'\n', rest) {
            let (part, after) = rest.split_at(at);
            rest = after.get(1..).unwrap_or_default();
            self.append(part);
            lines.extend(self.close());
        }
        self.append(rest);
    }

    /// What stands behind the last line end, once no more bytes come.
    pub(in crate::source) fn last(&mut self) -> Option<Line> {
        let has_any = self.let_go > 0 || !self.open.is_empty();
        has_any.then(|| self.close()).flatten()
    }

    fn append(&mut self, bytes: &[u8]) {
        // A byte more than is kept, so that the CR of a line that just fits is seen.
        let fits = (self.most + 1).saturating_sub(self.open.len()).min(bytes.len());
        self.open.extend_from_slice(bytes.get(..fits).unwrap_or_default());
        self.let_go += (bytes.len() - fits) as u64;
        self.last = bytes.last().copied().unwrap_or(self.last);
    }

    fn close(&mut self) -> Option<Line> {
        let has_return = std::mem::take(&mut self.last) == b'\r';
        let length = self.open.len() as u64 + std::mem::take(&mut self.let_go) - u64::from(has_return);
        let mut bytes = self.open.split().freeze();
        bytes.truncate(self.most.min(usize::try_from(length).unwrap_or(usize::MAX)));
        let cut_from = (bytes.len() as u64 != length).then_some(length);
        (!bytes.trim_ascii().is_empty()).then_some(Line { bytes, cut_from })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(parts: &[&[u8]], most: usize) -> Vec<(String, Option<u64>)> {
        let (mut lines, mut found) = (Lines::new(most), Vec::new());
        for part in parts {
            lines.push(part, &mut found);
        }
        found.into_iter().map(|line| (String::from_utf8(line.bytes.to_vec()).unwrap(), line.cut_from)).collect()
    }

    #[test]
    fn lines_are_the_same_however_they_come() {
        let body: &[u8] = b"\r\n\n{\"a\":1}\r\n  \r\n12345678\r\n123456789\nabcdefghijk\r\n{\"b\":2}\n\nno end";
        let whole = split(&[body], 8);
        let expected = [
            ("{\"a\":1}", None),
            ("12345678", None),
            ("12345678", Some(9)),
            ("abcdefgh", Some(11)),
            ("{\"b\":2}", None),
        ];
        assert_eq!(whole, expected.map(|(text, cut)| (text.to_owned(), cut)));
        for at in 0..body.len() {
            let (first, second) = body.split_at(at);
            assert_eq!(split(&[first, second], 8), whole, "{at}");
        }
        let bytes: Vec<&[u8]> = body.chunks(1).collect();
        assert_eq!(split(&bytes, 8), whole);
    }

    #[test]
    fn what_has_no_line_end_is_the_last_line_of_a_file() {
        let last = |text: &[u8]| {
            let mut lines = Lines::new(4);
            lines.push(text, &mut Vec::new());
            lines.last().map(|line| (line.bytes.to_vec(), line.cut_from))
        };
        assert_eq!(last(b"a\nbc\r"), Some((b"bc".to_vec(), None)));
        assert_eq!(last(b"a\nbcdefg"), Some((b"bcde".to_vec(), Some(6))));
        assert_eq!((last(b"a\n"), last(b""), last(b"a\n  ")), (None, None, None));
    }
}
