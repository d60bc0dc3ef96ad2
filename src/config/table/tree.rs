//! The file as a tree whose every key and value knows its place, and paths into it.

use std::fmt::Write as _;
use std::ops::Range;

use serde_path_to_error::Segment;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// A table with the place of its header or braces.
pub(in crate::config) type Table<'a> = Spanned<DeTable<'a>>;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) enum Step {
    /// A key of a table.
    Key(String),
    /// A place in a list, from 0.
    Index(usize),
}

/// A way from a table to something inside it.
pub(in crate::config) type Path = Vec<Step>;

/// Where a path leads: the place of the last key, if the last step is one, and of the value.
#[derive(Clone, Debug)]
pub(in crate::config) struct Found<'t, 'a> {
    pub(in crate::config) key: Option<Range<usize>>,
    pub(in crate::config) value: &'t Spanned<DeValue<'a>>,
}

/// What a path leads to; `None` where the file has nothing there.
pub(in crate::config) fn find<'t, 'a>(table: &'t DeTable<'a>, path: &[Step]) -> Option<Found<'t, 'a>> {
    let (first, rest) = path.split_first()?;
    let Step::Key(name) = first else { return None };
    let (key, value) = table.get_key_value(name.as_str())?;
    let mut found = Found { key: Some(key.span()), value };
    for step in rest {
        found = match step {
            Step::Key(name) => {
                let (key, value) = found.value.get_ref().as_table()?.get_key_value(name.as_str())?;
                Found { key: Some(key.span()), value }
            }
            Step::Index(at) => Found { key: None, value: found.value.get_ref().get(*at)? },
        };
    }
    Some(found)
}

/// Takes what a path leads to out of the table; whether there was something.
pub(in crate::config) fn remove(table: &mut DeTable<'_>, path: &[Step]) -> bool {
    let Some((last, parents)) = path.split_last() else { return false };
    let Some(parent) = descend(table, parents) else { return false };
    match (parent, last) {
        (Place::Table(table), Step::Key(name)) => table.remove(name.as_str()).is_some(),
        (Place::List(list), Step::Index(at)) if *at < list.len() => {
            let rest = std::mem::replace(list, DeArray::new()).into_iter().enumerate().filter(|(other, _)| other != at);
            *list = rest.map(|(_, item)| item).collect();
            true
        }
        _ => false,
    }
}

enum Place<'t, 'a> {
    Table(&'t mut DeTable<'a>),
    List(&'t mut DeArray<'a>),
}

fn descend<'t, 'a>(table: &'t mut DeTable<'a>, path: &[Step]) -> Option<Place<'t, 'a>> {
    let mut here = Place::Table(table);
    for step in path {
        let next = match (here, step) {
            (Place::Table(table), Step::Key(name)) => table.get_mut(name.as_str())?,
            (Place::List(list), Step::Index(at)) => list.get_mut(*at)?,
            _ => return None,
        };
        here = match next.get_mut() {
            DeValue::Table(table) => Place::Table(table),
            DeValue::Array(list) => Place::List(list),
            _ => return None,
        };
    }
    Some(here)
}

/// The path of so many steps to the value at exactly this place; a list keeps its numbering here while [`remove`] changes it in
/// a copy. A list of one table stands where its table stands, so the place alone does not tell them apart.
pub(in crate::config) fn path_of(table: &DeTable<'_>, span: &Range<usize>, steps: usize) -> Option<Path> {
    table.iter().find_map(|(key, value)| path_below(value, Step::Key(key.get_ref().to_string()), span, steps))
}

fn path_below(value: &Spanned<DeValue<'_>>, step: Step, span: &Range<usize>, steps: usize) -> Option<Path> {
    let left = steps.checked_sub(1)?;
    if left == 0 {
        return (value.span() == *span).then(|| vec![step]);
    }
    let rest = match value.get_ref() {
        DeValue::Table(table) => path_of(table, span, left)?,
        DeValue::Array(list) => {
            list.iter().enumerate().find_map(|(at, item)| path_below(item, Step::Index(at), span, left))?
        }
        _ => return None,
    };
    Some(std::iter::once(step).chain(rest).collect())
}

/// The steps of a path that serde walked. Variants of enums are no places in the file.
pub(in crate::config) fn steps(path: &serde_path_to_error::Path) -> Path {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Map { key } => Some(Step::Key(key.clone())),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    path.iter().filter_map(step).collect()
}

/// Reads a path that a room's own check wrote, such as `tls.cert` or `listen[1]`.
pub(in crate::config) fn parse_path(text: &str) -> Path {
    let mut path = Path::new();
    for part in text.split(['.', '[']).filter(|part| !part.is_empty()) {
        let part = part.trim_end_matches(']');
        path.push(part.parse().map_or_else(|_| Step::Key(part.to_owned()), Step::Index));
    }
    path
}

/// A path as people read it, under the name of the table it starts in.
pub(in crate::config) fn show(base: &str, path: &[Step]) -> String {
    let mut text = base.to_owned();
    for step in path {
        match step {
            Step::Key(name) if text.is_empty() => text.push_str(name),
            Step::Key(name) => {
                text.push('.');
                text.push_str(name);
            }
            Step::Index(at) => {
                let _ = write!(text, "[{at}]");
            }
        }
    }
    text
}
