//! Says in words what is no TOML, and how to write it.
//!
//! The parser's messages belong to the pinned version of the `toml` crate (observed with 1.2); a message that is not
//! known here is shown as it is.

use std::ops::Range;

use super::problem::{Problem, Source};

/// A file can be broken from its first line to its last; these are enough to see why.
const MOST: usize = 20;

/// The syntax errors of a file, at most one for a line, in the order of the file.
pub(super) fn problems(source: Source<'_>, errors: &[toml::de::Error]) -> Vec<Problem> {
    let mut found: Vec<(usize, Range<usize>, &str)> = Vec::new();
    for error in errors {
        let span = error.span().unwrap_or_default();
        let (line, _) = source.place(span.start);
        match found.iter_mut().find(|(other, _, _)| *other == line) {
            Some(known) => {
                if outranks(error.message(), span.start, known) {
                    *known = (line, span, error.message());
                }
            }
            None => found.push((line, span, error.message())),
        }
    }
    found.sort_by_key(|(line, _, _)| *line);
    let problem = |(line, span, message): &(usize, Range<usize>, &str)| {
        let text = source.0.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        let begin = source.0.get(..span.start).and_then(|before| before.rsplit('\n').next()).unwrap_or_default();
        let place = Place { marked: source.0.get(span.clone()).unwrap_or_default(), line: text, before: begin };
        let (what, advice) = explain(message, &place);
        source.problem(span, String::new(), what, advice)
    };
    found.iter().take(MOST).map(problem).collect()
}

/// Of two errors in one line the earlier counts, except that two assignments in one line explain all the others.
fn outranks(message: &str, start: usize, known: &(usize, Range<usize>, &str)) -> bool {
    const MORE: &str = "unexpected key or value";
    let two_assignments = |text: &str| text.starts_with(MORE);
    match (two_assignments(message), two_assignments(known.2)) {
        (true, false) => true,
        (false, true) => false,
        _ => start < known.1.start,
    }
}

fn pair(what: impl Into<String>, advice: impl Into<String>) -> (String, String) {
    (what.into(), advice.into())
}

/// Where an error is.
struct Place<'a> {
    /// The text it points at.
    marked: &'a str,
    /// The whole line.
    line: &'a str,
    /// The line up to the place.
    before: &'a str,
}

/// What is wrong and what to write.
fn explain(message: &str, place: &Place<'_>) -> (String, String) {
    let starts = |prefix: &str| message.starts_with(prefix);
    let (marked, trimmed) = (place.marked, place.line.trim());
    if starts("string values must be quoted") || starts("invalid float") || starts("invalid boolean") {
        return bare_value(marked.trim());
    }
    if starts("duplicate key") {
        return duplicate(marked, trimmed);
    }
    if starts("key with no value") || starts("invalid unquoted key") {
        return no_key(trimmed);
    }
    if starts("invalid basic string") || starts("invalid literal string") || starts("invalid multi-line") {
        if message.contains("visible") {
            return pair(
                "there is a control character in the text",
                "take it out, or write it as \\u0000 with its number",
            );
        }
        let quote = if starts("invalid literal") { "'" } else { "\"" };
        return pair("the text has no end", format!("write {quote} behind it"));
    }
    if starts("missing escaped value") {
        return pair("\\ in a text begins an escape", "write \\\\ for one backslash, or put the text in single quotes");
    }
    if starts("unclosed table") || starts("unclosed array of tables") {
        let name = trimmed.trim_matches(['[', ']', ' ']);
        let header = if trimmed.starts_with("[[") { format!("[[{name}]]") } else { format!("[{name}]") };
        return pair("the header is not closed", format!("write {header}"));
    }
    if starts("missing comma between array") || message.contains("in array") || starts("unclosed array") {
        return list(message, place);
    }
    if starts("unclosed inline table") {
        return pair("the table in braces is not closed", "write } at its end");
    }
    if starts("unexpected key or value") {
        return pair(
            "there is something behind the value",
            "begin a new line for the next key, or write # before a comment",
        );
    }
    if starts("unexpected leading zero") {
        return pair("the number begins with a zero", "write it without the zero");
    }
    if starts("unquoted keys cannot be empty") {
        return pair("there is no key before the =", "write key = value");
    }
    if starts("carriage return") {
        return pair("a line ends in a lone carriage return", "save the file with LF or CR LF line ends");
    }
    let (what, expected) = message.split_once(", expected ").unwrap_or((message, "valid TOML"));
    pair(what, format!("write {expected}"))
}

fn bare_value(value: &str) -> (String, String) {
    let lower = value.to_lowercase();
    let what = format!("{value} is no text in quotes, no number, and not true or false");
    let advice = match lower.as_str() {
        "" => "write a value behind the =".to_owned(),
        "true" | "yes" | "on" => "write true".to_owned(),
        "false" | "no" | "off" => "write false".to_owned(),
        _ => format!("write \"{}\"", value.trim_matches(['"', '\'', '\u{201c}', '\u{201d}', '\u{201e}', ' '])),
    };
    pair(if value.is_empty() { "there is no value".to_owned() } else { what }, advice)
}

fn duplicate(key: &str, line: &str) -> (String, String) {
    let list = ["source", "output"].contains(&key);
    if line.starts_with("[[") {
        let what = format!("[[{key}]] comes after a header that is part of it");
        return pair(what, format!("put headers such as [{key}.tls] below their [[{key}]]"));
    }
    if line.starts_with('[') && list {
        return pair(format!("[{key}] is a list"), format!("write [[{key}]]"));
    }
    if line.starts_with('[') {
        return pair(format!("the table {key:?} is there a second time"), "put all its keys under one header");
    }
    pair(format!("the key {key:?} is set a second time"), "take one of the two out")
}

fn no_key(line: &str) -> (String, String) {
    if line.starts_with("//") || line.starts_with(';') || line.starts_with("--") {
        return pair("this is no comment in TOML", "write # before a comment");
    }
    if let Some((key, value)) = line.split_once(':').filter(|_| !line.contains('=')) {
        let (key, value) = (key.trim(), value.trim());
        return pair("a key and its value are joined by =", format!("write {key} = {value}"));
    }
    match line.split_once('=') {
        Some((key, _)) => {
            let name: String = key.trim().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
            let name = name.trim_matches('_').to_lowercase();
            pair(format!("{:?} is no key", key.trim()), format!("write {name} (lower-case letters, digits and _)"))
        }
        None => pair("a key has no value", "write key = value, or # before a comment"),
    }
}

fn list(message: &str, place: &Place<'_>) -> (String, String) {
    if message.starts_with("extra comma") {
        return pair("there is a comma too much in the list", "take it out");
    }
    let line = place.line.trim();
    let next_began =
        place.before.trim().is_empty() && (line.contains('=') || line.starts_with('[') && line.ends_with(']'));
    if message.starts_with("unclosed array") || next_began {
        return pair("the list above is not closed", "write ] at its end");
    }
    pair("a comma is missing in the list", "write , between its parts")
}
