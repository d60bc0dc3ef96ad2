//! Reads `key=value` text as firewalls write it: values quoted or bare with no rule a reader can rely on.
//!
//! Seen in the field (Sophos SFOS, observed in the public tests of Splunk Connect for Syslog): bare values that hold
//! blanks (`ether_type=Unknown (0x0000)`), bare empty values (`tran_src_ip= tran_src_port=0`), double blanks between
//! pairs, quotes inside quoted values that nothing escapes. So a value ends not at a quote or a blank but where the next
//! key begins: a quoted one at the first `"` that is followed by the end of the text or by blanks and `key=`, a bare one
//! before blanks and `key=`, or at the end.
//!
//! A key is a letter and then letters, digits and `_`. Capitals are allowed although most keys are lower-case: Sophos'
//! disk reports name partitions so (`Configuration=9.00%`, unconfirmed), and a key that is not seen is swallowed by the
//! value before it. An empty value means that the key is absent; such pairs are left out. Text before the first key is
//! passed over.
//!
//! FortiGate can write commas, Check Point `|` or `;` between pairs: what stands before the second key decides.

/// Walks the pairs of a text, in order, without allocation. Time is linear in the length of the text.
#[must_use]
pub fn pairs(text: &str) -> Pairs<'_> {
    let bytes = text.as_bytes();
    let mut pairs = Pairs { text, key: None, separator: b' ', no_close: false };
    pairs.key = first_key(bytes);
    if let Some(key) = pairs.key {
        pairs.separator = separator(bytes, key.equals + 1);
    }
    pairs
}

/// True if the text begins with a key and `=`.
#[must_use]
pub fn starts_with_key(text: &str) -> bool {
    key_at(text.as_bytes(), 0).is_some()
}

/// The pairs of a text, made by [`pairs`].
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    text: &'a str,
    key: Option<Key>,
    separator: u8,
    /// No quote from here on ends a value. Whether one does depends on what follows it alone, so one vain search is
    /// enough: without this, unclosed quotes would cost the square of the length.
    no_close: bool,
}

/// Where a key begins and where its `=` is.
#[derive(Clone, Copy, Debug)]
struct Key {
    start: usize,
    equals: usize,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(key) = self.key {
            let value = self.value(key.equals + 1);
            if !value.is_empty() {
                return Some((self.text.get(key.start..key.equals)?, value));
            }
        }
        None
    }
}

impl<'a> Pairs<'a> {
    /// What stands between two pairs: a blank, comma, semicolon or bar.
    #[must_use]
    pub fn separator(&self) -> u8 {
        self.separator
    }

    /// The value at `start`; moves on to the next key.
    fn value(&mut self, start: usize) -> &'a str {
        let bytes = self.text.as_bytes();
        if bytes.get(start) == Some(&b'"') && !self.no_close {
            let mut from = start + 1;
            while let Some(found) = quote(bytes.get(from..).unwrap_or_default()) {
                let end = from + found;
                if let Some(next) = self.boundary(end + 1) {
                    self.key = next;
                    return self.text.get(start + 1..end).unwrap_or_default();
                }
                from = end + 1;
            }
            self.no_close = true;
        }
        self.bare(start)
    }

    fn bare(&mut self, start: usize) -> &'a str {
        let bytes = self.text.as_bytes();
        let mut from = start;
        let next = |from: usize| bytes.get(from..)?.iter().position(|byte| self.separates(*byte));
        while let Some(plain) = next(from) {
            let end = from + plain;
            let after = past_blanks(bytes, end + 1, self.separator);
            if let Some(key) = key_at(bytes, after) {
                self.key = Some(key);
                return self.text.get(start..end).unwrap_or_default();
            }
            from = after;
        }
        self.key = None;
        let last = self.text.get(start..).unwrap_or_default().trim_end();
        if self.separator == b' ' { last } else { last.trim_end_matches(char::from(self.separator)) }
    }

    /// If a value may end at `at`: the key that follows, or none at the end of the text.
    fn boundary(&self, at: usize) -> Option<Option<Key>> {
        let bytes = self.text.as_bytes();
        let Some(byte) = bytes.get(at) else { return Some(None) };
        if !self.separates(*byte) && !byte.is_ascii_whitespace() {
            return None;
        }
        let after = past_blanks(bytes, at, self.separator);
        if self.separates(*byte)
            && let Some(key) = key_at(bytes, after)
        {
            return Some(Some(key));
        }
        bytes.get(after..).unwrap_or_default().trim_ascii().is_empty().then_some(None)
    }

    fn separates(&self, byte: u8) -> bool {
        byte == self.separator || (byte == b'\t' && self.separator == b' ')
    }
}

