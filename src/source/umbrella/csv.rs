//! CSV as a stream: where each row ends, and the fields of a row.
//!
//! Facts: RFC 4180: a field in quotes may hold commas, line ends and doubled quotes. Cisco's own samples show blanks between a
//! comma and the quote that follows ("DNS Log Formats", "Admin Audit Log Formats"): they are passed over, or the quote would
//! become data.
//!
//! Rows come out as the bytes they were, without their line end, and are the same whatever pieces the bytes come in: a row's
//! number is part of its event's id. What is no good CSV never swallows more than it must: after a quote that closes a field,
//! other characters end it as if it had none, so that the line end counts again; and of a quote that never closes, the first
//! line goes out alone, as an odd row, once the bound is passed.

use std::borrow::Cow;
use std::ops::Range;

/// Finds the ends of rows. Memory: what was pushed and not yet taken, at most a row besides.
#[derive(Debug)]
pub(super) struct Rows {
    bytes: Vec<u8>,
    /// Where the row begins, and how far it was looked at.
    start: usize,
    at: usize,
    state: State,
    /// It goes on from a row that was cut.
    is_rest: bool,
    /// The longest row.
    most: usize,
}

/// A row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row<'a> {
    pub(super) bytes: &'a [u8],
    /// It was cut where it passed the bound, or is the rest of one that was, or has a quote that never closes.
    pub(super) is_odd: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the beginning of a field, or in the blanks before it.
    Before,
    /// In a field without quotes, or behind the quote that closed one.
    Bare,
    /// In a field in quotes.
    Quoted,
    /// Behind a quote in such a field.
    Quote,
}

impl State {
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Quoted, b'"') => Self::Quote,
            (Self::Quoted, _) | (Self::Quote | Self::Before, b'"') => Self::Quoted,
            (_, b',' | b'\n') => Self::Before,
            (Self::Before, b' ' | b'\t') => Self::Before,
            _ => Self::Bare,
        }
    }
}

impl Rows {
    pub(super) fn new(most: usize) -> Self {
        Self { bytes: Vec::new(), start: 0, at: 0, state: State::Before, is_rest: false, most: most.max(1) }
    }

    /// Where more bytes are appended.
    pub(super) fn room(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.start);
        self.at -= self.start;
        self.start = 0;
        &mut self.bytes
    }

    /// The next row that is whole. Rows of nothing but blanks are none.
    pub(super) fn next(&mut self) -> Option<Row<'_>> {
        let (range, is_odd) = self.find()?;
        Some(Row { bytes: self.bytes.get(range)?, is_odd })
    }

    /// As [`Rows::next`], once no more bytes come.
    pub(super) fn last(&mut self) -> Option<Row<'_>> {
        let (range, is_odd) = loop {
            if let Some(found) = self.find() {
                break found;
            }
            let end = self.bytes.len();
            let found = match self.line().filter(|_| self.state == State::Quoted) {
                Some(end) => self.take(end, end + 1, true),
                None if self.start < end => self.take(end, end, false),
                None => return None,
            };
            if let Some(found) = found {
                break found;
            }
        };
        Some(Row { bytes: self.bytes.get(range)?, is_odd })
    }

    fn find(&mut self) -> Option<(Range<usize>, bool)> {
        loop {
            let bound = self.start.saturating_add(self.most);
            let seen = self.bytes.get(self.at..self.bytes.len().min(bound)).unwrap_or_default();
            let mut end = None;
            for byte in seen {
                self.at += 1;
                if *byte == b'\n' && self.state != State::Quoted {
                    end = Some(self.at - 1);
                    break;
                }
                self.state = self.state.after(*byte);
            }
            let found = match end {
                Some(end) => self.take(end, end + 1, false),
                None if self.at < bound => return None,
                None => match self.line() {
                    Some(end) => self.take(end, end + 1, true),
                    None => {
                        let found = self.take(bound, bound, true);
                        // What follows up to the line end belongs to it.
                        (self.state, self.is_rest) = (State::Bare, true);
                        found
                    }
                },
            };
            if found.is_some() {
                return found;
            }
        }
    }

    /// The first line end that was looked at since the row began.
    fn line(&self) -> Option<usize> {
        let seen = self.bytes.get(self.start..self.at)?;
        Some(self.start + seen.iter().position(|byte| *byte == b'\n')?)
    }

    /// The row up to `end`; the next one begins at `next`. `None` if it holds nothing.
    fn take(&mut self, end: usize, next: usize, is_odd: bool) -> Option<(Range<usize>, bool)> {
        let row = self.bytes.get(self.start..end)?;
        let length = row.strip_suffix(b"\r").filter(|_| next > end).unwrap_or(row).len();
        let is_blank = row.iter().all(u8::is_ascii_whitespace);
        let range = self.start..self.start + length;
        (self.start, self.at, self.state) = (next, next, State::Before);
        let is_odd = std::mem::take(&mut self.is_rest) || is_odd;
        (!is_blank).then_some((range, is_odd))
    }
}

/// The fields of a row, without quotes and the blanks around them.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a>(Option<&'a str>);

