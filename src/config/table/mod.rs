//! Reads one table into its struct and finds everything that is wrong with it, not only the first thing.
//!
//! serde stops at the first error. So each error is noted, the key it is about is taken out of a copy, and the copy is
//! read again, until it fits or a missing key ends the matter.

pub(super) mod sample;
pub(super) mod shape;
pub(super) mod tree;
mod words;

pub(super) use sample::Sample;
pub(super) use shape::Shape;
pub(super) use tree::{Step, Table};
pub(super) use words::{either, nearest};

use std::ops::Range;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

use tree::Path;
use words::Meaning;

/// More errors than this in one table are no help to anybody.
const MOST: usize = 50;

/// Where neither the type nor the sample says how the value looks.
const UNKNOWN_ADVICE: &str = "write it as the example file shows";

/// One thing that is wrong, at its place in the file.
#[derive(Clone, Debug)]
pub(in crate::config) struct Finding {
    /// The bytes of the file that are meant.
    pub(super) span: Range<usize>,
    /// The key, from the table that was read.
    pub(super) path: Path,
    /// What is wrong.
    pub(super) what: String,
    /// What to write instead.
    pub(super) advice: String,
    /// It is not there, so nothing at its place can be pointed at.
    pub(super) missing: bool,
}

/// What is known about a table beside its struct.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct About<'a> {
    /// How its keys are written.
    pub(super) sample: Sample,
    /// The name before the dot in the headers of its inner tables: `source`; empty for the top of the file.
    pub(super) header: &'a str,
    /// Keys of the top of the file, which people write below a header by mistake.
    pub(super) top: &'a [String],
}

/// Reads a table. There is no value when something is wrong with it.
pub(in crate::config) fn read<T: DeserializeOwned + JsonSchema>(
    table: &Table<'_>,
    about: About<'_>,
) -> (Option<T>, Vec<Finding>) {
    let mut session = Session { table, about, shape: Shape::of::<T>(), findings: Vec::new() };
    session.note_missing(table.get_ref(), table.span(), &mut Path::new());
    let mut copy = table.clone();
    while session.findings.len() < MOST {
        let deserializer = toml::de::Deserializer::from(copy.clone());
        let error = match serde_path_to_error::deserialize::<_, T>(deserializer) {
            Ok(value) => return (session.findings.is_empty().then_some(value), session.findings),
            Err(error) => error,
        };
        let path = tree::steps(error.path());
        let bad = match words::meaning(error.inner().message()) {
            Meaning::MissingKey(key) => session.note_one_missing(&copy, path, &key),
            Meaning::UnknownKey { known } => session.note_unknown_key(&copy, path, &known),
            Meaning::UnknownWord { known } => session.note_unknown_word(&copy, path, &known),
            Meaning::Type { advice } => session.note_type(&copy, path, &advice),
            Meaning::Value { what, advice } => session.note_value(&copy, path, what, &advice),
        };
        if !tree::remove(copy.get_mut(), &bad) {
            break;
        }
    }
    (None, session.findings)
}

struct Session<'t, 'a> {
    table: &'t Table<'t>,
    about: About<'a>,
    shape: Shape,
    findings: Vec<Finding>,
}

impl Session<'_, '_> {
    /// The same place in the whole table, where lists still have their numbering.
    fn original(&self, copy: &Table<'_>, path: &[Step]) -> (Range<usize>, Path) {
        let Some(found) = tree::find(copy.get_ref(), path) else { return (self.table.span(), path.to_vec()) };
        let span = found.value.span();
        let in_list = path.iter().any(|step| matches!(step, Step::Index(_)));
        let original = if in_list { tree::path_of(self.table.get_ref(), &span, path.len()) } else { None };
        (span, original.unwrap_or_else(|| path.to_vec()))
    }

    /// Notes every key that must be in this table, or in a table inside it, and is not.
    fn note_missing(&mut self, table: &DeTable<'_>, span: Range<usize>, path: &mut Path) {
        for key in self.shape.required(path) {
            if table.get(key.as_str()).is_none() {
                self.push_missing(span.clone(), path, &key);
            }
        }
        for (key, value) in table {
            if let DeValue::Table(inner) = value.get_ref() {
                path.push(Step::Key(key.get_ref().to_string()));
                self.note_missing(inner, value.span(), path);
                path.pop();
            }
        }
    }

    /// Notes a key that serde misses, if that is not known yet; returns what to take out to go on.
    fn note_one_missing(&mut self, copy: &Table<'_>, path: Path, key: &str) -> Path {
        let (span, original) = self.original(copy, &path);
        let mut full = original.clone();
        full.push(Step::Key(key.to_owned()));
        let known = self.findings.iter().any(|finding| finding.path == full);
        if !known && tree::find(self.table.get_ref(), &full).is_none() {
            self.push_missing(span, &original, key);
        }
        path
    }