fn past_blanks(bytes: &[u8], mut at: usize, separator: u8) -> usize {
    while bytes.get(at).is_some_and(|byte| matches!(byte, b' ' | b'\t') || *byte == separator) {
        at += 1;
    }
    at
}

/// The key that begins exactly at `start`.
fn key_at(bytes: &[u8], start: usize) -> Option<Key> {
    let rest = bytes.get(start..)?;
    let length = rest.iter().position(|byte| !in_key(*byte))?;
    let is_key = rest.get(length) == Some(&b'=') && rest.first().is_some_and(u8::is_ascii_alphabetic);
    is_key.then_some(Key { start, equals: start + length })
}

fn in_key(byte: u8) -> bool {
    #[expect(clippy::indexing_slicing, reason = "done by the compiler, which would refuse an index out of range")]
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 128 {
            table[byte] = (byte as u8).is_ascii_alphanumeric() || byte as u8 == b'_';
            byte += 1;
        }
        table
    };
    TABLE.get(usize::from(byte)).copied().unwrap_or(false)
}

/// The first quote in `bytes`. Most values are short, where the loop is over before a vector search has begun.
fn quote(bytes: &[u8]) -> Option<usize> {
    let (near, far) = bytes.split_at(bytes.len().min(16));
    near.iter().position(|byte| *byte == b'"').or_else(|| Some(near.len() + memchr::memchr(b'"', far)?))
}

/// The first key that stands at the start of the text or after a blank.
fn first_key(bytes: &[u8]) -> Option<Key> {
    let mut at = past_blanks(bytes, 0, b' ');
    loop {
        if let Some(key) = key_at(bytes, at) {
            return Some(key);
        }
        let blank = memchr::memchr2(b' ', b'\t', bytes.get(at..)?)?;
        at = past_blanks(bytes, at + blank, b' ');
    }
}