impl<'a> Fields<'a> {
    pub(super) fn of(row: &'a str) -> Self {
        Self(Some(row))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Cow<'a, str>;

    fn next(&mut self) -> Option<Cow<'a, str>> {
        let rest = self.0?;
        let mut state = State::Before;
        let end = rest.bytes().position(|byte| {
            let is_end = byte == b',' && state != State::Quoted;
            state = state.after(byte);
            is_end
        });
        let (field, rest) = match end {
            Some(end) => (rest.get(..end)?, Some(rest.get(end + 1..)?)),
            None => (rest, None),
        };
        self.0 = rest;
        let field = field.trim_start_matches([' ', '\t']);
        let Some(inner) = field.strip_prefix('"') else { return Some(Cow::Borrowed(field)) };
        let inner = inner.trim_end_matches([' ', '\t', '\r']);
        let inner = inner.strip_suffix('"').unwrap_or(inner);
        Some(if inner.contains('"') { Cow::Owned(inner.replace("\"\"", "\"")) } else { Cow::Borrowed(inner) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The rows of a text that comes in pieces of these lengths, over and over.
    fn rows(text: &[u8], pieces: &[usize], most: usize) -> Vec<(Vec<u8>, bool)> {
        let (mut rows, mut found, mut rest) = (Rows::new(most), Vec::new(), text);
        let mut lengths = pieces.iter().cycle();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((*lengths.next().unwrap()).clamp(1, rest.len()));
            rest = after;
            rows.room().extend_from_slice(piece);
            while let Some(row) = rows.next() {
                found.push((row.bytes.to_vec(), row.is_odd));
            }
        }
        while let Some(row) = rows.last() {
            found.push((row.bytes.to_vec(), row.is_odd));
        }
        found
    }

    fn texts(text: &str, most: usize) -> Vec<String> {
        let mark = |(bytes, is_odd): (Vec<u8>, bool)| {
            format!("{}{}", if is_odd { "!" } else { "" }, String::from_utf8(bytes).unwrap())
        };
        rows(text.as_bytes(), &[1_000], most).into_iter().map(mark).collect()
    }

    fn fields(row: &str) -> Vec<String> {
        Fields::of(row).map(Cow::into_owned).collect()
    }

    #[test]
    fn rows_end_where_no_quote_is_open() {
        let text = "\"a\", \"b\nc\",\"d \"\"e\"\"\"\r\n\r\n\"f\",\"\",g\n\"h\"";
        assert_eq!(texts(text, 1_000), ["\"a\", \"b\nc\",\"d \"\"e\"\"\"", "\"f\",\"\",g", "\"h\""]);
        assert_eq!(fields("\"a\", \"b\nc\",\"d \"\"e\"\"\""), ["a", "b\nc", "d \"e\""]);
        assert_eq!(fields("\"f\",\"\" ,g,"), ["f", "", "g", ""]);
        assert_eq!(fields("a \"b\", c,\"x\"y"), ["a \"b\"", "c", "x\"y"]);
    }

    #[test]
    fn a_quote_that_is_wrong_costs_no_more_than_its_line() {
        assert_eq!(texts("\"a\"b\",1\n\"c\"\n", 1_000), ["\"a\"b\",1", "\"c\""]);
        let text = format!("\"open\n{}x\n", "y\n".repeat(10));
        let found = texts(&text, 10);
        assert_eq!((found.len(), found[0].as_str(), found[1].as_str()), (12, "!\"open", "y"));
        // At the end too, where nothing passes the bound.
        assert_eq!(texts("\"a\"\n\"open\nb\nc", 1_000), ["\"a\"", "!\"open", "b", "c"]);
    }

    #[test]
    fn a_row_that_is_too_long_goes_out_in_marked_parts() {
        assert_eq!(texts("aaaa,bbbb\ncc\n", 4), ["!aaaa", "!,bbb", "!b", "cc"]);
    }

    proptest! {
        #[test]
        fn rows_do_not_depend_on_how_they_come(
            text in "([a-c,\" \n\r]{0,12}|\"[a-c, ]{0,9}\"[,\n]){0,9}",
            pieces in proptest::collection::vec(1_usize..9, 1..9),
            most in 1_usize..40,
        ) {
            let whole = rows(text.as_bytes(), &[usize::MAX], most);
            prop_assert_eq!(&rows(text.as_bytes(), &pieces, most), &whole);
            // Nothing but line ends and blank rows is missing.
            let kept: Vec<u8> = whole.concat_bytes();
            let plain = |bytes: &[u8]| -> Vec<u8> { bytes.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect() };
            prop_assert_eq!(plain(&kept), plain(text.as_bytes()));
        }

        #[test]
        fn what_a_writer_quotes_comes_back(table in proptest::collection::vec(proptest::collection::vec("[a-z\",\n ]{0,8}", 1..5), 1..6)) {
            let quoted = |field: &String| format!("\"{}\"", field.replace('"', "\"\""));
            let lines: Vec<String> =
                table.iter().map(|row| row.iter().map(quoted).collect::<Vec<_>>().join(", ")).collect();
            let found = rows(format!("{}\n", lines.join("\r\n")).as_bytes(), &[3], 1_000);
            let back: Vec<Vec<String>> =
                found.iter().map(|(row, _)| fields(std::str::from_utf8(row).unwrap())).collect();
            prop_assert_eq!(back, table);
        }
    }

    trait Concat {
        fn concat_bytes(&self) -> Vec<u8>;
    }

    impl Concat for Vec<(Vec<u8>, bool)> {
        fn concat_bytes(&self) -> Vec<u8> {
            self.iter().flat_map(|(bytes, _)| bytes.clone()).collect()
        }
    }
}