    fn push_missing(&mut self, span: Range<usize>, table: &[Step], key: &str) {
        let mut path = table.to_vec();
        path.push(Step::Key(key.to_owned()));
        let advice = match self.example(&path) {
            Some(example) => format!("add it, for example {example}"),
            None => format!("add {key} = and its value"),
        };
        self.findings.push(Finding { span, path, what: format!("the key {key:?} is missing"), advice, missing: true });
    }

    fn note_unknown_key(&mut self, copy: &Table<'_>, path: Path, known: &[String]) -> Path {
        let key = match path.last() {
            Some(Step::Key(key)) => key.clone(),
            _ => String::new(),
        };
        let (_, original) = self.original(copy, &path);
        let found = tree::find(copy.get_ref(), &path);
        let span = found.as_ref().and_then(|found| found.key.clone()).unwrap_or_else(|| self.table.span());
        let what = format!("there is no key {key:?} here");
        let advice = self.advise_key(&key, found.map(|found| found.value.get_ref()), known);
        self.findings.push(Finding { span, path: original, what, advice, missing: false });
        path
    }

    fn note_unknown_word(&mut self, copy: &Table<'_>, path: Path, known: &[String]) -> Path {
        let (span, original) = self.original(copy, &path);
        let typed =
            tree::find(copy.get_ref(), &path).and_then(|found| found.value.get_ref().as_str()).unwrap_or("this");
        let choices = either(known.iter().map(String::as_str));
        let advice = match nearest(typed, known.iter().map(String::as_str)) {
            Some(meant) => format!("write {meant:?} (the choices are {choices})"),
            None => format!("write {choices}"),
        };
        let what = format!("{typed:?} is not one of the choices");
        self.findings.push(Finding { span, path: original, what, advice, missing: false });
        path
    }

    /// Notes a value of the wrong kind; an example shows the right one.
    fn note_type(&mut self, copy: &Table<'_>, path: Path, advice: &str) -> Path {
        let (span, original) = self.original(copy, &path);
        let found = tree::find(copy.get_ref(), &path).map(|found| words::describe(found.value.get_ref()));
        let what = format!("{} does not belong here", found.as_deref().unwrap_or("this"));
        let advice = match (advice, self.example(&original)) {
            (words::A_TABLE, _) => format!("give it a table of its own, headed [{}]", self.header(&original)),
            ("", Some(example)) => format!("write for example {example}"),
            ("", None) => UNKNOWN_ADVICE.to_owned(),
            (advice, Some(example)) if !advice.contains("such as") => format!("{advice}, for example {example}"),
            (advice, _) => advice.to_owned(),
        };
        self.findings.push(Finding { span, path: original, what, advice, missing: false });
        path
    }

    /// Notes a value that its own type refuses, in that type's words.
    fn note_value(&mut self, copy: &Table<'_>, path: Path, what: String, advice: &str) -> Path {
        let (span, original) = self.original(copy, &path);
        let advice = match (advice, self.example(&original)) {
            ("", Some(example)) => format!("write for example {example}"),
            ("", None) => UNKNOWN_ADVICE.to_owned(),
            (advice, _) => advice.to_owned(),
        };
        self.findings.push(Finding { span, path: original, what, advice, missing: false });
        path
    }

    /// What to write in place of a key that does not exist here.
    fn advise_key(&self, key: &str, value: Option<&DeValue<'_>>, known: &[String]) -> String {
        let elsewhere = self.shape.tables_with(key);
        match elsewhere.first() {
            Some(table) if table.is_empty() && !self.about.header.is_empty() => {
                return format!("move it up, to the lines directly below [[{}]]", self.about.header);
            }
            Some(table) => {
                return format!(
                    "move it below the header [{}]",
                    tree::show(self.about.header, &tree::parse_path(table))
                );
            }
            None => {}
        }
        if self.about.top.iter().any(|top| top == key) && !self.about.header.is_empty() {
            return "move it to the top of the file, above the first header".to_owned();
        }
        match nearest(key, known.iter().map(String::as_str)) {
            Some(meant) if value.is_some_and(is_list_of_tables) => format!("write [[{meant}]]"),
            Some(meant) if value.is_some_and(DeValue::is_table) => {
                format!("write [{}]", tree::show(self.about.header, &[Step::Key(meant.to_owned())]))
            }
            Some(meant) => format!("write {meant:?}"),
            None if known.is_empty() => "take it out".to_owned(),
            None => format!("take it out; the keys here are {}", known.join(", ")),
        }
    }

    /// The header of a table inside the component.
    fn header(&self, path: &[Step]) -> String {
        tree::show(self.about.header, path)
    }

    fn example(&self, path: &[Step]) -> Option<String> {
        let names: Vec<&str> = path
            .iter()
            .filter_map(|step| match step {
                Step::Key(name) => Some(name.as_str()),
                Step::Index(_) => None,
            })
            .collect();
        let (key, tables) = names.split_last()?;
        self.about.sample.example(&tables.join("."), key)
    }
}

fn is_list_of_tables(value: &DeValue<'_>) -> bool {
    value.as_array().and_then(|list| list.first()).is_some_and(|first| first.get_ref().is_table())
}