/// What stands before the second key: a comma, semicolon or bar, or else a blank.
fn separator(bytes: &[u8], value: usize) -> u8 {
    let mut at = value;
    while let Some(byte) = bytes.get(at) {
        if matches!(byte, b' ' | b'\t' | b',' | b';' | b'|') {
            let after = past_blanks(bytes, at + 1, *byte);
            if key_at(bytes, after).is_some() {
                return if *byte == b'\t' { b' ' } else { *byte };
            }
            at = after;
        } else {
            at += 1;
        }
    }
    b' '
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<(&str, &str)> {
        pairs(text).collect()
    }

    #[test]
    fn quoted_and_bare() {
        assert_eq!(read(r#"a=1 b="two words" c=x"#), [("a", "1"), ("b", "two words"), ("c", "x")]);
    }

    #[test]
    fn a_bare_value_may_hold_blanks() {
        assert_eq!(
            read("ether_type=Unknown (0x0000) in_interface=\"Port1\""),
            [("ether_type", "Unknown (0x0000)"), ("in_interface", "Port1")]
        );
    }

    #[test]
    fn an_empty_value_is_absent() {
        assert_eq!(read(r#"tran_src_ip= tran_src_port=0 user="" x="#), [("tran_src_port", "0")]);
    }

    #[test]
    fn double_blanks_belong_to_no_value() {
        assert_eq!(read("sent_pkts=10  recv_pkts=9  "), [("sent_pkts", "10"), ("recv_pkts", "9")]);
    }

    #[test]
    fn quotes_inside_a_quoted_value() {
        assert_eq!(
            read(r#"url="https://h/?q="a b"" src_ip=192.0.2.10"#),
            [("url", r#"https://h/?q="a b""#), ("src_ip", "192.0.2.10")]
        );
        assert_eq!(read(r#"m="said "yes"""#), [("m", r#"said "yes""#)]);
        assert_eq!(read(r#"m="a \"b\" c" n=1"#), [("m", r#"a \"b\" c"#), ("n", "1")]);
    }

    #[test]
    fn an_equals_sign_inside_a_value_is_text() {
        assert_eq!(read(r#"url="https://h/?a=b&c=d" n=1"#), [("url", "https://h/?a=b&c=d"), ("n", "1")]);
        assert_eq!(read("query=a=b n=1"), [("query", "a=b"), ("n", "1")]);
    }

    #[test]
    fn a_quote_that_never_closes_makes_a_bare_value() {
        assert_eq!(read(r#"a="open b=2"#), [("a", "\"open"), ("b", "2")]);
    }

    #[test]
    fn commas_bars_and_semicolons_between_pairs() {
        assert_eq!(
            read(r#"date=2024-03-05,time=10:15:30,msg="a, b",n=1"#),
            [("date", "2024-03-05"), ("time", "10:15:30"), ("msg", "a, b"), ("n", "1")]
        );
        assert_eq!(
            read("time=1709633730|hostname=cp1|product=VPN-1 & FireWall-1|"),
            [("time", "1709633730"), ("hostname", "cp1"), ("product", "VPN-1 & FireWall-1")]
        );
        assert_eq!(read("a=x y; b=2"), [("a", "x y"), ("b", "2")]);
    }

    #[test]
    fn words_before_the_first_key_are_passed_over() {
        assert_eq!(read("flows src=192.0.2.1 dst=198.51.100.1"), [("src", "192.0.2.1"), ("dst", "198.51.100.1")]);
        assert_eq!(read("no pairs here, 1=2"), []);
    }

    #[test]
    fn a_line_end_is_no_part_of_a_value() {
        assert_eq!(read("a=1 b=\"2\"\r\n"), [("a", "1"), ("b", "2")]);
        assert_eq!(read("a=1 b=2\n"), [("a", "1"), ("b", "2")]);
    }

    #[test]
    fn unclosed_quotes_do_not_cost_the_square() {
        let text = "a=\"b ".repeat(200_000);
        assert_eq!(pairs(&text).count(), 200_000);
        let text = "a=\" b".repeat(200_000);
        assert!(pairs(&text).count() > 0);
    }

    proptest! {
        #[test]
        fn what_was_joined_is_read_back(given in proptest::collection::vec(
            ("[a-zA-Z][a-z0-9_]{0,12}", "[!-<>-~äß]{1,8}( [(-<>-~€]{1,8}){0,2}", any::<bool>()), 1..12
        )) {
            // No `=` inside, no quote at the end of a bare value, nothing that looks like another separator.
            let given: Vec<_> = given.into_iter().map(|(key, value, quoted)| {
                (key, value.replace(['"', ',', ';', '|'], "x"), quoted)
            }).collect();
            let joined: Vec<String> = given.iter().map(|(key, value, quoted)| {
                if *quoted { format!("{key}=\"{value}\"") } else { format!("{key}={value}") }
            }).collect();
            let joined = joined.join(" ");
            let expected: Vec<_> = given.iter().map(|(key, value, _)| (key.as_str(), value.as_str())).collect();
            prop_assert_eq!(read(&joined), expected);
        }

        #[test]
        fn arbitrary_text_never_panics_and_pairs_stand_in_it(text in "[a-c=\" ,|äx\t\n]{0,80}") {
            let mut at = 0;
            for (key, value) in pairs(&text) {
                let found = text[at..].find(&format!("{key}=")).unwrap();
                at += found + key.len() + 1;
                prop_assert!(text[at..].contains(value));
                prop_assert!(!value.is_empty());
            }
        }
    }
}
