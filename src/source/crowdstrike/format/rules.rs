//! Mapping rules: which values of an event become which fields of CEF or LEEF.
//!
//! Facts: the mapping of the vendor's SIEM connector (`cs.falconhoseclient.cef.cfg`, as published by Logpoint; the keys `header_prefix`,
//! `__header.N`, `time_fields`, `time_format`, `keys_ordered`, `escape_header`, `escape_ext`). A section is named by a type of event; a value
//! that begins with `event.` or `metadata.` is a path, any other is a literal, also in quotes. Unconfirmed: `map_null`, `header_delim`,
//! `field_delim`.
//!
//! Decisions: the order of keys is always that of the file; `[*]` is for every type without a section; `event` alone is the whole
//! event as JSON; a field without a value is left out together with its label, unless `map_null` is true.

use std::collections::BTreeMap;

use super::ini;

/// The built-in rules.
const CEF: &str = include_str!("cef.cfg");
const LEEF: &str = include_str!("leef.cfg");
/// The section for types that have none.
const OTHERS: &str = "*";

/// Where a field's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Term {
    /// A text.
    Literal(String),
    /// Names of members, from the outermost inwards.
    Path(Vec<String>),
}

/// The rules of one type of event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) header: BTreeMap<u8, Term>,
    pub(super) fields: Vec<(String, Term)>,
}

/// All rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) prefix: String,
    pub(super) header_delimiter: String,
    pub(super) field_delimiter: String,
    pub(super) time_fields: Vec<String>,
    pub(super) time_format: String,
    pub(super) escape_header: Vec<(String, String)>,
    pub(super) escape_fields: Vec<(String, String)>,
    pub(super) writes_empty: bool,
    types: BTreeMap<String, Rule>,
}

impl Rules {
    /// The built-in ones.
    pub(super) fn built_in(is_leef: bool) -> Self {
        let mut rules = Self::default();
        // A test reads both.
        let _ = rules.change(if is_leef { LEEF } else { CEF });
        rules
    }

    /// Takes over what a file says; a section of it replaces the one of its name.
    ///
    /// # Errors
    /// In words, what cannot be read.
    pub(super) fn change(&mut self, text: &str) -> Result<(), String> {
        let sections = ini::sections(text)
            .map_err(|line| format!("line {line} is no comment, [section] or key = value; mend it"))?;
        for section in sections {
            let mut rule = Rule::default();
            for (key, value) in &section.keys {
                if self.global(key, value)? {
                    continue;
                }
                match key.strip_prefix("__header.") {
                    Some(number) => {
                        let number = number.parse().map_err(|_| format!("{key} is no __header.0 to __header.9"))?;
                        rule.header.insert(number, source(value));
                    }
                    None => rule.fields.push((key.clone(), source(value))),
                }
            }
            // The connector's own file has sections of other matters, which map nothing.
            let is_mapping = section.name == OTHERS || section.name.ends_with("Event") || !rule.header.is_empty();
            if is_mapping && (!rule.header.is_empty() || !rule.fields.is_empty()) {
                self.types.insert(section.name, rule);
            }
        }
        Ok(())
    }

    /// Takes over a key that is not of one type; whether it was one.
    fn global(&mut self, key: &str, value: &str) -> Result<bool, String> {
        let plain = || ini::unescaped(ini::unquoted(value));
        let escapes = || ini::pairs(value).ok_or_else(|| format!("{key} is no list like \"|\":\"\\|\",\"=\":\"\\=\""));
        match key {
            "header_prefix" => self.prefix = plain(),
            "header_delim" => self.header_delimiter = plain(),
            "field_delim" => self.field_delimiter = plain(),
            "time_format" => self.time_format = strftime(ini::unquoted(value)),
            "time_fields" => {
                self.time_fields = value.split(',').map(|name| ini::unquoted(name.trim()).to_owned()).collect();
            }
            "escape_header" => self.escape_header = escapes()?,
            "escape_ext" => self.escape_fields = escapes()?,
            "map_null" => self.writes_empty = ini::unquoted(value) == "true",
            "keys_ordered" => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The rule for a type of event.
    pub(super) fn of(&self, event_type: &str) -> Option<&Rule> {
        self.types.get(event_type).or_else(|| self.types.get(OTHERS))
    }
}

fn source(value: &str) -> Term {
    let is_path = value == "event" || value.starts_with("event.") || value.starts_with("metadata.");
    if is_path {
        Term::Path(value.split('.').map(str::to_owned).collect())
    } else {
        Term::Literal(ini::unquoted(value).to_owned())
    }
}

/// A pattern of letters (`MMM dd yyyy HH:mm:ss`) as one of signs.
fn strftime(pattern: &str) -> String {
    let mut all = String::new();
    let mut rest = pattern;
    let known = [
        ("yyyy", "%Y"),
        ("MMM", "%b"),
        ("MM", "%m"),
        ("dd", "%d"),
        ("HH", "%H"),
        ("mm", "%M"),
        ("ss", "%S"),
        ("SSS", "%3f"),
        ("%", "%%"),
    ];
    while let Some(first) = rest.chars().next() {
        let found = known.iter().find_map(|(letters, sign)| Some((rest.strip_prefix(letters)?, sign)));
        rest = if let Some((after, sign)) = found {
            all.push_str(sign);
            after
        } else {
            all.push(first);
            rest.split_at(first.len_utf8()).1
        };
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_rules_are_whole() {
        for (text, is_leef) in [(CEF, false), (LEEF, true)] {
            assert_eq!(Rules::default().change(text), Ok(()));
            let rules = Rules::built_in(is_leef);
            assert!(rules.prefix.ends_with("|CrowdStrike|FalconHost|1.0|"), "{rules:?}");
            assert!(rules.types.len() >= 10 && rules.of("SomethingNewEvent").is_some());
            let headers = if is_leef { 1 } else { 3 };
            for (name, rule) in &rules.types {
                assert_eq!(rule.header.len(), headers, "{name}");
            }
        }
    }

    #[test]
    fn a_file_changes_what_it_names() {
        let mut rules = Rules::built_in(false);
        let before = rules.clone();
        rules
            .change("[Settings]\noutput_format = syslog\nmap_null = true\ntime_format = yyyy-MM-dd HH:mm:ss.SSS\n[FirewallMatchEvent]\n__header.0 = 'x'\nkey = event.A.B\n")
            .unwrap();
        assert_eq!((rules.writes_empty, rules.time_format.as_str()), (true, "%Y-%m-%d %H:%M:%S.%3f"));
        let rule = rules.of("FirewallMatchEvent").unwrap();
        assert_eq!(rule.header[&0], Term::Literal("x".into()));
        assert_eq!(rule.fields, [("key".into(), Term::Path(["event", "A", "B"].map(str::to_owned).to_vec()))]);
        assert_eq!(rules.of("AuthActivityAuditEvent"), before.of("AuthActivityAuditEvent"));
        assert!(!rules.types.contains_key("Settings"));
        assert!(rules.change("[a]\nx").unwrap_err().contains("line 2"));
        assert!(rules.change("escape_ext = no").unwrap_err().contains("escape_ext"));
    }
}
