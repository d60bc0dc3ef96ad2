//! What a form asks of people for one type of source or output: in the words of the vendor's console, with the steps there.
//!
//! Floor 0: plain words, and the way between what is typed and the keys of the settings. Each room of `source/` and `output/`
//! says what its own form is; the page shows it, and `config` says what is wrong with what comes out. A key that is not in a
//! form is set in the settings file and left alone here.
//!
//! Not supported: a key whose value is a table of free names (the queries of Defender); they are written in the settings file.

mod common;
mod field;
mod guide;

#[cfg(test)]
mod tests;

pub use common::{ALLOW, OWN_TLS, PROXY, TIME_ZONE, VENDOR_CA, backfill};
pub use field::{Field, Kind};
pub use guide::{Filled, Guide, Place};

use serde_json::{Map, Value};

/// The form of one type.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// The word behind `type =`.
    pub kind: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// What it does, in a sentence.
    pub about: &'static str,
    /// What the vendor shows, or the device needs.
    pub asks: &'static [Field],
    /// What some sites need besides.
    pub more: &'static [&'static [Field]],
    /// What to do at the vendor, in order.
    pub steps: &'static [&'static str],
    /// What to type into devices that send.
    pub guides: &'static [Guide],
    /// Whether the vendor, or the far end, can be asked before it is in use.
    pub is_tested: bool,
    /// Whether administrators of other tenants can consent to its app.
    pub consent: bool,
    /// The list inside it, such as the devices that may log in.
    pub inside: Option<Inside>,
}

/// A list inside a source.
#[derive(Clone, Copy, Debug)]
pub struct Inside {
    /// Its key.
    pub list: &'static str,
    /// What is asked for each entry; the first field is its name.
    pub asks: &'static [Field],
}

/// What one part of a source or output says when it is asked once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The feed, the far end, or the part of the settings.
    pub feed: String,
    /// `None` if all is well, else what is wrong and what to do.
    pub fault: Option<(String, String)>,
}

impl Finding {
    /// All is well.
    #[must_use]
    pub fn right(feed: &str) -> Self {
        Self { feed: feed.to_owned(), fault: None }
    }

    /// What is wrong, and what to do.
    #[must_use]
    pub fn wrong(feed: &str, what: String, todo: String) -> Self {
        Self { feed: feed.to_owned(), fault: Some((what, todo)) }
    }
}

impl Form {
    /// All fields, in order.
    pub fn fields(&self) -> impl Iterator<Item = &'static Field> {
        self.asks.iter().chain(self.more.iter().copied().flatten())
    }

    /// What has to change in the settings so that they say what was typed. `now` are those of the entry, null for a new one;
    /// `typed` gives the text of a field that was in the form, and `file` what becomes of a secret: the path of its file, or null
    /// to take it out.
    #[must_use]
    pub fn patch<'t>(
        &self,
        now: &Value,
        typed: impl Fn(&str) -> Option<&'t str>,
        file: impl Fn(&str) -> Option<Value>,
    ) -> Map<String, Value> {
        patch(self.fields(), now, typed, file)
    }
}

impl Inside {
    /// As [`Form::patch`], of an entry of the list.
    #[must_use]
    pub fn patch<'t>(&self, now: &Value, typed: impl Fn(&str) -> Option<&'t str>) -> Map<String, Value> {
        patch(self.asks.iter(), now, typed, |_| None)
    }
}

fn patch<'t>(
    fields: impl Iterator<Item = &'static Field>,
    now: &Value,
    typed: impl Fn(&str) -> Option<&'t str>,
    file: impl Fn(&str) -> Option<Value>,
) -> Map<String, Value> {
    let mut changes = Map::new();
    for field in fields {
        let new = if field.is_file() {
            file(field.key)
        } else {
            // What reads the same as before is not touched, however it is written in the file.
            typed(field.key).map(|text| field.read(text)).filter(|new| *new != field.read(&field.shown(now)))
        };
        if let Some(new) = new {
            put(&mut changes, field.key, new);
        }
    }
    changes
}

fn put(map: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => drop(map.insert(path.to_owned(), value)),
        Some((table, rest)) => {
            let inner = map.entry(table).or_insert_with(|| Value::Object(Map::new()));
            if let Some(inner) = inner.as_object_mut() {
                put(inner, rest, value);
            }
        }
    }
}
