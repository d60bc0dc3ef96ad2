//! A record of a file that a device pushed: its bytes with their place before them, as a batch of kind `Line` stores them.
//!
//! Stored form: format, number, offset, length of the path and the path, length of the field names and the names, the bytes.
//! Numbers are LEB128. Path and names come again with each record, which zstd all but removes.

use super::batch::{read_number, write_number};

/// What a file's records are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFormat {
    /// Lines of no known form.
    Text,
    /// The text logs of Cisco's AsyncOS: `Tue Mar  5 10:15:30 2024 Info: …`.
    Asyncos,
    /// A CEF event on each line, with or without a time before it.
    Cef,
    /// W3C extended log format; its `#Fields` line names the columns.
    W3c,
}

impl LineFormat {
    const ALL: [Self; 4] = [Self::Text, Self::Asyncos, Self::Cef, Self::W3c];

    /// The word in forwarded events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Asyncos => "asyncos",
            Self::Cef => "cef",
            Self::W3c => "w3c",
        }
    }
}

/// A record and its place in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// How it is to be read.
    pub format: LineFormat,
    /// The number of its first line in the file, from 1.
    pub number: u64,
    /// Where it begins, in bytes from the start of the file (after gzip).
    pub offset: u64,
    /// Folder and name as the device gave them.
    pub path: &'a str,
    /// The names of a W3C log's columns, separated by blanks; else empty.
    pub fields: &'a str,
    /// The record, without its line end.
    pub bytes: &'a [u8],
}

impl<'a> Line<'a> {
    /// Appends the stored form.
    pub fn write(&self, to: &mut Vec<u8>) {
        let format = LineFormat::ALL.iter().position(|format| *format == self.format).unwrap_or(0);
        write_number(to, format as u64);
        write_number(to, self.number);
        write_number(to, self.offset);
        for text in [self.path, self.fields] {
            write_number(to, text.len() as u64);
            to.extend_from_slice(text.as_bytes());
        }
        to.extend_from_slice(self.bytes);
    }

    /// Reads the stored form; `None` if it is not that.
    #[must_use]
    pub fn read(from: &'a [u8]) -> Option<Self> {
        let (format, rest) = read_number(from)?;
        let format = *LineFormat::ALL.get(usize::try_from(format).ok()?)?;
        let (number, rest) = read_number(rest)?;
        let (offset, rest) = read_number(rest)?;
        let text = |from: &'a [u8]| {
            let (length, rest) = read_number(from)?;
            let (text, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            Some((std::str::from_utf8(text).ok()?, rest))
        };
        let (path, rest) = text(rest)?;
        let (fields, bytes) = text(rest)?;
        Some(Self { format, number, offset, path, fields, bytes })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_written_is_read(number in any::<u64>(), offset in any::<u64>(), path in "\\PC{0,80}", fields in "\\PC{0,40}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for format in LineFormat::ALL {
                let line = Line { format, number, offset, path: &path, fields: &fields, bytes: &bytes };
                let mut stored = Vec::new();
                line.write(&mut stored);
                prop_assert_eq!(Line::read(&stored), Some(line));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Line::read(&bytes);
        }
    }
}
