//! Changes of single keys in the settings file: what forms do.
//!
//! In: the file's text and an [`Edit`]. Out: the text with it. Comments, order, and all that was not named stay as they were.
//! Nothing is written here, and nothing checked but that the text is TOML.
//!
//! Decision: what goes is cut out of the text at its place, because `toml_edit` takes the comments above it along, and in a file that
//! began as a sample those are about other keys. What comes is put in by `toml_edit`, which knows where it belongs.
//!
//! Bounded by the settings file, which has 1 MiB at most.
//!
//! Not supported: comments inside a list whose values change; entries of a list that is written in braces.

mod cut;

#[cfg(test)]
mod tests;

use serde_json::{Map, Value};
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, TableLike};

use crate::control::Edit;

/// Keys by which an entry of a list is known.
const NAMES: [&str; 2] = ["id", "name"];
/// The keys that stand first in a new entry, where it has them.
const FIRST: [&str; 3] = ["id", "type", "name"];

/// Why nothing was changed. Trying again helps only after the settings were changed by other means.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The text is no TOML.
    #[error("the settings of this box are no TOML, so nothing can be put into them; mend them first")]
    NotToml,
    /// The entry is not there.
    #[error("there is no {0} in the settings; somebody may have taken it out, so look at the list again")]
    NoEntry(String),
    /// It stands in the settings in a form that cannot be changed key by key.
    #[error("{0} is not written as a table of its own; change it in the settings file")]
    NoTable(String),
}

/// The text with the change in it.
///
/// # Errors
/// When the text is no TOML, or what is to be changed is not there.
pub fn edit(text: &str, what: &Edit) -> Result<String, EditError> {
    match what {
        Edit::Set { table, values } => {
            let text = cut::keys(text, table, values)?;
            let before: Value = toml::from_str(&text).map_err(|_| EditError::NotToml)?;
            change(&text, |root| merge(reach(root, table)?, at(&before, table), values))
        }
        Edit::Add { list, values } => change(text, |root| add(root, list, values)),
        Edit::Remove { entry } => cut::entry(text, entry),
    }
}

/// What a text says, key by key, without defaults; null where it is no TOML.
#[must_use]
pub fn values(text: &str) -> Value {
    toml::from_str(text).unwrap_or(Value::Null)
}

/// One step of a path: a key, and the id of an entry where it is a list.
#[derive(Clone, Copy, Debug)]
struct Step<'a> {
    key: &'a str,
    entry: Option<&'a str>,
}

fn steps(path: &str) -> Vec<Step<'_>> {
    let (mut steps, mut rest) = (Vec::new(), path);
    while !rest.is_empty() {
        let (key, after) = rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()));
        let (entry, after) = match after.strip_prefix('[') {
            Some(inside) => inside.split_once(']').map_or((Some(inside), ""), |(entry, after)| (Some(entry), after)),
            None => (None, after),
        };
        steps.push(Step { key, entry });
        rest = after.strip_prefix('.').unwrap_or(after);
    }
    steps
}

fn is(table: &Table, entry: &str) -> bool {
    NAMES.iter().any(|name| table.get(name).and_then(Item::as_str) == Some(entry))
}

/// What a path leads to in the values of a file; null where there is nothing.
fn at<'v>(root: &'v Value, path: &str) -> &'v Value {
    let mut here = root;
    for Step { key, entry } in steps(path) {
        here = here.get(key).unwrap_or(&Value::Null);
        if let Some(entry) = entry {
            let is_it =
                |value: &&Value| NAMES.iter().any(|name| value.get(name).and_then(Value::as_str) == Some(entry));
            here = here.as_array().and_then(|list| list.iter().find(is_it)).unwrap_or(&Value::Null);
        }
    }
    here
}

/// The table that a path leads to, where it is one of its own.
fn find<'t>(root: &'t Table, path: &str) -> Option<&'t Table> {
    let mut here = root;
    for Step { key, entry } in steps(path) {
        let item = here.get(key)?;
        here = match entry {
            None => item.as_table()?,
            Some(entry) => item.as_array_of_tables()?.iter().find(|table| is(table, entry))?,
        };
    }
    Some(here)
}

