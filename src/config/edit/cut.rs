//! Cuts keys and tables out of a settings file, line by line.

use std::ops::Range;

use serde_json::{Map, Value};
use toml_edit::{Document, Item, Key, Table};

use super::{EditError, find};

/// The text without the keys that are null in `values`, as far as they stand on lines of their own.
pub(super) fn keys(text: &str, path: &str, values: &Map<String, Value>) -> Result<String, EditError> {
    let document = Document::parse(text).map_err(|_| EditError::NotToml)?;
    let mut scissors = Scissors::new(text, document.as_table());
    if let Some(table) = find(document.as_table(), path) {
        scissors.keys(table, values);
    }
    Ok(scissors.rest())
}

/// The text without an entry of a list and the tables inside it.
pub(super) fn entry(text: &str, path: &str) -> Result<String, EditError> {
    let document = Document::parse(text).map_err(|_| EditError::NotToml)?;
    let entry = find(document.as_table(), path).ok_or_else(|| EditError::NoEntry(path.to_owned()))?;
    let mut scissors = Scissors::new(text, document.as_table());
    scissors.table(entry);
    Ok(scissors.rest())
}

/// Cuts lines out of a text.
struct Scissors<'t> {
    text: &'t str,
    /// Where the headers of all tables begin, in order.
    headers: Vec<usize>,
    cut: Vec<Range<usize>>,
}

impl<'t> Scissors<'t> {
    fn new(text: &'t str, root: &Table) -> Self {
        let mut headers = Vec::new();
        root.iter().for_each(|(_, item)| headers_of(item, &mut headers));
        headers.sort_unstable();
        Self { text, headers, cut: Vec::new() }
    }

    /// Marks the keys that are null in `values`, and inner tables in which nothing is left then.
    fn keys(&mut self, table: &Table, values: &Map<String, Value>) {
        for (key, value) in values {
            let Some((name, item)) = table.get_key_value(key) else { continue };
            match (value, item) {
                (Value::Null, _) => self.item(name, item),
                (Value::Object(inner), Item::Table(below)) => {
                    let goes = |key: &str| inner.get(key).is_some_and(Value::is_null);
                    if inner.values().all(Value::is_null) && below.iter().all(|(key, _)| goes(key)) {
                        self.item(name, item);
                    } else {
                        self.keys(below, inner);
                    }
                }
                _ => {}
            }
        }
    }

    fn item(&mut self, key: &Key, item: &Item) {
        match item {
            // Its keys are written with dots, each on a line of its own.
            Item::Table(table) if table.is_dotted() => {
                for (name, _) in table {
                    if let Some((key, item)) = table.get_key_value(name) {
                        self.item(key, item);
                    }
                }
            }
            Item::Table(table) => self.table(table),
            Item::ArrayOfTables(list) => list.iter().for_each(|table| self.table(table)),
            Item::Value(_) | Item::None => {
                if let (Some(key), Some(value)) = (key.span(), item.span()) {
                    self.cut.push(line_start(self.text, key.start)..line_end(self.text, value.end));
                }
            }
        }
    }

    /// Marks a table with all tables inside it: each up to where the next one begins.
    fn table(&mut self, table: &Table) {
        let mut inside = Vec::new();
        headers_of_table(table, &mut inside);
        for start in inside {
            let next = self.headers.iter().copied().find(|header| *header > start);
            let end = next.map_or(self.text.len(), |next| begin(self.text, next));
            self.cut.push(begin(self.text, start)..end);
        }
    }

    fn rest(mut self) -> String {
        self.cut.sort_unstable_by_key(|range| range.start);
        let (mut rest, mut from) = (String::new(), 0);
        for range in self.cut {
            rest.push_str(self.text.get(from..range.start).unwrap_or_default());
            from = from.max(range.end);
        }
        rest.push_str(self.text.get(from..).unwrap_or_default());
        rest
    }
}

fn headers_of(item: &Item, found: &mut Vec<usize>) {
    match item {
        Item::Table(table) => headers_of_table(table, found),
        Item::ArrayOfTables(list) => list.iter().for_each(|table| headers_of_table(table, found)),
        Item::Value(_) | Item::None => {}
    }
}

fn headers_of_table(table: &Table, found: &mut Vec<usize>) {
    if !table.is_dotted() && !table.is_implicit() {
        found.extend(table.span().map(|span| span.start));
    }
    table.iter().for_each(|(_, item)| headers_of(item, found));
}

fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1)
}

fn line_end(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|after| after.find('\n')).map_or(text.len(), |end| at + end + 1)
}

/// Where a table begins: with the comment that stands directly above its header, and the blank lines above that.
fn begin(text: &str, header: usize) -> usize {
    let is_comment = |line: &str| line.trim_start().starts_with('#');
    back_over(text, back_over(text, line_start(text, header), is_comment), |line| line.trim().is_empty())
}

/// Goes back over the lines that `are` so.
fn back_over(text: &str, mut start: usize, are: impl Fn(&str) -> bool) -> usize {
    while start > 0 {
        let before = line_start(text, start - 1);
        if !are(text.get(before..start).unwrap_or_default()) {
            break;
        }
        start = before;
    }
    start
}
