//! From the bytes of a file to its records.
//!
//! Facts: AsyncOS text logs begin each line with `Tue Mar  5 10:15:30 2024 `, year last (observed in Cisco's samples); a line
//! without it goes on with the record before (unconfirmed; nothing is lost either way). W3C Extended Log File Format
//! (W3C working draft WD-logfile-960323): lines that begin with `#` are directives, `#Fields:` names the columns from there on.
//! An empty line is no record. Lines end with LF or CR LF; the last may have none.

use memchr::memchr;

use crate::event::LineFormat;
use crate::source::ssh::settings::LogType;

/// A record and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) format: LineFormat,
    /// Of its first line, from 1.
    pub(super) number: u64,
    pub(super) offset: u64,
    /// The offset after it.
    pub(super) end: u64,
    pub(super) bytes: &'a [u8],
    /// Its length, where `bytes` is only its beginning.
    pub(super) cut_from: Option<u64>,
    pub(super) fields: &'a str,
}

/// Takes the bytes of one file, in order.
#[derive(Debug)]
pub(super) struct Splitter {
    format: Option<LineFormat>,
    most: usize,
    fields: String,
    /// The line that has not ended, at most `most` bytes of it, and its length.
    line: Vec<u8>,
    length: u64,
    /// Its last byte so far.
    last: u8,
    /// Where it begins.
    offset: u64,
    number: u64,
    /// The AsyncOS record that may go on.
    held: Held,
}

#[derive(Debug, Default)]
struct Held {
    bytes: Vec<u8>,
    length: u64,
    offset: u64,
    number: u64,
}

impl Splitter {
    /// For a file of that type whose records are cut at `most` bytes.
    pub(super) fn new(log_type: LogType, most: usize) -> Self {
        let format = match log_type {
            LogType::Auto => None,
            LogType::Asyncos => Some(LineFormat::Asyncos),
            LogType::Cef => Some(LineFormat::Cef),
            LogType::W3c => Some(LineFormat::W3c),
            LogType::Lines => Some(LineFormat::Text),
        };
        Self {
            format,
            most,
            fields: String::new(),
            line: Vec::new(),
            length: 0,
            last: 0,
            offset: 0,
            number: 1,
            held: Held::default(),
        }
    }