/// The same to be changed; tables that are not there are made, entries of lists are not.
fn reach<'t>(root: &'t mut Table, path: &str) -> Result<&'t mut dyn TableLike, EditError> {
    let mut here: &mut dyn TableLike = root;
    for Step { key, entry } in steps(path) {
        if entry.is_none() && here.get(key).is_none() {
            here.insert(key, Item::Table(Table::new()));
        }
        let none = || EditError::NoEntry(path.to_owned());
        let item = here.get_mut(key).ok_or_else(none)?;
        let wrong = || EditError::NoTable(path.to_owned());
        here = match entry {
            None => item.as_table_like_mut().ok_or_else(wrong)?,
            Some(entry) => {
                let list = item.as_array_of_tables_mut().ok_or_else(wrong)?;
                list.iter_mut().find(|table| is(table, entry)).ok_or_else(none)?
            }
        };
    }
    Ok(here)
}

fn change(text: &str, work: impl FnOnce(&mut Table) -> Result<(), EditError>) -> Result<String, EditError> {
    let mut document: DocumentMut = text.parse().map_err(|_| EditError::NotToml)?;
    work(document.as_table_mut())?;
    Ok(document.to_string())
}

/// Puts keys into a table; what is the same already is not touched.
fn merge(table: &mut dyn TableLike, before: &Value, values: &Map<String, Value>) -> Result<(), EditError> {
    for (key, value) in values {
        let before = before.get(key).unwrap_or(&Value::Null);
        match value {
            // What stood on lines of its own was cut out already; this is for braces.
            Value::Null => drop(table.remove(key)),
            value if value == before => {}
            Value::Object(inner) if inner.values().all(Value::is_null) && before.is_null() => {}
            Value::Object(inner) => {
                if table.get(key).is_none() {
                    table.insert(key, Item::Table(Table::new()));
                }
                let inside = table.get_mut(key).and_then(Item::as_table_like_mut);
                merge(inside.ok_or_else(|| EditError::NoTable(key.clone()))?, before, inner)?;
            }
            Value::Array(list) if !list.is_empty() && list.iter().all(Value::is_object) => {
                let tables = list.iter().filter_map(Value::as_object).map(new_table).collect::<Result<_, _>>()?;
                table.insert(key, Item::ArrayOfTables(tables));
            }
            value => {
                if let Some(value) = toml_value(value) {
                    set(table, key, value);
                }
            }
        }
    }
    Ok(())
}

/// Sets a key and keeps what stands around its value.
pub(super) fn set(table: &mut dyn TableLike, key: &str, new: toml_edit::Value) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            let decor = old.decor().clone();
            *old = new;
            *old.decor_mut() = decor;
        }
        None => drop(table.insert(key, Item::Value(new))),
    }
}

fn toml_value(value: &Value) -> Option<toml_edit::Value> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64()?.into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(list) => list.iter().filter_map(toml_value).collect::<Array>().into(),
        Value::Object(inner) => {
            let pairs = inner.iter().filter_map(|(key, value)| Some((key, toml_value(value)?)));
            pairs.collect::<InlineTable>().into()
        }
    })
}

fn new_table(values: &Map<String, Value>) -> Result<Table, EditError> {
    let mut table = Table::new();
    for key in FIRST {
        if let Some(value) = values.get(key).and_then(toml_value) {
            set(&mut table, key, value);
        }
    }
    let rest = values.iter().filter(|(key, _)| !FIRST.contains(&key.as_str()));
    merge(&mut table, &Value::Null, &rest.map(|(key, value)| (key.clone(), value.clone())).collect())?;
    Ok(table)
}

/// Adds an entry behind the others of its list.
fn add(root: &mut Table, path: &str, values: &Map<String, Value>) -> Result<(), EditError> {
    let (parent, key) = path.rsplit_once('.').unwrap_or(("", path));
    let parent = reach(root, parent)?;
    // A list without entries has no place of its own yet.
    if parent.get(key).is_none_or(|item| item.as_array().is_some_and(Array::is_empty)) {
        parent.insert(key, Item::ArrayOfTables(ArrayOfTables::new()));
    }
    let list = parent.get_mut(key).and_then(Item::as_array_of_tables_mut);
    list.ok_or_else(|| EditError::NoTable(path.to_owned()))?.push(new_table(values)?);
    Ok(())
}