    /// Gives every record that is complete to `emit`.
    pub(super) fn push(&mut self, bytes: &[u8], emit: &mut dyn FnMut(&Piece<'_>)) {
        let mut rest = bytes;
        while let Some(at) = memchr(b'\n', rest) {
            let (line, after) = rest.split_at(at);
            rest = after.get(1..).unwrap_or_default();
            if self.length == 0 {
                self.line_ended(line, line.len() as u64, 1, emit);
            } else {
                self.append(line);
                self.unfinished_ended(1, emit);
            }
        }
        self.append(rest);
    }

    /// The file ends here.
    pub(super) fn finish(&mut self, emit: &mut dyn FnMut(&Piece<'_>)) {
        if self.length > 0 {
            self.unfinished_ended(0, emit);
        }
        self.give(emit);
    }

    fn append(&mut self, bytes: &[u8]) {
        let fits = self.most.saturating_add(1).saturating_sub(self.line.len()).min(bytes.len());
        self.line.extend_from_slice(bytes.get(..fits).unwrap_or_default());
        self.length += bytes.len() as u64;
        self.last = bytes.last().copied().unwrap_or(self.last);
    }

    fn unfinished_ended(&mut self, line_end: u64, emit: &mut dyn FnMut(&Piece<'_>)) {
        let (line, length) = (std::mem::take(&mut self.line), std::mem::take(&mut self.length));
        self.line_ended(&line, length, line_end, emit);
        self.line = line;
        self.line.clear();
    }

    /// A line of `length` bytes, all of them or the first of them in `line`, and `line_end` bytes of line end after it.
    fn line_ended(&mut self, line: &[u8], length: u64, line_end: u64, emit: &mut dyn FnMut(&Piece<'_>)) {
        let (offset, number) = (self.offset, self.number);
        self.offset += length + line_end;
        self.number += 1;
        let is_whole = line.len() as u64 == length;
        let (line, length) = match line.split_last() {
            Some((b'\r', before)) if is_whole => (before, length - 1),
            _ if !is_whole && self.last == b'\r' => (line, length - 1),
            _ => (line, length),
        };
        if line.is_empty() {
            return;
        }
        let format = *self.format.get_or_insert_with(|| detect(line));
        if format == LineFormat::W3c && line.first() == Some(&b'#') {
            self.directive(line);
            return;
        }
        if format == LineFormat::Asyncos {
            if !starts_with_time(line) && self.held.length > 0 {
                self.held.extend(b"\n", 1, self.most);
            } else {
                self.give(emit);
                self.held = Held { bytes: std::mem::take(&mut self.held.bytes), length: 0, offset, number };
            }
            self.held.extend(line, length, self.most);
            return;
        }
        let kept = line.get(..line.len().min(self.most)).unwrap_or_default();
        let cut_from = (kept.len() as u64 != length).then_some(length);
        emit(&Piece { format, number, offset, end: self.offset, bytes: kept, cut_from, fields: &self.fields });
    }

    /// Gives out the record that can no longer go on. It ends where the line that ended last began, or with the file.
    fn give(&mut self, emit: &mut dyn FnMut(&Piece<'_>)) {
        let held = &mut self.held;
        if held.length == 0 {
            return;
        }
        let cut_from = (held.bytes.len() as u64 != held.length).then_some(held.length);
        let format = LineFormat::Asyncos;
        // Another record begins after it, so its last byte is all that a reader has to get past.
        let end = held.offset + 1;
        emit(&Piece {
            format,
            number: held.number,
            offset: held.offset,
            end,
            bytes: &held.bytes,
            cut_from,
            fields: "",
        });
        held.bytes.clear();
        held.length = 0;
    }

    /// A longer directive counts as far as a record would.
    fn directive(&mut self, line: &[u8]) {
        let line = line.get(..line.len().min(self.most)).unwrap_or_default();
        if let Some(names) = line.strip_prefix(b"#Fields:") {
            self.fields = String::from_utf8_lossy(names).trim().to_owned();
        }
    }
}

impl Held {
    fn extend(&mut self, bytes: &[u8], length: u64, most: usize) {
        let fits = most.saturating_sub(self.bytes.len()).min(bytes.len());
        self.bytes.extend_from_slice(bytes.get(..fits).unwrap_or_default());
        self.length += length;
    }
}

/// By the first line.
fn detect(line: &[u8]) -> LineFormat {
    let cef = b"CEF:";
    let is_directive = |word: &[u8]| line.starts_with(word);
    if [&b"#Fields:"[..], b"#Version:", b"#Software:", b"#Date:"].into_iter().any(is_directive) {
        LineFormat::W3c
    } else if line.starts_with(cef) || (starts_with_time(line) && line.windows(cef.len()).take(64).any(|w| w == cef)) {
        LineFormat::Cef
    } else if starts_with_time(line) {
        LineFormat::Asyncos
    } else {
        LineFormat::Text
    }
}

/// `Tue Mar  5 10:15:30 2024`, by its shape.
fn starts_with_time(line: &[u8]) -> bool {
    const SHAPE: &[u8; 24] = b"aaa aaa 90 00:00:00 0000";
    let Some(start) = line.first_chunk::<24>() else { return false };
    start.iter().zip(SHAPE).all(|(byte, shape)| match shape {
        b'a' => byte.is_ascii_alphabetic(),
        b'0' => byte.is_ascii_digit(),
        b'9' => byte.is_ascii_digit() || *byte == b' ',
        other => byte == other,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Found = (u64, u64, String, Option<u64>, String);

    fn split(log_type: LogType, most: usize, pieces: &[&[u8]]) -> Vec<Found> {
        let (mut splitter, mut found) = (Splitter::new(log_type, most), Vec::new());
        let mut emit = |piece: &Piece<'_>| {
            assert!(piece.end > piece.offset);
            let text = String::from_utf8_lossy(piece.bytes).into_owned();
            found.push((piece.number, piece.offset, text, piece.cut_from, piece.fields.to_owned()));
        };
        pieces.iter().for_each(|piece| splitter.push(piece, &mut emit));
        splitter.finish(&mut emit);
        found
    }

    fn plain(found: &[Found]) -> Vec<(u64, u64, &str)> {
        found.iter().map(|(number, offset, text, ..)| (*number, *offset, text.as_str())).collect()
    }

    #[test]
    fn lines_of_all_ends_and_the_last_without_one() {
        let found = split(LogType::Auto, 100, &[b"one\r\n\ntwo\nth", b"ree"]);
        assert_eq!(plain(&found), [(1, 0, "one"), (3, 6, "two"), (4, 10, "three")]);
        assert!(split(LogType::Auto, 100, &[b"", b"\n\r\n"]).is_empty());
    }

    #[test]
    fn a_text_log_keeps_lines_without_a_time_with_the_record_before() {
        let text = b"Tue Mar  5 10:15:30 2024 Info: a\n  more\nof it\nTue Mar 15 10:15:31 2024 Info: b\n";
        let found = split(LogType::Auto, 100, &[text]);
        assert_eq!(
            plain(&found),
            [(1, 0, "Tue Mar  5 10:15:30 2024 Info: a\n  more\nof it"), (4, 46, "Tue Mar 15 10:15:31 2024 Info: b")]
        );
        let lines = split(LogType::Lines, 100, &[text]);
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn a_w3c_log_gives_its_columns_with_each_record() {
        let text = b"#Version: 1.0\n#Fields: c-ip cs-uri\n192.0.2.1 /a\n#Fields: c-ip\n192.0.2.2\n";
        let found = split(LogType::Auto, 100, &[text]);
        let fields: Vec<_> = found.iter().map(|(number, _, text, _, fields)| (*number, &**text, &**fields)).collect();
        assert_eq!(fields, [(3, "192.0.2.1 /a", "c-ip cs-uri"), (5, "192.0.2.2", "c-ip")]);
    }

    #[test]
    fn consolidated_events_are_seen_with_and_without_a_time() {
        for text in [&b"CEF:0|Cisco|C|1|E|n|5|a=b\n  x\n"[..], b"Tue Mar  5 10:15:30 2024: CEF:0|Cisco|C\n  x\n"] {
            assert_eq!(split(LogType::Auto, 100, &[text]).len(), 2);
        }
    }

    #[test]
    fn a_long_record_is_cut_and_says_how_long_it_was() {
        let found = split(LogType::Lines, 5, &[b"12345\n123456\n123", b"45678\r\nx"]);
        let cuts: Vec<_> = found.iter().map(|(_, offset, text, cut, _)| (*offset, &**text, *cut)).collect();
        assert_eq!(cuts, [(0, "12345", None), (6, "12345", Some(6)), (13, "12345", Some(8)), (23, "x", None)]);
        let found = split(LogType::Asyncos, 30, &[b"Tue Mar  5 10:15:30 2024 Info: a\nmore"]);
        assert_eq!(found[0].3, Some(37));
    }

    proptest! {
        #[test]
        fn records_do_not_depend_on_how_the_bytes_come(text in "(Tue Mar  5 10:15:30 2024 |a|\\r|\n|#Fields: b|CEF:){0,40}", cut in 0usize..200) {
            let text = text.as_bytes();
            let cut = cut.min(text.len());
            for log_type in [LogType::Auto, LogType::Asyncos, LogType::W3c, LogType::Lines] {
                prop_assert_eq!(split(log_type, 100, &[text]), split(log_type, 100, &[&text[..cut], &text[cut..]]));
            }
        }
    }
}
